/* SPDX-License-Identifier: MIT */
/*
 * Cache-Control as numbers and flags (RFC 9111 5.2), of requests and answers alike.  Pure; takes
 * whatever stands there: what is unclear is read as the one that stores less and serves fresher.
 */
#ifndef CACHE_CACHE_CONTROL_H
#define CACHE_CACHE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "http/message.h"

enum {
	CACHE_ABSENT = -1,		/* the directive is not there */
	CACHE_SECONDS_MAX = 2147483647	/* more is that much (RFC 9111 1.2.2) */
};

/* Seconds, CACHE_ABSENT where the directive is not there. */
struct cache_control {
	bool present;			/* a Cache-Control field, or Pragma in its place */
	bool no_store, no_cache, no_transform, only_if_cached;
	bool is_public, is_private;
	bool must_revalidate, proxy_revalidate, must_understand, immutable;
	/*
	 * Twice: the smaller counts (min_fresh: the larger).  No number: 0 (RFC 9111 4.2.1), for
	 * min_fresh the largest, and the stale-* ones 0.
	 */
	int32_t max_age, s_maxage, min_fresh, stale_while_revalidate, stale_if_error;
	int32_t max_stale;		/* CACHE_SECONDS_MAX also without a value: any age */
};

/*
 * All Cache-Control fields combined.  no-cache="..." and private="..." are read as the plain ones
 * (RFC 9111 5.2.2.4 allows it).  A request without Cache-Control but with Pragma: no-cache has
 * no_cache (RFC 9111 5.4).
 */
struct cache_control cache_control_of(const struct message *);
/* That of a message which says nothing. */
struct cache_control cache_control_none(void);

#endif
