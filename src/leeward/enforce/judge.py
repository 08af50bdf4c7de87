"""The judge: what may be written. The stages of the pipeline up to the decision, for one direction, in a process of its own.

`python -m leeward.enforce.judge` with the descriptor of its socket; no store, no log, no network, no root. Invariants: one
verdict for each question, in order; never raises on any bytes; what it keeps of a connection is bounded, and so are connections.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import msgspec

from leeward.ai.bodies import read
from leeward.ai.catalogue import Catalogue, load_catalogue
from leeward.ai.grpc_bodies import is_grpc
from leeward.ai.hearing import Hearing
from leeward.ai.jsontext import load
from leeward.data.exchange import Inspector, Payload
from leeward.data.hashing import Keyed
from leeward.data.masking import same_length
from leeward.data.recognizer import built_in
from leeward.data.scanner import Scanner, every_kind
from leeward.data.standard import standard_scanner
from leeward.enforce.messages import MOST, READY, Ask, Gone, Receiver, ToJudge, Told, Verdict, Who, send
from leeward.enforce.parent import end_with, go_first
from leeward.enforce.rewriting import Edit, edits_for
from leeward.model.data import DataMatch
from leeward.model.exchange import Exchange
from leeward.model.message import Message
from leeward.model.times import iso
from leeward.placing import bare
from leeward.policy.facts import facts_of
from leeward.policy.policies import Decision, Policies
from leeward.wire import http2
from leeward.wire.http import HttpConnection, Interest, Limits, NotHttp, RequestDone, RequestHead, WsMessage
from leeward.wire.http1 import Http1Connection

_MOST_CONNECTIONS = 16_384
_MOST_EDIT_BYTES = 64 << 10
_MOST_MASKED = 1024  # values of one connection
_OVERLAP = 512  # bytes of the piece before that are looked at again, for what lies across two
_STOPPING = ("block", "kill")
_LIMITS = Limits(body=MOST, held=2 * MOST)
_SERVER_BEGINS = b"HTTP/1."
_HEAD_ENDS = b"\r\n\r\n"
_RARE = "```python\ndef f(x):\n    return x\n```\n４１１１ １１１１\n" * 500  # long, with code and disguised digits
_SOCKET_BEGINS = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


_Said = tuple[str, Decision, Exchange]
"""What is to be done, by which decision, about which exchange."""


class Decides(Protocol):
    """policy.Policies, as the judge needs it."""

    @property
    def needs_data(self) -> bool: ...

    def decide(self, stage: str, facts: Mapping[str, Any]) -> list[Decision]: ...


class _Connection(msgspec.Struct):
    """What a client writes on one connection. parser: has read it up to byte `fed`. begun, asked, written: the last call:
    where it began, its bytes, and what they became. refused: why nothing more may be written. head: a request whose body has
    not come to its end. behind: end of the piece of it before. socket: the request that began a WebSocket. masked: values that
    were masked in pieces, and how often."""

    parser: HttpConnection
    fed: int
    begun: int = 0
    asked: bytes = b""
    written: bytes = b""
    refused: dict[str, Any] | None = None
    action: str = ""
    head: Message | None = None
    behind: bytes = b""
    socket: Message | None = None
    masked: Counter[bytes] = msgspec.field(default_factory=Counter)

    def again(self, sent: int, data: bytes) -> tuple[int, list[Edit]] | None:
        """How many of these bytes, the next after `sent`, were decided on before (a call that wrote less than it was given is
        called again), and what makes them what was decided. None: this is another connection, at the same place in memory."""
        if sent == self.fed and (sent or not self.refused):
            return 0, []
        if not self.begun <= sent < self.fed:
            return (0, []) if self.refused is not None and sent else None
        asked, written = self.asked[sent - self.begun :], self.written[sent - self.begun :]
        size = min(len(asked), len(data))
        if data[:size] == written[:size]:
            return size, []
        return (size, [(0, written[:size])]) if data[:size] == asked[:size] else None

    def after_head(self, data: bytes) -> int:
        """Where the body begins in the call in which a head ends; what ends it may have begun in the call before."""
        if not isinstance(self.parser, Http1Connection):
            return 0
        before = self.asked[1 - len(_HEAD_ENDS) :]
        at = (before + data).find(_HEAD_ENDS)
        return max(at + len(_HEAD_ENDS) - len(before), 0) if at >= 0 else 0

    def wrote(self, sent: int, data: bytes, edits: Sequence[Edit]) -> None:
        """This call may go on, with these edits."""
        written = bytearray(data)
        for at, put in edits:
            written[at : at + len(put)] = put
        self.begun, self.asked, self.written, self.fed = sent, data, bytes(written), sent + len(data)


class Judge:
    """`ask` is the whole of it. origin: says when the policies were read, part of nothing."""

    def __init__(self, catalogue: Catalogue, inspector: Inspector | None, policies: Decides) -> None:
        self.counters: Counter[str] = Counter()
        self._hearing = Hearing(catalogue)
        self._inspector, self._policies = inspector, policies
        self._connections: OrderedDict[tuple[int, int], _Connection] = OrderedDict()
        self._who: dict[int, Who] = {}

    def told(self, who: Who) -> None:
        self._who[who.pid] = who

    def gone(self, pid: int) -> None:
        self._who.pop(pid, None)
        for key in [key for key in self._connections if key[0] == pid]:
            del self._connections[key]

    def closed(self, pid: int, tls: int) -> None:
        """This connection is over."""
        self._connections.pop((pid, tls), None)

    def ask(self, ask: Ask, data: bytes) -> Verdict:
        key = (ask.pid, ask.tls)
        connection = self._connections.get(key)
        again = connection.again(ask.sent, data) if connection is not None else None
        if connection is None or again is None:
            if data.startswith(_SERVER_BEGINS):  # it answers: what leaves is a response of its own
                return Verdict(ask.number, "allow", leave=True)
            connection, again = _Connection(self._parser(data), ask.sent), (0, [])
            self._connections[key] = connection
            if len(self._connections) > _MOST_CONNECTIONS:
                self._connections.popitem(last=False)
                self.counters["connections_evicted"] += 1
        self._connections.move_to_end(key)
        if connection.refused is not None:
            return Verdict(ask.number, connection.action, decided=connection.refused)
        return self._judged(ask, data, connection, *again)

    def _parser(self, data: bytes) -> HttpConnection:
        two = http2.sniff(data) or http2.role_of(data) != "unknown"
        return (http2.Http2Connection if two else Http1Connection)(_LIMITS, self._interest)

    def _interest(self, request: Message) -> Interest:
        return self._hearing.interest(bare(request.header("host")), 0, request)

    def _judged(self, ask: Ask, data: bytes, connection: _Connection, known: int, edits: list[Edit]) -> Verdict:
        """A verdict on `data`, whose first `known` bytes were decided on before and become what they were then."""
        fresh = data[known:]
        verdict = self._fresh(ask, fresh, known, connection) if fresh else Verdict(ask.number, "allow")
        if ask.size > len(data):
            self.counters["calls_cut"] += 1
        if verdict.action in _STOPPING:
            connection.refused, connection.action = verdict.decided, verdict.action
            return verdict
        edits += verdict.edits
        connection.wrote(ask.sent, data, edits)
        if sum(len(put) for _, put in edits) > _MOST_EDIT_BYTES:
            return Verdict(ask.number, "block", decided=verdict.decided)
        between = (
            self._policies.needs_data and isinstance(connection.parser, Http1Connection) and connection.parser.between
        )
        action = "redact" if edits else verdict.action
        return msgspec.structs.replace(verdict, action=action, edits=edits, between=between)

    def _fresh(self, ask: Ask, data: bytes, offset: int, connection: _Connection) -> Verdict:
        """Bytes that are seen for the first time; `offset` is where they begin in the buffer."""
        said: list[_Said] = []
        edits: list[Edit] = []
        begin = 0
        events = [*connection.parser.feed(True, ask.ts, data)]
        done = [event.request for event in events if isinstance(event, RequestDone)]
        for event in events:
            match event:
                case RequestDone(request=request):
                    connection.head = None
                    said += self._whole(ask, data, offset, request, request is done[-1], edits, connection.masked)
                    connection.masked -= Counter({value: request.body.count(value) for value in connection.masked})
                case RequestHead(request=request) if request not in done:
                    connection.head, connection.behind = request, b""
                    begin = connection.after_head(data)
                case WsMessage():
                    said += self._ws_message(ask, connection, event)
        if connection.head is not None:
            said += self._piece(ask, data, begin, offset, connection, edits)
        for request in done:
            if request.header("upgrade").lower() == "websocket" and isinstance(connection.parser, Http1Connection):
                connection.parser.feed(False, ask.ts, _SOCKET_BEGINS)
                connection.socket = request
        connection.parser.settle()
        worst = max(said, key=lambda one: _ACTIONS.index(one[0]), default=None)
        leave = any(isinstance(event, NotHttp) for event in events)
        if worst is None:
            return Verdict(ask.number, "allow", leave=leave)
        action, decision, exchange = worst
        exchange.time = iso(ask.ts)
        record = _record(decision, action, exchange)
        return Verdict(ask.number, _DONE.get(action, action), edits if action == "redact" else [], leave, record)

    def _whole(
        self,
        ask: Ask,
        data: bytes,
        offset: int,
        request: Message,
        last: bool,
        edits: list[Edit],
        masked: Counter[bytes],
    ) -> Iterator[_Said]:
        """What is said of a whole request, which ends in `data`."""
        if self._nothing_in(request):
            return
        for exchange, decisions in self._decided(ask, request):
            for decision in decisions[:1]:
                action = decision.action
                if action == "redact":
                    matches = _to_mask(exchange.data, decisions)
                    found = edits_for(data, request, matches, masked) if last and not exchange.evidence.notes else None
                    edits += [(offset + at, put) for at, put in found or ()]
                    action = "block" if found is None else action
                yield action, decision, exchange

    def _nothing_in(self, request: Message) -> bool:
        """Is it one of most: a conversation without sensitive data, which is all that the policies ask for? Then nobody needs to
        know what else it says."""
        if (
            self._inspector is None
            or not self._policies.needs_data
            or not request.complete
            or request.truncated
            or request.gap
        ):
            return False
        body = read(request, request)
        return body.exact and _is_plain_talk(body.value) and self._inspector.nothing_in(body.value)

    def _decided(self, ask: Ask, request: Message) -> list[tuple[Exchange, list[Decision]]]:
        """The exchanges that a whole request begins, looked through, with what the policies say of each."""
        host = bare(request.header("host"))
        found = self._hearing.exchanges(host, 0, request, None)
        decided = []
        for timed in found:
            exchange = self._placed(ask, timed.exchange, host, request)
            if self._inspector is not None:
                payloads = (Payload("request", _said(request)),) if len(found) == 1 else ()
                inspection = self._inspector.prepare(exchange, payloads)
                self._inspector.finish(inspection, self._inspector.scan(inspection))
            decided.append((exchange, self._decide(exchange, ask.ts)))
        return decided

    def _decide(self, exchange: Exchange, ts: int) -> list[Decision]:
        """What the policies say, the worst first: of where it goes too, since its host may be another than was connected to."""
        if self._policies.needs_data and not exchange.data:
            return []
        facts = facts_of(exchange, ts)
        found = [decision for stage in ("connect", "request") for decision in self._policies.decide(stage, facts)]
        return sorted(found, key=lambda decision: -_ACTIONS.index(decision.action))

    def _placed(self, ask: Ask, exchange: Exchange, host: str, request: Message) -> Exchange:
        """With who it is and where it goes, as far as it is known before the answer."""
        who = self._who.get(ask.pid)
        if who is not None:
            exchange.process, exchange.workload, exchange.container = who.process, who.workload, who.container
        exchange.network.domain, exchange.network.domain_from = host, "host" if host else ""
        return exchange

    def _outline(self, ask: Ask, request: Message) -> Exchange:
        """What a request's head says of the exchange."""
        host = bare(request.header("host"))
        match = self._hearing.match(host, 0, request)
        exchange = Exchange()
        if match is not None:
            exchange.gen_ai.provider, exchange.gen_ai.operation = match.provider, match.operation
        exchange.http.method, exchange.http.url = request.method, request.target
        return self._placed(ask, exchange, host, request)

    def _looked_through(self, exchange: Exchange, value: Any) -> None:
        if self._inspector is not None:
            inspection = self._inspector.prepare(exchange, (Payload("request", value),))
            self._inspector.finish(inspection, self._inspector.scan(inspection))

    def _ws_message(self, ask: Ask, connection: _Connection, message: WsMessage) -> Iterator[_Said]:
        """A message of a session: its bytes are masked with a key (RFC 6455 §5.3), so that it goes as it is or not at all."""
        if not message.to_server or connection.socket is None:
            return
        exchange = self._outline(ask, connection.socket)
        self._looked_through(exchange, load(message.data).value if message.text else message.data.decode("latin-1"))
        for decision in self._decide(exchange, ask.ts)[:1]:
            yield "block" if decision.action == "redact" else decision.action, decision, exchange

    def _piece(
        self, ask: Ask, data: bytes, begin: int, offset: int, connection: _Connection, edits: list[Edit]
    ) -> Iterator[_Said]:
        """Part of a body whose end is not here: judged as the text that it is, together with the end of the part before. begin:
        where it begins in `data`."""
        request = connection.head
        assert request is not None
        before = len(connection.behind)
        text = connection.behind + data[begin:]
        connection.behind = text[-_OVERLAP:]
        if len(text) == before and self._policies.needs_data:
            return
        exchange = self._outline(ask, request)
        if len(text) > before:
            self._looked_through(exchange, text.decode("latin-1"))
        decisions = self._decide(exchange, ask.ts)
        for decision in decisions[:1]:
            action = decision.action
            if action == "redact":
                spans = [(match.start, match.end) for match in _to_mask(exchange.data, decisions)]
                if request.header("content-encoding") or any(start < before for start, _ in spans):
                    action = "block"
                else:
                    where = offset + begin - before
                    edits += [(where + start, same_length(text[start:end])) for start, end in spans]
                    connection.masked.update(text[start:end] for start, end in spans)
                    if len(connection.masked) > _MOST_MASKED:
                        connection.masked.clear()  # what needs them is blocked then
            yield action, decision, exchange


