"""What a MySQL client asked for, and what both ends of a connection know: the state of its parser, as data.

Source: MySQL documentation, "Command Phase"; MariaDB documentation, "COM_STMT_BULK_EXECUTE". Invariant: statements of a
connection take no more than `SqlLimits.prepared` entries and `_MOST_PREPARED` bytes, of which the oldest are forgotten first.
"""

from __future__ import annotations

import codecs
import enum
from collections import Counter, OrderedDict

import msgspec

from leeward.model.sql import SqlResult
from leeward.wire.mysql_messages import Field, Greeting
from leeward.wire.mysql_rows import Most, Statement
from leeward.wire.mysql_values import CODECS
from leeward.wire.sql import SqlLimits

_MOST_PREPARED = 8 << 20
_FIELD_WEIGHT = 512  # about what a column takes
_LAST_PREPARED = 0xFFFFFFFF  # MariaDB: "-1 can be used to indicate to use the last statement prepared"


class Command(enum.IntEnum):
    """The commands that are looked into (enum_server_command). CONNECT is a login, never sent by that number."""

    QUIT = 0x01
    INIT_DB = 0x02
    QUERY = 0x03
    CONNECT = 0x0B
    CHANGE_USER = 0x11
    PREPARE = 0x16
    EXECUTE = 0x17
    LONG_DATA = 0x18
    CLOSE = 0x19
    RESET = 0x1A
    FETCH = 0x1C
    RESET_CONNECTION = 0x1F
    BULK = 0xFA


class Step(enum.Enum):
    """What the server's next packet is. NEVER: it does not answer. STREAM: it does not stop answering. FILE: none, the client
    sends a file."""

    NEVER = enum.auto()
    STREAM = enum.auto()
    ONE = enum.auto()
    LOGIN = enum.auto()
    RESULT = enum.auto()
    FILE = enum.auto()
    COLUMNS = enum.auto()
    AFTER_COLUMNS = enum.auto()
    ROWS = enum.auto()
    PREPARED = enum.auto()
    PARAMETERS = enum.auto()
    AFTER_PARAMETERS = enum.auto()
    LIST = enum.auto()


#: Command → how it is answered. One packet: what only is done, or failed; STATISTICS' text.
ANSWERS = {
    **dict.fromkeys((0x00, 0x02, *range(0x05, 0x0A), *range(0x0B, 0x11), 0x14, 0x15, 0x1A, 0x1B, 0x1D, 0x1F), Step.ONE),
    **dict.fromkeys((0x01, 0x18, 0x19), Step.NEVER),  # QUIT, SEND_LONG_DATA, CLOSE
    **dict.fromkeys((0x12, 0x13, 0x1E, 0x20, 0x21), Step.STREAM),  # BINLOG_DUMP and its kin, CLONE
    **dict.fromkeys((0x03, 0x0A, 0x17, 0xFA), Step.RESULT),  # QUERY, PROCESS_INFO, EXECUTE, BULK_EXECUTE
    0x04: Step.LIST,
    0x11: Step.LOGIN,
    0x16: Step.PREPARED,
    0x1C: Step.ROWS,
}
TELLING = frozenset((Command.QUERY, Command.EXECUTE, Command.BULK, Command.FETCH))
"""Their answers are results of a statement."""


class Asked(msgspec.Struct):
    """What the client asked for and how far its answer is. next_seq: number of the packet that goes on with it. raw: parameters
    of a statement that the server has not answered for yet. left, parameters_left: definitions still to come. held: bytes of
    rows. full: no more rows are kept. database: current, once the server says OK."""

    command: int
    start: int
    step: Step
    next_seq: int
    statement: Statement = msgspec.field(default_factory=lambda: Statement(""))
    parameters: list[str | None] = []
    raw: bytes = b""
    binary: bool = False
    truncated: bool = False
    database: str = ""
    left: int = 0
    parameters_left: int = 0
    fields: list[Field | None] = []
    result: SqlResult | None = None
    held: int = 0
    full: bool = False

    @property
    def weight(self) -> int:
        """Bytes that it holds while it waits."""
        return len(self.raw) + len(self.statement.text) + sum(len(value or "") for value in self.parameters)

    def again(self) -> None:
        """One more result of the same statement follows."""
        self.step, self.fields, self.result, self.held, self.full = Step.RESULT, [], None, 0, False


