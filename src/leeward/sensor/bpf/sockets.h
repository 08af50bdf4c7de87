/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Layers 3 and 4: who opened which socket, what passed through it, and the payload that is worth a look (DNS, the TLS
 * hello, HTTP in the clear). Packets are seen at the cgroup's edge, after the kernel put them together, so one look
 * covers every system call, io_uring and sendfile included. */
#include "process.h"
#include "glance.h"

INLINE void own(void *ctx, u32 role)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct owner o = {bpf_get_current_pid_tgid() >> 32, role};
	struct owner *known = bpf_map_lookup_elem(&owners, &cookie);
	if (!known || known->pid != o.pid)
		bpf_map_update_elem(&owners, &cookie, &o, BPF_ANY);
}

SEC("cgroup/connect4") int on_connect4(struct bpf_sock_addr *ctx) { own(ctx, ROLE_CLIENT); return may_go4(ctx); }
SEC("cgroup/connect6") int on_connect6(struct bpf_sock_addr *ctx) { own(ctx, ROLE_CLIENT); return may_go6(ctx); }
SEC("cgroup/sendmsg4") int on_sendmsg4(struct bpf_sock_addr *ctx) { own(ctx, ROLE_CLIENT); return may_go4(ctx); }
SEC("cgroup/sendmsg6") int on_sendmsg6(struct bpf_sock_addr *ctx) { own(ctx, ROLE_CLIENT); return may_go6(ctx); }

/* Sockets that send without connecting. */
SEC("cgroup/sock_create")
int on_create(struct bpf_sock *sk)
{
	if (sk->type == SOCK_RAW || sk->protocol == PROTO_ICMP || sk->protocol == PROTO_ICMP6)
		own(sk, ROLE_CLIENT);
	return 1;
}

/* Gives a socket its cookie when its connection is there, so that it has one when it is accepted. */
SEC("sockops")
int on_established(struct bpf_sock_ops *ctx)
{
	if (ctx->op == 5 /* BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB */)
		bpf_get_socket_cookie(ctx);
	return 1;
}

/* A socket that never left TCP_CLOSE, since its connect failed, ends without a change of state. */
SEC("cgroup/sock_release")
int on_release(struct bpf_sock *sk)
{
	u64 cookie = bpf_get_socket_cookie(sk);
	if (sk->state == 7 /* TCP_CLOSE */)
		bpf_map_delete_elem(&asks, &cookie);
	return 1;
}

INLINE u64 tuple_of(struct sock *sk, struct tuple *t)
{
	u16 family = 0, port = 0;
	s64 cookie = 0;
	READ(family, sk->__sk_common.skc_family);
	READ(t->local_port, sk->__sk_common.skc_num);
	READ(port, sk->__sk_common.skc_dport);
	t->remote_port = bswap16(port);
	if (family == 2) {
		t->family = 4;
		bpf_probe_read_kernel(t->local, 4, __builtin_preserve_access_index(&sk->__sk_common.skc_rcv_saddr));
		bpf_probe_read_kernel(t->remote, 4, __builtin_preserve_access_index(&sk->__sk_common.skc_daddr));
	} else if (family == 10) {
		t->family = 6;
		bpf_probe_read_kernel(t->local, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(t->remote, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr));
	} else
		return 0;
	READ(cookie, sk->__sk_common.skc_cookie.counter);
	return cookie;
}

INLINE void say_socket(u64 cookie, const struct tuple *t, u32 pid)
{
	struct ev_socket *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
	if (!e) {
		count(LOST_CONTROL);
		return;
	}
	e->h.ts = bpf_ktime_get_ns();
	e->h.type = EV_SOCKET;
	e->h.pid = pid;
	e->cookie = cookie;
	e->t = *t;
	bpf_ringbuf_submit(e, wake(&control, 1 << 20));
}

