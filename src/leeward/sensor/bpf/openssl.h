/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Plaintext at OpenSSL's read and write calls. Arguments are kept at the call, bytes are copied at its return, when it is
 * known how many counted: a write that would block and is tried again is one write. */
#include "hold.h"
#include "sockets.h"

enum { UNKNOWN_OFFSET = 0xffff };

INLINE int enter(struct pt_regs *ctx, u32 written, u64 count_at)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32;
	if (!watched(pid))
		return 0;
	u64 cookie = bpf_get_attach_cookie(ctx);
	u32 is_held = written ? hold(ctx, id, ARG1(ctx), ARG2(ctx), ARG3(ctx), cookie, SIGURG) : 0;
	struct tls_key key = {ARG1(ctx), pid, 0};
	u32 *verdict = bpf_map_lookup_elem(&tls_verdicts, &key);
	if (verdict && *verdict == IGNORE && !is_held) {
		u32 which = cookie;
		struct tls_layout *l = bpf_map_lookup_elem(&layouts, &which);
		if (!l || !l->reused)
			return 0;
	}
	struct call c = {
		.tls = ARG1(ctx), .buffer = ARG2(ctx), .size = ARG3(ctx), .count_at = count_at,
		.ts = bpf_ktime_get_ns(), .written = written, .held = is_held,
	};
	bpf_map_update_elem(&calls, &id, &c, BPF_ANY);
	return 0;
}

INLINE u64 user_pointer(u64 base, u16 offset)
{
	u64 p = 0;
	bpf_probe_read_user(&p, sizeof p, (void *)(base + offset));
	return p;
}

INLINE u64 random_at(const struct tls_layout *l, u64 tls)
{
	if (l->random == UNKNOWN_OFFSET)
		return 0;
	u64 base = l->random_pointer == UNKNOWN_OFFSET ? tls : user_pointer(tls, l->random_pointer);
	return base ? base + l->random : 0;
}

/* The socket under the object, if it has a descriptor (BIO_s_socket), not a memory BIO. */
INLINE struct sock *tls_socket(const struct tls_layout *l, u64 tls)
{
	if (l->rbio == UNKNOWN_OFFSET)
		return 0;
	u64 bio = user_pointer(tls, l->rbio);
	u64 method = bio ? user_pointer(bio, l->bio_method) : 0;
	s32 type = 0, fd = -1;
	if (!method || bpf_probe_read_user(&type, 4, (void *)method) || type != 0x505 /* BIO_TYPE_SOCKET */)
		return 0;
	if (bpf_probe_read_user(&fd, 4, (void *)(bio + l->bio_num)) || fd < 0)
		return 0;
	return sock_of(fd);
}

/* The socket under Go's tls.Conn: conn (an interface, its data 8 bytes in) is a *net.TCPConn, whose first word leads to the netFD,
 * which begins with poll.FD: a lock of 16 bytes, then the descriptor. If conn is something else, what is found there is no
 * descriptor of a TCP socket, or nothing. */
INLINE struct sock *go_socket(u64 tls)
{
	u64 connection = user_pointer(tls, 8), net_fd = connection ? user_pointer(connection, 0) : 0;
	s32 fd = -1;
	u16 family = 0;
	if (!net_fd || bpf_probe_read_user(&fd, 4, (void *)(net_fd + 16)) || fd <= 2)
		return 0;
	struct sock *sk = sock_of(fd);
	READ(family, sk->__sk_common.skc_family);
	return family == 2 || family == 10 ? sk : 0;
}

INLINE void say_conn(const struct call *c, const struct tls_conn *conn, const struct tls_layout *l, u32 pid, u32 library)
{
	struct ev_tls_conn *e = bpf_ringbuf_reserve(&payload, sizeof *e, 0);
	if (!e) {
		count(LOST_PAYLOAD);
		return;
	}
	__builtin_memset(e, 0, sizeof *e);
	e->h.ts = c->ts;
	e->h.type = EV_TLS_CONN;
	e->h.pid = pid;
	e->tls = c->tls;
	e->generation = conn->generation;
	e->library = library;
	u64 random = random_at(l, c->tls);
	if (random && bpf_probe_read_user(e->client_random, 32, (void *)random))
		count(COPY_FAULT);
	struct sock *sk = l->kind == GO_OBJECT ? go_socket(c->tls) : tls_socket(l, c->tls);
	if (sk) {
		e->cookie = tuple_of(sk, &e->t);
		e->t.proto = PROTO_TCP;
	}
	/* Nothing joins it: user space has to look into the process while it is there. */
	bpf_ringbuf_submit(e, random || sk ? RB_NO_WAKEUP : RB_FORCE_WAKEUP);
}

