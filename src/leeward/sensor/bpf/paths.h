/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Paths that a process names: whether a part of one is of interest. */
#ifndef LEEWARD_PATHS_H
#define LEEWARD_PATHS_H
#include "system.h"

/* Where a relative path starts from. */
INLINE struct place_in_tree start_of(s32 fd)
{
	struct place_in_tree nowhere = {};
	struct fs_struct *fs = 0;
	struct path pwd = {};
	if (fd != AT_FDCWD) {
		struct file *file = file_of(fd);
		return file ? place_of(file) : nowhere;
	}
	READ(fs, current_task()->fs);
	READ(pwd, fs->pwd);
	return place_at(pwd.dentry, pwd.mnt);
}

/* Takes byte `i` of the path at `at` of the draft's text; 0: it was the last. Not static: the verifier looks at it once. */
__attribute__((noinline)) int path_byte(u32 at, u32 i)
{
	struct ev_system *e = drafted();
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	if (!e || !w || at >= TEXT || i >= STRING)
		return 0;
	u8 c = e->text[at + i];
	if (c != '/' && c)
		return 1;
	u32 from = at + w->start, len = i - w->start;
	w->start = i + 1;
	if (!len)
		return c;
	u64 hash = hash_of_text(from, len);
	if (c) {
		w->found |= wanted_folder(hash, w->folder, OPENED_TO_WRITE);
		w->top = w->top ? w->top : hash;
		w->folder = hash;
		return 1;
	}
	w->name = hash;
	w->found |= wanted_name(hash, hash_of_text_suffix(from, len), OPENED_TO_WRITE);
	w->found |= hash && w->folder && of_interest(mixed(w->folder, hash) ^ KEY_PAIR, OPENED_TO_WRITE);
	return 0;
}

/* Is a part of the path that lies in the draft's text of interest? `len` bytes with its NUL. fd: what it is relative to. */
__attribute__((noinline)) int wanted_path(u32 at, u32 len, s32 fd)
{
	struct ev_system *e = drafted();
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	if (!e || !w || at >= TEXT)
		return 0;
	__builtin_memset(w, 0, sizeof *w);
	for (u32 i = 0; i < STRING; i++)
		if (i >= len || !path_byte(at, i))
			break;
	if (w->found || e->text[at] == '/')
		return w->found;
	struct place_in_tree p = start_of(fd);
	return p.dentry && leave_mount(&p) && wanted_above((u64)p.dentry, (u64)p.mount, w->top ? 0 : w->name, w->top, OPENED_TO_WRITE);
}

/* Adds what a relative path starts from. */
INLINE void add_start(struct ev_system *e, s32 fd)
{
	if (e->text[0] == '/')
		return;
	struct place_in_tree p = start_of(fd);
	add_chain((u64)p.dentry, (u64)p.mount, 1);
}

INLINE void add_name(struct ev_system *e, u64 path)
{
	e->name_len = add_text(e, (void *)path, 1);
}

/* Tells this path from others: all of it, and where it starts from if it is relative. */
__attribute__((noinline)) u64 hash_of_path(s32 fd)
{
	struct ev_system *e = drafted();
	u64 h = FACTOR;
	if (!e)
		return 0;
	for (u32 i = 0; i < STRING / 64; i++) {
		u32 at = i * 64, left = e->name_len - at;
		if (at >= e->name_len)
			break;
		h = mixed(h, hash_of_text(at, left < 64 ? left : 64));
	}
	return e->text[0] == '/' ? h : mixed(h, (u64)start_of(fd).dentry);
}
#endif
