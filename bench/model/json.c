/* SPDX-License-Identifier: MIT */
/* Just enough JSON: one pass that checks a text, then looking things up in what was checked. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

static const char *value(const char *p, const char *end, unsigned depth);

static const char *
space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The functions below give the end of what they read, or NULL when it is wrong. */

static const char *
string(const char *p, const char *end)
{
	int i;

	if (p == end || *p++ != '"')
		return NULL;
	for (; p < end && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		if (++p == end || *p == '\0' || strchr("\"\\/bfnrtu", *p) == NULL)
			return NULL;
		if (*p != 'u')
			continue;
		for (i = 0; i < 4; i++)
			if (++p == end || hex(*p) < 0)
				return NULL;
	}
	return p < end ? p + 1 : NULL;
}

static const char *
digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > start ? p : NULL;
}

static const char *
number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	p = p < end && *p == '0' ? p + 1 : digits(p, end);
	if (p != NULL && p < end && *p == '.')
		p = digits(p + 1, end);
	if (p != NULL && p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = digits(p, end);
	}
	return p;
}

static const char *
word(const char *p, const char *end, const char *want)
{
	size_t n = strlen(want);

	return (size_t)(end - p) >= n && memcmp(p, want, n) == 0 ? p + n : NULL;
}

/* A list or a map; is_map: with keys. */
static const char *
list(const char *p, const char *end, unsigned depth, bool is_map)
{
	char close = is_map ? '}' : ']';

	p = space(p + 1, end);
	if (p < end && *p == close)
		return p + 1;
	for (;;) {
		if (is_map) {
			p = string(p, end);
			if (p == NULL)
				return NULL;
			p = space(p, end);
			if (p == end || *p++ != ':')
				return NULL;
		}
		p = value(p, end, depth);
		if (p == NULL)
			return NULL;
		p = space(p, end);
		if (p == end)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
		p = space(p, end);
	}
}

static const char *
value(const char *p, const char *end, unsigned depth)
{
	p = space(p, end);
	if (p == end || depth == DEPTH_MAX)
		return NULL;
	switch (*p) {
	case '{':
	case '[':
		return list(p, end, depth + 1, *p == '{');
	case '"':
		return string(p, end);
	case 't':
		return word(p, end, "true");
	case 'f':
		return word(p, end, "false");
	case 'n':
		return word(p, end, "null");
	default:
		return number(p, end);
	}
}

bool
json_parse(const char *text, size_t n, struct json *out)
{
	const char *end = text + n;

	out->p = space(text, end);
	out->end = value(out->p, end, 0);
	return out->end != NULL && space(out->end, end) == end;
}

char
json_kind(const struct json *j)
{
	return *j->p == '-' || (*j->p >= '0' && *j->p <= '9') ? '0' : *j->p;
}

/* The value at p, which is known to be right. */
static struct json
take(const char *p, const char *end)
{
	struct json j;

	j.p = space(p, end);
	j.end = value(j.p, end, 0);
	return j;
}

bool
json_next(const struct json *from, struct json *it)
{
	bool is_map = json_kind(from) == '{';
	const char *p;

	if (it->p == NULL) {
		if (!is_map && json_kind(from) != '[')
			return false;
		p = space(from->p + 1, from->end);
		if (p == from->end - 1)
			return false;
	} else {
		p = space(it->end, from->end);
		if (*p != ',')
			return false;
		p = space(p + 1, from->end);
	}
	if (is_map)
		p = space(string(p, from->end), from->end) + 1;
	*it = take(p, from->end);
	return true;
}

bool
json_member(const struct json *object, const char *key, struct json *out)
{
	struct json it;
	const char *p;
	size_t n = strlen(key);
	bool found = false;

	if (json_kind(object) != '{')
		return false;
	p = space(object->p + 1, object->end);
	while (*p == '"') {
		it.p = p;
		it.end = string(p, object->end);
		p = space(it.end, object->end) + 1;
		if ((size_t)(it.end - it.p) == n + 2 && memcmp(it.p + 1, key, n) == 0) {
			*out = take(p, object->end);
			found = true;
		}
		p = space(take(p, object->end).end, object->end);
		if (*p == ',')
			p = space(p + 1, object->end);
	}
	return found;
}

static uint32_t
escape4(const char *p)
{
	return (uint32_t)(hex(p[0]) << 12 | hex(p[1]) << 8 | hex(p[2]) << 4 | hex(p[3]));
}

static char *
put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

char *
json_string(const struct json *j, size_t *n)
{
	static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
	const char *p = j->p + 1, *end = j->end - 1;
	char *text = xalloc((size_t)(j->end - j->p)), *to = text;
	uint32_t c, low;

	for (; p < end; p++) {
		if (*p != '\\') {
			*to++ = *p;
		} else if (*++p != 'u') {
			*to++ = strchr(names, *p) != NULL ? bytes[strchr(names, *p) - names] : *p;
		} else {
			c = escape4(p + 1);
			p += 4;
			if (c >= 0xd800 && c < 0xdc00 && end - p > 6 && p[1] == '\\' && p[2] == 'u') {
				low = escape4(p + 3);
				if (low >= 0xdc00 && low < 0xe000) {
					c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				}
			}
			to = put_utf8(to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
		}
	}
	*to = '\0';
	*n = (size_t)(to - text);
	return text;
}

bool
json_unsigned(const struct json *j, uint64_t *out)
{
	const char *p = j->p;

	if (json_kind(j) != '0' || j->end - p > 18)
		return false;
	for (*out = 0; p < j->end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		*out = *out * 10 + (uint64_t)(*p - '0');
	}
	return true;
}

void
json_put(struct evbuffer *out, const char *s, size_t n, bool as_bytes)
{
	static const char hexes[] = "0123456789abcdef";
	char part[4096];
	size_t i, k = 0;
	unsigned char c;

	part[k++] = '"';
	for (i = 0; i < n; i++) {
		if (k + 8 > sizeof(part)) {
			evbuffer_add(out, part, k);
			k = 0;
		}
		c = (unsigned char)s[i];
		if (c == '"' || c == '\\') {
			part[k++] = '\\';
			part[k++] = (char)c;
		} else if (c < 0x20 || (as_bytes && c >= 0x7f)) {
			memcpy(part + k, "\\u00", 4);
			part[k + 4] = hexes[c >> 4];
			part[k + 5] = hexes[c & 15];
			k += 6;
		} else {
			part[k++] = (char)c;
		}
	}
	part[k++] = '"';
	evbuffer_add(out, part, k);
}
