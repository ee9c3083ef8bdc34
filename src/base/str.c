/* SPDX-License-Identifier: MIT */
/* Slices: compare, trim, split, numbers.  No allocation anywhere; nothing here can fail but by value. */
#include "base/str.h"

#include <string.h>

struct str
str_of(const char *s)
{
	return str_make(s, s != NULL ? strlen(s) : 0);
}

struct str
str_make(const char *p, size_t len)
{
	struct str s = { p, len };

	return s;
}

bool
str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

bool
str_eq_nocase(struct str a, struct str b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++)
		if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_first(s, prefix.len), prefix);
}

bool
str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix);
}

ptrdiff_t
str_find(struct str s, char c)
{
	const char *p = s.len > 0 ? memchr(s.p, c, s.len) : NULL;

	return p != NULL ? p - s.p : -1;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.len > 0 && is_blank(s.p[0]))
		s = str_from(s, 1);
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

struct str
str_from(struct str s, size_t n)
{
	if (s.p == NULL || n == 0)
		return s;
	if (n > s.len)
		n = s.len;
	return str_make(s.p + n, s.len - n);
}

struct str
str_first(struct str s, size_t n)
{
	return str_make(s.p, n < s.len ? n : s.len);
}

bool
str_next_item(struct str *rest, struct str *item)
{
	bool quoted = false;
	size_t i;

	while (rest->len > 0) {
		for (i = 0; i < rest->len && (quoted || rest->p[i] != ','); i++) {
			if (rest->p[i] == '"')
				quoted = !quoted;
			else if (quoted && rest->p[i] == '\\' && i + 1 < rest->len)
				i++;
		}
		*item = str_trim(str_first(*rest, i));
		*rest = str_from(*rest, i + 1);
		quoted = false;
		if (item->len > 0)
			return true;
	}
	return false;
}

bool
str_to_uint(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	size_t i;

	if (s.len == 0)
		return false;
	for (i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*out = n;
	return true;
}

struct unit {
	struct str name;
	uint64_t   factor;
};

/* The digits before the unit's name times its factor; rows with a longer name come first. */
static bool
with_unit(struct str s, const struct unit *units, size_t n, uint64_t *out)
{
	uint64_t value;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!str_ends(s, units[i].name))
			continue;
		s.len -= units[i].name.len;
		if (!str_to_uint(s, INT64_MAX / units[i].factor, &value))
			return false;
		*out = value * units[i].factor;
		return true;
	}
	return false;
}

bool
str_to_msec(struct str s, msec *out)
{
	static const struct unit units[] = {
		{ { "ms", 2 }, 1 }, { { "s", 1 }, 1000 }, { { "m", 1 }, 60 * 1000 },
		{ { "h", 1 }, 60 * 60 * 1000 }, { { "d", 1 }, 24 * 60 * 60 * 1000 },
	};
	uint64_t value;

	if (str_eq(s, STR("0"))) {
		*out = 0;
		return true;
	}
	if (!with_unit(s, units, sizeof(units) / sizeof(units[0]), &value))
		return false;
	*out = (msec)value;
	return true;
}

bool
str_to_size(struct str s, uint64_t *out)
{
	static const struct unit units[] = {
		{ { "KB", 2 }, 1 << 10 }, { { "MB", 2 }, 1 << 20 }, { { "GB", 2 }, 1 << 30 },
		{ { "TB", 2 }, (uint64_t)1 << 40 }, { { "B", 1 }, 1 },
	};

	return str_to_uint(s, INT64_MAX, out) ||
	    with_unit(s, units, sizeof(units) / sizeof(units[0]), out);
}

int
str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* Finaliser of MurmurHash3 (64 bit): every input bit reaches every output bit. */
static uint64_t
mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

uint64_t
str_hash(struct str s, uint64_t seed)
{
	uint64_t h = seed ^ (s.len * 0x9e3779b97f4a7c15ULL), word;
	size_t n = s.len;
	const char *p = s.p;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = mix(h ^ word) + 0x9e3779b97f4a7c15ULL;
	}
	if (n > 0) {
		word = 0;
		memcpy(&word, p, n);
		h ^= word;
	}
	return mix(h);
}

enum { WORD_MAX = 64 };

/* Distance of Levenshtein, with the exchange of two neighbours as one step (Damerau). */
unsigned
str_distance(struct str a, struct str b)
{
	unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2], *spare;
	size_t i, j;

	if (a.len > WORD_MAX || b.len > WORD_MAX)
		return WORD_MAX;
	for (j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (i = 1; i <= a.len; i++) {
		row[0] = (unsigned)i;
		for (j = 1; j <= b.len; j++) {
			bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
			unsigned best = last[j - 1] + !same;

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
			    lower(a.p[i - 2]) == lower(b.p[j - 1]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[b.len];
}
