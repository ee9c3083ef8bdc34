/* SPDX-License-Identifier: MIT */
/* Balancers and passive health: picks by table, with a clock of our own and no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/loop.h"
#include "upstream/backend.h"
#include "upstream/line.h"
#include "upstream/pool.h"

struct fixture {
	struct loop *loop;
	struct arena *arena;
	struct backend_registry registry;
	struct line_registry lines;
	struct upstream_conf conf;
	struct server_conf servers[POOL_MAX_SERVERS];
	struct pool pool;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_level(LOG_LEVEL_ERROR);
	f->loop = loop_new();
	f->arena = arena_new(4096);
	backend_module_init();
	backend_registry_init(&f->registry, f->loop);
	wait_module_init();
	line_registry_init(&f->lines, f->loop);
	f->conf.name = STR("up");
	f->conf.queue.size = 64;
	f->conf.servers = f->servers;
	f->conf.prefix4 = 32;
	f->conf.prefix6 = 64;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	pool_fini(&f->pool);
	assert_int_equal(backend_registry_count(&f->registry), 0);
	assert_int_equal(line_registry_count(&f->lines), 0);
	line_registry_fini(&f->lines);
	wait_module_fini();
	backend_registry_fini(&f->registry);
	backend_module_fini();
	arena_free(f->arena);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void
make(struct fixture *f, enum balance_kind kind, const unsigned *weights, size_t n)
{
	char text[32];
	const char *why;
	size_t i;

	f->conf.balance = kind;
	f->conf.n_servers = n;
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "127.0.0.1:%zu", 9000 + i);
		assert_true(address_parse(f->arena, str_of(text), NULL, &f->servers[i].address, &why));
		f->servers[i].weight = weights[i];
		f->servers[i].max_fails = 2;
		f->servers[i].fail_timeout = 10000;
	}
	pool_init(&f->pool, &f->conf, &f->registry, &f->lines, NULL);
}

/* Picks once and gives the attempt back; the index, or -1. */
static int
pick_at(struct fixture *f, uint64_t tried, uint64_t hash, msec now, struct attempt *keep)
{
	struct pick p = { hash, tried, now };
	struct attempt a;
	int index;

	if (pool_pick(&f->pool, &p, &a) != POOL_GIVEN)
		return -1;
	index = (int)(a.member - f->pool.members);
	if (keep != NULL)
		*keep = a;
	else
		attempt_done(&a);
	return index;
}

static void
test_smooth(void **state)
{
	static const unsigned weights[] = { 5000, 1000, 1000 };
	static const int want[] = { 0, 0, 1, 0, 2, 0, 0 };
	struct fixture *f = *state;
	size_t i;

	make(f, BALANCE_ROUND_ROBIN, weights, 3);
	for (i = 0; i < 21; i++)
		assert_int_equal(pick_at(f, 0, 0, 1, NULL), want[i % 7]);
}

static void
test_decimal_weights(void **state)
{
	static const unsigned weights[] = { 1000, 1200, 1300, 800 };
	unsigned count[4] = { 0 };
	struct fixture *f = *state;
	int i;

	make(f, BALANCE_ROUND_ROBIN, weights, 4);
	for (i = 0; i < 43; i++)
		count[pick_at(f, 0, 0, 1, NULL)]++;
	assert_int_equal(count[0], 10);
	assert_int_equal(count[1], 12);
	assert_int_equal(count[2], 13);
	assert_int_equal(count[3], 8);
}

static void
test_least(void **state)
{
	static const unsigned weights[] = { 1000, 2000, 1000 };
	struct fixture *f = *state;
	struct attempt kept[8];
	unsigned count[3] = { 0 };
	int i;

	make(f, BALANCE_LEAST_REQUESTS, weights, 3);
	for (i = 0; i < 8; i++)
		count[pick_at(f, 0, 0, 1, &kept[i])]++;
	/* In flight in proportion to the weights. */
	assert_int_equal(count[0], 2);
	assert_int_equal(count[1], 4);
	assert_int_equal(count[2], 2);
	/* Who frees a place gets the next one. */
	i = (int)(kept[0].member - f->pool.members);
	attempt_done(&kept[0]);
	assert_int_equal(pick_at(f, 0, 0, 1, &kept[0]), i);
	for (i = 0; i < 8; i++)
		attempt_done(&kept[i]);
}

