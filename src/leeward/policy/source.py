"""Where in a YAML file a place in one of its texts stands."""

from __future__ import annotations

import msgspec


class Source(msgspec.Struct, frozen=True):
    """A file's name and text."""

    name: str
    text: str

    def line_of(self, start: int, key: str, value: str, line: int, column: int) -> int:
        """The file's line of a place in `value`, which stands under `key` from the file's line `start` on; all counted from 1.

        YAML folds and indents, so characters that are not blank are counted.
        """
        before = "".join(value.splitlines(keepends=True)[: line - 1]) + value.split("\n")[line - 1][: column - 1]
        left = min(sum(not c.isspace() for c in before), sum(not c.isspace() for c in value) - 1)
        lines = self.text.splitlines()
        first = lines[start - 1]
        head = first.partition(f"{key}:")[2] if f"{key}:" in first else first
        if head.strip()[:1] in ("|", ">"):
            head = ""
        elif head.strip()[:1] in ("'", '"'):
            head = head.strip()[1:]
        for number, text in enumerate([head, *lines[start:]], start):
            size = sum(not c.isspace() for c in text)
            if size > left:
                return number
            left -= size
        return start
