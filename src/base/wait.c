/* SPDX-License-Identifier: MIT */
/*
 * Waiting in line: a ring of clients, each with a queue of its own.
 *
 * Who is served is taken from the client at the head of the ring, which then goes to the end: one
 * client with fifty requests and one with a single request are served in turns (round robin, Nagle,
 * RFC 970).  Invariant: a client is in the ring and in the table while it has a waiter, and only then.
 */
#include "base/wait.h"

#include <string.h>

#include "base/log.h"
#include "base/slab.h"

struct wait_client {
	char       name[WAIT_CLIENT_MAX];
	size_t     name_len;
	struct waiter_list waiters;
	TAILQ_ENTRY(wait_client) entry;
};

static struct slab clients;

void
wait_module_init(void)
{
	slab_init(&clients, "wait_client", sizeof(struct wait_client));
}

void
wait_module_fini(void)
{
	slab_fini(&clients);
}

void
wait_line_init(struct wait_line *line, struct waiter_list *ready)
{
	memset(line, 0, sizeof(*line));
	TAILQ_INIT(&line->turns);
	line->ready = ready;
}

void
wait_line_fini(struct wait_line *line)
{
	check(line->n == 0);
	table_fini(&line->clients);
}

void
waiter_init(struct waiter *w, void (*run)(void *arg), void *arg)
{
	memset(w, 0, sizeof(*w));
	w->run = run;
	w->arg = arg;
}

static struct str
name_of(const struct wait_client *c)
{
	return str_make(c->name, c->name_len);
}

static struct wait_client *
client_named(struct wait_line *line, struct str name)
{
	struct wait_client *c = table_get(&line->clients, name);

	if (c != NULL)
		return c;
	check(name.len <= WAIT_CLIENT_MAX);
	c = slab_take(&clients);
	if (name.len > 0)
		memcpy(c->name, name.p, name.len);
	c->name_len = name.len;
	TAILQ_INIT(&c->waiters);
	table_set(&line->clients, name_of(c), c);
	TAILQ_INSERT_TAIL(&line->turns, c, entry);
	return c;
}

/* Who arrives is the youngest as a rule; who comes again is older than all but its like. */
static void
insert(struct wait_client *c, struct waiter *w)
{
	struct waiter *last = TAILQ_LAST(&c->waiters, waiter_list), *at;

	if (last == NULL || last->since <= w->since) {
		TAILQ_INSERT_TAIL(&c->waiters, w, entry);
		return;
	}
	at = TAILQ_FIRST(&c->waiters);
	while (at->since <= w->since)
		at = TAILQ_NEXT(at, entry);
	TAILQ_INSERT_BEFORE(at, w, entry);
}

static void
bring_forward(struct wait_line *line, struct wait_client *c)
{
	struct waiter *first = TAILQ_FIRST(&c->waiters);
	struct wait_client *at;

	if (first != NULL && first->again)
		return;
	TAILQ_REMOVE(&line->turns, c, entry);
	TAILQ_FOREACH(at, &line->turns, entry)
		if (!TAILQ_FIRST(&at->waiters)->again)
			break;
	if (at != NULL)
		TAILQ_INSERT_BEFORE(at, c, entry);
	else
		TAILQ_INSERT_TAIL(&line->turns, c, entry);
}

void
wait_join(struct wait_line *line, struct waiter *w, struct str client, int64_t since, bool again)
{
	struct wait_client *c = client_named(line, client);

	check(!wait_is_waiting(w));
	if (again)
		bring_forward(line, c);
	w->line = line;
	w->client = c;
	w->since = since;
	w->again = again;
	insert(c, w);
	line->n++;
}

/* Out of the line; true when its client has others there. */
static bool
take_out(struct waiter *w)
{
	struct wait_line *line = w->line;
	struct wait_client *c = w->client;

	TAILQ_REMOVE(&c->waiters, w, entry);
	line->n--;
	w->line = NULL;
	w->client = NULL;
	if (!TAILQ_EMPTY(&c->waiters))
		return true;
	TAILQ_REMOVE(&line->turns, c, entry);
	table_remove(&line->clients, name_of(c));
	slab_give(&clients, c);
	return false;
}

void
wait_leave(struct waiter *w)
{
	if (w->line != NULL)
		take_out(w);
	else if (w->ready != NULL)
		TAILQ_REMOVE(w->ready, w, entry);
	w->ready = NULL;
}

void
wait_wake(struct waiter *w)
{
	struct wait_line *line = w->line;
	struct wait_client *c = w->client;

	check(line != NULL);
	if (take_out(w)) {
		TAILQ_REMOVE(&line->turns, c, entry);
		TAILQ_INSERT_TAIL(&line->turns, c, entry);
	}
	w->ready = line->ready;
	TAILQ_INSERT_TAIL(w->ready, w, entry);
}

bool
wait_is_in_line(const struct waiter *w)
{
	return w->line != NULL;
}

bool
wait_is_waiting(const struct waiter *w)
{
	return w->line != NULL || w->ready != NULL;
}

void
wait_run(struct waiter_list *ready)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(ready)) != NULL) {
		wait_leave(w);
		w->run(w->arg);
	}
}

struct waiter *
wait_first(const struct wait_line *line)
{
	struct wait_client *c = TAILQ_FIRST(&line->turns);

	return c != NULL ? TAILQ_FIRST(&c->waiters) : NULL;
}

struct waiter *
wait_next_turn(const struct waiter *w)
{
	struct wait_client *c = TAILQ_NEXT(w->client, entry);

	return c != NULL ? TAILQ_FIRST(&c->waiters) : NULL;
}

struct waiter *
wait_behind(const struct waiter *w)
{
	return TAILQ_NEXT(w, entry);
}