static void
test_backup_and_down(void **state)
{
	static const unsigned weights[] = { 1000, 1000, 1000 };
	struct fixture *f = *state;

	f->servers[1].backup = true;
	f->servers[2].down = true;
	make(f, BALANCE_ROUND_ROBIN, weights, 3);
	assert_int_equal(pick_at(f, 0, 0, 1, NULL), 0);
	assert_int_equal(pick_at(f, 0, 0, 1, NULL), 0);
	assert_int_equal(pick_at(f, 1, 0, 1, NULL), 1);
	assert_int_equal(pick_at(f, 3, 0, 1, NULL), -1);
}

/* Who leaves takes only its own keys with it; the shares follow the weights. */
static void
test_rendezvous(void **state)
{
	enum { KEYS = 20000 };
	static const unsigned weights[] = { 1000, 1200, 1300, 800 };
	static const double shares[] = { 10 / 43.0, 12 / 43.0, 13 / 43.0, 8 / 43.0 };
	struct fixture *f = *state;
	unsigned count[4] = { 0 };
	struct ip ip;
	uint32_t i;
	int was, is;

	make(f, BALANCE_IP_HASH, weights, 4);
	for (i = 0; i < KEYS; i++) {
		char text[32];
		uint64_t hash;

		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		assert_true(ip_parse(str_of(text), &ip));
		hash = pool_hash_ip(&f->conf, &ip);
		was = pick_at(f, 0, hash, 1, NULL);
		count[was]++;
		is = pick_at(f, 1 << 2, hash, 1, NULL);
		if (was != 2)
			assert_int_equal(is, was);
		assert_int_not_equal(is, 2);
	}
	for (i = 0; i < 4; i++)
		assert_true(count[i] > shares[i] * KEYS * 0.95 && count[i] < shares[i] * KEYS * 1.05);
}

static void
test_prefix(void **state)
{
	static const unsigned weights[] = { 1000 };
	struct fixture *f = *state;
	struct ip a, b;

	make(f, BALANCE_IP_HASH, weights, 1);
	assert_true(ip_parse(STR("192.0.2.1"), &a) && ip_parse(STR("192.0.2.200"), &b));
	assert_true(pool_hash_ip(&f->conf, &a) != pool_hash_ip(&f->conf, &b));
	f->conf.prefix4 = 24;
	assert_true(pool_hash_ip(&f->conf, &a) == pool_hash_ip(&f->conf, &b));
	assert_true(ip_parse(STR("2001:db8::1"), &a) && ip_parse(STR("2001:db8::2:0:0:1"), &b));
	assert_true(pool_hash_ip(&f->conf, &a) == pool_hash_ip(&f->conf, &b));
}

/* No server over bound times its share: the key's next choice takes the overflow. */
static void
test_bound(void **state)
{
	static const unsigned weights[] = { 1000, 1000, 1000, 1000 };
	struct fixture *f = *state;
	struct attempt kept[100];
	unsigned count[4] = { 0 };
	int i;

	f->conf.bound = 125;
	make(f, BALANCE_HASH, weights, 4);
	for (i = 0; i < 100; i++)
		count[pick_at(f, 0, pool_hash_key(STR("the same")), 1, &kept[i])]++;
	for (i = 0; i < 4; i++)
		assert_true(count[i] > 0 && count[i] <= 32);
	for (i = 0; i < 100; i++)
		attempt_done(&kept[i]);
}

static void
fail_once(struct fixture *f, uint64_t tried, msec now)
{
	struct attempt a;

	pick_at(f, tried, 0, now, &a);
	attempt_failure(&a, now, END_BODY_CUT, "test");
	attempt_done(&a);
}

