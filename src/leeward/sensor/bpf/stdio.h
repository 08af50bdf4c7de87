/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What a process reads from and writes to the pipes or sockets that were its descriptors 0 and 1 when its program began:
 * MCP servers and other helpers of agents speak JSON-RPC there (some move them to other descriptors first). Seen at the
 * server's side, since clients use any descriptor. A process whose first bytes are not JSON is left alone after a few looks. */
#include "golang.h"

enum { LOOKS = 4, MOST_PARTS = 4, PART_CHUNKS = 8 }; /* PART_CHUNKS: of 16 KiB; the verifier bounds their product */

struct user_vector { u64 base, len; };

INLINE int read_or_write(u64 fd, u64 buffer, u64 size, u32 written, u32 parts)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32;
	struct stdio *s = bpf_map_lookup_elem(&stdios, &pid);
	if (!s || s->misses >= LOOKS)
		return 0;
	u32 *verdict = bpf_map_lookup_elem(&stdio_verdicts, &pid);
	if (verdict && *verdict == IGNORE)
		return 0;
	u64 number = pipe_of(fd);
	if (!number || number != (written ? s->output : s->input))
		return 0;
	struct call c = {
		.tls = number, .buffer = buffer, .size = size, .count_at = parts, .ts = bpf_ktime_get_ns(),
		.written = written, .type = EV_STDIO,
	};
	bpf_map_update_elem(&stdio_calls, &id, &c, BPF_ANY);
	return 0;
}

/* Did this process speak JSON-RPC, or may it begin here: with '{', '[', or the header that language servers put before? */
INLINE int worth_copying(struct stdio *s, u64 buffer)
{
	u8 first = 0;
	if (s->begun)
		return 1;
	bpf_probe_read_user(&first, 1, (void *)buffer);
	if (first == '{' || first == '[' || first == 'C')
		s->begun = 1;
	else
		s->misses++;
	return s->begun;
}

INLINE int read_or_written(s64 result, int vectored)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call *kept = bpf_map_lookup_elem(&stdio_calls, &id);
	if (!kept)
		return 0;
	struct call c = *kept;
	bpf_map_delete_elem(&stdio_calls, &id);
	struct config *cfg = config();
	u32 pid = id >> 32, parts = c.count_at;
	if (result <= 0 || !cfg)
		return 0;
	struct stdio *s = bpf_map_lookup_elem(&stdios, &pid);
	if (!s)
		return 0;
	if (!vectored) {
		if (worth_copying(s, c.buffer)) {
			struct place place = {0, s->seq[!!c.written]++};
			copy_call(&c, &place, id, result, cfg->max_copy, 0);
		}
		return 0;
	}
	u64 vector = c.buffer, left = result;
	c.count_at = 0;
	for (u32 i = 0; i < MOST_PARTS; i++) {
		struct user_vector v = {};
		if (!left || i >= parts || bpf_probe_read_user(&v, sizeof v, (void *)(vector + i * sizeof v)))
			break;
		u64 n = left < v.len ? left : v.len;
		c.buffer = v.base;
		if (n && !worth_copying(s, c.buffer))
			return 0;
		if (n) {
			struct place place = {0, s->seq[!!c.written]++};
			u32 most = cfg->max_copy < PART_CHUNKS * 16384 ? cfg->max_copy : PART_CHUNKS * 16384;
			copy_chunks(&c, &place, id, n, most, 0, PART_CHUNKS);
		}
		left -= n;
	}
	if (left)
		count(COPY_CUT);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_read")
int on_read_enter(struct sys_enter *ctx) { return read_or_write(ctx->args[0], ctx->args[1], ctx->args[2], 0, 0); }
SEC("tracepoint/syscalls/sys_enter_write")
int on_write_enter(struct sys_enter *ctx) { return read_or_write(ctx->args[0], ctx->args[1], ctx->args[2], 1, 0); }
SEC("tracepoint/syscalls/sys_enter_readv")
int on_readv_enter(struct sys_enter *ctx) { return read_or_write(ctx->args[0], ctx->args[1], 0, 0, ctx->args[2]); }
SEC("tracepoint/syscalls/sys_enter_writev")
int on_writev_enter(struct sys_enter *ctx) { return read_or_write(ctx->args[0], ctx->args[1], 0, 1, ctx->args[2]); }
SEC("tracepoint/syscalls/sys_exit_read") int on_read_exit(struct sys_exit *ctx) { return read_or_written(ctx->ret, 0); }
SEC("tracepoint/syscalls/sys_exit_write") int on_write_exit(struct sys_exit *ctx) { return read_or_written(ctx->ret, 0); }
SEC("tracepoint/syscalls/sys_exit_readv") int on_readv_exit(struct sys_exit *ctx) { return read_or_written(ctx->ret, 1); }
SEC("tracepoint/syscalls/sys_exit_writev") int on_writev_exit(struct sys_exit *ctx) { return read_or_written(ctx->ret, 1); }
