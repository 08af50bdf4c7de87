/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Processes come and go; libraries are mapped into them. */
#include "deny.h"
#include "hold.h"

INLINE struct task_struct *current_task(void) { return (struct task_struct *)bpf_get_current_task(); }

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
	struct ev_process *e = bpf_ringbuf_reserve(&control, __builtin_offsetof(struct ev_process, text), 0);
	if (!e) {
		count(LOST_CONTROL);
		return 0;
	}
	describe(e, child, EV_FORK);
	e->ppid = p;
	bpf_ringbuf_submit(e, wake(&control, 1 << 20));
	return 0;
}

INLINE struct file *file_of(u32 fd)
{
	struct task_struct *task = current_task();
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **slots = 0, *file = 0;
	u32 max = 0;
	READ(files, task->files);
	READ(table, files->fdt);
	READ(max, table->max_fds);
	READ(slots, table->fd);
	if (fd >= max || bpf_probe_read_kernel(&file, sizeof file, slots + fd))
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
	if ((mode & 0170000) != 0010000 /* FIFO */ && (mode & 0170000) != 0140000 /* socket */)
		return 0;
	READ(number, inode->i_ino);
	return number;
}

/* The same of the one behind a descriptor of the current process. */
INLINE u64 pipe_of(u32 fd) { return inode_in(file_of(fd)); }

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

struct sys_enter { u64 common; s64 nr; u64 args[6]; };
struct sys_exit { u64 common; s64 nr, ret; };

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
