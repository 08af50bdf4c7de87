"""The judge: bytes of calls in, verdicts out. However a request is cut into calls, what must not leave does not."""

from __future__ import annotations

import functools
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.ai.catalogue import default_catalogue
from leeward.data.exchange import Inspector
from leeward.data.hashing import Keyed
from leeward.data.standard import standard_scanner
from leeward.enforce.judge import Judge
from leeward.enforce.messages import Ask, Verdict, Who
from leeward.model.exchange import ProcessRef
from leeward.model.process import Workload
from leeward.policy.document import parse_policy
from leeward.policy.policies import Policies

POLICY = """
apiVersion: leeward/v1
kind: Policy
metadata: {name: payment}
spec:
  mode: enforce
  rules:
    - {name: iban, when: '"financial.iban" in kinds', action: block, finding: data-leak}
    - {name: card, when: '"financial.card" in kinds', action: redact, redact: [financial.card], finding: data-leak}
    - {name: provider, when: provider == 'mistral_ai', action: block, finding: unsanctioned-provider}
"""
ABOUT_DATA = "\n".join(line for line in POLICY.splitlines() if "provider" not in line)
POLICIES = pytest.mark.parametrize("policy", [POLICY, ABOUT_DATA], ids=["any", "about-data"])
CARD, IBAN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"
DAY = 86_400 * 10**9


@functools.cache
def parts(policy: str) -> tuple[Any, Policies]:
    policies = Policies([parse_policy(policy, "p.yaml")])
    return standard_scanner(kinds=lambda kind: kind in policies.kinds), policies


def judge(policy: str = POLICY) -> Judge:
    scanner, policies = parts(policy)
    made = Judge(default_catalogue(), Inspector(scanner, Keyed(b"k" * 32)), policies)
    made.told(Who(7, ProcessRef(pid=7, exe="/usr/bin/agent"), Workload("exe:agent", "agent", "executable")))
    return made


class Writer:
    """A client's connection: `write` is one call; `wire` what was written in the end."""

    def __init__(self, court: Judge, tls: int = 1) -> None:
        self.court, self.tls, self.wire, self.refused = court, tls, b"", False
        self._number = 0

    def write(self, data: bytes, most: int | None = None) -> Verdict:
        """The caller calls again with the rest, as it is in its buffer, if less was written."""
        buffer = bytearray(data)
        while buffer:
            self._number += 1
            ask = Ask(self._number, 7, self.tls, 20_000 * DAY, len(self.wire), len(buffer))
            verdict = self.court.ask(ask, bytes(buffer))
            assert verdict.number == self._number
            if verdict.action in ("block", "kill"):
                self.refused = True
                return verdict
            for at, put in verdict.edits:
                assert 0 <= at <= len(buffer) - len(put)
                buffer[at : at + len(put)] = put
            done = min(len(buffer), most or len(buffer))
            self.wire += bytes(buffer[:done])
            del buffer[:done]
        return verdict


def request(text: str, *, host: str = "api.openai.com", plain: bool = True, headers: str = "") -> bytes:
    value = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    body = json.dumps(value, ensure_ascii=plain).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(raw: bytes, size: int) -> bytes:
    head, _, body = raw.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def content(wire: bytes) -> str:
    return str(json.loads(wire.partition(b"\r\n\r\n")[2])["messages"][0]["content"])


def test_what_no_policy_is_about_goes_as_it_is() -> None:
    writer, raw = Writer(judge()), request("The quick brown fox.")
    verdict = writer.write(raw)
    assert (verdict.action, verdict.edits, verdict.decided) == ("allow", [], None)
    assert writer.wire == raw


@pytest.mark.parametrize("plain", [True, False])
def test_a_card_is_masked_in_place(plain: bool) -> None:
    writer, raw = Writer(judge()), request(f'Grüße, Ärger! Card {CARD}, danke \\ " 😀', plain=plain)
    assert writer.write(raw).action == "redact"
    assert len(writer.wire) == len(raw)
    assert content(writer.wire) == 'Grüße, Ärger! Card **** **** **** ****, danke \\ " 😀'


