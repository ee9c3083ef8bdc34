/* SPDX-License-Identifier: MIT */
/*
 * The line in front of an upstream.
 *
 * Two halves.  settle() gives servers away: bookkeeping only, so it may run inside any call, and it
 * does before a newcomer is let past the line.  The task runs who was given one.  A change of a server
 * marks the lines of the pools that name it; whoever marks need not know what the change is good for.
 */
#include "upstream/line.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "upstream/pool.h"

enum {
	LINE_MAGIC = 0x6c696e65,
	MEAN_WEIGHT = 8,		/* the newest counts one eighth */
	RETRY_MIN = 1,			/* seconds */
	RETRY_MAX = 300
};

static void on_task(void *);

/* --- the registry -------------------------------------------------------------------------------- */

void
line_registry_init(struct line_registry *r, struct loop *loop)
{
	memset(r, 0, sizeof(*r));
	r->loop = loop;
	TAILQ_INIT(&r->busy);
	TAILQ_INIT(&r->ready);
	task_init(&r->task, on_task, r);
}

void
line_registry_fini(struct line_registry *r)
{
	check(r->by_name.n == 0 && TAILQ_EMPTY(&r->ready));
	loop_cancel(r->loop, &r->task);
	table_fini(&r->by_name);
}

size_t
line_registry_count(const struct line_registry *r)
{
	return r->by_name.n;
}

struct line *
line_get(struct line_registry *r, struct str name)
{
	struct line *line = table_get(&r->by_name, name);

	if (line != NULL) {
		line->refs++;
		return line;
	}
	line = calloc(1, sizeof(*line));
	check(line != NULL);
	line->magic = LINE_MAGIC;
	line->refs = 1;
	line->registry = r;
	line->name = str_of(strndup(name.p, name.len));
	check(line->name.p != NULL);
	wait_line_init(&line->waiting, &r->ready);
	TAILQ_INIT(&line->pools);
	LIST_INIT(&line->meters);
	table_set(&r->by_name, line->name, line);
	return line;
}

void
line_unref(struct line *line)
{
	check(line->magic == LINE_MAGIC && line->refs > 0);
	if (--line->refs > 0)
		return;
	check(TAILQ_EMPTY(&line->pools) && LIST_EMPTY(&line->meters));
	wait_line_fini(&line->waiting);
	table_remove(&line->registry->by_name, line->name);
	line->magic = 0;
	free((char *)(uintptr_t)line->name.p);
	free(line);
}

/* --- places -------------------------------------------------------------------------------------- */

static struct place *
place_of(struct waiter *w)
{
	return (struct place *)(void *)((char *)w - offsetof(struct place, waiter));
}

void
place_init(struct place *p, void (*run)(void *arg), void *arg)
{
	memset(p, 0, sizeof(*p));
	waiter_init(&p->waiter, run, arg);
}

bool
place_is_taken(const struct place *p)
{
	return wait_is_waiting(&p->waiter);
}

bool
place_is_waiting(const struct place *p)
{
	return wait_is_in_line(&p->waiter);
}

static void
join(struct place *p, struct str client, int64_t since)
{
	struct line *line = p->line;

	if (line->waiting.n == 0)
		TAILQ_INSERT_TAIL(&line->registry->busy, line, entry);
	wait_join(&line->waiting, &p->waiter, client, since, p->pick->tried != 0);
	if (p->pick->tried != 0)
		p->pool->n_again++;
	p->pool->n_waiting++;
	line->stats.waited++;
	if (line->waiting.n > line->stats.max)
		line->stats.max = line->waiting.n;
}

/* What the pool and the registry keep of one that is about to be no longer in line. */
static void
forget(struct place *p)
{
	struct line *line = p->line;

	p->pool->n_waiting--;
	if (p->waiter.again)
		p->pool->n_again--;
	if (line->waiting.n > 1)
		return;
	TAILQ_REMOVE(&line->registry->busy, line, entry);
	line->is_due = false;
}

void
place_leave(struct place *p, enum end why)
{
	if (place_is_waiting(p)) {
		if (why == END_QUEUE_TIMEOUT)
			p->line->stats.timed_out++;
		else
			p->line->stats.left++;
		forget(p);
	}
	wait_leave(&p->waiter);
}

/* --- giving servers away ------------------------------------------------------------------------- */

