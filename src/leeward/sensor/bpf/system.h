/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* How a system call is told (EV_SYSTEM), and which files are of interest.
 *
 * A file is looked for by hashes of its name, of the name's last suffix, of the name with its folder's, of its folders' names, and of
 * two that lie in each other (sensor/files.py writes the tables). That is more than is wanted: user space decides by the whole path. A folder is looked at up
 * to two steps above the file, eight when the file is written. Steps cross mounts. */
#ifndef LEEWARD_SYSTEM_H
#define LEEWARD_SYSTEM_H
#include "tasks.h"

enum { NAMES = 1024 };
enum { OPENED_TO_READ = 1, OPENED_TO_WRITE = 2, ONLY_A_PATH = 0x4000 }; /* FMODE_READ, FMODE_WRITE, FMODE_PATH */
enum { FOLDERS_READ = 2, FOLDERS_WRITTEN = 8, COMPONENTS = 32, STRING = 512, TEXT = 2048 };
/* What a key is of, mixed into it. */
#define KEY_NAME 0x1111111111111111ULL
#define KEY_SUFFIX 0x2222222222222222ULL
#define KEY_PAIR 0x4444444444444444ULL
#define KEY_FOLDER 0x8888888888888888ULL
#define KEY_FOLDERS 0x9999999999999999ULL
#define FACTOR 0x9e3779b97f4a7c15ULL
#define AT_FDCWD -100

/* Access (FMODE_*) of interest by key. `name_bits` says fast that there is no such key. */
struct { __uint(type, MAP_HASH); __uint(max_entries, NAMES); __type(key, u64); __type(value, u32); } name_keys SEC(".maps");
struct name_bits { u64 word[1024]; };
struct { __uint(type, MAP_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct name_bits); } name_filter SEC(".maps");
/* Of a path that is read byte by byte: hashes of its name, of its last folder so far and of its first; where the component begins that
 * is read; whether any is of interest. In memory, since the verifier would follow each value otherwise. */
struct walk { u64 name, folder, top; u32 start, found; };
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct walk); } walks SEC(".maps");
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct ev_system); } drafts SEC(".maps");
/* What was told within the last second, by (process, what); and how much, by (process, kind). */
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, u64); } told_lately SEC(".maps");
struct spending { u64 since, told; };
struct { __uint(type, MAP_LRU_HASH); __uint(max_entries, 16384); __type(key, u64); __type(value, struct spending); } spent SEC(".maps");

enum { TOLD_A_SECOND = 64 };

/* Is this process's call to be told? Our own processes' are not. */
INLINE int noticed(u32 pid)
{
	struct config *c = config();
	return c && pid != c->helpers[0] && pid != c->helpers[1] && watched(pid);
}

INLINE u64 mixed(u64 h, u64 word)
{
	h = (h ^ word) * FACTOR;
	return h ^ h >> 29;
}

/* May this be told of now? The same of a process within a second is no news; of more than TOLD_A_SECOND the rest is counted.
 * Not static, like all below: the verifier looks at it once. */
__attribute__((noinline)) int may_tell(u32 pid, u32 kind, u64 what)
{
	u64 now = bpf_ktime_get_ns(), same = mixed(mixed(pid, kind), what), purse = (u64)pid << 32 | kind;
	u64 *last = bpf_map_lookup_elem(&told_lately, &same);
	if (last && now - *last < 1000000000ULL)
		return 0;
	struct spending fresh = {.since = now}, *s = bpf_map_lookup_elem(&spent, &purse);
	if (!s || now - s->since > 1000000000ULL) {
		bpf_map_update_elem(&spent, &purse, &fresh, BPF_ANY);
		s = bpf_map_lookup_elem(&spent, &purse);
	}
	if (!s || ++s->told > TOLD_A_SECOND) {
		count(SYSTEM_CALLS_SKIPPED);
		return 0;
	}
	bpf_map_update_elem(&told_lately, &same, &now, BPF_ANY);
	return 1;
}

/* The event that this CPU puts together: programs of the same kind do not interrupt each other. */
INLINE struct ev_system *drafted(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&drafts, &zero);
}

INLINE struct ev_system *draft(u32 pid, u32 kind)
{
	struct ev_system *e = drafted();
	if (!e)
		return 0;
	__builtin_memset(e, 0, __builtin_offsetof(struct ev_system, text));
	e->h.ts = bpf_ktime_get_ns();
	e->h.type = EV_SYSTEM;
	e->h.pid = pid;
	e->kind = kind;
	return e;
}

