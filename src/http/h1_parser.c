/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 heads and bodies.  Lines are checked by our own rules as they become whole, each byte once,
 * so that a wrong one is refused before the head is complete, the same however the bytes were cut.  A
 * complete head is copied once, split, judged (framing, Host, Expect), and then shown to llhttp, which
 * must see the same lines, values and framing: an attack has to fool two parsers alike.  Bodies are
 * counted here; llhttp never sees them.  Knows nothing of sockets or of what a message is for.
 */
#include "http/h1_parser.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

enum state {
	STATE_OVER,		/* between messages */
	STATE_HEAD,
	STATE_COUNTED, STATE_CLOSE, STATE_TUNNEL,
	STATE_CHUNK_LINE, STATE_CHUNK_DATA, STATE_CHUNK_END, STATE_TRAILERS,
	STATE_END,		/* H1_END is still to be told */
	STATE_DEAD,
};

enum { EXTENSIONS_MAX = 4096, CHUNK_DIGITS_MAX = 16 };

/* --- refusals --------------------------------------------------------------------------------- */

enum rule {
	BARE_LF, BARE_CR, CONTROL_BYTE, OBS_FOLD, SPACE_BEFORE_COLON, NO_COLON, BAD_FIELD_NAME,
	BAD_REQUEST_LINE, HTTP_0_9, BAD_VERSION, UNKNOWN_METHOD, METHOD_NOT_ALLOWED, TARGET_TOO_LONG,
	BAD_TARGET, BAD_STATUS_LINE, HEAD_TOO_LARGE, TOO_MANY_FIELDS, LENGTH_AND_CHUNKED,
	TWO_CONTENT_LENGTHS, BAD_CONTENT_LENGTH, TWO_TRANSFER_ENCODINGS, TRANSFER_ENCODING_IN_1_0,
	BAD_TRANSFER_ENCODING, NO_HOST, TWO_HOSTS, BAD_HOST, HOST_MISMATCH, BAD_EXPECT, BAD_CHUNK_SIZE,
	BAD_CHUNK_END, CHUNK_EXTENSION_TOO_LONG, BAD_TRAILER, LLHTTP, INCOMPLETE_MESSAGE,
	TLS_FROM_CLIENT, TLS_FROM_SERVER,
};

/* Texts go into JSON as they are: no quotes, no backslashes. */
static const struct {
	int         status;
	const char *word, *why;
} rules[] = {
	[BARE_LF] = { 400, "bare_lf", "a line ends in LF without CR" },
	[BARE_CR] = { 400, "bare_cr", "a CR stands without LF" },
	[CONTROL_BYTE] = { 400, "control_byte", "there is a control byte" },
	[OBS_FOLD] = { 400, "obs_fold", "a field line begins with white space" },
	[SPACE_BEFORE_COLON] = { 400, "space_before_colon",
	    "white space stands between a field name and its colon" },
	[NO_COLON] = { 400, "no_colon", "a field line has no colon" },
	[BAD_FIELD_NAME] = { 400, "bad_field_name", "a field name is empty or not a token" },
	[BAD_REQUEST_LINE] = { 400, "bad_request_line",
	    "the request line is not: method, space, target, space, version" },
	[HTTP_0_9] = { 400, "bad_version", "HTTP/0.9 is not spoken here" },
	[BAD_VERSION] = { 505, "bad_version", "the version is neither HTTP/1.1 nor HTTP/1.0" },
	[UNKNOWN_METHOD] = { 501, "unknown_method", "the method is not known" },
	[METHOD_NOT_ALLOWED] = { 405, "method_not_allowed", "CONNECT and TRACE are not allowed" },
	[TARGET_TOO_LONG] = { 414, "target_too_long", "the request target is too long" },
	[BAD_TARGET] = { 400, "bad_target",
	    "the request target is neither a path nor an http address, or has a byte it may not have" },
	[BAD_STATUS_LINE] = { 502, "bad_status_line",
	    "the status line is not: version, space, status, space, reason" },
	[HEAD_TOO_LARGE] = { 431, "head_too_large", "the message head is too large" },
	[TOO_MANY_FIELDS] = { 431, "too_many_fields", "the message has too many fields" },
	[LENGTH_AND_CHUNKED] = { 400, "length_and_chunked",
	    "there are both Content-Length and Transfer-Encoding" },
	[TWO_CONTENT_LENGTHS] = { 400, "two_content_lengths",
	    "there is more than one Content-Length" },
	[BAD_CONTENT_LENGTH] = { 400, "bad_content_length",
	    "Content-Length is not a decimal number that we can count to" },
	[TWO_TRANSFER_ENCODINGS] = { 400, "two_transfer_encodings",
	    "there is more than one Transfer-Encoding" },
	[TRANSFER_ENCODING_IN_1_0] = { 400, "transfer_encoding_in_1_0",
	    "there is a Transfer-Encoding in HTTP/1.0" },
	[BAD_TRANSFER_ENCODING] = { 501, "bad_transfer_encoding",
	    "the only Transfer-Encoding understood is chunked, once" },
	[NO_HOST] = { 400, "no_host", "there is no Host" },
	[TWO_HOSTS] = { 400, "two_hosts", "there is more than one Host" },
	[BAD_HOST] = { 400, "bad_host", "Host is not a host name or address with an optional port" },
	[HOST_MISMATCH] = { 400, "host_mismatch", "Host and the request target name different hosts" },
	[BAD_EXPECT] = { 417, "bad_expect", "the only expectation understood is 100-continue" },
	[BAD_CHUNK_SIZE] = { 400, "bad_chunk_size", "a chunk size is not 1 to 16 hex digits" },
	[BAD_CHUNK_END] = { 400, "bad_chunk_end", "the data of a chunk is not followed by CRLF" },
	[CHUNK_EXTENSION_TOO_LONG] = { 400, "chunk_extension_too_long",
	    "the chunk extensions are too long" },
	[BAD_TRAILER] = { 400, "bad_trailer", "the trailers are too large or too many" },
	[LLHTTP] = { 400, "llhttp", "a second parser does not read the head in the same way" },
	[INCOMPLETE_MESSAGE] = { 400, "incomplete_message", "the connection ended within a message" },
	[TLS_FROM_CLIENT] = { 400, "speaks_tls",
	    "this looks like TLS, but the port speaks plain HTTP: use http:// in the address" },
	[TLS_FROM_SERVER] = { 502, "speaks_tls",
	    "this looks like TLS: write https:// before the address of the server" },
};

