"""What a source (the kernel sensor or a capture) hands to the pipeline: raw events in the order they happened.

A source promises: `ts` (Unix nanoseconds) does not decrease by more than a second from one event to the next,
and events of one connection come in their own order. Nothing here is decoded beyond layer 4.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.model.net import Endpoint


class Raw(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base: `ts` is when it happened."""

    ts: int


class Stream(msgspec.Struct, frozen=True, gc=False):
    """What one of a process's standard streams is.

    kind: "" (closed, or not seen) | "socket" (inet) | "unix" | "pipe" (named ones too) | "tty" | "file" | "null" | "other".
    number: inode of a pipe or UNIX socket, the socket's number (Flow.sock) of an inet one, minor number of a pseudo-terminal.
    peer: inode of the other end of a pair of UNIX sockets, 0 if unknown.
    """

    kind: str = ""
    number: int = 0
    peer: int = 0


class FoundKey(msgspec.Struct, frozen=True, gc=False):
    """A credential that lies open. where: "argv" | "environ" | "log" | "answer" | "body". name: of the option, variable or file,
    or the path that was asked for. The rest as in exchange.Key."""

    provider: str
    fingerprint: str
    where: str
    name: str = ""


class ProcessStarted(Raw, frozen=True, gc=False):
    """fork or clone of a process (not of a thread): `pid` is the child."""

    pid: int
    ppid: int
    start_ns: int


