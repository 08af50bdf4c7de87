"""GnuTLS: gnutls_record_send and gnutls_record_recv (GnuTLS manual, "Core TLS API": session, data, size; the result is the
number of bytes, negative for an error)."""

from __future__ import annotations

import re

from leeward.sensor import placement
from leeward.sensor.elf import Elf
from leeward.sensor.layout import SSL_OBJECT, TLS_LAYOUT, UNKNOWN_OFFSET
from leeward.sensor.openssl import free_probe
from leeward.sensor.target import Probe, Target

#: record_send goes on in record_send2 (since 3.6.3) with the same first three arguments: one call, noted once whichever is
#: entered first.
_CALLS = (
    ("gnutls_record_send", "on_write"),
    ("gnutls_record_send2", "on_write"),
    ("gnutls_record_recv", "on_read"),
    ("gnutls_record_recv_seq", "on_read"),
)
_VERSION = re.compile(rb"\0(3\.\d{1,2}\.\d{1,2})\0")


def by_symbols(elf: Elf, name: str) -> Target | None:
    """GnuTLS whose functions the symbol table names; None if there is none."""
    if elf.symbol("gnutls_record_send") is None or elf.symbol("gnutls_record_recv") is None:
        return None
    probes: list[Probe] = []
    proven = True
    for function, program in _CALLS:
        address = elf.symbol(function)
        if address is None:
            continue
        step = placement.cheap_offset(elf.code(address), address, arguments=3)
        proven = proven and step is not None
        at = elf.offset(address + (step or 0))
        probes += [Probe(program, at, False), Probe("on_done", at, True)]
    random = None
    if (getter := elf.symbol("gnutls_session_get_random")) is not None:
        random = placement.field_offset(elf.code(getter), getter, 0x8, follow=False)
    _, field = random or (None, UNKNOWN_OFFSET)
    return Target(
        name=name,
        version=_version(elf),
        build_id=elf.build_id(),
        probes=(*probes, *free_probe(elf, "gnutls_deinit")),
        placement="proven" if proven else "entry",
        layout=TLS_LAYOUT.pack(UNKNOWN_OFFSET, field, UNKNOWN_OFFSET, 0, 0, SSL_OBJECT, 0),
    )


def _version(elf: Elf) -> str:
    rodata = elf.section(".rodata")
    match = _VERSION.search(elf.data, rodata.offset, rodata.offset + rodata.size) if rodata else None
    return f"GnuTLS {match[1].decode()}" if match else "GnuTLS"