/* Returns false, for "return refuse(...)". */
static bool
refuse(struct h1_parser *p, enum rule rule)
{
	p->state = STATE_DEAD;
	p->status = p->is_request ? rules[rule].status : 502;
	p->rule = rules[rule].word;
	p->why = rules[rule].why;
	return false;
}

/* --- bytes ------------------------------------------------------------------------------------ */

enum {
	NAME = 1,		/* a token (RFC 9110 5.6.2) */
	TARGET = 2,		/* all that can be seen, but # (RFC 9112 3.2: no fragment) */
	VALUE = 4,		/* in a field value: HTAB, SP, VCHAR, obs-text */
	HOST = 8,		/* unreserved, sub-delims and % (RFC 3986 3.2.2) */
	UNDERSCORE = 16,
};

static const unsigned char classes[256] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x04, 0x0f, 0x06, 0x05, 0x0f, 0x0f, 0x0f, 0x0f, 0x0e, 0x0e, 0x0f, 0x0f, 0x0e, 0x0f, 0x0f, 0x06,
	0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x06, 0x0e, 0x06, 0x0e, 0x06, 0x06,
	0x06, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
	0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x06, 0x06, 0x06, 0x07, 0x1f,
	0x07, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
	0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x06, 0x07, 0x06, 0x0f, 0x00,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
};

