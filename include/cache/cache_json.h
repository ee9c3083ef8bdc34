/* SPDX-License-Identifier: MIT */
/*
 * The one text of a JSON value (RFC 8259): two texts have the same canonical text exactly when
 * their values are equal.  Pure, bounded in depth and time, for whatever bytes a client sends.
 *
 * Equal means: the same strings after escapes, code point for code point; numbers of the same
 * value as decimals, whatever their notation (1, 1.0, 10e-1; never by way of a double, so
 * 10000000000000001 and 10000000000000002 differ); objects of the same members in any order.
 *
 * What two programs might read differently has no canonical text: a member twice, a lone surrogate,
 * invalid UTF-8, a byte order mark, -0, numbers beyond 100 digits or 1e300, what is not JSON at
 * all, anything behind the value.
 */
#ifndef CACHE_CACHE_JSON_H
#define CACHE_CACHE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "cache/cache_policy.h"

/*
 * Writes the canonical text to *out (malloc, *out_len bytes; the caller frees it), without the
 * members of ignore where the value is an object: its own ones, not those deeper in.  Else
 * CACHE_WHY_JSON_* or NO_MEMORY and *out is NULL.  An ignored member must be in order all the same.
 */
enum cache_why cache_json_canonical(struct str text, const struct str *ignore, size_t n_ignore,
    char **out, size_t *out_len);

#endif
