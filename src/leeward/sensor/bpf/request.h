/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Enough of HTTP and SQL to know a request line or a connection's first message when a buffer begins with one. */
#ifndef LEEWARD_REQUEST_H
#define LEEWARD_REQUEST_H
#include "maps.h"

enum { LINE = 96 };

INLINE int is_http(const u8 *p)
{
	u32 w = p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
	return w == 0x54534f50 /* POST */ || w == 0x20544547 /* "GET " */ || w == 0x20545550 /* "PUT " */ ||
	       w == 0x50545448 /* HTTP */ || w == 0x44414548 /* HEAD */ || w == 0x43544150 /* PATC */ ||
	       w == 0x454c4544 /* DELE */ || w == 0x4954504f /* OPTI */ || w == 0x4e4e4f43 /* CONN */ || w == 0x20495250 /* "PRI ", HTTP/2 */;
}

/* A segment that is PostgreSQL's startup message or SSLRequest, or MySQL's greeting (packet 0, protocol 10, a version). */
INLINE int begins_sql(const u8 *p, u32 size)
{
	u32 be = (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3], le = p[0] | p[1] << 8 | (u32)p[2] << 16;
	int postgres = be == size && ((p[4] == 0 && p[5] == 3) || (p[4] == 0x04 && p[5] == 0xd2));
	return postgres || (le + 4 == size && p[3] == 0 && p[4] == 10 && p[5] >= '0' && p[5] <= '9');
}

/* A dormant connection is worth a look again only when a request with a body begins. */
INLINE int wakes(const u8 *p)
{
	u32 w = p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
	return (w == 0x54534f50 && p[4] == ' ') || w == 0x20545550;
}

/* FNV-1a over the request line up to '?', CR or LINE bytes, mixed with the connection's name. sensor/verdicts.py
 * computes the same. */
INLINE u64 line_hash(const u8 *line, u32 len, u64 conn)
{
	u64 h = 0xcbf29ce484222325ULL ^ conn;
	for (u32 i = 0; i < LINE; i++) {
		if (i >= len || line[i] == '?' || line[i] == '\r')
			break;
		h = (h ^ line[i]) * 0x100000001b3ULL;
	}
	return h;
}
#endif