INLINE int accepted(struct sys_exit *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct tuple t = {};
	if (ctx->ret < 0 || !watched(pid))
		return 0;
	struct sock *sk = sock_of(ctx->ret);
	if (!sk)
		return 0;
	u64 cookie = tuple_of(sk, &t);
	if (!t.family)
		return 0;
	t.proto = PROTO_TCP;
	t.role = ROLE_SERVER;
	if (cookie) {
		struct owner o = {pid, ROLE_SERVER};
		bpf_map_update_elem(&owners, &cookie, &o, BPF_ANY);
	}
	say_socket(cookie, &t, pid);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept4") int on_accept4(struct sys_exit *ctx) { return accepted(ctx); }
SEC("tracepoint/syscalls/sys_exit_accept") int on_accept(struct sys_exit *ctx) { return accepted(ctx); }

SEC("tp_btf/inet_sock_set_state")
int on_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int state = ctx[2];
	if (state == 10 /* TCP_LISTEN */) {
		struct tuple t = {};
		u64 cookie = tuple_of(sk, &t);
		u32 pid = bpf_get_current_pid_tgid() >> 32;
		t.proto = PROTO_TCP;
		t.role = ROLE_LISTENER;
		if (t.family && watched(pid))
			say_socket(cookie, &t, pid);
		return 0;
	}
	if (state != 7 /* TCP_CLOSE */)
		return 0;
	struct flow_key key = {};
	READ(key.cookie, sk->__sk_common.skc_cookie.counter);
	if (!key.cookie)
		return 0;
	bpf_map_delete_elem(&asks, &key.cookie);
	struct flow *f = bpf_map_lookup_elem(&flows, &key);
	if (!f)
		return 0;
	struct ev_socket_closed *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
	if (!e)
		count(LOST_CONTROL);
	else {
		e->h.ts = bpf_ktime_get_ns();
		e->h.type = EV_SOCKET_CLOSED;
		e->h.pid = f->pid;
		e->cookie = key.cookie;
		e->c = f->c;
		bpf_ringbuf_submit(e, wake(&control, 1 << 20));
	}
	bpf_map_delete_elem(&flows, &key);
	return 0;
}

struct packet {
	struct flow_key key;
	struct tuple t;
	u32 offset, size, seq, egress, flags;
};

enum { OTHER = -1 };

enum { HOP_BY_HOP = 0 };

/* Is it ICMPv6 behind a hop-by-hop header (RFC 8200, 4.3), as the kernel's own reports of multicast groups are (RFC 3810, 5)? */
INLINE int hops_to_icmp6(struct __sk_buff *skb, u32 at, u32 proto)
{
	u8 next = 0;
	return proto == HOP_BY_HOP && !bpf_skb_load_bytes(skb, at, &next, 1) && next == PROTO_ICMP6;
}

/* Fills `p` from the headers. 0: not ours to look at. */
INLINE int parse(struct __sk_buff *skb, struct packet *p)
{
	u8 h[40], l4[20];
	u32 at = 0, proto = 0;
	if (bpf_skb_load_bytes(skb, 0, h, 20))
		return 0;
	u8 *src = p->egress ? p->t.local : p->t.remote, *dst = p->egress ? p->t.remote : p->t.local;
	if (h[0] >> 4 == 4) {
		if ((h[6] & 0x1f) | h[7]) {
			count(FRAGMENT);
			return 0;
		}
		p->t.family = 4;
		proto = h[9];
		at = (h[0] & 15) * 4;
		__builtin_memcpy(src, h + 12, 4);
		__builtin_memcpy(dst, h + 16, 4);
	} else if (h[0] >> 4 == 6) {
		if (bpf_skb_load_bytes(skb, 0, h, 40))
			return 0;
		p->t.family = 6;
		proto = h[6];
		at = 40;
		__builtin_memcpy(src, h + 8, 16);
		__builtin_memcpy(dst, h + 24, 16);
	}
	if (proto == PROTO_TCP) {
		if (bpf_skb_load_bytes(skb, at, l4, 20))
			return 0;
		p->seq = (u32)l4[4] << 24 | l4[5] << 16 | l4[6] << 8 | l4[7];
		p->flags = l4[13];
		p->offset = at + (l4[12] >> 4) * 4;
	} else if (proto == PROTO_UDP) {
		if (bpf_skb_load_bytes(skb, at, l4, 8))
			return 0;
		p->offset = at + 8;
		__builtin_memcpy(p->key.remote, p->t.remote, 16);
	} else {
		p->t.proto = proto;
		if (p->t.family == 6 && proto != PROTO_ICMP6 && !hops_to_icmp6(skb, at, proto))
			count(IPV6_EXTENSION);
		return 0;
	}
	u16 a = l4[0] << 8 | l4[1], b = l4[2] << 8 | l4[3];
	p->t.local_port = p->egress ? a : b;
	p->t.remote_port = p->egress ? b : a;
	p->t.proto = proto;
	if (proto == PROTO_UDP)
		p->key.remote_port = p->t.remote_port;
	p->size = skb->len > p->offset ? skb->len - p->offset : 0;
	return 1;
}

