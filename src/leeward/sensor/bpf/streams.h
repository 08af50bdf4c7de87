/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What a descriptor of the current process is: standard streams, at exec and when they become something else. */
#ifndef LEEWARD_STREAMS_H
#define LEEWARD_STREAMS_H
#include "tasks.h"

enum { NULL_DEVICE = 1 << 20 | 3, TTY_MAJOR = 4, TTYAUX_MAJOR = 5, PTS_FIRST = 136, PTS_LAST = 143 };

INLINE u64 inode_of_socket(struct sock *sk)
{
	struct socket *socket = 0;
	struct file *file = 0;
	READ(socket, sk->sk_socket);
	READ(file, socket->file);
	return inode_in(file);
}

INLINE void stream_of_socket(struct stream *s, struct file *file)
{
	struct sock *sk = sock_in(file);
	u16 family = 0;
	READ(family, sk->__sk_common.skc_family);
	s->kind = STREAM_OTHER;
	if (family == AF_INET || family == AF_INET6) {
		s->kind = STREAM_SOCKET;
		READ(s->number, sk->__sk_common.skc_cookie.counter);
	} else if (family == AF_UNIX) {
		struct sock *peer = peer_of(sk);
		s->kind = STREAM_UNIX;
		s->number = inode_in(file);
		s->peer = peer ? inode_of_socket(peer) : 0;
	}
}

/* Not static: the verifier looks at it once. */
__attribute__((noinline)) int stream_kind_of_device(u32 device)
{
	u32 major = device >> 20;
	if (device == NULL_DEVICE)
		return STREAM_NULL;
	return major == TTY_MAJOR || major == TTYAUX_MAJOR || (major >= PTS_FIRST && major <= PTS_LAST) ? STREAM_TTY : STREAM_OTHER;
}

INLINE void describe_stream(struct stream *s, u32 fd)
{
	struct file *file = file_of(fd);
	struct inode *inode = 0;
	u32 device = 0;
	u16 mode = 0;
	s->kind = STREAM_NONE;
	s->number = s->peer = s->pad = 0;
	if (!file)
		return;
	READ(inode, file->f_inode);
	READ(mode, inode->i_mode);
	switch (mode & S_IFMT) {
	case S_IFSOCK:
		stream_of_socket(s, file);
		return;
	case S_IFIFO:
		s->kind = STREAM_PIPE;
		READ(s->number, inode->i_ino);
		return;
	case S_IFCHR:
		READ(device, inode->i_rdev);
		s->kind = stream_kind_of_device(device);
		s->number = s->kind == STREAM_TTY ? device & 0xfffff : 0;
		return;
	}
	s->kind = (mode & S_IFMT) == S_IFREG ? STREAM_FILE : STREAM_OTHER;
}
#endif
