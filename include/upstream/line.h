/* SPDX-License-Identifier: MIT */
/*
 * The line in front of an upstream whose servers are all full: a living object by the upstream's name,
 * counted by the pools of that name, so that those who came before a reload and those who came after
 * it stand in one line.  Gives servers to who waits, in order; runs them from a task of the loop.
 *
 * Between two events this holds: what is free is of no use to anybody who waits.
 */
#ifndef UPSTREAM_LINE_H
#define UPSTREAM_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/end.h"
#include "base/str.h"
#include "base/table.h"
#include "base/wait.h"
#include "net/loop.h"
#include "upstream/server_meter.h"

struct attempt;
struct pick;
struct pool;

struct line_stats {
	uint64_t waited;		/* took a place */
	uint64_t served;		/* left it with a server */
	uint64_t timed_out;		/* queue.timeout was over */
	uint64_t left;			/* went for another reason: the client, the total time, a stop */
	uint64_t refused;		/* found no place */
	size_t   max;			/* most that waited at a time */
};

struct line {
	unsigned magic, refs;
	struct line_registry *registry;
	struct str       name;		/* own memory */
	struct wait_line waiting;
	bool             is_due;	/* something changed: somebody may be served */
	int64_t          mean_us;	/* an attempt takes that long, lately; 0: none has ended yet */
	TAILQ_HEAD(pool_list, pool) pools;	/* of living generations, the oldest first */
	struct line_stats stats;
	struct server_meter_list meters;/* of the servers of its pools */
	TAILQ_ENTRY(line) entry;	/* in the registry's busy ones */
};

/* One a worker. */
struct line_registry {
	struct loop *loop;
	struct table by_name;
	TAILQ_HEAD(, line) busy;	/* lines with somebody in them: they take turns too */
	struct waiter_list ready;	/* served, to be run */
	struct task        task;
};

/* A place in a line; embedded in who waits.  Zeroed: in none. */
struct place {
	struct waiter   waiter;
	struct line    *line;
	struct pool    *pool;
	struct pick    *pick;
	struct attempt *attempt;
};

void line_registry_init(struct line_registry *, struct loop *);
/* Every line must be gone. */
void line_registry_fini(struct line_registry *);
size_t line_registry_count(const struct line_registry *);
/* The line of that name, found or made; the caller owns a reference. */
struct line *line_get(struct line_registry *, struct str name);
void line_unref(struct line *);

enum line_answer {
	LINE_GIVEN,		/* the attempt has a server */
	LINE_WAIT,		/* a place was taken */
	LINE_FULL,		/* every server is busy and so is every place: counted as refused */
	LINE_NONE		/* every server was tried or is down */
};

/* run(arg) comes from the loop once the attempt has a server, or has none because none is left. */
void place_init(struct place *, void (*run)(void *arg), void *arg);
/*
 * A server of the pool (see pool_pick) now, or a place in its line under queue.size.  pick and attempt
 * are used until the place is left or run is called.  client names who takes turns, since orders a
 * client's requests.  Who has tried a server already goes to the front: its turn had come.
 */
enum line_answer line_ask(struct place *, struct pool *, struct pick *, struct attempt *,
    struct str client, int64_t since);
/* Waiting, or served and not run yet. */
bool place_is_taken(const struct place *);
/* Still without a server. */
bool place_is_waiting(const struct place *);
/* Leaves the line at once; why is counted.  A server that was given already stays in the attempt. */
void place_leave(struct place *, enum end why);
/* A server of one of its pools has room, was ejected or came back, or may have. */
void line_changed(struct line *);
/* An attempt of one of its pools took that long. */
void line_took(struct line *, int64_t us);
/* Seconds until somebody who joined now would be served, by the rate servers end requests at:
 * at least 1, at most 300. */
unsigned line_retry_after(const struct line *);
size_t line_length(const struct line *);

#endif
