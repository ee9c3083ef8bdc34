/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): what a balancer writes before
 * the first byte of a connection to say whose it is.  Pure: bytes in, addresses out, and back.
 */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/str.h"

enum {
	PROXY_HEADER_MAX = 16 * 1024,	/* of one that is read, its TLVs included */
	PROXY_HEADER_ROOM = 52		/* of one that is written */
};

enum proxy_header_verdict { PROXY_HEADER_MORE, PROXY_HEADER_DONE, PROXY_HEADER_BAD };

struct proxy_header {
	size_t      len;		/* of the header; what is behind it is the client's */
	bool        is_set;		/* it tells addresses; else (LOCAL, UNKNOWN, a unix socket) none */
	struct ip   source, dest;
	uint16_t    source_port, dest_port;
	const char *why;		/* of PROXY_HEADER_BAD */
};

/* in is all that has come.  MORE: it may be one when more comes, at most PROXY_HEADER_MAX in all. */
enum proxy_header_verdict proxy_header_parse(struct str in, struct proxy_header *out);
/*
 * A header of version 2 into buf, which has PROXY_HEADER_ROOM; its length.  Without a source it is
 * LOCAL; without a destination that is all zeros.
 */
size_t proxy_header_write(char *buf, const struct ip *source, uint16_t source_port,
    const struct ip *dest, uint16_t dest_port);

#endif
