/* SPDX-License-Identifier: MIT */
/*
 * Slices: a pointer and a length, never a terminator.  A slice owns nothing; whoever made the
 * bytes says how long they live.  Used by every layer.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t msec;			/* a duration or a monotonic time in milliseconds */

struct str {
	const char *p;			/* may be NULL when len is 0 */
	size_t      len;
};

#define STR(literal)	((struct str){ (literal), sizeof(literal) - 1 })
#define STR_NONE	((struct str){ NULL, 0 })
/* For printf("%.*s"). */
#define STR_ARG(s)	(int)(s).len, (s).p

/* The slice of a C string (the terminator left out); NULL gives an empty slice. */
struct str str_of(const char *);
struct str str_make(const char *, size_t len);
/* Bytewise equality; the second form folds ASCII letters. */
bool str_eq(struct str, struct str);
bool str_eq_nocase(struct str, struct str);
bool str_starts(struct str, struct str prefix);
bool str_ends(struct str, struct str suffix);
/* Index of the first byte c, or -1. */
ptrdiff_t str_find(struct str, char c);
/* Without spaces and tabs at both ends (OWS of RFC 9110 5.6.3). */
struct str str_trim(struct str);
/* From byte n on; an empty slice when n is past the end. */
struct str str_from(struct str, size_t n);
struct str str_first(struct str, size_t n);
/*
 * Takes the next element of a comma-separated list off *rest, trimmed; false at the end.
 * Empty elements are skipped (RFC 9110 5.6.1.2).  Commas in quoted strings do not split.
 */
bool str_next_item(struct str *rest, struct str *item);
/* Decimal digits only, whole slice, at most max: else false and *out untouched. */
bool str_to_uint(struct str, uint64_t max, uint64_t *out);
/* "250ms" "10s" "5m" "1h" "0"; whole slice.  A bare number other than 0 is refused. */
bool str_to_msec(struct str, msec *out);
/* "64KB" "100MB" "1GB" "512B" or bytes without a unit; powers of 1024; false on overflow too. */
bool str_to_size(struct str, uint64_t *out);
/* Order of bytes, as memcmp, the shorter first when one is the prefix of the other. */
int str_cmp(struct str, struct str);
/* 64-bit hash of bytes (not for hostile keys across processes: seed it). */
uint64_t str_hash(struct str, uint64_t seed);
/* Edit distance of two short words (at most 64 bytes each), for "did you mean". */
unsigned str_distance(struct str, struct str);

#endif