class ProcessExec(Raw, frozen=True, gc=False):
    """execve succeeded. argv is what the kernel holds, cut at the sensor's limit (`argv_cut`). The last fields are as in
    activity.Started; a source that does not know them leaves them out. cgroup: the last part of its cgroup's path."""

    pid: int
    ppid: int
    start_ns: int
    uid: int
    exe: str
    argv: tuple[str, ...]
    argv_cut: bool = False
    streams: tuple[Stream, Stream, Stream] = (Stream(), Stream(), Stream())
    origin: str = ""
    euid: int = -1
    setuid: bool = False
    keys: tuple[FoundKey, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    cgroup: str = ""


class ProcessExited(Raw, frozen=True, gc=False):
    """The last thread of a process is gone."""

    pid: int


class SocketOpened(Raw, frozen=True, gc=False):
    """A socket connected (role "client"), was accepted ("server"), began to listen ("listener") or was found ("unknown").

    sock: the source's own number for the socket, unique while the host is up (the kernel's socket cookie). proto: "tcp" |
    "udp" | "unix". Of UNIX sockets only the client's end is told, and only when it speaks to a database.
    """

    sock: int
    pid: int
    role: str
    proto: str
    local: Endpoint
    remote: Endpoint


class SocketStats(Raw, frozen=True, gc=False):
    """Totals of one socket so far, layer 3. `closed`: these are the last. remote: given for UDP, where a socket has many."""

    sock: int
    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    closed: bool
    remote: Endpoint | None = None


class Segment(Raw, frozen=True, gc=False):
    """Payload of a TCP segment. `sent`: by the socket observed (a capture: from `local` to `remote`).

    seq: TCP sequence number of the first byte of `data`. size: payload bytes on the wire; more than len(data)
    when the source cut it. syn/fin/rst: TCP flags of the segment (only captures carry segments without payload).
    syn_ack: a SYN that answers one; `syn` is true as well.
    woke: the source had stopped copying this connection and a request made it start again.
    """

    sock: int
    proto: str
    local: Endpoint
    remote: Endpoint
    sent: bool
    seq: int
    data: bytes
    size: int
    syn: bool = False
    fin: bool = False
    rst: bool = False
    woke: bool = False
    syn_ack: bool = False


class Datagram(Raw, frozen=True, gc=False):
    """Payload of a UDP packet worth decoding (DNS, QUIC initial)."""

    sock: int
    local: Endpoint
    remote: Endpoint
    sent: bool
    data: bytes
    size: int


class TlsOpened(Raw, frozen=True, gc=False):
    """A TLS library's object for a connection (`SSL*`) was used for the first time since the source could see it.

    tls is unique with `pid` and `generation`. client_random: the 32 bytes that name the TLS session on the wire too,
    b"" if unknown. sock/local/remote: from the descriptor inside the object, 0/None when it has none (memory BIO).
    library: the source's own number for the file whose code was called.
    """

    pid: int
    tls: int
    generation: int
    client_random: bytes = b""
    sock: int = 0
    local: Endpoint | None = None
    remote: Endpoint | None = None
    library: int = 0


class Plaintext(Raw, frozen=True, gc=False):
    """Bytes that a TLS library encrypted (`written`) or decrypted, as seen at its call.

    seq: counts the calls on this object in this direction from 0; a hole is a lost event. offset: of `data` in the buffer;
    size: of the whole call. woke: the source had stopped copying this connection and a request made it start again.
    """

    pid: int
    tid: int
    tls: int
    generation: int
    seq: int
    written: bool
    offset: int
    size: int
    data: bytes
    woke: bool = False


class HeadsSeen(Raw, frozen=True, gc=False):
    """An HTTP/1 request with its answer on a connection of which only heads are shown (wire.connections.Quiet): the beginning of
    each, with what of its body came along. sock: of a connection in the clear, 0 if it is the TLS object `tls`. stands: how many
    of its kind (answered well, or not) passed in this process since one was shown."""

    pid: int
    sock: int
    tls: int
    request: bytes
    response: bytes
    stands: int = 1


class TlsClosed(Raw, frozen=True, gc=False):
    """The library freed its object."""

    pid: int
    tls: int
    generation: int


class Piped(Raw, frozen=True, gc=False):
    """Bytes that a process wrote to its standard output or read from its standard input, which are a pipe or a socket.

    pipe: inode of that end. seq: counts the calls in this direction from 0; a hole is a lost event. offset: of `data` in this
    call's buffer; size: of the whole call.
    """

    pid: int
    pipe: int
    seq: int
    written: bool
    offset: int
    size: int
    data: bytes


class UnixData(Raw, frozen=True, gc=False):
    """Bytes that a process wrote to its UNIX stream socket `sock` or read from it.

    seq: number of the first byte of `data` in its direction since the source began to look, modulo 2**32; a hole is lost, no
    byte comes twice. late: the connection was in use before that.
    """

    sock: int
    pid: int
    written: bool
    seq: int
    data: bytes
    late: bool = False


class Denied(Raw, frozen=True, gc=False):
    """The kernel refused a process of a class a destination, before a byte of the request left.

    reason: "address" | "unknown" (it has no name that is known) | "quic" (its hello cannot be read) | "limit" (no room to ask) at
    connect or sendmsg, which failed with EPERM; "name" | "no-name" | "unreadable" when the TLS hello was about to leave, where
    `name` is the SNI. sock, proto: as in SocketOpened. local: of port 0 before the socket is connected.
    """

    sock: int
    pid: int
    proto: str
    local: Endpoint
    remote: Endpoint
    class_id: int
    reason: str
    name: str = ""


class SystemCalled(Raw, frozen=True, gc=False):
    """A process asked something of the kernel. The fields are those of activity.System; target is a pid, 0 for none."""

    pid: int
    kind: str
    path: str = ""
    source: str = ""
    label: str = ""
    number: int = 0
    target: int = 0
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    stream: Stream | None = None
    failed: bool = False


class ModelAnswered(Raw, frozen=True):
    """What the model for names found in the texts it was given as `number`: (text, kind, start, end, confidence, detector) each,
    offsets in characters."""

    number: int
    found: tuple[tuple[int, str, int, int, float, str], ...]


class CallJudged(Raw, frozen=True):
    """A write that was held has ended, at `ts` begun. action: allow | redact | block | kill, as it was done. held_us: how long.
    why: "" as decided, else why nobody decided. decided: the decision and, of what was stopped, the exchange, masked
    (enforce/judge.py); None for what no policy is about."""

    pid: int
    tls: int
    action: str
    held_us: int
    why: str = ""
    decided: dict[str, Any] | None = None


class ProgramJudged(Raw, frozen=True):
    """A policy is about this program running in its workload. action: "kill" if it was ended for it. decision: as
    policy.policies.Decision."""

    pid: int
    action: str
    decision: dict[str, Any]


class Lost(Raw, frozen=True, gc=False):
    """The source lost `count` events of this kind since it last said so."""

    kind: str
    count: int


RawEvent = (
    ProcessStarted
    | ProcessExec
    | ProcessExited
    | SocketOpened
    | SocketStats
    | Segment
    | Datagram
    | TlsOpened
    | Plaintext
    | TlsClosed
    | HeadsSeen
    | Piped
    | UnixData
    | Denied
    | SystemCalled
    | ModelAnswered
    | CallJudged
    | ProgramJudged
    | Lost
)
