"""One connection, whatever its source, and what is known of it."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from leeward.model.net import Endpoint
from leeward.wire import sql
from leeward.wire.decrypt import TlsDecryptor
from leeward.wire.dns_stream import DnsConnection
from leeward.wire.flows import Socket
from leeward.wire.http import HttpConnection


class Calls(msgspec.Struct):
    """A library's calls in one direction. next_seq: number of the next. missing: bytes of the last one that the source did not
    copy (so far: the call's next piece may bring them)."""

    next_seq: int = 0
    missing: int = 0


class Connection(msgspec.Struct, eq=False):
    """One connection and what is known of it. source: "library" | "plaintext" | "capture".

    joined: how its socket was found: "client-random" | "descriptor" | "socket" | "". exchanges: how many came out.
    reason: why its content is not seen, "" if it is (or not yet known). opener: the side that opened it (packets only).
    library: the source's number for the library, -1 if there is none. speaks: "postgresql" | "mysql" | "dns", "" for HTTP.
    line: of a request of no interest whose answer is awaited; unanswered: how many there are. second, in_second, bytes_second: of
    an HTTP/2 connection to a server here, requests and bytes in the second that began then. hushed: the source was told. far: the
    server's socket, if that is on this host too (packets only). resolver: its end at port 53 (packets only).
    """

    key: Hashable
    source: str
    pid: int
    role: str = "unknown"
    socket: Socket | None = None
    joined: str = ""
    client_random: bytes = b""
    from_start: bool = False
    http: HttpConnection | sql.SqlConnection | DnsConnection | None = None
    speaks: str = ""
    exchanges: int = 0
    skipped: int = 0
    reason: str = ""
    dropped: bool = False
    observers: list[int] = []
    held: list[tuple[int, bool, bytes]] | None = None
    held_bytes: int = 0
    held_since: int = 0
    calls: dict[bool, Calls] = msgspec.field(default_factory=lambda: {True: Calls(), False: Calls()})
    decryptor: TlsDecryptor | None = None
    opener: Endpoint | None = None
    library: int = -1
    line: bytes = b""
    unanswered: int = 0
    second: int = 0
    in_second: int = 0
    bytes_second: int = 0
    hushed: bool = False
    far: Socket | None = None
    resolver: Endpoint | None = None

    def seen_by(self) -> list[int]:
        """The observers that are known by now: a server is often heard of before it has accepted."""
        known = [pid for pid in self.observers if pid]
        return known or ([self.far.flow.pid] if self.far is not None and self.far.flow.pid else [])