def test_an_account_number_is_blocked_and_so_is_all_that_follows() -> None:
    writer, raw = Writer(judge()), request(f"Pay it to {IBAN} today.")
    head = raw.index(b"\r\n\r\n") + 4
    assert writer.write(raw[:head]).action == "allow"
    verdict = writer.write(raw[head:])
    assert verdict.action == "block"
    assert verdict.decided is not None
    assert verdict.decided["decision"]["rule"] == "iban"
    assert verdict.decided["exchange"]["workload"]["id"] == "exe:agent"
    assert IBAN not in json.dumps(verdict.decided)
    assert writer.write(request("Hello")).action == "block"
    assert writer.wire == raw[:head]


@pytest.mark.parametrize("version", [1, 2])
def test_what_was_masked_in_a_piece_does_not_stop_the_last(version: int) -> None:
    """Of HTTP/2 the end of the stream may come as a frame of its own, without a byte."""
    writer = Writer(judge())
    whole = request(f"My card is {CARD}, really.")
    head, _, body = whole.partition(b"\r\n\r\n")
    for _ in range(2):
        before = len(writer.wire)
        calls = [head + b"\r\n\r\n", body[:-5], body[-5:]] if version == 1 else two(body, begin=not before)
        verdicts = [writer.write(call) for call in calls]
        assert [verdict.action for verdict in verdicts[-2:]] == ["redact", "redact"]
        assert CARD.encode() not in writer.wire[before:]
        assert b"**** **** **** ****" in writer.wire[before:]


def test_a_value_that_was_masked_once_is_not_let_through_when_it_comes_again_in_parts() -> None:
    writer = Writer(judge())
    whole = request(f"My card is {CARD}, really. My card is {CARD}.")
    at = whole.rfind(CARD.encode()) + 9
    assert writer.write(whole[:at]).action == "redact"
    assert writer.write(whole[at:]).action == "block"
    assert CARD.encode() not in writer.wire


@pytest.mark.parametrize("form", ["length", "chunks", "frames"])
def test_the_end_of_a_body_is_masked_though_its_beginning_has_left(form: str) -> None:
    writer = Writer(judge())
    whole = request(f"{'Please read this. ' * 50}My card is {CARD}.")
    body = whole.partition(b"\r\n\r\n")[2]
    if form == "frames":
        head, _, _ = two(body, begin=True)
        calls = [head, frame(0, 0, 1, body[:300]), frame(0, 1, 1, body[300:])]
    elif form == "chunks":
        head, _, rest = chunked(whole, 300).partition(b"\r\n\r\n")
        at = len(b"12c\r\n") + 302
        calls = [head + b"\r\n\r\n" + rest[:at], rest[at:]]
    else:
        calls = [whole[:400], whole[400:]]
    assert [writer.write(call).action for call in calls] == ["allow"] * (len(calls) - 1) + ["redact"]
    assert CARD.encode() not in writer.wire
    assert b"**** **** **** ****" in writer.wire


def test_what_is_alike_in_two_streams_is_not_taken_for_each_other() -> None:
    """All in one call: the body that is judged last is not the one that stands last."""
    writer = Writer(judge())
    body = request(f"My card is {CARD}.").partition(b"\r\n\r\n")[2]
    (one, _, _), (other, _, _) = two(body, begin=True), two(body, begin=False)
    call = one + other + frame(0, 0, 1, body) + frame(0, 0, 3, body) + frame(0, 1, 1, b"")
    assert writer.write(call).action == "block"
    assert writer.wire == b""


