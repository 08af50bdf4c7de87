"""Unmodified SDKs with their default URLs in the proving ground: what Leeward saw equals what each sent and got,
live from the kernel and from a capture of the same traffic with its key log."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import LEEWARD, Run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "range"))

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]
#: client → (domain, provider); every one of them runs streamed and not
CLIENTS = {
    "openai_sync": ("api.openai.com", "openai"),
    "openai_async": ("api.openai.com", "openai"),
    "openai_threads": ("api.openai.com", "openai"),
    "openai_tools": ("api.openai.com", "openai"),
    "openai_responses": ("api.openai.com", "openai"),
    "openai_embeddings": ("api.openai.com", "openai"),
    "openai_compatible": ("", "openai_compatible"),
    "anthropic_messages": ("api.anthropic.com", "anthropic"),
    "ollama_client": ("", "ollama"),
    "langchain_openai_client": ("api.openai.com", "openai"),
    "litellm_client": ("api.openai.com", "openai"),
    "curl": ("api.openai.com", "openai"),
}


class Traffic(msgspec.Struct):
    """What one round of all clients left. exchanges and replayed: by the marker in their prompt."""

    truths: dict[tuple[str, bool], list[dict[str, Any]]]
    exchanges: dict[str, list[dict[str, Any]]]
    replayed: dict[str, list[dict[str, Any]]]
    lost: dict[str, int]
    keys: dict[str, str]
    captures: list[Path]
    keylog: Path


def marker_of(exchange: dict[str, Any]) -> str:
    """`[[client.run wN cN]]` in what was sent."""
    text = json.dumps(exchange["gen_ai"]["input"], ensure_ascii=False)
    start = text.find("[[")
    return text[start : text.find("]]", start) + 2] if start >= 0 else ""


def by_marker(exchanges: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for exchange in exchanges:
        found.setdefault(marker_of(exchange), []).append(exchange)
    return found


def replay(path: Path, keylog: Path) -> bytes:
    command = [LEEWARD, "replay", "--json", "--keylog", str(keylog), str(path)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


def of_type(lines: bytes, kind: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, lines.splitlines()) if e["type"] == kind]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    run_module = pytest.importorskip("proving.run")
    if not (ROOT / ".venv-range/bin/python").exists():
        pytest.skip("the clients are not installed: make setup-range")
    folder = tmp_path_factory.mktemp("clients")
    truths: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    outer, inner = folder / "eth0.pcap", folder / "lo.pcap"
    running = Run(folder / "state")
    try:
        with run_module.Range(folder / "range", keylog=True) as ground:
            with ground.capture(outer, "eth0"), ground.capture(inner, "lo"):
                for name in CLIENTS:
                    for stream in (False, True):
                        done = ground.client(name, n=2, stream=stream)
                        assert done.returncode == 0, done.stderr
                        truths[name, stream] = done.truth
            total = sum(len(t) for t in truths.values())
            running.wait(lambda: running.stored() >= total, 20)
            exchanges = [e for e in running.exchanges() if marker_of(e)]
            replayed = [e for path in (outer, inner) for e in of_type(replay(path, ground.keylog), "exchange")]
            keys = {k: v for k, v in ground.env.items() if k.endswith("_API_KEY")}
            lost = running.get("/stats")["status"]["lost"]
            yield Traffic(truths, by_marker(exchanges), by_marker(replayed), lost, keys, [outer, inner], ground.keylog)
    finally:
        running.stop()


def usage(ai: dict[str, Any]) -> tuple[int | None, int | None]:
    return ai["input_tokens"], ai["output_tokens"]


def said(truth: dict[str, Any]) -> tuple[int | None, int | None]:
    """Tokens as the client was told, under any of the APIs' names."""
    told = truth["usage"] or {}
    names = (
        ("input_tokens", "prompt_tokens", "prompt_eval_count"),
        ("output_tokens", "completion_tokens", "eval_count"),
    )
    return tuple(next((told[n] for n in group if told.get(n) is not None), None) for group in names)  # type: ignore[return-value]


