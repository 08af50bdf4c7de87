/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* System calls that matter for security, told when they succeeded. One program sees the exits of all system calls, where the
 * arguments still are in the task's registers and what a descriptor is can be read off it; a bit tells whether the call is one of
 * these. (A tracepoint for each call costs more when it is hit, and the kernel takes 40 ms to detach each.) A path comes from the
 * opened file, so that links and relative names are as the kernel resolved them; calls that only name a path are told by what they named. Not seen:
 * io_uring, 32-bit system calls. */
#include "opens.h"

/* arch/x86/entry/syscalls/syscall_64.tbl */
enum syscall_number {
	NR_OPEN = 2, NR_DUP = 32, NR_DUP2, NR_SOCKET = 41, NR_CONNECT, NR_FCNTL = 72, NR_RENAME = 82, NR_UNLINK = 87, NR_CREAT = 85, NR_CHMOD = 90, NR_FCHMOD,
	NR_PTRACE = 101, NR_SETUID = 105, NR_SETGID, NR_SETREUID = 113, NR_SETREGID, NR_SETRESUID = 117, NR_SETRESGID = 119,
	NR_CAPSET = 126, NR_PIVOT_ROOT = 155, NR_CHROOT = 161, NR_SETTIMEOFDAY = 164, NR_MOUNT, NR_INIT_MODULE = 175,
	NR_CLOCK_SETTIME = 227, NR_KEYCTL = 250, NR_OPENAT = 257, NR_UNLINKAT = 263, NR_RENAMEAT, NR_FCHMODAT = 268, NR_UNSHARE = 272, NR_DUP3 = 292,
	NR_SETNS = 308, NR_PROCESS_VM_WRITEV = 311, NR_FINIT_MODULE = 313, NR_RENAMEAT2 = 316, NR_MEMFD_CREATE = 319, NR_BPF = 321,
	NR_MOVE_MOUNT = 429, NR_OPENAT2 = 437, NR_FCHMODAT2 = 452,
};
enum { PTRACE_POKETEXT = 4, PTRACE_POKEUSR = 6, PTRACE_SETREGS = 13, PTRACE_ATTACH = 16, PTRACE_SETREGSET = 0x4205, PTRACE_SEIZE };
enum { F_DUPFD = 0, F_DUPFD_CLOEXEC = 1030, KEYCTL_READ = 11, BPF_PROG_LOAD = 5, TS_COMPAT = 2, AF_PACKET = 17, AF_XDP = 44 };
enum { MS_PROPAGATION = 0x1e0000 /* shared, private, slave, unbindable */, MS_BIND = 4096 };
enum { MOST_TRACEES = 64 };

/* -- other processes ------------------------------------------------------------------------------------------------------- */

INLINE u32 level_of(struct task_struct *task)
{
	struct pid *pid = 0;
	u32 level = 0;
	READ(pid, task->thread_pid);
	READ(level, pid->level);
	return level;
}

/* The process among those that the current task traces, of which a thread has this number in its own PID namespace. */
__attribute__((noinline)) u32 tracee(u32 number)
{
	struct task_struct *self = current_task();
	struct list_head *link = 0;
	u32 level = level_of(self);
	READ(link, self->ptraced.next);
	for (u32 i = 0; i < MOST_TRACEES; i++) {
		struct task_struct *task = HOLDER(struct task_struct, ptrace_entry, link);
		struct pid *pid = 0;
		s32 nr = 0, tgid = 0;
		if (!link || (u64)link == (u64)self + OFFSET(struct task_struct, ptraced))
			return 0;
		READ(pid, task->thread_pid);
		bpf_probe_read_kernel(&nr, sizeof nr, (void *)((u64)pid + OFFSET(struct pid, numbers) + level * sizeof(struct upid)));
		READ(tgid, task->tgid);
		if (nr == number)
			return tgid;
		READ(link, link->next);
	}
	return 0;
}

