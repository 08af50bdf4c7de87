"""BoringSSL, which is always linked into something: with symbols, or stripped (gRPC's wheels, Electron, Bun).

Invariant: a stripped function is used only if the errors that it raises in ssl/ssl_lib.cc are those of exactly that function and
no other function of the file fits. Reason codes: BoringSSL include/openssl/ssl.h (SSL_R_*), which are never renumbered.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from iced_x86 import Code, Decoder, FlowControl, Instruction, Mnemonic, OpKind, Register

from leeward.sensor import placement
from leeward.sensor.elf import Elf
from leeward.sensor.layout import SSL_OBJECT, TLS_LAYOUT, UNKNOWN_OFFSET
from leeward.sensor.openssl import free_probe
from leeward.sensor.target import Probe, Target, Unseen

_SOURCE = b"ssl/ssl_lib.cc"
_LIBRARY = 16  # ERR_LIB_SSL, include/openssl/err.h
BAD_LENGTH, HANDSHAKE_FAILURE, UNINITIALIZED, NOT_CALLED = 111, 215, 226, 66
#: SSL_write raises these; `NOT_CALLED` (QUIC) since 2019.
_WRITE = frozenset({BAD_LENGTH, HANDSHAKE_FAILURE, UNINITIALIZED})
#: ssl_read_impl, which SSL_read and SSL_peek begin with.
_READ_IMPL = frozenset({HANDSHAKE_FAILURE, UNINITIALIZED})
_FUNCTION_BYTES = 4096
#: struct ssl_st, s3 → struct SSL3_STATE, client_random (ssl/internal.h, on 64 bits since 2017). Taken for true only when the
#: randoms of sessions were there (calibrate.py).
_LIKELY = TLS_LAYOUT.pack(0x30, 0x30, UNKNOWN_OFFSET, 0, 0, SSL_OBJECT, 0)
_STACK = (Register.RSP, Register.RBP)


class _Function(msgspec.Struct):
    """reasons: errors raised in ssl_lib.cc. calls: targets of its direct calls, in order. stores: it writes to memory that
    is not its own frame, after its first call."""

    start: int
    reasons: frozenset[int]
    calls: list[int]
    stores: bool


def by_symbols(elf: Elf, name: str) -> Target | None:
    """BoringSSL whose functions the symbol table names; None if it is not there (or is OpenSSL, which has _ex forms)."""
    write, read = elf.symbol("SSL_write"), elf.symbol("SSL_read")
    if write is None or read is None or elf.symbol("SSL_write_ex") is not None:
        return None
    if elf.symbol("SSL_CTX_set_grease_enabled") is None and not elf.strings(_SOURCE):
        return None
    random = None
    if (getter := elf.symbol("SSL_get_client_random")) is not None:
        random = placement.field_offset(elf.code(getter), getter, 0x8, follow=True)
    pointer, field = random or (None, UNKNOWN_OFFSET)
    layout = TLS_LAYOUT.pack(UNKNOWN_OFFSET if pointer is None else pointer, field, UNKNOWN_OFFSET, 0, 0, SSL_OBJECT, 0)
    return _target(elf, name, write, read, layout, "symbol")


def by_pattern(elf: Elf, name: str) -> Target | Unseen | None:
    """A stripped BoringSSL; None if there is none in the file."""
    files = elf.strings(_SOURCE)
    if not files:
        return None
    unclear = Unseen(name, "BoringSSL without symbols, and its functions cannot be told apart")
    raising = {f.start: f for f in _raising(elf, set(files))}
    writes = [f for f in raising.values() if f.reasons - {NOT_CALLED} == _WRITE]
    implementations = [
        f for f in raising.values() if f.reasons >= _READ_IMPL and f.start not in {w.start for w in writes}
    ]
    if len(writes) != 1:
        return unclear
    reads = [read for impl in implementations if (read := _read(elf, raising, impl)) is not None]
    if len(reads) != 1:
        return unclear
    return _target(elf, name, writes[0].start, reads[0], _LIKELY, "pattern")


def _read(elf: Elf, raising: dict[int, _Function], impl: _Function) -> int | None:
    """SSL_read, given ssl_read_impl: where SSL_peek only copies, it also moves the window of what is pending on."""
    first = [f for f in raising.values() if f.reasons == {NOT_CALLED} and f.calls[:1] == [impl.start]]
    taking, looking = [f for f in first if f.stores], [f for f in first if not f.stores]
    if len(taking) == 1 and len(looking) == 1:
        return taking[0].start
    if not taking and len(looking) == 1:  # SSL_peek was not inlined into SSL_read, which raises nothing itself
        callers = {elf.function(at) for at in placement.call_sites(elf, looking[0].start)}
        described = [_describe(elf, start, set()) for start in callers if start is not None]
        fits = [f for f in described if f.calls[:1] == [looking[0].start] and f.stores]
        return fits[0].start if len(fits) == 1 else None
    return None


def _raising(elf: Elf, files: set[int]) -> Iterator[_Function]:
    references = elf.references(files)
    starts = {elf.function(at) for sites in references.values() for at in sites}
    for start in sorted(s for s in starts if s is not None):
        yield _describe(elf, start, files)


def _describe(elf: Elf, start: int, files: set[int]) -> _Function:
    """Reads a function's straight text. An error is raised by ERR_put_error(library, unused, reason, file, line)."""
    reasons: set[int] = set()
    calls: list[int] = []
    stores = False
    values: dict[int, int] = {}
    for instruction in Decoder(64, elf.code(start, _FUNCTION_BYTES), ip=start):
        if instruction.code == Code.MOV_R32_IMM32:
            values[instruction.op0_register] = instruction.immediate(1)
        elif instruction.mnemonic == Mnemonic.LEA and instruction.op0_register == Register.RCX:
            values[Register.RCX] = instruction.memory_displacement
        elif instruction.code == Code.CALL_REL32_64:
            raises = values.get(Register.EDI) == _LIBRARY and values.get(Register.RCX) in files
            if raises and Register.EDX in values:
                reasons.add(values[Register.EDX])
            else:
                calls.append(int(instruction.near_branch_target))
            values = {}
        elif instruction.flow_control != FlowControl.NEXT:
            values = {}
        else:
            stores = stores or (bool(calls) and _stores(instruction))
    return _Function(start, frozenset(reasons), calls, stores)


def _stores(instruction: Instruction) -> bool:
    moves = instruction.mnemonic in (Mnemonic.MOV, Mnemonic.ADD, Mnemonic.SUB, Mnemonic.MOVUPS, Mnemonic.MOVDQU)
    return moves and instruction.op0_kind == OpKind.MEMORY and instruction.memory_base not in _STACK


def _target(elf: Elf, name: str, write: int, read: int, layout: bytes, rung: str) -> Target:
    probes: list[Probe] = []
    proven = True
    for address, program in ((write, "on_write"), (read, "on_read")):
        step = placement.cheap_offset(elf.code(address), address)
        proven = proven and step is not None
        at = elf.offset(address + (step or 0))
        probes += [Probe(program, at, False), Probe("on_done", at, True)]
    probes += free_probe(elf, "SSL_free")
    return Target(name, "BoringSSL", elf.build_id(), tuple(probes), "proven" if proven else "entry", layout, rung)
