/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* SQL over UNIX sockets, which no cgroup program sees: what their clients' system calls hand over. A connection is known by
 * the path that its server is bound to, or by its first bytes; one that begins otherwise is forgotten after a few looks. The key
 * is the socket's inode, so descriptors may be duplicated and inherited.
 *
 * Calls on sockets are everybody's, and a tracepoint costs even those whom it does not concern. So the programs for them
 * are attached when the first socket with a database's name is there (EV_DATABASE); those of read and write, which standard
 * input and output need too, always are. */
#include "stdio.h"

enum { E2BIG = 7, MOST_PATH = 108, MOST_LEFT = 512 };

/* The connection's name in events, beside the cookies of other sockets: they count from 1. */
INLINE u64 unix_number(u64 inode, const struct unix_socket *s)
{
	return 1ULL << 63 | (u64)(s->generation & 0x7fffffff) << 32 | (u32)inode;
}

INLINE int is_unix_stream(struct sock *sk)
{
	u16 family = 0, type = 0;
	READ(family, sk->__sk_common.skc_family);
	READ(type, sk->sk_type);
	return family == AF_UNIX && type == SOCK_STREAM;
}

/* Fills in the path that `sk` is bound to, if it is to one. Returns how the last part of it begins (and
 * what lies behind it in memory, if that is short). */
INLINE u64 path_of(struct sock *sk, struct unix_socket *s)
{
	struct unix_sock *u = (void *)sk;
	struct unix_address *address = 0;
	u64 begins = 0;
	s32 len = 0;
	if (!HAS(u->addr))
		return 0; /* AF_UNIX is a module whose types are not known */
	READ(address, u->addr);
	READ(len, address->len);
	const u8 *text = (void *)__builtin_preserve_access_index(&address->name[0].sun_path);
	u32 n = len - 2 /* sun_family */, last = 0;
	asm volatile("" : "+r"(n));
	if (n < 1 || n > MOST_PATH || bpf_probe_read_kernel(s->path, n, text))
		return 0;
	s->len = n;
	for (u32 i = 0; i < MOST_PATH; i++)
		if (s->path[i] == '/' || (!i && !s->path[i])) /* abstract names begin with a NUL */
			last = i + 1;
	bpf_probe_read_kernel(&begins, sizeof begins, text + last);
	return begins;
}

/* ".s.PGSQL.5432", "mysqld.sock", "mariadb.sock" and alike: what servers and their proxies call their sockets. */
INLINE int names_database(u64 begins)
{
	return begins == 0x4c515347502e732eULL || (begins & 0xffffffffffULL) == 0x6c7173796dULL /* "mysql" */ ||
	       (begins & 0xffffffffffffffULL) == 0x6264616972616dULL /* "mariadb" */;
}

/* There is a database's socket on this host. */
INLINE void say_database(void)
{
	struct config *cfg = config();
	struct head *e = cfg && !cfg->calls ? bpf_ringbuf_reserve(&control, sizeof *e, 0) : 0;
	if (!e)
		return; /* it is known, or the next one tells */
	e->ts = bpf_ktime_get_ns();
	e->type = EV_DATABASE;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_submit(e, RB_FORCE_WAKEUP);
}

SEC("tracepoint/syscalls/sys_enter_listen")
int on_listen(struct sys_enter *ctx)
{
	struct config *cfg = config();
	struct unix_socket bound = {};
	if (!cfg || cfg->calls)
		return 0;
	struct sock *sk = sock_of(ctx->args[0]);
	if (is_unix_stream(sk) && names_database(path_of(sk, &bound)))
		say_database();
	return 0;
}

/* Process `pid` has this connection. A connection that is known stays as it is with BPF_NOEXIST. */
INLINE void remember_unix(u64 inode, const struct unix_socket *s, u64 how, u32 pid)
{
	struct caller *k = bpf_map_lookup_elem(&callers, &pid), fresh = {.sockets = 1};
	if (bpf_map_update_elem(&unix_sockets, &inode, s, how) == -E2BIG) {
		count(UNIX_TABLE_FULL);
		return;
	}
	if (k)
		__sync_fetch_and_add(&k->sockets, 1);
	else
		bpf_map_update_elem(&callers, &pid, &fresh, BPF_ANY);
}

INLINE void forget_unix(u64 inode, u32 pid)
{
	struct caller *k = bpf_map_lookup_elem(&callers, &pid);
	bpf_map_delete_elem(&unix_sockets, &inode);
	if (k && k->sockets) /* too many is harmless: the process's calls are looked at for nothing */
		__sync_fetch_and_add(&k->sockets, -1);
}

INLINE void say_unix_closed(u64 inode, struct unix_socket *s, u32 pid)
{
	if (s->told) {
		struct ev_socket_closed *e = bpf_ringbuf_reserve(&control, sizeof *e, 0);
		if (!e)
			count(LOST_CONTROL);
		else {
			e->h.ts = bpf_ktime_get_ns();
			e->h.type = EV_SOCKET_CLOSED;
			e->h.pid = pid;
			e->cookie = unix_number(inode, s);
			e->c = (struct counts){.bytes_sent = s->bytes[1], .bytes_received = s->bytes[0]};
			bpf_ringbuf_submit(e, wake(&control, 1 << 20));
		}
	}
	forget_unix(inode, pid);
}

