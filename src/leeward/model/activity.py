"""What the detectors are fed: things that happened on this host, each with the process that did it.

Invariants: `ts` is Unix nanoseconds and does not decrease by more than a second; nothing here holds a raw secret (command
lines and paths had their credentials taken out). An event log (`leeward range record`) is a list of these, so that detectors,
baselines and incidents can be run again with the events' own clock.
"""

from __future__ import annotations

import msgspec

from leeward.model.exchange import Exchange
from leeward.model.net import Endpoint, Flow
from leeward.model.process import NOBODY, Process
from leeward.model.raw import FoundKey, Stream


class Activity(msgspec.Struct, frozen=True, tag=True, tag_field="activity", kw_only=True):
    """Base. process: who did it, as it was then; NOBODY in captures. A process is the same if `pid` and `start_ns` are."""

    ts: int
    process: Process = NOBODY


class Started(Activity, frozen=True, kw_only=True):
    """A program began to run in this process (execve).

    streams: standard input, output, error. origin: where the program's file is: "" (a usual file) | "memfd" | "deleted" |
    "shm" (a file system in memory that anybody may write to). euid: effective user id after it; the process's `uid` is the real
    one. setuid: the file gives another user's rights. keys: AI providers' keys on its command line and in its environment.
    variables: those of its environment that change whom it talks to or what it loads (LD_PRELOAD, OPENAI_BASE_URL, HTTPS_PROXY).
    """

    streams: tuple[Stream, Stream, Stream] = (Stream(), Stream(), Stream())
    origin: str = ""
    euid: int = -1
    setuid: bool = False
    keys: tuple[FoundKey, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


class Ended(Activity, frozen=True, kw_only=True):
    """The process is gone."""


class System(Activity, frozen=True, kw_only=True):
    """Something a process asked of the kernel that matters for security. Only what succeeded, unless `failed`.

    kind, and what the other fields then mean (those not named are empty):
      open      path: file of interest; number: 1 if for writing; label: its class (sensor/files.yaml), e.g. "ssh-key"; target: of
                files in /proc/PID, that process. For label "runtime-socket": connected to; path: as its server bound it
      rename    path: new name of a file of interest; source: the old one; label: as above
      unlink, chmod   path, label; number: the new mode, of chmod. With the set-user-ID bit of any file; label
                "setuid"
      identity  user ids changed, or capabilities were gained: before, after: (uid, euid, gid, effective capabilities); label:
                how: "exec" (a program's file gave them) | "call" | "user-namespace" (capabilities count in a new one only)
      ptrace    target: the other process; number: the request (sys/ptrace.h)
      vm-write  process_vm_writev: target
      kill      number: the signal; target. Only of signals to processes of another workload
      memfd     source: its name
      exec-map  a library that is in no file was mapped executable: path: its name; label: "memfd"
      mount     path: where; source: of what; label: file system type; number: flags (sys/mount.h)
      namespace unshare or setns; number: flags (CLONE_NEW*); label: "unshare" | "setns" | "clone" (the process began in a user
                namespace of its own); of setns source: which ("mnt:[inode]"), path: "host" if it is the host's
      chroot    path, also for pivot_root
      module    a kernel module was loaded; path or source if known
      bpf       a BPF program was loaded; source: its name; number: its type
      keyring   keys of the kernel's were read; number: request
      stream    a standard stream became something else (dup2): number: 0, 1 or 2; stream: what
      pty       a pseudo-terminal was made: number: its minor
      socket    a socket that is neither TCP, UDP nor UNIX: label: "packet" | "raw" | "icmp" | "xdp"; number: protocol
      icmp      totals of what a process sent: number: bytes since the last; path: the address
      route     this host's routes changed (process: NOBODY): path: destination; source: the gateway and device; label:
                "added" | "removed"
      device    a network device appeared: source: its name; label: its kind ("tun", "wireguard", "vxlan" ...)
      clock     the host's clock was set
      key-written  what the process writes to a log (path) has an AI service's key: label: whose; source: its fingerprint
    """

    kind: str
    path: str = ""
    source: str = ""
    label: str = ""
    number: int = 0
    target: Process | None = None
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    stream: Stream | None = None
    failed: bool = False


class FlowSeen(Activity, frozen=True, kw_only=True):
    """A flow began, moved bytes or ended.

    flow: a copy, with the totals so far. sent, received: bytes since it was told last, about a second ago. packets_out: packets
    sent since then. began, ended: is this the first, the last that is told of it? peer: the process at its other end, if that is
    on this host. sock: the socket's number, as Stream.number has it; 0 if it is not known."""

    flow: Flow
    sent: int = 0
    received: int = 0
    packets_out: int = 0
    began: bool = False
    ended: bool = False
    peer: Process | None = None
    sock: int = 0


class NameAsked(Activity, frozen=True, kw_only=True):
    """A DNS question was asked or answered. process: who asked, if known; it may be a resolver on this host.

    name: as asked, in lower case, without the final dot. query: IANA RR type. rcode: of the answer, -1 while it is a question.
    size: bytes of the message. answers: data of A, AAAA and CNAME records. records: how many there are of all types."""

    name: str
    query: int = 1
    rcode: int = -1
    size: int = 0
    answers: tuple[str, ...] = ()
    records: int = 0
    server: Endpoint | None = None


class HttpSeen(Activity, frozen=True, kw_only=True):
    """One HTTP request with its answer, AI or not, without bodies.

    direction: "inbound" (process is the server) | "outbound". peer: the other end's address. path: without the query and without
    credentials, behind it what GraphQL or JSON-RPC ask for (wire/body_calls.py); at most 512 characters. status: 0 if no answer
    was seen. sampled: how many requests like it this one stands for. identity: fingerprint of the caller's credential (a key, a
    session cookie), "" if it showed none, "?" if that was not seen. key_of: the AI provider whose key that is by its form.
    user_agent: at most 128 characters. exchange: is it an AI exchange too? keys: of AI services, inbound in the beginning of what
    this host's server answered, outbound in that of what was sent and is no AI exchange."""

    direction: str
    peer: str = ""
    host: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    request_size: int = 0
    response_size: int = 0
    content_type: str = ""
    user_agent: str = ""
    identity: str = ""
    key_of: str = ""
    sampled: int = 1
    exchange: bool = False
    keys: tuple[FoundKey, ...] = ()


class ExchangeSeen(Activity, frozen=True, kw_only=True):
    """An AI exchange is complete; its text is masked."""

    exchange: Exchange


class Blinded(Activity, frozen=True, kw_only=True):
    """Something cannot be seen. what: "lost" (events, `number` of them, `reason`: the counter) | "content" (of the process's
    connection to `where`, `reason` says why) | "probe" (one is gone)."""

    what: str
    reason: str = ""
    where: str = ""
    number: int = 1


AnyActivity = Started | Ended | System | FlowSeen | NameAsked | HttpSeen | ExchangeSeen | Blinded
