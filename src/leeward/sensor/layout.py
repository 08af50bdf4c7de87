"""The byte layouts that BPF programs and Python share: bpf/events.h, in the terms of the struct module.

Invariant: each format here has the size and the field order of its C struct; tests/sensor/test_sensor_layout.py compares
them with the debug information of the built object.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

_TUPLE: Final = "16s16sHHBBBx"

FORMATS: Final[dict[str, str]] = {
    "head": "<QII",
    "tuple": "<" + _TUPLE,
    "stream": "<QQII",
    "ev_process": "<QIIQIIIIIIII" + "QQII" * 3 + "160s1536s",
    "name_bits": "<1024Q",
    "ids": "<IIIIQ",
    "rights": "<IIIIQQ",
    "ev_system": "<QIIQIIIIIIIIQIIIIQQQIIIIII32s2560s",
    "ev_library": "<QIIQQII",
    "ev_socket": "<QIIQ" + _TUPLE,
    "counts": "<QQQQ",
    "ev_socket_closed": "<QIIQQQQQ",
    "ev_tls_conn": "<QIIQQII" + _TUPLE + "32s",
    "ev_tls_data": "<QIIQIIIIIIII",
    "ev_tls_free": "<QIIQII",
    "ev_hold": "<QIIQQQQQIIII",
    "heart": "<QQ",
    "ev_packet": "<QIIQ" + _TUPLE + "IIIIII",
    "ev_heads": "<QIIQIIIIII2048s2048s",
    "config": "<IIIIII8Q",
    "tls_layout": "<HHHHHHH2x",
    "flow_key": "<Q16sII",
    "flow": "<QQQQ" + _TUPLE + "IIIIQ",
    "pinged": "<QQII",
    "tls_key": "<QII",
    "library_key": "<QII",
    "caller": "<QQIIIIII",
    "ev_unix": "<QIIQII112s",
    "unix_socket": "<QQIIIIIIII112s",
    "ev_denied": "<QIIQ" + _TUPLE + "IIII256s",
    "class_rule": "<IIQQ",
    "destination": "<IHxx16s",
    "network": "<II16s",
    "name_key": "<IIQ",
    "ask": "<22I4Q16s16s512s",
}

HEAD: Final = Struct(FORMATS["head"])
PROCESS: Final = Struct(FORMATS["ev_process"])
PROCESS_HEAD: Final = Struct("<QIIQIIII")
EXEC_HEAD: Final = Struct("<QIIQIIIIIIII" + "QQII" * 3 + "160s")
SYSTEM: Final = Struct("<QIIQIIIIIIIIQIIIIQQQIIIIII32s")
LIBRARY: Final = Struct(FORMATS["ev_library"])
SOCKET: Final = Struct(FORMATS["ev_socket"])
SOCKET_CLOSED: Final = Struct(FORMATS["ev_socket_closed"])
TLS_CONN: Final = Struct(FORMATS["ev_tls_conn"])
TLS_DATA: Final = Struct(FORMATS["ev_tls_data"])
TLS_FREE: Final = Struct(FORMATS["ev_tls_free"])
RIGHTS: Final = Struct(FORMATS["rights"])
NAME_FILTER: Final = Struct(FORMATS["name_bits"])
PINGED: Final = Struct(FORMATS["pinged"])
HOLD: Final = Struct(FORMATS["ev_hold"])
HEART: Final = Struct(FORMATS["heart"])
PACKET: Final = Struct(FORMATS["ev_packet"])
HEADS_EVENT: Final = Struct(FORMATS["ev_heads"])
CONFIG: Final = Struct(FORMATS["config"])
TLS_LAYOUT: Final = Struct(FORMATS["tls_layout"])
FLOW_KEY: Final = Struct(FORMATS["flow_key"])
FLOW: Final = Struct(FORMATS["flow"])
TLS_KEY: Final = Struct(FORMATS["tls_key"])
LIBRARY_KEY: Final = Struct(FORMATS["library_key"])
CALLER: Final = Struct(FORMATS["caller"])
UNIX_EVENT: Final = Struct(FORMATS["ev_unix"])
UNIX_SOCKET: Final = Struct(FORMATS["unix_socket"])
DENIED_EVENT: Final = Struct(FORMATS["ev_denied"])
CLASS_RULE: Final = Struct(FORMATS["class_rule"])
DESTINATION: Final = Struct(FORMATS["destination"])
NETWORK: Final = Struct(FORMATS["network"])
NAME_KEY: Final = Struct(FORMATS["name_key"])
ASK_ENTRY: Final = Struct(FORMATS["ask"])

FORK, EXEC, EXIT, LIB, SOCK, SOCK_CLOSED, TLS_NEW, TLS_BYTES, TLS_GONE, SEGMENT, DATAGRAM = range(1, 12)
STDIO, UNIX, UNIX_BYTES, DATABASE, HELD, DENIED, SYSTEM_CALL = range(12, 19)
#: enum call_kind: what an entry probe says was called.
CALLS: Final = (
    "on_write",
    "on_write_ex",
    "on_write_ex2",
    "on_read",
    "on_read_ex",
    "on_free",
    "on_go_write",
    "on_go_read",
    "on_go_free",
    "on_plain",
    "on_plain_vector",
    "on_plain_message",
)
#: From here on they are Go's.
GO_WRITE: Final = CALLS.index("on_go_write")
#: Calls of libc that write to a socket: a buffer, a vector of them, a message.
PLAIN: Final = CALLS.index("on_plain")
PLAIN_CONNECTION: Final = 1 << 62
#: struct tls_layout, kind.
SSL_OBJECT, GO_OBJECT = 0, 1
ROLES: Final = ("unknown", "client", "server", "listener")
UDP: Final = 17
PROTOCOLS: Final = {6: "tcp", UDP: "udp"}
HEADS: Final = 40
COPY, DORMANT, IGNORE, GLANCE = range(4)
#: enum answer.
ALLOW, DENY, ASK, PASS = range(1, 5)
#: enum denied: why a process was refused a destination.
REASONS: Final = ("", "address", "unknown", "quic", "name", "no-name", "unreadable", "limit")
#: enum asked: kinds of activity.System.
SYSTEM_KINDS: Final = (
    *(
        "open",
        "rename",
        "unlink",
        "chmod",
        "identity",
        "ptrace",
        "vm-write",
        "kill",
        "memfd",
        "mount",
        "namespace",
        "chroot",
    ),
    *("module", "bpf", "keyring", "stream", "pty", "socket", "clock"),
)
TARGET_IN_NAMESPACE, ON_BLOCK_DEVICE = 1, 2
#: enum stream_kind, enum origin.
STREAM_KINDS: Final = ("", "socket", "unix", "pipe", "tty", "file", "null", "other")
ORIGINS: Final = ("", "memfd", "deleted", "shm")
WRITTEN, LATE, WOKE, FAULT, SYN = 1, 2, 4, 8, 16
UNKNOWN_OFFSET: Final = 0xFFFF
ARGV_LIMIT: Final = 1024
EXE_ROOM: Final = 512
LINE: Final = 96
#: Order of `enum counter` in events.h, and what the user sees of it.
COUNTERS: Final = (
    "lost_control",
    "lost_payload",
    "flow_table_full",
    "tls_table_full",
    "copy_fault",
    "copy_cut",
    "ipv6_extension_headers",
    "ip_fragments",
    "listener_payload",
    "unix_table_full",
    "hold_no_holder",
    "hold_ring_full",
    "hold_no_signal",
    "denied_untold",
    "asks_full",
    "system_calls_skipped",
)
_FACTOR: Final = 0x9E3779B97F4A7C15
_KEYS: Final = {
    "name": 0x1111111111111111,
    "suffix": 0x2222222222222222,
    "pair": 0x4444444444444444,
    "folder": 0x8888888888888888,
    "folders": 0x9999999999999999,
}


def unix_number(inode: int, generation: int) -> int:
    """What bpf/unix.h's `unix_number` computes: the number of a UNIX connection, which no socket cookie is."""
    return 1 << 63 | (generation & 0x7FFFFFFF) << 32 | inode & 0xFFFFFFFF


