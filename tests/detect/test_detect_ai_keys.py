"""Keys of AI services: shared, sent elsewhere, lying open."""

from __future__ import annotations

import hashlib

import pytest
from api_acts import HOUR, OUTSIDE, SHOP, T0, call, http, process, started, told, worst

from leeward.ai.catalogue import default_catalogue
from leeward.detect.ai_keys import AiKeys
from leeward.model.activity import ExchangeSeen, System
from leeward.model.exchange import Key
from leeward.model.process import Process
from leeward.model.raw import FoundKey

OURS = Key("openai", "aaaaaaaaaaaaaaaa", "authorization")
SHARED, MISDIRECTED, EXPOSED = "ai-key-shared", "ai-key-misdirected", "ai-key-exposed"


def keys() -> AiKeys:
    return AiKeys(default_catalogue())


# -- shared ------------------------------------------------------------------------------------------------------------


def used_by(*users: Process) -> str:
    return worst(told(keys(), [call(n, who=who, key=OURS) for n, who in enumerate(users)]), SHARED)


def test_services_that_share_from_the_start_are_low() -> None:
    services = [process(workload=f"systemd:{name}.service") for name in "abcd"]
    assert used_by(*services[:2]) == "low"
    assert used_by(*services) == "low"


def test_who_comes_late_to_a_key_of_several_is_medium() -> None:
    used = [call(n, who=process(workload=f"systemd:{n}.service"), key=OURS) for n in range(2)]
    late = process(workload="systemd:late.service")
    assert worst(told(keys(), used, call(7200, who=late, key=OURS)), SHARED) == "medium"


def test_a_key_in_an_odd_place_is_high() -> None:
    assert used_by(SHOP, process("/tmp/x", workload="exe:/tmp/x")) == "high"


def test_a_script_out_of_tmp_that_uses_a_known_key() -> None:
    thief = process("/usr/bin/python3.11", "/tmp/.u/helper.py", workload="exe:/usr/bin/python3.11")
    assert worst(told(keys(), call(1, key=OURS), call(7200, who=thief, key=OURS)), SHARED) == "medium"


REGULAR = [call(60.0 * n, key=OURS) for n in range(30)]
HAND = ("/usr/bin/bash", "/usr/sbin/sshd")
LOGIN = process("/usr/bin/python3.11", "try.py", workload="exe:/usr/bin/python3.11", parents=HAND)


@pytest.mark.parametrize(
    ("used", "who", "severity"),
    [
        (REGULAR, process("/usr/bin/python3.11", "/tmp/.u/x.py", workload="exe:/usr/bin/python3.11"), "medium"),
        (REGULAR, process("/opt/tool/run", workload="exe:/opt/tool/run"), "medium"),
        (REGULAR, LOGIN, "low"),
        (REGULAR, process("/srv/new/run", workload="systemd:new.service"), "low"),
        (REGULAR[:3], process("/opt/tool/run", workload="exe:/opt/tool/run"), "low"),
        (REGULAR[:3], process("/usr/bin/python3.11", "/tmp/x.py", workload="exe:/usr/bin/python3.11"), "low"),
    ],
)
def test_the_key_of_one_service_turns_up_elsewhere(used: list[ExchangeSeen], who: Process, severity: str) -> None:
    assert worst(told(keys(), used, call(1900, who=who, key=OURS)), SHARED) == severity


@pytest.mark.parametrize(
    ("parents", "where", "severity"),
    [
        ((), ("argv",), "medium"),  # handed over by hand or by a program
        ((), ("argv", "environ"), "low"),  # its own configuration, handed on
        ((), ("environ",), "low"),
        (HAND, ("argv",), "low"),
    ],
)
def test_a_services_key_on_anothers_command_line(
    parents: tuple[str, ...], where: tuple[str, ...], severity: str
) -> None:
    who = process(
        "/usr/bin/ruby3.1", "/srv/forum/run.rb", "[secret]", workload="systemd:forum.service", parents=parents
    )
    given = started(1850, who, *(FoundKey("openai", OURS.fingerprint, one) for one in where))
    assert worst(told(keys(), REGULAR, given, call(1900, who=who, key=OURS)), SHARED) == severity
    assert worst(told(keys(), REGULAR[:3], given, call(1900, who=who, key=OURS)), SHARED) == "low"  # nobody's own yet


@pytest.mark.parametrize(
    "users",
    [
        [SHOP, SHOP],
        [
            process(workload="pod:a/web/app", image="registry:5000/app:1"),
            process(workload="pod:a/web2/app", image="registry:5000/app:2"),
        ],
        [
            process(exe, workload=f"exe:{exe}", user="ada")
            for exe in ("/usr/bin/python3", "/usr/bin/curl", "/usr/bin/node")
        ],
    ],
)
def test_replicas_and_one_persons_tools_are_one_place(users: list[Process]) -> None:
    assert used_by(*users) == ""


