/* SPDX-License-Identifier: MIT */
/* The line in front of an upstream: who gets which server when, over generations and upstreams. */
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
#include "base/slab.h"
#include "net/loop.h"
#include "upstream/backend.h"
#include "upstream/line.h"
#include "upstream/pool.h"

enum { POOLS = 3, SERVERS = 4, MANY = 64 };

struct one {
	struct place   place;
	struct pick    pick;
	struct attempt attempt;
	int            number;
};

static struct loop *loop;
static struct arena *arena;
static struct backend_registry backends;
static struct line_registry lines;
static struct upstream_conf confs[POOLS];
static struct server_conf servers[POOLS][SERVERS];
static struct pool pools[POOLS];
static bool made[POOLS];
static struct one ones[MANY];
static int ran[MANY];
static int n_ran;

static void
on_turn(void *arg)
{
	ran[n_ran++] = ((struct one *)arg)->number;
}

static int
setup(void **state)
{
	int i;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	loop = loop_new();
	arena = arena_new(4096);
	backend_module_init();
	wait_module_init();
	backend_registry_init(&backends, loop);
	line_registry_init(&lines, loop);
	memset(confs, 0, sizeof(confs));
	memset(servers, 0, sizeof(servers));
	memset(made, 0, sizeof(made));
	memset(ones, 0, sizeof(ones));
	n_ran = 0;
	for (i = 0; i < MANY; i++) {
		ones[i].number = i;
		place_init(&ones[i].place, on_turn, &ones[i]);
	}
	return 0;
}

static int
teardown(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		place_leave(&ones[i].place, END_CLIENT_ABORT);
		attempt_done(&ones[i].attempt);
	}
	for (i = 0; i < POOLS; i++)
		if (made[i])
			pool_fini(&pools[i]);
	assert_int_equal(line_registry_count(&lines), 0);
	assert_int_equal(backend_registry_count(&backends), 0);
	line_registry_fini(&lines);
	backend_registry_fini(&backends);
	assert_int_equal(slab_books(), 0);
	wait_module_fini();
	backend_module_fini();
	arena_free(arena);
	loop_free(loop);
	return 0;
}

/* Pool i of that name with servers "first" .. on, each with that limit. */
static void
make(int i, const char *name, int first, int n, unsigned limit)
{
	char text[32];
	const char *why;
	int k;

	confs[i].name = str_of(name);
	confs[i].servers = servers[i];
	confs[i].n_servers = (size_t)n;
	confs[i].queue.size = MANY;
	for (k = 0; k < n; k++) {
		snprintf(text, sizeof(text), "127.0.0.1:%d", 9000 + first + k);
		assert_true(address_parse(arena, str_of(text), NULL, &servers[i][k].address, &why));
		servers[i][k].weight = 1000;
		servers[i][k].max_inflight = limit;
		servers[i][k].max_fails = 1;
		servers[i][k].fail_timeout = 200;
	}
	pool_init(&pools[i], &confs[i], &backends, &lines, NULL);
	pool_adopt(&pools[i]);
	made[i] = true;
}

static enum line_answer
ask(int i, int pool, const char *client)
{
	ones[i].pick.now = clock_now();
	return line_ask(&ones[i].place, &pools[pool], &ones[i].pick, &ones[i].attempt,
	    str_of(client), i);
}

static void
done(int i)
{
	attempt_done(&ones[i].attempt);
}

/* What the loop would run; the last one that was, or -1. */
static int
turn(void)
{
	int had = n_ran;

	clock_update();
	if (lines.task.is_queued) {
		loop_cancel(loop, &lines.task);
		lines.task.run(lines.task.arg);
	}
	return n_ran > had ? ran[n_ran - 1] : -1;
}

static int
server_of(int i)
{
	return (int)(ones[i].attempt.member - ones[i].attempt.pool->members);
}

