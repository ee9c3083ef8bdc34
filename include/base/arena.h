/* SPDX-License-Identifier: MIT */
/*
 * Bump memory that dies at once: one per configuration, one per exchange.  Allocation does not
 * fail (the process ends when memory is out); what can be large is bounded by its caller.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

struct arena;

/* An empty arena whose first block holds about first bytes (header included). */
struct arena *arena_new(size_t first);
/* Frees all memory taken from it; NULL is fine. */
void arena_free(struct arena *);
/* Forgets everything taken but keeps the first block. */
void arena_reset(struct arena *);
/* Uninitialised / zeroed memory, aligned for any object; n 0 gives a valid pointer. */
void *arena_alloc(struct arena *, size_t n);
void *arena_zalloc(struct arena *, size_t n);
/* A copy of the slice, with a terminator behind it that the length does not count. */
struct str arena_dup(struct arena *, struct str);
struct str arena_printf(struct arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct str arena_vprintf(struct arena *, const char *fmt, va_list);
/* Bytes held from the system, for accounting. */
size_t arena_size(const struct arena *);

#endif
