/* SPDX-License-Identifier: MIT */
/*
 * What a client gets of a stored whole answer: all of it, 304, one range, or 416 (RFC 9110 13, 14).
 * Pure; the caller sends it.
 */
#ifndef CACHE_CACHE_ANSWER_H
#define CACHE_CACHE_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache_policy.h"

struct arena;

enum cache_answer_kind {
	CACHE_ANSWER_WHOLE,		/* as stored */
	CACHE_ANSWER_NOT_MODIFIED,	/* 304, no body */
	CACHE_ANSWER_RANGE,		/* 206, bytes first..last */
	CACHE_ANSWER_UNSATISFIABLE	/* 416, no body */
};

struct cache_answer {
	enum cache_answer_kind kind;
	uint64_t first, last;		/* of RANGE: both inclusive */
};

enum { CACHE_LENGTH_UNKNOWN = -1 };

/*
 * length: bytes of the stored body, CACHE_LENGTH_UNKNOWN while it is still coming (then no range is
 * cut).  Only a stored 200 to GET or HEAD is ever answered by anything but the whole.
 */
struct cache_answer cache_answer_of(const struct cache_plan *, const struct message *request,
    const struct message *stored, int64_t length);
/* Content-Range: "bytes 0-99/1234" of RANGE; of UNSATISFIABLE with an asterisk for the range. */
struct str cache_answer_content_range(struct arena *, const struct cache_answer *, uint64_t length);
/* Whether a stored field is in the 304 as well (RFC 9110 15.4.5): all but those of the body. */
bool cache_answer_in_304(enum field_id);

#endif
