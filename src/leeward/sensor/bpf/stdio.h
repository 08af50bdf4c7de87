/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What a process reads from and writes to the pipes or sockets that were its descriptors 0 and 1 when its program began:
 * MCP servers and other helpers of agents speak JSON-RPC there (some move them to other descriptors first). Seen at the
 * server's side, since clients use any descriptor. A process whose first bytes are not JSON is left alone after a few looks. */
#include "plain.h"

enum { LOOKS = 4 };

/* May this process speak JSON-RPC on its standard input and output? */
INLINE int may_speak(const struct caller *k, u32 pid)
{
	if (!k->input || k->misses >= LOOKS)
		return 0;
	u32 *verdict = bpf_map_lookup_elem(&stdio_verdicts, &pid);
	return !verdict || *verdict != IGNORE;
}

/* Did it, or may it begin here: with '{', '[', or the header that language servers put before? */
INLINE int speaks(struct caller *k, u64 buffer)
{
	u8 first = 0;
	if (k->begun)
		return 1;
	bpf_probe_read_user(&first, 1, (void *)buffer);
	if (first == '{' || first == '[' || first == 'C')
		k->begun = 1;
	else
		k->misses++;
	return k->begun;
}

/* 1, and which call this is: copy its buffer. */
INLINE int stdio_place(const struct call *c, u64 id, struct place *place)
{
	u32 pid = id >> 32;
	struct caller *k = bpf_map_lookup_elem(&callers, &pid);
	if (!k || !speaks(k, c->buffer))
		return 0;
	place->seq = k->seq[!!c->written]++;
	return 1;
}
