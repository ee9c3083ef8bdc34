/* SPDX-License-Identifier: MIT */
/* The value of Cache-Status (RFC 9211): what the cache did, in one line. */
#ifndef CACHE_CACHE_STATUS_H
#define CACHE_CACHE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache_policy.h"

struct arena;

struct cache_status {
	bool hit;			/* served from here, the server not asked for it */
	bool has_ttl;
	int64_t ttl;			/* of a hit: seconds, negative when it was stale */
	enum cache_forward forward;	/* of what is no hit */
	int  forward_status;		/* what the server said, if not what the client got */
	bool stored;
	bool collapsed;			/* followed the fetch of another request */
	enum cache_why why;		/* detail= */
};

/*
 * "weir; hit; ttl=376", "weir; fwd=uri-miss; stored; collapsed", "weir; fwd=bypass; detail=expect".
 * It is the last member of the list: append it as a field behind those that came (RFC 9211 2).
 */
struct str cache_status_text(struct arena *, const struct cache_status *);

#endif