struct tls_512 { struct ev_tls_data e; u8 data[512]; };
struct tls_4k { struct ev_tls_data e; u8 data[4096]; };
struct tls_16k { struct ev_tls_data e; u8 data[16384]; };

/* Part of a call's bytes, for one ring entry. */
struct piece { u64 tls, buffer, ts, id; u32 type, written, generation, seq, total, flags, offset, len, last, pad; };

#define COPY_PIECE(kind)                                                                       \
	{                                                                                      \
		struct kind *k = bpf_ringbuf_reserve(&payload, sizeof *k, 0);                  \
		if (!k) {                                                                      \
			count(LOST_PAYLOAD);                                                   \
			return 0;                                                              \
		}                                                                              \
		long failed = bpf_probe_read_user(k->data, n, (void *)(p->buffer + p->offset)); \
		struct ev_tls_data *e = &k->e;                                                 \
		/* A request counts from when it was handed over, an answer from when it was there. */ \
		e->h.ts = p->written ? p->ts : bpf_ktime_get_ns();                             \
		e->h.type = p->type ? p->type : EV_TLS_DATA;                                   \
		e->h.pid = p->id >> 32;                                                        \
		e->tls = p->tls;                                                               \
		e->generation = p->generation;                                                 \
		e->seq = p->seq;                                                               \
		e->tid = (u32)p->id;                                                           \
		e->flags = p->flags | (p->written ? FLAG_WRITTEN : 0) | (failed ? FLAG_FAULT : 0); \
		e->total = p->total;                                                           \
		e->offset = p->offset;                                                         \
		e->len = failed ? 0 : n;                                                       \
		e->pad = 0;                                                                    \
		bpf_ringbuf_submit(k, p->last ? wake(&payload, 1 << 22) : RB_NO_WAKEUP);       \
		return 1;                                                                      \
	}

/* Not static: the verifier looks at it once, not once a piece. */
__attribute__((noinline)) int copy_piece(struct piece *p)
{
	if (!p)
		return 0;
	u32 n = p->len;
	asm volatile("" : "+r"(n)); /* keep the checks that the verifier needs below */
	if (n <= 512)
		COPY_PIECE(tls_512)
	else if (n <= 4096)
		COPY_PIECE(tls_4k)
	else if (n <= 16384)
		COPY_PIECE(tls_16k)
	return 0;
}

enum { PIECE = 16384, MOST_PIECES = 256 }; /* 4 MiB, the upper bound of config.max_copy */

INLINE void copy_call(const struct call *c, const struct place *conn, u64 id, u32 total, u32 limit, u32 flags)
{
	u32 want = total;
	if (want > limit) {
		want = limit;
		count(COPY_CUT);
	}
	struct piece p = {
		.tls = c->tls, .buffer = c->buffer, .ts = c->ts, .id = id, .type = c->type, .written = c->written,
		.generation = conn->generation, .seq = conn->seq, .total = total, .flags = flags,
	};
	for (u32 i = 0; i < MOST_PIECES && !p.last; i++) {
		u32 left = want - p.offset;
		p.last = left <= PIECE;
		p.len = p.last ? left : PIECE;
		if (!copy_piece(&p))
			break;
		p.offset += PIECE;
	}
}

/* A call on a connection that is only glanced at. */
INLINE void glance_call(const struct call *c, u32 pid, u32 total, const u8 *line)
{
	u64 key = 1ULL << 63 | (c->tls ^ ((u64)pid << 32));
	u32 n = total;
	asm volatile("" : "+r"(n));
	if (line[0] == 'H' && line[1] == 'T') {
		u8 status[12];
		if (n < 16 || bpf_probe_read_user(status, 12, (void *)c->buffer))
			return;
		struct ev_heads *e = glance_response(key, pid, status);
		if (!e)
			return;
		if (n > GLANCE_RESPONSE)
			n = GLANCE_RESPONSE;
		if (bpf_probe_read_user(e->response, n, (void *)c->buffer))
			return;
		e->response_len = n;
		glance_show(e, c->tls, 1, pid);
	} else if (is_http(line)) {
		struct ev_heads *e = glance_request(key);
		if (!e)
			return;
		if (n > GLANCE_REQUEST)
			n = GLANCE_REQUEST;
		if (bpf_probe_read_user(e->request, n, (void *)c->buffer))
			return;
		e->request_len = n;
		e->awaited = 1;
	}
}

