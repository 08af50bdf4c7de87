"""How long a connection that carries nothing of interest goes on being copied, and what is still shown of it then.

Invariants: a connection on which an exchange of interest passed is never left alone. Where its server is on this host, the
source is asked for the heads of a share of its exchanges: who calls that server, and with what result, has to be seen.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from leeward.model.message import Message
from leeward.wire.connection import Connection
from leeward.wire.flows import FlowTable
from leeward.wire.http1 import Http1Connection

_H2_LOOKS = 64  # requests of no interest on an HTTP/2 connection before it is left alone; to a server here: in a second
_H2_BYTES = 4 << 20  # of such a connection to a server here, in a second
_UNANSWERED = 8  # requests of no interest whose answers were not seen, before their connection is left alone
_SMALL = 65536  # bytes of a request's body that are copied for the sake of its answer


class Quiet(Protocol):
    """How a source is told to stop copying. line: the request line that was of no interest; None: stop for good.
    glance_*: the same, but shows the heads of a bounded share of the exchanges, failures first. forget_tls: the object is gone
    without having been freed; its number may come again."""

    def quiet_tls(self, pid: int, tls: int, line: bytes | None) -> None: ...
    def quiet_socket(self, sock: int, line: bytes | None) -> None: ...
    def glance_tls(self, pid: int, tls: int, line: bytes) -> None: ...
    def glance_socket(self, sock: int, line: bytes) -> None: ...
    def quiet_stdio(self, pid: int) -> None: ...
    def forget_tls(self, pid: int, tls: int) -> None: ...


class Attention:
    """Told of each request of no interest. quiet: how the source is told, None if it cannot be."""

    def __init__(self, flows: FlowTable, quiet: Quiet | None, counters: Counter[str]) -> None:
        self._flows, self._quiet, self.counters = flows, quiet, counters

    def skipped(self, connection: Connection, request: Message, line: bytes) -> None:
        """A request of no interest, on a connection without any other. A source wakes at the line of an HTTP/1 request; it cannot
        read HTTP/2's, so such a connection is left alone only after many, and for good; if the server is on this host, only if it
        carries much. HTTP/1 is left alone once the answer is there, or at once if much is to come before it."""
        here, ts = self._serves_here(connection), request.start
        if isinstance(connection.http, Http1Connection):
            connection.line = line
            connection.unanswered += 1
            if connection.unanswered > _UNANSWERED or not _is_small(request):
                self._leave(connection)
        elif not here and connection.skipped >= _H2_LOOKS:
            self._leave_http2(connection)
        elif here:
            self.pace(connection, ts, 0)
            connection.in_second += 1
            if connection.in_second > _H2_LOOKS:
                self._leave_http2(connection)

    def pace(self, connection: Connection, ts: int, size: int) -> None:
        """`size` more bytes on an HTTP/2 connection to a server here."""
        if ts // 10**9 != connection.second:
            connection.second, connection.in_second, connection.bytes_second = ts // 10**9, 0, 0
        connection.bytes_second += size
        if connection.bytes_second > _H2_BYTES:
            self._leave_http2(connection)

    def _leave_http2(self, connection: Connection) -> None:
        if not connection.hushed:
            self.counters["http2_left_alone"] += 1
            self.hush(connection, None)

    def _serves_here(self, connection: Connection) -> bool:
        """Is the server of this connection a process of this host, as far as is known yet?"""
        socket = connection.socket
        if (
            connection.observers
            or connection.role == "server"
            or len(self._flows.by_random(connection.client_random)) > 1
        ):
            return True
        if socket is None or connection.source == "capture":
            return False
        return socket.role == "server" or self._flows.mirror(socket) is not None

    def _leave(self, connection: Connection) -> None:
        """Leaves an HTTP/1 connection alone, until a request of another line comes."""
        connection.unanswered = 0
        if self._serves_here(connection):
            self._glance(connection, connection.line)
        else:
            self.hush(connection, connection.line)

    def _glance(self, connection: Connection, line: bytes) -> None:
        if self._quiet is None:
            return
        connection.hushed = True
        match connection.key:
            case ("socket", int(sock)):
                self._quiet.glance_socket(sock, line)
            case (int(pid), int(tls)):
                self._quiet.glance_tls(pid, tls, line)

    def hush(self, connection: Connection, line: bytes | None) -> None:
        if self._quiet is None:
            return
        connection.hushed = True
        match connection.key:
            case ("socket", int(sock)):
                self._quiet.quiet_socket(sock, line)
            case (int(pid), int(tls)):
                self._quiet.quiet_tls(pid, tls, line)

    def answered(self, connection: Connection) -> None:
        """The head of an answer is there."""
        connection.unanswered = 0
        if not connection.exchanges and connection.line:
            self._leave(connection)

    def joined(self, connection: Connection) -> None:
        """Its server turned out to be on this host."""
        if connection.hushed and connection.line and not connection.exchanges:
            self._glance(connection, connection.line)


def _is_small(request: Message) -> bool:
    """Will its body have passed soon?"""
    length = request.header("content-length") or "0"
    small = length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= _SMALL
    return small and not request.header("transfer-encoding")
