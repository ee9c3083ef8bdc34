/* SPDX-License-Identifier: MIT */
/*
 * A bounded table of arrival times, 16 bytes a key, that never refuses for lack of room.
 *
 * A key may be in two buckets, which its hash names; a new key takes the slot with the earliest time
 * of both.  A time that has passed says nothing that an absent key does not, so what is forgotten is
 * the longest idle of eight, and who has asked much lately (his time is late) stays, whatever flood
 * of new keys comes by.  Where a key may be cannot be chosen by who sends it: the hash is keyed.
 */
#include "policy/limit_table.h"

#include <sys/mman.h>

#include "base/log.h"

static const uint64_t BUCKET_BYTES = LIMIT_BUCKET * sizeof(struct limit_slot);

bool
limit_table_init(struct limit_table *t, uint64_t bytes)
{
	void *p;

	t->n_buckets = bytes / BUCKET_BYTES;
	check(t->n_buckets > 0);
	p = mmap(NULL, t->n_buckets * BUCKET_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->slots = p != MAP_FAILED ? p : NULL;
	return t->slots != NULL;
}

void
limit_table_fini(struct limit_table *t)
{
	if (t->slots != NULL)
		munmap(t->slots, t->n_buckets * BUCKET_BYTES);
	t->slots = NULL;
}

/* Spreads the high bits of a hash over the buckets, however many there are. */
static struct limit_slot *
bucket_of(const struct limit_table *t, uint64_t hash)
{
	return t->slots + (uint64_t)((unsigned __int128)hash * t->n_buckets >> 64) * LIMIT_BUCKET;
}

struct limit_slot *
limit_table_probe(struct limit_table *t, uint64_t key)
{
	struct limit_slot *a = bucket_of(t, key), *b = bucket_of(t, key << 32 | key >> 32), *first = a;
	unsigned i;

	for (i = 0; i < LIMIT_BUCKET; i++) {
		if (a[i].key == key)
			return &a[i];
		if (b[i].key == key)
			return &b[i];
		if (a[i].tat < first->tat)
			first = &a[i];
		if (b[i].tat < first->tat)
			first = &b[i];
	}
	return first;
}

bool
limit_table_resize(struct limit_table *t, uint64_t bytes, int64_t now)
{
	struct limit_table other;
	struct limit_slot *to;
	uint64_t i;

	if (!limit_table_init(&other, bytes))
		return false;
	for (i = 0; i < t->n_buckets * LIMIT_BUCKET; i++) {
		if (t->slots[i].tat <= now)
			continue;
		to = limit_table_probe(&other, t->slots[i].key);
		if (to->tat < t->slots[i].tat)
			*to = t->slots[i];
	}
	limit_table_fini(t);
	*t = other;
	return true;
}
