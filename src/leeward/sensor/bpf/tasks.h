/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The current task, its descriptors, its rights, and the sockets behind descriptors. */
#ifndef LEEWARD_TASKS_H
#define LEEWARD_TASKS_H
#include "maps.h"

/* Of tracepoints of system calls. */
struct sys_enter { u64 common; s64 nr; u64 args[6]; };
struct sys_exit { u64 common; s64 nr, ret; };

enum { AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10 };
enum { S_IFMT = 0170000, S_IFSOCK = 0140000, S_IFREG = 0100000, S_IFBLK = 0060000, S_IFDIR = 0040000, S_IFCHR = 0020000, S_IFIFO = 0010000, S_ISUID = 04000 };

INLINE struct task_struct *current_task(void) { return (struct task_struct *)bpf_get_current_task(); }

/* What a descriptor of the current process is. The kernel's types let the verifier follow the pointers, without a helper for each. */
INLINE struct file *file_of(u32 fd)
{
	struct file *file = 0;
	struct files_struct *files = bpf_get_current_task_btf()->files;
	if (!files)
		return 0;
	struct fdtable *table = files->fdt;
	if (!table || fd >= table->max_fds || bpf_probe_read_kernel(&file, sizeof file, table->fd + fd))
		return 0;
	return file;
}

/* Inode of a pipe or socket, 0 of something else. */
INLINE u64 inode_in(struct file *file)
{
	struct inode *inode = 0;
	u16 mode = 0;
	u64 number = 0;
	if (!file)
		return 0;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	if ((mode & S_IFMT) != S_IFIFO && (mode & S_IFMT) != S_IFSOCK)
		return 0;
	READ(number, inode->i_ino);
	return number;
}

/* The same of the one behind a descriptor of the current process. */
INLINE u64 pipe_of(u32 fd) { return inode_in(file_of(fd)); }

INLINE struct sock *sock_in(struct file *file)
{
	struct inode *inode = 0;
	struct socket *socket = 0;
	struct sock *sk = 0;
	u16 mode = 0;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	READ(socket, file->private_data);
	READ(sk, socket->sk);
	return sk;
}

/* The socket behind a descriptor of the current process. */
INLINE struct sock *sock_of(u32 fd) { return sock_in(file_of(fd)); }

/* The other end of a connection. */
INLINE struct sock *peer_of(struct sock *sk)
{
	struct unix_sock *u = (void *)sk;
	struct sock *peer = 0;
	if (HAS(u->peer))
		READ(peer, u->peer);
	return peer;
}

INLINE struct ids ids_of(const struct cred *cred)
{
	struct ids ids = {};
	READ(ids.uid, cred->uid.val);
	READ(ids.euid, cred->euid.val);
	READ(ids.gid, cred->gid.val);
	READ(ids.caps, cred->cap_effective.val);
	return ids;
}

INLINE const struct cred *cred_of(struct task_struct *task)
{
	const struct cred *cred = 0;
	READ(cred, task->cred);
	return cred;
}

INLINE void *user_space_of(struct task_struct *task)
{
	void *ns = 0;
	const struct cred *cred = cred_of(task);
	READ(ns, cred->user_ns);
	return ns;
}
#endif
