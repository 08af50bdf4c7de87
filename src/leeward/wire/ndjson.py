"""Newline-delimited JSON (application/x-ndjson, JSON lines): a body's lines and where each ends.

Invariant: never raises, does not read the JSON. The lines' offsets let a later stage tell when each had arrived.
"""

from __future__ import annotations

MOST_LINES = 65536
"""Lines read from one body."""


def parse_lines(body: bytes, most: int = MOST_LINES) -> list[tuple[bytes, int]]:
    """(line without its ending and surrounding blanks, offset just after its line feed), blank lines left out.

    The last line counts even if no line feed ends it; its offset is then the body's length.
    """
    lines: list[tuple[bytes, int]] = []
    start, size = 0, len(body)
    while start < size and len(lines) < most:
        newline = body.find(b"\n", start)
        end = size if newline < 0 else newline + 1
        line = body[start:end].strip(b" \t\r\n")
        if line:
            lines.append((line, end))
        start = end
    return lines
