"""A passive parser of MySQL's and MariaDB's protocol over both directions of one connection, from its first byte, or from the
client's first one where TLS begins to hide it.

Source: MySQL documentation and MariaDB documentation, "Client/Server Protocol". Invariants: never raises on any bytes; of what
proves who a client is, and of files that it sends, nothing is kept; what is kept of a packet is at most `SqlLimits.held` bytes,
of a connection `SqlLimits.prepared` statements and `SqlLimits.pending` requests. After lost bytes a direction goes on at a piece
that begins with a plausible command, or with the answer to one.
"""

from __future__ import annotations

from collections import Counter

from leeward.wire import mysql_messages as messages
from leeward.wire import mysql_rows as rows
from leeward.wire.mysql_answers import BAD, Answers, parameters
from leeward.wire.mysql_asked import ANSWERS, Asked, Command, Step, begin, statement_text
from leeward.wire.mysql_messages import BadPacket
from leeward.wire.mysql_packets import Frames, Packet, Packets, plausible, plausible_frame
from leeward.wire.sql import Encrypted, NotSql, SqlEvent, SqlLimits

_LOGIN = 64 << 10  # bytes of the client's first packet
_SSL_REQUEST = 32  # bytes of a first packet after which TLS follows


class _Side:
    """One direction. lost: it has to be found where its packets begin; adrift: where its frames do."""

    def __init__(self, to_server: bool) -> None:
        self.to_server = to_server
        self.packets = Packets()
        self.frames: Frames | None = None
        self.lost = self.adrift = False