static void
test_ejection(void **state)
{
	static const unsigned weights[] = { 1000, 1000 };
	struct fixture *f = *state;
	struct backend *b;
	struct attempt a;

	make(f, BALANCE_ROUND_ROBIN, weights, 2);
	b = f->pool.members[0].backend;
	fail_once(f, 2, 1000);
	/* The first one has aged: the window slides. */
	fail_once(f, 2, 11000);
	assert_int_equal(backend_health(b, 11000), BACKEND_UP);
	fail_once(f, 2, 12000);
	assert_int_equal(backend_health(b, 12000), BACKEND_EJECTED);
	assert_int_equal(pick_at(f, 0, 0, 21999, NULL), 1);
	assert_int_equal(pick_at(f, 0, 0, 21999, NULL), 1);
	/* Then one at a time. */
	assert_int_equal(pick_at(f, 2, 0, 22000, &a), 0);
	assert_true(a.is_trial);
	assert_int_equal(pick_at(f, 0, 0, 22000, NULL), 1);
	attempt_failure(&a, 22000, END_BODY_CUT, "test");
	attempt_done(&a);
	assert_int_equal(backend_health(b, 31999), BACKEND_EJECTED);
	assert_int_equal(pick_at(f, 2, 0, 32000, &a), 0);
	attempt_success(&a, 32000);
	assert_int_equal(backend_health(b, 32000), BACKEND_UP);
	attempt_done(&a);
}

static void
test_trial_without_verdict(void **state)
{
	static const unsigned weights[] = { 1000, 1000 };
	struct fixture *f = *state;
	struct attempt a;

	make(f, BALANCE_ROUND_ROBIN, weights, 2);
	fail_once(f, 2, 1000);
	fail_once(f, 2, 1000);
	assert_int_equal(pick_at(f, 2, 0, 12000, &a), 0);
	assert_true(a.is_trial);
	attempt_done(&a);
	assert_int_equal(pick_at(f, 2, 0, 12000, &a), 0);
	assert_true(a.is_trial);
	attempt_done(&a);
}

static void
test_fail_open(void **state)
{
	static const unsigned weights[] = { 1000, 1000 };
	struct fixture *f = *state;
	struct attempt a;

	make(f, BALANCE_ROUND_ROBIN, weights, 2);
	fail_once(f, 2, 1000);
	fail_once(f, 2, 1000);
	fail_once(f, 1, 2000);
	fail_once(f, 1, 2000);
	/* The one whose ejection ends first; a good head restores it at once. */
	assert_int_equal(pick_at(f, 0, 0, 3000, &a), 0);
	assert_true(a.is_open);
	attempt_success(&a, 3000);
	attempt_done(&a);
	assert_int_equal(backend_health(f->pool.members[0].backend, 3000), BACKEND_UP);
	assert_int_equal(backend_health(f->pool.members[1].backend, 3000), BACKEND_EJECTED);
}

static void
test_never_ejected(void **state)
{
	static const unsigned weights[] = { 1000 };
	struct fixture *f = *state;
	int i;

	make(f, BALANCE_ROUND_ROBIN, weights, 1);
	f->servers[0].max_fails = 0;
	for (i = 0; i < 100; i++)
		fail_once(f, 0, 1000);
	assert_int_equal(backend_health(f->pool.members[0].backend, 1000), BACKEND_UP);
}

/* A good head, then a cut: one success and one failure. */
static void
test_cut_counts(void **state)
{
	static const unsigned weights[] = { 1000 };
	struct fixture *f = *state;
	struct attempt a;
	int i;

	make(f, BALANCE_ROUND_ROBIN, weights, 1);
	for (i = 0; i < 2; i++) {
		pick_at(f, 0, 0, 1000, &a);
		attempt_success(&a, 1000);
		attempt_failure(&a, 1000, END_BODY_CUT, "body_cut");
		attempt_done(&a);
	}
	assert_int_equal(backend_health(f->pool.members[0].backend, 1000), BACKEND_EJECTED);
}

static void
count_picks(struct fixture *f, msec now, int n, int *first)
{
	*first = 0;
	while (n-- > 0)
		*first += pick_at(f, 0, 0, now, NULL) == 0;
}

static void
test_ramp(void **state)
{
	(void)state;
	assert_int_equal(pool_ramp(1000, 0, 30000), 100);
	assert_int_equal(pool_ramp(1000, 15000, 30000), 550);
	assert_int_equal(pool_ramp(1000, 29999, 30000), 999);
	assert_int_equal(pool_ramp(1000, 30000, 30000), 1000);
	assert_int_equal(pool_ramp(1000000000, 1800000, 3600000), 550000000);
}