INLINE void fill_packet(struct ev_packet *e, const struct packet *p, u32 type, u32 pid, u32 offset, u32 len, u32 flags)
{
	e->h.ts = bpf_ktime_get_ns();
	e->h.type = type;
	e->h.pid = pid;
	e->cookie = p->key.cookie;
	e->t = p->t;
	e->seq = p->seq + offset;
	e->total = p->size;
	e->offset = offset;
	e->len = len;
	e->flags = (p->egress ? FLAG_WRITTEN : 0) | flags;
	e->pad = 0;
}

struct packet_512 { struct ev_packet e; u8 data[512]; };
struct packet_4k { struct ev_packet e; u8 data[4096]; };
struct packet_16k { struct ev_packet e; u8 data[16384]; };

#define COPY_PACKET(kind, cap)                                                                       \
	{                                                                                            \
		struct kind *e = bpf_ringbuf_reserve(&payload, sizeof *e, 0);                        \
		if (!e) {                                                                            \
			count(LOST_PAYLOAD);                                                         \
			return;                                                                      \
		}                                                                                    \
		u32 n = left > cap ? cap : left;                                                     \
		asm volatile("" : "+r"(n)); /* keep the checks that the verifier needs below */     \
		fill_packet(&e->e, p, type, pid, done, n, flags);                                    \
		if (n < 1 || n > cap || bpf_skb_load_bytes(skb, p->offset + done, e->data, n)) {     \
			bpf_ringbuf_discard(e, 0);                                                   \
			count(COPY_FAULT);                                                           \
			return;                                                                      \
		}                                                                                    \
		bpf_ringbuf_submit(e, wake(&payload, 1 << 22));                                      \
		done += n;                                                                           \
	}

INLINE void copy_packet(struct __sk_buff *skb, const struct packet *p, u32 type, u32 pid, u32 limit, u32 flags)
{
	u32 done = 0, want = p->size;
	if (want > limit)
		want = limit;
	for (int i = 0; i < 5; i++) { /* a packet is 64 KiB at most */
		if (done >= want)
			return;
		u32 left = want - done;
		if (left <= 512)
			COPY_PACKET(packet_512, 512)
		else if (left <= 4096)
			COPY_PACKET(packet_4k, 4096)
		else
			COPY_PACKET(packet_16k, 16384)
	}
}

/* A segment of a connection that is only glanced at. */
INLINE void glance_segment(struct __sk_buff *skb, const struct packet *p, u32 pid, const u8 *line)
{
	u64 key = p->key.cookie;
	if (line[0] == 'H' && line[1] == 'T') {
		u8 status[12];
		if (p->size < 16 || bpf_skb_load_bytes(skb, p->offset, status, 12))
			return;
		struct ev_heads *e = glance_response(key, pid, status);
		if (!e)
			return;
		u32 n = p->size > GLANCE_RESPONSE ? GLANCE_RESPONSE : p->size;
		asm volatile("" : "+r"(n));
		if (n < 1 || n > GLANCE_RESPONSE || bpf_skb_load_bytes(skb, p->offset, e->response, n))
			return;
		e->response_len = n;
		glance_show(e, key, 0, pid);
	} else if (is_http(line)) {
		struct ev_heads *e = glance_request(key);
		if (!e)
			return;
		u32 n = p->size > GLANCE_REQUEST ? GLANCE_REQUEST : p->size;
		asm volatile("" : "+r"(n));
		if (n < 1 || n > GLANCE_REQUEST || bpf_skb_load_bytes(skb, p->offset, e->request, n))
			return;
		e->request_len = n;
		e->awaited = 1;
	}
}

