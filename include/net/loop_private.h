/* SPDX-License-Identifier: MIT */
/* What loop.c, conn.c and listener.c share; nobody above net/ includes it. */
#ifndef NET_LOOP_PRIVATE_H
#define NET_LOOP_PRIVATE_H

#include "base/clock.h"
#include "net/loop.h"

struct conn_io;

struct loop {
	struct event_base *base;
	TAILQ_HEAD(, task) tasks;
	unsigned           pass;	/* counts second passes; tasks queued during one wait for the next */
	unsigned           turn;	/* counts polls */
	bool               is_awake;	/* the clock was read this turn */
	struct conn_io    *io;		/* conn.c's scratch and gather */
	void             (*chore)(void *arg);
	void              *chore_arg;
};

struct conn_io *conn_io_new(struct loop *);
/* Ends connections that were still closing gently. */
void conn_io_free(struct conn_io *);

/* First thing in every callback that libevent makes: the turn gets its time. */
static inline void
loop_wake(struct loop *loop)
{
	if (!loop->is_awake) {
		loop->is_awake = true;
		clock_update();
	}
}

#endif
