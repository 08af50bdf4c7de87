/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The connect rung: where processes of a class may go. User space (enforce/connect.py) writes the tables, the programs decide:
 * an address at connect and sendmsg, a name when the TLS hello leaves. A process without a class pays one look into a table. */
#ifndef LEEWARD_DENY_H
#define LEEWARD_DENY_H
#include "maps.h"

enum { DNS_PORT = 53, HTTPS_PORT = 443 };

/* Processes (thread groups) of a class. A child is of its parent's; what is exec'ed in a cgroup of a class is of that. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u32); __type(value, u32); } classes SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 4096); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u64); __type(value, u32); } cgroup_classes SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 1024); __type(key, u32); __type(value, struct class_rule); } class_rules SEC(".maps");
/* enum answer of an address, of a network, of a name. The first is learned: user space lets the oldest go. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 131072); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct destination); __type(value, u32); } destinations SEC(".maps");
struct { __uint(type, MAP_LPM_TRIE); __uint(max_entries, 16384); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct network); __type(value, u32); } networks SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct name_key); __type(value, u32); } names SEC(".maps");
/* Connections (by cookie) whose name is still to come, and those that were refused when it came. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 32768); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u64); __type(value, struct ask); } asks SEC(".maps");
/* Never written: what an entry begins as, which is too large for a program's stack. */
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct ask); } fresh_ask SEC(".maps");

INLINE void inherit_class(u32 parent, u32 child)
{
	u32 *class = bpf_map_lookup_elem(&classes, &parent);
	if (class) {
		u32 same = *class;
		bpf_map_update_elem(&classes, &child, &same, BPF_ANY);
	} else
		bpf_map_delete_elem(&classes, &child); /* of a process that had this number before */
}

INLINE void enter_class(u32 pid)
{
	u64 cgroup = bpf_get_current_cgroup_id();
	u32 *class = bpf_map_lookup_elem(&cgroup_classes, &cgroup);
	if (class) {
		u32 same = *class;
		bpf_map_update_elem(&classes, &pid, &same, BPF_ANY);
	}
}

/* enum answer, or 0: nobody knows this address. Networks are somebody's word, and come before what was learned. */
INLINE u32 answer_for(struct destination *to)
{
	struct network key = {.prefix = 160, .class = to->class};
	__builtin_memcpy(key.address, to->address, 16);
	u32 *answer = bpf_map_lookup_elem(&networks, &key);
	if (!answer)
		answer = bpf_map_lookup_elem(&destinations, to);
	if (!answer && to->port) {
		struct destination any = *to;
		any.port = 0;
		answer = bpf_map_lookup_elem(&destinations, &any);
	}
	return answer ? *answer : 0;
}

INLINE int is_loopback(const struct destination *to)
{
	const u32 *a = to->address;
	if (a[0] || a[1])
		return 0;
	return a[2] == 0xffff0000 ? (a[3] & 0xff) == 127 : !a[2] && a[3] == 0x01000000;
}

/* Told of at most so many a second and class: a client that tries again and again must not drown other events. */
enum { MOST_TOLD = 256 };

INLINE void tell_denied(u64 cookie, const struct tuple *t, u32 pid, u32 class, u32 why, const struct ask *named)
{
	struct class_rule *rule = bpf_map_lookup_elem(&class_rules, &class);
	u64 now = bpf_ktime_get_ns();
	if (rule && now - rule->told_since > 1000000000ULL) {
		rule->told_since = now;
		rule->told = 0;
	}
	if (rule && ++rule->told > MOST_TOLD) {
		count(DENIED_UNTOLD);
		return;
	}
	struct ev_denied *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
	if (!e) {
		count(LOST_CONTROL);
		return;
	}
	e->h.ts = now;
	e->h.type = EV_DENIED;
	e->h.pid = pid;
	e->cookie = cookie;
	e->t = *t;
	e->class = class;
	e->why = why;
	e->len = 0;
	e->pad = 0;
	if (named) {
		e->len = named->name_len;
		__builtin_memcpy(e->name, named->name, sizeof e->name);
	} else
		__builtin_memset(e->name, 0, sizeof e->name);
	bpf_ringbuf_submit(e, named ? RB_FORCE_WAKEUP : wake(&control, 1 << 20)); /* user space has to end the connection */
}

