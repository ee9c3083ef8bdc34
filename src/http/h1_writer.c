/* SPDX-License-Identifier: MIT */
/*
 * Heads to bytes.  The framing comes from message->framing alone, whatever fields say, and no byte
 * that ends a line comes out of a value: what is written is one message and not two, wherever its
 * parts are from (fields set by configuration may hold what a client sent).
 */
#include "http/h1_writer.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"

enum { FRAMING_MAX = sizeof("Content-Length: 18446744073709551615\r\n") - 1 };

static bool
is_framing(const struct field *f)
{
	return f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_TRANSFER_ENCODING;
}

static size_t
fields_size(const struct field *fields, size_t n)
{
	size_t size = 0, i;

	for (i = 0; i < n; i++)
		size += fields[i].name.len + fields[i].value.len + 4;
	return size;
}

size_t
h1_head_size(const struct message *m)
{
	size_t start = m->is_request ? m->method_name.len + m->target.len + sizeof("  HTTP/1.1\r\n")
	    : sizeof("HTTP/1.1 200 \r\n") + m->reason.len;

	return start + fields_size(m->fields, m->n_fields) + FRAMING_MAX + 2;
}

static char *
put(char *p, struct str s)
{
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	return p + s.len;
}

/* Not 0 when one of eight bytes is less than 14: CR, LF, NUL, or what is as rare. */
static inline uint64_t
low_bytes(const char *p)
{
	const uint64_t each = 0x0101010101010101ULL;
	uint64_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return (bytes - each * 14) & ~bytes & each * 0x80;
}

/* Eight bytes a step: every byte of every head passes here. */
static bool
is_clean(struct str s)
{
	uint64_t low = 0;
	size_t i;

	for (i = 0; i + 8 <= s.len; i += 8)
		low |= low_bytes(s.p + i);
	if (s.len >= 8)
		return (low | low_bytes(s.p + s.len - 8)) == 0;
	for (; i < s.len; i++)
		low |= (unsigned char)s.p[i] < 14;
	return low == 0;
}

/* CR, LF and NUL become spaces. */
static char *
put_clean(char *p, struct str s)
{
	size_t i;

	if (is_clean(s))
		return put(p, s);
	for (i = 0; i < s.len; i++) {
		char c = s.p[i];

		p[i] = c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
	}
	return p + s.len;
}

static char *
put_field(char *p, const struct field *f)
{
	p = put_clean(p, f->name);
	p = put(p, STR(": "));
	p = put_clean(p, f->value);
	return put(p, STR("\r\n"));
}

static char *
put_number(char *p, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return put(p, str_make(digits + at, sizeof(digits) - at));
}

/* RFC 9110 8.6, RFC 9112 6.1: neither 1xx nor 204 may carry framing. */
static bool
bars_framing(const struct message *m)
{
	return !m->is_request && (m->status < 200 || m->status == 204);
}

/* Answers to HEAD and 304 tell the length a GET would have got. */
static bool
has_content_length(const struct message *m)
{
	if (m->framing == FRAMING_COUNTED)
		return true;
	return !m->is_request && m->framing == FRAMING_NONE && m->has_length;
}

static char *
put_framing(char *p, const struct message *m)
{
	if (bars_framing(m))
		return p;
	if (m->framing == FRAMING_CHUNKED)
		return put(p, STR("Transfer-Encoding: chunked\r\n"));
	if (!has_content_length(m))
		return p;
	p = put(p, STR("Content-Length: "));
	p = put_number(p, m->length);
	return put(p, STR("\r\n"));
}

static char *
put_start_line(char *p, const struct message *m)
{
	if (m->is_request) {
		p = put_clean(p, m->method_name);
		p = put(p, STR(" "));
		p = put_clean(p, m->target);
		return put(p, STR(" HTTP/1.1\r\n"));
	}
	check(m->status >= 100 && m->status <= 999);
	p = put(p, STR("HTTP/1.1 "));
	p = put_number(p, (uint64_t)m->status);
	p = put(p, STR(" "));
	p = put_clean(p, m->reason);
	return put(p, STR("\r\n"));
}

size_t
h1_write_head(const struct message *m, char *buf, size_t size)
{
	char *p = buf;
	size_t i;

	check(size >= h1_head_size(m));
	p = put_start_line(p, m);
	for (i = 0; i < m->n_fields; i++)
		if (!is_framing(&m->fields[i]))
			p = put_field(p, &m->fields[i]);
	p = put_framing(p, m);
	p = put(p, STR("\r\n"));
	return (size_t)(p - buf);
}

size_t
h1_write_chunk_line(uint64_t n, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	unsigned shift = 60;
	char *p = buf;

	/* A chunk of no bytes would end the body. */
	check(n > 0);
	while (n >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		*p++ = digits[n >> shift & 15];
		if (shift == 0)
			break;
	}
	p = put(p, STR("\r\n"));
	return (size_t)(p - buf);
}

size_t
h1_write_last_chunk(const struct field *trailers, size_t n, char *buf, size_t size)
{
	char *p = buf;
	size_t i;

	if (size < fields_size(trailers, n) + sizeof("0\r\n\r\n") - 1)
		return 0;
	p = put(p, STR("0\r\n"));
	for (i = 0; i < n; i++)
		p = put_field(p, &trailers[i]);
	p = put(p, STR("\r\n"));
	return (size_t)(p - buf);
}