enum class { UNKNOWN = 0, TLS_HELLO = 1, TLS_DONE = 2, HTTP = 3, QUIET = 4, SQL = 5, DNS = 6 };
enum { JSON_LINE = 512 };

/* DNS over TCP: bytes of a flow each way. A tunnel shows within kilobytes; a zone transfer answers with gigabytes. */
enum { DNS_ASKED = 64 << 20, DNS_ANSWERED = 4 << 20 };

INLINE int is_client_hello(const u8 *line) { return line[0] == 0x16 && line[1] == 3 && line[5] == 1; }

/* What begins otherwise at this port is taken for what it looks like (the same in wire/dns_stream.py). */
INLINE int begins_dns(const struct packet *p, const u8 *line)
{
	return (p->t.local_port == DNS_PORT || p->t.remote_port == DNS_PORT) && !is_client_hello(line) && !is_http(line) &&
	       line[0] != '{';
}

/* Segments of DNS are copied whole: one that is cut ends the reading of its direction. */
INLINE int shows_dns(const struct packet *p, const struct flow *f)
{
	u32 *verdict = bpf_map_lookup_elem(&flow_verdicts, &p->key.cookie);
	u64 passed = p->egress ? f->c.bytes_sent : f->c.bytes_received;
	u32 to = p->egress ? p->t.remote_port : p->t.local_port;
	return passed <= (to == DNS_PORT ? DNS_ASKED : DNS_ANSWERED) && !(verdict && *verdict == IGNORE);
}

/* Payload of a TCP segment: decide from its first bytes what the stream is, copy what may matter. */
INLINE void segment(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	u8 line[LINE] = {};
	u32 flags = 0;
	if (f->class == TLS_DONE)
		return;
	if (f->class == TLS_HELLO) {
		copy_packet(skb, p, EV_SEGMENT, f->pid, 16384, 0);
		f->hello_left = f->hello_left > p->size ? f->hello_left - p->size : 0;
		if (!f->hello_left)
			f->class = TLS_DONE;
		return;
	}
	u32 less = p->size < 6 || bpf_skb_load_bytes(skb, p->offset, line, 6);
	if (f->class == UNKNOWN && begins_dns(p, line))
		f->class = DNS;
	if (less || f->class == DNS) {
		if (f->class == HTTP || f->class == SQL || (f->class == DNS && shows_dns(p, f)))
			copy_packet(skb, p, EV_SEGMENT, f->pid, 65535, 0);
		return;
	}
	if (f->class == UNKNOWN || f->class == SQL) { /* SQL turns to TLS when its peers agree to */
		if (is_client_hello(line)) {
			u32 record = (line[3] << 8 | line[4]) + 5;
			f->hello_left = record > p->size ? record - p->size : 0;
			f->class = f->hello_left ? TLS_HELLO : TLS_DONE;
			copy_packet(skb, p, EV_SEGMENT, f->pid, 16384, 0);
			return;
		}
		if (f->class == SQL)
			;
		else if (is_http(line))
			f->class = HTTP;
		else if (begins_sql(line, p->size))
			f->class = SQL;
		else {
			if (line[0] == '{') /* JSON a line: whether a miner's is told by wire/stratum.py */
				copy_packet(skb, p, EV_SEGMENT, f->pid, JSON_LINE, 0);
			if (++f->misses < 4)
				return;
			f->class = QUIET;
		}
	}
	u32 *verdict = bpf_map_lookup_elem(&flow_verdicts, &p->key.cookie);
	u32 v = verdict ? *verdict : (f->class == QUIET ? DORMANT : COPY);
	if (v == IGNORE)
		return;
	if (v == DORMANT || v == GLANCE) {
		u32 n = p->size > LINE ? LINE : p->size, known = !wakes(line);
		if (!known) {
			if (n < 6 || bpf_skb_load_bytes(skb, p->offset, line, n))
				return;
			u64 h = line_hash(line, n, p->key.cookie);
			known = bpf_map_lookup_elem(&boring, &h) != 0;
		}
		if (known) {
			if (v == GLANCE)
				glance_segment(skb, p, f->pid, line);
			return;
		}
		v = COPY;
		bpf_map_update_elem(&flow_verdicts, &p->key.cookie, &v, BPF_ANY);
		f->class = HTTP;
		flags = FLAG_WOKE;
	}
	copy_packet(skb, p, EV_SEGMENT, f->pid, 65535, flags);
}