/* A server that is back takes a tenth of its share, half of it, all of it; nothing is made up for. */
static void
test_slow_start(void **state)
{
	static const unsigned weights[] = { 1000, 1000 };
	struct fixture *f = *state;
	struct attempt a;
	int n;

	f->conf.slow_start = 30000;
	make(f, BALANCE_ROUND_ROBIN, weights, 2);
	clock_set(1000 * 1000, 0);
	count_picks(f, 1000, 100, &n);
	assert_int_equal(n, 50);
	fail_once(f, 2, 1000);
	fail_once(f, 2, 1000);
	clock_set(11000 * 1000, 0);
	assert_int_equal(pick_at(f, 2, 0, 11000, &a), 0);
	attempt_success(&a, 11000);
	attempt_done(&a);
	count_picks(f, 11000, 110, &n);
	assert_in_range(n, 9, 11);
	count_picks(f, 26000, 155, &n);
	assert_in_range(n, 53, 57);
	count_picks(f, 41000, 100, &n);
	assert_in_range(n, 49, 51);
}

/* The clients of a server that is back return one after the other, and no other client moves. */
static void
test_slow_start_of_hash(void **state)
{
	static const unsigned weights[] = { 1000, 1000, 1000 };
	struct fixture *f = *state;
	int home[300], at, t, i, back = 0, was;

	f->conf.slow_start = 30000;
	make(f, BALANCE_IP_HASH, weights, 3);
	for (i = 0; i < 300; i++)
		home[i] = pick_at(f, 0, (uint64_t)i * 7919, 1000, NULL);
	f->pool.members[0].backend->recovered_at = 1000;
	for (t = 0; t <= 30; t += 10) {
		was = back;
		back = 0;
		for (i = 0; i < 300; i++) {
			at = pick_at(f, 0, (uint64_t)i * 7919, 1000 + t * 1000, NULL);
			if (home[i] != 0)
				assert_int_equal(at, home[i]);
			back += at == 0;
		}
		assert_true(back > was);
	}
	for (i = 0; i < 300; i++)
		back -= home[i] == 0;
	assert_int_equal(back, 0);
}

/* Who is starting or down gets nothing while another may serve; then they do, by turns. */
static void
test_checked(void **state)
{
	static const unsigned weights[] = { 1000, 1000, 1000, 1000 };
	struct fixture *f = *state;
	int i;

	make(f, BALANCE_ROUND_ROBIN, weights, 4);
	backend_checked(f->pool.members[0].backend, BACKEND_DOWN);
	backend_checked(f->pool.members[1].backend, BACKEND_STARTING);
	backend_checked(f->pool.members[2].backend, BACKEND_STARTING);
	for (i = 0; i < 10; i++)
		assert_int_equal(pick_at(f, 0, 0, 1000, NULL), 3);
	/* One that is left out for its failures has at least been there. */
	fail_once(f, 7, 1000);
	fail_once(f, 7, 1000);
	assert_int_equal(pick_at(f, 0, 0, 1000, NULL), 3);
	assert_true(pick_at(f, 8, 0, 1000, NULL) + pick_at(f, 8, 0, 1000, NULL) == 1 + 2);
	assert_int_equal(pick_at(f, 14, 0, 1000, NULL), 0);
	backend_checked(f->pool.members[0].backend, BACKEND_PASSES);
	assert_int_equal(pick_at(f, 0, 0, 1000, NULL), 0);
	assert_true(f->pool.members[0].backend->recovered_at > 0);
	assert_int_equal(f->pool.members[1].backend->recovered_at, 0);
	for (i = 0; i < 4; i++)
		backend_checked(f->pool.members[i].backend, BACKEND_UNCHECKED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_smooth), CASE(test_decimal_weights), CASE(test_least),
		CASE(test_backup_and_down), CASE(test_rendezvous), CASE(test_prefix),
		CASE(test_bound), CASE(test_ejection), CASE(test_trial_without_verdict),
		CASE(test_fail_open), CASE(test_never_ejected), CASE(test_cut_counts),
		cmocka_unit_test(test_ramp), CASE(test_slow_start), CASE(test_slow_start_of_hash), CASE(test_checked),
	};

	return cmocka_run_group_tests_name("upstream", tests, NULL, NULL);
}
