/* SPDX-License-Identifier: MIT */
/* Hash map with linear probing; a removed key leaves a tombstone until the next growth. */
#include "base/table.h"

#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct table_slot {
	struct str key;
	uint64_t   hash;
	void      *value;		/* NULL with a hash: tombstone */
	bool       is_used;
};

/* One for the process: keys may come from clients, who shall not be able to make them collide. */
static uint64_t
seed(void)
{
	static uint64_t value;

	if (value == 0 && getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
		value = (uint64_t)(uintptr_t)&value;
	return value | 1;
}

void
table_fini(struct table *t)
{
	free(t->slots);
	memset(t, 0, sizeof(*t));
}

/* The slot of key, or the one where it would go; NULL only when there are no slots. */
static struct table_slot *
find(const struct table *t, struct str key, uint64_t hash)
{
	struct table_slot *s, *grave = NULL;
	size_t i;

	if (t->cap == 0)
		return NULL;
	for (i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
		s = &t->slots[i];
		if (!s->is_used)
			return grave != NULL ? grave : s;
		if (s->value == NULL) {
			if (grave == NULL)
				grave = s;
		} else if (s->hash == hash && str_eq(s->key, key))
			return s;
	}
}

static void
grow(struct table *t)
{
	struct table_slot *old = t->slots;
	size_t old_cap = t->cap, i;

	/* Doubled when keys fill it, made anew at the same size when tombstones do. */
	if (t->cap == 0)
		t->cap = 16;
	else if (t->n * 2 >= t->cap)
		t->cap *= 2;
	t->slots = calloc(t->cap, sizeof(*t->slots));
	check(t->slots != NULL);
	t->filled = t->n;
	for (i = 0; i < old_cap; i++)
		if (old[i].value != NULL)
			*find(t, old[i].key, old[i].hash) = old[i];
	free(old);
}

void *
table_get(const struct table *t, struct str key)
{
	struct table_slot *s = find(t, key, str_hash(key, seed()));

	return s != NULL ? s->value : NULL;
}

void *
table_set(struct table *t, struct str key, void *value)
{
	uint64_t hash = str_hash(key, seed());
	struct table_slot *s;
	void *old;

	check(value != NULL);
	if ((t->filled + 1) * 4 > t->cap * 3)
		grow(t);
	s = find(t, key, hash);
	old = s->value;
	if (old == NULL) {
		t->n++;
		if (!s->is_used)
			t->filled++;
	}
	s->is_used = true;
	s->key = key;
	s->hash = hash;
	s->value = value;
	return old;
}

void *
table_remove(struct table *t, struct str key)
{
	struct table_slot *s = find(t, key, str_hash(key, seed()));
	void *old;

	if (s == NULL || s->value == NULL)
		return NULL;
	old = s->value;
	s->value = NULL;
	s->key = STR_NONE;
	t->n--;
	return old;
}

bool
table_next(const struct table *t, size_t *pos, struct str *key, void **value)
{
	for (; *pos < t->cap; ++*pos) {
		const struct table_slot *s = &t->slots[*pos];

		if (s->value == NULL)
			continue;
		*key = s->key;
		*value = s->value;
		++*pos;
		return true;
	}
	return false;
}
