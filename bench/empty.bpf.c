/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The floor: a probe that does nothing. */
#define SEC(name) __attribute__((section(name), used))
SEC("uprobe/entry") int on_entry(void *ctx) { return 0; }
SEC("uretprobe/done") int on_done(void *ctx) { return 0; }
char LICENSE[] SEC("license") = "GPL";