class MysqlConnection:
    """A `SqlConnection`."""

    def __init__(self, limits: SqlLimits) -> None:
        self.counters: Counter[str] = Counter()
        self._limits = limits
        self._session = begin(limits, self.counters)
        self._answers = Answers(self._session)
        self._client, self._server = _Side(True), _Side(False)
        self._speaking = self._over = False  # the client has said who it is; nothing more will come out

    # -- bytes -----------------------------------------------------------------------------------------------------

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[SqlEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        side = self._client if to_server else self._server
        out: list[SqlEvent] = []
        at = 0
        while at < len(data) and not self._over:
            if side.frames is None and self._session.coding:
                side.frames = Frames(self._session.coding, self.counters)
            if side.frames is None:
                at += self._clear(side, ts, data[at:], out)
            elif side.adrift and not self._frame_found(side, data):
                self.counters["sql_bytes_unread"] += len(data)
                break
            else:
                side.adrift = False
                at, clear, missing = side.frames.next(data, at)
                self._clear(side, ts, clear, out)
                if missing:
                    self._missing(side, ts, missing, out)
        return out

    def gap(self, to_server: bool, ts: int, size: int) -> list[SqlEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        side = self._client if to_server else self._server
        out: list[SqlEvent] = []
        self.counters["gaps"] += 1
        if side.frames is None:
            self._missing(side, ts, size, out)
            return out
        inside, missing = side.frames.gap(size)
        if not inside:
            side.adrift = True
            side.frames.reset()
        if missing or side.adrift:
            self._missing(side, ts, missing, out)
        return out

    def close(self, ts: int, clean: bool = True) -> list[SqlEvent]:
        """The connection ended: what is unfinished comes out."""
        self._over = True
        return self._answers.abandon(ts)

    def _clear(self, side: _Side, ts: int, data: bytes, out: list[SqlEvent]) -> int:
        """Packets out of bytes that are not compressed. How many bytes it took: what follows a login may be."""
        if side.lost and data and not self._found_again(side, data):
            self.counters["sql_bytes_unread"] += len(data)
            return len(data)
        at, coding = 0, self._session.coding
        while at < len(data) and not self._over and self._session.coding == coding:
            at, packet = side.packets.next(data, at, self._of_client if side.to_server else self._of_server)
            if packet is not None:
                self._packet(side, ts, packet, out)
            if side.lost:
                return len(data)
        return at

    def _missing(self, side: _Side, ts: int, size: int, out: list[SqlEvent]) -> None:
        inside, packet = side.packets.gap(size)
        if packet is not None:
            self._packet(side, ts, packet, out)
        if not inside:
            self._lose(side, ts, out)

    def _lose(self, side: _Side, ts: int, out: list[SqlEvent]) -> None:
        side.lost = True
        side.packets.reset()
        coding = self._session.coding
        out += self._answers.abandon(ts)
        if self._session.coding != coding:  # in the middle of a login: it is not known where frames begin
            self._client.adrift = self._server.adrift = True

    def _found_again(self, side: _Side, data: bytes) -> bool:
        """Does `data` begin with a command, or with the answer to one that was seen? Pieces mostly do, as they were written."""
        awaited = self._answers.awaited()
        if side.to_server:
            found = not self._speaking or plausible(data, 0, ANSWERS.__contains__, 0)
        else:
            found = awaited is not None and plausible(data, awaited if side.frames is None else None, _any, 1)
        side.lost = not found
        self.counters["sql_resynced"] += found
        return found

    def _frame_found(self, side: _Side, data: bytes) -> bool:
        """The same of frames: a command's is the first one, its answer's the second."""
        return plausible_frame(data, 0 if side.to_server else 1) and (
            side.to_server or self._answers.awaited() is not None
        )

    def _of_client(self, seq: int) -> int:
        """How much is wanted of a packet."""
        if not self._speaking:
            return _LOGIN
        return 0 if self._answers.goes_on(seq) is not None else self._limits.held

    def _of_server(self, seq: int) -> int:
        return self._answers.wanted()

    def _packet(self, side: _Side, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        try:
            if side.to_server and self._speaking:
                self._asks(ts, packet, out)
            elif side.to_server:
                self._login(ts, packet, out)
            elif self._speaking:
                out += self._answers.packet(ts, packet)
            else:
                self._greets(packet)
        except BAD:
            self._strange(side, ts, out)

    def _strange(self, side: _Side, ts: int, out: list[SqlEvent]) -> None:
        """No packet of this protocol: on a connection that never spoke it, nobody does; else bytes are missing."""
        self.counters["sql_bad_messages"] += 1
        if self._speaking:
            self._lose(side, ts, out)
        else:
            self._end("not MySQL", out)

    def _end(self, reason: str, out: list[SqlEvent]) -> None:
        self._over = True
        out.append(NotSql(reason))

    # -- the beginning ---------------------------------------------------------------------------------------------

    def _greets(self, packet: Packet) -> None:
        if packet.payload[:1] == b"\xff":  # too many connections, a host that may not connect
            self.counters["sql_logins_refused"] += 1
            self._over = True
        elif self._session.greeting is not None or packet.gap or packet.payload[:1] != b"\x0a":
            raise BadPacket
        else:
            self._session.greeting = messages.greeting(packet.payload)

    def _login(self, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        if packet.gap:
            raise BadPacket
        session, said = self._session, messages.login(packet.payload)
        if not said.capabilities & messages.PROTOCOL_41:
            self._end("MySQL's protocol before version 4.1", out)
        elif said.capabilities & messages.SSL and packet.size == _SSL_REQUEST:
            self._over = True
            out.append(Encrypted(ts))
        else:
            offered = session.greeting.capabilities if session.greeting is not None else -1
            session.capabilities, session.charset = said.capabilities & offered, said.charset
            session.user, session.database = said.user, said.database
            self._speaking = True
            self._answers.wait(Asked(Command.CONNECT, ts, Step.LOGIN, packet.last + 1 & 255))

    # -- commands --------------------------------------------------------------------------------------------------

    def _asks(self, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        going_on = self._answers.goes_on(packet.seq)
        if going_on is not None:
            self._answers.gone_on(going_on, packet)
            return
        if (packet.seq and not self._session.coding) or packet.headless or not packet.payload:
            raise BadPacket
        code = packet.payload[0]
        if code not in ANSWERS:
            raise BadPacket
        asked = Asked(code, ts, ANSWERS[code], packet.last + 1 & 255, truncated=packet.cut or packet.gap)
        try:
            self._command(asked, packet.payload, out)
        except BAD:
            self.counters["sql_commands_unread"] += 1
            asked.truncated = True
        if asked.step in (Step.NEVER, Step.STREAM):
            return
        if not self._answers.wait(asked):
            self.counters["sql_pipeline_limit"] += 1
            self._lose(self._server, ts, out)
            self._answers.wait(asked)

    def _command(self, asked: Asked, payload: bytes, out: list[SqlEvent]) -> None:
        """What a command says. Raises one of `BAD`."""
        session, most = self._session, self._limits.statement
        match asked.command:
            case Command.QUERY:
                words = rows.query(payload, session.can(messages.QUERY_ATTRIBUTES))
                asked.statement = statement_text(words, session.charset, most)
            case Command.PREPARE:
                asked.statement = session.statements.last = statement_text(payload[1:], session.charset, most)
            case Command.EXECUTE | Command.BULK | Command.FETCH:
                asked.statement, asked.binary = session.statements.find(payload), True
                if asked.command != Command.FETCH:
                    asked.raw = payload
                    if asked.statement.answered:
                        parameters(asked, session)
            case Command.LONG_DATA:
                session.statements.long_data(payload)
            case Command.CLOSE | Command.RESET:
                session.statements.forget(payload, altogether=asked.command == Command.CLOSE)
            case Command.INIT_DB:
                asked.database = messages.name(payload[1:])
            case Command.CHANGE_USER:
                session.statements.clear()
                said = messages.change_user(payload, session.capabilities)
                session.user, session.database = said.user, said.database
            case Command.RESET_CONNECTION | Command.QUIT:
                session.statements.clear()
            case code if asked.step is Step.STREAM:
                self.counters["sql_replication"] += 1
                self._end(f"replication (command {code})", out)
            case _:
                self.counters["sql_other_commands"] += 1


def _any(byte: int) -> bool:
    """An answer may begin with any byte."""
    return True
