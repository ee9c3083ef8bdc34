/* SPDX-License-Identifier: MIT */
/*
 * Fixed-size objects: a free list, a live count, and freeing at the end of the turn.  The live
 * counts are the books that must balance at exit.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab {
	const char *name;		/* for the books */
	size_t      size;		/* of one object */
	size_t      live;		/* taken and not yet given */
	void       *free;		/* free list */
	void       *given;		/* given this turn, not to be reused before slab_reap */
	void       *blocks;		/* for slab_fini */
	struct slab *next;		/* all slabs, see slab_books */
};

/* name must outlive the slab; size is rounded up for alignment. */
void slab_init(struct slab *, const char *name, size_t size);
/* Frees all blocks.  No object may be in use. */
void slab_fini(struct slab *);
/* A zeroed object; never NULL. */
void *slab_take(struct slab *);
/* The object's memory stays readable until slab_reap: a late look does no harm. */
void slab_give(struct slab *, void *);
/* Ends the turn: what was given may be taken again (and is poisoned in sanitizer builds). */
void slab_reap(struct slab *);
/* slab_reap of every slab. */
void slab_reap_all(void);
/* Sum of live objects over all slabs; logs each slab that is not at zero. */
size_t slab_books(void);

#endif
