"""`leeward classify` and `leeward rules`, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LEEWARD = str(Path(sys.executable).with_name("leeward"))
CARD = "4111 1111 1111 1111"


def leeward(tmp_path: Path, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LEEWARD_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        [LEEWARD, *arguments], input=stdin, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    return done


def matches(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_text_from_standard_input(tmp_path: Path) -> None:
    [match] = matches(leeward(tmp_path, "classify", "--json", "--no-model", stdin=f"é card {CARD}\n"))
    assert match == {
        "type": "match",
        "file": "-",
        "kind": "financial.card",
        "path": "$",
        "start": 7,
        "end": 26,
        "confidence": match["confidence"],
        "detector": match["detector"],
        "sample": match["sample"],
        "hash": match["hash"],
    }
    assert 0.9 <= match["confidence"] <= 1
    assert CARD not in json.dumps(match)


def test_json_has_paths_and_plain_text_has_none(tmp_path: Path) -> None:
    body = {"messages": [{"content": "x"}, {"content": json.dumps({"a b": [{"card": CARD}]})}]}
    (tmp_path / "a.json").write_text(json.dumps(body, indent=1))
    (tmp_path / "b.txt").write_text(json.dumps(body))
    (tmp_path / "c.jsonl").write_text(json.dumps({"x": 1}) + "\n" + json.dumps({"card": CARD}) + "\n")
    found = matches(leeward(tmp_path, "classify", "--json", "--no-model", *map(str, sorted(tmp_path.glob("?.*")))))
    assert [
        (m["file"][-5:].strip("/"), m["path"], m.get("inner", "")) for m in found if m["kind"] == "financial.card"
    ] == [
        ("a.json"[-5:], "$.messages[1].content", "$['a b'][0].card"),
        ("b.txt", "$", "$.messages[1].content"),
        ("jsonl", "$[1].card", ""),
    ]
    [piped] = matches(leeward(tmp_path, "classify", "--json", "--no-model", stdin=json.dumps({"card": CARD})))
    assert piped["path"] == "$.card"


def test_the_same_value_has_the_same_hash_on_one_installation(tmp_path: Path) -> None:
    other = tmp_path / "other"
    first = matches(leeward(tmp_path, "classify", "--json", "--no-model", stdin=f"card {CARD}"))
    again = matches(leeward(tmp_path, "classify", "--json", "--no-model", stdin=f"Visa card: {CARD.replace(' ', '')}"))
    elsewhere = matches(leeward(other, "classify", "--json", "--no-model", stdin=f"card {CARD}"))
    assert first[0]["hash"] == again[0]["hash"] != elsewhere[0]["hash"]
    assert (tmp_path / "state/data-key").stat().st_mode & 0o777 == 0o600


def test_redact(tmp_path: Path) -> None:
    text = leeward(tmp_path, "classify", "--redact", "--no-model", stdin=f"card {CARD}, thanks\n").stdout
    assert text.startswith("card [financial.card:")
    assert text.endswith("], thanks\n")
    body = leeward(
        tmp_path, "classify", "--redact", "--no-model", stdin=json.dumps({"a": [1, f"card {CARD}"], "n": None})
    )
    assert json.loads(body.stdout)["a"][1].startswith("card [financial.card:")
    assert json.loads(body.stdout)["n"] is None


def test_a_directory_its_binaries_and_its_dependencies(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "node_modules").mkdir(parents=True)
    for name in ("a.txt", "node_modules/b.txt"):
        (folder / name).write_text(f"card {CARD}")
    (folder / "c.bin").write_bytes(b"\0\1\2" + CARD.encode())
    (folder / "d.txt").write_text(f"\ufeffcard {CARD}", encoding="utf-16")
    done = leeward(tmp_path, "classify", "--json", "--no-model", str(folder))
    assert [Path(m["file"]).name for m in matches(done)] == ["a.txt", "d.txt"]
    assert "c.bin" in done.stderr


def test_kinds_and_fail_on(tmp_path: Path) -> None:
    text = f"card {CARD}"
    assert matches(leeward(tmp_path, "classify", "--json", "--no-model", "--kind", "pii", stdin=text)) == []
    assert len(matches(leeward(tmp_path, "classify", "--json", "--no-model", "--kind", "financial", stdin=text))) == 1
    leeward(tmp_path, "classify", "--no-model", "--fail-on", "high", stdin=text, code=1)
    leeward(tmp_path, "classify", "--no-model", "--fail-on", "critical", stdin=text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", "/no/such/file"),
        ("classify", "--format", "xml", "-"),
        ("classify", "--fail-on", "awful", "-"),
        ("classify", "--data-config", "/no/such.yaml", "-"),
        ("rules", "show", "no-such-rule"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = leeward(tmp_path, *arguments, stdin="x", code=2)
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line.startswith("leeward: ")]) == 1
    assert "Traceback" not in done.stderr


def test_rules(tmp_path: Path) -> None:
    listed = [json.loads(line)["id"] for line in leeward(tmp_path, "rules", "list", "--json").stdout.splitlines()]
    assert "data-leak" in listed
    assert "Revoke" in leeward(tmp_path, "rules", "show", "secret-in-prompt").stdout
