"""What bytes hold that can be read as text: plain text, compressed text, text in PDF and office files, strings in other
binaries.

Invariants: no more than `room` bytes come out of one `Reader`, whatever the input claims; what cannot be looked into (images,
sound, encrypted files) is counted; nothing raises on any bytes.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

from leeward.data import office
from leeward.data.allowance import Work
from leeward.wire.content import ContentDecoder

_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_STRINGS = re.compile(rb"[\x20-\x7e\t\r\n]{16,}")
_STRINGS_IN = 256 << 10  # bytes of an unknown binary in which strings are looked for
_MOST_STRINGS = 64 << 10
_ONE = 2 << 20  # bytes that one compressed piece may give
_LAYERS = 3
_LZMA_MEMORY = 32 << 20
# What a file begins with (RFC 6713, PNG, JFIF, GIF89a, TIFF 6, RIFF, ISO 14496-12, ...): what kind of thing it is.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"\x00\x00\x01\x00", "image"),
    (b"8BPS", "image"),
    (b"\xff\x0a", "image"),
    (b"ID3", "media"),
    (b"OggS", "media"),
    (b"fLaC", "media"),
    (b"\xff\xfb", "media"),
    (b"\xff\xf3", "media"),
    (b"\x1aE\xdf\xa3", "media"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"Rar!\x1a\x07", "archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "archive"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FIRST = re.compile(
    b"|".join(re.escape(magic[:4]) for magic, _ in _MAGIC) + rb"|RIFF|....ftyp|BM.{4}\0\0\0\0|x[\x01\x5e\x9c\xda]",
    re.DOTALL,
)
# First bytes of what is worth a look: a magic number, UTF-8 (RFC 3629 §4) that may be cut at its end, half of UTF-16, or
# readable in part.
PROMISING = re.compile(
    b"(?:" + _FIRST.pattern + rb").*"
    rb"|(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*+[\xc2-\xf4]?[\x80-\xbf]{0,2}"
    rb"|(?:[^\0]\0(?:..)?){3}.*|(?:\0[^\0](?:..)?){3}.*|.*[\x20-\x7e]{8}.*",
    re.DOTALL,
)
_COUNTED = {"image": "data_images_unseen", "media": "data_media_unseen", "archive": "data_archives_unseen"}
_PICTURES = (b"avif", b"heic", b"heix", b"mif1")


class Reader:
    """What is read of one payload. counters: `data_images_unseen`, `data_media_unseen`, `data_archives_unseen`,
    `data_pdf_unread`, `data_cut` (room ran out) are counted in it."""

    def __init__(self, room: int, counters: Counter[str]) -> None:
        self.room = room
        self._counters = counters
        self._work = Work()

    def promising(self, head: bytes) -> bool:
        """Whether bytes that begin so may be read, or must be counted."""
        return PROMISING.fullmatch(head) is not None

    def read(self, raw: bytes, depth: int = 0) -> Iterator[tuple[str, str]]:
        """(`>` and what more was undone, text) for each text in these bytes."""
        kind = kind_of(raw)
        if kind in _COUNTED:
            self._counters[_COUNTED[kind]] += 1
        elif kind in _UNPACK and depth < _LAYERS:
            inner = self._unpacked(kind, raw)
            if inner:
                for how, text in self.read(inner, depth + 1):
                    yield f">{kind}{how}", text
            elif kind == "zlib":
                yield from self._given("", readable(raw))
        elif kind == "pdf":
            from leeward.data.pdf import pdf_text  # takes longer to load than most texts to read

            yield from self._given(">pdf", pdf_text(raw, self._most(), self._counters, self._work))
        elif kind == "zip":
            yield from self._given(">zip", office.text_of(raw, self._most(), self._counters))
        else:
            yield from self._given("", readable(raw) or _wide(raw) or _strings(raw))

    def _most(self) -> int:
        return min(self.room, _ONE)

    def _unpacked(self, kind: str, raw: bytes) -> bytes:
        if self.room <= 0:
            self._counters["data_cut"] += 1
            return b""
        out = _UNPACK[kind](raw, self._most())
        self.room -= len(out)
        if len(out) >= _ONE or self.room <= 0:
            self._counters["data_cut"] += 1
        return out

    def _given(self, how: str, text: str | None) -> Iterator[tuple[str, str]]:
        if not text:
            return
        if self.room <= 0:
            self._counters["data_cut"] += 1
            return
        self.room -= len(text)
        yield how, text


def kind_of(raw: bytes) -> str:
    """`image`, `media`, `archive`, `pdf`, `zip`, a compression, `utf-16`, or "" for anything else."""
    if not _FIRST.match(raw):
        return ""
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            return kind
    if raw.startswith(b"RIFF"):
        return "image" if raw[8:12] == b"WEBP" else "media"
    if raw[4:8] == b"ftyp":
        return "image" if raw[8:12] in _PICTURES else "media"
    if raw.startswith(b"BM") and raw[6:10] == b"\0\0\0\0":
        return "image"
    # RFC 1950 §2.2: CMF*256 + FLG is a multiple of 31
    return "zlib" if raw[:1] == b"x" and int.from_bytes(raw[:2], "big") % 31 == 0 else ""


def readable(raw: bytes) -> str | None:
    """UTF-8 text without control characters; None for anything else."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_TEXT.search(text) else text


def _zeros(raw: bytes) -> str:
    """ "little" or "big" where every fourth byte or more is the zero of an ASCII character in UTF-16 of that order; else ""."""
    low, high = raw[:64:2].count(0), raw[1:64:2].count(0)
    least = len(raw[:64]) / 8
    if high >= least and not low:
        return "little"
    return "big" if low >= least and not high else ""


def _wide(raw: bytes) -> str | None:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codec = "utf-16"
    elif order := _zeros(raw):
        codec = "utf-16-le" if order == "little" else "utf-16-be"
    else:
        return None
    text = raw[: len(raw) & ~1].decode(codec, "replace")
    return None if _NOT_TEXT.search(text) else text


def _strings(raw: bytes) -> str | None:
    """Readable strings in an unknown binary, a line each."""
    found = [hit.decode("ascii") for hit in _STRINGS.findall(raw, 0, _STRINGS_IN)]
    return "\n".join(found)[:_MOST_STRINGS] or None


def _zlib(raw: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, most)
    except zlib.error:
        return b""


def _bzip2(raw: bytes, most: int) -> bytes:
    try:
        return bz2.BZ2Decompressor().decompress(raw, most)
    except (OSError, EOFError):
        return b""


def _xz(raw: bytes, most: int) -> bytes:
    try:
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(raw, most)
    except (lzma.LZMAError, EOFError):
        return b""


def _zstd(raw: bytes, most: int) -> bytes:
    return ContentDecoder(("zstd",), most).feed(raw)[:most]


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _zlib,
    "zlib": _zlib,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}
