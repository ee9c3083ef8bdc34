/* SPDX-License-Identifier: MIT */
/*
 * Bump memory.  Blocks are chained newest first; each new one is at least twice the last, so that an
 * arena of n bytes costs O(log n) calls of malloc.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct block {
	struct block *next;
	size_t        size;		/* of bytes */
	size_t        used;
	alignas(16) char bytes[];
};

struct arena {
	struct block *top;
	size_t        total;
	struct block  first;		/* lies in the same malloc */
};

enum { ALIGN = 16, FIRST_MIN = 256, BLOCK_MAX = 1 << 20 };

struct arena *
arena_new(size_t first)
{
	struct arena *a;

	if (first < FIRST_MIN)
		first = FIRST_MIN;
	a = malloc(first);
	check(a != NULL);
	a->first.next = NULL;
	a->first.size = first - sizeof(*a);
	a->first.used = 0;
	a->top = &a->first;
	a->total = first;
	return a;
}

void
arena_reset(struct arena *a)
{
	struct block *b;

	while ((b = a->top) != &a->first) {
		a->top = b->next;
		a->total -= b->size + sizeof(*b);
		free(b);
	}
	a->first.used = 0;
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	arena_reset(a);
	free(a);
}

static void
grow(struct arena *a, size_t n)
{
	size_t size = a->top->size * 2;
	struct block *b;

	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < n)
		size = n;
	b = malloc(sizeof(*b) + size);
	check(b != NULL);
	b->size = size;
	b->used = 0;
	b->next = a->top;
	a->top = b;
	a->total += sizeof(*b) + size;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->top;
	void *p;

	check(n < SIZE_MAX / 2);
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (n > b->size - b->used) {
		grow(a, n);
		b = a->top;
	}
	p = b->bytes + b->used;
	b->used += n;
	return p;
}

void *
arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	memset(p, 0, n);
	return p;
}

struct str
arena_dup(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len > 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return str_make(p, s.len);
}

struct str
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;
	char *p, probe[1];
	int n;

	check(fmt != NULL);
	va_copy(again, ap);
	n = vsnprintf(probe, sizeof(probe), fmt, again);
	va_end(again);
	check(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return str_make(p, (size_t)n);
}

struct str
arena_printf(struct arena *a, const char *fmt, ...)
{
	struct str s;
	va_list ap;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

size_t
arena_size(const struct arena *a)
{
	return a->total;
}
