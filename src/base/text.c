/* SPDX-License-Identifier: MIT */
/*
 * Text that grows.
 *
 * One block that doubles: what was written is one slice at any time, and is moved rarely.
 */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { TEXT_FIRST = 4096 };

void
text_fini(struct text *t)
{
	free(t->p);
	memset(t, 0, sizeof(*t));
}

char *
text_room(struct text *t, size_t n)
{
	n += n == 0;
	if (t->cap - t->len >= n)
		return t->p + t->len;
	while (t->cap - t->len < n)
		t->cap = t->cap > 0 ? t->cap * 2 : TEXT_FIRST;
	t->p = realloc(t->p, t->cap);
	check(t->p != NULL);
	return t->p + t->len;
}

void
text_took(struct text *t, size_t n)
{
	check(n <= t->cap - t->len);
	t->len += n;
}

void
text_add(struct text *t, struct str s)
{
	if (s.len == 0)
		return;
	memcpy(text_room(t, s.len), s.p, s.len);
	t->len += s.len;
}

void
text_add_uint(struct text *t, uint64_t n)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	text_add(t, str_make(p, (size_t)(digits + sizeof(digits) - p)));
}

void
text_printf(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	check(n >= 0);
	va_start(args, fmt);
	vsnprintf(text_room(t, (size_t)n + 1), (size_t)n + 1, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

size_t
text_utf8_length(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf;
	size_t len, i;

	if (s.len == 0 || p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > s.len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static char *
put_unicode(char *out, unsigned c)
{
	static const char digits[] = "0123456789abcdef";
	int shift;

	*out++ = '\\';
	*out++ = 'u';
	for (shift = 12; shift >= 0; shift -= 4)
		*out++ = digits[c >> shift & 15];
	return out;
}

void
text_add_json(struct text *t, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	char *start = text_room(t, s.len * 6 + 2), *out = start;
	size_t i, len;

	*out++ = '"';
	for (i = 0; i < s.len; i++) {
		unsigned char c = p[i];

		if (c == '"' || c == '\\') {
			*out++ = '\\';
			*out++ = (char)c;
		} else if (c >= 0x20 && c < 0x7f)
			*out++ = (char)c;
		else if (c < 0x80)
			out = put_unicode(out, c);
		else if ((len = text_utf8_length(str_from(s, i))) > 0) {
			memcpy(out, p + i, len);
			out += len;
			i += len - 1;
		} else
			out = put_unicode(out, 0xfffd);
	}
	*out++ = '"';
	t->len += (size_t)(out - start);
}