def calls(items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Name and arguments, parsed: Anthropic's and Ollama's are objects on the wire."""
    rows = []
    for item in items:
        arguments = item.get("arguments", item.get("input"))
        rows.append((item["name"], json.loads(arguments) if isinstance(arguments, str) else arguments))
    return rows


def same(exchange: dict[str, Any], truth: dict[str, Any]) -> None:
    """The exchange is what the client sent and got, byte for byte."""
    ai = exchange["gen_ai"]
    assert ai["request_model"] == truth["model"]
    if truth["api"] != "openai.embeddings":
        texts = [m["content"] for m in ai["output"]]
        assert "".join(texts) == "".join(truth["texts"])
        assert calls(ai["tool_calls"]) == calls(truth["tool_calls"])
    sent = truth["request"].get("messages") or truth["request"].get("input") or truth["request"].get("prompt")
    wanted = sent if isinstance(sent, str) else sent[-1].get("content")
    if isinstance(wanted, str):
        assert wanted in [m["content"] for m in ai["input"]]
    if any(said(truth)) and ai["output_tokens"] is not None:
        assert usage(ai)[0] == said(truth)[0]
    assert exchange["http"]["status"] == 200
    assert exchange["evidence"]["complete"]
    assert not exchange["evidence"]["truncated"]
    assert not exchange["evidence"]["gap"]


def matched(traffic: Traffic, name: str, stream: bool, found: dict[str, list[dict[str, Any]]]) -> list[tuple[Any, Any]]:
    """(exchange, truth) pairs of one client's run: one exchange each, in order within a marker (tool loops share one)."""
    truths: dict[str, list[dict[str, Any]]] = {}
    for truth in traffic.truths[name, stream]:
        truths.setdefault(truth["marker"], []).append(truth)
    pairs = []
    for marker, group in truths.items():
        exchanges = sorted(found.get(marker, []), key=lambda e: e["time"])
        assert len(exchanges) == len(group), f"{marker}: {len(exchanges)} exchanges for {len(group)} requests"
        pairs += zip(exchanges, sorted(group, key=lambda t: t["started"]), strict=True)
    return pairs


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(CLIENTS))
def test_live(traffic: Traffic, name: str, stream: bool) -> None:
    domain, provider = CLIENTS[name]
    pairs = matched(traffic, name, stream, traffic.exchanges)
    assert pairs
    for exchange, truth in pairs:
        same(exchange, truth)
        assert exchange["gen_ai"]["provider"] == provider
        assert exchange["process"]["pid"] == truth["pid"] or name == "curl"
        assert exchange["workload"]["name"]
        if domain:
            assert (exchange["network"]["domain"], exchange["network"]["tls"]["sni"]) == (domain, domain)
            key = traffic.keys["ANTHROPIC_API_KEY" if provider == "anthropic" else "OPENAI_API_KEY"]
            fingerprint = hashlib.sha256(key.encode()).hexdigest()[:16]
            assert exchange["key"] == {
                "provider": provider,
                "fingerprint": fingerprint,
                "header": exchange["key"]["header"],
            }
            assert key not in json.dumps(exchange)
        if exchange["gen_ai"]["stream"]:
            assert 0 < exchange["gen_ai"]["time_to_first_token_ms"] <= exchange["duration_ms"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(CLIENTS))
def test_replayed(traffic: Traffic, name: str, stream: bool) -> None:
    """The capture gives the same exchanges as the kernel did, ids, times and processes aside."""
    live = matched(traffic, name, stream, traffic.exchanges)
    again = matched(traffic, name, stream, traffic.replayed)
    for (one, _), (two, truth) in zip(live, again, strict=True):
        same(two, truth)
        timeless = [{k: v for k, v in e["gen_ai"].items() if k != "time_to_first_token_ms"} for e in (one, two)]
        assert timeless[0] == timeless[1]
        assert (one["key"], one["error"], one["http"]) == (two["key"], two["error"], two["http"])
        assert one["network"]["src"] == two["network"]["src"]
        assert one["network"]["domain"] == two["network"]["domain"]


def test_nothing_was_lost(traffic: Traffic) -> None:
    assert set(traffic.lost.values()) == {0}


def test_replay_twice_is_the_same_to_the_byte(traffic: Traffic) -> None:
    for path in traffic.captures:
        assert replay(path, traffic.keylog) == replay(path, traffic.keylog)


def test_a_key_log_that_does_not_fit(traffic: Traffic, tmp_path: Path) -> None:
    """No exchange, no traceback; the coverage says which AI hosts were not seen into, and why."""
    other = tmp_path / "keys"
    other.write_text("CLIENT_RANDOM " + "00" * 32 + " " + "11" * 48 + "\n")
    lines = replay(traffic.captures[0], other)
    assert of_type(lines, "exchange") == []
    coverage = of_type(lines, "coverage")
    assert {"api.openai.com", "api.anthropic.com"} <= {s for row in coverage for s in row["services"]}
    assert all(row["visible"] == "metadata" and row["reason"] for row in coverage)


def test_a_truncated_capture(traffic: Traffic, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    data = traffic.captures[0].read_bytes()
    path.write_bytes(data[: len(data) // 2 + 3])
    lines = replay(path, traffic.keylog)
    (stats,) = of_type(lines, "stats")
    assert stats["counters"]["truncated_capture"] == 1
    assert 0 < stats["exchanges"] < len(traffic.replayed)
