/* SPDX-License-Identifier: MIT */
/* Slices, numbers, tables, arenas, slabs, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/slab.h"
#include "base/str.h"
#include "base/table.h"

static void
test_durations(void **state)
{
	static const struct { const char *text; msec want; } rows[] = {
		{ "0", 0 }, { "250ms", 250 }, { "10s", 10000 }, { "5m", 300000 }, { "1h", 3600000 },
		{ "2d", 172800000 }, { "", -1 }, { "10", -1 }, { "s", -1 }, { "-1s", -1 },
		{ "1.5s", -1 }, { "1 s", -1 }, { "10S", -1 }, { "99999999999999999999s", -1 },
		{ "9223372036854775807h", -1 }, { "1s ", -1 },
	};
	size_t i;
	msec out;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		out = -1;
		assert_int_equal(str_to_msec(str_of(rows[i].text), &out), rows[i].want >= 0);
		assert_int_equal(out, rows[i].want);
	}
}

static void
test_sizes(void **state)
{
	static const struct { const char *text; long long want; } rows[] = {
		{ "0", 0 }, { "512", 512 }, { "512B", 512 }, { "64KB", 65536 }, { "1MB", 1048576 },
		{ "1GB", 1073741824 }, { "2TB", 2199023255552 }, { "", -1 }, { "KB", -1 },
		{ "1kb", -1 }, { "1K", -1 }, { "-1KB", -1 }, { "9999999999999999999TB", -1 },
		{ "9223372036854775807KB", -1 },
	};
	size_t i;
	uint64_t out;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		out = (uint64_t)-1;
		assert_int_equal(str_to_size(str_of(rows[i].text), &out), rows[i].want >= 0);
		assert_int_equal(out, rows[i].want);
	}
}

static void
test_lists(void **state)
{
	struct str rest = STR(" a, ,b ,\"c,d\\\"e\" x,,f"), item;
	static const char *const want[] = { "a", "b", "\"c,d\\\"e\" x", "f" };
	size_t n = 0;

	(void)state;
	while (str_next_item(&rest, &item)) {
		assert_true(n < 4);
		assert_true(str_eq(item, str_of(want[n])));
		n++;
	}
	assert_int_equal(n, 4);
}

static void
test_distance(void **state)
{
	(void)state;
	assert_int_equal(str_distance(STR("weight"), STR("weight")), 0);
	assert_int_equal(str_distance(STR("wieght"), STR("weight")), 1);
	assert_int_equal(str_distance(STR("weigt"), STR("weight")), 1);
	assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
	assert_int_equal(str_distance(STR(""), STR("abc")), 3);
}

static void
test_table(void **state)
{
	enum { N = 5000 };
	static char keys[N][16];
	struct table t = { 0 };
	struct str key;
	void *value;
	size_t pos = 0, seen = 0;
	int i;

	(void)state;
	assert_null(table_get(&t, STR("x")));
	for (i = 0; i < N; i++) {
		snprintf(keys[i], sizeof(keys[i]), "key %d", i);
		assert_null(table_set(&t, str_of(keys[i]), keys[i]));
	}
	for (i = 0; i < N; i += 2)
		assert_ptr_equal(table_remove(&t, str_of(keys[i])), keys[i]);
	assert_int_equal(t.n, N / 2);
	for (i = 0; i < N; i++)
		assert_ptr_equal(table_get(&t, str_of(keys[i])), i % 2 ? keys[i] : NULL);
	while (table_next(&t, &pos, &key, &value))
		seen++;
	assert_int_equal(seen, N / 2);
	/* Adding and removing for ever does not make it grow. */
	for (i = 0; i < 100 * N; i++) {
		table_set(&t, str_of(keys[0]), keys[0]);
		table_remove(&t, str_of(keys[0]));
	}
	assert_true(t.cap <= 16384);
	table_fini(&t);
}

static void
test_arena(void **state)
{
	struct arena *a = arena_new(512);
	char *p[200];
	struct str s;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		p[i] = arena_alloc(a, (size_t)i + 1);
		memset(p[i], i, (size_t)i + 1);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
	}
	for (i = 0; i < 200; i++)
		assert_int_equal((unsigned char)p[i][i], i);
	s = arena_printf(a, "%d-%s", 42, "x");
	assert_true(str_eq(s, STR("42-x")));
	assert_int_equal(s.p[s.len], '\0');
	assert_true(arena_size(a) > 20000);
	arena_reset(a);
	assert_true(arena_size(a) <= 512);
	arena_free(a);
}

static void
test_slab(void **state)
{
	struct slab s;
	char *a, *b;

	(void)state;
	slab_init(&s, "test", 100);
	a = slab_take(&s);
	memset(a, 1, 100);
	slab_give(&s, a);
	assert_int_equal(a[0], 1);	/* until the turn ends */
	b = slab_take(&s);
	assert_ptr_not_equal(a, b);
	slab_reap_all();
	assert_ptr_equal(slab_take(&s), a);
	assert_int_equal(a[0], 0);
	assert_int_equal(s.live, 2);
	slab_give(&s, a);
	slab_give(&s, b);
	assert_int_equal(slab_books(), 0);
	slab_fini(&s);
}