static void
test_waits_and_is_served(void **state)
{
	(void)state;
	make(0, "up", 0, 2, 1);
	assert_int_equal(ask(0, 0, "a"), LINE_GIVEN);
	assert_int_equal(ask(1, 0, "a"), LINE_GIVEN);
	assert_int_equal(ask(2, 0, "a"), LINE_WAIT);
	assert_int_equal(ask(3, 0, "a"), LINE_WAIT);
	assert_int_equal(turn(), -1);
	done(1);
	/* Only the loop runs who was served. */
	assert_int_equal(n_ran, 0);
	assert_int_equal(turn(), 2);
	assert_int_equal(server_of(2), 1);
	assert_int_equal(turn(), -1);
	done(0);
	assert_int_equal(turn(), 3);
	assert_int_equal(server_of(3), 0);
	assert_int_equal(pools[0].line->stats.served, 2);
	assert_int_equal(pools[0].line->stats.max, 2);
}

/* Between the end of one and the turn of the next nobody slips in. */
static void
test_no_slipping_in(void **state)
{
	(void)state;
	make(0, "up", 0, 1, 1);
	ask(0, 0, "a");
	assert_int_equal(ask(1, 0, "a"), LINE_WAIT);
	done(0);
	assert_int_equal(ask(2, 0, "b"), LINE_WAIT);
	assert_true(place_is_taken(&ones[1].place) && !place_is_waiting(&ones[1].place));
	/* And who leaves with a server in hand passes it on. */
	place_leave(&ones[1].place, END_CLIENT_ABORT);
	done(1);
	assert_int_equal(turn(), 2);
	assert_int_equal(n_ran, 1);
}

static void
test_size(void **state)
{
	(void)state;
	make(0, "up", 0, 1, 1);
	confs[0].queue.size = 2;
	ask(0, 0, "a");
	assert_int_equal(ask(1, 0, "a"), LINE_WAIT);
	assert_int_equal(ask(2, 0, "b"), LINE_WAIT);
	assert_int_equal(ask(3, 0, "c"), LINE_FULL);
	assert_false(place_is_taken(&ones[3].place));
	place_leave(&ones[1].place, END_QUEUE_TIMEOUT);
	assert_int_equal(ask(3, 0, "c"), LINE_WAIT);
	assert_int_equal(pools[0].line->stats.refused, 1);
	assert_int_equal(pools[0].line->stats.timed_out, 1);
}

/* Who cannot use what is free blocks nobody, and is not starved by those who can. */
static void
test_tried(void **state)
{
	int i;

	(void)state;
	make(0, "up", 0, 2, 1);
	for (i = 0; i < 2; i++)
		assert_int_equal(ask(i, 0, "x"), LINE_GIVEN);
	ask(10, 0, "c");
	ask(11, 0, "c");
	/* 5 came before them and has failed on server 0. */
	ones[5].pick.tried = 1;
	assert_int_equal(ask(5, 0, "c"), LINE_WAIT);
	done(0);
	/* It is the first of its client; but it cannot use server 0. */
	assert_int_equal(turn(), 10);
	assert_int_equal(server_of(10), 0);
	done(1);
	assert_int_equal(turn(), 5);
	assert_int_equal(server_of(5), 1);
	done(5);
	assert_int_equal(turn(), 11);
}

/* Two clients and two servers that free in step: the one who needs server 1 gets it all the same. */
static void
test_tried_in_lockstep(void **state)
{
	int on[2] = { 0, 1 }, i, side, got = -1, order = 0;

	(void)state;
	make(0, "up", 0, 2, 1);
	ask(0, 0, "x");
	ask(1, 0, "x");
	for (i = 10; i < 20; i++)
		ask(i, 0, "a");
	for (i = 20; i < 30; i++)
		ask(i, 0, "b");
	ones[5].pick.tried = 1;
	assert_int_equal(ask(5, 0, "a"), LINE_WAIT);
	for (side = 0; got != 5; side = !side) {
		done(on[side]);
		got = turn();
		assert_true(got >= 0 && ++order <= 4);
		on[server_of(got)] = got;
	}
	assert_int_equal(server_of(5), 1);
}

static void
test_all_tried(void **state)
{
	(void)state;
	make(0, "up", 0, 2, 1);
	ones[0].pick.tried = 3;
	assert_int_equal(ask(0, 0, "a"), LINE_NONE);
}

