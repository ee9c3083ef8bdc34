/* SPDX-License-Identifier: MIT */
/*
 * From a JSON text to the one text of its value, in one pass over the bytes.
 *
 * The canonical text is JSON with no blanks, members in the order of their names, numbers as
 * digits and a power of ten, strings as they are but for three kinds of bytes: '"' and '\' behind a
 * '\', and a control byte c as '\' and c + 0x60.  Each member and element ends with a comma.  It is
 * made in place behind what was made before; an object whose members came in another order is put
 * right when it closes.  No tree, no numbers of the machine, no recursion deeper than DEPTH_MAX.
 *
 * Time is bounded by what is counted: bytes, values, members (they are sorted) and bytes moved.
 *
 * Why no library: cJSON 1.7 reads numbers as doubles (10000000000000001 and ...2 become one), cuts
 * a string at \u0000, keeps a member twice and takes 01, 1. and invalid UTF-8.  jansson 2.14
 * refuses well, but rounds fractions (0.1 and 0.100000000000000000000000000001 become one), makes
 * -0 be 0, and takes 42 us for a chat of 2 KB and 20 ms for one of 1 MB.
 */
#include "cache/cache_json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
	DEPTH_MAX = 64,
	MEMBERS_MAX = 4096,		/* of one object */
	ALL_MEMBERS_MAX = 16384,	/* of all together */
	VALUES_MAX = 200000,
	MOVED_MAX = 8 * 1024 * 1024,
	IGNORE_MAX = 32,
	DIGITS_MAX = 100,
	EXPONENT_MAX = 300
};

/* A member of an object that is still open: where its text lies in out. */
struct member {
	uint64_t prefix;		/* of its name, for a quick comparison */
	uint32_t at, name_len, len;
};

struct canon {
	const unsigned char *p, *end;
	char          *out;
	size_t         len, cap;
	struct member *members;		/* a stack: those of the outer objects below */
	size_t         n_members, cap_members;
	unsigned       depth;
	size_t         seen_members, seen_values, moved;
	const struct str *ignore;
	size_t         n_ignore;
	enum cache_why why;		/* the first that was wrong */
};

static bool value(struct canon *);

static bool
fail(struct canon *c, enum cache_why why)
{
	if (c->why == CACHE_WHY_NONE)
		c->why = why;
	return false;
}

static bool
invalid(struct canon *c)
{
	return fail(c, CACHE_WHY_JSON_INVALID);
}

/* --- writing: never more than twice the source (see cache_json_canonical)  */

static void
put(struct canon *c, const void *bytes, size_t n)
{
	check(n <= c->cap - c->len);
	memcpy(c->out + c->len, bytes, n);
	c->len += n;
}

static void
put_byte(struct canon *c, char byte)
{
	check(c->len < c->cap);
	c->out[c->len++] = byte;
}

/* --- strings --------------------------------------------------------------------------------- */

/* Bytes that stand for themselves: neither control, '"', '\' nor above ASCII. */
static bool
is_plain(unsigned char b)
{
	return b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
}

/* The high bit of each byte of w that is zero (exact for the lowest such byte). */
#define BYTES(b)	(0x0101010101010101ULL * (b))
static uint64_t
zero_bytes(uint64_t w)
{
	return (w - BYTES(1)) & ~w & BYTES(0x80);
}

/* The first byte that is not plain, eight at a time. */
static const unsigned char *
skip_plain(const unsigned char *p, const unsigned char *end)
{
	uint64_t w, special;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		special = (w & BYTES(0x80)) | zero_bytes(w ^ BYTES('"')) |
		    zero_bytes(w ^ BYTES('\\')) | ((w - BYTES(0x20)) & ~w & BYTES(0x80));
		if (special != 0)
			break;
	}
	while (p < end && is_plain(*p))
		p++;
	return p;
}