def _said(request: Message) -> Any:
    """A request's body; as its text if not all of it could be read as what it says it is: what follows a JSON value leaves
    too."""
    body = read(request, request)
    return body.value if body.exact or is_grpc(request) else request.body.decode("latin-1")


_ACTIONS = ("allow", "observe", "alert", "redact", "block", "kill")
_DONE = {"observe": "allow", "alert": "allow"}


def _is_plain_talk(value: Any) -> bool:
    """Is it messages of one string each and settings? What is made of it is what stands in it then, nothing put together."""
    if not isinstance(value, dict):
        return False
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        return False
    return all(name == "messages" or not isinstance(setting, dict | list) for name, setting in value.items()) and all(
        isinstance(message, dict) and not any(isinstance(part, dict | list) for part in message.values())
        for message in messages
    )


def _to_mask(matches: Sequence[DataMatch], decisions: Sequence[Decision]) -> list[DataMatch]:
    """The matches that the policies want masked."""
    kinds = [kind for decision in decisions if decision.action == "redact" for kind in decision.redact]
    return [match for match in matches if any(fnmatchcase(match.kind, kind) for kind in kinds)]


def _record(decision: Decision, action: str, exchange: Exchange | None) -> dict[str, Any]:
    """What the agent is told: the decision, and the exchange, masked, as far as it is known."""
    return {
        "decision": msgspec.to_builtins(decision),
        "action": action,
        "exchange": msgspec.to_builtins(exchange) if exchange is not None else None,
    }


