/* SPDX-License-Identifier: MIT */
/* What a misspelt word might have been. */
#include "base/suggest.h"

#include "base/arena.h"

enum { FAR = 3 };

bool
suggest_is_near(struct str word, struct str name)
{
	unsigned distance = str_distance(word, name);
	uint64_t number;

	/* Short words and numbers are near to everything. */
	return distance < FAR && distance * 2 < name.len && !str_to_uint(word, UINT64_MAX, &number);
}

struct str
suggest_nearest(struct str word, const struct str *names, size_t n)
{
	struct str nearest = STR_NONE;
	unsigned best = FAR;
	size_t i;

	for (i = 0; i < n; i++)
		if (suggest_is_near(word, names[i]) && str_distance(word, names[i]) < best) {
			nearest = names[i];
			best = str_distance(word, names[i]);
		}
	return nearest;
}

struct str
suggest_name(struct arena *arena, struct str word, const struct str *names, size_t n)
{
	struct str all = STR(""), nearest = suggest_nearest(word, names, n);
	size_t i;

	if (nearest.len > 0)
		return arena_printf(arena, "did you mean %.*s?", STR_ARG(nearest));
	for (i = 0; i < n; i++)
		all = arena_printf(arena, "%.*s%s%.*s", STR_ARG(all), i > 0 ? ", " : "",
		    STR_ARG(names[i]));
	return arena_printf(arena, "known are %.*s", STR_ARG(all));
}
