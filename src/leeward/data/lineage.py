"""Where a value was seen before: in the result of a SQL statement, of a tool, in a model's answer.

Only keyed hashes are held, of as many values as were said; the oldest go first and are counted. A value may have several
origins; the latest few are kept.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from leeward.data.hashing import Keyed, normal
from leeward.model.data import Origin
from leeward.model.sql import SqlResult
from leeward.wire.sql import about

_CELLS = 4096  # of one result
_SHORTEST, _LONGEST = 6, 200  # letters and digits of a value that is worth remembering
_ORIGINS = 3


class Lineage:
    """most: values remembered, some 250 bytes each."""

    def __init__(self, keyed: Keyed, most: int = 200_000) -> None:
        self.counters: Counter[str] = Counter()
        self._keyed, self._most = keyed, most
        self._seen: OrderedDict[int, tuple[Origin, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def learn_sql(self, result: SqlResult, where: str, process: str, time: str) -> None:
        """Remembers the cells of a result. where: `postgresql://host/database`. process: who asked."""
        if not result.rows:
            return
        words = about(result.statement)
        table = words.tables[0] if len(words.tables) == 1 else ""
        origins = [
            Origin("sql", ".".join(filter(None, (c.table or table, c.name))), where, words.summary[:500], time, process)
            for c in result.columns
        ]
        cells = 0
        for row in result.rows:
            cells += len(row)
            if cells > _CELLS:
                self.counters["lineage_cells_left_out"] += sum(map(len, result.rows)) - cells + len(row)
                return
            for origin, cell in zip(origins, row, strict=False):
                if cell is not None and worth(cell):
                    self._learn(self._keyed.number(cell), origin)

    def learn(self, numbers: Iterable[int], origin: Origin) -> None:
        """Remembers values by their hashes."""
        for number in numbers:
            self._learn(number, origin)

    def origins(self, number: int) -> tuple[Origin, ...]:
        """Where the value of this hash was seen, the latest last."""
        return self._seen.get(number, ())

    def _learn(self, number: int, origin: Origin) -> None:
        known = tuple(
            o
            for o in self._seen.pop(number, ())
            if (o.source, o.name, o.where) != (origin.source, origin.name, origin.where)
        )
        self._seen[number] = (*known[1 - _ORIGINS :], origin)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
            self.counters["lineage_values_evicted"] += 1


def worth(value: str) -> bool:
    """Is this value long enough to say something when it comes again?"""
    return len(value) >= _SHORTEST and _SHORTEST <= len(normal(value[: _LONGEST + 1])) <= _LONGEST
