/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The system calls that read and write descriptors, for stdio.h and unix.h. They are everybody's: one look into a table
 * tells whether the process is of interest. Arguments are kept at entry, bytes copied at return, when it is known how many
 * counted. Not seen: io_uring, sendfile, splice, sendmmsg, recvmmsg, preadv2, pwritev2, 32-bit system calls. */
#include "unix.h"

enum { MOST_PARTS = 64 };
enum { MSG_OOB = 1, MSG_PEEK = 2 };
enum form { PLAIN, VECTOR, HEADER }; /* what a call's argument is: a buffer, struct iovec[], struct msghdr */

struct user_vector { u64 base, len; };
struct user_header { u64 name, name_len, vector, count; };

/* size: of the buffer, or of the vector in parts. */
INLINE int entered(u64 fd, u64 buffer, u64 size, u32 written, enum form form)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32, type = 0;
	struct caller *k = bpf_map_lookup_elem(&callers, &pid);
	if (!k)
		return 0;
	int pipes = may_speak(k, pid);
	if (!pipes && !k->sockets)
		return 0;
	u64 inode = pipe_of(fd);
	if (!inode)
		return 0;
	if (pipes && inode == (written ? k->output : k->input))
		type = EV_STDIO;
	else if (k->sockets && bpf_map_lookup_elem(&unix_sockets, &inode))
		type = EV_UNIX_DATA;
	else
		return 0;
	struct call c = {
		.tls = inode, .buffer = buffer, .size = size, .ts = bpf_ktime_get_ns(), .written = written, .type = type,
		.form = form,
	};
	bpf_map_update_elem(&descriptor_calls, &id, &c, BPF_ANY);
	return 0;
}

/* `n` bytes at `buffer` were part of this thread's call, of which `total` counted. Not static: the verifier looks at it once, not
 * once a part. */
__attribute__((noinline)) int part(u64 buffer, u64 n, u64 total)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call *kept = bpf_map_lookup_elem(&descriptor_calls, &id);
	struct config *cfg = config();
	struct place place = {};
	u32 flags = 0;
	if (!kept || !cfg)
		return 0;
	struct call c = *kept;
	c.buffer = buffer;
	if (c.type == EV_STDIO ? stdio_place(&c, id, &place) : unix_place(&c, id, n, total, &place, &flags))
		copy_call(&c, &place, id, n, cfg->max_copy, flags);
	return 0;
}

/* The parts of a vector, in all `total` bytes. Returns how many of these were in parts beyond the most that are looked at. */
INLINE u64 parts(u64 vector, u64 count, u64 total)
{
	u64 left = total;
	for (u32 i = 0; i < MOST_PARTS; i++) {
		struct user_vector v = {};
		if (!left || i >= count || bpf_probe_read_user(&v, sizeof v, (void *)(vector + i * sizeof v)))
			break;
		u64 n = left < v.len ? left : v.len;
		if (n)
			part(v.base, n, total);
		left -= n;
	}
	return left;
}

/* What the thread's call returned with. */
INLINE void returned(const struct call *c, s64 result, u32 pid)
{
	u64 vector = c->buffer, count_of = c->size, inode = c->tls;
	struct unix_socket *s = c->type == EV_UNIX_DATA ? bpf_map_lookup_elem(&unix_sockets, &inode) : 0;
	if (s && !result && !c->written && c->size) /* the server closed */
		say_unix_closed(inode, s, pid);
	if (result <= 0)
		return;
	if (c->form == PLAIN) {
		part(c->buffer, result, result);
		return;
	}
	if (c->form == HEADER) {
		struct user_header h = {};
		if (bpf_probe_read_user(&h, sizeof h, (void *)c->buffer))
			count(COPY_FAULT);
		vector = h.vector;
		count_of = h.count;
	}
	u64 left = parts(vector, count_of, result);
	if (left) {
		count(COPY_CUT);
		if (s)
			s->bytes[!!c->written] += left;
	}
}

#define ENTER(call) SEC("tracepoint/syscalls/sys_enter_" #call) int on_##call(struct sys_enter *ctx)

ENTER(read) { return entered(ctx->args[0], ctx->args[1], ctx->args[2], 0, PLAIN); }
ENTER(write) { return entered(ctx->args[0], ctx->args[1], ctx->args[2], 1, PLAIN); }
ENTER(readv) { return entered(ctx->args[0], ctx->args[1], ctx->args[2], 0, VECTOR); }
ENTER(writev) { return entered(ctx->args[0], ctx->args[1], ctx->args[2], 1, VECTOR); }
ENTER(recvfrom)
{
	return ctx->args[3] & (MSG_PEEK | MSG_OOB) ? 0 : entered(ctx->args[0], ctx->args[1], ctx->args[2], 0, PLAIN);
}
ENTER(sendto) { return ctx->args[3] & MSG_OOB ? 0 : entered(ctx->args[0], ctx->args[1], ctx->args[2], 1, PLAIN); }
ENTER(recvmsg) { return ctx->args[2] & (MSG_PEEK | MSG_OOB) ? 0 : entered(ctx->args[0], ctx->args[1], 1, 0, HEADER); }
ENTER(sendmsg) { return ctx->args[2] & MSG_OOB ? 0 : entered(ctx->args[0], ctx->args[1], 1, 1, HEADER); }

/* Attached to the exits of all of them (sensor/programs.py), before their entries: what was kept is always of this call. */
SEC("tracepoint")
int on_descriptor_exit(struct sys_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call *kept = bpf_map_lookup_elem(&descriptor_calls, &id);
	if (!kept)
		return 0;
	returned(kept, ctx->ret, id >> 32);
	bpf_map_delete_elem(&descriptor_calls, &id);
	return 0;
}
