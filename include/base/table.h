/* SPDX-License-Identifier: MIT */
/*
 * Hash map from a slice to a pointer.  Keys are not copied: they live in the value or in an arena.
 * Open addressing, grows by doubling, seeded per process.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct table_slot;
struct table {
	struct table_slot *slots;
	size_t             n;		/* keys in it */
	size_t             cap;
	size_t             filled;	/* keys and tombstones */
};

/* A zeroed struct table is empty and valid. */
void table_fini(struct table *);
/* The value of key, or NULL. */
void *table_get(const struct table *, struct str key);
/* Sets key to value (not NULL); returns the value it had, or NULL. */
void *table_set(struct table *, struct str key, void *value);
/* Removes key; returns the value it had, or NULL. */
void *table_remove(struct table *, struct str key);
/* Walks: start with *pos 0; false at the end.  The table may not be changed meanwhile. */
bool table_next(const struct table *, size_t *pos, struct str *key, void **value);

#endif
