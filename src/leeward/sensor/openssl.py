"""OpenSSL, as a library of its own or linked into a program (Node, static Pythons), with symbols or stripped.

Invariant: an address is used only if the file's symbol table names it or if it is the one function that hands its own name to
OpenSSL's error queue (ERR_raise, include/openssl/err.h: `ERR_set_debug(OPENSSL_FILE, OPENSSL_LINE, OPENSSL_FUNC)`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from iced_x86 import Decoder, Instruction, Mnemonic, Register

from leeward.sensor import placement
from leeward.sensor.elf import Elf
from leeward.sensor.layout import SSL_OBJECT, TLS_LAYOUT, UNKNOWN_OFFSET
from leeward.sensor.target import Probe, Target, Unseen

#: crypto/cversion.c: OPENSSL_VERSION_TEXT, "OpenSSL 3.0.19 27 Jan 2026"
_VERSION = re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?)")
_SOURCE = b"ssl/ssl_lib.c"  # OPENSSL_FILE as the build wrote it, its beginning varies


def by_symbols(elf: Elf, name: str) -> Target | None:
    """OpenSSL whose functions the symbol table names; None if there is none."""
    if elf.symbol("SSL_write") is None or elf.symbol("SSL_read") is None:
        return None
    three = elf.symbol("SSL_get1_peer_certificate") is not None  # new in OpenSSL 3.0
    write, write_proven = _pair(elf, "SSL_write", "on_write")
    read, read_proven = _pair(elf, "SSL_read", "on_read")
    return Target(
        name=name,
        version=_version(elf, "OpenSSL 3" if three else "OpenSSL 1.1"),
        build_id=elf.build_id(),
        probes=(*write, *read, *free_probe(elf, "SSL_free")),
        placement="proven" if write_proven and read_proven else "entry",
        layout=_layout(elf, three),
        shutdown=_shutdown(elf),
    )


def by_pattern(elf: Elf, name: str) -> Target | Unseen | None:
    """A stripped OpenSSL 3, by the names that its functions give to the error queue; None if there is no OpenSSL."""
    files = set(elf.strings(_SOURCE))
    if not files:
        return None
    names = {n: set(elf.strings(b"\0" + n)) for n in _RAISING}
    references = elf.references(set().union(*names.values(), files))
    inside = [_functions(elf, files, references)]
    owners = {n: _functions(elf, a, references) & inside[0] for n, a in names.items()}
    probes: list[Probe] = []
    for outer, inner, program in (
        (b"SSL_write", b"ssl_write_internal", "on_write"),
        (b"SSL_read", b"ssl_read_internal", "on_read"),
    ):
        found = _stripped_pair(elf, owners[outer], owners[inner], names[outer], names[inner], program)
        if not found:
            return Unseen(name, "OpenSSL without symbols, and its functions cannot be told apart")
        probes += found
    return Target(name, _version(elf, "OpenSSL"), elf.build_id(), tuple(probes), "entry", _usual_layout(elf), "pattern")


def _usual_layout(elf: Elf) -> bytes:
    """What the layout is in builds of this version as they are commonly made. A guess: if it is wrong, the random that is read
    is none that was seen on the wire and joins nothing."""
    since_3_2 = bool(elf.strings(b"ssl/quic/quic_impl.c", most=1))
    random, rbio = (0x188, 0x50) if since_3_2 else (0x160, 0x10)
    return TLS_LAYOUT.pack(UNKNOWN_OFFSET, random, rbio, 8, 0x38, SSL_OBJECT, 0)


_RAISING = (b"SSL_write", b"SSL_read", b"ssl_write_internal", b"ssl_read_internal")


def _functions(elf: Elf, targets: Iterable[int], references: dict[int, list[int]]) -> set[int]:
    """The functions that load one of `targets`, as decoding them shows."""
    found: set[int] = set()
    for target in targets:
        for at in references.get(target, ()):
            start = elf.function(at)
            if start is not None and _loads(elf, start, at, target):
                found.add(start)
    return found


def _loads(elf: Elf, start: int, at: int, target: int) -> bool:
    """Is there an instruction at `at`, in the function's straight text, that loads `target`?"""
    for instruction in _decode(elf, start):
        if instruction.ip == at:
            return bool(instruction.mnemonic == Mnemonic.LEA and instruction.memory_displacement == target)
        if instruction.ip > at:
            break
    return False


def _decode(elf: Elf, start: int) -> Iterable[Instruction]:
    return Decoder(64, elf.code(start, 8192), ip=start)


def _raises_as(elf: Elf, start: int, names: set[int]) -> bool:
    """Does it hand one of `names` to ERR_set_debug as the function's name, its third argument?"""
    for instruction in _decode(elf, start):
        loads = instruction.mnemonic == Mnemonic.LEA and instruction.op0_register == Register.RDX
        if loads and instruction.memory_displacement in names:
            return True
    return False


