/* SPDX-License-Identifier: MIT */
/* Field names, lists, dates; messages, cookies, arguments; what the writer writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "http/field.h"
#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "http/message.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const enum field_flags HOP = FIELD_HOP, FRAMING = FIELD_FRAMING, ROUTING = FIELD_ROUTING,
    AUTH = FIELD_AUTH;

static void
expect_str(struct str got, const char *want)
{
	if (!str_eq(got, str_of(want)))
		fail_msg("want <%s>, got <%.*s>", want, STR_ARG(got));
}

/* --- fields --------------------------------------------------------------------------------------- */

static void
test_field_rows(void **state)
{
	const struct {
		enum field_id id;
		const char   *name;
		unsigned      flags;
	} rows[] = {
#define FIELD(symbol, name, flags) { FIELD_##symbol, name, flags },
#include "http/field.def"
#undef FIELD
	};
	char other[64];
	size_t i, j, len;

	(void)state;
	assert_int_equal(COUNT(rows), FIELD_COUNT - 1);
	for (i = 0; i < COUNT(rows); i++) {
		struct str name = str_of(rows[i].name);

		expect_str(field_name(rows[i].id), rows[i].name);
		assert_int_equal(field_flags(rows[i].id), rows[i].flags);
		assert_int_equal(field_lookup(name), rows[i].id);
		len = name.len;
		for (j = 0; j < len; j++)
			other[j] = (char)(name.p[j] ^ (name.p[j] >= 'A' ? 0x20 : 0));
		assert_int_equal(field_lookup(str_make(other, len)), rows[i].id);
		/* One byte changed, one less, one more. */
		for (j = 0; j < len; j++) {
			memcpy(other, name.p, len);
			other[j] = '!';
			assert_int_equal(field_lookup(str_make(other, len)), FIELD_OTHER);
		}
		memcpy(other, name.p, len);
		other[len] = 's';
		assert_int_equal(field_lookup(str_make(other, len + 1)), FIELD_OTHER);
		if (!str_eq(str_make(other, len - 1), STR("T")))
			assert_int_equal(field_lookup(str_make(other, len - 1)), FIELD_OTHER);
	}
	assert_int_equal(field_lookup(STR_NONE), FIELD_OTHER);
	assert_int_equal(field_lookup(STR("X-Unheard-Of")), FIELD_OTHER);
	/* '-' and CR, 'A' and '!', differ in more than case, whatever a hash makes of them. */
	assert_int_equal(field_lookup(STR("content\rlength")), FIELD_OTHER);
	assert_int_equal(field_lookup(STR("X_Real_IP")), FIELD_OTHER);
	expect_str(field_name(FIELD_OTHER), "");
	assert_int_equal(field_flags(FIELD_OTHER), 0);
}

