"""What agent, holder and judge say to each other: msgpack of these structs, one packet each, over UNIX sockets of their own.

Invariant: nobody believes a size or a number that is not bounded here; what cannot be read as one of these is an error of the
program, and ends the process that sent it.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

import msgspec

from leeward.model.exchange import ProcessRef
from leeward.model.process import Container, Workload

#: Bytes of a held call that are looked at; a longer write is decided by its beginning and the policy's `fail`.
MOST = 4 << 20
_IN_PACKET = 64 << 10  # more goes into a file in memory, whose descriptor is sent along
_PACKET = 1 << 18


class Who(msgspec.Struct, frozen=True):
    """Whose call it is. deadline_ms, fail: of the strictest policy that is about it."""

    pid: int
    process: ProcessRef
    workload: Workload
    container: Container | None = None
    deadline_ms: int = 50
    fail: str = "open"


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Agent → holder: from now on the writes of this process, and of its children, are held."""

    who: Who


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Agent → holder: let this process go."""

    pid: int


class Library(msgspec.Struct, frozen=True, tag="library"):
    """Agent → holder: how a call of this library (index in `layouts`) is made to fail. shutdown: offset in its object of what
    says that nothing is written any more, -1 if not known."""

    number: int
    shutdown: int


class NewJudge(msgspec.Struct, frozen=True, tag="judge"):
    """Agent → holder, with a descriptor: ask this one from now on."""


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """Holder → agent: the process is held, or why not ("" if it is). parent: whose child it is, if that is why."""

    pid: int
    why: str = ""
    parent: int = 0


class JudgeLost(msgspec.Struct, frozen=True, tag="judge-lost"):
    """Holder → agent: the judge does not answer any more."""

    why: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Holder → judge: may this be written? number 0: it is, and no verdict is awaited. sent: bytes written on this connection
    before. data: the bytes, unless they come as a descriptor."""

    number: int
    pid: int
    tls: int
    ts: int
    sent: int
    size: int
    data: bytes = b""


class Told(msgspec.Struct, frozen=True, tag="told"):
    """Holder → judge: this is who that is."""

    who: Who


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """Holder → judge: this process is gone, or let go."""

    pid: int


class Verdict(msgspec.Struct, frozen=True, tag="verdict"):
    """Judge → holder. action: allow | redact | block | kill. edits: (offset in the buffer, what stands there instead), same
    length each. leave: this connection need not be held any more. decided: what the agent is told of it, None for nothing.
    between: what is written next begins a request, and policies ask for nothing that its head could say."""

    number: int
    action: str
    edits: list[tuple[int, bytes]] = []
    leave: bool = False
    decided: dict[str, Any] | None = None
    between: bool = False


#: The first that a judge says: it answers from now on.
READY = Verdict(0, "allow")


class Decided(msgspec.Struct, frozen=True, tag="decided"):
    """Holder → agent: what became of a held call. action: what was done. why: "" as decided; else `deadline`, `judge-lost`,
    `gone` (the thread is), `unwritable`. held_us: from the call to its end. decided: as the judge said it."""

    pid: int
    tid: int
    tls: int
    ts: int
    size: int
    action: str
    held_us: int
    why: str = ""
    decided: dict[str, Any] | None = None


class Counters(msgspec.Struct, frozen=True, tag="counters"):
    """Holder → agent, about once a second while they change: counts by name."""

    counts: dict[str, int]


ToHolder = Hold | Release | Library | NewJudge
FromHolder = Taken | JudgeLost | Decided | Counters
ToJudge = Ask | Told | Gone
_DESCRIPTOR = struct.Struct("@i")
_ONE_DESCRIPTOR = socket.CMSG_SPACE(_DESCRIPTOR.size)
_ENCODER = msgspec.msgpack.Encoder()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a packet socket."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    return ends


def send(to: socket.socket, message: msgspec.Struct, descriptor: int | None = None) -> None:
    """Raises OSError: BlockingIOError if there is no room, BrokenPipeError if nobody listens."""
    raw = _ENCODER.encode(message)
    if descriptor is None:
        to.send(raw)
    else:
        socket.send_fds(to, [raw], [descriptor])


def send_ask(to: socket.socket, ask: Ask, data: bytes) -> None:
    """An Ask with its bytes, however many they are. Raises OSError."""
    if len(data) <= _IN_PACKET:
        send(to, msgspec.structs.replace(ask, data=data))
        return
    file = os.memfd_create("leeward-held")
    try:
        os.write(file, data)
        send(to, ask, file)
    finally:
        os.close(file)


class Receiver:
    """Reads messages of one kind from packet sockets. Room for them is made once, since to make it costs more than to read. Not
    for two threads at the same time."""

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._room = memoryview(bytearray(_PACKET))

    def next(self, of: socket.socket) -> tuple[Any, int | None] | None:
        """The next message, and the descriptor that came with it; None if the other end is gone. Raises BlockingIOError if
        there is none yet, msgspec.MsgspecError for what is none."""
        size, ancillary, _, _ = of.recvmsg_into([self._room], _ONE_DESCRIPTOR)
        if not size:
            return None
        descriptors = [
            _DESCRIPTOR.unpack_from(data)[0]
            for level, kind, data in ancillary
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        ]
        return self._decoder.decode(self._room[:size]), descriptors[0] if descriptors else None