static void
test_backups(void **state)
{
	(void)state;
	servers[0][1].backup = true;
	make(0, "up", 0, 2, 1);
	assert_int_equal(ask(0, 0, "a"), LINE_GIVEN);
	assert_int_equal(server_of(0), 0);
	assert_int_equal(ask(1, 0, "a"), LINE_GIVEN);
	assert_int_equal(server_of(1), 1);
	assert_int_equal(ask(2, 0, "a"), LINE_WAIT);
	done(1);
	assert_int_equal(turn(), 2);
	assert_int_equal(server_of(2), 1);
}

/* The key's next choice while that is free, then the line. */
static void
test_sticky(void **state)
{
	int first, i;

	(void)state;
	confs[0].balance = BALANCE_IP_HASH;
	make(0, "up", 0, 3, 1);
	for (i = 0; i < 4; i++)
		ones[i].pick.hash = 12345;
	assert_int_equal(ask(0, 0, "a"), LINE_GIVEN);
	first = server_of(0);
	assert_int_equal(ask(1, 0, "a"), LINE_GIVEN);
	assert_int_not_equal(server_of(1), first);
	assert_int_equal(ask(2, 0, "a"), LINE_GIVEN);
	assert_int_equal(ask(3, 0, "a"), LINE_WAIT);
	done(0);
	assert_int_equal(turn(), 3);
	assert_int_equal(server_of(3), first);
}

/* --- health ---------------------------------------------------------------------------------------- */

static void
fail_on(int i)
{
	attempt_failure(&ones[i].attempt, clock_now(), END_BODY_CUT, "test");
}

/* The end of an ejection is no event of anybody's: a timer is. */
static void
test_ejection_ends(void **state)
{
	int i;

	(void)state;
	make(0, "up", 0, 2, 1);
	ask(0, 0, "a");
	ask(1, 0, "a");
	fail_on(0);
	done(0);
	assert_int_equal(ask(2, 0, "a"), LINE_WAIT);
	assert_int_equal(ask(3, 0, "a"), LINE_WAIT);
	assert_int_equal(turn(), -1);
	for (i = 0; i < 100 && n_ran == 0; i++)
		loop_turn(loop);
	assert_int_equal(n_ran, 1);
	assert_int_equal(ran[0], 2);
	assert_int_equal(server_of(2), 0);
	assert_true(ones[2].attempt.is_trial);
}

/* One at a time until the trial's verdict, then as many as there is room for. */
static void
test_trial(void **state)
{
	int i;

	(void)state;
	make(0, "up", 0, 2, 3);
	for (i = 0; i < 6; i++)
		assert_int_equal(ask(i, 0, "a"), LINE_GIVEN);
	for (i = 10; i < 14; i++)
		assert_int_equal(ask(i, 0, "a"), LINE_WAIT);
	fail_on(0);
	assert_int_equal(server_of(0), 0);
	for (i = 0; i < 6; i += 2)
		done(i);
	assert_int_equal(turn(), -1);
	for (i = 0; i < 100 && n_ran == 0; i++)
		loop_turn(loop);
	assert_int_equal(n_ran, 1);
	assert_int_equal(ran[0], 10);
	assert_int_equal(turn(), -1);
	/* Without a verdict the next one tries. */
	done(10);
	assert_int_equal(turn(), 11);
	assert_int_equal(n_ran, 2);
	attempt_success(&ones[11].attempt, clock_now());
	assert_int_equal(turn(), 13);
	assert_int_equal(n_ran, 4);
}

