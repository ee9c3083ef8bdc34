/* SPDX-License-Identifier: MIT */
/*
 * One turn: poll, run, second pass, reap.  Owns the event_base, the read scratch block, the deferred
 * work of a turn and the deadlines.  One per worker.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/str.h"

struct conn;
struct loop;

/* Work put off to the second pass of this turn: embedded in its owner, in the line at most once. */
struct task {
	void (*run)(void *arg);
	void  *arg;
	bool   is_queued;
	unsigned pass;			/* the second pass it belongs to */
	TAILQ_ENTRY(task) entry;
};

/*
 * A time limit that costs nothing when it moves: arming writes a number; the timer underneath looks
 * at the number when it fires.
 */
struct deadline {
	struct event timer;
	struct loop *loop;
	msec         at;		/* 0: not armed */
	msec         fires;		/* when the timer underneath goes off; 0: it does not */
	void       (*run)(void *arg);
	void        *arg;
};

struct loop *loop_new(void);
void loop_free(struct loop *);
struct event_base *loop_base(struct loop *);
/* Runs one turn; blocks until something happens unless tasks are waiting. */
void loop_turn(struct loop *);
/* Called at the end of each turn, before memory is reaped. */
void loop_set_chore(struct loop *, void (*run)(void *arg), void *arg);

void task_init(struct task *, void (*run)(void *arg), void *arg);
void loop_defer(struct loop *, struct task *);
void loop_cancel(struct loop *, struct task *);

void deadline_init(struct deadline *, struct loop *, void (*run)(void *arg), void *arg);
/* Runs once when after milliseconds from now have passed; after <= 0 disarms. */
void deadline_arm(struct deadline *, msec after);
void deadline_disarm(struct deadline *);
/* Must be called before the memory goes. */
void deadline_fini(struct deadline *);

#endif
