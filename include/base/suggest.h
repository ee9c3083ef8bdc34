/* SPDX-License-Identifier: MIT */
/* What a misspelt word might have been, for messages about configurations. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct arena;

/* Whether the word may be a slip for the name. */
bool suggest_is_near(struct str word, struct str name);
/* The name that may be meant, empty when none is near. */
struct str suggest_nearest(struct str word, const struct str *names, size_t n);
/* "did you mean X?" for the nearest of the names; when none is near "known are X, Y, Z". */
struct str suggest_name(struct arena *, struct str word, const struct str *names, size_t n);

#endif