INLINE int traced(u32 pid, u32 request, u32 number)
{
	int pokes = (request >= PTRACE_POKETEXT && request <= PTRACE_POKEUSR) || request == PTRACE_SETREGS || request == PTRACE_SETREGSET;
	if (!pokes && request != PTRACE_ATTACH && request != PTRACE_SEIZE)
		return 0;
	u32 target = tracee(number);
	if (!may_tell(pid, ASKED_PTRACE, mixed(target, request)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_PTRACE);
	if (!e)
		return 0;
	e->number = request;
	e->target = target;
	tell(e);
	return 0;
}

/* sig: args of trace_signal_generate. Told: of signals that a process sends to one in another cgroup of any hierarchy. */
SEC("tp_btf/signal_generate")
int on_signal(u64 *ctx)
{
	u32 sig = ctx[0];
	struct kernel_siginfo *info = (void *)ctx[1];
	struct task_struct *task = (void *)ctx[2], *self = current_task();
	void *mine = 0, *theirs = 0;
	s32 code = 0, tgid = 0;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	if ((u64)info == 1 /* SEND_SIG_PRIV */ || ctx[4] /* it was not delivered */)
		return 0;
	READ(tgid, task->tgid);
	if (info)
		READ(code, info->si_code);
	if ((code && code != -1 /* SI_QUEUE */ && code != -6 /* SI_TKILL */) || !pid || tgid == pid)
		return 0;
	READ(mine, self->cgroups);
	READ(theirs, task->cgroups);
	if (mine == theirs || !noticed(pid) || !may_tell(pid, ASKED_KILL, mixed(tgid, sig)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_KILL);
	if (!e)
		return 0;
	e->number = sig;
	e->target = tgid;
	tell(e);
	return 0;
}

/* -- the others ---------------------------------------------------------------------------------------------------------------- */

INLINE int duplicated(u32 pid, u32 fd)
{
	struct stream s;
	if (fd > 2)
		return 0;
	describe_stream(&s, fd);
	if (s.kind != STREAM_SOCKET && s.kind != STREAM_UNIX && s.kind != STREAM_PIPE)
		return 0;
	if (!may_tell(pid, ASKED_STREAM, mixed(mixed(s.number, s.kind), fd)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_STREAM);
	if (!e)
		return 0;
	e->number = fd;
	e->stream = s;
	tell(e);
	return 0;
}

INLINE int made_socket(u32 pid, u32 family, u32 type, u32 protocol)
{
	type &= 15;
	int icmp = (family == AF_INET && protocol == 1) || (family == AF_INET6 && protocol == 58);
	int inet = family == AF_INET || family == AF_INET6;
	if (family != AF_PACKET && family != AF_XDP && !(inet && (type == SOCK_RAW || (icmp && type == SOCK_DGRAM))))
		return 0;
	u64 number = protocol | (u64)family << 32 | (u64)type << 48;
	return simply(pid, ASKED_SOCKET, number);
}

INLINE int made_memfd(u32 pid, u32 fd)
{
	struct file *file = file_of(fd);
	if (!file)
		return 0;
	struct place_in_tree p = place_of(file);
	struct entry here = look(p.dentry);
	if (!may_tell(pid, ASKED_MEMFD, hash_of_entry(p.dentry, &here)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_MEMFD);
	if (!e)
		return 0;
	e->name_len = add_text(e, (void *)here.name, 0);
	tell(e);
	return 0;
}

INLINE int mounted(u32 pid, u64 source, u64 target, u64 type, u64 flags)
{
	if (flags & MS_PROPAGATION && !(flags & MS_BIND))
		return 0; /* nothing is mounted */
	struct ev_system *e = draft(pid, ASKED_MOUNT);
	if (!e)
		return 0;
	e->number = flags;
	add_name(e, target);
	if (!may_tell(pid, ASKED_MOUNT, mixed(hash_of_path(AT_FDCWD), flags)))
		return 0;
	e->other_len = add_text(e, (void *)source, 1);
	bpf_probe_read_user_str(e->label, sizeof e->label, (void *)type);
	add_start(e, AT_FDCWD);
	tell(e);
	return 0;
}

/* A mount that was made by fsmount or open_tree is put in its place. */
INLINE int moved_mount(u32 pid, s32 from, s32 to_fd, u64 to)
{
	struct file *file = file_of(from);
	struct super_block *sb = 0;
	struct file_system_type *type = 0;
	const char *name = 0;
	struct ev_system *e = draft(pid, ASKED_MOUNT);
	if (!e)
		return 0;
	add_name(e, to);
	if (!may_tell(pid, ASKED_MOUNT, hash_of_path(to_fd)))
		return 0;
	if (file) {
		struct place_in_tree p = place_of(file);
		struct vfsmount *mount = p.mount;
		READ(sb, mount->mnt_sb);
		READ(type, sb->s_type);
		READ(name, type->name);
		bpf_probe_read_kernel_str(e->label, sizeof e->label, name);
	}
	add_start(e, to_fd);
	tell(e);
	return 0;
}

/* kind: ASKED_CHROOT */
INLINE int new_root(u32 pid, u64 path)
{
	struct ev_system *e = draft(pid, ASKED_CHROOT);
	if (!e)
		return 0;
	add_name(e, path);
	if (!may_tell(pid, ASKED_CHROOT, hash_of_path(AT_FDCWD)))
		return 0;
	add_start(e, AT_FDCWD);
	tell(e);
	return 0;
}

/* setns: which namespace the descriptor is of; several, of a pidfd, are in `flags`. */
INLINE int joined(u32 pid, u32 fd, u64 flags)
{
	struct file *file = file_of(fd);
	struct inode *inode = 0;
	struct ns_common *ns = 0;
	const struct proc_ns_operations *ops = 0;
	u64 number = 0;
	u32 type = flags;
	u16 mode = 0;
	if (!file)
		return 0;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	if ((mode & S_IFMT) == S_IFREG) { /* of nsfs; a pidfd is none since 6.9, and was none before */
		READ(ns, inode->i_private);
		READ(ops, ns->ops);
		if (!type && HAS(ns->ns_type))
			READ(type, ns->ns_type);
		else if (!type && HAS(ops->type))
			READ(type, ops->type);
		READ(number, inode->i_ino);
	}
	if (!may_tell(pid, ASKED_NAMESPACE, mixed(type, number)))
		return 0;
	struct ev_system *e = draft(pid, ASKED_NAMESPACE);
	if (!e)
		return 0;
	e->number = type;
	e->stream.number = number;
	e->label[0] = 's';
	tell(e);
	return 0;
}

INLINE int unshared(u32 pid, u64 flags)
{
	if (!(flags & ~0x600ULL /* CLONE_FS, CLONE_FILES: these are no namespaces */) || !may_tell(pid, ASKED_NAMESPACE, flags))
		return 0;
	struct ev_system *e = draft(pid, ASKED_NAMESPACE);
	if (!e)
		return 0;
	e->number = flags;
	e->label[0] = 'u';
	tell(e);
	return 0;
}

INLINE int loaded_module(u32 pid, struct file *file)
{
	struct ev_system *e = draft(pid, ASKED_MODULE);
	if (!e)
		return 0;
	if (file)
		return told_path(e, place_of(file));
	tell(e);
	return 0;
}

/* union bpf_attr of BPF_PROG_LOAD (include/uapi/linux/bpf.h): prog_type at 0, prog_name at 48. */
INLINE int loaded_program(u32 pid, u64 attr)
{
	u32 type = 0;
	bpf_probe_read_user(&type, sizeof type, (void *)attr);
	struct ev_system *e = draft(pid, ASKED_BPF);
	if (!e)
		return 0;
	e->number = type;
	e->name_len = add_text(e, (void *)(attr + 48), 1);
	if (may_tell(pid, ASKED_BPF, mixed(type, hash_of_text(0, e->name_len))))
		tell(e);
	return 0;
}

INLINE int wrote_into(u32 pid, u32 number)
{
	u32 level = level_of(current_task());
	if (number == pid || !may_tell(pid, ASKED_VM_WRITE, number))
		return 0;
	struct ev_system *e = draft(pid, ASKED_VM_WRITE);
	if (!e)
		return 0;
	e->target = number;
	e->flags = TARGET_IN_NAMESPACE;
	e->level = level;
	tell(e);
	return 0;
}

INLINE int called(u32 pid, struct pt_regs *r, s64 ret)
{
	u64 a = r->di, b = r->si, c = r->dx, d = r->r10;
	switch (r->orig_ax) {
	case NR_OPEN: case NR_CREAT: case NR_OPENAT: case NR_OPENAT2: return opened(pid, ret);
	case NR_DUP: case NR_DUP2: case NR_DUP3: return duplicated(pid, ret);
	case NR_FCNTL: return b == F_DUPFD || b == F_DUPFD_CLOEXEC ? duplicated(pid, ret) : 0;
	case NR_CONNECT: return connected(pid, a);
	case NR_SOCKET: return made_socket(pid, a, b, c);
	case NR_RENAME: return renamed(pid, AT_FDCWD, a, AT_FDCWD, b);
	case NR_RENAMEAT: case NR_RENAMEAT2: return renamed(pid, a, b, c, d);
	case NR_UNLINK: return named_path(pid, ASKED_UNLINK, AT_FDCWD, a, 0);
	case NR_UNLINKAT: return named_path(pid, ASKED_UNLINK, a, b, 0);
	case NR_CHMOD: return named_path(pid, ASKED_CHMOD, AT_FDCWD, a, b & 07777);
	case NR_FCHMODAT: case NR_FCHMODAT2: return named_path(pid, ASKED_CHMOD, a, b, c & 07777);
	case NR_FCHMOD: return chmod_of_descriptor(pid, a, b & 07777);
	case NR_PTRACE: return traced(pid, a, b);
	case NR_PROCESS_VM_WRITEV: return ret ? wrote_into(pid, a) : 0;
	case NR_SETUID: case NR_SETGID: case NR_SETREUID: case NR_SETREGID: case NR_SETRESUID: case NR_SETRESGID: case NR_CAPSET:
		return tell_rights(pid, 0);
	case NR_UNSHARE: unshared(pid, a); return tell_rights(pid, 0);
	case NR_SETNS: joined(pid, a, b); return tell_rights(pid, 0);
	case NR_CHROOT: case NR_PIVOT_ROOT: return new_root(pid, a);
	case NR_MOUNT: return mounted(pid, a, b, c, d);
	case NR_MOVE_MOUNT: return moved_mount(pid, a, c, d);
	case NR_MEMFD_CREATE: return made_memfd(pid, ret);
	case NR_INIT_MODULE: return loaded_module(pid, 0);
	case NR_FINIT_MODULE: return loaded_module(pid, file_of(a));
	case NR_BPF: return a == BPF_PROG_LOAD ? loaded_program(pid, b) : 0;
	case NR_KEYCTL: return a == KEYCTL_READ ? simply(pid, ASKED_KEYRING, a) : 0;
	case NR_SETTIMEOFDAY: return simply(pid, ASKED_CLOCK, 0);
	case NR_CLOCK_SETTIME: return a ? 0 : simply(pid, ASKED_CLOCK, 0);
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int on_called(u64 *ctx)
{
	struct pt_regs *r = (void *)ctx[0];
	struct config *c = config();
	u64 number = r->orig_ax;
	u32 status = 0, pid;
	if (!c || number >= 512 || !(c->told[number >> 6] >> (number & 63) & 1) || (s64)ctx[1] < 0)
		return 0;
	pid = bpf_get_current_pid_tgid() >> 32;
	READ(status, current_task()->thread_info.status);
	if (status & TS_COMPAT || !noticed(pid))
		return 0;
	return called(pid, r, ctx[1]);
}