def test_two_people_are_two_places() -> None:
    assert used_by(*(process(workload="exe:/usr/bin/python3", user=user) for user in ("ada", "bob"))) == "low"


def test_words_that_stand_for_no_key_are_none() -> None:
    empty = Key("", hashlib.sha256(b"EMPTY").hexdigest()[:16], "authorization")
    acts = [call(n, who=process(workload=f"systemd:{n}"), key=empty, host="models.example.com") for n in range(4)]
    assert told(keys(), acts) == []
    own = Key("", "bbbbbbbbbbbbbbbb", "authorization")
    acts = [call(n, who=process(workload=f"systemd:{n}"), key=own, host="vllm.internal") for n in range(4)]
    assert told(keys(), acts) == []


# -- misdirected -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_of", "host", "address", "severity"),
    [
        ("openai", "api.openai.com", "162.159.1.1", ""),
        ("openai", "eu.api.openai.com", "162.159.1.1", ""),
        ("anthropic", "api.anthropic.com", "160.79.1.1", ""),
        ("gcp.gemini", "maps.googleapis.com", "142.250.1.1", ""),
        ("gcp.gemini", "us-central1-aiplatform.googleapis.com", "142.250.1.1", ""),
        ("github_copilot", "api.github.com", "140.82.1.1", ""),
        ("hugging_face", "huggingface.co", "18.1.1.1", ""),
        ("anthropic", "openrouter.ai", "104.18.1.1", "low"),
        ("openai", "api.deepseek.com", "104.18.1.1", "medium"),
        ("anthropic", "collect.example.net", "203.0.113.9", "high"),
        ("openai", "203.0.113.9", "203.0.113.9", "high"),
        ("openai", "api.openai.com.evil.example", "203.0.113.9", "high"),
        ("openai", "llm-gateway.example.com", "10.0.0.5", "low"),
        ("openai", "llm-gateway.internal", "10.0.0.5", "info"),
        ("openai", "litellm", "127.0.0.1", "info"),
    ],
)
def test_whose_host_it_is(key_of: str, host: str, address: str, severity: str) -> None:
    key = Key(key_of, "cccccccccccccccc", "authorization")
    assert worst(told(keys(), call(1, key=key, host=host, dst=address)), MISDIRECTED) == severity


def test_a_key_in_a_request_that_is_no_ai_exchange() -> None:
    sent = http(
        2, "/collect", direction="outbound", host="collect.example.net", peer="203.0.113.9", identity=OURS.fingerprint
    )
    assert told(keys(), sent) == []  # nobody knows yet whose it is
    assert worst(told(keys(), call(1, key=OURS), sent), MISDIRECTED) == "high"
    form = http(
        2, "/x", direction="outbound", host="a.example.net", peer="203.0.113.9", identity="d" * 16, key_of="openai"
    )
    assert worst(told(keys(), form), MISDIRECTED) == "high"


def test_a_base_url_that_was_changed_is_told_before_anything_is_sent() -> None:
    key = FoundKey("anthropic", "e" * 16, "environ", "ANTHROPIC_API_KEY")
    found = told(keys(), started(1, SHOP, key, ANTHROPIC_BASE_URL="https://proxy.example.net/v1"))
    assert worst(found, MISDIRECTED) == "medium"
    for value in (
        "https://api.anthropic.com",
        "http://127.0.0.1:4000",
        "http://gateway.internal",
        "https://openrouter.ai/api",
    ):
        assert worst(told(keys(), started(1, SHOP, key, ANTHROPIC_BASE_URL=value)), MISDIRECTED) == ""
    assert worst(told(keys(), started(1, SHOP, key, OPENAI_BASE_URL="https://proxy.example.net")), MISDIRECTED) == ""


# -- exposed -----------------------------------------------------------------------------------------------------------


def test_a_key_on_a_command_line() -> None:
    found = told(keys(), started(1, SHOP, FoundKey("openai", "f" * 16, "argv", "--api-key")))
    assert worst(found, EXPOSED) == "medium"
    assert "f" * 16 in found[0].subject.values()


def test_a_key_in_a_log() -> None:
    def written(path: str) -> System:
        return System(ts=T0, process=SHOP, kind="key-written", path=path, label="openai", source="f" * 16)

    found = told(keys(), written("/var/log/a.log"), written("/var/log/b.log"))
    assert [(f.severity, f.subject["name"]) for f in found] == [
        ("medium", "/var/log/a.log"),
        ("medium", "/var/log/b.log"),
    ]
    assert len({f.id for f in found}) == 2


