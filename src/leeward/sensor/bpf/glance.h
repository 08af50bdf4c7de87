/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* A glance at an HTTP/1 connection that carries nothing of interest to a server of this host: the head of each request is kept
 * until its answer begins; then both are shown, if the process has shown few enough in this second. Failures have a budget of their own,
 * since a burst of them is what is looked for. A saturated server pays for copying a head, not for a reader. */
#ifndef LEEWARD_GLANCE_H
#define LEEWARD_GLANCE_H
#include "request.h"

enum { GLANCE_REQUEST = 2048, GLANCE_RESPONSE = 2048 };

/* Of one process, in a second: well answered, not well answered. */
INLINE u32 glance_budget(u32 bad) { return bad ? 256 : 64; }

/* How many exchanges this one stands for if it is to be shown, else 0. */
INLINE u32 glance_stands(u32 pid, u32 bad)
{
	struct glanced *g = bpf_map_lookup_elem(&glances, &pid);
	if (!g) {
		struct glanced fresh = {};
		bpf_map_update_elem(&glances, &pid, &fresh, BPF_NOEXIST);
		g = bpf_map_lookup_elem(&glances, &pid);
		if (!g)
			return 0;
	}
	bad = !!bad;
	u64 now = bpf_ktime_get_ns() >> 30;
	if (g->second != now) {
		for (u32 i = 0; i < 2; i++) {
			g->step[i] = g->second + 1 == now ? g->all[i] / glance_budget(i) : 0;
			g->shown[i] = g->all[i] = 0;
		}
		g->second = now;
	}
	g->all[bad]++;
	u32 passed = ++g->passed[bad];
	if (passed <= g->step[bad] || g->shown[bad] >= glance_budget(bad))
		return 0;
	g->shown[bad]++;
	g->passed[bad] = 0;
	return passed;
}

/* Where the head of a request that begins now is to be kept. */
INLINE struct ev_heads *glance_request(u64 key)
{
	struct ev_heads *e = bpf_map_lookup_elem(&heads, &key);
	if (!e) {
		u32 zero = 0;
		struct ev_heads *blank = bpf_map_lookup_elem(&no_heads, &zero);
		if (!blank)
			return 0;
		bpf_map_update_elem(&heads, &key, blank, BPF_NOEXIST);
		e = bpf_map_lookup_elem(&heads, &key);
		if (!e)
			return 0;
	}
	e->pipelined = e->awaited;
	e->awaited = 0;
	return e;
}

/* The kept head that an answer with this status belongs to, if both are to be shown. p: "HTTP/1.1 200". */
INLINE struct ev_heads *glance_response(u64 key, u32 pid, const u8 *p)
{
	struct ev_heads *e = bpf_map_lookup_elem(&heads, &key);
	if (!e || !e->awaited || p[9] < '2' || p[9] > '5') /* 1xx: the answer is still to come */
		return 0;
	e->awaited = 0;
	if (e->pipelined)
		return 0;
	e->stands = glance_stands(pid, p[9] >= '4');
	return e->stands ? e : 0;
}

INLINE void glance_show(struct ev_heads *e, u64 conn, u32 tls, u32 pid)
{
	e->h.ts = bpf_ktime_get_ns();
	e->h.type = EV_HEADS;
	e->h.pid = pid;
	e->conn = conn;
	e->tls = tls;
	if (bpf_ringbuf_output(&payload, e, sizeof *e, wake(&payload, 1 << 22)))
		count(LOST_PAYLOAD);
}
#endif
