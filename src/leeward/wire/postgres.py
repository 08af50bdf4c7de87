"""A passive parser of PostgreSQL's protocol 3 over both directions of one connection, from its first byte.

Source: PostgreSQL documentation, "Frontend/Backend Protocol: Message Formats" and "Message Flow". What the client asks for waits
in a queue; the server answers in that order. Invariants: never raises on any bytes; passwords are not looked at; what is kept
of a message is at most `SqlLimits.held` bytes, of a connection `SqlLimits.prepared` statements and portals and
`SqlLimits.pending` requests. After lost bytes a direction goes on at a piece that begins with a plausible message.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, deque

import msgspec

from leeward.model.sql import Column, SqlError, SqlResult
from leeward.wire.postgres_values import TYPES, shown
from leeward.wire.sql import POSTGRES_STARTS, Encrypted, NotSql, SqlEvent, SqlLimits

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_FROM_CLIENT = frozenset(b"BCDEFHPQSXcdfp")
_FROM_SERVER = frozenset(b"123ACDEGHIKNRSTVWZcdnstv")
_UNREAD = frozenset(b"pK")  # a password, a key to cancel with
_MOST_MESSAGE = 1 << 30  # "MaxAllocSize": no message is longer
_MOST_COLUMNS = 1664  # PostgreSQL's MaxTupleAttributeNumber


class _Prepared(msgspec.Struct):
    """A statement. types: OIDs of its parameters, 0 for one that the server has to find."""

    statement: str
    types: list[int] = []
    columns: list[_Field] = []


class _Field(msgspec.Struct, frozen=True):
    name: str
    oid: int
    form: int


class _Portal(msgspec.Struct):
    """A statement with its parameters. forms: of the columns, as asked for in Bind."""

    prepared: _Prepared
    parameters: list[str | None] = []
    forms: list[int] = []
    truncated: bool = False


class _Asked(msgspec.Struct):
    """What the client asked for. kind: the message's type. result: what the server says to it, once it says something."""

    kind: str
    start: int
    portal: _Portal
    result: SqlResult | None = None
    fields: list[_Field] = []
    held: int = 0
    copied: bytes = b""


class _Side:
    """One direction. payload: of the message under way, as far as it is kept; left: bytes of it still to come."""

    def __init__(self, to_server: bool) -> None:
        self.to_server = to_server
        self.head = bytearray()
        self.kind = 0
        self.payload = bytearray()
        self.left = 0
        self.inside = False
        self.cut = self.gap = False
        self.lost = False