@pytest.mark.parametrize(
    ("provider", "more", "severity"),
    [
        ("openai", {}, "medium"),
        ("openai", {"identity": "c" * 16}, "low"),
        ("openai", {"identity": "?"}, "low"),
        ("openai", {"peer": "10.0.0.5"}, "low"),
        ("openai", {"peer": "127.0.0.1"}, "low"),
        ("gcp.gemini", {}, "low"),
    ],
)
def test_a_key_in_what_a_server_answers(provider: str, more: dict[str, str], severity: str) -> None:
    key = FoundKey(provider, "f" * 16, "answer", "/config.js")
    (found,) = told(keys(), http(1, "/config.js", keys=(key,), **more))
    assert (found.rule, found.severity) == (EXPOSED, severity)
    assert found.subject["name"] == "/config.js"
    assert found.evidence[0]["where"] == "answer"
    assert found.evidence[0]["peer"] == more.get("peer", OUTSIDE)


def test_a_key_that_was_given_away_is_one_finding_and_known_by_its_owner() -> None:
    key = FoundKey("openai", OURS.fingerprint, "answer", "/config.js")
    given = [http(n, f"/{n}.js", peer=peer, keys=(key,)) for n, peer in enumerate(("10.0.0.5", OUTSIDE))]
    detector = keys()
    found = told(detector, given)
    assert len({f.id for f in found}) == 1
    assert worst(found, EXPOSED) == "medium"
    sent = http(
        3, "/c", direction="outbound", host="collect.example.net", peer="203.0.113.9", identity=OURS.fingerprint
    )
    assert worst(told(detector, sent), MISDIRECTED) == "high"
    empty = FoundKey("", hashlib.sha256(b"EMPTY").hexdigest()[:16], "answer", "/")
    assert told(keys(), http(1, "/", keys=(empty,)), http(2, "/", direction="outbound", keys=(key,))) == []


@pytest.mark.parametrize(
    ("host", "peer", "severity"),
    [
        ("collect.example.net", "203.0.113.9", "high"), ("o1.ingest.sentry.io", "203.0.113.9", "medium"),
        ("api.github.com", "203.0.113.9", "medium"), ("backup.s3.eu-west-1.amazonaws.com", "203.0.113.9", "low"),
        ("secretmanager.googleapis.com", "203.0.113.9", ""), ("secretsmanager.eu-west-1.amazonaws.com", "203.0.113.9", ""),
        ("api.doppler.com", "203.0.113.9", ""), ("api.vercel.com", "203.0.113.9", ""), ("drop.vercel.app", "203.0.113.9", "high"),
        ("secretsmanager.evil.example.com", "203.0.113.9", "high"), ("api.openai.com", "203.0.113.9", ""),
        ("vault.corp.internal", "10.0.0.9", "info"),
    ],
)  # fmt: skip
def test_a_key_among_what_is_sent(host: str, peer: str, severity: str) -> None:
    key = FoundKey("openai", OURS.fingerprint, "body")
    sent = http(3, "/c", direction="outbound", host=host, peer=peer, method="POST", keys=(key,))
    assert worst(told(keys(), sent), MISDIRECTED) == severity


def test_a_service_that_holds_a_key_and_never_uses_it() -> None:
    cron = process("/usr/sbin/cron", workload="systemd:cron.service")
    held = started(1, cron, FoundKey("openai", "f" * 16, "environ", "OPENAI_API_KEY"))
    found = told(keys(), held, until=7200)
    assert [f.severity for f in found] == ["low"]
    detector = keys()
    assert told(detector, held, call(60, who=cron), until=7200) == []
    assert told(keys(), held, until=1200) == []  # it may still


def test_a_persons_shell_may_hold_a_key() -> None:
    bash = process("/usr/bin/bash", workload="exe:/usr/bin/bash", user="ada")
    assert told(keys(), started(1, bash, FoundKey("openai", "f" * 16, "environ", "OPENAI_API_KEY")), until=7200) == []
    assert HOUR > 0


@pytest.mark.parametrize(
    ("provider", "host", "severity"),
    [("gcp.gemini", "generativelanguage.googleapis.com", "low"), ("openai", "api.openai.com", "medium")],
)
def test_a_key_in_a_url(provider: str, host: str, severity: str) -> None:
    key = Key(provider, "a" * 16, "query:key")
    assert worst(told(keys(), call(1, key=key, host=host, provider=provider)), EXPOSED) == severity
