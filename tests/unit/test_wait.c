/* SPDX-License-Identifier: MIT */
/* Waiting in line: turns, order, leaving from anywhere; checked against a slow model of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"
#include "base/wait.h"

enum { MANY = 64 };

struct person {
	struct waiter waiter;
	int           number;
	char          client[8];
};

static struct waiter_list ready;
static struct wait_line line;
static struct person people[MANY];
static int ran[MANY * 4];
static size_t n_ran;

static void
on_run(void *arg)
{
	ran[n_ran++] = ((struct person *)arg)->number;
}

static int
setup(void **state)
{
	int i;

	(void)state;
	wait_module_init();
	TAILQ_INIT(&ready);
	wait_line_init(&line, &ready);
	n_ran = 0;
	for (i = 0; i < MANY; i++) {
		waiter_init(&people[i].waiter, on_run, &people[i]);
		people[i].number = i;
	}
	return 0;
}

static int
teardown(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < MANY; i++)
		wait_leave(&people[i].waiter);
	wait_line_fini(&line);
	assert_int_equal(slab_books(), 0);
	wait_module_fini();
	return 0;
}

static void
join(int i, const char *client, bool again)
{
	snprintf(people[i].client, sizeof(people[i].client), "%s", client);
	wait_join(&line, &people[i].waiter, str_of(client), i, again);
}

static int
serve(void)
{
	struct waiter *w = wait_first(&line);

	if (w == NULL)
		return -1;
	wait_wake(w);
	return ((struct person *)w->arg)->number;
}

/* Fifty of one, one of another: the other comes second, whenever it came. */
static void
test_turns(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		join(i, "a", false);
	join(50, "b", false);
	assert_int_equal(line.n, 51);
	assert_int_equal(serve(), 0);
	assert_int_equal(serve(), 50);
	join(51, "b", false);
	assert_int_equal(serve(), 1);
	assert_int_equal(serve(), 51);
	for (i = 2; i < 50; i++)
		assert_int_equal(serve(), i);
	assert_int_equal(serve(), -1);
	assert_int_equal(line.n, 0);
}

static void
test_woken_run_later_and_in_order(void **state)
{
	(void)state;
	join(0, "a", false);
	join(1, "b", false);
	join(2, "c", false);
	serve();
	serve();
	serve();
	assert_int_equal(n_ran, 0);
	assert_true(wait_is_waiting(&people[1].waiter) && !wait_is_in_line(&people[1].waiter));
	/* Leaving the ready line is leaving too. */
	wait_leave(&people[1].waiter);
	wait_run(&ready);
	assert_int_equal(n_ran, 2);
	assert_int_equal(ran[0], 0);
	assert_int_equal(ran[1], 2);
	assert_false(wait_is_waiting(&people[0].waiter));
}

static void
join_behind(void *arg)
{
	struct person *p = arg;

	on_run(p);
	if (n_ran < 10)
		join(p->number, "a", false);
}

/* Who is run may join again at once. */
static void
test_run_may_join(void **state)
{
	(void)state;
	waiter_init(&people[0].waiter, join_behind, &people[0]);
	join(0, "a", false);
	serve();
	wait_run(&ready);
	assert_int_equal(n_ran, 1);
	assert_true(wait_is_in_line(&people[0].waiter));
	wait_leave(&people[0].waiter);
}

static void
test_leaving(void **state)
{
	(void)state;
	join(0, "a", false);
	join(1, "a", false);
	join(2, "a", false);
	join(3, "b", false);
	wait_leave(&people[1].waiter);
	wait_leave(&people[1].waiter);
	wait_leave(&people[3].waiter);
	assert_int_equal(line.n, 2);
	assert_int_equal(serve(), 0);
	assert_int_equal(serve(), 2);
	assert_int_equal(serve(), -1);
}

/* Who comes again goes first, behind others who come again; by age within its client. */
static void
test_again(void **state)
{
	(void)state;
	join(10, "a", false);
	join(11, "b", false);
	join(12, "c", false);
	join(13, "c", false);
	join(3, "c", true);
	join(1, "d", true);
	join(2, "c", true);
	assert_int_equal(serve(), 2);
	assert_int_equal(serve(), 1);
	assert_int_equal(serve(), 10);
	assert_int_equal(serve(), 11);
	assert_int_equal(serve(), 3);
	assert_int_equal(serve(), 12);
	assert_int_equal(serve(), 13);
}

static void
test_walk(void **state)
{
	struct waiter *w;

	(void)state;
	assert_null(wait_first(&line));
	join(0, "a", false);
	join(1, "b", false);
	join(2, "a", false);
	join(3, "", false);
	w = wait_first(&line);
	assert_ptr_equal(w, &people[0].waiter);
	assert_ptr_equal(wait_behind(w), &people[2].waiter);
	assert_null(wait_behind(wait_behind(w)));
	w = wait_next_turn(w);
	assert_ptr_equal(w, &people[1].waiter);
	w = wait_next_turn(w);
	assert_ptr_equal(w, &people[3].waiter);
	assert_null(wait_next_turn(w));
	/* Woken out of the middle: its client had its turn. */
	wait_wake(&people[2].waiter);
	assert_ptr_equal(wait_first(&line), &people[1].waiter);
}

/* --- against a model: a list of clients, each a list of numbers ---------------------------------- */

struct model_client { char name; int who[MANY]; int n; };
static struct model_client model[8];
static int n_model;

static void
model_take(int c, int at, bool served)
{
	struct model_client m;
	int i;

	for (i = at; i + 1 < model[c].n; i++)
		model[c].who[i] = model[c].who[i + 1];
	model[c].n--;
	if (model[c].n > 0 && !served)
		return;
	m = model[c];
	for (i = c; i + 1 < n_model; i++)
		model[i] = model[i + 1];
	if (m.n > 0)
		model[n_model - 1] = m;
	else
		n_model--;
}

static void
model_join(char name, int who)
{
	int c;

	for (c = 0; c < n_model && model[c].name != name; c++)
		;
	if (c == n_model) {
		model[n_model].name = name;
		model[n_model++].n = 0;
	}
	model[c].who[model[c].n++] = who;
}

static void
model_leave(int who)
{
	int c, i;

	for (c = 0; c < n_model; c++)
		for (i = 0; i < model[c].n; i++)
			if (model[c].who[i] == who) {
				model_take(c, i, false);
				return;
			}
}

static void
test_against_a_model(void **state)
{
	unsigned seed = 4711;
	int64_t now = 0;
	int step, i, want;

	(void)state;
	n_model = 0;
	for (step = 0; step < 200000; step++) {
		seed = seed * 1103515245 + 12345;
		i = (int)(seed >> 16) % MANY;
		if ((seed >> 8 & 3) == 0) {
			want = n_model > 0 ? model[0].who[0] : -1;
			if (want >= 0)
				model_take(0, 0, true);
			assert_int_equal(serve(), want);
			wait_run(&ready);
			n_ran = 0;
		} else if (wait_is_in_line(&people[i].waiter)) {
			model_leave(i);
			wait_leave(&people[i].waiter);
		} else {
			char name[2] = { (char)('a' + (seed >> 4) % 8), '\0' };

			model_join(name[0], i);
			wait_join(&line, &people[i].waiter, str_of(name), ++now, false);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_turns), CASE(test_woken_run_later_and_in_order), CASE(test_run_may_join),
		CASE(test_leaving), CASE(test_again), CASE(test_walk), CASE(test_against_a_model),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
