"""What probes need of an ELF file: symbols by name, code by address, and, where symbols were stripped, functions by what they
refer to.

Source: System V ABI, "Object Files", and for the unwind tables LSB Core 5.0 §10.6 (.eh_frame_hdr). Invariant: a file that lies,
whatever it says, raises `ElfError` or gives nothing. x86-64 only.
"""

from __future__ import annotations

import bisect
import mmap
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from struct import error as StructError
from types import TracebackType

import msgspec

_HEADER = Struct("<16sHHIQQQIHHHHHH")
_SECTION = Struct("<IIQQQQIIQQ")
_SEGMENT = Struct("<IIQQQQQQ")
_SYMBOL = Struct("<IBBHQQ")
_ENTRY = Struct("<II")
_DISTANCE = Struct("<i")
_SYMTAB, _DYNSYM, _NOTE, _NOBITS = 2, 11, 7, 8
_LOAD, _GNU_EH_FRAME = 1, 0x6474E550
_EXECUTABLE = 1
_X86_64 = 62
_FUNC, _GNU_IFUNC = 2, 10
_MOST = 4096  # sections or segments; real files have a few dozen
#: LEA r64, [rip+disp32]: REX.W, 8D, ModRM with mod 00 and r/m 101 (Intel SDM vol. 2, LEA).
_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_LEA_SIZE = 7
#: DW_EH_PE_udata4 for the count, DW_EH_PE_datarel | DW_EH_PE_sdata4 for the table: what every linker writes.
_TABLE_FORM = b"\x03\x3b"


class ElfError(ValueError):
    """The file is not what its header says it is, or not for this machine."""