/* Waiting for a busy server; once the last one is out, for nobody: fail open, but not over the limit. */
static void
test_fail_open(void **state)
{
	(void)state;
	make(0, "up", 0, 2, 2);
	ask(0, 0, "a");
	ask(1, 0, "a");
	ask(2, 0, "a");
	ask(3, 0, "a");
	assert_int_equal(ask(4, 0, "a"), LINE_WAIT);
	assert_int_equal(ask(5, 0, "a"), LINE_WAIT);
	fail_on(0);
	done(0);
	/* Server 0 has room but is out, server 1 is full and well: wait for that. */
	assert_int_equal(server_of(1), 1);
	assert_int_equal(turn(), -1);
	fail_on(1);
	/* All are out: server 0 has room for one. */
	assert_int_equal(turn(), 4);
	assert_int_equal(server_of(4), 0);
	assert_true(ones[4].attempt.is_open);
	assert_int_equal(turn(), -1);
	/* Both are full now, and all are out: that is no reason to give up. */
	assert_int_equal(ask(6, 0, "a"), LINE_WAIT);
	done(4);
	assert_int_equal(turn(), 5);
}

/* --- generations ----------------------------------------------------------------------------------- */

static void
test_one_line_over_generations(void **state)
{
	int i;

	(void)state;
	make(0, "up", 0, 2, 1);
	ask(0, 0, "x");
	ask(1, 0, "x");
	for (i = 10; i < 13; i++)
		ask(i, 0, "old");
	make(1, "up", 0, 2, 1);
	assert_ptr_equal(pools[0].line, pools[1].line);
	assert_int_equal(ask(20, 1, "old"), LINE_WAIT);
	for (i = 0; i < 4; i++) {
		static const int want[] = { 10, 11, 12, 20 };

		done(i == 0 ? 0 : want[i - 1]);
		assert_int_equal(turn(), want[i]);
	}
}

/* The new number counts for those who waited under the old one, up and down. */
static void
test_new_limit(void **state)
{
	int i;

	(void)state;
	make(0, "up", 0, 1, 1);
	ask(0, 0, "x");
	for (i = 10; i < 15; i++)
		ask(i, 0, "old");
	make(1, "up", 0, 1, 3);
	assert_int_equal(turn(), 11);
	assert_int_equal(n_ran, 2);
	make(2, "up", 0, 1, 2);
	done(0);
	assert_int_equal(turn(), -1);
	done(10);
	assert_int_equal(turn(), 12);
}

/* New servers are of no use to the old ones, whom nobody passes at theirs. */
static void
test_new_servers(void **state)
{
	(void)state;
	make(0, "up", 0, 1, 1);
	ask(0, 0, "x");
	ask(1, 0, "old");
	make(1, "up", 0, 2, 1);
	assert_int_equal(ask(2, 1, "new"), LINE_GIVEN);
	assert_int_equal(server_of(2), 1);
	assert_int_equal(ask(3, 1, "new"), LINE_WAIT);
	done(2);
	assert_int_equal(turn(), 3);
	assert_int_equal(ask(4, 1, "new"), LINE_WAIT);
	done(0);
	assert_int_equal(turn(), 1);
	done(1);
	assert_int_equal(turn(), 4);
}

/* --- two upstreams that name one server -------------------------------------------------------------- */

static void
test_shared_server(void **state)
{
	int i, on = 0;

	(void)state;
	make(0, "one", 0, 1, 1);
	make(1, "two", 0, 1, 1);
	ask(0, 0, "x");
	for (i = 10; i < 15; i++)
		assert_int_equal(ask(i, 0, "a"), LINE_WAIT);
	for (i = 20; i < 25; i++)
		assert_int_equal(ask(i, 1, "a"), LINE_WAIT);
	for (i = 0; i < 10; i++) {
		done(on);
		on = turn();
		assert_int_equal(on, i % 2 == 0 ? 10 + i / 2 : 20 + i / 2);
	}
}

/* An upstream without a limit neither waits nor takes slots; with one from now on, it does. */
static void
test_unlimited_beside(void **state)
{
	(void)state;
	make(0, "up", 0, 1, 1);
	make(1, "pages", 0, 1, 0);
	assert_int_equal(ask(0, 1, "a"), LINE_GIVEN);
	assert_int_equal(ask(1, 1, "a"), LINE_GIVEN);
	assert_int_equal(ask(2, 0, "a"), LINE_GIVEN);
	assert_int_equal(ask(3, 1, "a"), LINE_GIVEN);
	assert_int_equal(ask(4, 0, "a"), LINE_WAIT);
	make(2, "pages", 0, 1, 2);
	assert_int_equal(pools[0].members[0].backend->slots, 4);
	done(2);
	assert_int_equal(turn(), -1);
	done(0);
	done(1);
	assert_int_equal(turn(), -1);
	done(3);
	assert_int_equal(turn(), 4);
	assert_int_equal(pools[0].members[0].backend->slots, 1);
}

