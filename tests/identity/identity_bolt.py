"""Writes small bbolt files: nested buckets, inline buckets, branch pages, overflow pages, both meta pages."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from leeward.identity.bolt import MAGIC, VERSION, fnv1a


class _Writer:
    def __init__(self, page_size: int, fanout: int, inline: bool) -> None:
        self.size, self.fanout, self.inline = page_size, fanout, inline
        self.pages: dict[int, bytes] = {}
        self.next = 4  # 0 and 1: meta, 2: freelist, 3: left empty

    def put(self, flags: int, body: bytes, count: int) -> int:
        total = 16 + len(body)
        overflow = (total - 1) // self.size
        page_id, self.next = self.next, self.next + overflow + 1
        header = struct.pack("<QHHI", page_id, flags, count, overflow)
        self.pages[page_id] = (header + body).ljust((overflow + 1) * self.size, b"\0")
        return page_id

    def leaf(self, entries: list[tuple[bytes, Any]]) -> bytes:
        heads, data = b"", b""
        for n, (key, value) in enumerate(entries):
            raw = self.bucket(value) if isinstance(value, dict) else value
            position = (len(entries) - n) * 16 + len(data)
            heads += struct.pack("<IIII", isinstance(value, dict), position, len(key), len(raw))
            data += key + raw
        return heads + data

    def bucket(self, tree: dict[bytes, Any]) -> bytes:
        entries = sorted(tree.items())
        if self.inline and len(entries) <= self.fanout and not any(isinstance(v, dict) for v in tree.values()):
            return struct.pack("<QQ", 0, 0) + struct.pack("<QHHI", 0, 2, len(entries), 0) + self.leaf(entries)
        return struct.pack("<QQ", self.tree(tree), 0)

    def tree(self, tree: dict[bytes, Any]) -> int:
        entries = sorted(tree.items())
        chunks = [entries[n : n + self.fanout] for n in range(0, len(entries), self.fanout)] or [[]]
        level = [(chunk[0][0] if chunk else b"", self.put(2, self.leaf(chunk), len(chunk))) for chunk in chunks]
        while len(level) > 1:
            groups = [level[n : n + self.fanout] for n in range(0, len(level), self.fanout)]
            level = [(group[0][0], self.put(1, _branch(group), len(group))) for group in groups]
        return level[0][1]


def _branch(group: list[tuple[bytes, int]]) -> bytes:
    heads, data = b"", b""
    for n, (key, page_id) in enumerate(group):
        heads += struct.pack("<IIQ", (len(group) - n) * 16 + len(data), len(key), page_id)
        data += key
    return heads + data


def meta_page(number: int, page_size: int, root: int, pages: int, txid: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", MAGIC, VERSION, page_size, 0, root, 0, 2, pages, txid)
    page = struct.pack("<QHHI", number, 4, 0, 0) + body + struct.pack("<Q", fnv1a(body))
    return page.ljust(page_size, b"\0")


def bolt_bytes(tree: dict[bytes, Any], page_size: int = 4096, fanout: int = 64, inline: bool = True) -> bytes:
    """The older meta page points at an empty leaf (page 3): a reader that takes it finds nothing."""
    writer = _Writer(page_size, fanout, inline)
    root = writer.tree(tree)
    empty = struct.pack("<QHHI", 3, 2, 0, 0).ljust(page_size, b"\0")
    freelist = struct.pack("<QHHI", 2, 16, 0, 0).ljust(page_size, b"\0")
    metas = meta_page(0, page_size, root, writer.next, 7) + meta_page(1, page_size, 3, writer.next, 6)
    return metas + freelist + empty + b"".join(writer.pages[n] for n in sorted(writer.pages))


def write_bolt(path: Path, tree: dict[bytes, Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bolt_bytes(tree, **options))