@pytest.mark.parametrize("begins", ["not JSON at all: ", "{} ", '{"messages": [{"content": "hello"}]}\n', ""])
@pytest.mark.parametrize(
    ("value", "stops"), [(f"my card is {CARD}", True), (f"my IBAN is {IBAN}", True), ("nothing", False)]
)
def test_a_body_that_its_api_cannot_read(begins: str, value: str, stops: bool) -> None:
    """Its server says no to it, and has it all the same."""
    writer = Writer(judge())
    body = begins + value
    head = request("").partition(b"Content-Length")[0]
    verdict = writer.write(head + f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    assert (verdict.action in ("redact", "block")) == stops
    assert not any(secret.encode() in writer.wire for secret in (CARD, IBAN))


def test_a_chunk_that_pretends_to_be_chunks() -> None:
    """The call begins within a chunk, whose bytes look as if the value stood elsewhere: it is blocked, not masked there."""
    writer = Writer(judge())
    value = f'{{"model": "gpt-4o", "messages": [{{"role": "user", "content": "My card is {CARD}."}}]}}'.encode()
    body = b"                " + b"%x\r\n%s\r\n!" % (len(value), value) + value
    head = request("").partition(b"\r\n\r\n")[0].rsplit(b"\r\n", 1)[0] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert writer.write(head + b"%x\r\n" % len(body) + body[:16]).action == "allow"
    verdict = writer.write(body[16:] + b"\r\n0\r\n\r\n")
    assert CARD.encode() not in writer.wire, verdict


def two(body: bytes, begin: bool) -> list[bytes]:
    """A request of HTTP/2: its head, its body, its end, a call each."""
    fields = {":method": "POST", ":path": "/v1/chat/completions", ":scheme": "https", ":authority": "api.openai.com"}
    stream = 1 if begin else 3
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in (fields | {"content-type": "application/json"}).items()
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") if begin else b""
    return [preface + frame(1, 4, stream, block), frame(0, 0, stream, body), frame(0, 1, stream, b"")]


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    return len(data).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + data


def test_another_connection_at_the_same_place_begins_anew() -> None:
    court = judge()
    first = Writer(court)
    raw = request(f"Pay it to {IBAN} today.")
    head = raw.index(b"\r\n\r\n") + 4
    first.write(raw[:head])
    assert first.write(raw[head:]).action == "block"
    assert Writer(court).write(request("The quick brown fox.")).action == "allow"


def test_a_provider_is_blocked_by_its_head() -> None:
    raw = request("Hello", host="api.mistral.ai")
    writer = Writer(judge())
    assert writer.write(raw[: raw.index(b"\r\n\r\n") + 4]).action == "block"
    assert writer.wire == b""


def test_the_answers_of_a_server_are_left_alone() -> None:
    verdict = Writer(judge()).write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (verdict.action, verdict.leave) == ("allow", True)


def test_what_is_no_http_is_left_alone() -> None:
    writer = Writer(judge())
    verdicts = [writer.write(b"\x16\x03\x01\x02\x00" + bytes(200)) for _ in range(3)]
    assert any(verdict.leave for verdict in verdicts)


def test_many_requests_of_one_connection() -> None:
    """Nobody answers here: requests are not kept waiting for it."""
    writer = Writer(judge())
    for number in range(300):
        raw = request(f"Question {number}" + (f" card {CARD}" if number % 3 == 0 else ""))
        assert writer.write(raw).action == ("redact" if number % 3 == 0 else "allow")
    assert CARD.encode() not in writer.wire


@POLICIES
@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_chunks(size: int, policy: str) -> None:
    """Masked chunk by chunk, or blocked; never sent."""
    writer, raw = Writer(judge(policy)), chunked(request(f"Card {CARD}, please."), size)
    verdict = writer.write(raw)
    assert verdict.action == "redact"
    assert len(writer.wire) == len(raw)
    assert CARD.encode() not in writer.wire.replace(b"\r\n", b"")


@POLICIES
@pytest.mark.parametrize("before", [b"\r\n\r\n", b"\r\n\r\n{}", b"[\r\n\r\n"])
def test_an_empty_line_in_a_body_is_no_end_of_a_head(policy: str, before: bytes) -> None:
    """Head, then the beginning of a body, each in a call of its own."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 4096\r\n\r\n"
    writer = Writer(judge(policy))
    assert writer.write(head).action == "allow"
    assert writer.write(f"The account is {IBAN}.".encode() + before).action == "block"


_PIECES = st.sampled_from(
    ["Hello.", CARD, IBAN, "4111 1111", "1111 1111", "DE89 3704 0044", "0532 0130 00", "card number", ""]
)
_CONTENT = st.one_of(
    _PIECES, st.lists(_PIECES, max_size=3).map(lambda texts: [{"type": "text", "text": text} for text in texts])
)
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": _CONTENT}), max_size=4
)


@settings(max_examples=200, deadline=None)
@given(messages=_MESSAGES, user=_PIECES, whole=st.booleans())
def test_what_is_not_read_further_would_have_gone_all_the_same(messages: list[Any], user: str, whole: bool) -> None:
    """Judges who read all of it and who need not decide alike."""
    body = json.dumps({"model": "gpt-4o", "user": user, "messages": messages}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: %d\r\n\r\n" % len(body)
    said = []
    for policy in (POLICY, ABOUT_DATA):
        writer = Writer(judge(policy))
        verdicts = [writer.write(part) for part in ([head + body] if whole else [head, body])]
        said.append([(verdict.action, verdict.edits) for verdict in verdicts])
    assert said[0] == said[1]


def test_compressed() -> None:
    """Looked into, and blocked where it would have to be masked."""
    raw = request(f"Card {CARD}, please.")
    body = gzip.compress(raw.partition(b"\r\n\r\n")[2], mtime=0)
    head = raw.partition(b"\r\n\r\n")[0].rsplit(b"\r\n", 1)[0]
    whole = head + f"\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    writer = Writer(judge())
    assert writer.write(whole).action == "block"
    assert writer.wire == b""


@POLICIES
@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=st.sampled_from([CARD, IBAN]), in_chunks=st.booleans())
def test_however_it_is_cut_into_calls_it_does_not_leave(
    policy: str, data: st.DataObject, value: str, in_chunks: bool
) -> None:
    """Calls of any size, that write as little as they like: the value is never on the wire as a whole."""
    raw = request(f"Before. {value} After, with some more words so that there is something behind it.")
    if in_chunks:
        raw = chunked(raw, data.draw(st.integers(1, 80)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=6)))
    writer = Writer(judge(policy))
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        if writer.refused:
            break
        writer.write(raw[start:end], data.draw(st.integers(1, 400)))
    body = writer.wire.partition(b"\r\n\r\n")[2]
    if not in_chunks:
        assert value.encode() not in body
    if writer.refused:
        assert writer.wire != raw
    else:
        assert len(writer.wire) == len(raw)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_have_a_verdict(calls: list[bytes]) -> None:
    writer = Writer(judge())
    for data in calls:
        if data and not writer.refused:
            assert writer.write(data).action in ("allow", "redact", "block", "kill")


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-length: %d\r\n\r\n"


def _between(writer: Writer, *calls: bytes) -> list[bool]:
    return [writer.write(call).between for call in calls]


def test_a_head_may_go_ahead_only_between_requests_and_where_policies_are_about_data() -> None:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = HEAD % len(body)
    assert _between(Writer(judge(ABOUT_DATA)), head, body[:9], body[9:], head + body) == [False, False, True, True]
    assert _between(Writer(judge(POLICY)), head, body) == [False, False]
    chunked = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    whole = chunked + b"%x\r\n%s\r\n" % (len(body), body)
    assert _between(Writer(judge(ABOUT_DATA)), whole, b"0\r\n", b"\r\n") == [False, False, True]
    assert _between(Writer(judge(ABOUT_DATA)), head + body + b"POST", b" /") == [False, False]
    upgrade = b"GET /v1/realtime HTTP/1.1\r\nhost: api.openai.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    assert _between(Writer(judge(ABOUT_DATA)), upgrade) == [False]


def test_a_body_is_judged_after_its_head_went_ahead() -> None:
    writer = Writer(judge(ABOUT_DATA))
    for content, action in (("hello", "allow"), (CARD, "redact"), (IBAN, "block")):
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}).encode()
        writer.write(HEAD % len(body))
        assert writer.write(body).action == action