/* This connection's name is to be judged when it comes. 0: there is no room. */
INLINE int ask_later(u64 cookie, u32 class, u32 pid, u32 fallback)
{
	u32 zero = 0;
	struct ask *fresh = bpf_map_lookup_elem(&fresh_ask, &zero);
	if (!fresh || bpf_map_update_elem(&asks, &cookie, fresh, BPF_ANY)) {
		count(ASKS_FULL);
		return 0;
	}
	struct ask *a = bpf_map_lookup_elem(&asks, &cookie);
	if (!a)
		return 0;
	a->class = class;
	a->pid = pid;
	a->fallback = fallback;
	return 1;
}

/* May the current process go there? port: host order. 0: the call fails with EPERM. */
INLINE int may_go(struct bpf_sock_addr *ctx, struct destination *to)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	u32 *class = bpf_map_lookup_elem(&classes, &pid);
	struct class_rule *rule = class ? bpf_map_lookup_elem(&class_rules, class) : 0;
	if (!rule)
		return 1;
	to->class = *class;
	u32 answer = answer_for(to), why = 0;
	if (answer == PASS)
		return 1;
	u32 known = answer == ALLOW || to->port == DNS_PORT || is_loopback(to);
	u64 cookie = bpf_get_socket_cookie(ctx);
	if (answer == DENY)
		why = DENIED_ADDRESS;
	else if (ctx->type == SOCK_STREAM && ctx->protocol == PROTO_TCP) {
		if (!ask_later(cookie, to->class, pid, known ? ALLOW : rule->unknown))
			why = DENIED_LIMIT;
	} else if (ctx->type == SOCK_DGRAM && to->port == HTTPS_PORT && answer != ALLOW)
		why = DENIED_QUIC; /* its hello cannot be read here: clients fall back to TCP, whose can */
	else if (!known && rule->unknown == DENY)
		why = DENIED_UNKNOWN;
	if (!why)
		return 1;
	struct tuple t = {.remote_port = to->port, .family = 6, .proto = ctx->protocol, .role = ROLE_CLIENT};
	__builtin_memcpy(t.remote, to->address, 16);
	tell_denied(cookie, &t, pid, to->class, why, 0);
	return 0;
}

INLINE int may_go4(struct bpf_sock_addr *ctx)
{
	struct destination to = {.port = bswap16((u16)ctx->user_port), .address = {0, 0, 0xffff0000, ctx->user_ip4}};
	return may_go(ctx, &to);
}

INLINE int may_go6(struct bpf_sock_addr *ctx)
{
	struct destination to = {.port = bswap16((u16)ctx->user_port)};
	to.address[0] = ctx->user_ip6[0];
	to.address[1] = ctx->user_ip6[1];
	to.address[2] = ctx->user_ip6[2];
	to.address[3] = ctx->user_ip6[3];
	return may_go(ctx, &to);
}

INLINE u64 fnv(u64 h, u8 c) { return (h ^ c) * 0x100000001b3ULL; }

INLINE u32 named(u32 class, u64 hash)
{
	struct name_key key = {.class = class, .hash = hash};
	u32 *answer = bpf_map_lookup_elem(&names, &key);
	return answer ? *answer : 0;
}

/* Takes one more byte of the name, from its end, into its hashes. Like the loops below not static: the verifier looks at it once. */
__attribute__((noinline)) int hash_byte(struct ask *a, u32 at)
{
	if (!a)
		return 0;
	u8 c = a->name[at & 255];
	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	a->hash = fnv(a->hash, c);
	if (c == '.') {
		u32 found = named(a->class, a->hash); /* *.rest */
		if (found)
			a->suffix_answer = found;
		a->second = a->dot ? fnv(fnv(a->dot, '*'), '.') : 0;
		a->first = fnv(a->hash, '*');
		a->dot = a->hash;
		a->dash_answer = a->dashes = 0;
		return 0;
	}
	if (a->second)
		a->second = fnv(a->second, c); /* label.*.rest */
	if (c == '-') {
		u32 found = named(a->class, fnv(a->hash, '*')); /* *-label.rest */
		if (found)
			a->dash_answer = found;
		a->dashes = 1;
	}
	if (a->dashes)
		a->first = fnv(a->first, c); /* label-*.rest */
	return 0;
}

