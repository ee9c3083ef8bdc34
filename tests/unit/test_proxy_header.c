/* SPDX-License-Identifier: MIT */
/* The PROXY protocol: what is one, what is not yet one, what never will be; each cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/proxy_header.h"

#define V2	"\r\n\r\n\0\r\nQUIT\n"
#define CASE(text)	text, sizeof(text) - 1

struct example {
	const char *text;
	size_t      len;
	const char *source;		/* NULL: none is told */
	unsigned    source_port, dest_port;
};

static const struct example good[] = {
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), "192.0.2.1", 56324, 443 },
	{ CASE("PROXY TCP6 2001:db8::1 ::1 1 0\r\n"), "2001:db8::1", 1, 0 },
	{ CASE("PROXY UNKNOWN\r\n"), NULL, 0, 0 },
	{ CASE("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), NULL, 0, 0 },
	{ CASE(V2 "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"), "192.0.2.1", 56324,
	  443 },
	{ CASE(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
	  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02"), "2001:db8::1", 1, 2 },
	/* With TLVs: one of two bytes, one of none. */
	{ CASE(V2 "\x21\x11\0\x14\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x01\0\x02h2\xee\0\0"),
	  "192.0.2.1", 56324, 443 },
	/* With a checksum. */
	{ CASE(V2 "\x21\x11\0\x16\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x03\0\x04" "\xee\xda\x98\x54"
	  "\xee\0\0"), "192.0.2.1", 56324, 443 },
	{ CASE(V2 "\x20\0\0\0"), NULL, 0, 0 },
	{ CASE(V2 "\x20\x11\0\x02xx"), NULL, 0, 0 },
	{ CASE(V2 "\x21\0\0\x03\x01\0\0"), NULL, 0, 0 },
};
enum { N_GOOD = sizeof(good) / sizeof(good[0]) };

static const struct { const char *text; size_t len; } bad[] = {
	{ CASE("GET / HTTP/1.1\r\n") },
	{ CASE("PROXX ") },
	{ CASE("proxy TCP4 ") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n") },
	{ CASE("PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n") },
	{ CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n") },
	{ CASE("PROXY TCP4 ::1 ::1 1 1\r\n") },
	{ CASE("PROXY TCP6 192.0.2.1 192.0.2.2 1 1\r\n") },
	{ CASE("PROXY TCP4 192.0.2 198.51.100.2 1 1\r\n") },
	{ CASE("PROXY UDP4 192.0.2.1 198.51.100.2 1 1\r\n") },
	{ CASE("PROXY \r\n") },
	{ CASE("PROXY UNKNOWN 45678901234567890123456789012345678901234567890123456789012345678901234567890"
	  "1234567890123456789012345678901234567890") },
	{ CASE("\r\n\r\n\0\r\nQUIT\r") },
	{ CASE(V2 "\x11\x11\0\0") },			/* version 1 */
	{ CASE(V2 "\x22\x11\0\0") },			/* no such command */
	{ CASE(V2 "\x21\x12\0\x0c" "123456789012") },	/* datagrams */
	{ CASE(V2 "\x21\x41\0\x0c" "123456789012") },
	{ CASE(V2 "\x21\x11\0\x0b" "12345678901") },	/* shorter than its addresses */
	{ CASE(V2 "\x21\x21\0\x23" "12345678901234567890123456789012345") },
	{ CASE(V2 "\x21\x11\0\x0e" "123456789012\x01\0") },	/* a TLV cut */
	/* A checksum of something else, two of them, one of three bytes. */
	{ CASE(V2 "\x21\x11\0\x16\xc0\0\x02\x02\xc6\x33\x64\x02\xdc\x04\x01\xbb\x03\0\x04" "\xee\xda\x98\x54"
	  "\xee\0\0") },
	{ CASE(V2 "\x21\x11\0\x1a" "123456789012\x03\0\x04" "1234" "\x03\0\x04" "1234") },
	{ CASE(V2 "\x21\x11\0\x12" "123456789012\x03\0\x03" "123") },
	{ CASE(V2 "\x21\x11\0\x0f" "123456789012\x01\0\x01") },	/* that lies */
	{ CASE(V2 "\x21\x11\x40\0") },			/* longer than is read */
};
enum { N_BAD = sizeof(bad) / sizeof(bad[0]) };

static void
check_good(const char *text, size_t len, const struct example *e)
{
	struct proxy_header h;
	char buf[64], *own = malloc(len + 4);
	size_t i;

	/* Of exactly the size, so that a byte too far is seen by the sanitizer. */
	for (i = 0; i < len; i++) {
		char *cut = malloc(i + 1);

		memcpy(cut, text, i);
		assert_int_equal(proxy_header_parse(str_make(cut, i), &h), PROXY_HEADER_MORE);
		free(cut);
	}
	memcpy(own, text, len);
	memcpy(own + len, "GET ", 4);
	assert_int_equal(proxy_header_parse(str_make(own, len + 4), &h), PROXY_HEADER_DONE);
	assert_int_equal(h.len, len);
	assert_int_equal(h.is_set, e->source != NULL);
	if (e->source != NULL) {
		ip_format(&h.source, buf, sizeof(buf));
		assert_string_equal(buf, e->source);
		assert_int_equal(h.source_port, e->source_port);
		assert_int_equal(h.dest_port, e->dest_port);
	}
	free(own);
}

static void
test_good(void **state)
{
	static const char longest[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65534\r\n";
	static const struct example its = { NULL, 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1", 65535,
		65534 };
	size_t i;

	(void)state;
	check_good(CASE(longest), &its);
	for (i = 0; i < N_GOOD; i++)
		check_good(good[i].text, good[i].len, &good[i]);
}

static void
test_bad(void **state)
{
	struct proxy_header h;
	size_t i;

	(void)state;
	for (i = 0; i < N_BAD; i++) {
		if (proxy_header_parse(str_make(bad[i].text, bad[i].len), &h) != PROXY_HEADER_BAD)
			fail_msg("taken: case %zu", i);
		assert_non_null(h.why);
	}
}

/* A header of as many bytes as are read, and one more. */
static void
test_longest(void **state)
{
	char *text = calloc(1, PROXY_HEADER_MAX);
	struct proxy_header h;
	unsigned body = PROXY_HEADER_MAX - 16;

	(void)state;
	memcpy(text, V2 "\x20\0", 14);
	text[14] = (char)(body >> 8);
	text[15] = (char)body;
	assert_int_equal(proxy_header_parse(str_make(text, PROXY_HEADER_MAX - 1), &h),
	    PROXY_HEADER_MORE);
	assert_int_equal(proxy_header_parse(str_make(text, PROXY_HEADER_MAX), &h), PROXY_HEADER_DONE);
	text[15] = (char)(body + 1);
	assert_int_equal(proxy_header_parse(str_make(text, PROXY_HEADER_MAX), &h), PROXY_HEADER_BAD);
	free(text);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_of(text), &ip));
	return ip;
}

static void
test_write(void **state)
{
	struct ip v4 = ip_of("192.0.2.1"), v6 = ip_of("2001:db8::1"), none = { .is_set = false };
	char buf[PROXY_HEADER_ROOM];
	struct proxy_header h;
	size_t n;

	(void)state;
	n = proxy_header_write(buf, &v4, 56324, &v4, 443);
	assert_int_equal(n, 28);
	assert_int_equal(proxy_header_parse(str_make(buf, n), &h), PROXY_HEADER_DONE);
	assert_memory_equal(&h.source, &v4, sizeof(v4));
	assert_memory_equal(&h.dest, &v4, sizeof(v4));
	assert_int_equal(h.source_port, 56324);
	assert_int_equal(h.dest_port, 443);
	/* Of two families: both as IPv6. */
	n = proxy_header_write(buf, &v4, 1, &v6, 2);
	assert_int_equal(n, 52);
	assert_int_equal(proxy_header_parse(str_make(buf, n), &h), PROXY_HEADER_DONE);
	assert_memory_equal(&h.source, &v4, sizeof(v4));
	assert_memory_equal(&h.dest, &v6, sizeof(v6));
	n = proxy_header_write(buf, &v6, 1, &none, 0);
	assert_int_equal(n, 52);
	n = proxy_header_write(buf, &none, 0, &v4, 443);
	assert_int_equal(n, 16);
	assert_int_equal(proxy_header_parse(str_make(buf, n), &h), PROXY_HEADER_DONE);
	assert_false(h.is_set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
