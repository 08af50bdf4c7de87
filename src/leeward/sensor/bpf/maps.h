/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The tables that the programs share. Sizes are set by the loader where they depend on the host. */
#ifndef LEEWARD_MAPS_H
#define LEEWARD_MAPS_H
#include "events.h"

/* Payload is lost first: processes and sockets have a ring of their own. */
struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 1 << 22); } control SEC(".maps");
struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 1 << 25); } payload SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct config); } settings SEC(".maps");
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, COUNTERS); __type(key, u32); __type(value, u64); } counters SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 65536); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u32); __type(value, u8); } tracked SEC(".maps");
/* Libraries that user space has looked at: a mapping of one of them is no news. */
struct library_key { u64 inode; u32 device, pad; };
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, struct library_key); __type(value, u8); } libraries SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 8192); __type(key, u64); __type(value, struct library_key); } mapping SEC(".maps");
/* Sockets and what passed through them. A flow leaves when its socket closes; user space sweeps idle ones. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 131072); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct flow_key); __type(value, struct flow); } flows SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 131072); __type(key, u64); __type(value, struct owner); } owners SEC(".maps");
/* ICMP that processes sent, by socket and address (port 0). */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, struct flow_key); __type(value, struct pinged); } pings SEC(".maps");
/* User space's word on a socket (key: cookie) and on a TLS object; a table of its own because both sides write. */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 131072); __type(key, u64); __type(value, u32); } flow_verdicts SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, struct tls_key); __type(value, u32); } tls_verdicts SEC(".maps");
/* Heads of requests on connections with the verdict GLANCE, until they are answered; the key has its highest bit set for TLS. */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, u64); __type(value, struct ev_heads); } heads SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct ev_heads); } no_heads SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, u32); __type(value, struct glanced); } glances SEC(".maps");
/* Request lines that user space has found to be no AI call: (connection, hash of the line up to '?'). */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, u64); __type(value, u8); } boring SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, struct tls_key); __type(value, struct tls_conn); } tls_conns SEC(".maps");
/* form: of the argument, for system calls: see descriptors.h. */
struct call { u64 tls, buffer, count_at, ts; u32 size, written, type, form, held, pad; };
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, struct call); } calls SEC(".maps");
/* Of goroutines: the key is (goroutine, pid, whether it writes). */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 65536); __type(key, struct tls_key); __type(value, struct call); } go_calls SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, struct call); } descriptor_calls SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u32); __type(value, struct caller); } callers SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u32); __type(value, u32); } stdio_verdicts SEC(".maps");
/* By inode; user space sweeps idle ones when they are many. And descriptors between connect(2) and its result. */
struct { __uint(type, MAP_HASH); __uint(max_entries, 16384); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, u64); __type(value, struct unix_socket); } unix_sockets SEC(".maps");
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 4096); __type(key, u64); __type(value, u32); } connecting SEC(".maps");
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 256); __type(key, u32); __type(value, struct tls_layout); } layouts SEC(".maps");

INLINE void count(u32 which)
{
	u64 *n = bpf_map_lookup_elem(&counters, &which);
	if (n)
		*n += 1;
}

INLINE struct config *config(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&settings, &zero);
}

/* Is this process watched at all? */
INLINE int watched(u32 pid)
{
	struct config *c = config();
	if (!c || pid == c->self)
		return 0;
	return !c->only_tracked || bpf_map_lookup_elem(&tracked, &pid) != 0;
}

/* Wake the reader only when much has piled up: it looks by itself many times a second, and waking it costs the
 * watched process microseconds. */
INLINE u64 wake(void *ring, u64 enough)
{
	return bpf_ringbuf_query(ring, 0) > enough ? RB_FORCE_WAKEUP : RB_NO_WAKEUP;
}
#endif