class Session(msgspec.Struct):
    """What is known of a connection. capabilities: of both ends. coding: what frames are compressed with, "" before a login and
    where they are not. most: what is kept of parameters."""

    limits: SqlLimits
    counters: Counter[str]
    statements: Statements
    most: Most
    greeting: Greeting | None = None
    capabilities: int = 0
    charset: int = 0
    user: str = ""
    database: str = ""
    coding: str = ""

    def can(self, capability: int) -> bool:
        return bool(self.capabilities & capability)


def begin(limits: SqlLimits, counters: Counter[str]) -> Session:
    """A connection that nothing is known of."""
    most = Most(limits.rows, limits.held, limits.value)
    return Session(limits, counters, Statements(limits, counters), most)


class Statements:
    """Prepared statements by the server's number. last: the one prepared last, answered or not."""

    def __init__(self, limits: SqlLimits, counters: Counter[str]) -> None:
        self.last: Statement | None = None
        self._limits, self._counters = limits, counters
        self._held: OrderedDict[int, Statement] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0

    def find(self, payload: bytes) -> Statement:
        """The one that a command names; one without words if it was never seen."""
        number = int.from_bytes(payload[1:5], "little")
        found = self.last if number == _LAST_PREPARED else self._held.get(number)
        if found is None:
            self._counters["sql_statement_unknown"] += 1
        return found or Statement("")

    def add(self, number: int, statement: Statement) -> None:
        self._held[number] = statement
        self._held.move_to_end(number)
        statement.number = number
        self.weigh(statement)

    def weigh(self, statement: Statement) -> None:
        """It may have become larger: the oldest go."""
        if self._held.get(statement.number) is not statement:
            return
        weight = len(statement.text) + _FIELD_WEIGHT * len(statement.fields) + sum(map(len, statement.long.values()))
        self._weight += weight - self._weights.get(statement.number, 0)
        self._weights[statement.number] = weight
        while len(self._held) > self._limits.prepared or (self._weight > _MOST_PREPARED and len(self._held) > 1):
            number, _ = self._held.popitem(last=False)
            self._weight -= self._weights.pop(number, 0)
            self._counters["sql_statements_forgotten"] += 1

    def long_data(self, payload: bytes) -> None:
        """A piece of a parameter that is sent ahead of its command."""
        statement = self.find(payload)
        number = int.from_bytes(payload[5:7], "little")
        room = self._limits.held - sum(map(len, statement.long.values()))
        if number not in statement.long and len(statement.long) >= self._limits.rows:
            return
        statement.long.setdefault(number, bytearray()).extend(payload[7:][: max(0, room)])
        self.weigh(statement)

    def used(self, statement: Statement) -> None:
        """What was sent ahead holds for one command."""
        statement.long = {}
        self.weigh(statement)

    def forget(self, payload: bytes, *, altogether: bool) -> None:
        """It is closed, or reset to what it was when it was prepared."""
        number = int.from_bytes(payload[1:5], "little")
        statement = self._held.get(number)
        if statement is not None:
            self.used(statement)
        if statement is not None and altogether:
            del self._held[number]
            self._weight -= self._weights.pop(number, 0)

    def clear(self) -> None:
        self.last, self._weight = None, 0
        self._held.clear()
        self._weights.clear()


def statement_text(words: bytes, charset: int, most: int) -> Statement:
    """A statement of at most `most` characters. It is UTF-8 if it can be: what a connection agreed on may have changed."""
    kept = words[: 4 * most]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(kept)  # a character that is cut at the end is left out
    except UnicodeDecodeError:
        text = kept.decode(CODECS.get(charset, "utf-8"), "replace")
    return Statement(text[:most], cut=len(text) > most or len(kept) < len(words))