static void
test_addresses(void **state)
{
	static const struct { const char *in, *host, *want; } rows[] = {
		{ "127.0.0.1:80", NULL, "127.0.0.1:80" }, { "[::1]:80", NULL, "[::1]:80" },
		{ "[2001:DB8:0:0::1]:8080", NULL, "[2001:db8::1]:8080" },
		{ "unix:/run/x.sock", NULL, "unix:/run/x.sock" }, { "gpu-1.local:8001", NULL, "gpu-1.local:8001" },
		{ "8080", "0.0.0.0", "0.0.0.0:8080" }, { "8080", NULL, NULL }, { "::1:80", NULL, NULL },
		{ "1.2.3:80", NULL, NULL }, { "1.2.3.4:0", NULL, NULL }, { "1.2.3.4:65536", NULL, NULL },
		{ "1.2.3.4:", NULL, NULL }, { ":80", NULL, NULL }, { "", "0.0.0.0", NULL },
		{ "unix:x", NULL, NULL }, { "a b:80", NULL, NULL }, { "[1.2.3.4]:80", NULL, NULL },
		{ "-x:80", NULL, NULL },
	};
	struct arena *arena = arena_new(1024);
	struct address out;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = address_parse(arena, str_of(rows[i].in), rows[i].host, &out, &why);

		if (ok != (rows[i].want != NULL))
			fail_msg("%s", rows[i].in);
		if (ok && !str_eq(out.text, str_of(rows[i].want)))
			fail_msg("%s gave %.*s", rows[i].in, STR_ARG(out.text));
	}
	arena_free(arena);
}

static void
test_addresses_of_servers(void **state)
{
	static const struct { const char *in, *want; uint16_t port; } rows[] = {
		{ "127.0.0.1:80", "127.0.0.1:80", 80 }, { "https://a.example", "https://a.example:443", 443 },
		{ "https://a.example:8443", "https://a.example:8443", 8443 },
		{ "http://a.example", "a.example:80", 80 }, { "http://[::1]:81", "[::1]:81", 81 },
		{ "https://[::1]", "https://[::1]:443", 443 }, { "https://1.2.3.4", "https://1.2.3.4:443", 443 },
		{ "unix:/x", "unix:/x", 0 }, { "https://", NULL, 0 }, { "https:///", NULL, 0 },
		{ "https://a:1/", NULL, 0 }, { "https://unix:/x", NULL, 0 }, { "https://:443", NULL, 0 },
		{ "https://a:", NULL, 0 }, { "https://::1", NULL, 0 }, { "https://https://a", NULL, 0 },
		{ "HTTPS://a", NULL, 0 }, { "https://[::1", NULL, 0 }, { "https://u@a", NULL, 0 },
	};
	struct arena *arena = arena_new(1024);
	struct address out;
	const char *why;
	bool is_tls;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = address_parse_server(arena, str_of(rows[i].in), &out, &is_tls, &why);

		if (ok != (rows[i].want != NULL))
			fail_msg("%s", rows[i].in);
		if (!ok)
			continue;
		if (!str_eq(out.text, str_of(rows[i].want)) || out.port != rows[i].port)
			fail_msg("%s gave %.*s", rows[i].in, STR_ARG(out.text));
		assert_int_equal(is_tls, strncmp(rows[i].want, "https://", 8) == 0);
	}
	arena_free(arena);
}

static void
test_networks(void **state)
{
	static const struct { const char *net, *ip; int has; } rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", 1 }, { "10.0.0.0/8", "11.0.0.1", 0 },
		{ "0.0.0.0/0", "1.2.3.4", 1 }, { "0.0.0.0/0", "::1", 0 }, { "::/0", "::1", 1 },
		{ "::/0", "1.2.3.4", 0 }, { "127.0.0.1", "127.0.0.1", 1 }, { "127.0.0.1", "127.0.0.2", 0 },
		{ "fd00::/8", "fd12::1", 1 }, { "fd00::/8", "fe00::1", 0 },
		{ "192.0.2.128/25", "192.0.2.129", 1 }, { "192.0.2.128/25", "192.0.2.1", 0 },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", 1 }, { "10.0.0.1/8", NULL, -1 },
		{ "10.0.0.0/33", NULL, -1 }, { "::1/129", NULL, -1 }, { "x/8", NULL, -1 }, { "10.0.0.0/", NULL, -1 },
	};
	struct network net;
	struct ip ip;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (network_parse(str_of(rows[i].net), &net, &why) != (rows[i].has >= 0))
			fail_msg("%s", rows[i].net);
		if (rows[i].has < 0)
			continue;
		assert_true(ip_parse(str_of(rows[i].ip), &ip));
		if (network_has(&net, &ip) != rows[i].has)
			fail_msg("%s %s", rows[i].net, rows[i].ip);
	}
}

static void
test_date(void **state)
{
	(void)state;
	clock_set(1, 784111777LL * 1000000);
	assert_true(str_eq(clock_http_date(), STR("Sun, 06 Nov 1994 08:49:37 GMT")));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_lists), cmocka_unit_test(test_distance),
		cmocka_unit_test(test_table), cmocka_unit_test(test_arena), cmocka_unit_test(test_slab),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_addresses_of_servers),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_date),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
