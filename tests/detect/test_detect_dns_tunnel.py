"""Rule `dns-tunnel`: data in names, and honest names that look like it."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_activities import NOON, SECOND, process

from leeward.detect.destinations import registered
from leeward.detect.dns_tunnel import DnsTunnel, information, is_address
from leeward.model.activity import NameAsked
from leeward.model.finding import Finding
from leeward.model.process import NOBODY, Process

TXT, NULL = 16, 10
Question = tuple[str, int]


def ask(
    names: Iterable[Question], *, gap: float = 0.5, who: Process | None = None, rcode: int = 0, answer: tuple[str, ...] = (),
    size: int = 90,
) -> list[Finding]:  # fmt: skip
    """Each is asked and answered."""
    by, who = DnsTunnel(lambda name: name == "api.openai.com"), who or process()
    found = []
    for n, (name, query) in enumerate(names):
        ts = NOON + int(n * gap * SECOND)
        found += by.feed(NameAsked(ts=ts, process=who, name=name, query=query, size=len(name) + 18))
        found += by.feed(
            NameAsked(ts=ts, process=who, name=name, query=query, rcode=rcode, size=size, answers=answer, records=len(answer))
        )  # fmt: skip
    return found


def chunks(data: bytes, each: int, domain: str, code: str = "base32") -> list[Question]:
    """A file as names."""
    found = []
    for at in range(0, len(data), each):
        part = data[at : at + each]
        text = part.hex() if code == "hex" else base64.b32encode(part).decode().rstrip("=").lower()
        labels = [text[n : n + 60] for n in range(0, len(text), 60)]
        found.append((".".join([*labels, f"{at:x}", domain]), 1))
    return found


DATA = random.Random(4).randbytes(4000)


@pytest.mark.parametrize(("each", "code"), [(30, "hex"), (30, "base32"), (100, "base32"), (16, "hex")])
def test_a_file_in_names(each: int, code: str) -> None:
    told = ask(chunks(DATA, each, "cdn-metrics.example", code))
    assert told
    evidence = told[0].evidence[0]
    assert evidence["value"] < 3000  # before it has left
    assert evidence["margin"] >= 0
    assert told[0].subject["destination"] == "cdn-metrics.example"


def test_a_slow_one() -> None:
    assert ask(chunks(DATA, 40, "t.example.net"), gap=120)


def test_records_that_carry_data_back() -> None:
    names = [(f"{n:x}.{n * 7919 % 4096:x}.c2.example.net", TXT) for n in range(120)]
    assert ask(names, answer=("x",), size=280)
    tunnel = [
        (f"{base64.b32encode(DATA[n * 9 : n * 9 + 9]).decode().lower().rstrip('=')}.t.example.org", NULL)
        for n in range(300)
    ]
    assert ask(tunnel, answer=("x",), size=60)[0].severity == "high"


HONEST: dict[str, list[Question]] = {
    "a CDN": [(f"a{n % 40}.g.akamai.net", 1) for n in range(400)],
    "buckets": [(f"{random.Random(n).randbytes(16).hex()}.s3.eu-west-1.amazonaws.com", 1) for n in range(400)],
    "one site after the other": [(f"www.shop{n}.com", 1) for n in range(2000)],
    "reverse look-ups": [(f"{n % 250}.{n // 250}.0.10.in-addr.arpa", 12) for n in range(2000)],
    "Kubernetes' search domains": [
        (f"api.example.com.{end}", 1) for _ in range(200) for end in ("shop.svc.cluster.local", "svc.cluster.local")
    ],
    "a company's search domain": [(f"www.{w}{n}.com.corp.example.com", 1) for n in range(80) for w in ("shop", "news")],
    "a host inventory": [(f"ip-10-1-{n // 250}-{n % 250}.prod.example.com", 1) for n in range(500)],
    "keys of mail": [(f"selector{n % 3}._domainkey.example{n}.com", TXT) for n in range(400)],
    "policies of mail": [(f"_dmarc.mail.example{n}.co.uk", TXT) for n in range(400)],
    "names of a few tenants": [(f"{random.Random(n % 20).randbytes(16).hex()}.saas.example.io", 1) for n in range(900)],
    "a known antivirus": [(f"{random.Random(n).randbytes(16).hex()}.avqs.mcafee.com", 1) for n in range(900)],
    "an AI service": [("api.openai.com", 1)] * 500,
}


@pytest.mark.parametrize("what", HONEST)
def test_honest_names(what: str) -> None:
    assert not ask(HONEST[what])


def test_a_list_of_spammers_that_nobody_told_us_of() -> None:
    chance = random.Random(6)
    names = [
        (f"{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}.{n % 256}.bl.example.org", 1)
        for n in range(3000)
    ]
    assert not ask(names, rcode=3)
    assert not ask(names, answer=("127.0.0.2",))
    assert not ask([(f"{'.'.join(f'{chance.getrandbits(128):032x}')}.bl.example.org", 1) for _ in range(500)], rcode=3)


def test_a_capture_has_no_processes() -> None:
    assert ask(chunks(DATA, 60, "t.example.net"), who=NOBODY)


def test_what_names_can_carry() -> None:
    ends = frozenset(("com",))
    assert information("www", ends) < 1
    assert information("0123456789abcdef" * 2, ends) == 16
    assert information("selector1._domainkey", ends) < 4
    assert information("4.3.2.1", ends) == 0
    assert information("4.3.2.1", ends, foreign=True) > 0
    assert is_address(list("0123456789abcdef" * 2))
    assert not is_address(["256", "1", "1", "1"])


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("example.com", "example.com"),
        ("com", "com"),
        ("a.example.co.uk", "example.co.uk"),
        ("x.y.vercel.app", "y.vercel.app"),
        ("vercel.app", "vercel.app"),
        ("a.b.t.co", "t.co"),
        ("shop.svc.cluster.local", "shop.svc.cluster.local"),
        ("203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_what_somebody_registered(name: str, domain: str) -> None:
    assert registered(name) == domain


@given(st.text(max_size=80))
def test_any_name_is_read(name: str) -> None:
    by = DnsTunnel(lambda _name: None)
    by.feed(NameAsked(ts=NOON, process=process(), name=name))
    assert information(name, frozenset()) >= 0
