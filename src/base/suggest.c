/* SPDX-License-Identifier: MIT */
/* What a misspelt word might have been. */
#include "base/suggest.h"

#include "base/arena.h"

struct str
suggest_name(struct arena *arena, struct str word, const struct str *names, size_t n)
{
	struct str all = STR("");
	unsigned best = 3, d;
	size_t i, at = n;
	uint64_t number;

	/* Short words and numbers are near to everything. */
	for (i = 0; i < n && !str_to_uint(word, UINT64_MAX, &number); i++) {
		d = str_distance(word, names[i]);
		if (d < best && d * 2 < names[i].len) {
			best = d;
			at = i;
		}
	}
	if (at < n)
		return arena_printf(arena, "did you mean %.*s?", STR_ARG(names[at]));
	for (i = 0; i < n; i++)
		all = arena_printf(arena, "%.*s%s%.*s", STR_ARG(all), i > 0 ? ", " : "",
		    STR_ARG(names[i]));
	return arena_printf(arena, "known are %.*s", STR_ARG(all));
}
