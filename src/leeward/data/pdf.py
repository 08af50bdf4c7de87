"""The text of PDF files, by pypdf.

Invariants: nothing raises on any bytes, no other program is run, and pages, characters and every decoded stream are bounded,
and with them the time (a second or two for what is made to be slow).
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader, apply_configuration
from pypdf.errors import DependencyError, DeprecationError, PyPdfError

from leeward.data.allowance import Work

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is odd in a file is counted, not told line by line
_MOST_BYTES = 8 << 20  # of a file
_MOST_PAGES = 50
_MOST_TEXT = 1 << 20  # characters
_FILE_WORK = 16 << 10  # bytes of content that opening a file counts for
_STREAM = 1 << 20  # bytes decoded of one stream
_PARSED = 60_000  # operands and operators of one page
# "Please note that broken PDF files might cause other Exceptions" (pypdf.errors): those that its parsers let through.
_BROKEN = (
    PyPdfError, DependencyError, DeprecationError, ArithmeticError, AssertionError, AttributeError, EOFError, LookupError,
    MemoryError, NotImplementedError, OSError, RecursionError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_LIMITS: dict[str, Any] = {
    "maximum_declared_stream_length": _MOST_BYTES,
    "array_based_stream_maximum_output_length": _STREAM,
    "jbig2_maximum_output_length": _STREAM,
    "lzw_maximum_output_length": _STREAM,
    "run_length_maximum_output_length": _STREAM,
    "zlib_maximum_output_length": _STREAM,
    "zlib_maximum_recovery_input_length": 64 << 10,
    "brotli_maximum_output_length": _STREAM,
    "image_maximum_buffer_size": _STREAM,
    "stream_filters_maximum_length": 4,
    "stream_decoding_work_maximum_length": 4 * _STREAM,
    "stream_parsing_work_maximum_count": _PARSED,
    "array_maximum_element_count": 20_000,
    "dictionary_maximum_element_count": 20_000,
    "page_tree_maximum_entries": 2_000,
    "page_tree_maximum_page_entries": 20_000,
    "page_tree_maximum_depth": 20,
    "xform_maximum_invocations_per_extraction": 200,
    "jbig2dec_binary": None,
    "disable_legacy_handling": True,
}


def pdf_text(
    raw: bytes, most: int = _MOST_TEXT, counters: Counter[str] | None = None, work: Work | None = None
) -> str | None:
    """The text of the first pages, at most `most` characters; None where there is none. counters: `data_pdf_unread` a file or
    page that could not be read; `data_cut` a file with more than is looked at."""
    counters = Counter() if counters is None else counters
    work = Work() if work is None else work
    if len(raw) > _MOST_BYTES or most <= 0 or work.left <= 0:
        counters["data_cut"] += 1
        return None
    found: list[str] = []
    size = 0
    try:
        with apply_configuration(**_LIMITS):
            for text in _pages(raw, counters, work):
                found.append(text[: most - size])
                size += len(text) + 1
                if size >= most:
                    counters["data_cut"] += 1
                    break
    except _BROKEN:
        counters["data_pdf_unread"] += 1
    return "\n".join(filter(None, found)) or None


def _pages(raw: bytes, counters: Counter[str], work: Work) -> Iterator[str]:
    work.left -= _FILE_WORK
    reader = PdfReader(io.BytesIO(raw), strict=False, root_object_recovery_limit=1000)
    if reader.is_encrypted and not reader.decrypt(""):
        counters["data_pdf_unread"] += 1
        return
    for number, page in enumerate(reader.pages):
        try:
            contents = page.get_contents()
            work.left -= len(contents.get_data()) if contents is not None else 0
            if number == _MOST_PAGES or work.left <= 0:
                counters["data_cut"] += 1
                return
            yield page.extract_text()
        except _BROKEN:
            counters["data_pdf_unread"] += 1
