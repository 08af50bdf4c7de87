/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the sensor's programs and user space say to each other. src/leeward/sensor/layout.py holds the same layouts for
 * Python; tests/sensor/test_sensor_layout.py compares the two through the object's BTF. All little-endian, naturally
 * aligned, no implicit padding. */
#ifndef LEEWARD_EVENTS_H
#define LEEWARD_EVENTS_H
#include "core.h"

enum event_type {
	EV_FORK = 1, EV_EXEC = 2, EV_EXIT = 3, EV_LIBRARY = 4,
	EV_SOCKET = 5, EV_SOCKET_CLOSED = 6,
	EV_TLS_CONN = 7, EV_TLS_DATA = 8, EV_TLS_FREE = 9,
	EV_SEGMENT = 10, EV_DATAGRAM = 11, EV_STDIO = 12, EV_UNIX = 13, EV_UNIX_DATA = 14, EV_DATABASE = 15, EV_HOLD = 16,
	EV_DENIED = 17, EV_SYSTEM = 18, EV_HEADS = 40,
};
enum role { ROLE_UNKNOWN = 0, ROLE_CLIENT = 1, ROLE_SERVER = 2, ROLE_LISTENER = 3 };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58 };
/* Why the kernel copies a connection's payload, or not. */
/* GLANCE: as DORMANT, and the heads of a share of its exchanges are shown. */
enum verdict { COPY = 0, DORMANT = 1, IGNORE = 2, GLANCE = 3 };
enum { FLAG_WRITTEN = 1, FLAG_LATE = 2, FLAG_WOKE = 4, FLAG_FAULT = 8, FLAG_SYN = 16 };

struct tuple {
	u8 local[16], remote[16]; /* IPv4 in the first four bytes */
	u16 local_port, remote_port; /* host order */
	u8 family; /* 4, 6 or 0 (unknown) */
	u8 proto, role, pad;
};

/* Alone: EV_EXIT; EV_DATABASE, on which user space attaches the programs of the calls on sockets. */
struct head { u64 ts; u32 type, pid; };

/* What a descriptor is. number, peer: as model/raw.py's Stream. */
enum stream_kind { STREAM_NONE, STREAM_SOCKET, STREAM_UNIX, STREAM_PIPE, STREAM_TTY, STREAM_FILE, STREAM_NULL, STREAM_OTHER };
struct stream { u64 number, peer; u32 kind, pad; };
/* Of a program's file: where it is. SHM: a file system in memory that anybody may write to. */
enum origin { ORIGIN_FILE, ORIGIN_MEMFD, ORIGIN_DELETED, ORIGIN_SHM };
/* A fork has none of what follows argv_len. setuid: the file gave rights that the process had not. */
struct ev_process {
	struct head h;
	u64 start_ns;
	u32 ppid, uid, exe_len, argv_len;
	u32 euid, origin, setuid, pad;
	struct stream streams[3];
	u8 group[160]; /* its cgroup's own name, without the path; ends with a NUL */
	u8 text[1536]; /* exe (512), argv (1024, NUL between) */
};

/* EV_SYSTEM: what a process asked of the kernel (calls.h). The order is that of layout.SYSTEM_KINDS. */
enum asked {
	ASKED_OPEN, ASKED_RENAME, ASKED_UNLINK, ASKED_CHMOD, ASKED_IDENTITY, ASKED_PTRACE, ASKED_VM_WRITE, ASKED_KILL, ASKED_MEMFD,
	ASKED_MOUNT, ASKED_NAMESPACE, ASKED_CHROOT, ASKED_MODULE, ASKED_BPF, ASKED_KEYRING, ASKED_STREAM, ASKED_PTY, ASKED_SOCKET,
	ASKED_CLOCK,
};
struct ids { u32 uid, euid, gid, pad; u64 caps; };
enum { TARGET_IN_NAMESPACE = 1, ON_BLOCK_DEVICE = 2 };
/* target: pid; with TARGET_IN_NAMESPACE a thread's number as the caller's PID namespace, `level` steps down, counts. text: `name_len`
 * bytes of the path as the process gave it, `other_len` of the other one, then the components of the path that a file or folder
 * has, from the leaf up (of a relative `name`: those of the folder it starts from). All end with NUL. */