/* Whether anybody in the line can be given anything, told without looking at who waits. */
static bool
has_hope(struct line *line, msec now)
{
	struct pool *pool;
	bool any = false;

	TAILQ_FOREACH(pool, &line->pools, of_line) {
		pool->has_room = pool->n_waiting > 0 && pool_has_room(pool, now);
		any |= pool->has_room || pool->n_again > 0;
	}
	return any;
}

/* Tries to give w a server; false when it has to go on waiting. */
static bool
offer(struct waiter *w, msec now)
{
	struct place *p = place_of(w);

	/* Without servers tried, what holds for the pool holds for each. */
	if (!w->again && !p->pool->has_room)
		return false;
	p->pick->now = now;
	switch (pool_pick(p->pool, p->pick, p->attempt)) {
	case POOL_FULL:
		return false;
	case POOL_GIVEN:
		p->line->stats.served++;
		break;
	case POOL_NONE:
		p->line->stats.left++;
		break;
	}
	forget(p);
	wait_wake(w);
	return true;
}

/*
 * Serves the first who can be: by turns the first request of each client; only when none of these can
 * use what is free (they have tried it, or are of an older configuration without it) those behind.
 */
static bool
serve_one(struct line *line)
{
	msec now = clock_now();
	struct waiter *turn, *w;

	if (!has_hope(line, now))
		return false;
	for (turn = wait_first(&line->waiting); turn != NULL; turn = wait_next_turn(turn))
		if (offer(turn, now))
			return true;
	for (turn = wait_first(&line->waiting); turn != NULL; turn = wait_next_turn(turn))
		for (w = wait_behind(turn); w != NULL; w = wait_behind(w))
			if (offer(w, now))
				return true;
	return false;
}

static struct line *
next_due(struct line_registry *r)
{
	struct line *line;

	TAILQ_FOREACH(line, &r->busy, entry)
		if (line->is_due)
			return line;
	return NULL;
}

/* Lines that want the same servers take turns.  The task that runs who is served was put off when the
 * line became due, or is running now. */
static void
settle(struct line_registry *r)
{
	struct line *line;

	while ((line = next_due(r)) != NULL) {
		if (!serve_one(line)) {
			line->is_due = false;
			continue;
		}
		if (line->waiting.n > 0) {
			TAILQ_REMOVE(&r->busy, line, entry);
			TAILQ_INSERT_TAIL(&r->busy, line, entry);
		}
	}
}

static void
on_task(void *arg)
{
	struct line_registry *r = arg;

	settle(r);
	wait_run(&r->ready);
}

void
line_changed(struct line *line)
{
	check(line->magic == LINE_MAGIC);
	if (line->waiting.n == 0)
		return;
	line->is_due = true;
	loop_defer(line->registry->loop, &line->registry->task);
}

enum line_answer
line_ask(struct place *p, struct pool *pool, struct pick *pick, struct attempt *attempt,
    struct str client, int64_t since)
{
	struct line *line = pool->line;

	check(!place_is_taken(p));
	/* What just became free belongs to who waits for it; what is left then is for the taking. */
	settle(line->registry);
	switch (pool_pick(pool, pick, attempt)) {
	case POOL_GIVEN:
		return LINE_GIVEN;
	case POOL_NONE:
		return LINE_NONE;
	case POOL_FULL:
		break;
	}
	if (line->waiting.n >= pool->conf->queue.size) {
		line->stats.refused++;
		return LINE_FULL;
	}
	p->line = line;
	p->pool = pool;
	p->pick = pick;
	p->attempt = attempt;
	join(p, client, since);
	return LINE_WAIT;
}

/* --- the rate ------------------------------------------------------------------------------------ */

void
line_took(struct line *line, int64_t us)
{
	if (us < 1)
		us = 1;
	line->mean_us = line->mean_us == 0 ? us : line->mean_us + (us - line->mean_us) / MEAN_WEIGHT;
}

/* By Little's law requests end at the rate of those in service over the time each takes: that holds
 * from the first one that ended, and idle times do not spoil it. */
unsigned
line_retry_after(const struct line *line)
{
	uint64_t in_service = 0, us;
	const struct pool *pool;

	TAILQ_FOREACH(pool, &line->pools, of_line)
		in_service += pool->inflight;
	if (in_service == 0)
		return RETRY_MIN;
	us = (line->waiting.n + 1) * (uint64_t)line->mean_us / in_service;
	if (us >= (uint64_t)RETRY_MAX * 1000000)
		return RETRY_MAX;
	us = (us + 999999) / 1000000;
	return us > RETRY_MIN ? (unsigned)us : RETRY_MIN;
}

size_t
line_length(const struct line *line)
{
	return line->waiting.n;
}
