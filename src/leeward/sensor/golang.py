"""Go programs: where crypto/tls reads and writes, stripped or not.

Source: Go's runtime/symtab.go (the pcHeader of .gopclntab) and cmd/compile/abi-internal.md. The table of functions is needed by
the runtime itself, so stripping leaves it. Invariants: an address is probed only if the table names it, it begins as Go's
functions do, its code decodes without an invalid instruction up to its end, and the symbol table, where there is one, agrees.
No return probe is ever used: Go moves stacks, so the return instructions are probed instead.
"""

from __future__ import annotations

import re
from struct import Struct

import msgspec
from iced_x86 import Code, Decoder, Instruction, Mnemonic, Register

from leeward.sensor.elf import Elf, Section
from leeward.sensor.layout import GO_OBJECT, TLS_LAYOUT, UNKNOWN_OFFSET
from leeward.sensor.target import Probe, Target, Unseen

_VERSION = re.compile(rb"go1\.(\d{1,3})(?:\.\d{1,3}|rc\d|beta\d)?")
_REGISTERS_SINCE = 17  # arguments are passed in registers (ABIInternal) since Go 1.17, on amd64
_HEADER = Struct("<IHBBQQQQQQQQ")  # magic, pad, minLC, ptrSize, nfunc, nfiles, textStart, five offsets
_MAGICS = {0xFFFFFFF0: "1.18", 0xFFFFFFF1: "1.20"}
_TABLE = re.compile(rb"[\xf0\xf1]\xff\xff\xff\0\0\x01\x08")  # its first bytes, on amd64
_ENTRY = Struct("<II")  # functab: where it starts after textStart, where its _func is
_FUNC = Struct("<Ii")  # _func: entryOff, nameOff
_MOST = 1 << 20  # functions; the largest programs have some hundred thousand
_LONGEST = 1 << 16  # bytes of one function
_FUNCTIONS = {
    b"crypto/tls.(*Conn).Write": "on_go_write",
    b"crypto/tls.(*Conn).Read": "on_go_read",
    b"crypto/tls.(*Conn).Close": "on_go_free",
}
_WRITE, _NOTIFY = b"crypto/tls.(*Conn).Write", b"crypto/tls.(*Conn).closeNotify"
_NAMES = (*_FUNCTIONS, _NOTIFY)
_MOST_C = 1 << 20  # bytes of C before Go's code
# CMP RSP or R12, [R14+16]; a function with a large frame has R12 made of RSP before
_STACK_CHECK = re.compile(rb"(?:\x4c\x8d(?:\x64\x24.|\xa4\x24.{4}))?[\x49\x4d]\x3b\x66\x10", re.DOTALL)
_LAYOUT = TLS_LAYOUT.pack(UNKNOWN_OFFSET, UNKNOWN_OFFSET, UNKNOWN_OFFSET, 0, 0, GO_OBJECT, 0)


def by_table(elf: Elf, name: str) -> Target | Unseen | None:
    """Go's crypto/tls in this program; None if it is no Go program or does not use it."""
    info = elf.section(".go.buildinfo")
    if info is None:
        return None
    version = _VERSION.search(elf.data, info.offset, info.offset + min(info.size, 4096))
    label = f"Go {version[0].decode().removeprefix('go')}" if version else "Go"
    table = _table(elf)
    functions = _functions(elf, table) if table is not None else None
    if functions is None:
        return Unseen(name, f"{label}: its table of functions is of a form that is not known")
    if not functions:
        return None
    if version is None or int(version[1]) < _REGISTERS_SINCE:
        return Unseen(name, f"{label}: crypto/tls is seen into since Go {_REGISTERS_SINCE}")
    probes: list[Probe] = []
    for function, program in _FUNCTIONS.items():
        span = functions.get(function)
        places = _places(elf, *span) if span else None
        if span is None or places is None:
            return Unseen(name, f"{label}: {function.decode()} does not look as it should")
        if elf.symbol(function.decode()) not in (None, span[0]):
            return Unseen(name, f"{label}: its symbol table and its table of functions do not agree")
        entry, returns = places
        probes.append(Probe(program, elf.offset(entry), False))
        if program != "on_go_free":
            done = program.replace("on_go_", "on_go_done_")
            probes += [Probe(done, elf.offset(at), False) for at in returns]
    shutdown = _shutdown(elf, functions)
    return Target(name, f"{label} crypto/tls", elf.build_id(), tuple(probes), "proven", _LAYOUT, shutdown=shutdown)