class PostgresConnection:
    """A `SqlConnection`."""

    def __init__(self, limits: SqlLimits) -> None:
        self.counters: Counter[str] = Counter()
        self._limits = limits
        self._client, self._server = _Side(True), _Side(False)
        self._starting = True  # the client's next message has no type
        self._one_byte = False  # the server's answer to SSLRequest has no length
        self._over = False
        self._user = self._database = self._version = ""
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()
        self._portals: OrderedDict[str, _Portal] = OrderedDict()
        self._queue: deque[_Asked] = deque()
        self._failed = False  # the server skips what was asked until Sync

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[SqlEvent]:
        """`data` was seen at `ts`, right after what was fed of this direction before."""
        side = self._client if to_server else self._server
        out: list[SqlEvent] = []
        at = 0
        if side.lost and not self._over and not self._found_again(side, data):
            self.counters["sql_bytes_unread"] += len(data)
            return out
        while at < len(data) and not self._over:
            if side.inside:
                at = self._read_payload(side, ts, data, at, out)
            elif self._one_byte and not to_server:
                self._one_byte = False
                if data[at] != ord("E"):  # an old server's error is a message
                    self._answer_to_start(ts, data[at], out)
                    at += 1
            else:
                at = self._read_head(side, ts, data, at, out)
        return out

    def gap(self, to_server: bool, ts: int, size: int) -> list[SqlEvent]:
        """`size` bytes of this direction were never seen (0: an unknown number)."""
        side = self._client if to_server else self._server
        out: list[SqlEvent] = []
        self.counters["gaps"] += 1
        if side.inside and 0 < size <= side.left:
            side.gap = True
            side.left -= size
            if not side.left:
                self._message(side, ts, out)
            return out
        side.lost, side.inside = True, False
        side.head.clear()
        self._abandon(ts, out)
        return out

    def close(self, ts: int, clean: bool = True) -> list[SqlEvent]:
        """The connection ended: what is unfinished comes out."""
        out: list[SqlEvent] = []
        self._abandon(ts, out)
        self._over = True
        return out

    def _abandon(self, ts: int, out: list[SqlEvent]) -> None:
        """What the server answered to what was asked is not known any more."""
        for asked in self._queue:
            if asked.kind in "QE":
                self._emit(asked, ts, out, complete=False)
        self._queue.clear()
        self._failed = False

    # -- messages --------------------------------------------------------------------------------------------------

    def _found_again(self, side: _Side, data: bytes) -> bool:
        """Does `data` begin with a message? Pieces mostly do, as they were written."""
        kinds = _FROM_CLIENT if side.to_server else _FROM_SERVER
        at = 0
        for _ in range(3):
            if at == len(data):
                break
            if len(data) - at < 5 or data[at] not in kinds:
                return False
            (size,) = struct.unpack_from(">I", data, at + 1)
            if not 4 <= size < _MOST_MESSAGE:
                return False
            at += 1 + size
            if at > len(data):
                break
        side.lost = False
        self._starting = self._one_byte = False
        self.counters["sql_resynced"] += 1
        return True

    def _read_head(self, side: _Side, ts: int, data: bytes, at: int, out: list[SqlEvent]) -> int:
        starting = side.to_server and self._starting
        wanted = 4 if starting else 5
        piece = data[at : at + wanted - len(side.head)]
        side.head += piece
        at += len(piece)
        if len(side.head) < wanted:
            return at
        kind = 0 if starting else side.head[0]
        (size,) = struct.unpack_from(">I", side.head, 0 if starting else 1)
        side.head.clear()
        kinds = _FROM_CLIENT if side.to_server else _FROM_SERVER
        if (
            not 4 <= size < _MOST_MESSAGE
            or (kind not in kinds and not starting)
            or (starting and not 8 <= size <= 10_000)
        ):
            self._strange(side, ts, out)
            return at
        side.kind, side.left, side.inside = kind, size - 4, True
        side.payload.clear()
        side.cut = side.gap = False
        if not side.left:
            self._message(side, ts, out)
        return at

    def _strange(self, side: _Side, ts: int, out: list[SqlEvent]) -> None:
        """No message of this protocol: on a connection that never spoke it, nobody does; else bytes are missing."""
        self.counters["sql_bad_messages"] += 1
        self._abandon(ts, out)
        if self._starting or not self._user:
            self._over = True
            out.append(NotSql("not PostgreSQL"))
        else:
            side.lost = True

    def _read_payload(self, side: _Side, ts: int, data: bytes, at: int, out: list[SqlEvent]) -> int:
        end = min(len(data), at + side.left)
        room = 0 if side.kind in _UNREAD else self._limits.held - len(side.payload)
        kept = min(end, at + max(0, room))
        side.payload += data[at:kept]
        side.cut |= kept < end
        side.left -= end - at
        if not side.left:
            self._message(side, ts, out)
        return end

    def _message(self, side: _Side, ts: int, out: list[SqlEvent]) -> None:
        """A message is whole (or as whole as the limits allow)."""
        side.inside = False
        payload = bytes(side.payload)
        side.payload.clear()
        try:
            if side.kind == 0:
                self._start(ts, payload, out)
            elif side.to_server:
                self._asks(chr(side.kind), ts, payload, side, out)
            else:
                self._answers(chr(side.kind), ts, payload, side, out)
        except (struct.error, IndexError):
            self.counters["sql_bad_messages"] += 1

    # -- the beginning ---------------------------------------------------------------------------------------------

    def _start(self, ts: int, payload: bytes, out: list[SqlEvent]) -> None:
        (code,) = struct.unpack_from(">I", payload)
        if code in (_SSL, _GSS):
            self._one_byte = True
        elif code not in POSTGRES_STARTS or code == _CANCEL:
            self._over = True
            if code != _CANCEL:
                out.append(NotSql("not PostgreSQL"))
        else:
            self._starting = False
            words = payload[4:].split(b"\0")
            given = {
                k.decode("utf-8", "replace"): v.decode("utf-8", "replace")[:256]
                for k, v in zip(words[::2], words[1::2], strict=False)
            }
            self._user = given.get("user", "")
            self._database = given.get("database", "") or given.get("user", "")
            if given.get("replication", "") not in ("", "false", "off", "no", "0"):
                self.counters["sql_replication"] += 1
                self._over = True

    def _answer_to_start(self, ts: int, byte: int, out: list[SqlEvent]) -> None:
        """ "S": TLS follows, "G": GSSAPI, "N": the client goes on as it is."""
        if byte in b"SG":
            self._over = True
            out.append(Encrypted(ts) if byte == ord("S") else NotSql("GSSAPI encryption"))

    # -- the client ------------------------------------------------------------------------------------------------

    def _asks(self, kind: str, ts: int, payload: bytes, side: _Side, out: list[SqlEvent]) -> None:
        flawed = side.cut or side.gap
        match kind:
            case "Q":
                self._wait(_Asked(kind, ts, _Portal(_Prepared(self._words(payload)), truncated=flawed)), out)
            case "P":
                name, at = _string(payload, 0)
                statement = self._words(payload[at:])
                _, at = _string(payload, at)
                types = _many(payload, at, ">I")[0] if not flawed else []
                prepared = _Prepared(statement, types)
                self._prepared[name] = prepared
                self._bound(self._prepared)
                self._wait(_Asked(kind, ts, _Portal(prepared, truncated=flawed)), out)
            case "B":
                self._bind(ts, payload, flawed, out)
            case "D":
                name, _ = _string(payload, 1)
                found = self._portals.get(name) if payload[:1] == b"P" else None
                prepared = self._prepared.get(name, _Prepared("")) if payload[:1] == b"S" else _Prepared("")
                self._wait(_Asked(kind, ts, found or _Portal(prepared)), out)
            case "E":
                portal = self._portals.get(_string(payload, 0)[0], _Portal(_Prepared("")))
                self._wait(_Asked(kind, ts, portal), out)
            case "C":
                name, _ = _string(payload, 1)
                if payload[:1] == b"S":
                    self._prepared.pop(name, None)
                else:
                    self._portals.pop(name, None)
                self._wait(_Asked(kind, ts, _Portal(_Prepared(""))), out)
            case "S" | "F":
                self._wait(_Asked(kind, ts, _Portal(_Prepared(""))), out)
            case "d" if self._queue:
                self._copied(self._queue[0], payload, side)

    def _bind(self, ts: int, payload: bytes, flawed: bool, out: list[SqlEvent]) -> None:
        portal, at = _string(payload, 0)
        statement, at = _string(payload, at)
        prepared = self._prepared.get(statement, _Prepared(""))
        found = _Portal(prepared, truncated=flawed)
        self._portals[portal] = found
        self._bound(self._portals)
        self._wait(_Asked("B", ts, found), out)
        forms, at = _many(payload, at, ">h")
        (count,) = struct.unpack_from(">H", payload, at)
        at += 2
        held = 0
        for number in range(count):
            (size,) = struct.unpack_from(">i", payload, at)
            value = payload[at + 4 : at + 4 + max(0, size)]
            at += 4 + max(0, size)
            held += len(value)
            if held > self._limits.held or number >= self._limits.rows:
                found.truncated = True
                continue
            oid = prepared.types[number] if number < len(prepared.types) else 0
            form = forms[number] if len(forms) > 1 and number < len(forms) else forms[0] if len(forms) == 1 else 0
            found.parameters.append(None if size < 0 else self._value(oid, form, value))
        found.forms, _ = _many(payload, at, ">h")

    def _bound(self, held: OrderedDict[str, _Prepared] | OrderedDict[str, _Portal]) -> None:
        if len(held) > self._limits.prepared:
            held.popitem(last=False)
            self.counters["sql_statements_forgotten"] += 1

    def _wait(self, asked: _Asked, out: list[SqlEvent]) -> None:
        if len(self._queue) >= self._limits.pending:
            self.counters["sql_pipeline_limit"] += 1
            self._abandon(asked.start, out)
            self._server.lost = True
        self._queue.append(asked)

    def _words(self, payload: bytes) -> str:
        end = payload.find(b"\0")
        text = payload[: end if end >= 0 else None][: 4 * self._limits.statement].decode("utf-8", "replace")
        return text[: self._limits.statement]

    def _value(self, oid: int, form: int, value: bytes) -> str:
        return shown(oid, form, value[: self._limits.value])

    # -- the server ------------------------------------------------------------------------------------------------

    def _answers(self, kind: str, ts: int, payload: bytes, side: _Side, out: list[SqlEvent]) -> None:
        if kind == "S":
            name, at = _string(payload, 0)
            if name == "server_version":
                self._version = _string(payload, at)[0][:64]
            return
        if kind == "Z":
            self._ready(ts, out)
            return
        if kind == "E":
            self._error(ts, _error(payload), out)
            return
        asked = self._queue[0] if self._queue else None
        if asked is None:
            if kind not in "RKNAv":
                self.counters["sql_answers_to_nothing"] += 1
            return
        match kind:
            case "1" | "2" | "3" | "n" if {"1": "P", "2": "B", "3": "C", "n": "D"}[kind] == asked.kind:
                self._queue.popleft()
            case "t" if asked.kind == "D":
                asked.portal.prepared.types = _many(payload, 0, ">I")[0]
            case "T" if asked.kind in "DQE":
                self._described(asked, payload)
            case "D" if asked.kind in "QE":
                self._row(asked, payload, side)
            case "H" | "G" | "W" if asked.kind in "QE":
                self._result(asked).command = "COPY"
                asked.fields = [_Field("", 0, payload[0])] if payload else []
            case "d":
                self._copied(asked, payload, side)
            case "C" | "I" | "s" if asked.kind in "QE":
                self._completed(kind, asked, ts, payload, out)
            case "V" if asked.kind == "F":
                self._queue.popleft()

    def _described(self, asked: _Asked, payload: bytes) -> None:
        (count,) = struct.unpack_from(">H", payload)
        at, fields = 2, []
        for _ in range(min(count, _MOST_COLUMNS)):
            name, at = _string(payload, at)
            _, _, oid, _, _, form = struct.unpack_from(">IhIhih", payload, at)
            at += 18
            fields.append(_Field(name, oid, form))
        if asked.kind == "D":
            asked.portal.prepared.columns = fields
            self._queue.popleft()
        else:
            result = self._result(asked)
            asked.fields = fields
            result.columns = [Column(f.name, "", TYPES.get(f.oid, "")) for f in fields]

    def _result(self, asked: _Asked) -> SqlResult:
        """The result under way, begun if need be."""
        if asked.result is None:
            portal = asked.portal
            asked.result = SqlResult(
                system="postgresql",
                version=self._version,
                user=self._user,
                database=self._database,
                statement=portal.prepared.statement,
                parameters=portal.parameters,
                start=asked.start,
                truncated=portal.truncated,
            )
            forms = portal.forms
            if asked.kind == "E":
                asked.fields = [
                    _Field(
                        f.name,
                        f.oid,
                        forms[i] if len(forms) > 1 and i < len(forms) else forms[0] if len(forms) == 1 else 0,
                    )
                    for i, f in enumerate(portal.prepared.columns)
                ]
                asked.result.columns = [Column(f.name, "", TYPES.get(f.oid, "")) for f in asked.fields]
        return asked.result

    def _row(self, asked: _Asked, payload: bytes, side: _Side) -> None:
        result = self._result(asked)
        result.row_count += 1
        result.size += len(payload)
        result.gap |= side.gap
        result.truncated |= side.cut
        if side.gap:
            return
        asked.held += len(payload)
        if len(result.rows) >= self._limits.rows or asked.held > self._limits.held:  # the rows kept are the first ones
            result.truncated = True
            return
        (count,) = struct.unpack_from(">H", payload)
        at, row = 2, list[str | None]()
        result.rows.append(row)
        for number in range(count):
            (size,) = struct.unpack_from(">i", payload, at)
            value = payload[at + 4 : at + 4 + max(0, size)]
            at += 4 + max(0, size)
            field = asked.fields[number] if number < len(asked.fields) else _Field("", 0, 0)
            row.append(None if size < 0 else self._value(field.oid, field.form, value))

    def _copied(self, asked: _Asked, payload: bytes, side: _Side) -> None:
        """COPY: lines of text, in any pieces; the binary form is counted."""
        if asked.kind not in "QE":
            return
        result = self._result(asked)
        result.size += len(payload)
        result.gap |= side.gap
        if asked.fields and asked.fields[0].form == 1:
            return
        *lines, rest = (asked.copied + payload).split(b"\n")
        asked.copied = rest[: self._limits.value]
        for line in lines:
            result.row_count += 1
            asked.held += len(line)
            if len(result.rows) >= self._limits.rows or asked.held > self._limits.held:
                result.truncated = True
                continue
            words = line[: self._limits.value].decode("utf-8", "replace").split("\t")
            result.rows.append([None if word == r"\N" else word for word in words])

    def _completed(self, kind: str, asked: _Asked, ts: int, payload: bytes, out: list[SqlEvent]) -> None:
        """A statement's result is over; a simple query may hold more of them."""
        result = self._result(asked)
        if kind == "C":
            result.command = _string(payload, 0)[0][:64]
            last = result.command.rpartition(" ")[2]
            changed = last.isdigit() and not result.columns
            result.affected = int(last[:18]) if changed else None
        elif kind == "s":
            result.anomalies.append("portal-suspended")
        if kind != "I":
            self._emit(asked, ts, out, complete=True)
        if asked.kind == "E":
            self._queue.popleft()
        else:
            asked.result, asked.fields, asked.held, asked.copied = None, [], 0, b""

    def _error(self, ts: int, error: SqlError, out: list[SqlEvent]) -> None:
        asked = self._queue[0] if self._queue else None
        if asked is None or self._failed:
            self.counters["sql_errors_outside"] += 1
            return
        result = self._result(asked)
        result.error = error
        self._emit(asked, ts, out, complete=True)
        asked.result = None
        self._failed = True

    def _ready(self, ts: int, out: list[SqlEvent]) -> None:
        """The server is done with a query, or with all up to a Sync."""
        self._failed = False
        while self._queue:
            asked = self._queue.popleft()
            if asked.kind in "QS":
                if asked.result is not None:
                    self._emit(asked, ts, out, complete=False)
                return

    def _emit(self, asked: _Asked, ts: int, out: list[SqlEvent], *, complete: bool) -> None:
        result = self._result(asked)
        result.end, result.complete = ts, complete and not result.gap
        self.counters["sql_results"] += 1
        out.append(result)


def _string(payload: bytes, at: int) -> tuple[str, int]:
    """Text that a NUL ends, and where it goes on."""
    end = payload.find(b"\0", at)
    end = len(payload) if end < 0 else end
    return payload[at:end].decode("utf-8", "replace"), end + 1


def _many(payload: bytes, at: int, form: str) -> tuple[list[int], int]:
    """Numbers after a 16-bit count of them."""
    (count,) = struct.unpack_from(">H", payload, at)
    size = struct.calcsize(form)
    end = at + 2 + count * size
    return [number for (number,) in struct.iter_unpack(form, payload[at + 2 : end][: count * size // size * size])], end


def _error(payload: bytes) -> SqlError:
    fields = {word[:1]: word[1:].decode("utf-8", "replace") for word in payload.split(b"\0") if word}
    return SqlError(fields.get(b"C", "")[:16], fields.get(b"M", "")[:4096])
