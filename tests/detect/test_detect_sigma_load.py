"""Reading Sigma files: every rule that cannot run is named with its line; the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("sigma", reason="pySigma is not installed (requirements/sigma.txt)")

from tests.detect.sigma_events import detector, process, rule, ruleset, started

from leeward.cli.sigma import sigma_detectors
from leeward.detect.sigma.detector import Sigma
from leeward.detect.sigma.load import load_sigma
from leeward.model.errors import InputError

_GOOD = "s: {Image: /x}\ncondition: s"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (
            rule("s: {Imagee: /x}\ncondition: s"),
            5,
            "Imagee: no such field in process_creation events, did you mean `Image`?",
        ),
        (rule("s: {Image: /x, IntegrityLevel: High}\ncondition: s"), 5, "IntegrityLevel: no such field"),
        (
            rule("s:\n    Image: /x\n    Image|endswth: /x\ncondition: s"),
            7,
            "no modifier endswth, did you mean `endswith`?",
        ),
        (
            rule("s:\n    Image: /x\n    User|re: '(?=a)b'\ncondition: s"),
            7,
            "the regular expression (?=a)b is none of RE2's",
        ),
        (rule("s: {User|re|startswith: a}\ncondition: s"), 5, "re with startswith or endswith: write ^ or $"),
        (rule("s: {User|fieldref: Foo}\ncondition: s"), 5, "Foo: no such field"),
        (rule("s: {User|expand: '%admins%'}\ncondition: s"), 5, "expand: there is no list"),
        (rule("s: {ProcessId|hour: 3}\ncondition: s"), 4, "parts of times"),
        (rule("s: {DestinationIp|cidr: 10.0.0.0/99}\ncondition: s", "network_connection"), 5, "Invalid CIDR"),
        (rule("s: {Image: /x}\ncondition: s and t"), 6, "Detection 't' not defined"),
        (rule("s: {Image: /x}\ncondition: 1 of t*"), 6, "doesn't match any detection"),
        (rule("s: {Image: /x}\ncondition: s and"), 6, "Expected"),
        (rule("s: {Image: /x}\ncondition: s | count() > 5"), 6, "pipe syntax"),
        (rule("s: {Image: /x}"), 1, "at least one condition"),
        (rule(_GOOD, more="level: awful\n"), 2, "level"),
        (rule(_GOOD, more="status: deprecated\n"), 2, "its authors took it back"),
        (rule(_GOOD, more="id: [1]\n"), 1, ""),
        (rule(_GOOD, "proces_creation"), 2, "did you mean `process_creation`?"),
        (
            "title: A\nlogsource:\n  product: windows\n  category: process_creation\ndetection: {s: {User: a}, condition: s}",
            2,
            "windows",
        ),
        (
            "title: A\nlogsource:\n  product: linux\n  service: auditd\ndetection: {s: {type: a}, condition: s}",
            2,
            "service auditd",
        ),
        ("title: A\nlogsource:\n  product: linux\ndetection: {s: {type: a}, condition: s}", 2, "no category"),
        ("title: A\ndetection: {s: {type: a}, condition: s}", 1, "needs a logsource"),
        ("title: A\nlogsource: {category: dns}\ndetection: []", 3, "needs a detection"),
        ("action: global\ntitle: A", 1, "first version"),
        ("- a\n- b", 1, "not a Sigma rule"),
        ("title: A\ntitle: B\n" + rule(_GOOD), 2, "title stands twice"),
        ("title: [", 2, ""),
        ("title: A\nlogsource: {category: dns}\ndetection: " + "[" * 3000 + "]" * 3000, 1, "nested too deeply"),
    ],
)
def test_what_cannot_run_is_named(tmp_path: Path, text: str, line: int, why: str) -> None:
    good = rule(_GOOD, title="Good")
    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(good, encoding="utf-8")
    made = load_sigma([tmp_path])
    (complaint,) = made.complaints
    assert (complaint.file, complaint.line) == (str(tmp_path / "a.yml"), line)
    assert why in complaint.why
    assert "\n" not in str(complaint)
    assert [r.about.title for r in made.rules] == ["Good"]


def test_the_line_is_the_files_not_the_documents(tmp_path: Path) -> None:
    made = ruleset(tmp_path, rule(_GOOD), "# nothing", rule("s: {Foo: /x}\ncondition: s"))
    assert [complaint.line for complaint in made.complaints] == [15]
    assert [r.about.line for r in made.rules] == [1]


def test_a_folder_without_rules_and_a_path_that_is_not(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.yml"):
        with pytest.raises(InputError, match=str(path)):
            load_sigma([path])


def test_bytes_that_are_no_text_and_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xff\xfe\xff")
    with (tmp_path / "b.yml").open("wb") as file:
        file.truncate(5 << 20)
    assert [complaint.line for complaint in load_sigma([tmp_path]).complaints] == [1, 1]


def test_a_yaml_that_doubles_itself_ends(tmp_path: Path) -> None:
    lines = ["title: A", "logsource: {category: dns}", "x0: &x0 [a, a]"]
    lines += [f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}, *x{n - 1}]" for n in range(1, 40)]
    made = ruleset(tmp_path, "\n".join([*lines, "detection: {s: {query: *x39}, condition: s}"]))
    assert len(made.complaints) == 1


_SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab*?\\%|(", max_size=4))
_ANY = st.recursive(
    _SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["Image", "User|re", "|all", "s", "condition", "CommandLine|base64offset|contains"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)
_KEYS = [
    "title",
    "id",
    "level",
    "status",
    "tags",
    "date",
    "references",
    "falsepositives",
    "fields",
    "correlation",
    "filter",
    "related",
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(_KEYS), _ANY, max_size=3),
    st.one_of(
        _ANY, st.fixed_dictionaries({"s": _ANY, "condition": st.sampled_from(["s", "not s", "1 of them", "", 3])})
    ),
    _SCALAR,
)
def test_any_yaml_is_a_rule_or_a_complaint(tmp_path: Path, more: dict[str, Any], detection: Any, category: Any) -> None:
    document = {"title": "A", "logsource": {"category": category or "process_creation"}, "detection": detection} | more
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    made = load_sigma([path])
    assert len(made.rules) + len(made.correlations) + len(made.complaints) <= 1 or "filter" in more
    if made.rules:
        Sigma(made).feed(started())


# -- the command line ---------------------------------------------------------------------------------------------------


def test_rules_that_do_not_run_are_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yml").write_text(rule(_GOOD), encoding="utf-8")
    (tmp_path / "b.yml").write_text(rule("s: {Foo: /x}\ncondition: s"), encoding="utf-8")
    (first,), (second,) = sigma_detectors([tmp_path])(), sigma_detectors([tmp_path])()
    assert first is not second
    assert f"{tmp_path}/b.yml:5: Foo" in capsys.readouterr().err
    assert sigma_detectors([])() == []
    with pytest.raises(InputError, match="none of its rules can be run"):
        sigma_detectors([tmp_path / "b.yml"])


def test_leeward_rules_check(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule(_GOOD), encoding="utf-8")
    command = [sys.executable, "-m", "leeward", "rules", "check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["1 rules and 0 correlations run", "0 do not"])
    (tmp_path / "b.yml").write_text(rule("s: {Foo: /x}\ncondition: s"), encoding="utf-8")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["runs"], r["line"]) for r in records] == [(True, 1), (False, 5)]


def test_without_pysigma_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule(_GOOD), encoding="utf-8")
    code = "import sys; sys.modules['sigma'] = None; from leeward.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "rules", "check", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'leeward[sigma]'" in done.stderr


def test_the_process_of_a_finding(tmp_path: Path) -> None:
    (finding,) = detector(tmp_path, rule("s: {User: app}\ncondition: s")).feed(started())
    assert finding.process is not None
    assert finding.process.pid == process().pid
