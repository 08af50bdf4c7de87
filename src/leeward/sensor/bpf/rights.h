/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Whose rights a process has, and when they change: user ids, capabilities, the user namespace that they count in. */
#ifndef LEEWARD_RIGHTS_H
#define LEEWARD_RIGHTS_H
#include "system.h"

/* Of processes, as they were told last: since their fork, their exec, or a call that changed them. User space writes those of processes
 * that are there already, with space 0: not known. */
struct rights { struct ids ids; u64 space; };
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 32768); __type(key, u32); __type(value, struct rights); } rights_known SEC(".maps");

INLINE struct rights rights_of(struct task_struct *task)
{
	struct rights r = {.ids = ids_of(cred_of(task)), .space = (u64)user_space_of(task)};
	return r;
}

/* Those that a new process has from its parent. */
INLINE void inherit_rights(struct task_struct *child, u32 pid)
{
	struct rights r = rights_of(child);
	bpf_map_update_elem(&rights_known, &pid, &r, BPF_ANY);
}

/* Tells the current process's rights if its ids are others than before, or its capabilities more. Returns whether it gained anything.
 * exec: by a program. Not static: the verifier looks at it once. */
__attribute__((noinline)) int tell_rights(u32 pid, u32 exec)
{
	struct rights *kept = bpf_map_lookup_elem(&rights_known, &pid), before = {}, now = rights_of(current_task());
	u32 known = kept != 0;
	if (kept)
		before = *kept;
	bpf_map_update_elem(&rights_known, &pid, &now, BPF_ANY);
	if (!known)
		return 0;
	if (!before.space)
		before.space = now.space;
	int gained = (now.ids.caps & ~before.ids.caps) || now.space != before.space || (!now.ids.euid && before.ids.euid);
	if (!gained && now.ids.uid == before.ids.uid && now.ids.euid == before.ids.euid && now.ids.gid == before.ids.gid)
		return 0;
	u64 what = mixed(mixed(now.ids.caps, now.space), (u64)now.ids.uid << 32 | now.ids.euid);
	struct ev_system *e = may_tell(pid, ASKED_IDENTITY, mixed(what, now.ids.gid)) ? draft(pid, ASKED_IDENTITY) : 0;
	if (!e)
		return gained;
	e->before = before.ids;
	e->after = now.ids;
	e->label[0] = now.space != before.space ? 'n' : exec ? 'e' : 'c';
	tell(e);
	return gained;
}
#endif