/* --- the rate ---------------------------------------------------------------------------------------- */

static void
test_retry_after(void **state)
{
	static int64_t now = 1000000000;
	int i;

	(void)state;
	make(0, "up", 0, 4, 1);
	clock_set(now, now);
	assert_int_equal(line_retry_after(pools[0].line), 1);
	for (i = 0; i < 4; i++)
		ask(i, 0, "a");
	/* Nothing ended yet: nothing is known. */
	assert_int_equal(line_retry_after(pools[0].line), 1);
	for (i = 0; i < 4; i++) {
		now += 500000;
		clock_set(now, now);
		done(i);
		ones[i].pick.tried = 0;
		ask(i, 0, "a");
	}
	for (i = 0; i < 40; i++) {
		now += 500000;
		clock_set(now, now);
		done(i % 4);
		ones[i % 4].pick.tried = 0;
		ask(i % 4, 0, "a");
	}
	/* Four at a time, two seconds each: two a second. */
	for (i = 10; i < 10 + 15; i++)
		ask(i, 0, "a");
	assert_in_range(line_retry_after(pools[0].line), 8, 9);
	line_took(pools[0].line, (int64_t)1 << 40);
	assert_int_equal(line_retry_after(pools[0].line), 300);
	clock_update();
}

/* --- everything at once ------------------------------------------------------------------------------ */

/* Random events; whatever happens, limits hold, and once all is quiet nobody waits beside a free server. */
static void
test_storm(void **state)
{
	unsigned seed = 42;
	bool has[MANY];
	int step, i, k;

	(void)state;
	memset(has, 0, sizeof(has));
	make(0, "up", 0, 3, 2);
	make(1, "up", 1, 3, 2);
	make(2, "other", 2, 2, 2);
	for (step = 0; step < 100000; step++) {
		seed = seed * 1103515245 + 12345;
		i = (int)(seed >> 16) % MANY;
		if (place_is_taken(&ones[i].place)) {
			if ((seed >> 8 & 3) == 0) {
				place_leave(&ones[i].place, END_CLIENT_ABORT);
				done(i);
			}
		} else if (ones[i].attempt.member != NULL) {
			if ((seed >> 11 & 7) == 0)
				fail_on(i);
			else
				attempt_success(&ones[i].attempt, clock_now());
			done(i);
			if ((seed >> 8 & 7) == 0)
				ask(i, i % POOLS, "r");
		} else {
			char name[2] = { (char)('a' + i % 5), '\0' };

			ones[i].pick.tried = 0;
			ask(i, i % POOLS, name);
		}
		n_ran = 0;
		if ((seed >> 4 & 1) != 0)
			turn();
		for (k = 0; k < 3; k++)
			assert_true(pools[0].members[k].backend->inflight <= 2);
		assert_true(pools[2].members[1].backend->inflight <= 2);
	}
	for (k = 0; k < 1000; k++) {
		n_ran = 0;
		turn();
		for (i = 0; i < MANY && ones[i].attempt.member == NULL; i++)
			;
		if (i == MANY)
			break;
		done(i);
	}
	for (i = 0; i < MANY; i++)
		assert_false(place_is_taken(&ones[i].place));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_waits_and_is_served), CASE(test_no_slipping_in), CASE(test_size),
		CASE(test_tried), CASE(test_tried_in_lockstep), CASE(test_all_tried),
		CASE(test_backups), CASE(test_sticky), CASE(test_ejection_ends), CASE(test_trial),
		CASE(test_fail_open), CASE(test_one_line_over_generations), CASE(test_new_limit),
		CASE(test_new_servers), CASE(test_shared_server),
		CASE(test_unlimited_beside), CASE(test_retry_after),
		CASE(test_storm),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