class Section(msgspec.Struct, frozen=True):
    """offset, size: 0 for what has no place in the file."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int


class Segment(msgspec.Struct, frozen=True):
    kind: int
    flags: int
    offset: int
    address: int
    file_size: int


class Elf:
    """Use as a context manager: the file is mapped, not read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                self.data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except ValueError as error:  # an empty file
                raise ElfError("empty") from error
        try:
            self._read()
        except (StructError, OverflowError) as error:
            self.data.close()
            raise ElfError(f"cut or damaged: {error}") from error
        except ElfError:
            self.data.close()
            raise

    def __enter__(self) -> Elf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.data.close()

    def _read(self) -> None:
        ident, _, machine, _, _, phoff, shoff, _, _, _, phnum, _, shnum, shstrndx = _HEADER.unpack_from(self.data)
        if ident[:6] != b"\x7fELF\x02\x01":
            raise ElfError("not a 64-bit little-endian ELF file")
        if machine != _X86_64:
            raise ElfError(f"machine {machine} is not supported")
        if max(phnum, shnum) > _MOST:
            raise ElfError("too many sections or segments")
        segments = [self._segment(phoff + i * _SEGMENT.size) for i in range(phnum)]
        self.segments = [s for s in segments if s.offset + s.file_size <= len(self.data)]
        raw = [_SECTION.unpack_from(self.data, shoff + i * _SECTION.size) for i in range(shnum)]
        names = raw[shstrndx][4] if shstrndx < len(raw) else 0
        held = [(s[4], s[5]) if s[4] + s[5] <= len(self.data) and s[1] != _NOBITS else (0, 0) for s in raw]
        self.sections = [
            Section(self._string(names + s[0]), s[1], s[3], at, size, s[6])
            for s, (at, size) in zip(raw, held, strict=True)
        ]
        self._symbols = [s for s in self.sections if s.kind in (_DYNSYM, _SYMTAB)]
        self._found: dict[str, tuple[int, int] | None] = {}
        self._starts: list[int] | None = None

    def _segment(self, at: int) -> Segment:
        kind, flags, offset, address, _, size, _, _ = _SEGMENT.unpack_from(self.data, at)
        return Segment(kind, flags, offset, address, size)

    def _string(self, at: int) -> str:
        end = self.data.find(b"\0", at, at + 512)
        return self.data[at:end].decode("latin-1") if end >= 0 else ""

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    # -- symbols -------------------------------------------------------------------------------------------------

    def symbol(self, name: str) -> int | None:
        """Address of the function `name`, dynamic or static, defined here."""
        if name not in self._found:
            self._found[name] = next((f for table in self._symbols if (f := self._look(table, name.encode()))), None)
        found = self._found[name]
        return found[0] if found else None

    def _look(self, table: Section, name: bytes) -> tuple[int, int] | None:
        """The string is looked for, then the entry that points to it: no table is read entry by entry."""
        if table.link >= len(self.sections):
            return None
        strings = self.sections[table.link]
        low, high = strings.offset, strings.offset + strings.size
        at = self.data.find(name + b"\0", low, high)
        while at >= 0:
            found = self._entry(table, at - low)
            if found:
                return found
            at = self.data.find(name + b"\0", at + 1, high)
        return None

    def _entry(self, table: Section, name: int) -> tuple[int, int] | None:
        wanted = name.to_bytes(4, "little")
        low, high = table.offset, table.offset + table.size
        at = self.data.find(wanted, low, high)
        while at >= 0:
            if (at - low) % _SYMBOL.size == 0 and at + _SYMBOL.size <= high:
                _, info, _, section, value, size = _SYMBOL.unpack_from(self.data, at)
                if section and value and info & 15 == _FUNC:
                    return value, size
            at = self.data.find(wanted, at + 1, high)
        return None

    # -- code ----------------------------------------------------------------------------------------------------

    def offset(self, address: int) -> int:
        """File offset of an address in an executable segment; else ElfError."""
        for load in self.segments:
            inside = load.address <= address < load.address + load.file_size
            if load.kind == _LOAD and inside and load.flags & _EXECUTABLE:
                return address - load.address + load.offset
        raise ElfError(f"address {address:#x} is not in an executable segment")

    def executable(self) -> list[Segment]:
        """The segments that hold code."""
        return [s for s in self.segments if s.kind == _LOAD and s.flags & _EXECUTABLE]

    def code(self, address: int, most: int = 512) -> bytes:
        """The function at `address` as far as its end is known, at most `most` bytes."""
        at = self.offset(address)
        size = next((f[1] for f in self._found.values() if f and f[0] == address and f[1]), 0)
        if not size and (end := self.end(address)):
            size = end - address
        return self.data[at : at + min(size or most, most)]

    def function(self, address: int) -> int | None:
        """Start of the function that holds `address`, by the unwind table; None without one."""
        starts = self._functions()
        i = bisect.bisect_right(starts, address) - 1
        return starts[i] if i >= 0 else None

    def end(self, address: int) -> int | None:
        """Where the next function starts, by the unwind table."""
        starts = self._functions()
        i = bisect.bisect_right(starts, address)
        return starts[i] if i < len(starts) else None

    def _functions(self) -> list[int]:
        if self._starts is None:
            self._starts = sorted(self._unwind_table()) or sorted(self._unwind_entries())
        return self._starts

    def _unwind_table(self) -> Iterator[int]:
        header = next((s for s in self.segments if s.kind == _GNU_EH_FRAME), None)
        if header is None or self.data[header.offset + 2 : header.offset + 4] != _TABLE_FORM:
            return
        room = max(0, header.file_size - 12) // 8
        count = min(int.from_bytes(self.data[header.offset + 8 : header.offset + 12], "little"), room)
        table = Struct(f"<{2 * count}i")
        if header.offset + 12 + table.size > len(self.data):
            return
        yield from (header.address + start for start in table.unpack_from(self.data, header.offset + 12)[::2])

    def _unwind_entries(self) -> Iterator[int]:
        """The same from .eh_frame itself, for static programs, which have no table of it (LSB Core 5.0 §10.6.1)."""
        section = self.section(".eh_frame")
        if section is None:
            return
        at, end = section.offset, min(section.offset + section.size, len(self.data))
        relative: dict[
            int, bool
        ] = {}  # where a CIE is → its addresses are relative to their own place, four bytes long
        while at + 12 <= end:
            length, kind = _ENTRY.unpack_from(self.data, at)
            if length in (0, 0xFFFFFFFF):  # the end, or a 64-bit entry, which no compiler writes
                return
            if kind == 0:
                relative[at] = self._is_relative(at + 8, at + 4 + length)
            elif relative.get(at + 4 - kind):
                (distance,) = _DISTANCE.unpack_from(self.data, at + 8)
                yield section.address + at + 8 - section.offset + distance
            at += 4 + length

    def _is_relative(self, at: int, end: int) -> bool:
        """Does this CIE, from its version on, say DW_EH_PE_pcrel | DW_EH_PE_sdata4 for addresses? After the augmentation string
        come code and data alignment and return register, one byte each here, then the augmentation's data, R's byte last."""
        head = self.data[at : min(end, at + 24)]
        version, augmentation, rest = head[:1], head[1:].partition(b"\0")[0], head[1:].partition(b"\0")[2]
        if version != b"\x01" or not augmentation.startswith(b"z"):
            return False
        if not augmentation.rstrip(b"S").endswith(b"R") or len(rest) < 5:
            return False
        return rest[3 + rest[3] : 4 + rest[3]] == b"\x1b"

    def address_of(self, offset: int) -> int | None:
        """Address of a byte of the file; None if it is not loaded."""
        for load in self.segments:
            if load.kind == _LOAD and load.offset <= offset < load.offset + load.file_size:
                return offset - load.offset + load.address
        return None

    def strings(self, ending: bytes, most: int = 16) -> list[int]:
        """Addresses of NUL-terminated strings that end in `ending` (a whole string: begin it with a NUL)."""
        found: list[int] = []
        at = self.data.find(ending + b"\0")
        while at >= 0 and len(found) < most:
            start = self.data.rfind(b"\0", max(0, at - 512), at + 1) + 1
            address = self.address_of(start)
            if address is not None:
                found.append(address)
            at = self.data.find(ending + b"\0", at + 1)
        return found

    def references(self, targets: set[int]) -> dict[int, list[int]]:
        """Which LEA instructions load one of these addresses: target → addresses of the instructions.

        A match in the middle of an instruction is possible and has to be excluded by decoding the function."""
        found: dict[int, list[int]] = defaultdict(list)
        for load in self.executable():
            code = self.data[load.offset : load.offset + load.file_size]
            for match in _LEA.finditer(code):
                at = match.start()
                distance = int.from_bytes(code[at + 3 : at + _LEA_SIZE], "little", signed=True)
                target = load.address + at + _LEA_SIZE + distance
                if target in targets:
                    found[target].append(load.address + at)
        return found

    def build_id(self) -> str:
        """GNU build id in hex, "" if the file has none."""
        for section in self.sections:
            if section.kind == _NOTE and section.name == ".note.gnu.build-id" and section.size <= 256:
                return self.data[section.offset + 16 : section.offset + section.size].hex()
        return ""
