/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Processes come and go; libraries are mapped into them. */
#include "deny.h"
#include "hold.h"
#include "streams.h"
#include "paths.h"
#include "rights.h"

enum { CLONE_NEWUSER = 0x10000000, TMPFS_MAGIC = 0x01021994, WRITABLE_BY_ALL = 2 };
#define MEMFD 0x3a64666d656dULL /* "memfd:" is what the kernel calls them, followed by a name */

/* Where a program's file is. */
INLINE u32 origin_of(struct file *file)
{
	struct place_in_tree p = place_of(file);
	struct inode *inode = 0, *top = 0;
	struct super_block *sb = 0;
	struct dentry *root = p.root;
	struct entry e = look(p.dentry);
	u64 begins = 0, magic = 0;
	u32 links = 1;
	u16 mode = 0;
	READ(inode, file->f_inode);
	READ(links, inode->i_nlink);
	READ(sb, inode->i_sb);
	READ(magic, sb->s_magic);
	bpf_probe_read_kernel(&begins, 6, (void *)e.name);
	if (!links)
		return begins == (MEMFD & 0xffffffffffffULL) ? ORIGIN_MEMFD : ORIGIN_DELETED;
	READ(top, root->d_inode);
	READ(mode, top->i_mode);
	return magic == TMPFS_MAGIC && mode & WRITABLE_BY_ALL ? ORIGIN_SHM : ORIGIN_FILE;
}

INLINE void describe(struct ev_process *e, struct task_struct *task, u32 type)
{
	struct task_struct *leader = 0, *parent = 0;
	s32 tgid = 0, ppid = 0;
	e->h.ts = bpf_ktime_get_ns();
	e->h.type = type;
	READ(tgid, task->tgid);
	READ(leader, task->group_leader);
	READ(parent, task->real_parent);
	READ(ppid, parent->tgid);
	e->start_ns = 0;
	READ(e->start_ns, leader->start_boottime);
	e->h.pid = tgid;
	e->ppid = ppid;
	e->uid = (u32)bpf_get_current_uid_gid();
	e->exe_len = e->argv_len = 0;
}

/* A child in a user namespace of its own, where it has every capability. */
INLINE void tell_new_space(struct task_struct *parent, struct task_struct *child, u32 pid)
{
	if (user_space_of(parent) == user_space_of(child) || !noticed(pid))
		return;
	struct ev_system *e = may_tell(pid, ASKED_NAMESPACE, 0) ? draft(pid, ASKED_NAMESPACE) : 0;
	if (!e)
		return;
	e->number = CLONE_NEWUSER;
	e->label[0] = 'c';
	tell(e);
}

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	s32 pid = 0, tgid = 0, parent_tgid = 0;
	READ(pid, child->pid);
	READ(tgid, child->tgid);
	if (pid != tgid)
		return 0; /* a thread */
	READ(parent_tgid, parent->tgid);
	u32 p = parent_tgid, c = tgid;
	inherit_class(p, c);
	struct config *cfg = config();
	if (cfg && cfg->only_tracked) {
		if (!bpf_map_lookup_elem(&tracked, &p))
			return 0;
		u8 one = 1;
		bpf_map_update_elem(&tracked, &c, &one, BPF_ANY);
	}
	struct caller *holder = bpf_map_lookup_elem(&callers, &p), heir = {};
	if (holder && holder->sockets) {
		heir.sockets = holder->sockets;
		bpf_map_update_elem(&callers, &c, &heir, BPF_ANY);
	}
	struct ev_process *e = bpf_ringbuf_reserve(&control, __builtin_offsetof(struct ev_process, euid), 0);
	if (!e) {
		count(LOST_CONTROL);
		return 0;
	}
	describe(e, child, EV_FORK);
	e->ppid = p;
	bpf_ringbuf_submit(e, wake(&control, 1 << 20));
	inherit_rights(child, c);
	tell_new_space(parent, child, c);
	return 0;
}

INLINE void sockets_left(u32 pid); /* unix.h */

/* A process has its class until its last thread ends. */
INLINE void class_left(u32 pid)
{
	struct signal_struct *signal = 0;
	s32 live = 0;
	READ(signal, current_task()->signal);
	READ(live, signal->live.counter);
	if (!live)
		bpf_map_delete_elem(&classes, &pid);
}

/* Of its cgroup: in the unified hierarchy, else (it is in the root there, which has no name: a host of cgroup v1, where container
 * runtimes join all the others) in the second controller's. Here, because a process of milliseconds is gone before /proc says it. */