static void
test_lists(void **state)
{
	static const struct { const char *list, *token; bool want; } rows[] = {
		{ "close", "close", true }, { "a, Close", "close", true }, { ",,close,", "close", true },
		{ "closed", "close", false }, { "xclose", "close", false }, { "", "close", false },
		{ "a\t,\tclose ", "close", true }, { "close;q=1", "close", false },
		{ "\"a, close\"", "close", false }, { "a close", "close", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (field_list_has(str_of(rows[i].list), str_of(rows[i].token)) != rows[i].want)
			fail_msg("%s in %s", rows[i].token, rows[i].list);
}

static void
test_tokens(void **state)
{
	static const char good[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	int byte;

	(void)state;
	for (byte = 0; byte < 256; byte++) {
		char c[3] = { 'a', (char)byte, 'b' };

		assert_int_equal(field_is_token(str_make(c, 3)), byte != 0 && strchr(good, byte) != NULL);
		assert_int_equal(field_is_token(str_make(c + 1, 1)),
		    byte != 0 && strchr(good, byte) != NULL);
	}
	assert_false(field_is_token(STR_NONE));
	assert_true(field_is_token(str_of(good)));
}

/* --- dates ------------------------------------------------------------------------------------------ */

static void
test_dates(void **state)
{
	static const struct { const char *text; int64_t want; } rows[] = {
		/* The one date of RFC 9110 5.6.7 in its three formats. */
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
		{ "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
		{ "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 },
		{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
		{ "Wed Nov 16 08:49:37 1994", 784975777 },
		{ "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
	};
	static const char *const bad[] = {
		"", "0", "-1", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT", "Sunday, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:00:61 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Thu, 29 Feb 2023 00:00:00 GMT", "Thu, 29 Feb 1900 00:00:00 GMT",
		"Sun, 06 Foo 1994 08:49:37 GMT", "Xxx, 06 Nov 1994 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", "Sun Nov 06 08:49:37 1994 GMT", "Sun, Nov  6 08:49:37 1994",
		"Sun Nov  6 08:49:37 94", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08.49.37 GMT", "06 Nov 1994 08:49:37 GMT",
	};
	int64_t got;
	size_t i;

	(void)state;
	clock_set(1, 1700000000LL * 1000000);
	for (i = 0; i < COUNT(rows); i++) {
		got = 12345;
		if (!field_parse_date(str_of(rows[i].text), &got) || got != rows[i].want)
			fail_msg("%s: want %lld, got %lld", rows[i].text, (long long)rows[i].want,
			    (long long)got);
	}
	for (i = 0; i < COUNT(bad); i++) {
		got = 12345;
		if (field_parse_date(str_of(bad[i]), &got) || got != 12345)
			fail_msg("taken: %s", bad[i]);
	}
}

/* Each prefix of a date is none. */
static void
test_cut_dates(void **state)
{
	static const char *const dates[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };
	int64_t got;
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(dates); i++)
		for (n = 0; n < strlen(dates[i]); n++)
			assert_false(field_parse_date(str_make(dates[i], n), &got));
}

/* Two digits: never more than 50 years from now, else as late as can be. */
static void
test_two_digit_years(void **state)
{
	static const struct { const char *now, *text, *want; } rows[] = {
		{ "Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-73 22:13:20 GMT",
		    "Tue, 14 Nov 2073 22:13:20 GMT" },
		{ "Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-73 22:13:21 GMT",
		    "Wed, 14 Nov 1973 22:13:21 GMT" },
		{ "Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 01-Jan-23 00:00:00 GMT",
		    "Sun, 01 Jan 2023 00:00:00 GMT" },
		{ "Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 01-Jan-00 00:00:00 GMT",
		    "Sat, 01 Jan 2000 00:00:00 GMT" },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-44 08:49:37 GMT",
		    "Sun, 06 Nov 2044 08:49:37 GMT" },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-45 08:49:37 GMT",
		    "Tue, 06 Nov 1945 08:49:37 GMT" },
		{ "Thu, 01 Jan 2099 00:00:00 GMT", "Thursday, 01-Jan-01 00:00:00 GMT",
		    "Sat, 01 Jan 2101 00:00:00 GMT" },
	};
	int64_t now, want, got;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_true(field_parse_date(str_of(rows[i].now), &now));
		assert_true(field_parse_date(str_of(rows[i].want), &want));
		clock_set(1, now * 1000000);
		assert_true(field_parse_date(str_of(rows[i].text), &got));
		if (got != want)
			fail_msg("%s at %s: %lld, not %lld", rows[i].text, rows[i].now, (long long)got,
			    (long long)want);
	}
}

/* --- messages ---------------------------------------------------------------------------------------- */

static struct message *
new_message(struct arena *arena, bool is_request)
{
	struct message *m = message_new(arena, 0);

	m->is_request = is_request;
	m->method = METHOD_GET;
	m->method_name = STR("GET");
	m->target = STR("/");
	m->status = 200;
	m->reason = STR("OK");
	return m;
}

static void
add(struct message *m, const char *name, const char *value)
{
	message_add(m, field_lookup(str_of(name)), str_of(name), str_of(value));
}

static void
test_message_fields(void **state)
{
	struct arena *arena = arena_new(256);
	struct message *m = message_new(arena, 1);
	char names[100][8];
	size_t i;

	(void)state;
	assert_null(message_find(m, FIELD_HOST));
	assert_int_equal(message_value(m, FIELD_HOST).len, 0);
	for (i = 0; i < COUNT(names); i++) {
		snprintf(names[i], sizeof(names[i]), "X-%zu", i);
		add(m, names[i], "v");
	}
	add(m, "Via", "1");
	add(m, "VIA", "2");
	assert_int_equal(m->n_fields, 102);
	assert_true(m->cap_fields >= 102);
	for (i = 0; i < COUNT(names); i++)
		expect_str(m->fields[i].name, names[i]);
	expect_str(message_value(m, FIELD_VIA), "1");
	assert_ptr_equal(message_find_name(m, STR("via")), &m->fields[100]);
	assert_ptr_equal(message_find_name(m, STR("x-7")), &m->fields[7]);
	assert_null(message_find_name(m, STR("x-777")));
	assert_null(message_find_name(m, STR("age")));
	arena_free(arena);
}

static void
test_cookies(void **state)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "a", "1" }, { "b", "x=y" }, { "c", "" }, { "d", "\"q\"" }, { "e", "2" }, { "A", NULL },
		{ "f", NULL }, { "", NULL }, { "1", NULL }, { "x", NULL }, { "bare", NULL }, { "ee", NULL },
	};
	struct arena *arena = arena_new(256);
	struct message *m = new_message(arena, true);
	struct str value;
	size_t i;

	(void)state;
	assert_false(message_cookie(m, STR("a"), &value));
	add(m, "Cookie", "a=1; b=x=y;c=;  d=\"q\"; bare;; a=9");
	add(m, "X-Cookie", "f=1");
	add(m, "cookie", "\te=2 ");
	for (i = 0; i < COUNT(rows); i++) {
		if (message_cookie(m, str_of(rows[i].name), &value) != (rows[i].want != NULL))
			fail_msg("cookie %s", rows[i].name);
		if (rows[i].want != NULL)
			expect_str(value, rows[i].want);
	}
	arena_free(arena);
}

