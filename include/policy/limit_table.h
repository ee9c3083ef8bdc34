/* SPDX-License-Identifier: MIT */
/*
 * A bounded table from a key's hash to its theoretical arrival time.  Private to policy/limit*.c,
 * its tests and its bench.
 */
#ifndef POLICY_LIMIT_TABLE_H
#define POLICY_LIMIT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limit_slot {
	uint64_t key;
	int64_t  tat;			/* nanoseconds, monotonic; 0: free */
};

struct limit_table {
	struct limit_slot *slots;
	uint64_t           n_buckets;
};

enum { LIMIT_BUCKET = 4 };		/* slots in a bucket: a line of the cache */

/* As many buckets as fit into so many bytes, which the system gives as they are touched; false when
 * it does not. */
bool limit_table_init(struct limit_table *, uint64_t bytes);
void limit_table_fini(struct limit_table *);
/*
 * The slot of the key, or the one that is to be its: a free one, else that of the key whose time is
 * the earliest, among the two buckets where the key may be.  Who takes it writes both members; it is
 * valid until the next slot is taken.
 */
struct limit_slot *limit_table_probe(struct limit_table *, uint64_t key);
/* Another size; what lies in the future of now is kept as far as there is room.  False, and nothing
 * has changed, when memory cannot be had. */
bool limit_table_resize(struct limit_table *, uint64_t bytes, int64_t now);

#endif
