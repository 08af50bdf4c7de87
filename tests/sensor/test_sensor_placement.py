"""Where probes may sit, on hand-written code: what can be proven, and above all what must not be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from leeward.sensor.libraries import describe, host_libraries
from leeward.sensor.placement import calls, cheap_offset, field_offset, jump_target, thin_wrapper_target
from leeward.sensor.target import Target, Unseen

PUSH_R14 = b"\x41\x56"
ENDBR64 = b"\xf3\x0f\x1e\xfa"
SUB_RSP_8 = b"\x48\x83\xec\x08"
ADD_RSP_8 = b"\x48\x83\xc4\x08"
MOV_EAX_0 = b"\xb8\x00\x00\x00\x00"
MOV_EDI_1 = b"\xbf\x01\x00\x00\x00"
XOR_EDX_EDX = b"\x31\xd2"
RET = b"\xc3"
NOP = b"\x90"
JMP_SHORT = b"\xeb\x10"
JMP_RAX = b"\xff\xe0"


def call(offset: int) -> bytes:
    """A near call to `offset` bytes after the call's end."""
    return b"\xe8" + offset.to_bytes(4, "little", signed=True)


@pytest.mark.parametrize(
    ("code", "offset"),
    [
        (PUSH_R14 + RET, 0),
        (ENDBR64 + PUSH_R14 + RET, 4),
        (MOV_EAX_0 + NOP + RET, 5),
        (MOV_EAX_0 + JMP_SHORT, 5),
        (SUB_RSP_8 + PUSH_R14 + RET, None),  # the return address is no longer at rsp
        (MOV_EDI_1 + PUSH_R14 + RET, None),  # the first argument is gone
        (XOR_EDX_EDX + PUSH_R14 + RET, None),  # the third argument is gone
        (MOV_EAX_0 + JMP_RAX, None),  # not emulated, and where it goes is not known
        (RET, None),
        (b"", None),
        (b"\x06" * 16, None),  # no instruction
    ],
)
def test_cheap_offset(code: bytes, offset: int | None) -> None:
    assert cheap_offset(code, 0x1000) == offset


def test_thin_wrapper() -> None:
    wrapper = SUB_RSP_8 + call(0x100) + ADD_RSP_8 + RET
    target = 0x1000 + 4 + 5 + 0x100
    assert thin_wrapper_target(wrapper, 0x1000) == target
    assert calls(wrapper, 0x1000, target)
    assert not calls(wrapper, 0x1000, target + 1)


@pytest.mark.parametrize(
    "code",
    [
        SUB_RSP_8 + MOV_EDI_1 + call(0x100) + RET,  # hands on another argument
        SUB_RSP_8 + call(0x100) + call(0x200) + RET,  # does more than hand on
        SUB_RSP_8 + JMP_SHORT + call(0x100) + RET,  # not straight
        SUB_RSP_8 + call(0x100) + JMP_SHORT,
        RET,
    ],
)
def test_what_is_no_thin_wrapper(code: bytes) -> None:
    assert thin_wrapper_target(code, 0x1000) is None


def test_jump_target() -> None:
    assert jump_target(b"\x49\x89\xc8" + JMP_SHORT, 0x1000) == 0x1000 + 5 + 0x10
    assert jump_target(call(0x10) + JMP_SHORT, 0x1000) is None
    assert jump_target(RET, 0x1000) is None


def test_field_offset_through_a_pointer_and_without() -> None:
    direct = b"\x48\x8b\x47\x10" + RET  # mov rax, [rdi+0x10]
    through = b"\x48\x8b\xbf\xa8\x00\x00\x00" + b"\x48\x8d\x8f\xb8\x00\x00\x00" + RET
    # rdi = [rdi+0xa8]; rcx = rdi+0xb8, as OpenSSL 1.1.1's SSL_get_client_random does
    assert field_offset(direct, 0x1000, 8, follow=False) == (None, 0x10)
    assert field_offset(through, 0x1000, 0x40, follow=True) == (0xA8, 0xB8)
    assert field_offset(RET, 0x1000, 8, follow=True) is None


def test_host_openssl_is_understood() -> None:
    found = [describe(path, str(path)) for path in host_libraries()]
    targets = [t for t in found if isinstance(t, Target)]
    if not targets:
        pytest.skip("no OpenSSL library on this host")
    for target in targets:
        programs = {p.program for p in target.probes}
        assert "on_done" in programs
        assert {p[:8] for p in programs} >= {"on_write", "on_read_"[:8]} or {"on_write", "on_read"} <= programs
        assert target.build_id


def test_not_elf_is_unseen_with_a_reason(tmp_path: Path) -> None:
    fake = tmp_path / "libssl.so.3"
    fake.write_bytes(b"\x7fELF nonsense")
    result = describe(fake, str(fake))
    assert isinstance(result, Unseen)
    assert "ELF" in result.reason


def test_library_without_the_functions_is_unseen(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc to build a library with")
    source, library = tmp_path / "x.c", tmp_path / "libssl.so.3"
    source.write_text("int nothing(void) { return 0; }")
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    result = describe(library, str(library))
    assert isinstance(result, Unseen)
    assert "SSL_read" in result.reason