static unsigned
class_of(char c)
{
	return classes[(unsigned char)c];
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Index in s, from i on, of what a line may not hold: the CR of a CRLF, a CR at the very end (what
 * follows it is not here yet), or the end of s.  Anything else is refused.
 */
static bool
skip_value(struct h1_parser *p, struct str s, size_t i, size_t *end)
{
	/* Who was told H1_MORE hands in the same bytes again, and more. */
	check(i <= s.len);
	while (i < s.len && (class_of(s.p[i]) & VALUE) != 0)
		i++;
	*end = i;
	if (i == s.len)
		return true;
	if (s.p[i] == '\n')
		return refuse(p, BARE_LF);
	if (s.p[i] != '\r')
		return refuse(p, CONTROL_BYTE);
	if (i + 1 < s.len && s.p[i + 1] != '\n')
		return refuse(p, BARE_CR);
	return true;
}

/* --- field lines ------------------------------------------------------------------------------ */

/* What is wrong with this line (its LF included); the first wrong control byte comes first. */
static bool
refuse_field(struct h1_parser *p, struct str line)
{
	const char *colon;
	size_t end, name_len, i;

	if (!skip_value(p, line, 0, &end))
		return false;
	if (is_blank(line.p[0]))
		return refuse(p, OBS_FOLD);
	colon = memchr(line.p, ':', end);
	if (colon == NULL)
		return refuse(p, NO_COLON);
	name_len = (size_t)(colon - line.p);
	for (i = 0; i < name_len && (class_of(line.p[i]) & NAME) != 0; i++)
		;
	if (i > 0 && str_trim(str_make(line.p + i, name_len - i)).len == 0)
		return refuse(p, SPACE_BEFORE_COLON);
	return refuse(p, BAD_FIELD_NAME);
}

/* The line ends in LF, at which both loops stop at the latest. */
static bool
check_field(struct h1_parser *p, struct str line)
{
	const char *q = line.p;
	unsigned seen = 0, class;

	for (; ((class = class_of(*q)) & NAME) != 0; q++)
		seen |= class;
	if (q == line.p || *q != ':')
		return refuse_field(p, line);
	while ((class_of(*++q) & VALUE) != 0)
		;
	if (q != line.p + line.len - 2 || *q != '\r')
		return refuse_field(p, line);
	p->has_underscore |= (seen & UNDERSCORE) != 0;
	if (++p->n_lines > p->limits.max_fields)
		return refuse(p, p->state == STATE_TRAILERS ? BAD_TRAILER : TOO_MANY_FIELDS);
	return true;
}

/* --- start lines ------------------------------------------------------------------------------ */

/* A method in the exact case, or -1.  RTSP's are not known. */
static int
method_of(struct str name)
{
	static const struct {
		struct str  name;
		enum method method;
	} ours[] = {
		{ { "GET", 3 }, METHOD_GET }, { { "POST", 4 }, METHOD_POST },
		{ { "HEAD", 4 }, METHOD_HEAD }, { { "PUT", 3 }, METHOD_PUT },
		{ { "DELETE", 6 }, METHOD_DELETE }, { { "OPTIONS", 7 }, METHOD_OPTIONS },
		{ { "PATCH", 5 }, METHOD_PATCH }, { { "CONNECT", 7 }, METHOD_CONNECT },
		{ { "TRACE", 5 }, METHOD_TRACE },
	};
	static const struct str others[] = {
#define ROW(number, symbol, string) { #string, sizeof(#string) - 1 },
		HTTP_METHOD_MAP(ROW)
#undef ROW
	};
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (str_eq(name, ours[i].name))
			return (int)ours[i].method;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (str_eq(name, others[i]))
			return METHOD_OTHER;
	return -1;
}

/* Length of "http://" or "https://" at the start of a target, in any case; 0 when it has neither. */
static size_t
scheme_len(struct str target)
{
	if (str_eq_nocase(str_first(target, 7), STR("http://")))
		return 7;
	return str_eq_nocase(str_first(target, 8), STR("https://")) ? 8 : 0;
}

/* RFC 9112 3.2.  An authority alone is CONNECT's, which was refused before. */
static bool
check_target(struct h1_parser *p, struct str target)
{
	if (target.p[0] == '/' || scheme_len(target) > 0)
		return true;
	if (str_eq(target, STR("*")) && p->method == METHOD_OPTIONS)
		return true;
	return refuse(p, BAD_TARGET);
}

/* "HTTP/1.1" or "HTTP/1.0" to minor; another "HTTP/d.d" to the rule it breaks, else to garbage. */
static bool
check_version(struct h1_parser *p, struct str s, enum rule garbage)
{
	if (s.len != 8 || !str_starts(s, STR("HTTP/")) || !is_digit(s.p[5]) || s.p[6] != '.' ||
	    !is_digit(s.p[7]))
		return refuse(p, garbage);
	if (s.p[5] == '0' && s.p[7] == '9')
		return refuse(p, HTTP_0_9);
	if (s.p[5] != '1' || s.p[7] > '1')
		return refuse(p, BAD_VERSION);
	p->minor = (uint8_t)(s.p[7] - '0');
	return true;
}

/*
 * The target of a request line, whole or in the making, is too long whatever comes behind; told as
 * early as that is known, so that it does not depend on how the bytes were cut.
 */
static bool
check_target_len(struct h1_parser *p, struct str line)
{
	const char *space = memchr(line.p, ' ', line.len < 64 ? line.len : 64);
	size_t from, known, end;

	if (!p->is_request || space == NULL)
		return true;
	from = (size_t)(space - line.p) + 1;
	known = from + p->limits.max_target + 1;
	if (known > line.len || memchr(line.p + from, ' ', known - from) != NULL ||
	    (known == line.len && line.p[known - 1] == '\n'))
		return true;
	if (!skip_value(p, str_first(line, known), 0, &end))
		return false;
	p->method_len = from - 1;
	return refuse(p, TARGET_TOO_LONG);
}

static bool
check_request_line(struct h1_parser *p, struct str line)
{
	size_t end, i = 0, at;
	int method;

	if (!check_target_len(p, line))
		return false;
	if (!skip_value(p, line, 0, &end))
		return false;
	while ((class_of(line.p[i]) & NAME) != 0)
		i++;
	if (i == 0 || line.p[i] != ' ')
		return refuse(p, BAD_REQUEST_LINE);
	p->method_len = i;
	at = ++i;
	while ((class_of(line.p[i]) & TARGET) != 0)
		i++;
	/* A CR here: a line without a version is HTTP/0.9. */
	if (i == at || line.p[i] == '\t' || line.p[i] == '\r')
		return refuse(p, BAD_REQUEST_LINE);
	if (line.p[i] != ' ')
		return refuse(p, BAD_TARGET);
	p->target_len = i - at;
	i++;
	if (!check_version(p, str_make(line.p + i, end - i), BAD_REQUEST_LINE))
		return false;
	if (p->target_len > p->limits.max_target)
		return refuse(p, TARGET_TOO_LONG);
	method = method_of(str_first(line, p->method_len));
	if (method < 0)
		return refuse(p, UNKNOWN_METHOD);
	p->method = (enum method)method;
	if (p->method == METHOD_CONNECT || p->method == METHOD_TRACE)
		return refuse(p, METHOD_NOT_ALLOWED);
	return check_target(p, str_make(line.p + at, p->target_len));
}

/* RFC 9112 4; the space before an empty reason may be left out, as servers do. */
static bool
check_status_line(struct h1_parser *p, struct str line)
{
	size_t end;

	if (!skip_value(p, line, 0, &end))
		return false;
	line.len = end;
	if (!check_version(p, str_first(line, 8), BAD_STATUS_LINE))
		return false;
	if (line.len < 12 || line.p[8] != ' ' || line.p[9] < '1' || line.p[9] > '5' ||
	    !is_digit(line.p[10]) || !is_digit(line.p[11]) || (line.len > 12 && line.p[12] != ' '))
		return refuse(p, BAD_STATUS_LINE);
	return true;
}

static bool
check_line(struct h1_parser *p, struct str line)
{
	if (p->has_start)
		return check_field(p, line);
	p->has_start = true;
	return p->is_request ? check_request_line(p, line) : check_status_line(p, line);
}

/* --- sections of lines: heads, trailers ------------------------------------------------------- */

static void
begin_section(struct h1_parser *p)
{
	p->scanned = p->line = p->n_lines = 0;
	p->has_underscore = false;
}

/* A head that begins as a record of TLS does, handshake or alert (RFC 8446 5.1). */
static bool
looks_like_tls(const struct h1_parser *p, struct str head)
{
	return !p->has_start && head.len > 0 && (head.p[0] == 22 || head.p[0] == 21);
}

/*
 * Checks what came since the last call.  Returns the length of the section with its empty line; 0
 * when that is not there yet, or something is wrong (then the parser is dead).
 */
static size_t
scan_section(struct h1_parser *p, struct str in)
{
	struct str view = str_first(in, p->limits.max_head);
	const char *lf;

	if (looks_like_tls(p, view)) {
		refuse(p, p->is_request ? TLS_FROM_CLIENT : TLS_FROM_SERVER);
		return 0;
	}
	while (p->scanned < view.len &&
	    (lf = memchr(view.p + p->scanned, '\n', view.len - p->scanned)) != NULL) {
		size_t next = (size_t)(lf - view.p) + 1;
		struct str line = str_make(view.p + p->line, next - p->line);

		if (p->has_start && str_eq(line, STR("\r\n")))
			return next;
		if (!check_line(p, line))
			return 0;
		p->scanned = p->line = next;
	}
	/* A line in the making: what is wrong with its bytes is told now.  A last CR is looked at again. */
	if (!p->has_start && !check_target_len(p, view))
		return 0;
	if (!skip_value(p, view, p->scanned, &p->scanned))
		return 0;
	if (in.len >= p->limits.max_head)
		refuse(p, p->state == STATE_TRAILERS ? BAD_TRAILER : HEAD_TOO_LARGE);
	return 0;
}

/* Splits checked lines, up to their empty one, into fields; returns how many. */
static size_t
split_fields(const char *q, struct field *fields)
{
	size_t n = 0;

	for (; *q != '\r'; n++) {
		const char *colon = strchr(q, ':'), *cr = strchr(colon, '\r');

		fields[n].name = str_make(q, (size_t)(colon - q));
		fields[n].value = str_trim(str_make(colon + 1, (size_t)(cr - colon) - 1));
		fields[n].id = field_lookup(fields[n].name);
		q = cr + 2;
	}
	return n;
}

/* --- the judgement of a head ------------------------------------------------------------------ */

/* The fields that decide, and how many there are of those of which there may be one. */
struct digest {
	struct str host, length, coding;
	unsigned   n_hosts, n_lengths, n_codings;
	bool       close, keep_alive, connection_upgrade, upgrade;
	bool       expects, expects_other;
};

static void
digest_connection(struct digest *d, struct str list)
{
	struct str item;

	while (str_next_item(&list, &item)) {
		d->close |= str_eq_nocase(item, STR("close"));
		d->keep_alive |= str_eq_nocase(item, STR("keep-alive"));
		d->connection_upgrade |= str_eq_nocase(item, STR("upgrade"));
	}
}

/* h2c does not count: it is never passed on. */
static void
digest_upgrade(struct digest *d, struct str list)
{
	struct str item;

	while (str_next_item(&list, &item))
		d->upgrade |= !str_eq_nocase(item, STR("h2c"));
}

static void
digest_field(struct digest *d, const struct field *f)
{
	switch (f->id) {
	case FIELD_HOST:
		d->host = f->value;
		d->n_hosts++;
		break;
	case FIELD_CONTENT_LENGTH:
		d->length = f->value;
		d->n_lengths++;
		break;
	case FIELD_TRANSFER_ENCODING:
		d->coding = f->value;
		d->n_codings++;
		break;
	case FIELD_CONNECTION:
		digest_connection(d, f->value);
		break;
	case FIELD_UPGRADE:
		digest_upgrade(d, f->value);
		break;
	case FIELD_EXPECT:
		d->expects = true;
		d->expects_other |= !str_eq_nocase(f->value, STR("100-continue"));
		break;
	default:
		break;
	}
}

/* RFC 9112 6.3, where a response can have no body whatever its fields say. */
static bool
is_bodiless(const struct h1_parser *p, int status)
{
	return p->head_request || status < 200 || status == 204 || status == 304;
}

static bool
judge_framing(struct h1_parser *p, struct message *m, const struct digest *d)
{
	if (d->n_lengths > 0 && d->n_codings > 0)
		return refuse(p, LENGTH_AND_CHUNKED);
	if (d->n_lengths > 1)
		return refuse(p, TWO_CONTENT_LENGTHS);
	if (d->n_codings > 1)
		return refuse(p, TWO_TRANSFER_ENCODINGS);
	if (d->n_codings == 1 && m->minor == 0)
		return refuse(p, TRANSFER_ENCODING_IN_1_0);
	if (d->n_codings == 1 && !str_eq_nocase(d->coding, STR("chunked")))
		return refuse(p, BAD_TRANSFER_ENCODING);
	if (d->n_lengths == 1 && !str_to_uint(d->length, INT64_MAX, &m->length))
		return refuse(p, BAD_CONTENT_LENGTH);
	m->has_length = d->n_lengths == 1;
	if (!p->is_request && m->status == 101)
		m->framing = FRAMING_TUNNEL;
	else if (!p->is_request && is_bodiless(p, m->status))
		m->framing = FRAMING_NONE;
	else if (d->n_codings == 1)
		m->framing = FRAMING_CHUNKED;
	else if (m->has_length)
		m->framing = FRAMING_COUNTED;
	else
		m->framing = p->is_request ? FRAMING_NONE : FRAMING_CLOSE;
	return true;
}

/* RFC 9110 8.6: what announces a body in spite of its status may send one. */
static bool
is_contradictory(const struct message *m, const struct digest *d)
{
	return !m->is_request && m->status == 204 && (m->length > 0 || d->n_codings > 0);
}

/* RFC 9112 9.3; RFC 9110 7.8: no upgrade from HTTP/1.0. */
static void
judge_connection(struct message *m, const struct digest *d)
{
	m->keep_alive = !d->close && (m->minor > 0 || d->keep_alive) &&
	    m->framing != FRAMING_CLOSE && m->framing != FRAMING_TUNNEL && !is_contradictory(m, d);
	m->upgrade = m->minor > 0 && d->connection_upgrade && d->upgrade;
}

struct authority {
	struct str host;		/* without brackets */
	unsigned   port;		/* 0 when there is none */
};

static bool
is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (s.len == 0 || s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* reg-name or IPv4 (RFC 3986 3.2.2), not empty; returns its length, 0 when it is none. */
static size_t
reg_name_len(struct str s)
{
	size_t i;

	for (i = 0; i < s.len && (class_of(s.p[i]) & HOST) != 0; i++)
		if (s.p[i] == '%' &&
		    (i + 2 >= s.len || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0))
			return 0;
	return i;
}

/* uri-host [":" port]: no user, no IPvFuture. */
static bool
split_authority(struct str s, struct authority *a)
{
	ptrdiff_t close;
	uint64_t port = 0;

	if (s.len > 0 && s.p[0] == '[') {
		close = str_find(s, ']');
		a->host = close > 0 ? str_make(s.p + 1, (size_t)close - 1) : STR_NONE;
		if (!is_ipv6(a->host))
			return false;
		s = str_from(s, (size_t)close + 1);
	} else {
		a->host = str_first(s, reg_name_len(s));
		if (a->host.len == 0)
			return false;
		s = str_from(s, a->host.len);
	}
	a->port = 0;
	if (s.len == 0)
		return true;
	if (s.p[0] != ':' || s.len > 6)
		return false;
	s = str_from(s, 1);
	if (s.len > 0 && (!str_to_uint(s, UINT16_MAX, &port) || port == 0))
		return false;
	a->port = (unsigned)port;
	return true;
}

static bool
same_authority(const struct authority *a, const struct authority *b, unsigned standard)
{
	unsigned port_a = a->port != 0 ? a->port : standard, port_b = b->port != 0 ? b->port : standard;

	return port_a == port_b && str_eq_nocase(a->host, b->host);
}

static void
set_host(struct message *m, struct str host)
{
	char *p;
	size_t i;

	/* "example.org." is "example.org" to whoever chooses a route by it. */
	if (host.len > 1 && host.p[host.len - 1] == '.')
		host.len--;
	p = arena_alloc(m->arena, host.len);
	for (i = 0; i < host.len; i++)
		p[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] | 0x20) : host.p[i];
	m->host = str_make(p, host.len);
}

static void
set_path(struct message *m, struct str target)
{
	ptrdiff_t mark = str_find(target, '?');

	m->path = mark < 0 ? target : str_first(target, (size_t)mark);
	m->query = mark < 0 ? STR_NONE : str_from(target, (size_t)mark + 1);
	/* RFC 9112 3.2.4: OPTIONS of an address without a path is about the server. */
	if (m->path.len == 0)
		m->path = m->method == METHOD_OPTIONS && mark < 0 ? STR("*") : STR("/");
}

/* RFC 9112 3.2.2; a Host that says something else is not passed over but refused. */
static bool
judge_absolute(struct h1_parser *p, struct message *m, const struct digest *d,
    const struct authority *host)
{
	size_t scheme = scheme_len(m->target), len;
	struct str rest = str_from(m->target, scheme);
	struct authority named;

	for (len = 0; len < rest.len && rest.p[len] != '/' && rest.p[len] != '?'; len++)
		;
	m->authority = str_first(rest, len);
	if (!split_authority(m->authority, &named))
		return refuse(p, BAD_TARGET);
	if (d->n_hosts > 0 && !same_authority(&named, host, scheme == 7 ? 80 : 443))
		return refuse(p, HOST_MISMATCH);
	set_path(m, str_from(rest, len));
	set_host(m, named.host);
	return true;
}

static bool
judge_target(struct h1_parser *p, struct message *m, const struct digest *d)
{
	struct authority host = { STR_NONE, 0 };

	if (d->n_hosts > 1)
		return refuse(p, TWO_HOSTS);
	if (d->n_hosts == 0 && m->minor > 0)
		return refuse(p, NO_HOST);
	if (d->n_hosts > 0 && !split_authority(d->host, &host))
		return refuse(p, BAD_HOST);
	if (scheme_len(m->target) > 0)
		return judge_absolute(p, m, d, &host);
	m->authority = d->host;
	set_path(m, m->target);
	set_host(m, host.host);
	return true;
}

static bool
judge(struct h1_parser *p, struct message *m)
{
	struct digest d;
	size_t i;

	memset(&d, 0, sizeof(d));
	for (i = 0; i < m->n_fields; i++)
		digest_field(&d, &m->fields[i]);
	if (!judge_framing(p, m, &d))
		return false;
	judge_connection(m, &d);
	if (!p->is_request)
		return true;
	if (!judge_target(p, m, &d))
		return false;
	/* RFC 9110 10.1.1: an expectation in HTTP/1.0 is ignored. */
	if (m->minor > 0 && d.expects_other)
		return refuse(p, BAD_EXPECT);
	m->expect_continue = m->minor > 0 && d.expects;
	return true;
}

/* --- the second opinion ----------------------------------------------------------------------- */

struct opinion {
	const struct message *m;
	size_t i;			/* the field it is at */
};

static int
on_header_field(llhttp_t *l, const char *at, size_t len)
{
	struct opinion *o = l->data;
	const struct field *f = &o->m->fields[o->i];

	return o->i < o->m->n_fields && f->name.p == at && f->name.len == len ? 0 : -1;
}

static int
on_header_value(llhttp_t *l, const char *at, size_t len)
{
	struct opinion *o = l->data;
	struct str ours = o->m->fields[o->i].value, theirs = str_trim(str_make(at, len));

	return ours.len == theirs.len && (ours.len == 0 || ours.p == theirs.p) ? 0 : -1;
}

static int
on_header_value_complete(llhttp_t *l)
{
	((struct opinion *)l->data)->i++;
	return 0;
}

static int
on_headers_complete(llhttp_t *l)
{
	(void)l;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_header_value_complete = on_header_value_complete,
	.on_headers_complete = on_headers_complete,
};

static bool
agrees_on_start(const llhttp_t *l, const struct message *m)
{
	if (l->http_major != 1 || l->http_minor != m->minor)
		return false;
	if (!m->is_request)
		return l->status_code == m->status;
	return str_eq(m->method_name, str_of(llhttp_method_name((llhttp_method_t)l->method)));
}

/* All fields in the same places, the same length, the same coding, the same end. */
static bool
agrees(struct h1_parser *p, struct str head, const struct message *m)
{
	struct opinion o = { m, 0 };
	llhttp_t *l = &p->llhttp;
	const struct field *coding = message_find(m, FIELD_TRANSFER_ENCODING);

	llhttp_init(l, p->is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	l->data = &o;
	if (llhttp_execute(l, head.p, head.len) != HPE_PAUSED)
		return false;
	l->data = NULL;
	return llhttp_get_error_pos(l) == head.p + head.len && o.i == m->n_fields &&
	    agrees_on_start(l, m) && ((l->flags & F_CHUNKED) != 0) == (coding != NULL) &&
	    ((l->flags & F_CONTENT_LENGTH) != 0) == m->has_length &&
	    (!m->has_length || l->content_length == m->length);
}

/* --- heads ------------------------------------------------------------------------------------ */

static void
set_request_line(const struct h1_parser *p, struct message *m, struct str head)
{
	m->method = p->method;
	m->method_name = str_first(head, p->method_len);
	m->target = str_make(head.p + p->method_len + 1, p->target_len);
}

static void
set_status_line(struct message *m, struct str head)
{
	const char *cr = memchr(head.p, '\r', head.len);
	struct str line = str_first(head, (size_t)(cr - head.p));

	m->status = (line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + (line.p[11] - '0');
	m->reason = str_from(line, 13);
}

static void
drop_underscores(struct message *m)
{
	size_t i, kept = 0;

	for (i = 0; i < m->n_fields; i++)
		if (str_find(m->fields[i].name, '_') < 0)
			m->fields[kept++] = m->fields[i];
	m->n_fields = kept;
}

/* What kind of answer is accepted, by the lines that are here; none of them need be right. */
static void
add_accept(struct message *m, struct str in)
{
	ptrdiff_t lf;

	for (; (lf = str_find(in, '\n')) > 1; in = str_from(in, (size_t)lf + 1)) {
		struct str line = str_first(in, in.p[lf - 1] == '\r' ? (size_t)lf - 1 : (size_t)lf);

		if (!str_eq_nocase(str_first(line, 7), STR("accept:")))
			continue;
		message_add(m, FIELD_ACCEPT, field_name(FIELD_ACCEPT),
		    arena_dup(m->arena, str_trim(str_from(line, 7))));
		return;
	}
}

/* For the log and the refusal: who wanted what, as far as the request line was good. */
static void
make_partial(struct h1_parser *p, struct str in)
{
	struct message *m;

	if (p->message != NULL)
		return;
	m = p->message = message_new(p->arena, 1);
	m->is_request = true;
	m->minor = p->minor;
	add_accept(m, in);
	if (!field_is_token(str_first(in, p->method_len)))
		return;
	if (p->target_len > p->limits.max_target)
		p->target_len = p->limits.max_target;
	set_request_line(p, m, arena_dup(p->arena,
	    str_first(in, p->method_len + 1 + p->target_len)));
}

static enum state
state_after(const struct message *m)
{
	switch (m->framing) {
	case FRAMING_COUNTED:
		return m->length > 0 ? STATE_COUNTED : STATE_END;
	case FRAMING_CHUNKED:
		return STATE_CHUNK_LINE;
	case FRAMING_CLOSE:
		return STATE_CLOSE;
	case FRAMING_TUNNEL:
		return STATE_TUNNEL;
	case FRAMING_NONE:
		break;
	}
	return STATE_END;
}

static bool
parse_head(struct h1_parser *p, struct str head)
{
	struct message *m = message_new(p->arena, p->n_lines);

	p->message = m;
	head = arena_dup(p->arena, head);
	m->is_request = p->is_request;
	m->minor = p->minor;
	if (p->is_request)
		set_request_line(p, m, head);
	else
		set_status_line(m, head);
	m->n_fields = split_fields(strchr(head.p, '\n') + 1, m->fields);
	check(m->n_fields == p->n_lines);
	if (!judge(p, m))
		return false;
	if (!agrees(p, head, m))
		return refuse(p, LLHTTP);
	if (p->has_underscore && !p->limits.keep_underscore)
		drop_underscores(m);
	p->left = m->length;
	p->state = (uint8_t)state_after(m);
	begin_section(p);
	return true;
}

/* One empty line before a request is passed over (RFC 9112 2.2). */
static void
skip_empty_line(struct h1_parser *p, struct str *in)
{
	if (!p->is_request || p->has_skipped || p->has_start || !str_starts(*in, STR("\r\n")))
		return;
	p->has_skipped = true;
	*in = str_from(*in, 2);
	p->has_begun = false;
}

/* True when the head is whole and taken. */
static bool
take_head(struct h1_parser *p, struct str *in)
{
	size_t len;

	skip_empty_line(p, in);
	if (in->len == 0)
		return false;
	p->has_begun = true;
	len = scan_section(p, *in);
	if (p->state == STATE_DEAD) {
		make_partial(p, *in);
		return false;
	}
	if (len == 0 || !parse_head(p, str_first(*in, len)))
		return false;
	*in = str_from(*in, len);
	return true;
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* Takes at most max bytes as a span of body; false when there is none. */
static bool
take_span(struct h1_parser *p, struct str *in, uint64_t max)
{
	size_t n = in->len < max ? in->len : (size_t)max;

	if (n == 0)
		return false;
	p->span = str_first(*in, n);
	*in = str_from(*in, n);
	return true;
}

/* Of a counted body or chunk. */
static bool
take_counted(struct h1_parser *p, struct str *in, enum state next)
{
	if (!take_span(p, in, p->left))
		return false;
	p->left -= p->span.len;
	if (p->left == 0)
		p->state = (uint8_t)next;
	return true;
}

/* RFC 9112 7.1.1: what extensions say is dropped, their length is bounded for the whole message. */
static bool
skip_extensions(struct h1_parser *p, struct str in, size_t from, size_t *end)
{
	size_t at = p->scanned > from ? p->scanned : from;
	size_t most = from + (EXTENSIONS_MAX - p->extra);

	/* What stands behind the longest is not looked at, however much came at once. */
	if (!skip_value(p, str_first(in, most + 1), at, end))
		return false;
	if (*end > most)
		return refuse(p, CHUNK_EXTENSION_TOO_LONG);
	if (!skip_value(p, in, *end, end))
		return false;
	p->scanned = *end;
	return true;
}

/* Up to 16 digits; false on anything wrong with them.  *n is how many there are. */
static bool
read_chunk_size(struct h1_parser *p, struct str in, size_t *n)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < in.len && hex_digit(in.p[i]) >= 0; i++) {
		if (i == CHUNK_DIGITS_MAX)
			return refuse(p, BAD_CHUNK_SIZE);
		size = size << 4 | (uint64_t)hex_digit(in.p[i]);
	}
	*n = i;
	p->left = size;
	if (size > INT64_MAX)
		return refuse(p, BAD_CHUNK_SIZE);
	if (i == in.len || (i > 0 && (in.p[i] == ';' || in.p[i] == '\r')))
		return true;
	return refuse(p, i > 0 && in.p[i] == '\n' ? BARE_LF : BAD_CHUNK_SIZE);
}

/* Size, extensions, CRLF; true when the line was whole. */
static bool
take_chunk_line(struct h1_parser *p, struct str *in)
{
	size_t digits, end;

	if (!read_chunk_size(p, *in, &digits) || digits == in->len ||
	    !skip_extensions(p, *in, digits, &end) || end + 2 > in->len)
		return false;
	p->extra += end - digits;
	*in = str_from(*in, end + 2);
	p->state = p->left > 0 ? STATE_CHUNK_DATA : STATE_TRAILERS;
	begin_section(p);
	return true;
}

static bool
take_chunk_end(struct h1_parser *p, struct str *in)
{
	if ((in->len > 0 && in->p[0] != '\r') || (in->len > 1 && in->p[1] != '\n'))
		return refuse(p, BAD_CHUNK_END);
	if (in->len < 2)
		return false;
	*in = str_from(*in, 2);
	p->state = STATE_CHUNK_LINE;
	return true;
}

/* RFC 9110 6.5.1: not in trailers, where they would come too late to be judged. */
static bool
is_kept_trailer(const struct h1_parser *p, const struct field *f)
{
	const unsigned barred = FIELD_FRAMING | FIELD_ROUTING | FIELD_AUTH;

	return !field_is_hop(f->id, f->name) && (field_flags(f->id) & barred) == 0 &&
	    (p->limits.keep_underscore || str_find(f->name, '_') < 0);
}

static void
keep_trailers(struct h1_parser *p, struct str section)
{
	struct message *m = p->message;
	size_t n, i;

	section = arena_dup(p->arena, section);
	m->trailers = arena_alloc(p->arena, p->n_lines * sizeof(m->trailers[0]));
	n = split_fields(section.p, m->trailers);
	check(n == p->n_lines);
	for (i = 0; i < n; i++)
		if (is_kept_trailer(p, &m->trailers[i]))
			m->trailers[m->n_trailers++] = m->trailers[i];
}

static bool
take_trailers(struct h1_parser *p, struct str *in)
{
	size_t len = scan_section(p, *in);

	if (len == 0)
		return false;
	if (p->n_lines > 0 && p->message != NULL && p->arena != NULL)
		keep_trailers(p, str_first(*in, len));
	*in = str_from(*in, len);
	p->state = STATE_END;
	return true;
}

/* --- the contract ----------------------------------------------------------------------------- */

void
h1_parser_init(struct h1_parser *p, bool is_request, const struct h1_limits *limits)
{
	memset(p, 0, sizeof(*p));
	p->is_request = is_request;
	p->limits = *limits;
	p->state = STATE_OVER;
}

void
h1_parser_begin(struct h1_parser *p, struct arena *arena, bool head_request)
{
	if (p->state == STATE_DEAD)
		return;
	/* Within a body its rest would be read as a message. */
	check(p->state == STATE_OVER || p->state == STATE_END || p->state == STATE_HEAD);
	p->state = STATE_HEAD;
	p->arena = arena;
	p->message = NULL;
	p->head_request = head_request;
	p->span = STR_NONE;
	p->left = 0;
	p->extra = p->method_len = p->target_len = 0;
	p->method = METHOD_OTHER;
	p->minor = 1;
	p->has_start = p->has_begun = p->has_skipped = false;
	begin_section(p);
}

enum h1_event
h1_parser_next(struct h1_parser *p, struct str *in)
{
	for (;;) {
		bool done = false;

		switch ((enum state)p->state) {
		case STATE_HEAD:
			if (take_head(p, in))
				return H1_HEAD;
			break;
		case STATE_COUNTED:
			return take_counted(p, in, STATE_END) ? H1_BODY : H1_MORE;
		case STATE_CHUNK_DATA:
			return take_counted(p, in, STATE_CHUNK_END) ? H1_BODY : H1_MORE;
		case STATE_CLOSE:
		case STATE_TUNNEL:
			return take_span(p, in, UINT64_MAX) ? H1_BODY : H1_MORE;
		case STATE_CHUNK_LINE:
			done = take_chunk_line(p, in);
			break;
		case STATE_CHUNK_END:
			done = take_chunk_end(p, in);
			break;
		case STATE_TRAILERS:
			done = take_trailers(p, in);
			break;
		case STATE_END:
			p->state = STATE_OVER;
			return H1_END;
		case STATE_OVER:
			return H1_MORE;
		case STATE_DEAD:
			return H1_FAIL;
		}
		if (!done)
			return p->state == STATE_DEAD ? H1_FAIL : H1_MORE;
	}
}

enum h1_event
h1_parser_eof(struct h1_parser *p)
{
	switch ((enum state)p->state) {
	case STATE_CLOSE:
	case STATE_END:
		p->state = STATE_OVER;
		return H1_END;
	case STATE_OVER:
	case STATE_TUNNEL:
		return H1_MORE;
	case STATE_HEAD:
		if (!p->has_begun)
			return H1_MORE;
		break;
	default:
		break;
	}
	if (p->state != STATE_DEAD)
		refuse(p, INCOMPLETE_MESSAGE);
	return H1_FAIL;
}

bool
h1_parser_is_idle(const struct h1_parser *p)
{
	return p->state == STATE_OVER || (p->state == STATE_HEAD && !p->has_begun);
}
