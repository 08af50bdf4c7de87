"""Where a probe may sit in a function, proven by disassembly.

The kernel emulates push, nop, call, jmp and jcc at a uprobe and single-steps everything else, which costs twenty times as
much in a virtual machine (DESIGN §3). A probe may move from a function's entry to a later instruction only if no
instruction before it writes the stack pointer or an argument register and none branches: then the arguments, and the
return address that a return probe needs, are where they were at entry. What cannot be proven stays at the entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iced_x86 import (
    Code,
    Decoder,
    FlowControl,
    Instruction,
    InstructionInfoFactory,
    Mnemonic,
    OpAccess,
    OpKind,
    Register,
    RegisterExt,
)

from leeward.sensor.elf import Elf

_ARGUMENTS = (Register.RDI, Register.RSI, Register.RDX, Register.RCX, Register.R8)
_NEAR_CALL = re.compile(rb"\xe8", re.DOTALL)
_WRITES = frozenset({OpAccess.WRITE, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE})
_BRANCHES = frozenset({FlowControl.CALL, FlowControl.CONDITIONAL_BRANCH, FlowControl.UNCONDITIONAL_BRANCH})
_IMMEDIATES = frozenset({OpKind.IMMEDIATE32TO64, OpKind.IMMEDIATE8TO64})
_MOST = 64  # instructions; a prologue is shorter


def _instructions(code: bytes, address: int) -> Iterator[Instruction]:
    yield from Decoder(64, code, ip=address)


def _written(instruction: Instruction) -> set[int]:
    used = InstructionInfoFactory().info(instruction).used_registers()
    return {RegisterExt.full_register(u.register) for u in used if u.access in _WRITES}


def _emulated(instruction: Instruction) -> bool:
    """Does arch/x86/kernel/uprobes.c emulate it (branch_setup_xol_ops, push_setup_xol_ops)?"""
    if instruction.code in (Code.PUSH_R64, Code.NOPD):
        return True
    near = instruction.op_count == 1 and instruction.op0_kind == OpKind.NEAR_BRANCH64
    return near and instruction.flow_control in _BRANCHES


def cheap_offset(code: bytes, address: int, arguments: int = 5) -> int | None:
    """Bytes from the entry to an instruction where a probe is cheap and sees the stack and the first `arguments` arguments as
    they were at the entry; None: no such."""
    fixed = {*_ARGUMENTS[:arguments], Register.RSP}
    for number, instruction in enumerate(_instructions(code, address)):
        if _emulated(instruction):
            return int(instruction.ip - address)
        moved = _written(instruction) & fixed
        if number >= _MOST or moved or instruction.flow_control != FlowControl.NEXT:
            return None
    return None


def thin_wrapper_target(code: bytes, address: int) -> int | None:
    """The function that a thin wrapper hands all its arguments to, if that is all that it does.

    Holds when the way from the entry to the first call is straight, leaves the argument registers alone, and the way from
    the call to the return is straight again and calls nothing else. None otherwise.
    """
    target = None
    for number, instruction in enumerate(_instructions(code, address)):
        if number >= _MOST or instruction.code == Code.INVALID:
            return None
        if target is None:
            if instruction.code == Code.CALL_REL32_64:
                target = int(instruction.near_branch_target)
            elif instruction.flow_control != FlowControl.NEXT or _written(instruction) & set(_ARGUMENTS):
                return None
        elif instruction.flow_control == FlowControl.RETURN:
            return target
        elif instruction.flow_control != FlowControl.NEXT:
            return None
    return None


def calls(code: bytes, address: int, target: int) -> bool:
    """Is the first direct call in the function's straight text a call of `target`?"""
    for number, instruction in enumerate(_instructions(code, address)):
        if instruction.code == Code.CALL_REL32_64:
            return bool(instruction.near_branch_target == target)
        if number >= _MOST or instruction.flow_control == FlowControl.RETURN:
            break
    return False


def calls_anywhere(code: bytes, address: int, target: int) -> bool:
    """Does the function's straight text hold a direct call of, or jump to, `target`?"""
    return any(
        instruction.op_count == 1
        and instruction.op0_kind == OpKind.NEAR_BRANCH64
        and instruction.near_branch_target == target
        for instruction in _instructions(code, address)
    )


def call_sites(elf: Elf, target: int) -> list[int]:
    """Addresses of bytes that would be a direct call of `target` if an instruction begins there."""
    found = []
    for load in elf.executable():
        code = elf.data[load.offset : load.offset + load.file_size]
        for match in _NEAR_CALL.finditer(code):
            at = match.start()
            distance = int.from_bytes(code[at + 1 : at + 5], "little", signed=True)
            if load.address + at + 5 + distance == target:
                found.append(load.address + at)
    return found


def jump_target(code: bytes, address: int) -> int | None:
    """Where a function that ends in a jump before it branches or calls goes on; None: it does not."""
    for number, instruction in enumerate(_instructions(code, address)):
        if instruction.code in (Code.JMP_REL32_64, Code.JMP_REL8_64):
            return int(instruction.near_branch_target)
        if number >= _MOST or instruction.flow_control != FlowControl.NEXT:
            return None
    return None


def field_offset(code: bytes, address: int, least: int, *, follow: bool) -> tuple[int | None, int] | None:
    """Which field of its first argument a getter touches: (offset of a pointer to follow first or None, the field's offset).

    For SSL_get_client_random and SSL_get_rbio; `least` is below any offset that the field can have, `follow` says that it
    may lie behind a pointer. A good guess, never trusted alone: a random that is not the one on the wire joins nothing, and
    a BIO that says it is no socket is left.
    """
    holds: dict[int, int | None] = {Register.RDI: None}  # register → the argument (None), or the pointer at this offset
    fields: list[tuple[int | None, int]] = []
    for instruction in _instructions(code, address):
        if instruction.code == Code.INVALID:
            break
        base, offset = instruction.memory_base, instruction.memory_displacement
        target = RegisterExt.full_register(instruction.op0_register) if instruction.op_count else Register.NONE
        if base in holds and offset < 0x1000:
            if offset >= least:
                fields.append((holds[base], offset))
            loads = instruction.mnemonic == Mnemonic.MOV and instruction.op0_kind == OpKind.REGISTER
            if loads and instruction.op0_register == target and holds[base] is None:  # 64 bits: a pointer
                holds[target] = offset
        elif instruction.mnemonic == Mnemonic.MOV and instruction.op1_kind == OpKind.REGISTER:
            if instruction.op0_kind == OpKind.REGISTER and instruction.op1_register in holds:
                holds[target] = holds[instruction.op1_register]
        elif (
            instruction.mnemonic == Mnemonic.ADD
            and target in holds
            and instruction.op1_kind in _IMMEDIATES
            and least <= instruction.immediate(1) < 0x1000
        ):
            fields.append((holds[target], instruction.immediate(1)))
    through = [f for f in fields if f[0] is not None and follow]
    direct = [f for f in fields if f[0] is None]
    return min(through or direct, key=lambda f: f[1], default=None)
