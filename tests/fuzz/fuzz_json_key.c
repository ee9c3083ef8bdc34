/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as JSON: never a crash, and what has a canonical text keeps it when it is read back,
 * wrapped in an array, or put into an object before another member.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cache/cache_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
join(struct str a, struct str b, struct str c)
{
	char *p = malloc(a.len + b.len + c.len + 1);

	check(p != NULL);
	memcpy(p, a.p, a.len);
	if (b.len > 0)
		memcpy(p + a.len, b.p, b.len);
	memcpy(p + a.len + b.len, c.p, c.len);
	return str_make(p, a.len + b.len + c.len);
}

/* The canonical text as JSON again; never longer than six times it. */
static struct str
back_to_json(struct str s)
{
	static const char digits[] = "0123456789abcdef";
	char *out = malloc(6 * s.len + 1);
	bool quoted = false;
	size_t n = 0, i;

	check(out != NULL);
	for (i = 0; i < s.len; i++) {
		if (quoted && s.p[i] == '\\') {
			unsigned char c = (unsigned char)s.p[++i];

			out[n++] = '\\';
			if (c == '"' || c == '\\')
				out[n++] = (char)c;
			else {
				check(c >= 0x60 && c < 0x80);
				memcpy(out + n, "u00", 3);
				n += 3;
				out[n++] = digits[(c - 0x60) >> 4];
				out[n++] = digits[(c - 0x60) & 15];
			}
			continue;
		}
		quoted ^= s.p[i] == '"';
		if (quoted || s.p[i] != ',' || (s.p[i + 1] != ']' && s.p[i + 1] != '}'))
			out[n++] = s.p[i];
	}
	return str_make(out, n);
}

static void
expect(struct str text, struct str want)
{
	char *out;
	size_t len;
	enum cache_why why = cache_json_canonical(text, NULL, 0, &out, &len);

	/* A level more, a value more: that may be too much. */
	if (why != CACHE_WHY_JSON_DEEP && why != CACHE_WHY_JSON_COMPLEX) {
		check(why == CACHE_WHY_NONE);
		check(str_eq(str_make(out, len), want));
	}
	free(out);
}

/* text is made of a, canon and c; so must be its canonical text of its parts. */
static void
expect_within(struct str a, struct str text, struct str c, struct str want_a, struct str canon,
    struct str want_c)
{
	struct str whole = join(a, text, c), want = join(want_a, canon, want_c);

	expect(whole, want);
	free((void *)(uintptr_t)whole.p);
	free((void *)(uintptr_t)want.p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct str ignore[] = { { "user", 4 }, { "a\"\n", 3 } };
	struct str text = str_make((const char *)data, size), canon, json;
	char *out;
	size_t len;
	enum cache_why with, without;

	with = cache_json_canonical(text, ignore, 2, &out, &len);
	free(out);
	without = cache_json_canonical(text, NULL, 0, &out, &len);
	/* What is left out must be in order all the same; of two faults either may be told. */
	check((with == CACHE_WHY_NONE) == (without == CACHE_WHY_NONE));
	check((out == NULL) == (without != CACHE_WHY_NONE));
	if (without != CACHE_WHY_NONE)
		return 0;
	canon = str_make(out, len);
	json = back_to_json(canon);
	expect(json, canon);
	expect_within(STR(" [ "), text, STR(" ] "), STR("["), canon, STR(",]"));
	expect_within(STR("{\"z\":"), text, STR(",\"\\u0061\":1e1}"), STR("{\"a\":1e1,\"z\":"), canon,
	    STR(",}"));
	free((void *)(uintptr_t)json.p);
	free(out);
	return 0;
}