static void
test_query_arguments(void **state)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "a", "1" }, { "b", "" }, { "c", "" }, { "d", "x=y" }, { "e", "%20+" }, { "f", NULL },
		{ "A", NULL }, { "x", NULL }, { "", NULL },
	};
	struct arena *arena = arena_new(256);
	struct message *m = new_message(arena, true);
	struct str value;
	size_t i;

	(void)state;
	assert_false(message_query_argument(m, STR("a"), &value));
	m->query = STR("a=1&b=&c&&d=x=y&e=%20+&a=2");
	for (i = 0; i < COUNT(rows); i++) {
		if (message_query_argument(m, str_of(rows[i].name), &value) != (rows[i].want != NULL))
			fail_msg("argument %s", rows[i].name);
		if (rows[i].want != NULL)
			expect_str(value, rows[i].want);
	}
	arena_free(arena);
}

static void
test_methods(void **state)
{
	static const struct { enum method method; bool safe, idempotent; } rows[] = {
		{ METHOD_OTHER, false, false }, { METHOD_GET, true, true }, { METHOD_HEAD, true, true },
		{ METHOD_POST, false, false }, { METHOD_PUT, false, true },
		{ METHOD_DELETE, false, true }, { METHOD_OPTIONS, true, true },
		{ METHOD_PATCH, false, false }, { METHOD_CONNECT, false, false },
		{ METHOD_TRACE, true, true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(method_is_safe(rows[i].method), rows[i].safe);
		assert_int_equal(method_is_idempotent(rows[i].method), rows[i].idempotent);
	}
	expect_str(status_reason(200), "OK");
	expect_str(status_reason(504), "Gateway Timeout");
	expect_str(status_reason(431), "Request Header Fields Too Large");
	expect_str(status_reason(299), "");
	expect_str(status_reason(0), "");
}

/* --- the writer ---------------------------------------------------------------------------------------- */

/* Written into a buffer of the size it asked for. */
static void
expect_head(const struct message *m, const char *want)
{
	size_t room = h1_head_size(m), n;
	char *buf = malloc(room);

	assert_non_null(buf);
	n = h1_write_head(m, buf, room);
	assert_true(n <= room);
	expect_str(str_make(buf, n), want);
	free(buf);
}

static void
test_write_request(void **state)
{
	struct arena *arena = arena_new(256);
	struct message *m = new_message(arena, true);

	(void)state;
	m->method_name = STR("POST");
	m->target = STR("/a?b");
	m->minor = 0;
	expect_head(m, "POST /a?b HTTP/1.1\r\n\r\n");
	add(m, "Host", "h");
	add(m, "content-LENGTH", "99");
	add(m, "X", "");
	add(m, "transfer-encoding", "gzip");
	expect_head(m, "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n");
	/* What was announced does not count for a request without a body. */
	m->has_length = true;
	m->length = 5;
	expect_head(m, "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n");
	m->framing = FRAMING_COUNTED;
	expect_head(m, "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\nContent-Length: 5\r\n\r\n");
	m->length = 0;
	m->has_length = false;
	expect_head(m, "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\nContent-Length: 0\r\n\r\n");
	m->length = UINT64_MAX;
	expect_head(m,
	    "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\nContent-Length: 18446744073709551615\r\n\r\n");
	m->framing = FRAMING_CHUNKED;
	m->has_length = true;
	expect_head(m, "POST /a?b HTTP/1.1\r\nHost: h\r\nX: \r\nTransfer-Encoding: chunked\r\n\r\n");
	arena_free(arena);
}

static void
test_write_response(void **state)
{
	static const struct {
		int          status;
		enum framing framing;
		bool         has_length;
		const char  *want;
	} rows[] = {
		{ 200, FRAMING_NONE, false, "" }, { 200, FRAMING_NONE, true, "Content-Length: 7\r\n" },
		{ 304, FRAMING_NONE, true, "Content-Length: 7\r\n" }, { 304, FRAMING_NONE, false, "" },
		{ 204, FRAMING_NONE, true, "" }, { 100, FRAMING_NONE, true, "" },
		{ 204, FRAMING_COUNTED, true, "" }, { 103, FRAMING_CHUNKED, false, "" },
		{ 200, FRAMING_COUNTED, true, "Content-Length: 7\r\n" },
		{ 200, FRAMING_COUNTED, false, "Content-Length: 7\r\n" },
		{ 200, FRAMING_CHUNKED, false, "Transfer-Encoding: chunked\r\n" },
		{ 200, FRAMING_CHUNKED, true, "Transfer-Encoding: chunked\r\n" },
		{ 200, FRAMING_CLOSE, true, "" }, { 200, FRAMING_CLOSE, false, "" },
		{ 101, FRAMING_TUNNEL, true, "" },
	};
	struct arena *arena = arena_new(256);
	struct message *m = new_message(arena, false);
	char want[256];
	size_t i;

	(void)state;
	add(m, "Server", "x");
	add(m, "Content-Length", "1");
	for (i = 0; i < COUNT(rows); i++) {
		m->status = rows[i].status;
		m->framing = rows[i].framing;
		m->has_length = rows[i].has_length;
		m->length = 7;
		m->reason = i % 2 == 0 ? STR("Some Reason") : STR_NONE;
		snprintf(want, sizeof(want), "HTTP/1.1 %d %.*s\r\nServer: x\r\n%s\r\n", rows[i].status,
		    STR_ARG(m->reason), rows[i].want);
		expect_head(m, want);
	}
	arena_free(arena);
}

/* Whatever a value holds, a field is one line. */
static void
test_write_clean(void **state)
{
	struct arena *arena = arena_new(256);
	struct message *m = new_message(arena, true);

	(void)state;
	m->method_name = STR("G\rT");
	m->target = STR("/\r\n\r\n");
	message_add(m, FIELD_OTHER, STR("X\nY"), STR("a\r\nEvil: b\0c\t\xff"));
	expect_head(m, "G T /     HTTP/1.1\r\nX Y: a  Evil: b c\t\xff\r\n\r\n");
	m = new_message(arena, false);
	m->reason = STR("a\r\n\r\nb");
	expect_head(m, "HTTP/1.1 200 a    b\r\n\r\n");
	arena_free(arena);
}

/* Wherever in a value of whatever length it is. */
static void
test_write_clean_everywhere(void **state)
{
	static const char bad[] = { '\r', '\n', '\0' }, fine[] = { '\t', '\x0e', ' ', '\x7f', '\xff' };
	char value[25], want[64];
	size_t len, at, i;

	(void)state;
	for (len = 1; len < sizeof(value); len++)
		for (at = 0; at < len; at++)
			for (i = 0; i < COUNT(bad) + COUNT(fine); i++) {
				struct arena *arena = arena_new(256);
				struct message *m = new_message(arena, false);

				memset(value, 'v', len);
				value[at] = i < COUNT(bad) ? bad[i] : fine[i - COUNT(bad)];
				message_add(m, FIELD_OTHER, STR("X"), str_make(value, len));
				snprintf(want, sizeof(want), "HTTP/1.1 200 OK\r\nX: %.*s%c%.*s\r\n\r\n",
				    (int)at, value, i < COUNT(bad) ? ' ' : value[at],
				    (int)(len - at - 1), value + at + 1);
				expect_head(m, want);
				arena_free(arena);
			}
}

static void
test_write_chunks(void **state)
{
	static const struct { uint64_t n; const char *want; } rows[] = {
		{ 1, "1\r\n" }, { 9, "9\r\n" }, { 10, "a\r\n" }, { 15, "f\r\n" }, { 16, "10\r\n" },
		{ 500, "1f4\r\n" }, { 0x10000, "10000\r\n" }, { 0xabcdef, "abcdef\r\n" },
		{ UINT64_MAX, "ffffffffffffffff\r\n" }, { (uint64_t)1 << 60, "1000000000000000\r\n" },
	};
	static const struct field trailers[] = {
		{ { "A", 1 }, { "b", 1 }, FIELD_OTHER }, { { "C", 1 }, { "d\ne", 3 }, FIELD_OTHER },
	};
	static const char want[] = "0\r\nA: b\r\nC: d e\r\n\r\n";
	char buf[64];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		expect_str(str_make(buf, h1_write_chunk_line(rows[i].n, buf)), rows[i].want);
	assert_int_equal(h1_write_last_chunk(NULL, 0, buf, 4), 0);
	expect_str(str_make(buf, h1_write_last_chunk(NULL, 0, buf, 5)), "0\r\n\r\n");
	assert_int_equal(h1_write_last_chunk(trailers, 2, buf, sizeof(want) - 2), 0);
	expect_str(str_make(buf, h1_write_last_chunk(trailers, 2, buf, sizeof(want) - 1)), want);
}

/* What is written is read as the same message. */
static void
test_round_trip(void **state)
{
	static const struct h1_limits limits = { 32768, 16384, 200, true };
	static const struct { bool is_request; const char *bytes; } rows[] = {
		{ true, "GET /a?b HTTP/1.1\r\nHost: h\r\nX_y:  z \r\n\r\n" },
		{ true, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n" },
		{ true, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n" },
		{ false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: x\r\n\r\n" },
		{ false, "HTTP/1.1 204\r\nDate: x\r\n\r\n" },
		{ false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n" },
		{ false, "HTTP/1.0 500 \r\nConnection: close\r\n\r\n" },
	};
	struct arena *arena = arena_new(256);
	char first[256], second[256];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct str in = str_of(rows[i].bytes);
		struct message *m, *again;
		struct h1_parser p;

		h1_parser_init(&p, rows[i].is_request, &limits);
		h1_parser_begin(&p, arena, false);
		assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
		m = p.message;
		in = str_make(first, n = h1_write_head(m, first, sizeof(first)));
		h1_parser_init(&p, rows[i].is_request, &limits);
		h1_parser_begin(&p, arena, false);
		assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
		assert_int_equal(in.len, 0);
		again = p.message;
		assert_int_equal(again->framing, m->framing);
		assert_int_equal(again->length, m->length);
		assert_int_equal(again->has_length, m->has_length);
		assert_int_equal(again->status, m->status);
		assert_true(str_eq(again->target, m->target));
		assert_int_equal(again->n_fields, m->n_fields);
		assert_int_equal(h1_write_head(again, second, sizeof(second)), n);
		assert_memory_equal(first, second, n);
	}
	arena_free(arena);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field_rows), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_tokens), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_cut_dates), cmocka_unit_test(test_two_digit_years),
		cmocka_unit_test(test_message_fields), cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_query_arguments), cmocka_unit_test(test_methods),
		cmocka_unit_test(test_write_request), cmocka_unit_test(test_write_response),
		cmocka_unit_test(test_write_clean),
		cmocka_unit_test(test_write_clean_everywhere), cmocka_unit_test(test_write_chunks),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