struct ev_system {
	struct head h;
	u64 number;
	u32 kind, target, flags, level;
	struct ids before, after;
	struct stream stream;
	u32 name_len, other_len, chain_len, len;
	u8 label[32], text[2560];
};
struct ev_library { struct head h; u64 inode, address; u32 device, pad; };
struct ev_socket { struct head h; u64 cookie; struct tuple t; };
struct counts { u64 bytes_sent, bytes_received, packets_sent, packets_received; };
struct ev_socket_closed { struct head h; u64 cookie; struct counts c; };
struct ev_tls_conn {
	struct head h;
	u64 tls, cookie;
	u32 generation, library; /* library: index in `layouts` */
	struct tuple t;
	u8 client_random[32];
};
/* EV_TLS_DATA. EV_STDIO too, where `tls` is the inode of the pipe. EV_UNIX_DATA too, where `tls` is the socket's number and
 * `seq` the number of the buffer's first byte in its direction, modulo 2^32. */
struct ev_tls_data {
	struct head h;
	u64 tls;
	u32 generation, seq, tid, flags, total, offset, len, pad;
};
/* A process's connection to the UNIX socket of a database. path: `len` bytes of sockaddr_un's. */
struct ev_unix { struct head h; u64 sock; u32 len, pad; u8 path[112]; };
/* A thread is stopped at the start of a write. sp: its stack pointer at the entry, where the return address is. sent: what it wrote on
 * this connection before. library, kind: the halves of the probe's cookie. */
struct ev_hold { struct head h; u64 tls, buffer, size, sp, sent; u32 tid, library, kind, pad; };
/* A process of a class was refused a destination; why: enum denied. name: `len` bytes, of a TLS hello. */
struct ev_denied { struct head h; u64 cookie; struct tuple t; u32 class, why, len, pad; u8 name[256]; };
/* The holder's last sign of life, and how old it may be; both in ns of the monotonic clock. */
struct heart { u64 beat, stale; };
struct ev_tls_free { struct head h; u64 tls; u32 generation, pad; };
struct ev_packet {
	struct head h;
	u64 cookie;
	struct tuple t;
	u32 seq, total, offset, len, flags, pad;
};

/* EV_HEADS: the beginnings of an HTTP/1 request and of its answer, with what of their bodies came along. conn: the socket's cookie,
 * or the TLS object if `tls`. stands: how many passed in this process since one was shown. awaited: the request's answer is;
 * pipelined: so was another's. */
struct ev_heads {
	struct head h;
	u64 conn;
	u32 tls, stands, request_len, response_len, awaited, pipelined;
	u8 request[2048], response[2048];
};
/* What was shown of a process's exchanges in the second `second`: those that were answered well, and those that were not. passed:
 * since one was shown. all: in this second; step: one of so many is shown, by the second before. */
struct glanced { u64 second; u32 shown[2], passed[2], all[2], step[2]; };

struct config {
	u32 only_tracked; /* 1: only processes in `tracked` and their children */
	u32 self;         /* our own process: never watched */
	u32 max_copy;     /* bytes copied of one call or packet */
	u32 calls;        /* 1: the programs of the calls on sockets are attached */
	u32 helpers[2];   /* our processes that hold others: calls of theirs are not told */
	u64 told[8];      /* one bit a system call: which are looked at (calls.h) */
};
/* Where OpenSSL keeps what we read of its SSL object; one per build, index is the probe's cookie. 0xffff: not known. */
/* reused: nothing tells that an object is freed, so one of another random is another connection. */
struct tls_layout { u16 random_pointer, random, rbio, bio_method, bio_num, kind, reused, pad; };
enum { SSL_OBJECT = 0, GO_OBJECT = 1 }; /* kind: whose object it is */

