"""What a MySQL server answers: the queue of what it was asked, and one step a packet.

Source: MySQL documentation, "Command Phase", "COM_QUERY Response", "COM_STMT_PREPARE Response", "COM_STMT_EXECUTE Response";
MariaDB documentation, "Result Set Packets". Invariants: a packet goes to the answer that its number says; the queue holds at most
`SqlLimits.pending` requests and four times `SqlLimits.held` bytes. Readers raise one of `BAD` where a packet is none of what the
step allows: the caller has lost the server then.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Callable

from leeward.model.sql import Column, SqlResult
from leeward.wire import mysql_messages as messages
from leeward.wire import mysql_rows as rows
from leeward.wire.mysql_asked import TELLING, Asked, Command, Session, Step
from leeward.wire.mysql_messages import BadPacket, Done
from leeward.wire.mysql_packets import Packet
from leeward.wire.mysql_values import type_name
from leeward.wire.sql import SqlEvent

BAD = (BadPacket, ValueError, IndexError, struct.error)
ENOUGH = 1024
"""Bytes of a packet that is no row: OK tells what changed in a session."""
_USE = re.compile(r"\s*USE\s+(`(?:[^`]|``){1,256}`|[^\s`;]{1,256})\s*;?\s*", re.IGNORECASE)


class Answers:
    """What was asked on a connection, in order, and the results that come of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._queue: deque[Asked] = deque()
        self._held = 0

    # -- the queue -------------------------------------------------------------------------------------------------

    def wait(self, asked: Asked) -> bool:
        """`asked` waits for its answer. False: too much waits."""
        if len(self._queue) >= self._session.limits.pending or self._held > 4 * self._session.limits.held:
            return False
        self._queue.append(asked)
        self._held += asked.weight
        return True

    def abandon(self, ts: int) -> list[SqlEvent]:
        """What the server answered to what was asked is not known any more."""
        out: list[SqlEvent] = []
        for asked in self._queue:
            if asked.step is Step.LOGIN:
                self._logged_in()
            if asked.command in TELLING:
                self._emit(asked, ts, out, complete=False)
        self._queue.clear()
        self._held = 0
        return out

    def awaited(self) -> int | None:
        """The number of the server's next packet, None if nothing waits."""
        return self._queue[0].next_seq if self._queue else None

    def wanted(self) -> int:
        """How many bytes are of use of the server's next packet."""
        small = not self._queue or self._queue[0].full or self._queue[0].step is Step.LOGIN
        return ENOUGH if small else self._session.limits.held

    def goes_on(self, seq: int) -> Asked | None:
        """What a client's packet of this number belongs to that is no command: a file that the server asked for, or what a
        login goes on with."""
        if not self._queue:
            return None
        first, last = self._queue[0], self._queue[-1]
        if first.step is Step.FILE and (self._session.coding or seq == first.next_seq):
            return first
        return last if last.step is Step.LOGIN and seq else None

    def gone_on(self, asked: Asked, packet: Packet) -> None:
        """The client's packet was this one. An empty one ends a file."""
        asked.next_seq = packet.last + 1 & 255
        if asked.step is Step.FILE:
            self._result(asked).size += packet.size
            asked.step = asked.step if packet.size else Step.RESULT

    def _over(self, asked: Asked) -> None:
        """What comes next from the server is about the next one."""
        self._queue.popleft()
        self._held = self._held - asked.weight if self._queue else 0

    # -- packets ---------------------------------------------------------------------------------------------------

    def packet(self, ts: int, packet: Packet) -> list[SqlEvent]:
        """What comes of a packet of the server. Raises one of `BAD`."""
        out: list[SqlEvent] = []
        asked = self._asker(ts, packet, out)
        if asked is None:
            self._session.counters["sql_answers_to_nothing"] += 1
            return out
        asked.next_seq = packet.last + 1 & 255
        if packet.headless and asked.step not in (Step.COLUMNS, Step.ROWS):
            raise BadPacket
        if packet.payload[:1] == b"\xff" and not packet.headless:
            self._failed(asked, ts, packet, out)
        else:
            self._older_server(asked, packet)
            _STEPS[asked.step](self, asked, ts, packet, out)
        return out

    def _asker(self, ts: int, packet: Packet, out: list[SqlEvent]) -> Asked | None:
        """Whose answer a packet belongs to. One whose end was not seen is over when the next one's begins. What is compressed has
        numbers that not all servers count alike."""
        if not self._queue or self._session.coding or packet.seq == self._queue[0].next_seq:
            return self._queue[0] if self._queue else None
        if len(self._queue) < 2 or packet.seq != self._queue[1].next_seq:
            raise BadPacket
        late = self._queue[0]
        if late.command in TELLING:
            self._emit(late, ts, out, complete=False)
        self._over(late)
        return self._queue[0]

    def _failed(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        error = messages.error(packet.payload)
        if error is None:
            self._session.counters["sql_progress_reports"] += 1
            return
        if asked.command in TELLING or asked.command == Command.PREPARE:
            self._parameters_known(asked)
            self._result(asked).error = error
            self._emit(asked, ts, out, complete=True)
        else:
            self._session.counters["sql_logins_refused" if asked.step is Step.LOGIN else "sql_errors_outside"] += 1
        self._over(asked)

    def _older_server(self, asked: Asked, packet: Packet) -> None:
        """A client's DEPRECATE_EOF may be a wish, where the server's greeting was not seen: an EOF after definitions tells."""
        session = self._session
        is_eof = packet.size == 5 and packet.payload[:1] == b"\xfe" and asked.step in (Step.COLUMNS, Step.ROWS)
        if is_eof and session.can(messages.DEPRECATE_EOF):
            session.capabilities &= ~messages.DEPRECATE_EOF
            if asked.step is Step.ROWS and not self._result(asked).row_count and asked.command != Command.FETCH:
                asked.step = Step.AFTER_COLUMNS
            elif asked.step is Step.COLUMNS and not asked.fields:
                asked.step = Step.AFTER_PARAMETERS

    def _login(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        """OK ends it; everything else is between the two, and is what proves who the client is."""
        if packet.payload[:1] == b"\0":
            self._over(asked)
            self._logged_in()

    def _logged_in(self) -> None:
        """From the next packet on holds what was agreed on. "If both … are set, zlib is used"."""
        session = self._session
        session.coding = "deflate" if session.can(messages.COMPRESS) else "zstd" if session.can(messages.ZSTD) else ""

    def _one(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        if packet.payload[:1] == b"\0" and asked.database:
            self._session.database = asked.database
        self._over(asked)

    def _listed(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        """Definitions of columns that no rows come for."""
        if packet.payload[:1] == b"\xfe":
            self._over(asked)

    # -- what a statement was prepared to --------------------------------------------------------------------------

    def _prepared(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        said = messages.prepared(packet.payload, self._session.capabilities)
        asked.statement.parameters, asked.statement.answered = said.parameters, True
        self._session.statements.add(said.number, asked.statement)
        if said.metadata:
            asked.left, asked.parameters_left = said.columns, said.parameters
        self._definitions_next(asked)

    def _definitions_next(self, asked: Asked) -> None:
        if asked.parameters_left:
            asked.step = Step.PARAMETERS
        elif asked.left:
            asked.step = Step.COLUMNS
        else:
            self._over(asked)

    def _parameter(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        """Its definition says nothing."""
        asked.parameters_left -= 1
        if not asked.parameters_left and self._session.can(messages.DEPRECATE_EOF):
            self._definitions_next(asked)
        elif not asked.parameters_left:
            asked.step = Step.AFTER_PARAMETERS

    def _after_parameters(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        self._definitions_next(asked)

    # -- results ---------------------------------------------------------------------------------------------------

    def _begins(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        """The first packet of a result."""
        self._parameters_known(asked)
        session, first = self._session, packet.payload[0]
        if first == 0:
            self._done(asked, ts, messages.done(packet.payload, session.capabilities), out)
        elif first == 0xFB and asked.command == Command.QUERY:
            session.counters["sql_local_infile"] += 1
            self._result(asked).anomalies.append("local-infile")
            asked.step = Step.FILE
        else:
            reader = messages.Reader(packet.payload)
            asked.left = reader.lenenc()
            if asked.left > messages.MOST_COLUMNS:
                raise BadPacket
            optional = session.can(messages.CACHE_METADATA | messages.OPTIONAL_METADATA) and reader.rest()
            asked.step = Step.COLUMNS
            if optional and reader.number(1) != 1:
                known = asked.statement.fields
                asked.fields = known if len(known) == asked.left else [None] * asked.left
                self._described(asked)

    def _column(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        asked.fields.append(None if packet.gap else messages.definition(packet.payload, self._session.capabilities))
        if asked.command != Command.PREPARE:
            self._result(asked).gap |= packet.gap
        asked.left -= 1
        if not asked.left:
            self._described(asked)

    def _described(self, asked: Asked) -> None:
        classic = not self._session.can(messages.DEPRECATE_EOF)
        if asked.binary or asked.command == Command.PREPARE:
            asked.statement.fields = asked.fields
            self._session.statements.weigh(asked.statement)
        if asked.command != Command.PREPARE:
            self._show_columns(asked)
        asked.step = Step.AFTER_COLUMNS if classic else Step.ROWS
        if asked.command == Command.PREPARE and not classic:
            self._over(asked)

    def _after_columns(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        if packet.payload[:1] != b"\xfe":
            raise BadPacket
        done = messages.end_of_file(packet.payload)
        if asked.command == Command.PREPARE:
            self._over(asked)
        elif done.status & messages.CURSOR_EXISTS:
            self._done(asked, ts, done, out)
        else:
            asked.step = Step.ROWS

    def _row(self, asked: Asked, ts: int, packet: Packet, out: list[SqlEvent]) -> None:
        classic = not self._session.can(messages.DEPRECATE_EOF)
        if packet.payload[:1] == b"\xfe" and not packet.headless and packet.size < (9 if classic else 0xFFFFFF):
            ok = (
                messages.end_of_file(packet.payload)
                if classic
                else messages.done(packet.payload, self._session.capabilities)
            )
            self._done(asked, ts, ok, out)
            return
        limits, result = self._session.limits, self._result(asked)
        result.row_count += 1
        result.size += packet.size
        result.gap |= packet.gap
        asked.held += packet.size
        asked.full |= len(result.rows) >= limits.rows or asked.held > limits.held
        result.truncated |= packet.cut or asked.full  # the rows kept are the first ones
        if packet.gap or packet.cut or asked.full:
            return
        read = rows.binary_row if asked.binary else rows.text_row
        try:
            result.rows.append(read(packet.payload, asked.fields, limits.value))
        except BAD:
            self._session.counters["sql_rows_unread"] += 1
            result.truncated = True

    def _done(self, asked: Asked, ts: int, done: Done, out: list[SqlEvent]) -> None:
        """A result is over; a statement may have more of them."""
        result = self._result(asked)
        result.affected = done.affected if not result.columns else None
        if done.status & messages.CURSOR_EXISTS:
            result.anomalies.append("cursor-open")
        use = None if result.columns else _USE.fullmatch(result.statement[:1024])
        if asked.command in TELLING:
            self._emit(asked, ts, out, complete=True)
        if done.database is not None:
            self._session.database = done.database
        elif use is not None:
            self._session.database = use[1].strip("`").replace("``", "`")
        if done.status & messages.MORE_RESULTS and asked.command != Command.FETCH:
            asked.again()
        else:
            self._over(asked)

    def _parameters_known(self, asked: Asked) -> None:
        """A statement that waited to be prepared is."""
        if asked.raw:
            parameters(asked, self._session)
            self._held = sum(waiting.weight for waiting in self._queue)

    def _result(self, asked: Asked) -> SqlResult:
        """The result under way, begun if need be."""
        session = self._session
        if asked.result is None:
            asked.result = SqlResult(
                system="mysql",
                version=session.greeting.version if session.greeting is not None else "",
                user=session.user,
                database=session.database,
                statement=asked.statement.text,
                parameters=asked.parameters,
                start=asked.start,
                truncated=asked.truncated or asked.statement.cut,
            )
            if asked.command == Command.FETCH:
                asked.fields = asked.statement.fields
                self._show_columns(asked)
        return asked.result

    def _show_columns(self, asked: Asked) -> None:
        result = self._result(asked)
        result.columns = [
            Column(field.name, field.table, field.type or type_name(field.kind)) if field is not None else Column("")
            for field in asked.fields
        ]

    def _emit(self, asked: Asked, ts: int, out: list[SqlEvent], *, complete: bool) -> None:
        result = self._result(asked)
        result.end, result.complete = ts, complete and not result.gap
        self._session.counters["sql_results"] += 1
        out.append(result)


_STEPS: dict[Step, Callable[[Answers, Asked, int, Packet, list[SqlEvent]], None]] = {
    Step.ONE: Answers._one,
    Step.LOGIN: Answers._login,
    Step.RESULT: Answers._begins,
    Step.FILE: Answers._begins,
    Step.COLUMNS: Answers._column,
    Step.AFTER_COLUMNS: Answers._after_columns,
    Step.ROWS: Answers._row,
    Step.PREPARED: Answers._prepared,
    Step.PARAMETERS: Answers._parameter,
    Step.AFTER_PARAMETERS: Answers._after_parameters,
    Step.LIST: Answers._listed,
}


def parameters(asked: Asked, session: Session) -> None:
    """Reads what was sent of parameters, once it is known how many a statement has."""
    raw, asked.raw = asked.raw, b""
    try:
        if asked.command == Command.BULK:
            given = rows.bulk(raw, asked.statement, session.most)
        else:
            given = rows.execute(raw, asked.statement, session.can(messages.QUERY_ATTRIBUTES), session.most)
        asked.parameters = given.values
        asked.truncated |= given.cut
    except BAD:
        session.counters["sql_parameters_unread"] += 1
        asked.truncated = True
    session.statements.used(asked.statement)
