"""Text inside text: what a run of base64, base32 or hexadecimal digits in it says.

`wrapped.yaml` says where a run begins (a pattern of fixed length costs least); here it is followed to its end, over line breaks
where it is wrapped as MIME does. Invariants: a run that decodes to nothing readable is given up after a few bytes; all work is
linear in the run; nothing raises on any bytes.

Formats: RFC 4648 (base64, base64url, base32, base16), RFC 2045 §6.8 (lines), RFC 2397 (data: URLs, whose data is such a run).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from leeward.data.media import PROMISING, Reader, kind_of

_HEAD = 16
"""Characters decoded to see whether the rest is worth it, and of the shortest run; wrapped.yaml has the same number."""
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_RUN = re.compile(rb"[A-Za-z0-9+/_-]+={0,6}")
_LINES = re.compile(rb"(?:[A-Za-z0-9+/]{40,}+\r?\n[ \t]*+)+[A-Za-z0-9+/]+={0,6}")
_WORD = re.compile(rb"[A-Za-z0-9]{16,}+={0,6}")
_HEX = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_BASE32 = re.compile(rb"[A-Z2-7]+={0,6}")
_PLAIN = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]+|[A-Z2-7]+=*")  # what may be hexadecimal or base32
_APART = re.compile(rb"[/_+-](?=[A-Za-z0-9]{16})")
_WITH_APART = re.compile(rb"[A-Za-z0-9]*+(?:[/_+-](?![A-Za-z0-9]{16})[A-Za-z0-9]*+)*+[/_+-]")  # a run with such a place
_NAMES = 256  # characters in which the names before a run end, where it stands in a path
_MOST_NAMES = 16
# What may say something whatever its first digits are in base64: hexadecimal, and others (a letter's second byte, base32, ...).
_OTHER = re.compile(
    b"(?:[^A-Za-z0-9+/_-]|0[xX][0-9A-Fa-f]{%d}|[A-Z2-7]{%d}|%b)|(?P<hex>[0-9A-Fa-f]{%d})"
    % (_HEAD - 2, _HEAD, _WITH_APART.pattern, _HEAD)
)
_SPACED = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[ ,:;-]{1,2}(?:0[xX])?[0-9A-Fa-f]{2})+(?![0-9A-Fa-f])")
_SPACED_AT = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}[ ,:;-]")
_PAIR = re.compile(rb"[0-9A-Fa-f]{2}")


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Bytes start to end of a buffer and what they say. name: what was undone, e.g. `base64>gzip`."""

    start: int
    end: int
    name: str
    text: str


Unwrap = Callable[[bytes, int, Reader], Iterable[Piece]]
"""(buffer, where the run begins or the byte before it, what reads the bytes in it) → what is in it."""


def promising_runs(data: bytes, starts: Iterable[int]) -> set[int]:
    """Those of these places where `run` may find something. Most are names in code and numbers; they are refused together."""
    found, promises = set(), PROMISING.fullmatch
    base64_runs, hex_runs = [], []
    for start in starts:
        begin = start if data[start] in _DIGITS else start + 1
        other = _OTHER.match(data, begin, begin + _NAMES)
        if other is None:
            base64_runs.append((start, begin))
        elif other.lastgroup:
            base64_runs.append((start, begin))
            hex_runs.append((start, begin))
        else:
            found.add(start)
    for runs, size, decode in ((base64_runs, _HEAD * 3 // 4, _base64), (hex_runs, _HEAD // 2, binascii.unhexlify)):
        raw = decode(b"".join([data[begin : begin + _HEAD] for _, begin in runs]).translate(_URL)) or b""
        whole = len(raw) == size * len(runs)  # else there is something among them that is no digit
        found.update(
            start for at, (start, _) in enumerate(runs) if not whole or promises(raw, size * at, size * (at + 1))
        )
    return found


def run(data: bytes, start: int, reader: Reader) -> Iterable[Piece]:
    """Base64 of both alphabets, base32 or hexadecimal."""
    if data[start : start + 1] not in _DIGITS:
        start += 1
    found = _from(data, start, reader)
    if found:
        return found
    # it may stand in a path or behind a name: `/api/NDEx...`, `id_NDEx...`
    if _WITH_APART.match(data, start, start + _NAMES) is None:
        return ()
    whole = _RUN.match(data, start, start + _NAMES)
    for apart in islice(_APART.finditer(data, start, whole.end()), _MOST_NAMES) if whole else ():
        found = _from(data, apart.end(), reader)
        if found:
            return found
    return ()


def _from(data: bytes, start: int, reader: Reader) -> list[Piece]:
    """What the run that begins here says; nothing if its first characters say that it is no use."""
    head = data[start : start + _HEAD]
    if _PLAIN.fullmatch(head) is None and not _may_be_base64(head, reader):
        return []
    for name, decode in _CODINGS:
        raw = decode(head)
        if not raw or not reader.promising(raw):
            continue
        for pattern in (_LINES, _RUN, _WORD):
            hit = pattern.match(data, start)
            if hit is not None and (whole := decode(b"".join(hit[0].split()))):
                found = [Piece(start, hit.end(), f"{name}{how}", text) for how, text in reader.read(whole)]
                if found or kind_of(whole):
                    return found
    return []


def _may_be_base64(head: bytes, reader: Reader) -> bool:
    """Cheap, for most runs are names in code and paths."""
    try:
        return reader.promising(binascii.a2b_base64(head.translate(_URL)))
    except binascii.Error:  # it ends here: _base64 looks closer
        return True


def _hex(piece: bytes) -> bytes | None:
    hit = _HEX.fullmatch(piece)
    return bytes.fromhex(hit[1].decode()) if hit else None


def _base64(piece: bytes) -> bytes | None:
    compact = piece.rstrip(b"=")
    if not compact:
        return None
    if b"-" in compact or b"_" in compact:
        if b"+" in compact or b"/" in compact:
            return None
        compact = compact.translate(_URL)
    if len(compact) % 4 == 1:
        compact = compact[:-1]  # cut
    try:
        return binascii.a2b_base64(compact + b"==="[: -len(compact) % 4])
    except binascii.Error:
        return None


def _base32(piece: bytes) -> bytes | None:
    if not _BASE32.fullmatch(piece):
        return None
    compact = piece.rstrip(b"=")
    compact = compact[: len(compact) - {1: 1, 3: 1, 6: 1}.get(len(compact) % 8, 0)]
    try:
        return base64.b32decode(compact + b"=" * (-len(compact) % 8))
    except binascii.Error:
        return None


def spaced_hex(data: bytes, start: int, reader: Reader) -> Iterable[Piece]:
    """Hexadecimal bytes with something between them: `34 31 31`, `34:31:31`, `0x34, 0x31`."""
    first = _SPACED_AT.search(data, start, start + 16)
    hit = _SPACED.match(data, first.start()) if first else None
    if hit is None:
        return []
    raw = bytes.fromhex(b"".join(_PAIR.findall(hit[0].replace(b"0x", b"").replace(b"0X", b""))).decode())
    if not reader.promising(raw[:_HEAD]):
        return []
    return [Piece(*hit.span(), f"hex{how}", text) for how, text in reader.read(raw)]


_URL = bytes.maketrans(b"-_", b"+/")
_CODINGS = (("hex", _hex), ("base64", _base64), ("base32", _base32))
UNWRAP: dict[str, Unwrap] = {"run": run, "spaced-hex": spaced_hex}