INLINE struct flow *flow_of(struct packet *p, u32 state)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &p->key);
	if (f || (p->t.proto == PROTO_TCP && ((p->flags & 5 /* FIN RST */) || state == 7)))
		return f;
	struct flow fresh = {};
	struct owner *o = bpf_map_lookup_elem(&owners, &p->key.cookie);
	fresh.t = p->t;
	fresh.t.role = o ? o->role : ROLE_UNKNOWN;
	fresh.pid = o ? o->pid : 0;
	if (bpf_map_update_elem(&flows, &p->key, &fresh, BPF_NOEXIST)) {
		count(FLOW_TABLE_FULL);
		return 0;
	}
	if (!fresh.pid || watched(fresh.pid))
		say_socket(p->key.cookie, &fresh.t, fresh.pid);
	return bpf_map_lookup_elem(&flows, &p->key);
}

/* Counts ICMP of a process's socket; what the kernel answers by itself comes from sockets without owner. */
INLINE void ping(struct __sk_buff *skb, struct packet *p)
{
	p->key.cookie = bpf_get_socket_cookie(skb);
	struct owner *o = bpf_map_lookup_elem(&owners, &p->key.cookie);
	if (!o || !watched(o->pid))
		return;
	__builtin_memcpy(p->key.remote, p->t.remote, 16);
	struct pinged fresh = {.pid = o->pid, .family = p->t.family}, *sum = bpf_map_lookup_elem(&pings, &p->key);
	if (!sum) {
		bpf_map_update_elem(&pings, &p->key, &fresh, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&pings, &p->key);
	}
	if (!sum)
		return;
	__sync_fetch_and_add(&sum->bytes, skb->len);
	__sync_fetch_and_add(&sum->packets, 1);
}

INLINE int packet(struct __sk_buff *skb, u32 egress)
{
	struct packet p = {.egress = egress};
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	if (!parse(skb, &p)) {
		if (egress && (p.t.proto == PROTO_ICMP || p.t.proto == PROTO_ICMP6))
			ping(skb, &p);
		return 1;
	}
	u32 state = sk->state;
	if (egress && p.t.proto == PROTO_TCP && p.size) {
		u32 why = judge_segment(skb, p.offset, p.size, p.seq + !!(p.flags & 2 /* SYN: TCP fast open */));
		if (why) {
			tell_refused(skb, &p.t, why);
			return 0;
		}
	}
	if (p.t.proto == PROTO_TCP && state == 10 /* TCP_LISTEN */) {
		if (p.size)
			count(LISTENER_PAYLOAD);
		return 1;
	}
	p.key.cookie = bpf_get_socket_cookie(skb);
	struct flow *f = flow_of(&p, state);
	if (!f)
		return 1;
	__sync_fetch_and_add(egress ? &f->c.bytes_sent : &f->c.bytes_received, skb->len);
	__sync_fetch_and_add(egress ? &f->c.packets_sent : &f->c.packets_received, 1);
	f->last = bpf_ktime_get_ns();
	struct config *cfg = config();
	if (!p.size || !cfg || (f->pid && f->pid == cfg->self))
		return 1;
	if (p.t.proto == PROTO_TCP)
		segment(skb, &p, f);
	else if (p.t.local_port == 53 || p.t.remote_port == 53)
		copy_packet(skb, &p, EV_DATAGRAM, f->pid, 4096, 0);
	else if ((p.t.local_port == 443 || p.t.remote_port == 443) && !f->class) {
		if (++f->misses >= 8) /* QUIC: its client hello is in the first few */
			f->class = QUIET;
		copy_packet(skb, &p, EV_DATAGRAM, f->pid, 2048, 0);
	}
	return 1;
}

SEC("cgroup_skb/egress") int on_egress(struct __sk_buff *skb) { return packet(skb, 1); }
SEC("cgroup_skb/ingress") int on_ingress(struct __sk_buff *skb) { return packet(skb, 0); }
