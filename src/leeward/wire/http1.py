"""A passive HTTP/1.x parser over both directions of one connection as observed: neither client nor server.

Invariants: never raises on any bytes. State is bounded by `Limits`. Every exchange whose request was judged FULL gives
RequestHead, RequestDone and then one ExchangeDone or Upgraded (which WebSocket messages may follow); one judged SKIP gives
Skipped, and one Answered: when its answer's head is there and surely its own (of a text whose length it says, when the text's
beginning is there too), or when none will come. Responses belong to requests in their order (RFC 9112 §9.3.2); what cannot be
paired is counted, never guessed. What was lost or odd is in the message's `anomalies`, and in `counters` once the message is
over ("odd_" before it).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from leeward.model.message import Message
from leeward.wire.beginning import Beginning, begin, begin_sent
from leeward.wire.http import (
    Answered,
    ExchangeDone,
    HttpEvent,
    Interest,
    Limits,
    NotHttp,
    RequestDone,
    RequestHead,
    Skipped,
    Upgraded,
)
from leeward.wire.http1_body import Budget, Chunks, Keeper
from leeward.wire.http1_find import Found, HeadFinder, may_begin
from leeward.wire.http1_head import (
    NO_BODY,
    Body,
    Framing,
    read_request,
    read_response,
    request_body,
    response_body,
)
from leeward.wire.websocket import WebSocketConnection

__all__ = [
    "Answered",
    "ExchangeDone",
    "Http1Connection",
    "HttpEvent",
    "Interest",
    "Limits",
    "NotHttp",
    "RequestDone",
    "RequestHead",
    "Skipped",
    "Upgraded",
]


_PIECES_NS = 10**9  # after a head, for the beginning of a body whose length is not known
_SIGNS = ((b"PRI * HTTP/2.0", "HTTP/2"), (b"\x16\x03", "TLS"), (b"SSH-", "SSH"))


class _Exchange(msgspec.Struct, eq=False):
    """One request and what became of its response. asked_upgrade, expects: from the request's fields. wants: the beginning of
    what is sent."""

    request: Message
    full: bool
    asked_upgrade: bool = False
    expects: bool = False
    wants: bool = False
    response: Message | None = None
    request_over: bool = False
    response_over: bool = False
    sent: Beginning | None = None

    def answered(self, beginning: bytes = b"", *, surely: bool = True) -> Answered:
        sent = self.sent.text(self.request.complete) if self.sent is not None else b""
        return Answered(self.request, self.response if surely else None, beginning=beginning, sent=sent)


class _Side(msgspec.Struct, eq=False):
    """One direction. message None: a head is due, or looked for after bytes were lost.

    left: bytes still to come in Framing.LENGTH. seen: it had a head. strange: bytes that belonged to nothing. beginning: of an
    answer that was not told of yet.
    """

    to_server: bool
    finder: HeadFinder
    message: Message | None = None
    exchange: _Exchange | None = None
    body: Body = NO_BODY
    left: int = 0
    chunks: Chunks | None = None
    keeper: Keeper | None = None
    beginning: Beginning | None = None
    seen: bool = False
    strange: int = 0


class Http1Connection:
    """An `HttpConnection`. `interest` is asked once a request, when its head is there."""

    def __init__(self, limits: Limits, interest: Callable[[Message], Interest]) -> None:
        self.counters: Counter[str] = Counter()
        self._limits, self._interest = limits, interest
        self._client = _Side(True, HeadFinder(True, limits.head))
        self._server = _Side(False, HeadFinder(False, limits.head))
        self._awaiting: deque[_Exchange] = deque()  # no final response yet
        self._early: list[tuple[int, bytes]] = []  # response bytes seen before their request's head had ended
        self._early_size = 0
        self._index = 0
        self._budget = Budget()
        self._over = ""  # why no more is read
        self._socket: WebSocketConnection | None = None  # what reads on after an upgrade
        self._doubt = False  # responses may have been lost: the next may not be the oldest request's
        self._pipelined = False
        self._unpaired = False  # too many requests await: which response is whose is no longer known

    @property
    def between(self) -> bool:
        """Has the client ended what it began, so that a request's first byte comes next?"""
        side = self._client
        return side.message is None and not side.finder.buffer and not self._over and self._socket is None

    # -- what the pipeline calls (an HTTP/2 connection has the same) -----------------------------------------------

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[HttpEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        events: list[HttpEvent] = []
        if self._socket is not None:
            events += self._socket.feed(to_server, ts, data)
        elif self._over:
            self.counters[f"bytes_after_{self._over}"] += len(data)
        elif to_server:
            self._read(self._client, ts, data, events)
            if self._early and (self._awaiting or not self._client.finder.buffer):
                self._replay(events)
        elif self._early or (self._client.finder.buffer and not self._awaiting and self._server.message is None):
            self._early.append((ts, data))
            self._early_size += len(data)
            if self._early_size > self._limits.early:
                self._replay(events)
        else:
            self._read(self._server, ts, data, events)
        return events

    def gap(self, to_server: bool, ts: int, size: int) -> list[HttpEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        events: list[HttpEvent] = []
        if self._socket is not None:
            return self._socket.gap(to_server, ts, size)
        if self._over:
            return events
        self.counters["gaps"] += 1
        self._replay(events)
        side = self._client if to_server else self._server
        if side.message is not None:
            self._gap_in_body(side, ts, size, events)
        else:
            if side.finder.buffer:
                self._cut_head(side, ts, "cut-head", True, events)
            self._lose(side)
        return events

    def settle(self) -> None:
        """Nobody sees the answers: a request is over when it ends."""
        self._finish_awaiting(0, [])

    def close(self, ts: int, clean: bool = True) -> list[HttpEvent]:
        """The connection ended: what is unfinished comes out. clean: the end was the peers' own, so that a response
        which the end delimits is complete.

        RFC 9112 §8: "A response that has neither chunked transfer coding nor Content-Length is terminated by closure of
        the connection and, if the header section was received intact, is considered complete unless an error was
        indicated by the underlying connection".
        """
        events: list[HttpEvent] = []
        if self._socket is not None:
            events += self._socket.close(ts, clean)
            self.counters.update(self._socket.counters)
        elif not self._over:
            self._flush(ts, clean, events)
            self._over = "close"
        return events

    def _flush(self, ts: int, clean: bool, events: list[HttpEvent]) -> None:
        """No more of either direction will be read: all that is unfinished comes out."""
        self._flush_head(self._client, ts, events)
        self._replay(events)
        self._flush_head(self._server, ts, events)
        if self._client.message is not None:
            self._end_message(self._client, ts, False, events)
        if (message := self._server.message) is not None:
            whole = clean and self._server.body.framing is Framing.CLOSE and not message.gap
            self._end_message(self._server, message.end if whole else ts, whole, events)
        self._finish_awaiting(0, events)

    def _flush_head(self, side: _Side, ts: int, events: list[HttpEvent]) -> None:
        if side.finder.buffer:
            self._cut_head(side, ts, "cut-head", False, events)

    def _replay(self, events: list[HttpEvent]) -> None:
        early, self._early, self._early_size = self._early, [], 0
        for ts, data in early:
            self._read(self._server, ts, data, events)

    # -- one direction ---------------------------------------------------------------------------------------------

    def _read(self, side: _Side, ts: int, data: bytes, events: list[HttpEvent]) -> None:
        position, size = 0, len(data)
        if side.message is not None and self._begins_anew(side, data):
            self._end_message(side, ts, False, events)
            side.finder.synced = True
        while position < size and not self._over:
            if side.message is None:
                position = self._read_head(side, ts, data, position, events)
            else:
                position = self._read_body(side, ts, data, position, events)
        if side.keeper is not None:
            side.keeper.mark(ts)
        if side.beginning is not None and (side.beginning.full or self._goes_on(side, ts)):
            self._tell(side, events)
        if position < size and self._socket is not None:
            events += self._socket.feed(side.to_server, ts, data[position:])
        elif position < size:
            self.counters[f"bytes_after_{self._over}"] += size - position

    def _begins_anew(self, side: _Side, data: bytes) -> bool:
        """Do these bytes begin another message, although the one before should go on?"""
        exchange, framing = side.exchange, side.body.framing
        if side.to_server:
            # RFC 9110 §10.1.1: a client that expects 100 (Continue) need not send its content after a final status
            withheld = exchange is not None and exchange.expects and exchange.response is not None
            fresh = withheld and framing is Framing.LENGTH and side.left == side.body.length
            return fresh and may_begin(data, True, False) is True
        # nobody knows whether the answer to an unseen request had a body (HEAD): the next head settles it
        return exchange is None and bool(self._awaiting) and may_begin(data, False, False) is True

    def _read_head(self, side: _Side, ts: int, data: bytes, position: int, events: list[HttpEvent]) -> int:
        """Looks for a head in `data` from `position` on; returns where to go on."""
        found, head, position = side.finder.feed(ts, data, position)
        if found is Found.NOT or (found is Found.HEAD and head.startswith(_SIGNS[0][0])):
            side.finder.dropped += len(head) if found is Found.HEAD else 0
            self._not_a_head(side, ts, head, events)
        elif found is Found.HEAD:
            self._head(side, ts, head, events)
        elif found is Found.LONG:
            self._cut_head(side, ts, "head-limit", False, events)
        elif side.finder.dropped:
            self._strange(side, ts, events)
        return position

    def _not_a_head(self, side: _Side, ts: int, data: bytes, events: list[HttpEvent]) -> None:
        """Bytes that begin with `data` are no head: they are dropped, one is looked for at the start of the next."""
        if not side.seen and not side.strange:
            sign = next((name for sign, name in _SIGNS if data.startswith(sign)), "")
            if sign:
                self._give_up(side, ts, sign, events)
        self._strange(side, ts, events)

    def _strange(self, side: _Side, ts: int, events: list[HttpEvent]) -> None:
        size, side.finder.dropped = side.finder.dropped, 0
        self.counters["bytes_of_nothing"] += size
        side.strange += size
        if side.strange > self._limits.unsynced and not (self._client.seen or self._server.seen or self._over):
            self._give_up(side, ts, "no head in its beginning", events)

    def _give_up(self, side: _Side, ts: int, reason: str, events: list[HttpEvent]) -> None:
        self._flush(ts, False, events)
        self._over = "not_http"
        events.append(NotHttp(side.to_server, reason))

    def _cut_head(self, side: _Side, ts: int, anomaly: str, gap: bool, events: list[HttpEvent]) -> None:
        """A head without its end: what is there of it comes out, how its body goes on is not known."""
        buffer, judged = side.finder.buffer, side.finder.judged
        lines = bytes(buffer[: buffer.rfind(b"\n") + 1])
        self.counters[anomaly.replace("-", "_")] += 1
        if not judged:
            self.counters["bytes_of_nothing"] += len(buffer)
        self._lose(side)
        if judged:
            self._head(side, ts, lines + b"\r\n", events, anomaly, gap)
            self._lose(side)

    def _head(
        self, side: _Side, ts: int, head: bytes, events: list[HttpEvent], cut: str = "", gap: bool = False
    ) -> None:
        side.seen = side.finder.synced = True
        read = read_request if side.to_server else read_response
        message = read(head, self._index, side.finder.begun)
        if message is None:
            self.counters["bad_first_line"] += 1
            self._lose(side)
            return
        message.end = ts
        if cut:
            message.anomalies.append(cut)
            message.gap, message.truncated = gap, cut == "head-limit"
        side.message, side.left, side.chunks, side.keeper = message, 0, None, None
        if side.to_server:
            self._request(side, head, events)
        elif not self._response(side, ts, events):
            return
        if cut:
            self._end_message(side, ts, False, events)
        else:
            self._begin_body(side, ts, events)

    def _begin_body(self, side: _Side, ts: int, events: list[HttpEvent]) -> None:
        message, body, exchange = side.message, side.body, side.exchange
        assert message is not None
        if body.framing in (Framing.NONE, Framing.LOST):
            self._end_message(side, ts, body.framing is Framing.NONE, events)
            side.finder.synced = body.framing is Framing.NONE
            return
        if exchange is not None and exchange.full:
            side.keeper = Keeper(message, body.codings, self._limits, self._budget)
        elif exchange is not None and side.to_server and exchange.wants:
            exchange.sent = begin_sent(body)
        if body.framing is Framing.LENGTH:
            side.left = body.length
        elif body.framing is Framing.CHUNKED:
            side.chunks = Chunks(self._limits.head)

    def _read_body(self, side: _Side, ts: int, data: bytes, position: int, events: list[HttpEvent]) -> int:
        """Takes what belongs to the body from `data` at `position`; returns where it stopped."""
        size, message, keep = len(data), side.message, side.keeper or side.beginning
        assert message is not None
        if keep is None and side.to_server and side.exchange is not None:
            keep = side.exchange.sent
        message.end = ts
        if (chunks := side.chunks) is not None:
            position = chunks.feed(data, position, keep)
            if chunks.bad:
                message.anomalies.append(chunks.bad)
                self._end_message(side, ts, False, events)
                self._lose(side)
                return size
            if chunks.done:
                self._end_message(side, ts, True, events)
            return position
        end = size
        if side.body.framing is Framing.LENGTH:
            end = min(size, position + side.left)
            side.left -= end - position
        if keep is not None:
            keep.add(data if end - position == size else data[position:end])
        if side.body.framing is Framing.LENGTH and not side.left:
            self._end_message(side, ts, True, events)
        return end

    def _gap_in_body(self, side: _Side, ts: int, size: int, events: list[HttpEvent]) -> None:
        """The rest of a body is found again if it is known how much of it is missing."""
        message, chunks = side.message, side.chunks
        assert message is not None
        message.gap, message.end = True, ts
        if side.keeper is not None:
            side.keeper.gap()
        if side.beginning is not None:
            self._tell(side, events)
        if side.body.framing is Framing.CLOSE:
            return
        if chunks is not None and chunks.in_data() and 0 < size <= chunks.left:
            chunks.skip(size)
            return
        if side.body.framing is Framing.LENGTH and 0 < size <= side.left:
            side.left -= size
            if not side.left:
                self._end_message(side, ts, False, events)
            return
        self._end_message(side, ts, False, events)
        self._lose(side)

    def _lose(self, side: _Side) -> None:
        """How this direction goes on is not known: the next head has to be found."""
        side.finder.reset(False)
        if not side.to_server:
            self._doubt = True

    # -- requests and their responses --------------------------------------------------------------------------------

    def _request(self, side: _Side, head: bytes, events: list[HttpEvent]) -> None:
        """A request's head is there: its exchange begins."""
        request = side.message
        assert request is not None
        self._index += 1
        side.body = request_body(request)
        interest = self._interest(request)
        full = interest is Interest.FULL
        exchange = _Exchange(request, full, wants=interest is Interest.SENT)
        exchange.asked_upgrade = bool(request.header("upgrade"))
        exchange.expects = request.header("expect").lower() == "100-continue"
        side.exchange = exchange
        if full:
            events.append(RequestHead(request))
        else:
            self.counters["skipped"] += 1
            line = head[: head.index(b"\n")].partition(b"?")[0].partition(b"\r")[0]
            events.append(Skipped(request, line))
        if (self._awaiting or self._server.exchange is not None) and not self._doubt:
            self._pipelined = True
        if len(self._awaiting) >= self._limits.pending and not self._unpaired:
            self._unpair(events)
        if self._unpaired:
            request.anomalies.append("pipeline-limit")
            exchange.response_over = True
        else:
            self._awaiting.append(exchange)

    def _unpair(self, events: list[HttpEvent]) -> None:
        """More requests await than are kept: from here on requests come out alone, responses are not read."""
        self.counters["pipeline_limit"] += 1
        self._unpaired = True
        for exchange in self._awaiting:
            exchange.request.anomalies.append("pipeline-limit")
        self._finish_awaiting(0, events)

    def _response(self, side: _Side, ts: int, events: list[HttpEvent]) -> bool:
        """A response's head is there: finds its request. False: there is nothing more to do with it."""
        response = side.message
        assert response is not None
        if self._doubt and not self._pipelined:
            # a client that does not pipeline sent its last request after the answers to those before: they are lost
            self._finish_awaiting(1, events)
        exchange = self._awaiting[0] if self._awaiting else None
        if self._doubt and exchange is not None and (self._pipelined or response.gap):
            response.anomalies.append("pairing-uncertain")
        interim = response.status < 200 and not (response.status == 101 and exchange and exchange.asked_upgrade)
        if interim:
            # RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final
            # response". 101 to a request that asked for no upgrade is none either (§15.2.2)
            self.counters["interim_responses" if response.status != 101 else "upgrade_unasked"] += 1
            side.message = None
            return False
        if exchange is None:
            self.counters["responses_without_request"] += 1
            side.exchange, side.body = None, response_body(response, "GET")
            return self._keep_framing(side)
        self._doubt = False
        self._awaiting.popleft()
        response.index = exchange.request.index
        exchange.response, side.exchange = response, exchange
        side.body = response_body(response, exchange.request.method)
        if not exchange.full and "pairing-uncertain" not in response.anomalies:
            side.beginning = begin(response, side.body)
            if side.beginning is None:
                events.append(exchange.answered())
        if response.status == 101 or side.body.framing is Framing.TUNNEL:
            self._upgrade(side, ts, events)
            return False
        return True

    def _goes_on(self, side: _Side, ts: int) -> bool:
        """Does an answer of no known length come little by little? A page's pieces follow each other."""
        head = side.message
        return side.body.framing is not Framing.LENGTH and head is not None and ts - head.start > _PIECES_NS

    def _tell(self, side: _Side, events: list[HttpEvent], complete: bool = False) -> None:
        """As much of the answer's beginning is there as is waited for."""
        beginning, side.beginning, exchange = side.beginning, None, side.exchange
        assert beginning is not None
        assert exchange is not None
        events.append(exchange.answered(beginning.text(complete)))

    def _keep_framing(self, side: _Side) -> bool:
        """Is the body of a response to nobody worth following? Not if only the connection's end delimits it."""
        if side.body.framing in (Framing.LENGTH, Framing.CHUNKED, Framing.NONE):
            return True
        side.message, side.finder.synced = None, False
        return False

    def _upgrade(self, side: _Side, ts: int, events: list[HttpEvent]) -> None:
        exchange, response = side.exchange, side.message
        assert exchange is not None
        assert response is not None
        response.complete = True
        if self._client.message is not None:
            self._end_message(self._client, ts, False, events)
        if exchange.full:
            events.append(Upgraded(exchange.request, response))
        self._finish_awaiting(0, events)
        side.message = None
        self._over = "upgrade"
        if exchange.full and response.header("upgrade").strip().lower() == "websocket":
            self._socket = WebSocketConnection(self._limits, response.header("sec-websocket-extensions"))
            events += self._socket.feed(True, ts, bytes(self._client.finder.buffer))

    def _end_message(self, side: _Side, ts: int, complete: bool, events: list[HttpEvent]) -> None:
        """No more of the message comes; if the other one is over too, the exchange is."""
        message, exchange, keeper = side.message, side.exchange, side.keeper
        assert message is not None
        message.complete = complete
        message.end = ts
        if side.chunks is not None and side.chunks.bare_lf:
            message.anomalies.append("bare-lf")
        if keeper is not None:
            keeper.end(ts, complete and not message.gap)
        if side.beginning is not None:
            self._tell(side, events, complete)
        self.counters.update(f"odd_{name.replace('-', '_')}" for name in message.anomalies)
        side.message, side.exchange, side.keeper, side.chunks, side.body = None, None, None, None, NO_BODY
        if exchange is None:
            return
        if side.to_server:
            exchange.request_over = True
            if exchange.full:
                events.append(RequestDone(message))
        else:
            exchange.response_over = True
        if exchange.request_over and exchange.response_over:
            self._emit(exchange, events)

    def _finish_awaiting(self, but: int, events: list[HttpEvent]) -> None:
        """Gives up waiting for the responses to all but the last `but` requests."""
        while len(self._awaiting) > but:
            exchange = self._awaiting.popleft()
            exchange.response_over = True
            if exchange.request_over:
                self._emit(exchange, events)

    def _emit(self, exchange: _Exchange, events: list[HttpEvent]) -> None:
        if not exchange.full:
            if exchange.response is None or "pairing-uncertain" in exchange.response.anomalies:
                events.append(exchange.answered(surely=False))
            return
        self._budget.used -= len(exchange.request.body) + (len(exchange.response.body) if exchange.response else 0)
        events.append(ExchangeDone(exchange.request, exchange.response))
