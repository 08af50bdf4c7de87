/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Plaintext at Go's crypto/tls.(*Conn).Read and Write. Go passes arguments and results in registers of its own (ABIInternal:
 * RAX, RBX, RCX, ...; the goroutine in R14) and moves stacks, so there are no return probes: every RET is probed. A call is
 * the goroutine's, not the thread's. */
#include "openssl.h"

#define GO_ARG1(ctx) ((ctx)->ax)
#define GO_ARG2(ctx) ((ctx)->bx)
#define GO_ARG3(ctx) ((ctx)->cx)
#define GOROUTINE(ctx) ((ctx)->r14)

INLINE int go_enter(struct pt_regs *ctx, u32 written)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32;
	if (!watched(pid))
		return 0;
	u32 is_held = written ? hold(ctx, id, GO_ARG1(ctx), GO_ARG2(ctx), GO_ARG3(ctx), bpf_get_attach_cookie(ctx), SIGWINCH) : 0;
	struct tls_key key = {GO_ARG1(ctx), pid, 0}, goroutine = {GOROUTINE(ctx), pid, written};
	u32 *verdict = bpf_map_lookup_elem(&tls_verdicts, &key);
	if (verdict && *verdict == IGNORE && !is_held)
		return 0;
	struct call c = {
		.tls = GO_ARG1(ctx), .buffer = GO_ARG2(ctx), .size = GO_ARG3(ctx), .ts = bpf_ktime_get_ns(), .written = written,
		.held = is_held,
	};
	bpf_map_update_elem(&go_calls, &goroutine, &c, BPF_ANY);
	return 0;
}

SEC("uprobe/go_call")
int on_go_call(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx) >> 32) {
	case CALL_GO_WRITE: return go_enter(ctx, 1);
	case CALL_GO_READ: return go_enter(ctx, 0);
	case CALL_GO_FREE: return freed(GO_ARG1(ctx));
	}
	return 0;
}

/* Which of the two functions returns is in the cookie: a read may be under way while its goroutine writes an alert. */
SEC("uprobe/go_done")
int on_go_done(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie = bpf_get_attach_cookie(ctx);
	struct tls_key goroutine = {GOROUTINE(ctx), id >> 32, cookie >> 32 == CALL_GO_WRITE};
	struct call *kept = bpf_map_lookup_elem(&go_calls, &goroutine);
	if (!kept)
		return 0;
	struct call c = *kept;
	bpf_map_delete_elem(&go_calls, &goroutine);
	s64 result = GO_ARG1(ctx);
	if (result > 0)
		finish(&c, result, cookie, id);
	return 0;
}