INLINE void tell(struct ev_system *e)
{
	u64 len = e->len;
	asm volatile("" : "+r"(len));
	if (len > sizeof e->text)
		return;
	if (bpf_ringbuf_output(&control, e, __builtin_offsetof(struct ev_system, text) + len, RB_FORCE_WAKEUP))
		count(LOST_CONTROL);
}

/* Adds a string to the draft's text; returns how many bytes with its NUL. */
INLINE u32 add_text(struct ev_system *e, const void *string, int of_user)
{
	u32 at = e->len;
	asm volatile("" : "+r"(at));
	if (at >= TEXT)
		return 0;
	long n = of_user ? bpf_probe_read_user_str(e->text + at, STRING, string) : bpf_probe_read_kernel_str(e->text + at, STRING, string);
	if (n <= 0)
		return 0;
	e->len = at + (u32)n;
	return n;
}

/* Where somebody stands in the tree of files. root: of the mount. */
struct place_in_tree { struct dentry *dentry; struct vfsmount *mount; struct dentry *root; };
/* What lies together in struct dentry, d_parent to d_iname (d_shortname): one look instead of four. */
struct entry { u64 parent, hash_len, name, inode, short_name[5]; };

INLINE struct place_in_tree place_at(struct dentry *dentry, struct vfsmount *mount)
{
	struct place_in_tree p = {.dentry = dentry, .mount = mount};
	READ(p.root, mount->mnt_root);
	return p;
}

INLINE struct place_in_tree place_of(struct file *file)
{
	struct path path = {};
	READ(path, file->f_path);
	return place_at(path.dentry, path.mnt);
}

INLINE struct entry look(struct dentry *d)
{
	struct entry e = {};
	if (OFFSET(struct dentry, d_name) == OFFSET(struct dentry, d_parent) + 8)
		bpf_probe_read_kernel(&e, sizeof e, (void *)((u64)d + OFFSET(struct dentry, d_parent)));
	else {
		READ(e.parent, d->d_parent);
		READ(e.hash_len, d->d_name.hash_len);
		READ(e.name, d->d_name.name);
	}
	return e;
}

/* From the root of a mount to where it is mounted. 0: this is the root of all. */
INLINE int leave_mount(struct place_in_tree *p)
{
	for (u32 i = 0; i < 4; i++) { /* mounts may lie upon each other */
		if (p->root != p->dentry)
			return 1;
		struct mount *mount = HOLDER(struct mount, mnt, p->mount), *parent = 0;
		struct dentry *at = 0;
		READ(parent, mount->mnt_parent);
		if (!parent || parent == mount)
			return 0;
		READ(at, mount->mnt_mountpoint);
		*p = place_at(at, (void *)((u64)parent + OFFSET(struct mount, mnt)));
	}
	return 0;
}

/* To the folder that holds it. 0: there is none. */
INLINE int go_up(struct place_in_tree *p, const struct entry *e)
{
	struct dentry *parent = (void *)e->parent;
	if (!parent || parent == p->dentry)
		return 0;
	p->dentry = parent;
	return leave_mount(p);
}

INLINE u32 len_of(const struct entry *e) { return e->hash_len >> 32; }

/* Of `len` bytes of the kernel's memory, 64 at most; 0 of more. sensor/layout.py hashes the same. */
INLINE u64 hash_bytes(const void *from, u64 len)
{
	u64 words[8] = {}, h = FACTOR;
	asm volatile("" : "+r"(len));
	if (!len || len > sizeof words || bpf_probe_read_kernel(words, len, from))
		return 0;
	for (u32 i = 0; i < 8; i++) {
		if (i * 8 >= len)
			break;
		h = mixed(h, words[i]);
	}
	return h;
}

__attribute__((noinline)) u64 hash_of(u64 name, u64 len) { return hash_bytes((void *)name, len); }

/* The same of an entry's name, which mostly is in it. */
INLINE u64 hash_of_entry(struct dentry *d, const struct entry *e)
{
	u32 len = len_of(e);
	u64 h = FACTOR;
	if (e->name != (u64)d + OFFSET(struct dentry, d_parent) + __builtin_offsetof(struct entry, short_name) || len > 40)
		return hash_of(e->name, len);
	for (u32 i = 0; i < 5; i++) {
		if (i * 8 >= len)
			break;
		u64 left = len - i * 8, word = e->short_name[i];
		h = mixed(h, left < 8 ? word & ((1ULL << left * 8) - 1) : word);
	}
	return len ? h : 0;
}