def _stripped_pair(
    elf: Elf, outer: set[int], inner: set[int], outer_names: set[int], inner_names: set[int], program: str
) -> list[Probe]:
    """Probes for one direction, [] if it is not certain which functions they are.

    The plain call raises under its own name; the function that does its work does so too and takes the _ex form's arguments.
    """
    plain = [f for f in outer if _raises_as(elf, f, outer_names)]
    work = [f for f in inner if f not in plain and _raises_as(elf, f, inner_names)]
    if len(plain) != 1:
        return []
    if len(work) == 1 and placement.calls_anywhere(elf.code(plain[0], 8192), plain[0], work[0]):
        return _at(elf, work[0], f"{program}_ex")
    if not inner:  # the work was inlined, nothing raises as the inner function outside of the plain one
        return _at(elf, plain[0], program)
    return []


def _at(elf: Elf, address: int, program: str) -> list[Probe]:
    step = placement.cheap_offset(elf.code(address), address)
    at = elf.offset(address + (step or 0))
    return [Probe(program, at, False), Probe("on_done", at, True)]


def free_probe(elf: Elf, function: str) -> tuple[Probe, ...]:
    """A probe where the library frees its object, if the symbol is there."""
    address = elf.symbol(function)
    return (Probe("on_free", elf.offset(address), False),) if address is not None else ()


def _version(elf: Elf, fallback: str) -> str:
    rodata = elf.section(".rodata")
    low, high = (rodata.offset, rodata.offset + rodata.size) if rodata else (0, len(elf.data))
    match = _VERSION.search(elf.data, low, high)
    return f"OpenSSL {match[1].decode()}" if match else fallback


def _pair(elf: Elf, plain: str, program: str) -> tuple[list[Probe], bool]:
    """Probes for one direction: at the inner function that the plain and the _ex form share where that is proven,
    else at the entry of each."""
    start, start_ex = elf.symbol(plain), elf.symbol(f"{plain}_ex")
    assert start is not None
    inner, form = _inner(elf, plain, start, start_ex)
    if inner is not None:
        step = placement.cheap_offset(elf.code(inner), inner)
        if step is not None:
            at = elf.offset(inner + step)
            return [Probe(f"{program}{form}", at, False), Probe("on_done", at, True)], True
    probes, proven = [], True
    for address, name in ((start, program), (start_ex, f"{program}_ex")):
        if address is None:
            continue
        step = placement.cheap_offset(elf.code(address), address)
        proven = proven and step is not None
        at = elf.offset(address + (step or 0))
        probes += [Probe(name, at, False), Probe("on_done", at, True)]
    return probes, proven


def _inner(elf: Elf, plain: str, start: int, start_ex: int | None) -> tuple[int | None, str]:
    """The function that the plain and the _ex form both hand their work to, and which form's arguments it takes.

    Since OpenSSL 3.3 SSL_write_ex goes on in SSL_write_ex2, which has a fifth argument.
    """
    if start_ex is None:
        return None, ""
    wrapper, form = start_ex, "_ex"
    start_ex2 = elf.symbol(f"{plain}_ex2")
    if start_ex2 is not None:
        if placement.jump_target(elf.code(start_ex), start_ex) != start_ex2:
            return None, ""
        wrapper, form = start_ex2, "_ex2"
    inner = placement.thin_wrapper_target(elf.code(wrapper), wrapper)
    shared = inner is not None and placement.calls(elf.code(start), start, inner)
    return (inner, form) if shared else (None, "")


def _shutdown(elf: Elf) -> int:
    """Where SSL_get_shutdown reads, if it is read from the object itself."""
    getter = elf.symbol("SSL_get_shutdown")
    found = placement.field_offset(elf.code(getter), getter, 0x20, follow=False) if getter is not None else None
    return found[1] if found is not None and found[0] is None else -1


def _layout(elf: Elf, three: bool) -> bytes:
    random = bio = None
    if (getter := elf.symbol("SSL_get_client_random")) is not None:
        random = placement.field_offset(elf.code(getter), getter, 0x40, follow=True)
    if (getter := elf.symbol("SSL_get_rbio")) is not None:
        bio = placement.field_offset(elf.code(getter), getter, 0x8, follow=False)
    pointer, field = random or (None, UNKNOWN_OFFSET)
    # struct bio_st (crypto/bio/bio_local.h): 3.0 put a library context before `method`.
    method, number = (8, 0x38) if three else (0, 0x30)
    return TLS_LAYOUT.pack(
        UNKNOWN_OFFSET if pointer is None else pointer,
        field,
        bio[1] if bio else UNKNOWN_OFFSET,
        method,
        number,
        SSL_OBJECT,
        0,
    )