/* Length of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates); 0 when it is none. */
static size_t
utf8_len(const unsigned char *p, const unsigned char *end)
{
	size_t room = (size_t)(end - p);
	unsigned char a = p[0];

	if (a >= 0xc2 && a <= 0xdf)
		return room >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((a & 0xf0) == 0xe0) {
		if (room < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
		    (a == 0xe0 && p[1] < 0xa0) || (a == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (a < 0xf0 || a > 0xf4 || room < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
	    (p[3] & 0xc0) != 0x80 || (a == 0xf0 && p[1] < 0x90) || (a == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

static bool
hex4(struct canon *c, unsigned *out)
{
	unsigned i, n = 0;

	if (c->end - c->p < 4)
		return false;
	for (i = 0; i < 4; i++) {
		unsigned char b = c->p[i], letter = b | 0x20;

		if (b >= '0' && b <= '9')
			n = n << 4 | (b - '0');
		else if (letter >= 'a' && letter <= 'f')
			n = n << 4 | (letter - 'a' + 10U);
		else
			return false;
	}
	c->p += 4;
	*out = n;
	return true;
}

static void
put_code_point(struct canon *c, unsigned cp)
{
	char b[4];

	if (cp < 0x20 || cp == '"' || cp == '\\') {
		put_byte(c, '\\');
		put_byte(c, (char)(cp < 0x20 ? cp + 0x60 : cp));
	} else if (cp < 0x80)
		put_byte(c, (char)cp);
	else if (cp < 0x800) {
		b[0] = (char)(0xc0 | cp >> 6);
		b[1] = (char)(0x80 | (cp & 0x3f));
		put(c, b, 2);
	} else if (cp < 0x10000) {
		b[0] = (char)(0xe0 | cp >> 12);
		b[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		b[2] = (char)(0x80 | (cp & 0x3f));
		put(c, b, 3);
	} else {
		b[0] = (char)(0xf0 | cp >> 18);
		b[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		b[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		b[3] = (char)(0x80 | (cp & 0x3f));
		put(c, b, 4);
	}
}

/* Behind "\u".  A surrogate comes in a pair or is nothing that can be compared. */
static bool
unicode_escape(struct canon *c)
{
	unsigned cp, low;

	if (!hex4(c, &cp))
		return invalid(c);
	if (cp >= 0xdc00 && cp <= 0xdfff)
		return invalid(c);
	if (cp >= 0xd800 && cp <= 0xdbff) {
		if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
			return invalid(c);
		c->p += 2;
		if (!hex4(c, &low) || low < 0xdc00 || low > 0xdfff)
			return invalid(c);
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	}
	put_code_point(c, cp);
	return true;
}

/* Behind "\". */
static bool
escape(struct canon *c)
{
	static const unsigned char bytes[256] = { ['"'] = '"', ['\\'] = '\\', ['/'] = '/',
		['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t' };

	if (c->p == c->end)
		return invalid(c);
	if (*c->p == 'u') {
		c->p++;
		return unicode_escape(c);
	}
	if (bytes[*c->p] == 0)
		return invalid(c);
	put_code_point(c, bytes[*c->p++]);
	return true;
}

/* At '"'; past its end. */
static bool
string(struct canon *c)
{
	const unsigned char *from = c->p;
	size_t n;

	c->p++;
	for (;;) {
		c->p = skip_plain(c->p, c->end);
		if (c->p == c->end || *c->p < 0x20)
			return invalid(c);
		if (*c->p >= 0x80) {
			n = utf8_len(c->p, c->end);
			if (n == 0)
				return invalid(c);
			c->p += n;
			continue;
		}
		if (*c->p == '"')
			break;
		if (from < c->p)
			put(c, from, (size_t)(c->p - from));
		c->p++;
		if (!escape(c))
			return false;
		from = c->p;
	}
	c->p++;
	put(c, from, (size_t)(c->p - from));
	return true;
}

/* --- numbers --------------------------------------------------------------------------------- */

static bool
take(struct canon *c, char byte)
{
	if (c->p == c->end || *c->p != (unsigned char)byte)
		return false;
	c->p++;
	return true;
}

static bool
take_digits(struct canon *c, struct str *digits)
{
	const unsigned char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	*digits = str_make((const char *)from, (size_t)(c->p - from));
	return digits->len > 0;
}

/* [eE][+-]?[0-9]+, or nothing.  Beyond EXPONENT_MAX it only has to stay there. */
static bool
take_exponent(struct canon *c, long *exponent)
{
	struct str digits;
	bool minus;
	size_t i;

	*exponent = 0;
	if (!take(c, 'e') && !take(c, 'E'))
		return true;
	minus = take(c, '-');
	if (!minus)
		take(c, '+');
	if (!take_digits(c, &digits))
		return false;
	for (i = 0; i < digits.len; i++)
		if (*exponent < 100000000)
			*exponent = *exponent * 10 + (digits.p[i] - '0');
	if (minus)
		*exponent = -*exponent;
	return true;
}

static void
put_exponent(struct canon *c, long exponent)
{
	char buf[16];
	unsigned n = 0, e;

	put_byte(c, 'e');
	if (exponent < 0)
		put_byte(c, '-');
	for (e = (unsigned)labs(exponent); e > 0; e /= 10)
		buf[n++] = (char)('0' + e % 10);
	while (n > 0)
		put_byte(c, buf[--n]);
}

/* Digits without zeros at either end, and the power of ten that their last one stands for. */
static bool
put_number(struct canon *c, bool minus, struct str whole, struct str fraction, long exponent)
{
	size_t from, n;
	long size;

	exponent -= (long)fraction.len;
	if (minus)
		put_byte(c, '-');
	from = c->len;
	if (whole.p[0] != '0')
		put(c, whole.p, whole.len);
	else
		while (fraction.len > 0 && fraction.p[0] == '0')
			fraction = str_make(fraction.p + 1, fraction.len - 1);
	if (fraction.len > 0)
		put(c, fraction.p, fraction.len);
	for (n = c->len - from; n > 0 && c->out[from + n - 1] == '0'; n--)
		exponent++;
	c->len = from + n;
	/* -0 is 0 to some and not to others; what no double holds is infinite to some. */
	size = exponent + (long)n - 1;
	if ((n == 0 && minus) || n > DIGITS_MAX || size > EXPONENT_MAX || size < -EXPONENT_MAX)
		return fail(c, CACHE_WHY_JSON_NUMBER);
	if (n == 0)
		put_byte(c, '0');
	else if (exponent != 0)
		put_exponent(c, exponent);
	return true;
}

static bool
number(struct canon *c)
{
	struct str whole, fraction = STR_NONE;
	bool minus = take(c, '-');
	long exponent;

	/* No zero before other digits. */
	if (!take_digits(c, &whole) || (whole.len > 1 && whole.p[0] == '0'))
		return invalid(c);
	if (take(c, '.') && !take_digits(c, &fraction))
		return invalid(c);
	if (!take_exponent(c, &exponent))
		return invalid(c);
	return put_number(c, minus, whole, fraction, exponent);
}

/* --- objects and arrays ---------------------------------------------------------------------- */

static void
skip_blanks(struct canon *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

/* Whether a name as written in out, its quotes left out, is the name. */
static bool
name_is(struct str written, struct str name)
{
	size_t i, n = 0;

	for (i = 0; i < written.len; i++, n++) {
		char b = written.p[i];

		if (b == '\\') {
			b = written.p[++i];
			if (b != '"' && b != '\\')
				b = (char)(b - 0x60);
		}
		if (n >= name.len || name.p[n] != b)
			return false;
	}
	return n == name.len;
}

/* The index of the ignored name, or n_ignore. */
static size_t
find_ignored(const struct canon *c, const struct member *m)
{
	struct str written = str_make(c->out + m->at + 1, m->name_len - 2);
	size_t i;

	for (i = 0; i < c->n_ignore; i++)
		if (name_is(written, c->ignore[i]))
			break;
	return i;
}

static bool
push(struct canon *c, const struct member *m)
{
	size_t cap = c->cap_members * 2 + 32;
	struct member *grown;

	if (c->n_members == c->cap_members) {
		grown = realloc(c->members, cap * sizeof(*m));
		if (grown == NULL)
			return fail(c, CACHE_WHY_NO_MEMORY);
		c->members = grown;
		c->cap_members = cap;
	}
	c->members[c->n_members++] = *m;
	return true;
}

/* Big-endian, so that numbers compare as bytes do. */
static uint64_t
prefix_of(const char *name, size_t len)
{
	uint64_t prefix = 0;
	size_t i;

	for (i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < len ? (unsigned char)name[i] : 0);
	return prefix;
}

/* No written name begins with another: each ends with the quote that it holds nowhere else bare. */
static int
compare(const void *a, const void *b, void *out)
{
	const struct member *x = a, *y = b;
	const char *text = out;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return str_cmp(str_make(text + x->at, x->name_len), str_make(text + y->at, y->name_len));
}

/* The texts of the members, which begin at from, in the order of the array. */
static bool
reorder(struct canon *c, const struct member *members, size_t n, size_t from)
{
	size_t size = c->len - from, i, to = 0;
	char *scratch;

	c->moved += size;
	if (c->moved > MOVED_MAX)
		return fail(c, CACHE_WHY_JSON_COMPLEX);
	scratch = malloc(size + 1);
	if (scratch == NULL)
		return fail(c, CACHE_WHY_NO_MEMORY);
	for (i = 0; i < n; i++) {
		memcpy(scratch + to, c->out + members[i].at, members[i].len);
		to += members[i].len;
	}
	check(to == size);
	memcpy(c->out + from, scratch, size);
	free(scratch);
	return true;
}

/* The members from first on, whose texts begin at from: in order, none twice. */
static bool
sort_members(struct canon *c, size_t first, size_t from)
{
	size_t n = c->n_members - first, i;
	struct member *m;
	bool in_order = true;
	int order;

	if (n < 2)
		return true;
	m = c->members + first;
	for (i = 1; i < n && in_order; i++) {
		order = compare(&m[i - 1], &m[i], c->out);
		if (order == 0)
			return fail(c, CACHE_WHY_JSON_DUPLICATE);
		in_order = order < 0;
	}
	if (in_order)
		return true;
	qsort_r(m, n, sizeof(*m), compare, c->out);
	for (i = 1; i < n; i++)
		if (compare(&m[i - 1], &m[i], c->out) == 0)
			return fail(c, CACHE_WHY_JSON_DUPLICATE);
	return reorder(c, m, n, from);
}

/* One member, at its name; *m is filled. */
static bool
read_member(struct canon *c, struct member *m)
{
	if (++c->seen_members > ALL_MEMBERS_MAX)
		return fail(c, CACHE_WHY_JSON_COMPLEX);
	m->at = (uint32_t)c->len;
	if (c->p == c->end || *c->p != '"' || !string(c))
		return invalid(c);
	m->name_len = (uint32_t)(c->len - m->at);
	m->prefix = prefix_of(c->out + m->at, m->name_len);
	skip_blanks(c);
	if (!take(c, ':'))
		return invalid(c);
	put_byte(c, ':');
	if (!value(c))
		return false;
	put_byte(c, ',');
	m->len = (uint32_t)(c->len - m->at);
	return true;
}

/* Of the outermost object: members that do not count are taken back, but may not come twice. */
static bool
is_dropped(struct canon *c, const struct member *m, uint32_t *seen)
{
	size_t i;

	if (c->depth > 1 || c->n_ignore == 0)
		return false;
	i = find_ignored(c, m);
	if (i == c->n_ignore)
		return false;
	if ((*seen >> i & 1) != 0)
		fail(c, CACHE_WHY_JSON_DUPLICATE);
	*seen |= (uint32_t)1 << i;
	c->len = m->at;
	return true;
}

/* Behind '{'. */
static bool
object(struct canon *c)
{
	size_t first = c->n_members, from;
	struct member m;
	uint32_t seen = 0;

	put_byte(c, '{');
	from = c->len;
	skip_blanks(c);
	if (!take(c, '}'))
		for (;;) {
			skip_blanks(c);
			if (!read_member(c, &m))
				return false;
			if (!is_dropped(c, &m, &seen) && !push(c, &m))
				return false;
			if (c->n_members - first > MEMBERS_MAX)
				return fail(c, CACHE_WHY_JSON_COMPLEX);
			if (take(c, '}'))
				break;
			if (!take(c, ','))
				return invalid(c);
		}
	if (c->why != CACHE_WHY_NONE || !sort_members(c, first, from))
		return false;
	c->n_members = first;
	put_byte(c, '}');
	return true;
}

/* Behind '['. */
static bool
array(struct canon *c)
{
	put_byte(c, '[');
	skip_blanks(c);
	if (!take(c, ']'))
		for (;;) {
			if (!value(c))
				return false;
			put_byte(c, ',');
			if (take(c, ']'))
				break;
			if (!take(c, ','))
				return invalid(c);
		}
	put_byte(c, ']');
	return true;
}

static bool
nested(struct canon *c)
{
	bool is_object = *c->p++ == '{', ok;

	if (++c->depth > DEPTH_MAX)
		return fail(c, CACHE_WHY_JSON_DEEP);
	ok = is_object ? object(c) : array(c);
	c->depth--;
	return ok;
}

static bool
literal(struct canon *c, struct str word)
{
	if ((size_t)(c->end - c->p) < word.len || memcmp(c->p, word.p, word.len) != 0)
		return invalid(c);
	c->p += word.len;
	put(c, word.p, word.len);
	return true;
}

static bool
scalar(struct canon *c)
{
	switch (*c->p) {
	case '"':
		return string(c);
	case 't':
		return literal(c, STR("true"));
	case 'f':
		return literal(c, STR("false"));
	case 'n':
		return literal(c, STR("null"));
	default:
		return number(c);
	}
}

/* With the blanks around it. */
static bool
value(struct canon *c)
{
	bool ok;

	skip_blanks(c);
	if (c->p == c->end)
		return invalid(c);
	if (++c->seen_values > VALUES_MAX)
		return fail(c, CACHE_WHY_JSON_COMPLEX);
	ok = *c->p == '{' || *c->p == '[' ? nested(c) : scalar(c);
	skip_blanks(c);
	return ok;
}

enum cache_why
cache_json_canonical(struct str text, const struct str *ignore, size_t n_ignore, char **out,
    size_t *out_len)
{
	struct canon c = {
		.p = (const unsigned char *)text.p, .ignore = ignore,
		.n_ignore = n_ignore < IGNORE_MAX ? n_ignore : IGNORE_MAX,
	};

	*out = NULL;
	*out_len = 0;
	if (text.len == 0)
		return CACHE_WHY_JSON_INVALID;
	if (text.len > UINT32_MAX / 4)
		return CACHE_WHY_JSON_COMPLEX;
	c.end = c.p + text.len;
	/* The worst is [1.5], which becomes [15e-1,]: a comma and two bytes more for each five. */
	c.cap = 2 * text.len + 16;
	c.out = malloc(c.cap);
	if (c.out == NULL)
		return CACHE_WHY_NO_MEMORY;
	if (value(&c) && c.p != c.end)
		invalid(&c);
	free(c.members);
	if (c.why != CACHE_WHY_NONE) {
		free(c.out);
		return c.why;
	}
	*out = c.out;
	*out_len = c.len;
	return CACHE_WHY_NONE;
}