/* Of the name's last dot and what follows it; 0: it has none within its last 16 bytes. */
INLINE u64 hash_end(const void *name, u64 len)
{
	u8 end[16] = {};
	u64 n = len < sizeof end ? len : sizeof end, dot = 16;
	asm volatile("" : "+r"(n));
	if (!n || n > sizeof end || bpf_probe_read_kernel(end, n, name + len - n))
		return 0;
	for (u32 i = 0; i < sizeof end; i++)
		if (end[i] == '.')
			dot = i;
	return dot < n ? hash_bytes(name + len - n + dot, n - dot) : 0;
}

__attribute__((noinline)) u64 hash_of_suffix(u64 name, u64 len) { return hash_end((void *)name, len); }

/* The same of bytes of the draft's text. */
__attribute__((noinline)) u64 hash_of_text(u32 at, u64 len)
{
	struct ev_system *e = drafted();
	return e && at < TEXT ? hash_bytes(e->text + at, len) : 0;
}

__attribute__((noinline)) u64 hash_of_text_suffix(u32 at, u64 len)
{
	struct ev_system *e = drafted();
	return e && at < TEXT && len < STRING ? hash_end(e->text + at, len) : 0;
}

/* 1 if files with this key are of interest for this access. */
__attribute__((noinline)) int of_interest(u64 key, u32 access)
{
	u32 zero = 0;
	struct name_bits *bits = bpf_map_lookup_elem(&name_filter, &zero);
	if (!bits || !(bits->word[key >> 32 & 1023] >> (key >> 42 & 63) & 1))
		return 0;
	u32 *accesses = bpf_map_lookup_elem(&name_keys, &key);
	return accesses && *accesses & access;
}

INLINE int wanted_name(u64 hash, u64 suffix, u32 access)
{
	return (hash && of_interest(hash ^ KEY_NAME, access)) || (suffix && of_interest(suffix ^ KEY_SUFFIX, access));
}

/* below: of the folder that lies in it, 0 if none is known. */
INLINE int wanted_folder(u64 folder, u64 below, u32 access)
{
	if (!folder)
		return 0;
	return of_interest(folder ^ KEY_FOLDER, access) || (below && of_interest(mixed(folder, below) ^ KEY_FOLDERS, access));
}

/* Is a folder of interest, this one or one of those above it that are looked at? name: hash of the file's name, if it lies in the
 * first; below: of the folder that does. */
__attribute__((noinline)) int wanted_above(u64 dentry, u64 mount, u64 name, u64 below, u32 access)
{
	struct place_in_tree p = place_at((void *)dentry, (void *)mount);
	for (u32 i = 0; i < FOLDERS_WRITTEN; i++) {
		if (i >= FOLDERS_READ && !(access & OPENED_TO_WRITE))
			return 0;
		struct entry e = look(p.dentry);
		u64 folder = hash_of_entry(p.dentry, &e);
		if (wanted_folder(folder, below, access))
			return 1;
		if (!i && folder && name && of_interest(mixed(folder, name) ^ KEY_PAIR, access))
			return 1;
		below = folder;
		if (!go_up(&p, &e))
			return 0;
	}
	return 0;
}

INLINE int wanted_file(struct place_in_tree p, u32 access)
{
	if (!leave_mount(&p)) /* a file may be a mount's root itself */
		return 0;
	struct entry e = look(p.dentry);
	u64 hash = hash_of_entry(p.dentry, &e);
	if (wanted_name(hash, hash_of_suffix(e.name, len_of(&e)), access))
		return 1;
	return go_up(&p, &e) && wanted_above((u64)p.dentry, (u64)p.mount, hash, 0, access);
}

/* Adds the components of a path, from the leaf up, to the draft's text. across: mounts too. */
__attribute__((noinline)) int add_chain(u64 dentry, u64 mount, u32 across)
{
	struct place_in_tree p = place_at((void *)dentry, (void *)mount);
	struct ev_system *e = drafted();
	if (!e || !dentry || (across && !leave_mount(&p)))
		return 0;
	for (u32 i = 0; i < COMPONENTS; i++) {
		struct entry here = look(p.dentry);
		if (here.parent == (u64)p.dentry)
			return 0;
		e->chain_len += add_text(e, (void *)here.name, 0);
		if (!across)
			p.dentry = (void *)here.parent;
		else if (!go_up(&p, &here))
			return 0;
	}
	return 0;
}
#endif