struct flow_key { u64 cookie; u8 remote[16]; u32 remote_port, pad; };
struct flow {
	struct counts c;
	struct tuple t;
	u32 class, hello_left, pid, misses;
	u64 last;
};
struct owner { u32 pid, role; };
struct pinged { u64 bytes, packets; u32 pid, family; };
struct tls_key { u64 tls; u32 pid, pad; };
/* seq[written]: calls so far, each direction by itself, since a program may read and write at the same time. random: its
 * first bytes, if the layout says `reused`. */
struct tls_conn { u32 generation, seq[2], pad; u64 random; };
struct place { u32 generation, seq; };
/* A process whose reads and writes are looked at. Its standard input and output: inodes of the pipes, looks that found no JSON,
 * whether one did, calls so far. sockets: its UNIX connections that speak SQL or may begin to. */
struct caller { u64 input, output; u32 misses, begun, seq[2], sockets, pad; };
/* The client's end of a UNIX connection. class: UNKNOWN or SQL. bytes[written]: so far. left: descriptors of it that process
 * `leaver` had when it ended. path: `len` bytes of the server's sockaddr_un. */
struct unix_socket { u64 bytes[2]; u32 generation, class, misses, told, flags, leaver, left, len; u8 path[112]; };

/* Which function of a TLS library was called; the upper half of an entry probe's cookie, the lower half is the layout. */
enum call_kind { CALL_WRITE, CALL_WRITE_EX, CALL_WRITE_EX2, CALL_READ, CALL_READ_EX, CALL_FREE,
		 CALL_GO_WRITE, CALL_GO_READ, CALL_GO_FREE,
		 CALL_PLAIN, CALL_PLAIN_VECTOR, CALL_PLAIN_MESSAGE };
#define PLAIN_CONNECTION (1ULL << 62)

/* The connect rung (deny.h). Addresses are of IPv6, those of IPv4 mapped. */
/* ASK: names that are allowed and names that are not have this address. PASS: allowed, whatever its name. */
enum answer { ALLOW = 1, DENY = 2, ASK = 3, PASS = 4 };
enum denied { DENIED_ADDRESS = 1, DENIED_UNKNOWN, DENIED_QUIC, DENIED_NAME, DENIED_NO_NAME, DENIED_UNREADABLE, DENIED_LIMIT, DENIED_AGAIN };
/* unlisted: the answer for a name that no pattern fits. unknown: for what has no name. told: events in the second since. */
struct class_rule { u32 unlisted, unknown; u64 told_since, told; };
struct destination { u32 class; u16 port, pad; u32 address[4]; }; /* port 0: any */
struct network { u32 prefix, class; u8 address[16]; }; /* prefix: bits, of class and address together */
struct name_key { u32 class, pad; u64 hash; };
/* A connection whose name is still to come. fallback: the answer if none does. next: sequence number after what was judged. phase:
 * what is read next, `got` bytes of it are in `part` or `name`; before it, `skip` bytes. record, message: bytes left in them. */
struct ask {
	u32 class, pid, fallback, refused, sent, next, tries;
	u32 began, phase, got, skip, record, message, head_got, name_len, name_left, named, hidden;
	u32 suffix_answer, dash_answer, dashes, pad;
	u64 hash, dot, second, first; /* of the name so far: see hash_byte */
	u8 head[16], part[16], name[512];
};

enum counter {
	LOST_CONTROL, LOST_PAYLOAD, FLOW_TABLE_FULL, TLS_TABLE_FULL, COPY_FAULT, COPY_CUT, IPV6_EXTENSION, FRAGMENT,
	LISTENER_PAYLOAD, UNIX_TABLE_FULL, HOLD_NO_HOLDER, HOLD_RING_FULL, HOLD_NO_SIGNAL, DENIED_UNTOLD, ASKS_FULL,
	SYSTEM_CALLS_SKIPPED, COUNTERS
};
#endif
