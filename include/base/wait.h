/* SPDX-License-Identifier: MIT */
/*
 * Waiting in line, fairly: clients take turns, each client's own requests go in their order.
 *
 * A waiter is embedded in who waits and is in one line at most.  Waking only moves it to a ready line,
 * which its owner drains from the loop: nobody runs inside the call that made room.  Knows neither
 * what is waited for nor who waits.  Joining, leaving and waking cost the same however long the line
 * is, but for who comes again (see wait_join).
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/str.h"
#include "base/table.h"

#define WAIT_CLIENT_MAX 32		/* bytes that name a client; hash what is longer */

struct wait_client;
struct wait_line;

TAILQ_HEAD(waiter_list, waiter);

struct waiter {
	struct wait_line   *line;	/* NULL: it waits nowhere, or is ready */
	struct wait_client *client;	/* whose turn it is served in */
	struct waiter_list *ready;	/* set while it is in that ready line */
	int64_t             since;	/* orders the requests of a client */
	bool                again;	/* it has been at the front before */
	void              (*run)(void *arg);
	void               *arg;
	TAILQ_ENTRY(waiter) entry;
};

struct wait_line {
	TAILQ_HEAD(, wait_client) turns;	/* clients, who is served next first */
	struct table              clients;	/* the same by name */
	struct waiter_list       *ready;	/* where who is woken goes */
	size_t                    n;		/* waiters in it */
};

void wait_module_init(void);
void wait_module_fini(void);
/* The ready line must outlive it. */
void wait_line_init(struct wait_line *, struct waiter_list *);
/* Nobody may be in it. */
void wait_line_fini(struct wait_line *);

/* run(arg) is what wait_run does once it was woken.  A zeroed waiter waits nowhere. */
void waiter_init(struct waiter *, void (*run)(void *arg), void *arg);
/*
 * Takes a place: among the requests of the same client by since (equal: behind), that client at the
 * end of the turns unless it has a place there.  Who comes again (its turn came and came to nothing)
 * brings its client to the front of the turns, behind other clients whose first comes again.  The
 * client's name is copied.  The waiter must wait nowhere.
 */
void wait_join(struct wait_line *, struct waiter *, struct str client, int64_t since, bool again);
/* Leaves whichever line it is in, the ready line too; nothing when it waits nowhere. */
void wait_leave(struct waiter *);
/* To the ready line; its client goes to the end of the turns. */
void wait_wake(struct waiter *);
bool wait_is_in_line(const struct waiter *);
/* In line, or woken and not run yet. */
bool wait_is_waiting(const struct waiter *);
/* Runs who is ready, in the order of waking, until nobody is. */
void wait_run(struct waiter_list *);

/* The walk: the first request of the client whose turn it is, of the client after, and the request
 * behind one of the same client; NULL at the end. */
struct waiter *wait_first(const struct wait_line *);
struct waiter *wait_next_turn(const struct waiter *);
struct waiter *wait_behind(const struct waiter *);

#endif
