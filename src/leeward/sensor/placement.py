"""Where a probe may sit in a function, proven by disassembly.

The kernel emulates push, nop, call, jmp and jcc at a uprobe and single-steps everything else, which costs twenty times as
much in a virtual machine (DESIGN §3). A probe may move from a function's entry to a later instruction only if no
instruction before it writes the stack pointer or an argument register and none branches: then the arguments, and the
return address that a return probe needs, are where they were at entry. What cannot be proven stays at the entry.
"""

from __future__ import annotations

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

_ARGUMENTS = frozenset({Register.RDI, Register.RSI, Register.RDX, Register.RCX})
_WRITES = frozenset({OpAccess.WRITE, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE})
_BRANCHES = frozenset({FlowControl.CALL, FlowControl.CONDITIONAL_BRANCH, FlowControl.UNCONDITIONAL_BRANCH})
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


def cheap_offset(code: bytes, address: int) -> int | None:
    """Bytes from the entry to an instruction where a probe is cheap and sees what it would see at the entry; None: no such."""
    for number, instruction in enumerate(_instructions(code, address)):
        if _emulated(instruction):
            return int(instruction.ip - address)
        moved = _written(instruction) & (_ARGUMENTS | {Register.RSP})
        if number >= _MOST or moved or instruction.flow_control != FlowControl.NEXT:
            return None
    return None


def thin_wrapper_target(code: bytes, address: int) -> int | None:
    """The function that a thin wrapper hands all four arguments to, if that is all that it does.

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
            elif instruction.flow_control != FlowControl.NEXT or _written(instruction) & _ARGUMENTS:
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


def field_offset(code: bytes, address: int) -> tuple[int | None, int] | None:
    """Which field of its first argument a getter touches: (offset of a pointer to follow first or None, offset of the field).

    For SSL_get_client_random and SSL_get_rbio. The answer is a good guess, never trusted alone: a random that is not the
    one on the wire joins nothing, and a BIO whose type is not that of a socket is not followed.
    """
    pointers: dict[int, int] = {}
    fields: list[tuple[int | None, int]] = []
    for number, instruction in enumerate(_instructions(code, address)):
        if number >= 48 or instruction.code == Code.INVALID:
            break
        base, displacement = instruction.memory_base, instruction.memory_displacement
        if base == Register.RDI and 0x8 <= displacement < 0x1000:
            fields.append((None, displacement))
            if instruction.mnemonic == Mnemonic.MOV and instruction.op0_kind == OpKind.REGISTER:
                pointers[RegisterExt.full_register(instruction.op0_register)] = displacement
        elif base in pointers and 0x20 <= displacement < 0x1000:
            fields.append((pointers[base], displacement))
        elif instruction.mnemonic == Mnemonic.ADD and instruction.op0_kind == OpKind.REGISTER:
            register = RegisterExt.full_register(instruction.op0_register)
            if instruction.op1_kind in (OpKind.IMMEDIATE32TO64, OpKind.IMMEDIATE8TO64):
                amount = instruction.immediate(1)
                if register in pointers and 0x20 <= amount < 0x1000:
                    fields.append((pointers[register], amount))
                elif register == Register.RDI and 0x20 <= amount < 0x1000:
                    fields.append((None, amount))
    through = [f for f in fields if f[0] is not None]
    if through:
        return min(through, key=lambda f: f[1])
    return min(fields, key=lambda f: f[1]) if fields else None
