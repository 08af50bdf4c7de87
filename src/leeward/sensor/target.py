"""What is known of a file that speaks TLS: where probes go, or why there are none."""

from __future__ import annotations

import msgspec

from leeward.sensor.layout import SSL_OBJECT, TLS_LAYOUT, UNKNOWN_OFFSET

#: No field of the library's object is known: the kernel reads none, user space may find out (calibrate.py).
NO_LAYOUT = TLS_LAYOUT.pack(UNKNOWN_OFFSET, UNKNOWN_OFFSET, UNKNOWN_OFFSET, 0, 0, SSL_OBJECT, 0)


class Probe(msgspec.Struct, frozen=True):
    """`offset`: in the file. returns: a return probe there."""

    program: str
    offset: int
    returns: bool


class Target(msgspec.Struct, frozen=True):
    """A file whose TLS can be seen into. version: the library and its version as far as known, for people.

    rung: how the functions were found: "symbol", or "pattern" (by what only they refer to). placement: "proven" (cheap, see
    placement.py) or "entry". layout: struct tls_layout (events.h).
    shutdown: offset in the library's object of its SSL_SENT_SHUTDOWN flags, -1 if not known.
    """

    name: str
    version: str
    build_id: str
    probes: tuple[Probe, ...]
    placement: str
    layout: bytes = NO_LAYOUT
    rung: str = "symbol"
    shutdown: int = -1

    @property
    def frees(self) -> bool:
        """Is it told when an object of the library is freed?"""
        return any(probe.program in ("on_free", "on_go_free") for probe in self.probes)

    @property
    def certain(self) -> bool:
        """Does the layout come from the library's own code? Else it is a guess or nothing, which a look into memory may mend."""
        known = self.layout[2:4] != NO_LAYOUT[2:4] or TLS_LAYOUT.unpack(self.layout)[5] != SSL_OBJECT
        return self.rung == "symbol" and known


class Unseen(msgspec.Struct, frozen=True):
    """A TLS library that cannot be seen into, and why."""

    name: str
    reason: str
