"""TLS libraries: which file is one, where its functions are, where probes go.

Invariant: an offset is probed only if it comes from the file's own symbol table, or was proven from one by disassembly
(placement.py). What is not understood is reported with a reason and left alone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from leeward.sensor import placement
from leeward.sensor.layout import TLS_LAYOUT, UNKNOWN_OFFSET

LIBSSL = re.compile(r"^libssl(-[0-9a-z_.]+)?\.so(\.[0-9.a-z]+)?$")
#: Other libraries that speak TLS; named so that the coverage ledger can say what it is that is not seen.
OTHER_TLS = (
    (re.compile(r"^libgnutls\.so"), "GnuTLS"),
    (re.compile(r"^libnss3\.so|^libssl3\.so"), "NSS"),
    (re.compile(r"^libmbedtls\.so"), "mbedTLS"),
    (re.compile(r"^libwolfssl\.so"), "wolfSSL"),
    (re.compile(r"cygrpc.*\.so"), "BoringSSL in gRPC"),
    (re.compile(r"^libnetty_tcnative"), "netty-tcnative"),
)
_FUNCTION_BYTES = 512  # of a function are read at most
_HOST_DIRECTORIES = ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64")


class Probe(msgspec.Struct, frozen=True):
    """`offset`: in the file. returns: a return probe there."""

    program: str
    offset: int
    returns: bool


class Target(msgspec.Struct, frozen=True):
    """A TLS library that can be seen into. placement: "proven" (cheap, see placement.py) or "entry".
    layout: struct tls_layout (events.h)."""

    name: str
    version: str
    build_id: str
    probes: tuple[Probe, ...]
    placement: str
    layout: bytes


class Unseen(msgspec.Struct, frozen=True):
    """A TLS library that cannot be seen into, and why."""

    name: str
    reason: str


def describe(path: Path, name: str) -> Target | Unseen | None:
    """What the file is to us. None: no TLS library. `name` is its name as mapped (`path` may be a /proc handle)."""
    base = os.path.basename(name)
    for pattern, kind in OTHER_TLS:
        if pattern.search(base):
            return Unseen(kind, f"{kind} is not probed yet")
    if not LIBSSL.match(base):
        return None
    try:
        with path.open("rb") as file:
            return _openssl(ELFFile(file), base)
    except (ELFError, OSError, ValueError, KeyError) as error:
        return Unseen(base, f"not readable as ELF: {error}")


class _Text:
    """Symbols and code of one ELF file."""

    def __init__(self, elf: Any) -> None:
        self._elf = elf
        self._loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        self._symbols = elf.get_section_by_name(".dynsym")
        self._sizes: dict[int, int] = {}

    def address(self, name: str) -> int | None:
        found = self._symbols.get_symbol_by_name(name) if self._symbols else None
        for symbol in found or ():
            if symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["type"] == "STT_FUNC":
                self._sizes[int(symbol["st_value"])] = int(symbol["st_size"])
                return int(symbol["st_value"])
        return None

    def offset(self, address: int) -> int:
        """File offset of a virtual address. ValueError: it is not in an executable segment."""
        for load in self._loads:
            if load["p_vaddr"] <= address < load["p_vaddr"] + load["p_filesz"] and load["p_flags"] & 1:
                return int(address - load["p_vaddr"] + load["p_offset"])
        raise ValueError(f"address {address:#x} is not in an executable segment")

    def code(self, address: int) -> bytes:
        self._elf.stream.seek(self.offset(address))
        return bytes(self._elf.stream.read(min(self._sizes.get(address) or _FUNCTION_BYTES, _FUNCTION_BYTES)))


def _build_id(elf: Any) -> str:
    section = elf.get_section_by_name(".note.gnu.build-id")
    for note in section.iter_notes() if section else ():
        return str(note["n_desc"])
    return ""


def _openssl(elf: ELFFile, name: str) -> Target | Unseen:
    if elf["e_machine"] != "EM_X86_64":
        return Unseen(name, f"machine {elf['e_machine']} is not supported")
    text = _Text(elf)
    if text.address("SSL_write") is None or text.address("SSL_read") is None:
        return Unseen(name, "no SSL_read and SSL_write in its symbol table")
    three = text.address("SSL_get1_peer_certificate") is not None  # new in OpenSSL 3.0
    write, write_proven = _pair(text, "SSL_write", "on_write")
    read, read_proven = _pair(text, "SSL_read", "on_read")
    free = text.address("SSL_free")
    ends = (Probe("on_free", text.offset(free), False),) if free is not None else ()
    return Target(
        name=name,
        version="OpenSSL 3" if three else "OpenSSL 1.1",
        build_id=_build_id(elf),
        probes=(*write, *read, *ends),
        placement="proven" if write_proven and read_proven else "entry",
        layout=_layout(text, three),
    )


def _pair(text: _Text, plain: str, program: str) -> tuple[list[Probe], bool]:
    """Probes for one direction: at the inner function that the plain and the _ex form share where that is proven,
    else at the entry of each."""
    start, start_ex = text.address(plain), text.address(f"{plain}_ex")
    assert start is not None
    inner, form = _inner(text, plain, start, start_ex)
    if inner is not None:
        step = placement.cheap_offset(text.code(inner), inner)
        if step is not None:
            at = text.offset(inner + step)
            return [Probe(f"{program}{form}", at, False), Probe("on_done", at, True)], True
    probes, proven = [], True
    for address, name in ((start, program), (start_ex, f"{program}_ex")):
        if address is None:
            continue
        step = placement.cheap_offset(text.code(address), address)
        proven = proven and step is not None
        at = text.offset(address + (step or 0))
        probes += [Probe(name, at, False), Probe("on_done", at, True)]
    return probes, proven


def _inner(text: _Text, plain: str, start: int, start_ex: int | None) -> tuple[int | None, str]:
    """The function that the plain and the _ex form both hand their work to, and which form's arguments it takes.

    Since OpenSSL 3.3 SSL_write_ex goes on in SSL_write_ex2, which has a fifth argument.
    """
    if start_ex is None:
        return None, ""
    wrapper, form = start_ex, "_ex"
    start_ex2 = text.address(f"{plain}_ex2")
    if start_ex2 is not None:
        if placement.jump_target(text.code(start_ex), start_ex) != start_ex2:
            return None, ""
        wrapper, form = start_ex2, "_ex2"
    inner = placement.thin_wrapper_target(text.code(wrapper), wrapper)
    shared = inner is not None and placement.calls(text.code(start), start, inner)
    return (inner, form) if shared else (None, "")


def _layout(text: _Text, three: bool) -> bytes:
    random = bio = None
    if (getter := text.address("SSL_get_client_random")) is not None:
        random = placement.field_offset(text.code(getter), getter, 0x40, follow=True)
    if (getter := text.address("SSL_get_rbio")) is not None:
        bio = placement.field_offset(text.code(getter), getter, 0x8, follow=False)
    pointer, field = random or (None, UNKNOWN_OFFSET)
    # struct bio_st (crypto/bio/bio_local.h): 3.0 put a library context before `method`.
    method, number = (8, 0x38) if three else (0, 0x30)
    return TLS_LAYOUT.pack(
        UNKNOWN_OFFSET if pointer is None else pointer,
        field,
        bio[1] if bio else UNKNOWN_OFFSET,
        method,
        number,
    )


def host_libraries(root: Path = Path("/")) -> list[Path]:
    """libssl files where the dynamic loader looks by default, so that they can be probed before anything maps them."""
    found: dict[Path, None] = {}
    for directory in _HOST_DIRECTORIES:
        for pattern in ("libssl*.so*", "*-linux-*/libssl*.so*"):
            found.update({p.resolve(): None for p in sorted((root / directory).glob(pattern)) if p.is_file()})
    return list(found)


def command_libraries(executable: Path) -> list[Path]:
    """libssl files that come with a command: beside its prefix, and in a Python environment's wheels."""
    found: dict[Path, None] = {}
    for prefix in (executable.parent.parent, executable.resolve().parent.parent):
        if str(prefix) in ("/", "/usr"):
            continue
        for pattern in ("lib/libssl*.so*", "lib/python3*/site-packages/*.libs/libssl*.so*"):
            found.update({p.resolve(): None for p in sorted(prefix.glob(pattern)) if p.is_file()})
    return list(found)


def describable(name: str) -> bool:
    """Is a file of this name worth opening? Cheap, for every mapping of every process."""
    base = os.path.basename(name.removesuffix(" (deleted)"))
    return bool(LIBSSL.match(base)) or any(pattern.search(base) for pattern, _ in OTHER_TLS)
