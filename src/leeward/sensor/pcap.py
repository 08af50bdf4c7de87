"""Captures as a source of raw events: pcap and pcapng, gzip too, read as a stream.

Invariants: a damaged file gives what came before the damage and a counter; only a file that is no capture at all is an
error. Memory: one block at a time, at most 64 MiB. Formats: draft-ietf-opsawg-pcap and -pcapng.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import IO

import msgspec

from leeward.model.errors import InputError
from leeward.model.raw import Datagram, Segment
from leeward.sensor.packet import LINK_TYPES, decode

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_LARGEST = 1 << 26
_SHB, _IDB, _PB, _SPB, _EPB, _DSB = 0x0A0D0D0A, 1, 2, 3, 6, 10
_TLS_KEYS = 0x544C534B  # the type of secrets that a TLS key log is


class _Interface(msgspec.Struct):
    link: int
    snaplen: int
    unit: int = 1000  # nanoseconds of a tick, or
    per_second: int = 0  # ticks of a second where a tick is no whole number of nanoseconds
    offset: int = 0

    def time(self, ticks: int) -> int:
        """Unix nanoseconds."""
        ns = ticks * 10**9 // self.per_second if self.per_second else ticks * self.unit
        return ns + self.offset * 10**9


class Capture:
    """Iterate once. counters: what was odd. keylog_secrets: TLS key logs that the capture carries, as read so far."""

    def __init__(self, path: Path) -> None:
        self.counters: Counter[str] = Counter()
        self.keylog_secrets = b""
        self._path = path
        try:
            file: IO[bytes] = path.open("rb")
            magic = file.read(4)
            file.seek(0)
            if magic[:2] == b"\x1f\x8b":
                file = gzip.open(file)  # type: ignore[assignment]  # noqa: SIM115 - open while it is iterated
                magic = file.read(4)
                file.seek(0)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path}: {getattr(error, 'strerror', None) or error}: name a capture that can be read"
            ) from error
        if magic not in _MAGICS and magic != _SECTION:
            raise InputError(f"{path}: not a capture: expected pcap or pcapng (tcpdump -w, dumpcap, tshark -w)")
        self._file, self._magic = file, magic

    def __iter__(self) -> Iterator[Segment | Datagram]:
        frames = self._pcapng() if self._magic == _SECTION else self._pcap()
        try:
            for link, ts, frame, size in frames:
                self.counters["packets"] += 1
                if link not in LINK_TYPES:
                    self.counters["unknown_link_type"] += 1
                    continue
                event = decode(link, ts, frame, size, self.counters)
                if event is not None:
                    yield event
        except (EOFError, zlib.error, OSError):
            self.counters["damaged_file"] += 1
        finally:
            self._file.close()

    def _exactly(self, size: int) -> bytes | None:
        """The next `size` bytes; None where the file ends before."""
        data = self._file.read(size)
        if len(data) == size:
            return data
        if data:
            self.counters["truncated_capture"] += 1
        return None

    def _pcap(self) -> Iterator[tuple[int, int, bytes, int]]:
        order, unit = _MAGICS[self._magic]
        head = self._exactly(24)
        if head is None:
            return
        link = Struct(order + "I").unpack_from(head, 20)[0] & 0x0FFFFFFF
        record = Struct(order + "IIII")
        while (raw := self._exactly(16)) is not None:
            seconds, fraction, kept, size = record.unpack(raw)
            if kept > _LARGEST:
                self.counters["damaged_file"] += 1
                return
            frame = self._exactly(kept)
            if frame is None:
                self.counters["truncated_capture"] |= 1
                return
            yield link, seconds * 10**9 + fraction * unit, frame, size

    def _pcapng(self) -> Iterator[tuple[int, int, bytes, int]]:
        order = "<"
        interfaces: list[_Interface] = []
        while (head := self._exactly(8)) is not None:
            if head[:4] == _SECTION:
                magic = self._exactly(4)
                if magic is None:
                    return
                order = "<" if magic == b"\x4d\x3c\x2b\x1a" else ">"
                interfaces = []
                size = Struct(order + "I").unpack_from(head, 4)[0]
                if size < 28 or size > _LARGEST or self._exactly(size - 12) is None:
                    self.counters["damaged_file"] += 1
                    return
                continue
            kind, size = Struct(order + "II").unpack(head)
            if size < 12 or size > _LARGEST or size % 4:
                self.counters["damaged_file"] += 1
                return
            body = self._exactly(size - 8)
            if body is None:
                self.counters["truncated_capture"] |= 1
                return
            yield from self._block(kind, body[:-4], order, interfaces)

    def _block(
        self, kind: int, body: bytes, order: str, interfaces: list[_Interface]
    ) -> Iterator[tuple[int, int, bytes, int]]:
        if kind == _IDB and len(body) >= 8:
            interfaces.append(_interface(body, order))
        elif kind in (_EPB, _PB) and len(body) >= 20:
            form = "IIIII" if kind == _EPB else "HHIIII"
            fields = Struct(order + form).unpack_from(body)
            number, (high, low, kept, size) = fields[0], fields[-4:]
            if number < len(interfaces):
                interface = interfaces[number]
                yield interface.link, interface.time(high << 32 | low), body[20 : 20 + kept], size
            else:
                self.counters["packet_of_unknown_interface"] += 1
        elif kind == _SPB and len(body) >= 4 and interfaces:
            size = Struct(order + "I").unpack_from(body)[0]
            kept = min(size, interfaces[0].snaplen or size)
            yield interfaces[0].link, 0, body[4 : 4 + kept], size
        elif kind == _DSB and len(body) >= 8:
            secrets, length = Struct(order + "II").unpack_from(body)
            if secrets == _TLS_KEYS and len(self.keylog_secrets) < _LARGEST:
                self.keylog_secrets += body[8 : 8 + length] + b"\n"


def _interface(body: bytes, order: str) -> _Interface:
    """An interface description block: link type, and how its clock ticks (options if_tsresol 9, if_tsoffset 14)."""
    link, _, snaplen = Struct(order + "HHI").unpack_from(body)
    interface = _Interface(link, snaplen)
    at, option = 8, Struct(order + "HH")
    while at + 4 <= len(body):
        code, length = option.unpack_from(body, at)
        value = body[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == 9 and length == 1:
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** min(value[0], 18)
            interface.per_second = ticks
        elif code == 14 and length == 8:
            interface.offset = int.from_bytes(value, "little" if order == "<" else "big", signed=True)
        at += 4 + (length + 3) // 4 * 4
    return interface
