"""Characters before a byte of UTF-8, without decoding from the start each time."""

from __future__ import annotations

_STEP = 2048
_INSIDE = bytes(range(0x80, 0xC0))  # bytes that continue a character (RFC 3629 §3)


class Offsets:
    """Linear to make, constant to ask."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._marks = [0]
        for at in range(0, len(body), _STEP):
            self._marks.append(self._marks[-1] + _starts(body[at : at + _STEP]))

    def chars(self, at: int) -> int:
        """How many characters begin before byte `at`."""
        mark = at // _STEP
        return self._marks[mark] + _starts(self._body[mark * _STEP : at])


def _starts(piece: bytes) -> int:
    return len(piece.translate(None, _INSIDE))