/* enum answer for the name of a connection, 0 if no pattern fits: the one that fits best. The name is hashed from its end, so that
 * each suffix is passed on the way. enforce/names.py says which patterns there are, and hashes them the same. */
__attribute__((noinline)) int judge_name(struct ask *a)
{
	if (!a)
		return 0;
	u32 len = a->name_len;
	if (len && a->name[(len - 1) & 255] == '.')
		len--;
	a->hash = 0xcbf29ce484222325ULL;
	for (u32 i = 1; i <= 255; i++) {
		if (i > len)
			break;
		hash_byte(a, len - i);
	}
	u32 found = named(a->class, a->hash);
	if (!found && a->second)
		found = named(a->class, a->second);
	if (!found)
		found = a->dash_answer;
	if (!found && a->dashes)
		found = named(a->class, a->first);
	return found ? found : a->suffix_answer;
}

enum { FIELDS = 96 }; /* looked at in one segment: a hello has about 30 extensions */
enum phase { HANDSHAKE, SESSION, CIPHERS, COMPRESSION, EXTENSIONS, EXTENSION, SERVER_NAME, NAME };
/* What reading came to. */
enum reading { MORE, CLEARED, NO_NAME, NO_TLS, BAD_NAME, UNREADABLE };

/* The field of phase `a->phase` is whole, in a->part (a name: in a->name). Says what is next; or what it came to, if not MORE. */
INLINE u32 field(struct ask *a, struct class_rule *rule)
{
	u8 *p = a->part;
	u32 two = p[0] << 8 | p[1], answer;
	switch (a->phase) {
	case HANDSHAKE:
		if (p[0] != 1 /* ClientHello */)
			return UNREADABLE;
		a->message = p[1] << 16 | p[2] << 8 | p[3];
		a->skip = 34; /* version, random */
		a->phase = SESSION;
		return MORE;
	case SESSION:
		a->skip = p[0];
		a->phase = CIPHERS;
		return MORE;
	case CIPHERS:
		a->skip = two;
		a->phase = COMPRESSION;
		return MORE;
	case COMPRESSION:
		a->skip = p[0];
		a->phase = EXTENSIONS;
		return MORE;
	case EXTENSIONS:
		a->phase = EXTENSION;
		return MORE;
	case EXTENSION:
		a->skip = p[2] << 8 | p[3];
		if (two == 0xfe0d /* encrypted_client_hello */)
			a->hidden = 1;
		if (two == 0 /* server_name */ && a->named)
			return UNREADABLE; /* twice: RFC 8446 4.2 */
		if (two == 0) {
			a->name_left = a->skip;
			a->skip = 0;
			a->phase = SERVER_NAME;
		}
		return MORE;
	case SERVER_NAME: { /* of the list: its length, the type and length of its first name */
		u32 len = p[3] << 8 | p[4];
		if (p[2] || !len || len > 255 || a->name_left < len + 5)
			return UNREADABLE;
		a->name_len = len;
		a->name_left -= len + 5;
		a->phase = NAME;
		return MORE;
	}
	default: /* NAME */
		a->skip = a->name_left;
		a->phase = EXTENSION;
		answer = judge_name(a);
		if (answer == DENY || (!answer && rule->unlisted == DENY))
			return BAD_NAME;
		/* A name that no list has may be a front: then the hello says that it hides another. */
		a->named = 1;
		return answer == ALLOW || rule->unknown == ALLOW ? CLEARED : MORE;
	}
}

INLINE u32 wanted(const struct ask *a)
{
	switch (a->phase) {
	case HANDSHAKE: case EXTENSION: return 4;
	case SESSION: case COMPRESSION: return 1;
	case SERVER_NAME: return 5;
	case NAME: return a->name_len;
	default: return 2;
	}
}

INLINE u32 least(u32 a, u32 b) { return a < b ? a : b; }

