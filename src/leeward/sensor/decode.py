"""From the bytes of a ring record to a raw event. Pure: memory in, event out."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop

from leeward.model.net import Endpoint
from leeward.model.raw import (
    Datagram,
    Denied,
    HeadsSeen,
    Piped,
    Plaintext,
    ProcessExec,
    ProcessExited,
    ProcessStarted,
    RawEvent,
    Segment,
    SocketOpened,
    SocketStats,
    Stream,
    TlsClosed,
    TlsOpened,
    UnixData,
)
from leeward.sensor import layout as L

_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


@lru_cache(maxsize=65536)
def endpoint(raw: bytes, port: int, family: int) -> Endpoint:
    """An address of struct tuple. IPv4-mapped IPv6 is written as IPv4."""
    if family == 4:
        return Endpoint(inet_ntop(AF_INET, raw[:4]), port)
    if raw.startswith(_V4_MAPPED):
        return Endpoint(inet_ntop(AF_INET, raw[12:]), port)
    return Endpoint(inet_ntop(AF_INET6, raw), port)


def record(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent | None:
    """The event at `at`; `epoch` is what to add to the kernel's monotonic time for Unix nanoseconds. None: a library event."""
    kind = L.HEAD.unpack_from(memory, at)[1]
    decoder = _DECODERS.get(kind)
    return decoder(memory, at, epoch) if decoder else None


def library(memory: mmap.mmap | bytes, at: int) -> tuple[int, int, int, int]:
    """(pid, inode, device, address) of a library event."""
    _, _, pid, inode, address, device, _ = L.LIBRARY.unpack_from(memory, at)
    return pid, inode, device, address


def text(raw: bytes) -> str:
    """Valid Unicode of any bytes; each that cannot be decoded is "?"."""
    return raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()


def stream(fields: Sequence[int]) -> Stream:
    """Of the fields of struct stream."""
    number, peer, kind, _ = fields
    return Stream(L.STREAM_KINDS[kind & 7], number, peer)


