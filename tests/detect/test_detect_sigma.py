"""Sigma rules over events: what fits, what does not, and what the finding says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("sigma", reason="pySigma is not installed (requirements/sigma.txt)")

from tests.detect.sigma_events import asked, detector, flow, process, rule, started, titles, written

from leeward.ai.catalogue import load_catalogue
from leeward.detect.detection import detection
from leeward.detect.sigma.detector import Sigma
from leeward.detect.sigma.load import load_sigma
from leeward.model.activity import Activity, Started
from leeward.model.net import Endpoint

CURL = started("curl -s http://203.0.113.7/a.sh", "/usr/bin/curl")


@pytest.mark.parametrize(
    ("selection", "event", "fits"),
    [
        ("Image: /usr/bin/curl", CURL, True),
        ("Image: /USR/BIN/CURL", CURL, True),
        ("Image: curl", CURL, False),
        ("Image|endswith: /curl", CURL, True),
        ("Image|startswith: /usr/bin/", CURL, True),
        ("Image: '*/curl'", CURL, True),
        ("Image: '/usr/*/cu?l'", CURL, True),
        ("Image: '/usr/*/cu?rl'", CURL, False),
        ("CommandLine|contains: [wget, ' -S ']", CURL, True),
        ("CommandLine|contains|all: [curl, ' -s ']", CURL, True),
        ("CommandLine|contains|all: [curl, ' -o ']", CURL, False),
        ("CommandLine|contains|cased: ' -S '", CURL, False),
        ("CommandLine|contains|cased: ' -s '", CURL, True),
        ("CommandLine|re: '\\s-[sS]\\s'", CURL, True),
        ("CommandLine|re: '\\s-S\\s'", CURL, False),
        ("CommandLine|re|i: '\\s-S\\s'", CURL, True),
        ("CommandLine|re: '^curl .*a\\.sh$'", CURL, True),
        ("CommandLine|re: '^-s'", CURL, False),
        ("CommandLine|windash|contains: ' /s '", started("tool -s x", "/bin/tool"), True),
        ("CommandLine|base64offset|contains: /bin/sh", started("echo L2Jpbi9zaA==", "/bin/echo"), True),
        ("CommandLine|base64offset|contains: /bin/sh", started("echo eC9iaW4vc2g=", "/bin/echo"), True),
        ("CommandLine|base64offset|contains: /bin/sh", started("echo aGVsbG8=", "/bin/echo"), False),
        ("CommandLine: 'a\\*b'", started("a*b"), True),
        ("CommandLine: 'a\\*b'", started("axb"), False),
        ("CommandLine|contains: '\\\\x'", started("a \\x"), True),
        ("Image: null", CURL, False),
        ("ParentImage: null", started(ancestors=()), True),
        ("ParentImage|exists: false", started(ancestors=()), True),
        ("ParentImage|exists: true", CURL, True),
        ("ParentImage|contains: ''", started(ancestors=()), False),
        ("ParentImage|endswith: /bash", CURL, True),
        ("ParentProcessId: 100", CURL, True),
        ("ParentProcessId|lt: 100", CURL, False),
        ("ParentProcessId|lte: 100", CURL, True),
        ("ProcessId|gt: 199", CURL, True),
        ("ProcessId|gte: 201", CURL, False),
        ("LogonId: 1000", CURL, True),
        ("User|neq: root", CURL, True),
        ("User|neq: app", CURL, False),
        ("Image|fieldref: ParentImage", CURL, False),
        ("Image|fieldref: ParentImage", started("bash", "/usr/bin/bash"), True),
        ("CommandLine|fieldref|startswith: User", started("app -x", user="app"), True),
        ("CommandLine|contains: ÄRGER", started("say Ärger"), True),
        ("CommandLine|contains: STRASSE", started("go straße"), True),
        ("CommandLine|re: 'Ä.g'", started("say Ärger"), True),
    ],
)
def test_a_selection_of_a_process(tmp_path: Path, selection: str, event: Activity, fits: bool) -> None:
    sigma = detector(tmp_path, rule(f"s:\n    {selection}\ncondition: s"))
    assert titles(sigma.feed(event)) == ["A rule"] * fits


@pytest.mark.parametrize(
    ("category", "selection", "event", "fits"),
    [
        ("network_connection", "DestinationIp|cidr: 203.0.113.0/24", flow(), True),
        ("network_connection", "DestinationIp|cidr: [10.0.0.0/8, '2001:db8::/32']", flow(), False),
        ("network_connection", "DestinationIp|cidr: '2001:db8::/32'", flow(ip="2001:db8::7"), True),
        ("network_connection", "DestinationPort: [80, 443]", flow(), True),
        ("network_connection", "DestinationPort: [80, 4430]", flow(), False),
        ("network_connection", "DestinationPort|gt: 442", flow(), True),
        ("network_connection", "Initiated: 'true'", flow(), True),
        ("network_connection", "Initiated: true", flow(direction="inbound"), False),
        ("network_connection", "DestinationHostname|endswith: .example", flow("pool.example"), True),
        ("network_connection", "DestinationHostname: null", flow(), True),
        ("network_connection", "SourceIp: 10.0.0.5", flow(state="listening"), False),
        ("network_connection", "SourceIp: 10.0.0.5", flow(began=False), False),
        ("dns_query", "QueryName|endswith: .onion", asked("x.onion"), True),
        ("dns_query", "QueryName|endswith: .onion", asked("x.onion", rcode=3), False),
        ("dns_query", "QueryStatus: 3", asked("x.onion", rcode=3), True),
        ("dns_query", "QueryResults|contains: 203.0.113.9", asked("x", rcode=0, answers=("203.0.113.9",)), True),
        ("dns", "{query|startswith: a., record_type: TXT}", asked("a.example.com", query=16), True),
        ("dns", "parent_domain: example.com", asked("a.b.example.com"), True),
        ("dns", "dst_ip: 192.0.2.53", asked("a", server=Endpoint("192.0.2.53", 53)), True),
        ("file_event", "TargetFilename|startswith: /etc/cron.d/", written("/etc/cron.d/x"), True),
        ("file_event", "TargetFilename|startswith: /etc/cron.d/", written("/etc/cron.d/x", number=0), False),
        ("file_event", "TargetFilename|startswith: /etc/cron.d/", written("/etc/cron.d/x", failed=True), False),
        ("file_access", "TargetFilename|endswith: /shadow", written("/etc/shadow", number=0), True),
        ("file_event", "TargetFilename: /a", written("/a", kind="rename", source="/b"), True),
        ("file_rename", "SourceFilename: /b", written("/a", kind="rename", source="/b"), True),
        ("file_delete", "TargetFilename: /a", written("/a", kind="unlink"), True),
        ("file_delete", "TargetFilename: /a", written("/a"), False),
    ],
)
def test_a_selection_of_other_events(
    tmp_path: Path, category: str, selection: str, event: Activity, fits: bool
) -> None:
    sigma = detector(tmp_path, rule(f"s:\n    {selection}\ncondition: s", category))
    assert titles(sigma.feed(event)) == ["A rule"] * fits


@pytest.mark.parametrize(
    ("detection", "fits"),
    [
        ("s: {Image|endswith: /curl}\nf: {User: app}\ncondition: s and not f", False),
        ("s: {Image|endswith: /curl}\nf: {User: root}\ncondition: s and not f", True),
        ("s: {Image|endswith: /x}\nt: {User: app}\ncondition: s or t", True),
        ("sel_a: {Image|endswith: /x}\nsel_b: {User: app}\nf: {User: app}\ncondition: 1 of sel_*", True),
        ("sel_a: {Image|endswith: /x}\nsel_b: {User: app}\nf: {User: app}\ncondition: all of sel_*", False),
        ("sel_a: {Image|endswith: /x}\nsel_b: {User: app}\ncondition: 1 of them", True),
        ("sel_a: {Image|endswith: /x}\nsel_b: {User: app}\ncondition: all of them", False),
        ("s:\n    - Image|endswith: /x\n    - User: app\ncondition: s", True),
        ("s:\n    - {Image|endswith: /curl, User: root}\n    - {Image|endswith: /x}\ncondition: s", False),
        ("s: [nothing, a.SH]\ncondition: s", True),
        ("s: [nothing, else]\ncondition: s", False),
        ("s:\n    '|all': [curl, a.sh]\ncondition: s", True),
        ("s:\n    '|all': [curl, b.sh]\ncondition: s", False),
        ("s: {User: root}\nt: {User: app}\ncondition: [s, t]", True),
        ("s: {Image|endswith: /curl}\nt: {User: root}\nu: {User: app}\ncondition: not (s and t) and u", True),
    ],
)
def test_a_condition(tmp_path: Path, detection: str, fits: bool) -> None:
    assert titles(detector(tmp_path, rule(detection)).feed(CURL)) == ["A rule"] * fits


def test_what_the_finding_says(tmp_path: Path) -> None:
    more = (
        "id: 11111111-2222-3333-4444-555555555555\nstatus: stable\nlevel: critical\nauthor: Somebody\n"
        "tags: [attack.execution, attack.t1059.004, atlas.aml.t0051, cve.2021-1]\n"
        "references: ['https://example.com/a']\nfalsepositives: [Backups]\n"
    )
    sigma = detector(tmp_path, rule("s: {Image|endswith: /curl}\ncondition: s", more=more))
    (finding,) = sigma.feed(CURL)
    assert (finding.rule, finding.title) == ("sigma", "Sigma rule: A rule")
    assert (finding.severity, finding.confidence) == ("critical", 0.8)
    assert (finding.tags.attack, finding.tags.atlas) == (["T1059.004"], ["AML.T0051"])
    assert finding.subject["sigma"] == "11111111-2222-3333-4444-555555555555"
    evidence = finding.evidence[0]
    assert evidence["matched"] == {"Image": "/usr/bin/curl"}
    assert (evidence["author"], evidence["references"]) == ("Somebody", ["https://example.com/a"])
    assert evidence["false_positives"] == ["Backups"]
    assert (evidence["file"], evidence["line"]) == (str(tmp_path / "rules.yml"), 1)


def test_the_same_rule_in_a_workload_is_the_same_finding(tmp_path: Path) -> None:
    sigma = detector(tmp_path, rule("s: {CommandLine|contains: a.sh}\ncondition: s"))
    one, again = sigma.feed(CURL)[0], sigma.feed(msgspec.structs.replace(CURL, ts=5))[0]
    other = sigma.feed(started("wget a.sh", "/usr/bin/wget"))[0]
    assert one.id == again.id != other.id


def test_a_flow_is_tried_again_when_its_name_is_known(tmp_path: Path) -> None:
    by_name = rule("s: {DestinationHostname: c2.example}\ncondition: s", "network_connection", "By name")
    by_port = rule("s: {DestinationPort: 443}\ncondition: s", "network_connection", "By port")
    sigma = detector(tmp_path, by_name, by_port)
    assert titles(sigma.feed(flow())) == ["By port"]
    assert titles(sigma.feed(flow(began=False))) == []
    assert titles(sigma.feed(flow(began=False, sni="c2.example"))) == ["By name"]
    assert titles(sigma.feed(flow(began=False, sni="c2.example"))) == []


def test_flows_without_a_name_are_bounded(tmp_path: Path) -> None:
    sigma = detector(tmp_path, rule("s: {DestinationHostname: c2.example}\ncondition: s", "network_connection"))
    sigma._most_nameless = 10
    for port in range(1, 31):
        sigma.feed(flow(port=port))
    assert len(sigma._nameless) == 10
    assert sigma.counters["sigma_nameless_evicted"] == 20
    for port in range(21, 31):
        sigma.feed(msgspec.structs.replace(flow(port=port, began=False), ended=True))
    assert not sigma._nameless


def test_rules_run_beside_ours_if_they_are_named(tmp_path: Path) -> None:
    sigma = detector(tmp_path, rule("s: {Image|endswith: /curl}\ncondition: s"))
    catalogue = load_catalogue()
    assert "sigma" in {finding.rule for finding in detection(catalogue, [sigma]).feed(CURL)}
    assert "sigma" not in {finding.rule for finding in detection(catalogue).feed(CURL)}


def test_text_of_any_length_is_matched_in_linear_time(tmp_path: Path) -> None:
    patterns = ["CommandLine: '*a*a*a*a*a*a*b'", "CommandLine|re: '(a+)+$'", "CommandLine: '?*a?*a?*a?*a?*b'"]
    sigma = detector(tmp_path, *[rule(f"s: {{{p}}}\ncondition: s", title=f"Rule {n}") for n, p in enumerate(patterns)])
    assert titles(sigma.feed(started("a" * 200_000 + "c"))) == []


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    sigma = detector(
        tmp_path, rule("s: {CommandLine|contains: x}\ncondition: s"), rule("s: {CommandLine|re: 'x$'}\ncondition: s")
    )
    assert titles(sigma.feed(started("a\udcffx"))) == ["A rule", "A rule"]


# -- against an evaluator that does the obvious -------------------------------------------------------------------------

_FIELDS = {"Image": "exe", "CommandLine": "command", "User": "user"}
_TEXT = st.text("abAB/ .ßÉ", max_size=6)
_PATTERN = st.text("abAB/ .ß*?", min_size=1, max_size=5)
_NAMES = ["sel_a", "sel_b", "other", "filter_a"]


def _items() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.tuples(
        st.sampled_from(list(_FIELDS)),
        st.sampled_from(["", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|contains|cased"]),
        st.one_of(_PATTERN, st.lists(_PATTERN, min_size=1, max_size=3)),
    ).map(lambda t: (t[0] + t[1], t[2]))
    regex = st.tuples(
        st.sampled_from(list(_FIELDS)), st.sampled_from(["a+", "^A", "b$", "[^a]/", "a.b", "(a|É)B"])
    ).map(lambda t: (t[0] + "|re", t[1]))
    return st.lists(st.one_of(plain, plain, regex), min_size=1, max_size=3).map(dict)


_SELECTION = st.one_of(_items(), st.lists(_items(), min_size=1, max_size=2), st.lists(_PATTERN, min_size=1, max_size=2))
_ATOM = st.sampled_from([*_NAMES, "1 of sel_*", "all of sel_*", "1 of them", "all of them"])
_CONDITION = st.recursive(
    _ATOM,
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=4,
)


def _fits_value(text: str, modifiers: list[str], value: str) -> bool:
    if "re" in modifiers:
        return re.search(value, text) is not None
    if "cased" not in modifiers:
        text, value = text.casefold(), value.casefold()
    pattern = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in value)
    front = ".*" if {"contains", "endswith"} & set(modifiers) else ""
    back = ".*" if {"contains", "startswith"} & set(modifiers) else ""
    return re.fullmatch(front + pattern + back, text, re.DOTALL) is not None


def _fits_selection(fields: dict[str, str], selection: Any) -> bool:
    if isinstance(selection, list):
        return any(_fits_selection(fields, one) for one in selection)
    if isinstance(selection, str):
        return any(_fits_value(text, ["contains"], selection) for text in fields.values())
    for key, values in selection.items():
        field, *modifiers = key.split("|")
        told = [_fits_value(fields[field], modifiers, v) for v in (values if isinstance(values, list) else [values])]
        if not (all(told) if "all" in modifiers else any(told)):
            return False
    return True


def _naive(detection: dict[str, Any], fields: dict[str, str]) -> bool:
    told = {name: _fits_selection(fields, detection[name]) for name in _NAMES}
    text = detection["condition"]
    for name, every in (("sel_*", told["sel_a"] and told["sel_b"]), ("them", all(told.values()))):
        some = told["sel_a"] or told["sel_b"] if name == "sel_*" else any(told.values())
        text = text.replace(f"1 of {name}", str(some)).replace(f"all of {name}", str(every))
    return bool(eval(text, {"__builtins__": {}}, told))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(dict.fromkeys(_NAMES, _SELECTION) | {"condition": _CONDITION}),
    st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=1, max_size=8),
)
def test_conditions_mean_what_they_say(
    tmp_path: Path, detection: dict[str, Any], texts: list[tuple[str, str, str]]
) -> None:
    path = tmp_path / "rules.yml"
    document = {"title": "A rule", "logsource": {"category": "process_creation"}, "detection": detection}
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    made = load_sigma([path])
    assert not made.complaints
    sigma = Sigma(made)
    for exe, command, user in texts:
        exe, user = exe or "a", user or "a"
        event = Started(ts=1, process=process(command, exe, user=user, ancestors=(), cwd="", uid=-1, pid=0))
        event = msgspec.structs.replace(
            event, process=msgspec.structs.replace(event.process, workload=process().workload)
        )
        fields = {"Image": exe, "CommandLine": command, "User": user, "Workload": "exe:/usr/bin/python3"}
        assert bool(sigma.feed(event)) == _naive(detection, fields)