SEC("tracepoint/syscalls/sys_enter_connect")
int on_connect_enter(struct sys_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 fd = ctx->args[0];
	if (watched(id >> 32) && is_unix_stream(sock_of(fd)))
		bpf_map_update_elem(&connecting, &id, &fd, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_connect")
int on_connect_exit(struct sys_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 *fd = bpf_map_lookup_elem(&connecting, &id);
	if (!fd)
		return 0;
	struct file *file = file_of(*fd);
	struct config *cfg = config();
	u64 inode = inode_in(file);
	bpf_map_delete_elem(&connecting, &id);
	struct unix_socket fresh = {.generation = (u32)bpf_ktime_get_ns()};
	if (ctx->ret || !inode || !cfg)
		return 0;
	u64 name = path_of(peer_of(sock_in(file)), &fresh);
	fresh.flags = cfg->calls ? 0 : FLAG_LATE; /* calls may pass that are not seen */
	if (names_database(name)) {
		fresh.class = SQL;
		say_database();
	}
	remember_unix(inode, &fresh, BPF_ANY, id >> 32);
	return 0;
}

/* Every open file, while user space reads the iterator to its end: what is connected to a database already. A byte is written
 * for each socket that bears a database's name. The context's layout is stable. */
struct iter_meta { void *seq; };
struct iter_task_file { struct iter_meta *meta; struct task_struct *task; u64 fd; struct file *file; };

SEC("iter/task_file")
int on_each_file(struct iter_task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	s32 tgid = 0;
	if (!file || !task) /* the end */
		return 0;
	READ(tgid, task->tgid);
	struct sock *sk = sock_in(file);
	if (!is_unix_stream(sk))
		return 0;
	u64 inode = inode_in(file);
	u32 pid = tgid;
	struct unix_socket bound = {}, fresh = {.generation = (u32)bpf_ktime_get_ns(), .class = SQL, .flags = FLAG_LATE};
	int here = names_database(path_of(sk, &bound));
	if (names_database(path_of(peer_of(sk), &fresh))) {
		here = 1;
		if (watched(pid))
			remember_unix(inode, &fresh, BPF_NOEXIST, pid);
	}
	u8 one = 1;
	if (here)
		bpf_seq_write(ctx->meta->seq, &one, 1);
	return 0;
}

/* How many references there are to an open file: descriptors, and calls under way. Since 6.13 the kernel counts from 0. */
INLINE s64 references(struct file *file)
{
	struct file___since_6_13 *young = (void *)file;
	s64 n = 0;
	if (HAS(young->f_ref.refcnt.counter)) {
		READ(n, young->f_ref.refcnt.counter);
		return n + 1;
	}
	if (HAS(file->f_count.counter))
		READ(n, file->f_count.counter);
	return n;
}

SEC("tracepoint/syscalls/sys_enter_close")
int on_close(struct sys_enter *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct caller *k = bpf_map_lookup_elem(&callers, &pid);
	if (!k || !k->sockets)
		return 0;
	struct file *file = file_of(ctx->args[0]);
	u64 inode = inode_in(file);
	struct unix_socket *s = inode ? bpf_map_lookup_elem(&unix_sockets, &inode) : 0;
	if (s && references(file) == 1)
		say_unix_closed(inode, s, pid);
	return 0;
}

/* What descriptor `fd` of a process that ends is, if it is a connection. Not static: the verifier looks at it once. */
__attribute__((noinline)) int socket_left(u32 fd, u32 pid)
{
	struct file *file = file_of(fd);
	u64 inode = inode_in(file);
	struct unix_socket *s = inode ? bpf_map_lookup_elem(&unix_sockets, &inode) : 0;
	if (!s)
		return 0;
	s->left = s->leaver == pid ? s->left + 1 : 1;
	s->leaver = pid;
	if (references(file) == s->left)
		say_unix_closed(inode, s, pid);
	return 0;
}

/* The process ends with its connections open; of one with very many descriptors, with the first of them. */
INLINE void sockets_left(u32 pid)
{
	struct caller *k = bpf_map_lookup_elem(&callers, &pid);
	if (!k || !k->sockets)
		return;
	for (u32 fd = 0; fd < MOST_LEFT; fd++)
		socket_left(fd, pid);
}

INLINE int say_unix(u64 number, const struct unix_socket *s, const struct call *c, u32 pid)
{
	struct ev_unix *e = bpf_ringbuf_reserve(&payload, sizeof *e, 0); /* the ring of what follows it */
	if (!e) {
		count(LOST_PAYLOAD);
		return 0;
	}
	e->h.ts = c->ts;
	e->h.type = EV_UNIX;
	e->h.pid = pid;
	e->sock = number;
	e->len = s->len;
	e->pad = 0;
	__builtin_memcpy(e->path, s->path, sizeof e->path);
	bpf_ringbuf_submit(e, RB_NO_WAKEUP);
	return 1;
}

/* `n` bytes of a call of `total` went through the connection. 1, with its name in `c` and which bytes these are: copy them. */
INLINE int unix_place(struct call *c, u64 id, u64 n, u64 total, struct place *place, u32 *flags)
{
	u64 inode = c->tls;
	struct unix_socket *s = bpf_map_lookup_elem(&unix_sockets, &inode);
	if (!s)
		return 0;
	u32 written = !!c->written, pid = id >> 32;
	u64 number = unix_number(inode, s);
	place->seq = s->bytes[written];
	s->bytes[written] += n;
	if (s->class == UNKNOWN) {
		u8 first[8] = {};
		if (total >= 6 && !bpf_probe_read_user(first, 6, (void *)c->buffer) && begins_sql(first, total)) {
			s->class = SQL;
			say_database();
		} else {
			if (++s->misses >= LOOKS)
				forget_unix(inode, pid);
			return 0;
		}
	}
	u32 *verdict = bpf_map_lookup_elem(&flow_verdicts, &number);
	if (verdict && *verdict == IGNORE)
		return 0;
	if (!s->told)
		s->told = say_unix(number, s, c, pid);
	*flags = s->flags;
	c->tls = number;
	return 1;
}