def line_hash(line: bytes, conn: int) -> int:
    """What bpf/request.h's `line_hash` computes: FNV-1a over a request line up to '?', CR or 96 bytes, mixed with `conn`."""
    h = 0xCBF29CE484222325 ^ (conn & 0xFFFFFFFFFFFFFFFF)
    for byte in line[:LINE]:
        if byte in (0x3F, 0x0D):
            break
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def _mixed(h: int, word: int) -> int:
    h = ((h ^ word) * _FACTOR) & 0xFFFFFFFFFFFFFFFF
    return h ^ h >> 29


def name_hash(name: bytes) -> int:
    """What bpf/system.h's `hash_bytes` computes; 0 of more than 64 bytes, or none."""
    h = _FACTOR
    for at in range(0, len(name), 8):
        h = _mixed(h, int.from_bytes(name[at : at + 8], "little"))
    return h if 0 < len(name) <= 64 else 0


def name_key(kind: str, name: bytes, folder: bytes = b"") -> int:
    """What bpf/system.h looks up for a file name, a suffix, a folder, a pair of folder and name, or two folders."""
    if kind in ("pair", "folders"):
        return _mixed(name_hash(folder), name_hash(name)) ^ _KEYS[kind]
    return name_hash(folder if kind == "folder" else name) ^ _KEYS[kind]


def filter_place(key: int) -> tuple[int, int]:
    """Word and bit of a key in `name_filter`."""
    return key >> 32 & 1023, key >> 42 & 63
