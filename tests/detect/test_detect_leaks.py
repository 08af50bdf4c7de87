"""Findings about data in exchanges: which, how bad, counted, bounded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from leeward.data.documents import Text
from leeward.data.exchange import Inspector
from leeward.data.hashing import Keyed
from leeward.data.recognizer import Recognizer
from leeward.data.scanner import Scanner
from leeward.detect.findings import Findings
from leeward.detect.leaks import Leaks
from leeward.detect.rule import load_rule, rules
from leeward.discovery import _WAIT_NS, _WAITING, Discovery
from leeward.model.data import DataMatch, Origin
from leeward.model.errors import InputError
from leeward.model.exchange import ChatMessage, Exchange, Network
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Workload
from leeward.model.raw import ModelAnswered

SECOND = 10**9


def exchange(
    *data: tuple[str, str],
    domain: str = "api.openai.com",
    dst: str = "8.8.8.8:443",
    time: str = "T1",
    workload: str = "w",
) -> Exchange:
    """data: (side, kind) each."""
    made = Exchange(
        id="x", time=time, network=Network(domain=domain, dst=dst), workload=Workload(workload, workload, "executable")
    )
    made.data = [
        DataMatch(
            kind=kind,
            path="$.a",
            start=0,
            end=500,
            confidence=0.9,
            detector="d",
            sample="*",
            hash=f"{i:016x}",
            side=side,
        )
        for i, (side, kind) in enumerate(data)
    ]
    return made


def leaks(x: Exchange) -> list[Finding]:
    return Leaks(lambda host: host == "api.openai.com").feed(x)


@pytest.mark.parametrize(
    ("side", "kind", "rule", "severity"),
    [
        ("request", "financial.card", "data-leak", "high"),
        ("request", "pii.email", "data-leak", "medium"),
        ("request", "pii.national_id.de", "data-leak", "high"),
        ("request", "custom.project", "data-leak", "high"),
        ("request", "secret.aws", "secret-in-prompt", "high"),
        ("request", "secret.private_key", "secret-in-prompt", "critical"),
        ("request", "code.source", "source-code-in-prompt", "low"),
        ("response", "financial.card", "data-leak-response", "medium"),
        ("response", "secret.aws", "data-leak-response", "high"),
    ],
)
def test_which_rule_and_how_bad(side: str, kind: str, rule: str, severity: str) -> None:
    [finding] = leaks(exchange((side, kind)))
    assert (finding.rule, finding.severity, finding.subject["kind"]) == (rule, severity, kind)
    assert finding.title.endswith(f"{kind} {'to' if side == 'request' else 'from'} api.openai.com")


@pytest.mark.parametrize(
    ("domain", "dst", "severity"),
    [
        ("api.openai.com", "10.1.2.3:443", "high"),  # a provider's name: wherever it is, it goes to the provider
        ("gateway.corp", "10.1.2.3:443", "medium"),
        ("localhost", "127.0.0.1:11434", "info"),
        ("localhost", "[::1]:11434", "info"),
        ("llm.example.net", "8.8.8.8:443", "high"),
    ],
)
def test_what_stays_near_is_less_bad(domain: str, dst: str, severity: str) -> None:
    assert [f.severity for f in leaks(exchange(("request", "financial.card"), domain=domain, dst=dst))] == [severity]


def test_what_a_model_repeats_is_no_leak_of_its_own() -> None:
    x = exchange(("request", "financial.card"), ("response", "financial.card"))
    x.data[1] = msgspec.structs.replace(x.data[1], hash=x.data[0].hash)
    assert [f.rule for f in leaks(x)] == ["data-leak"]


def test_unsure_matches_and_small_code_say_nothing() -> None:
    x = exchange(("request", "pii.email"), ("request", "code.source"))
    x.data[0] = msgspec.structs.replace(x.data[0], confidence=0.4)
    x.data[1] = msgspec.structs.replace(x.data[1], end=50)
    assert leaks(x) == []


def test_lineage_is_told() -> None:
    x = exchange(("request", "pii.email"))
    x.data[0] = msgspec.structs.replace(x.data[0], origins=[Origin("sql", "customers.email", "postgresql://db/orders")])
    [finding] = leaks(x)
    assert finding.evidence[0]["lineage"] == ["customers.email from postgresql://db/orders → w → api.openai.com"]


def test_the_same_again_counts_up() -> None:
    findings, told = Findings(), []
    for number in range(1000):
        x = exchange(("request", "pii.email"), time=f"T{number:04}")
        for fresh in leaks(x):
            told += findings.add(fresh, number * SECOND // 100)
    told += findings.tick(20 * SECOND)
    assert len({f.id for f in told}) == 1
    assert len(told) == 11  # the first, one a second, the last
    last = told[-1]
    assert (last.count, last.first_seen, last.last_seen) == (1000, "T0000", "T0999")
    assert [e["time"] for e in last.evidence] == ["T0000", "T0996", "T0997", "T0998", "T0999"]
    assert findings.tick(30 * SECOND) == []


def test_one_for_each_workload_destination_and_kind() -> None:
    seen = [
        f.id
        for workload in ("a", "b")
        for domain in ("api.openai.com", "x.net")
        for f in leaks(exchange(("request", "pii.email"), ("request", "pii.phone"), workload=workload, domain=domain))
    ]
    assert len(seen) == len(set(seen)) == 8


def test_findings_go_on_counting_after_a_restart() -> None:
    before = Findings()
    [told] = before.add(leaks(exchange(("request", "pii.email"), time="T1"))[0], SECOND)
    after = Findings()
    after.restore([msgspec.convert(msgspec.to_builtins(told), Finding)])
    [again] = after.add(leaks(exchange(("request", "pii.email"), time="T2"))[0], 9 * SECOND)
    assert (again.count, again.first_seen, again.last_seen) == (2, "T1", "T2")


def test_findings_are_bounded() -> None:
    findings = Findings()
    for number in range(20_100):
        findings.add(leaks(exchange(("request", "pii.email"), workload=f"w{number}"))[0], number)
    assert len(findings) == 20_000
    assert findings.counters["findings_evicted"] == 100


def test_every_rule_says_what_it_means() -> None:
    assert set(rules()) >= {"data-leak", "data-leak-response", "secret-in-prompt", "source-code-in-prompt"}
    for rule in rules().values():
        assert min(len(rule.means), len(rule.do), len(rule.false_positives)) > 40
        assert all(severity in SEVERITIES for _, severity in rule.severity)
        if rule.id != "sigma":  # what it finds has the tags of the user's rule
            assert rule.tags.owasp or rule.tags.atlas or rule.tags.attack


def test_a_rule_with_an_error_names_file_and_line(tmp_path: Path) -> None:
    wrong = tmp_path / "x.yaml"
    wrong.write_text("id: x\ntitle: t\nmeans: m\ndo: d\nfalse_positives: f\nconfidence: 2\nseverity: []\ntags: {}\n")
    with pytest.raises(InputError, match=r"x.yaml:6: confidence: must be at most 1"):
        load_rule(wrong)


# -- Discovery: with a model that may be slow ----------------------------------------------------------------------------------

WORD = Recognizer("word", "custom.word", (r"\bxyzzy\b",), 0.9, 0.9)


def said(text: str) -> Exchange:
    made = exchange()
    made.gen_ai.input = [ChatMessage("user", text)]
    return made


class Model:
    def __init__(self, accepts: int = 10**6) -> None:
        self.asked: list[tuple[int, list[str]]] = []
        self.accepts = accepts

    def ask(self, number: int, texts: Sequence[Text]) -> bool:
        if len(self.asked) >= self.accepts:
            return False
        self.asked.append((number, [text.text for text in texts]))
        return True


def discovery(model: Model | None) -> Discovery:
    inspector = Inspector(Scanner([WORD]), Keyed(bytes(32)))
    return Discovery(inspector, lambda _: True, model.ask if model else None)


def contents(records: list[Exchange | Finding]) -> list[str]:
    return [x.gen_ai.input[0].content for x in records if isinstance(x, Exchange)]


def test_an_exchange_waits_for_the_model() -> None:
    model = Model()
    stage = discovery(model)
    assert stage.exchange(said("Ann Lee said xyzzy today"), (), 0) == []
    [(number, texts)] = model.asked
    assert texts == ["Ann Lee said xyzzy today"]
    out = stage.answered(ModelAnswered(1, number, ((0, "pii.person", 0, 7, 0.8, "model:m"),)))
    assert contents(out)[0].startswith("[pii.person:")
    assert "xyzzy" not in contents(out)[0]
    assert sorted(f.subject["kind"] for f in out if isinstance(f, Finding)) == ["custom.word", "pii.person"]
    assert stage.answered(ModelAnswered(2, number, ())) == []  # never twice


def test_a_slow_model_is_not_waited_for() -> None:
    stage = discovery(Model())
    stage.exchange(said("Ann Lee said xyzzy today"), (), 0)
    assert stage.tick(_WAIT_NS - 1) == []
    assert contents(stage.tick(_WAIT_NS))[0].startswith("Ann Lee said [custom.word:")
    assert stage.totals()["model_too_slow"] == 1
    assert stage.tick(2 * _WAIT_NS) == []


def test_a_model_that_refuses_is_not_waited_for() -> None:
    stage = discovery(Model(accepts=0))
    assert len(contents(stage.exchange(said("Ann Lee said xyzzy today"), (), 0))) == 1
    assert stage.totals()["model_refused"] == 1


def test_few_wait_and_none_is_lost() -> None:
    stage = discovery(Model())
    at_once = sum(len(contents(stage.exchange(said(f"Ann Lee said {n} today"), (), 0))) for n in range(_WAITING + 7))
    assert at_once == 7
    assert len(contents(stage.tick(1, everything=True))) == _WAITING


def test_what_the_judge_stopped_is_looked_through_again() -> None:
    """The judge looks for what its policies are about; the rest is masked here, and what it found is kept."""
    stopped = said("[financial.iban:0011] and xyzzy")
    stopped.data = exchange(("request", "financial.iban")).data
    out = discovery(None).judged(stopped, 0)
    assert contents(out)[0].startswith("[financial.iban:0011] and [custom.word:")
    assert [match.kind for match in stopped.data] == ["financial.iban", "custom.word"]
    again = discovery(None).judged(clean := said("[financial.iban:0011]"), 0)
    assert (contents(again), clean.data) == (["[financial.iban:0011]"], [])


def test_without_an_inspector_everything_stays_as_it_is() -> None:
    stage = Discovery(None, lambda _: True)
    assert contents(stage.exchange(said("xyzzy"), (), 0)) == ["xyzzy"]


def test_the_page_of_rules_says_what_the_rules_say() -> None:
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root / "scripts"))
    from rule_pages import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page()