/* 0: leave it, 1: copy, 2: copy and it was dormant until now */
INLINE int worth(const struct call *c, struct tls_key *key, u32 total)
{
	u32 *verdict = bpf_map_lookup_elem(&tls_verdicts, key);
	if (!verdict || *verdict == COPY)
		return 1;
	if (*verdict == IGNORE || total < 6)
		return 0;
	u8 line[LINE] = {};
	if (bpf_probe_read_user(line, 6, (void *)c->buffer))
		return 0;
	if (!wakes(line)) {
		if (*verdict == GLANCE)
			glance_call(c, key->pid, total, line);
		return 0;
	}
	u32 n = total;
	asm volatile("" : "+r"(n));
	if (n > LINE)
		n = LINE;
	if (bpf_probe_read_user(line, n, (void *)c->buffer))
		return 0;
	u64 h = line_hash(line, n, c->tls ^ ((u64)key->pid << 32));
	if (bpf_map_lookup_elem(&boring, &h)) {
		if (*verdict == GLANCE)
			glance_call(c, key->pid, total, line);
		return 0;
	}
	u32 copy = COPY;
	bpf_map_update_elem(&tls_verdicts, key, &copy, BPF_ANY);
	return 2;
}

/* A call has returned with `total` bytes that counted. cookie: its lower half is the layout. */
INLINE void finish(struct call *c, u64 total, u64 cookie, u64 id)
{
	if (!total || total > c->size) /* more than was asked for: not the function we think it is */
		return;
	struct config *cfg = config();
	u32 which = cookie;
	struct tls_layout *l = bpf_map_lookup_elem(&layouts, &which);
	if (!cfg || !l)
		return;
	struct tls_key key = {c->tls, id >> 32, 0};
	if (c->held)
		hold_done(&key, total);
	struct tls_conn *conn = bpf_map_lookup_elem(&tls_conns, &key);
	u64 random = 0, at = l->reused ? random_at(l, c->tls) : 0;
	if (at)
		bpf_probe_read_user(&random, sizeof random, (void *)at);
	if (!conn || (conn->random && random && conn->random != random)) {
		struct tls_conn fresh = {.generation = (u32)c->ts, .random = random};
		if (bpf_map_update_elem(&tls_conns, &key, &fresh, BPF_ANY)) {
			count(TLS_TABLE_FULL);
			return;
		}
		bpf_map_delete_elem(&tls_verdicts, &key);
		say_conn(c, &fresh, l, key.pid, which);
		conn = bpf_map_lookup_elem(&tls_conns, &key);
		if (!conn)
			return;
	} else if (random && !conn->random) /* where it lies was found only now */
		conn->random = random;
	int w = worth(c, &key, total);
	if (!w)
		return;
	struct place now = {conn->generation, conn->seq[!!c->written]++};
	copy_call(c, &now, id, total, cfg->max_copy, w == 2 ? FLAG_WOKE : 0);
}

SEC("uretprobe/done")
int on_done(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call *kept = bpf_map_lookup_elem(&calls, &id);
	if (!kept)
		return 0;
	struct call c = *kept;
	bpf_map_delete_elem(&calls, &id);
	s32 result = RESULT(ctx);
	if (result <= 0)
		return 0;
	u64 total = result;
	if (c.count_at && bpf_probe_read_user(&total, sizeof total, (void *)c.count_at)) {
		count(COPY_FAULT);
		return 0;
	}
	finish(&c, total, bpf_get_attach_cookie(ctx), id);
	return 0;
}

INLINE int freed(u64 tls)
{
	struct tls_key key = {tls, bpf_get_current_pid_tgid() >> 32, 0};
	hold_freed(&key);
	struct tls_conn *conn = bpf_map_lookup_elem(&tls_conns, &key);
	if (!conn)
		return 0;
	struct ev_tls_free *e = bpf_ringbuf_reserve(&payload, sizeof *e, 0);
	if (!e)
		count(LOST_PAYLOAD);
	else {
		e->h.ts = bpf_ktime_get_ns();
		e->h.type = EV_TLS_FREE;
		e->h.pid = key.pid;
		e->tls = key.tls;
		e->generation = conn->generation;
		e->pad = 0;
		bpf_ringbuf_submit(e, RB_NO_WAKEUP);
	}
	bpf_map_delete_elem(&tls_conns, &key);
	bpf_map_delete_elem(&tls_verdicts, &key);
	return 0;
}

/* One program for all entries: one link attaches a whole library. */
SEC("uprobe/call")
int on_call(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx) >> 32) {
	case CALL_WRITE: return enter(ctx, 1, 0);
	case CALL_WRITE_EX: return enter(ctx, 1, ARG4(ctx));
	case CALL_WRITE_EX2: return enter(ctx, 1, ARG5(ctx));
	case CALL_READ: return enter(ctx, 0, 0);
	case CALL_READ_EX: return enter(ctx, 0, ARG4(ctx));
	case CALL_FREE: return freed(ARG1(ctx));
	}
	return 0;
}