/* Reads on in the hello: bytes `at` to `end` of the packet. It may be cut into segments and records at any place. */
INLINE u32 read_hello(struct __sk_buff *skb, struct ask *a, struct class_rule *rule, u32 at, u32 end)
{
	for (u32 i = 0; i < FIELDS; i++) {
		if (a->phase != HANDSHAKE && !a->message)
			return a->named && !a->hidden ? CLEARED : NO_NAME;
		if (at >= end)
			return MORE;
		u32 n, left = end - at;
		if (!a->record) { /* a record's header: type, version, length */
			u32 got = a->head_got & 7;
			n = least(5 - got, left) & 7;
			if (got >= 5 || !n || bpf_skb_load_bytes(skb, at, a->head + got, n))
				return UNREADABLE;
			at += n;
			a->head_got = got + n;
			if (a->head[0] != 22 /* handshake */ || (got + n > 1 && a->head[1] != 3))
				return a->began ? UNREADABLE : NO_TLS;
			if (got + n < 5)
				continue;
			a->record = a->head[3] << 8 | a->head[4];
			a->head_got = 0;
			a->began = 1;
			if (!a->record)
				return UNREADABLE;
			continue;
		}
		left = least(left, a->record);
		if (a->phase != HANDSHAKE)
			left = least(left, a->message);
		if (a->skip) {
			n = least(a->skip, left);
			a->skip -= n;
		} else {
			u32 want = wanted(a), got = a->got & 255;
			n = least(want - got, left) & 255;
			u8 *to = a->phase == NAME ? a->name + got : a->part + (got & 7);
			if (a->phase != NAME)
				n &= 7;
			if (want <= got || !n || bpf_skb_load_bytes(skb, at, to, n))
				return UNREADABLE;
			a->got = got + n;
		}
		at += n;
		a->record -= n;
		if (a->phase != HANDSHAKE)
			a->message -= n;
		if (!a->got || a->got < wanted(a))
			continue;
		a->got = 0;
		u32 came = field(a, rule);
		if (came != MORE)
			return came;
	}
	return UNREADABLE;
}

enum { TRIES = 8 }; /* segments that may come before a hello: a proxy's or a database's words */

/* May this segment of `size` bytes at `offset` leave? 0, or enum denied. Its socket is not asked about: it may. */
__attribute__((noinline)) int judge_segment(struct __sk_buff *skb, u32 offset, u32 size, u32 seq)
{
	u64 cookie = bpf_get_socket_cookie(skb);
	struct ask *a = bpf_map_lookup_elem(&asks, &cookie);
	if (!a)
		return 0;
	if (a->refused)
		return DENIED_AGAIN;
	u32 class = a->class;
	struct class_rule *rule = bpf_map_lookup_elem(&class_rules, &class);
	if (!rule) {
		bpf_map_delete_elem(&asks, &cookie);
		return 0;
	}
	if (!a->sent) {
		a->sent = 1;
		a->next = seq;
	}
	u32 again = a->next - seq; /* bytes that were judged before */
	if (again < 1U << 31 && again >= size)
		return 0;
	a->next = seq + size;
	u32 came = again < size ? read_hello(skb, a, rule, offset + again, offset + size) : UNREADABLE;
	if (came == MORE)
		return 0;
	if (came == NO_TLS && a->fallback == ALLOW && ++a->tries < TRIES) {
		a->head_got = 0;
		return 0;
	}
	if (came == CLEARED || ((came == NO_NAME || came == NO_TLS) && a->fallback == ALLOW)) {
		bpf_map_delete_elem(&asks, &cookie);
		return 0;
	}
	a->refused = 1;
	return came == BAD_NAME ? DENIED_NAME : came == UNREADABLE ? DENIED_UNREADABLE : DENIED_NO_NAME;
}

INLINE void tell_refused(struct __sk_buff *skb, const struct tuple *t, u32 why)
{
	u64 cookie = bpf_get_socket_cookie(skb);
	struct ask *a = bpf_map_lookup_elem(&asks, &cookie);
	if (a && why != DENIED_AGAIN)
		tell_denied(cookie, t, a->pid, a->class, why, a);
}
#endif
