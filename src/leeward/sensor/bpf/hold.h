/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Hold and verdict: a thread of a held process that is about to hand plaintext to its TLS library is stopped before the library
 * sees a byte. The program tells of the call and sends a signal to the thread, which the holder (enforce/holder.py), its tracer, takes
 * off again: the program itself never gets it. Without a tracer whose heart beats nothing is held. */
#ifndef LEEWARD_HOLD_H
#define LEEWARD_HOLD_H
#include "maps.h"

enum { SIGURG = 23, SIGWINCH = 28 };

/* Processes (thread groups) whose writes are held; the holder writes it, and removes what it let go. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 16384); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u32); __type(value, u32); } held SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct heart); } heartbeat SEC(".maps");
/* Connections that no policy is about: their calls are not held any more. */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, struct tls_key); __type(value, u32); } hold_left SEC(".maps");
/* Bytes that a held process wrote on a connection so far. */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, struct tls_key); __type(value, u64); } hold_sent SEC(".maps");
struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 1 << 19); } holds SEC(".maps");

/* Stops the calling thread, if its process is held. cookie: the probe's. signal: one that the program does not send to itself. Returns whether the process is held at all. */
INLINE u32 hold(struct pt_regs *ctx, u64 id, u64 tls, u64 buffer, u64 size, u64 cookie, u32 signal)
{
	u32 pid = id >> 32, zero = 0;
	if (!bpf_map_lookup_elem(&held, &pid))
		return 0;
	struct tls_key key = {tls, pid, 0};
	if (!size || bpf_map_lookup_elem(&hold_left, &key))
		return 1;
	struct heart *heart = bpf_map_lookup_elem(&heartbeat, &zero);
	u64 now = bpf_ktime_get_ns();
	if (!heart || now - heart->beat > heart->stale) {
		count(HOLD_NO_HOLDER);
		return 1;
	}
	struct ev_hold *e = bpf_ringbuf_reserve(&holds, sizeof *e, 0);
	if (!e) {
		count(HOLD_RING_FULL);
		return 1;
	}
	u64 *sent = bpf_map_lookup_elem(&hold_sent, &key);
	e->h.ts = now;
	e->h.type = EV_HOLD;
	e->h.pid = pid;
	e->tls = tls;
	e->buffer = buffer;
	e->size = size;
	e->sp = ctx->sp;
	e->sent = sent ? *sent : 0;
	e->tid = (u32)id;
	e->library = cookie;
	e->kind = cookie >> 32;
	e->pad = 0;
	bpf_ringbuf_submit(e, RB_FORCE_WAKEUP);
	if (bpf_send_signal_thread(signal))
		count(HOLD_NO_SIGNAL);
	return 1;
}

INLINE void hold_done(const struct tls_key *key, u64 total)
{
	u64 *sent = bpf_map_lookup_elem(&hold_sent, key);
	if (sent)
		*sent += total;
	else
		bpf_map_update_elem(&hold_sent, key, &total, BPF_ANY);
}

INLINE void hold_freed(const struct tls_key *key)
{
	bpf_map_delete_elem(&hold_sent, key);
	bpf_map_delete_elem(&hold_left, key);
}
#endif
