/* SPDX-License-Identifier: MIT */
/*
 * For tests/blackbox/f_cache/json_key.py: reads texts, each behind its length (four bytes, the lowest
 * first), and writes a line for each: the canonical text in hex, or "! " and why it has none.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "cache/cache_json.h"

enum { TEXT_MAX = 4 * 1024 * 1024 };

static bool
read_text(char *text, size_t *len)
{
	unsigned char head[4];

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
		return false;
	*len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	check(*len <= TEXT_MAX);
	return fread(text, 1, *len, stdin) == *len;
}

int
main(void)
{
	static const struct str ignore[] = { { "user", 4 }, { "stream_options", 14 } };
	char *text = malloc(TEXT_MAX), *out;
	size_t len, out_len, i;
	enum cache_why why;

	check(text != NULL);
	while (read_text(text, &len)) {
		/* A copy of its own, so that a sanitizer sees a byte read behind it. */
		char *copy = malloc(len + (len == 0));

		check(copy != NULL);
		for (i = 0; i < len; i++)
			copy[i] = text[i];
		why = cache_json_canonical(str_make(copy, len), ignore, 2, &out, &out_len);
		free(copy);
		if (why != CACHE_WHY_NONE)
			printf("! %.*s", STR_ARG(cache_why_word(why)));
		for (i = 0; i < out_len; i++)
			printf("%02x", (unsigned char)out[i]);
		putchar('\n');
		free(out);
	}
	free(text);
	return 0;
}
