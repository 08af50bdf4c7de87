"""Text in zip archives: the XML of office files (docx, xlsx, pptx, odt, epub) and plain text files.

Invariants: nothing raises on any bytes; members, bytes read and bytes given are bounded; XML is not parsed (no entities, no
expansion): its tags are taken out.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator

_MOST_MEMBERS = 200
_MOST_BYTES = 16 << 20  # of an archive
_TEXT_NAMES = (
    ".xml",
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".md",
    ".html",
    ".xhtml",
    ".htm",
    ".yaml",
    ".yml",
    ".log",
    ".py",
    ".sql",
    ".env",
)
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".webp")
_MARKUP = (".xml", ".html", ".xhtml", ".htm")
# Ends of paragraphs, cells, shared strings and rows (ECMA-376 part 1 §17, §18, §21; ODF 1.3; HTML) end a line.
_END = re.compile(
    r"</(?:w:p|a:p|si|v|c|row|t:p|text:p|text:h|table:table-cell|p|div|li|td|th|tr|h[1-6])>|<(?:w:tab|w:br|br|a:br)[ />]"
)
_TAG = re.compile(r"<[^<>]*>")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    LookupError,
    MemoryError,
)


def text_of(raw: bytes, most: int, counters: Counter[str]) -> str | None:
    """What is written in an archive, at most `most` characters. counters: `data_archives_unseen`, `data_cut`."""
    if len(raw) > _MOST_BYTES or most <= 0:
        counters["data_cut"] += 1
        return None
    found: list[str] = []
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for text in _members(archive, most, counters):
                found.append(text)
    except _BROKEN:
        counters["data_archives_unseen"] += 1
    return "\n".join(filter(None, found)) or None


def _members(archive: zipfile.ZipFile, most: int, counters: Counter[str]) -> Iterator[str]:
    members = [(info, info.filename.lower()) for info in archive.infolist() if not info.is_dir()]
    names = [info for info, name in members if name.endswith(_TEXT_NAMES)]
    counters["data_images_unseen"] += sum(name.endswith(_PICTURES) for _, name in members)
    if any(not name.endswith((*_TEXT_NAMES, *_PICTURES, ".rels")) for _, name in members):
        counters["data_archives_unseen"] += 1
    for number, info in enumerate(names):
        if number == _MOST_MEMBERS or most <= 0:
            counters["data_cut"] += 1
            return
        try:
            with archive.open(info) as member:
                text = member.read(most).decode("utf-8", "replace")
        except _BROKEN:
            counters["data_archives_unseen"] += 1
            continue
        most -= len(text)
        yield plain(text) if info.filename.lower().endswith(_MARKUP) else text


def plain(markup: str) -> str:
    """The text of XML or HTML, without its tags."""
    return html.unescape(_TAG.sub("", _END.sub("\n", markup)))