def _shutdown(elf: Elf, functions: dict[bytes, tuple[int, int]]) -> int:
    """Where Conn.closeNotifySent is, after which Write returns errShutdown: the one byte that Write compares with 0, if it is
    the one that closeNotify sets; -1 if not."""
    if _NOTIFY not in functions:
        return -1
    compared, set_ = (
        {
            i.memory_displacement
            for i in Decoder(64, elf.code(start, end - start), ip=start)
            if i.code == code and i.immediate(1) == value and i.memory_base not in (Register.RSP, Register.RBP)
        }
        for (start, end), code, value in (
            (functions[_WRITE], Code.CMP_RM8_IMM8, 0),
            (functions[_NOTIFY], Code.MOV_RM8_IMM8, 1),
        )
    )
    return int(compared.pop()) if len(compared) == 1 and compared == set_ else -1


def _table(elf: Elf) -> Section | None:
    """The table of functions: a section of its own, or where a linker for C has put it among others."""
    own = elf.section(".gopclntab") or elf.section(".data.rel.ro.gopclntab")
    if own is not None:
        return own
    for name in (".data.rel.ro", ".rodata"):
        section = elf.section(name)
        found = _TABLE.search(elf.data, section.offset, section.offset + section.size) if section is not None else None
        if section is not None and found is not None:
            passed = found.start() - section.offset
            return msgspec.structs.replace(
                section, address=section.address + passed, offset=found.start(), size=section.size - passed
            )
    return None


def _functions(elf: Elf, table: Section) -> dict[bytes, tuple[int, int]] | None:
    """Those of `_NAMES` that the table names: name → (start, end). None: the table cannot be read."""
    if table.size < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(elf.data, table.offset)
    magic, _, _, pointer, count, _, text, names, _, _, _, functab = fields
    if magic not in _MAGICS or pointer != 8 or not 0 < count <= _MOST:
        return None
    if max(names, functab) >= table.size or functab + (count + 1) * _ENTRY.size > table.size + 4:
        return None
    wanted = _name_offsets(elf, table.offset + names, table.offset + table.size)
    found: dict[bytes, tuple[int, int]] = {}
    base = table.offset + functab
    for i in range(count):
        start, where = _ENTRY.unpack_from(elf.data, base + i * _ENTRY.size)
        if functab + where + _FUNC.size > table.size:
            return None
        name = wanted.get(_FUNC.unpack_from(elf.data, base + where)[1])
        if name is not None:
            (end,) = Struct("<I").unpack_from(elf.data, base + (i + 1) * _ENTRY.size)
            if not start < end <= start + _LONGEST:
                return None
            found[name] = (start, end)
    if found and not text:  # position independent, or Go 1.26 and later: the loader, or the program, knows it
        text = _text_start(elf, [start for start, _ in found.values()])
    return {name: (text + start, text + end) for name, (start, end) in found.items()}


def _text_start(elf: Elf, starts: list[int]) -> int:
    """Where runtime.text is: its symbol says, or where `.text` begins, or the one place after which each function begins as Go's
    do (a linker for C puts its own code first). 0 if that is not clear: no function of Go is there."""
    section, symbol = elf.section(".text"), elf.symbol("runtime.text")
    if symbol is not None or section is None:
        return symbol or 0
    code = elf.data[section.offset : section.offset + section.size]
    places = range(0, min(_MOST_C, len(code)), 16)
    fitting = [at for at in places if all(_STACK_CHECK.match(code, at + start) for start in starts)]
    return section.address + fitting[0] if len(fitting) == 1 else 0


def _name_offsets(elf: Elf, low: int, high: int) -> dict[int, bytes]:
    """Where in the table of names each of `_NAMES` stands."""
    offsets = {}
    for name in _NAMES:
        at = elf.data.find(b"\0" + name + b"\0", low, high)
        if at >= 0:
            offsets[at + 1 - low] = name
    return offsets


def _places(elf: Elf, start: int, end: int) -> tuple[int, list[int]] | None:
    """(where to probe the entry, the return instructions); None if this does not look like a function of Go.

    It begins by comparing the stack pointer with the goroutine's limit and branching to where the stack grows. The branch is
    where the probe sits: the kernel emulates it, the arguments are untouched, and a second pass after growing finds the same.
    """
    at = elf.offset(start)
    code = list(Decoder(64, elf.data[at : at + end - start], ip=start))
    branch = next(
        (i for i, instruction in enumerate(code[:4]) if instruction.code in (Code.JBE_REL8_64, Code.JBE_REL32_64)), None
    )
    if branch is None or not any(_checks_stack(instruction) for instruction in code[:branch]):
        return None
    if any(instruction.code == Code.INVALID for instruction in code):
        return None
    returns = [int(i.ip) for i in code if i.mnemonic == Mnemonic.RET]
    return (int(code[branch].ip), returns) if returns else None


def _checks_stack(instruction: Instruction) -> bool:
    """CMP of the stack pointer (or a register made of it) with g.stackguard0, 16 bytes into the goroutine in R14."""
    compares = instruction.mnemonic == Mnemonic.CMP and instruction.memory_base == Register.R14
    return bool(compares and instruction.memory_displacement == 0x10)