INLINE void name_group(u8 *to, struct task_struct *task)
{
	struct css_set *groups = 0;
	struct cgroup_subsys_state *state = 0;
	struct cgroup *group = 0;
	struct kernfs_node *node = 0;
	const char *name = 0;
	READ(groups, task->cgroups);
	READ(group, groups->dfl_cgrp);
	READ(node, group->kn);
	READ(name, node->name);
	to[0] = 0;
	bpf_probe_read_kernel_str(to, 160, name);
	if (to[0])
		return;
	READ(state, groups->subsys[1]);
	READ(group, state->cgroup);
	READ(node, group->kn);
	READ(name, node->name);
	bpf_probe_read_kernel_str(to, 160, name);
}

INLINE void describe_program(struct ev_process *e, struct linux_binprm *bprm, u32 pid)
{
	struct file *file = 0;
	struct inode *inode = 0;
	u32 owner = 0;
	u16 mode = 0;
	READ(file, bprm->file);
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	READ(owner, inode->i_uid.val);
	e->euid = ids_of(cred_of(current_task())).euid;
	e->origin = origin_of(file);
	e->setuid = tell_rights(pid, 1) || (mode & S_ISUID && owner != e->uid);
	e->pad = 0;
	describe_stream(&e->streams[0], 0);
	describe_stream(&e->streams[1], 1);
	describe_stream(&e->streams[2], 2);
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *bprm = (void *)ctx[2];
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	enter_class(pid);
	if (!watched(pid))
		return 0;
	struct caller pipes = {.input = pipe_of(0), .output = pipe_of(1)};
	if (pipes.input && pipes.output)
		bpf_map_update_elem(&callers, &pid, &pipes, BPF_ANY);
	else
		bpf_map_delete_elem(&callers, &pid);
	bpf_map_delete_elem(&stdio_verdicts, &pid);
	struct ev_process *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
	if (!e) {
		count(LOST_CONTROL);
		return 0;
	}
	describe(e, task, EV_EXEC);
	describe_program(e, bprm, pid);
	name_group(e->group, task);
	const char *name = 0;
	READ(name, bprm->filename);
	long n = bpf_probe_read_kernel_str(e->text, 512, name);
	e->exe_len = n > 0 ? n - 1 : 0;
	struct mm_struct *mm = 0;
	u64 start = 0, end = 0;
	READ(mm, task->mm);
	READ(start, mm->arg_start);
	READ(end, mm->arg_end);
	u64 len = end - start;
	if (len > 1024)
		len = 1024;
	if (!bpf_probe_read_user(e->text + 512, len, (void *)start))
		e->argv_len = end - start; /* more than 1024: it was cut */
	bpf_ringbuf_submit(e, RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 pid = id >> 32;
	bpf_map_delete_elem(&descriptor_calls, &id); /* killed in the middle: another thread may have its number */
	class_left(pid);
	if (pid != (u32)id || !watched(pid))
		return 0; /* the leader's exit stands for the process; its other threads may linger a moment */
	sockets_left(pid);
	bpf_map_delete_elem(&held, &pid);
	bpf_map_delete_elem(&rights_known, &pid);
	bpf_map_delete_elem(&tracked, &pid);
	bpf_map_delete_elem(&callers, &pid);
	bpf_map_delete_elem(&stdio_verdicts, &pid);
	struct head *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
	if (!e) {
		count(LOST_CONTROL);
		return 0;
	}
	e->ts = bpf_ktime_get_ns();
	e->type = EV_EXIT;
	e->pid = pid;
	bpf_ringbuf_submit(e, wake(&control, 1 << 20));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_mmap")
int on_mmap_enter(struct sys_enter *ctx)
{
	if (!(ctx->args[2] & 4 /* PROT_EXEC */) || (s32)ctx->args[4] < 0)
		return 0;
	u64 id = bpf_get_current_pid_tgid();
	if (!watched(id >> 32))
		return 0;
	struct file *file = file_of(ctx->args[4]);
	struct inode *inode = 0;
	struct super_block *sb = 0;
	struct library_key key = {};
	READ(inode, file->f_inode);
	READ(sb, inode->i_sb);
	READ(key.inode, inode->i_ino);
	READ(key.device, sb->s_dev);
	if (!key.inode || bpf_map_lookup_elem(&libraries, &key))
		return 0;
	bpf_map_update_elem(&mapping, &id, &key, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_mmap")
int on_mmap_exit(struct sys_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct library_key *key = bpf_map_lookup_elem(&mapping, &id);
	if (!key)
		return 0;
	struct ev_library *e = 0;
	if ((u64)ctx->ret < (u64)-4095) {
		e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
		if (!e)
			count(LOST_CONTROL);
	}
	if (e) {
		e->h.ts = bpf_ktime_get_ns();
		e->h.type = EV_LIBRARY;
		e->h.pid = id >> 32;
		e->inode = key->inode;
		e->device = key->device;
		e->address = ctx->ret;
		e->pad = 0;
		bpf_ringbuf_submit(e, RB_FORCE_WAKEUP);
	}
	bpf_map_delete_elem(&mapping, &id);
	return 0;
}
