/* SPDX-License-Identifier: MIT */
/*
 * Fixed-size objects.  A given object rests until the turn ends, then goes to the free list; in
 * sanitizer builds it is poisoned there, so that a later look is seen.
 */
#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)	ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n)	ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)	((void)(p), (void)(n))
#define UNPOISON(p, n)	((void)(p), (void)(n))
#endif

enum {
	BLOCK_BYTES = 64 * 1024,
	HEADER = 8			/* of a link; what is in objects needs no more to be aligned */
};

/* Links stand before the object, so that poison covers all of it. */
struct link {
	struct link *next;
};

static struct slab *all;		/* registered by slab_init, for the books and the reaping */
static bool any_given;			/* a turn that closed nothing reaps nothing */

static struct link *
link_of(void *object)
{
	return (struct link *)(void *)((char *)object - HEADER);
}

void
slab_init(struct slab *s, const char *name, size_t size)
{
	memset(s, 0, sizeof(*s));
	s->name = name;
	s->size = (size + HEADER - 1) / HEADER * HEADER;
	s->next = all;
	all = s;
}

void
slab_fini(struct slab *s)
{
	struct slab **at;
	struct link *block, *next;

	for (at = &all; *at != NULL && *at != s; at = &(*at)->next)
		;
	if (*at == s)
		*at = s->next;
	for (block = s->blocks; block != NULL; block = next) {
		next = block->next;
		UNPOISON(block, BLOCK_BYTES);
		free(block);
	}
	memset(s, 0, sizeof(*s));
}

static void
add_block(struct slab *s)
{
	size_t stride = HEADER + s->size;
	struct link *block = malloc(BLOCK_BYTES), *l;
	char *p;

	check(block != NULL && stride <= BLOCK_BYTES - HEADER);
	block->next = s->blocks;
	s->blocks = block;
	for (p = (char *)block + HEADER; p + stride <= (char *)block + BLOCK_BYTES; p += stride) {
		l = (struct link *)(void *)p;
		l->next = s->free;
		s->free = l;
		POISON(p + HEADER, s->size);
	}
}

void *
slab_take(struct slab *s)
{
	struct link *l;
	void *object;

	check(s->size > 0);
	if (s->free == NULL)
		add_block(s);
	l = s->free;
	s->free = l->next;
	s->live++;
	object = (char *)l + HEADER;
	UNPOISON(object, s->size);
	memset(object, 0, s->size);
	return object;
}

void
slab_give(struct slab *s, void *object)
{
	struct link *l = link_of(object);

	check(s->live > 0);
	s->live--;
	l->next = s->given;
	s->given = l;
	any_given = true;
}

void
slab_reap(struct slab *s)
{
	struct link *l;

	while ((l = s->given) != NULL) {
		s->given = l->next;
		l->next = s->free;
		s->free = l;
		POISON((char *)l + HEADER, s->size);
	}
}

void
slab_reap_all(void)
{
	struct slab *s;

	if (!any_given)
		return;
	any_given = false;
	for (s = all; s != NULL; s = s->next)
		slab_reap(s);
}

size_t
slab_books(void)
{
	struct slab *s;
	size_t sum = 0;

	for (s = all; s != NULL; s = s->next) {
		if (s->live > 0)
			log_error("books: %zu of %s still live", s->live, s->name);
		sum += s->live;
	}
	return sum;
}