def serve(end: socket.socket, judge: Judge) -> None:
    """Answers until the other end is gone."""
    receiver = Receiver(ToJudge)
    while True:
        found = receiver.next(end)
        if found is None:
            return
        message, descriptor = found
        match message:
            case Told(who=who):
                judge.told(who)
            case Gone(pid=pid):
                judge.gone(pid)
            case Ask():
                data = message.data if descriptor is None else _contents(descriptor)
                verdict = judge.ask(message, data)
                if message.number:
                    send(end, verdict)


def _contents(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read(MOST)


def main(arguments: list[str]) -> None:
    """arguments: the socket's descriptor, a descriptor from which the key for hashes is read, the user's data.yaml ("" for
    none), then the policies' files and folders."""
    end, key, config, *paths = arguments
    with open(int(key), "rb") as file:
        keyed = Keyed(file.read())
    policies = Policies.load(Path(path) for path in paths)
    scanner = scanner_for(policies, Path(config) if config else None, keyed)
    judge = Judge(load_catalogue(), Inspector(scanner, keyed), policies)
    warm_up(scanner)
    parent = os.getppid()
    go_first()
    _drop_rights()
    end_with(parent)
    gc.collect()
    gc.freeze()
    ours = socket.socket(fileno=int(end))
    with suppress(BrokenPipeError, ConnectionResetError):  # who asked has ended, and with it this
        send(ours, READY)
        serve(ours, judge)


def warm_up(scanner: Scanner) -> None:
    """Whatever is loaded when it is first needed is loaded now: later there may be no right to read it, and no time."""
    scanner.ready()
    scanner.make_expressions()
    for recognizer in built_in():
        for example in recognizer.match[:1]:
            scanner.scan_text(example)
    scanner.scan_text(_RARE)
    importlib.import_module("leeward.data.pdf")


def scanner_for(policies: Policies, config: Path | None, keyed: Keyed) -> Scanner:
    """Finds what these policies are about. Made the first time its patterns are compiled and kept, which takes many seconds."""
    kinds = policies.kinds
    wanted = every_kind if "*" in kinds else lambda kind: any(fnmatchcase(kind, pattern) for pattern in kinds)
    return standard_scanner(config, keyed, wanted)


def _drop_rights() -> None:
    """Reads what others wrote: it needs no rights for that."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


if __name__ == "__main__":
    main(sys.argv[1:])
