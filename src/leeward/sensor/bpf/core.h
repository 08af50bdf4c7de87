/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The little that a BPF program needs of the kernel's and libbpf's headers, so that no header package is needed to
 * build. Helper numbers: include/uapi/linux/bpf.h. Kernel structs name only the fields that are read; the loader
 * relocates their offsets from the running kernel's BTF (CO-RE). */
#ifndef LEEWARD_CORE_H
#define LEEWARD_CORE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define CORE __attribute__((preserve_access_index))
#define HAS(field) __builtin_preserve_field_info(field, 2 /* BPF_FIELD_EXISTS */)
#define READ(dst, src) bpf_probe_read_kernel(&(dst), sizeof(dst), __builtin_preserve_access_index(&(src)))
/* Where a member lies in the running kernel's struct; the struct that holds `pointer` as that member. */
#define OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0 /* BPF_FIELD_BYTE_OFFSET */)
#define HOLDER(type, field, pointer) ((type *)((u64)(pointer) - OFFSET(type, field)))
#define bswap16(x) __builtin_bswap16(x)

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_LRU_HASH = 9, MAP_LPM_TRIE = 11, MAP_RINGBUF = 27 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_F_NO_PREALLOC = 1 };
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3 };
enum { RB_NO_WAKEUP = 1, RB_FORCE_WAKEUP = 2 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*bpf_get_current_uid_gid)(void) = (void *)15;
static long (*bpf_skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static u64 (*bpf_get_socket_cookie)(void *ctx) = (void *)46;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*bpf_send_signal_thread)(u32 signal) = (void *)117;
static long (*bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static long (*bpf_seq_write)(void *seq, const void *data, u32 len) = (void *)127;
static void *(*bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static long (*bpf_ringbuf_output)(void *ring, const void *data, u64 size, u64 flags) = (void *)130;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static u64 (*bpf_ringbuf_query)(void *ring, u64 flags) = (void *)134;
static struct task_struct *(*bpf_get_current_task_btf)(void) = (void *)158;
static u64 (*bpf_get_attach_cookie)(void *ctx) = (void *)174;

struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
/* The one place that knows the calling convention (System V x86-64). Another machine is another set of these. */
#define ARG1(ctx) ((ctx)->di)
#define ARG2(ctx) ((ctx)->si)
#define ARG3(ctx) ((ctx)->dx)
#define ARG4(ctx) ((ctx)->cx)
#define ARG5(ctx) ((ctx)->r8)
#define RESULT(ctx) ((ctx)->ax)

typedef struct { u32 val; } kuid_t;
typedef struct { u32 val; } kgid_t;
typedef struct { u64 val; } kernel_cap_t;
struct cred { kuid_t uid, euid; kgid_t gid; kernel_cap_t cap_effective; void *user_ns; } CORE;
struct file_system_type { const char *name; } CORE;
struct super_block { u32 s_dev; u64 s_magic; struct file_system_type *s_type; } CORE;
struct inode { u16 i_mode; u32 i_nlink, i_rdev; kuid_t i_uid; struct super_block *i_sb; u64 i_ino; void *i_private; } CORE;
struct qstr { u64 hash_len; const u8 *name; } CORE;
struct dentry { struct dentry *d_parent; struct qstr d_name; struct inode *d_inode; } CORE;
struct vfsmount { struct dentry *mnt_root; struct super_block *mnt_sb; } CORE;
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; } CORE;
struct path { struct vfsmount *mnt; struct dentry *dentry; } CORE;
struct fs_struct { struct path pwd; } CORE;
typedef struct { s64 counter; } atomic64_t;
struct file { struct inode *f_inode; struct path f_path; u32 f_mode; void *private_data; atomic64_t f_count; } CORE;
struct file_ref { atomic64_t refcnt; } CORE;
struct file___since_6_13 { struct file_ref f_ref; } CORE;
struct fdtable { u32 max_fds; struct file **fd; } CORE;
struct files_struct { struct fdtable *fdt; } CORE;
struct mm_struct { u64 arg_start, arg_end; } CORE;
typedef struct { s32 counter; } atomic_t;
struct signal_struct { atomic_t live; } CORE;
struct list_head { struct list_head *next; } CORE;
struct hlist_node { struct hlist_node *next; } CORE;
struct hlist_head { struct hlist_node *first; } CORE;
struct upid { s32 nr; void *ns; } CORE;
struct pid { u32 level; struct hlist_head tasks[4]; struct upid numbers[1]; } CORE;
struct thread_info { u32 status; } CORE;
struct kernfs_node { const char *name; } CORE;
struct cgroup { struct kernfs_node *kn; } CORE;
struct cgroup_subsys_state { struct cgroup *cgroup; } CORE;
struct css_set { struct cgroup_subsys_state *subsys[2]; struct cgroup *dfl_cgrp; } CORE;
struct task_struct {
	struct thread_info thread_info;
	s32 pid, tgid;
	struct task_struct *real_parent, *group_leader;
	u64 start_boottime;
	struct mm_struct *mm;
	struct files_struct *files;
	struct fs_struct *fs;
	struct signal_struct *signal;
	const struct cred *cred;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	struct list_head ptraced, ptrace_entry;
} CORE;
struct linux_binprm { const char *filename; struct file *file; } CORE;
struct kernel_siginfo { s32 si_signo, si_errno, si_code; } CORE;
struct proc_inode { struct pid *pid; struct inode vfs_inode; } CORE;
struct tty_struct { s32 index; } CORE;
struct tty_file_private { struct tty_struct *tty; } CORE;
struct proc_ns_operations { s32 type; } CORE;
struct ns_common { const struct proc_ns_operations *ops; u32 ns_type; } CORE; /* ns_type: since 6.18, before in ops */
struct in6_addr { u8 bytes[16]; };
struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport, skc_num;
	u16 skc_family;
	u8 skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
} CORE;
struct socket;
struct sock { struct sock_common __sk_common; u16 sk_protocol, sk_type; struct socket *sk_socket; } CORE;
struct sockaddr_un { u16 sun_family; u8 sun_path[108]; } CORE;
struct unix_address { s32 len; struct sockaddr_un name[0]; } CORE;
struct unix_sock { struct sock sk; struct unix_address *addr; struct sock *peer; } CORE;
struct socket { struct file *file; struct sock *sk; } CORE;

/* Stable user-space ABI: include/uapi/linux/bpf.h. */
struct bpf_sock {
	u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
	u16 dst_port, pad;
	u32 dst_ip4, dst_ip6[4], state;
	s32 rx_queue_mapping;
};
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
		ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id, family, remote_ip4, local_ip4,
		remote_ip6[4], local_ip6[4], remote_port, local_port, data_meta;
	u64 flow_keys, tstamp;
	u32 wire_len, gso_segs;
	struct bpf_sock *sk;
};
struct bpf_sock_ops { u32 op; };
struct bpf_sock_addr {
	u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
};

#endif