def _fork(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, start, ppid, *_ = L.PROCESS_HEAD.unpack_from(memory, at)
    return ProcessStarted(ts + epoch, pid, ppid, start)


def _exec(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.EXEC_HEAD.unpack_from(memory, at)
    ts, _, pid, start, ppid, uid, exe, argv, euid, origin, setuid, _ = values[:12]
    begins = at + L.EXEC_HEAD.size
    name = bytes(memory[begins : begins + min(exe, L.EXE_ROOM)])
    words = bytes(memory[begins + L.EXE_ROOM : begins + L.EXE_ROOM + min(argv, L.ARGV_LIMIT)])
    parts = tuple(text(w) for w in words.rstrip(b"\0").split(b"\0")) if words else ()
    streams = (stream(values[12:16]), stream(values[16:20]), stream(values[20:24]))
    return ProcessExec(
        ts + epoch, pid, ppid, start, uid, text(name), parts, argv > L.ARGV_LIMIT, streams, L.ORIGINS[origin & 3], euid,
        bool(setuid), cgroup=text(values[24].partition(b"\0")[0]),
    )  # fmt: skip


def _exit(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid = L.HEAD.unpack_from(memory, at)
    return ProcessExited(ts + epoch, pid)


def _socket(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, cookie, local, remote, lport, rport, family, proto, role = L.SOCKET.unpack_from(memory, at)
    return SocketOpened(
        ts + epoch,
        cookie,
        pid,
        L.ROLES[role] if role < 4 else "unknown",
        L.PROTOCOLS.get(proto, str(proto)),
        endpoint(local, lport, family),
        endpoint(remote, rport, family),
    )


def _closed(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, _, cookie, sent, received, packets_sent, packets_received = L.SOCKET_CLOSED.unpack_from(memory, at)
    return SocketStats(ts + epoch, cookie, sent, received, packets_sent, packets_received, True)


def _tls_opened(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.TLS_CONN.unpack_from(memory, at)
    ts, _, pid, tls, cookie, generation, library, local, remote, lport, rport, family, _, _, random = values
    return TlsOpened(
        ts + epoch,
        pid,
        tls,
        generation,
        random if any(random) else b"",
        cookie,
        endpoint(local, lport, family) if family else None,
        endpoint(remote, rport, family) if family else None,
        library,
    )


def _tls_bytes(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, tls, generation, seq, tid, flags, total, offset, length, _ = L.TLS_DATA.unpack_from(memory, at)
    start = at + L.TLS_DATA.size
    data = bytes(memory[start : start + length])
    written, woke = bool(flags & L.WRITTEN), bool(flags & L.WOKE)
    return Plaintext(ts + epoch, pid, tid, tls, generation, seq, written, offset, total, data, woke)


def _tls_gone(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, tls, generation, _ = L.TLS_FREE.unpack_from(memory, at)
    return TlsClosed(ts + epoch, pid, tls, generation)


def _heads(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.HEADS_EVENT.unpack_from(memory, at)
    ts, _, pid, conn, tls, stands, asked, answered, _, _, request, response = values
    sock, tls_object = (0, conn) if tls else (conn, 0)
    return HeadsSeen(ts + epoch, pid, sock, tls_object, request[:asked], response[:answered], stands)


def _segment(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.PACKET.unpack_from(memory, at)
    ts, _, _, cookie, local, remote, lport, rport, family, _, _, seq, total, offset, length, flags, _ = values
    start = at + L.PACKET.size
    return Segment(
        ts + epoch,
        cookie,
        "tcp",
        endpoint(local, lport, family),
        endpoint(remote, rport, family),
        bool(flags & L.WRITTEN),
        seq,
        bytes(memory[start : start + length]),
        length if offset + length < total else total - offset,
        woke=bool(flags & L.WOKE),
    )


def _datagram(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.PACKET.unpack_from(memory, at)
    ts, _, _, cookie, local, remote, lport, rport, family, _, _, _, total, _, length, flags, _ = values
    start = at + L.PACKET.size
    return Datagram(
        ts + epoch,
        cookie,
        endpoint(local, lport, family),
        endpoint(remote, rport, family),
        bool(flags & L.WRITTEN),
        bytes(memory[start : start + length]),
        total,
    )


def _stdio(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, pipe, _, seq, _, flags, total, offset, length, _ = L.TLS_DATA.unpack_from(memory, at)
    start = at + L.TLS_DATA.size
    data = bytes(memory[start : start + length])
    return Piped(ts + epoch, pid, pipe, seq, bool(flags & L.WRITTEN), offset, total, data)


def unix_path(raw: bytes) -> str:
    """The path of a sockaddr_un as `Endpoint` has it. Relative ones are the server's, to its working folder."""
    if raw[:1] == b"\0":
        return "@" + text(raw[1:])
    path = text(raw.split(b"\0", 1)[0])
    return path if "/" in path or not path else f"./{path}"


def _unix(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, number, length, _, path = L.UNIX_EVENT.unpack_from(memory, at)
    return SocketOpened(
        ts + epoch, number, pid, "client", "unix", Endpoint("", 0), Endpoint(unix_path(path[:length]), 0)
    )


def _unix_bytes(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    ts, _, pid, number, _, seq, _, flags, _, offset, length, _ = L.TLS_DATA.unpack_from(memory, at)
    start = at + L.TLS_DATA.size
    data = bytes(memory[start : start + length])
    first = (seq + offset) & 0xFFFFFFFF
    return UnixData(ts + epoch, number, pid, bool(flags & L.WRITTEN), first, data, bool(flags & L.LATE))


def _denied(memory: mmap.mmap | bytes, at: int, epoch: int) -> RawEvent:
    values = L.DENIED_EVENT.unpack_from(memory, at)
    ts, _, pid, cookie, local, remote, lport, rport, family, proto, _, class_id, why, length, _, name = values
    return Denied(
        ts + epoch,
        cookie,
        pid,
        L.PROTOCOLS.get(proto, str(proto)),
        endpoint(local, lport, family),
        endpoint(remote, rport, family),
        class_id,
        L.REASONS[why],
        name[:length].decode("latin-1").lower() if L.REASONS[why] == "name" else "",
    )


_DECODERS = {
    L.DENIED: _denied,
    L.UNIX: _unix,
    L.UNIX_BYTES: _unix_bytes,
    L.STDIO: _stdio,
    L.FORK: _fork,
    L.EXEC: _exec,
    L.EXIT: _exit,
    L.SOCK: _socket,
    L.SOCK_CLOSED: _closed,
    L.TLS_NEW: _tls_opened,
    L.TLS_BYTES: _tls_bytes,
    L.TLS_GONE: _tls_gone,
    L.HEADS: _heads,
    L.SEGMENT: _segment,
    L.DATAGRAM: _datagram,
}
