/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Opens of files of interest, and calls that name one: rename, unlink, chmod. */
#ifndef LEEWARD_OPENS_H
#define LEEWARD_OPENS_H
#include "descriptors.h"

enum { PROC_SUPER_MAGIC = 0x9fa0, PTMX = 5 << 20 | 2 };

INLINE int told_path(struct ev_system *e, struct place_in_tree p)
{
	add_chain((u64)p.dentry, (u64)p.mount, 1);
	tell(e);
	return 0;
}

INLINE int simply(u32 pid, u32 kind, u64 number)
{
	if (!may_tell(pid, kind, number))
		return 0;
	struct ev_system *e = draft(pid, kind);
	if (!e)
		return 0;
	e->number = number;
	tell(e);
	return 0;
}

/* -- opens ---------------------------------------------------------------------------------------------------------- */

/* Of a file in proc: the process that it is of. */
INLINE u32 process_of(struct inode *inode)
{
	struct proc_inode *proc = HOLDER(struct proc_inode, vfs_inode, inode);
	struct pid *pid = 0;
	struct hlist_node *link = 0;
	s32 tgid = 0;
	if (!HAS(proc->pid))
		return 0;
	READ(pid, proc->pid);
	READ(link, pid->tasks[0].first);
	if (!pid || !link)
		return 0;
	struct task_struct *task = HOLDER(struct task_struct, pid_links[0], link);
	READ(tgid, task->tgid);
	return tgid;
}

__attribute__((noinline)) int tell_open(u64 opened, u32 mode, u32 block)
{
	struct file *file = (void *)opened;
	u32 pid = bpf_get_current_pid_tgid() >> 32, target = 0, access = mode & (OPENED_TO_READ | OPENED_TO_WRITE);
	struct inode *inode = 0;
	struct super_block *sb = 0;
	u64 magic = 0, number = 0;
	READ(inode, file->f_inode);
	READ(sb, inode->i_sb);
	READ(magic, sb->s_magic);
	READ(number, inode->i_ino);
	if (magic == PROC_SUPER_MAGIC) {
		target = process_of(inode);
		if (target == pid)
			return 0; /* what is one's own is no news */
	}
	if (!may_tell(pid, ASKED_OPEN, mixed(mixed(number, (u64)sb), access)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_OPEN);
	if (!e)
		return 0;
	e->number = !!(access & OPENED_TO_WRITE);
	e->target = target;
	e->flags = block ? ON_BLOCK_DEVICE : 0;
	return told_path(e, place_of(file));
}

INLINE u32 device_of(struct inode *inode)
{
	u32 device = 0;
	READ(device, inode->i_rdev);
	return device;
}

INLINE int tell_pty(u32 pid, struct file *file)
{
	struct tty_file_private *opened = 0;
	struct tty_struct *tty = 0;
	s32 index = 0;
	READ(opened, file->private_data);
	READ(tty, opened->tty);
	READ(index, tty->index);
	return simply(pid, ASKED_PTY, index);
}

INLINE int opened(u32 pid, u32 fd)
{
	struct inode *inode = 0;
	u32 flags = 0;
	u16 mode = 0;
	struct file *file = file_of(fd);
	if (!file)
		return 0;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	READ(flags, file->f_mode);
	u32 kind = mode & S_IFMT, access = flags & (OPENED_TO_READ | OPENED_TO_WRITE);
	if (flags & ONLY_A_PATH || !access)
		return 0;
	if (kind == S_IFBLK)
		return tell_open((u64)file, access, 1);
	if (kind == S_IFCHR && device_of(inode) == PTMX)
		return tell_pty(pid, file);
	if ((kind == S_IFREG || kind == S_IFCHR) && wanted_file(place_of(file), access))
		return tell_open((u64)file, access, 0);
	return 0;
}

/* -- paths that are named ---------------------------------------------------------------------------------------------- */

INLINE int renamed(u32 pid, s32 from_fd, u64 from, s32 to_fd, u64 to)
{
	struct ev_system *e = draft(pid, ASKED_RENAME);
	if (!e)
		return 0;
	add_name(e, to);
	e->other_len = add_text(e, (void *)from, 1);
	if (!wanted_path(0, e->name_len, to_fd) && !wanted_path(e->name_len, e->other_len, from_fd))
		return 0;
	if (!may_tell(pid, ASKED_RENAME, hash_of_path(to_fd)))
		return 0;
	add_start(e, to_fd);
	tell(e);
	return 0;
}

/* kind: ASKED_UNLINK, ASKED_CHMOD. mode: of the latter. */
INLINE int named_path(u32 pid, u32 kind, s32 fd, u64 path, u64 mode)
{
	struct ev_system *e = draft(pid, kind);
	if (!e)
		return 0;
	e->number = mode;
	add_name(e, path);
	if (!(mode & S_ISUID) && !wanted_path(0, e->name_len, fd))
		return 0;
	if (!may_tell(pid, kind, mixed(hash_of_path(fd), mode)))
		return 0;
	add_start(e, fd);
	tell(e);
	return 0;
}

INLINE int chmod_of_descriptor(u32 pid, u32 fd, u64 mode)
{
	struct file *file = file_of(fd);
	if (!file)
		return 0;
	struct place_in_tree p = place_of(file);
	if (!(mode & S_ISUID) && !wanted_file(p, OPENED_TO_WRITE))
		return 0;
	if (!may_tell(pid, ASKED_CHMOD, mixed((u64)p.dentry, mode)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_CHMOD);
	if (!e)
		return 0;
	e->number = mode;
	return told_path(e, p);
}

/* Who connects to a UNIX socket of a name of interest: a container runtime's. */
INLINE int connected(u32 pid, u32 fd)
{
	struct unix_socket bound = {};
	struct sock *sk = sock_of(fd);
	if (!is_unix_stream(sk))
		return 0;
	path_of(peer_of(sk), &bound);
	struct ev_system *e = bound.len && bound.path[0] ? draft(pid, ASKED_OPEN) : 0;
	if (!e)
		return 0;
	e->number = 1;
	e->name_len = add_text(e, bound.path, 0);
	if (wanted_path(0, e->name_len, AT_FDCWD) && may_tell(pid, ASKED_OPEN, hash_of_path(AT_FDCWD)))
		tell(e);
	return 0;
}
#endif
