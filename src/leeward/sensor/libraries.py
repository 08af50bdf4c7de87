"""Which file speaks TLS, by which library, and where its probes go.

Invariant: an offset is probed only if it comes from the file's own symbol table, was proven from one by disassembly
(placement.py), or belongs to the only function that fits what is known of it. What is not understood is reported with a
reason and left alone.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from leeward.sensor import boringssl, gnutls, golang, openssl, rustls
from leeward.sensor.elf import Elf, ElfError
from leeward.sensor.target import Target, Unseen

LIBSSL = re.compile(r"^libssl(-[0-9a-z_.]+)?\.so(\.[0-9.a-z]+)?$")
#: Libraries that speak TLS and are not seen into; named so that the coverage ledger can say what it is that is not seen.
OTHER_TLS = (
    (re.compile(r"^libnss3\.so|^libssl3\.so"), "NSS"),
    (re.compile(r"^libmbedtls\.so"), "mbedTLS"),
    (re.compile(r"^libwolfssl\.so"), "wolfSSL"),
    (re.compile(r"^libjvm\.so"), "Java's own TLS"),
)
#: In this order: what has symbols before what has to be recognised.
_FAMILIES = (
    golang.by_table,
    boringssl.by_symbols,
    openssl.by_symbols,
    gnutls.by_symbols,
    boringssl.by_pattern,
    openssl.by_pattern,
    rustls.by_pattern,
)
_LARGEST = 1 << 30  # a larger file is no program
_HOST_DIRECTORIES = ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64")
_WHEELS = (
    "lib/python3*/site-packages/*.libs/lib*ssl*.so*",
    "lib/python3*/site-packages/*.libs/libgnutls*.so*",
    "lib/python3*/site-packages/grpc/_cython/cygrpc*.so",
)
_PROGRAMS = ("node", "nodejs", "bun", "deno", "python3", "python3.[0-9]*")
_PROGRAM_DIRECTORIES = ("usr/bin", "usr/local/bin", "opt/*/bin")


def describe(path: Path, name: str) -> Target | Unseen | None:
    """What the file is to us. None: it does not speak TLS by itself. `name`: as mapped (`path` may be a /proc handle)."""
    base = os.path.basename(name.removesuffix(" (deleted)"))
    for pattern, kind in OTHER_TLS:
        if pattern.search(base):
            return Unseen(kind, f"{kind} is not probed")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return None
        with Elf(path) as elf:
            found = next((f for family in _FAMILIES if (f := family(elf, base)) is not None), None)
    except (ElfError, OSError) as error:
        return Unseen(base, f"not readable as ELF: {error}") if LIBSSL.match(base) else None
    if found is None and LIBSSL.match(base):
        return Unseen(base, "no SSL_read and SSL_write in its symbol table")
    return found


def host_libraries(root: Path = Path("/")) -> list[Path]:
    """TLS libraries where the dynamic loader looks by default, and runtimes that carry one, so that they can be probed before
    anything maps them."""
    patterns = [
        f"{directory}/{place}{name}.so*"
        for directory in _HOST_DIRECTORIES
        for place in ("", "*-linux-*/")
        for name in ("libssl*", "libgnutls")
    ]
    patterns += [f"{directory}/{name}" for directory in _PROGRAM_DIRECTORIES for name in _PROGRAMS]
    found = {p.resolve(): None for pattern in patterns for p in sorted(root.glob(pattern)) if p.is_file()}
    return list(found)


def command_libraries(executable: Path) -> list[Path]:
    """What a command may speak TLS with: itself, libssl beside its prefix, and what a Python environment's wheels carry."""
    found: dict[Path, None] = {executable.resolve(): None}
    for prefix in (executable.parent.parent, executable.resolve().parent.parent):
        if str(prefix) in ("/", "/usr"):
            continue
        for pattern in ("lib/libssl*.so*", "lib/libpython3*.so*", *_WHEELS):
            found.update({p.resolve(): None for p in sorted(prefix.glob(pattern)) if p.is_file()})
    return list(found)
