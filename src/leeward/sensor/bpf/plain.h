/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* HTTP in the clear of held processes: libc's calls that write to a socket, attached for those processes only. A system call's
 * tracepoint would stop the thread after the bytes have left. What does not go through libc (Go, io_uring) is not seen here. */
#ifndef LEEWARD_PLAIN_H
#define LEEWARD_PLAIN_H
#include "golang.h"

/* Connections that speak HTTP: their name is the socket's cookie with a bit that no address in user space has. */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, struct tls_key); __type(value, u8); } plain_http SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, struct tls_key); } plain_calls SEC(".maps");

struct plain_vector { u64 base, len; };
struct plain_header { u64 name, name_len, vector, count; };

SEC("uprobe/plain")
int on_plain(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx);
	u32 pid = id >> 32, kind = cookie >> 32;
	if (!bpf_map_lookup_elem(&held, &pid))
		return 0;
	struct sock *sk = sock_of(ARG1(ctx));
	struct tuple t = {};
	u16 type = 0;
	if (!sk)
		return 0;
	READ(type, sk->sk_type);
	u64 number = type == SOCK_STREAM ? tuple_of(sk, &t) : 0;
	if (!number || !t.family)
		return 0;
	struct tls_key key = {number | PLAIN_CONNECTION, pid, 0};
	u64 buffer = ARG2(ctx), size = ARG3(ctx), first_at = buffer, first_size = size;
	if (kind == CALL_PLAIN_MESSAGE) {
		struct plain_header h = {};
		if (bpf_probe_read_user(&h, sizeof h, (void *)buffer))
			return 0;
		buffer = h.vector;
		size = h.count;
	}
	if (kind != CALL_PLAIN) {
		struct plain_vector v = {};
		if (!size || bpf_probe_read_user(&v, sizeof v, (void *)buffer))
			return 0;
		first_at = v.base;
		first_size = v.len;
	}
	if (!bpf_map_lookup_elem(&plain_http, &key)) {
		u8 first[4] = {}, one = 1;
		if (first_size < 4 || bpf_probe_read_user(first, 4, (void *)first_at) || !is_http(first) ||
		    (first[0] == 'H' && first[1] == 'T')) /* a server's answer */
			return 0;
		bpf_map_update_elem(&plain_http, &key, &one, BPF_ANY);
	}
	if (hold(ctx, id, key.tls, buffer, size, cookie, SIGURG))
		bpf_map_update_elem(&plain_calls, &id, &key, BPF_ANY);
	return 0;
}

SEC("uretprobe/plain_done")
int on_plain_done(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_key *kept = bpf_map_lookup_elem(&plain_calls, &id);
	if (!kept)
		return 0;
	struct tls_key key = *kept;
	bpf_map_delete_elem(&plain_calls, &id);
	s64 result = RESULT(ctx);
	if (result > 0)
		hold_done(&key, result);
	return 0;
}
#endif
