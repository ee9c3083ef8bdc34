/* SPDX-License-Identifier: MIT */
/*
 * One turn of the daemon: poll, run what became ready, a second pass over the work that was put off,
 * the owner's chore, and the reaping of what was closed.
 *
 * Knows descriptors only through libevent.  Invariant: a task that is queued during the second pass
 * runs in the next turn, so that no turn is endless.
 */
#include "net/loop.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/slab.h"
#include "net/conn.h"
#include "net/loop_private.h"

struct loop *
loop_new(void)
{
	struct event_config *config;
	struct loop *loop;

	loop = calloc(1, sizeof(*loop));
	config = event_config_new();
	check(loop != NULL && config != NULL);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	check(loop->base != NULL);
	TAILQ_INIT(&loop->tasks);
	loop->io = conn_io_new(loop);
	clock_update();
	return loop;
}

void
loop_free(struct loop *loop)
{
	conn_io_free(loop->io);
	event_base_free(loop->base);
	free(loop);
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

void
loop_set_chore(struct loop *loop, void (*run)(void *arg), void *arg)
{
	loop->chore = run;
	loop->chore_arg = arg;
}

static void
run_tasks(struct loop *loop)
{
	unsigned pass = loop->pass++;
	struct task *t;

	while ((t = TAILQ_FIRST(&loop->tasks)) != NULL && t->pass == pass) {
		TAILQ_REMOVE(&loop->tasks, t, entry);
		t->is_queued = false;
		t->run(t->arg);
		conn_flush(loop);
	}
}

void
loop_turn(struct loop *loop)
{
	int flags = EVLOOP_ONCE;

	if (!TAILQ_EMPTY(&loop->tasks))
		flags |= EVLOOP_NONBLOCK;
	loop->is_awake = false;
	loop->turn++;
	event_base_loop(loop->base, flags);
	loop_wake(loop);
	run_tasks(loop);
	if (loop->chore != NULL)
		loop->chore(loop->chore_arg);
	conn_flush(loop);
	slab_reap_all();
}

void
task_init(struct task *t, void (*run)(void *arg), void *arg)
{
	t->run = run;
	t->arg = arg;
	t->is_queued = false;
}

void
loop_defer(struct loop *loop, struct task *t)
{
	if (t->is_queued)
		return;
	t->is_queued = true;
	t->pass = loop->pass;
	TAILQ_INSERT_TAIL(&loop->tasks, t, entry);
}

void
loop_cancel(struct loop *loop, struct task *t)
{
	if (!t->is_queued)
		return;
	t->is_queued = false;
	TAILQ_REMOVE(&loop->tasks, t, entry);
}

static void
set_timer(struct deadline *d, msec after)
{
	struct timeval tv = { after / 1000, (after % 1000) * 1000 };

	d->fires = clock_now() + after;
	event_add(&d->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct deadline *d = arg;
	struct loop *loop = d->loop;	/* d may be gone after its run */
	msec left;

	(void)fd;
	(void)what;
	loop_wake(loop);
	d->fires = 0;
	if (d->at == 0)
		return;
	left = d->at - clock_now();
	if (left > 0) {
		set_timer(d, left);
		return;
	}
	d->at = 0;
	d->run(d->arg);
	conn_flush(loop);
}

void
deadline_init(struct deadline *d, struct loop *loop, void (*run)(void *arg), void *arg)
{
	d->loop = loop;
	d->at = d->fires = 0;
	d->run = run;
	d->arg = arg;
	evtimer_assign(&d->timer, loop->base, on_timer, d);
}

void
deadline_arm(struct deadline *d, msec after)
{
	if (after <= 0) {
		d->at = 0;
		return;
	}
	d->at = clock_now() + after;
	if (d->fires == 0 || d->fires > d->at)
		set_timer(d, after);
}

void
deadline_disarm(struct deadline *d)
{
	d->at = 0;
}

void
deadline_fini(struct deadline *d)
{
	d->at = 0;
	if (d->fires != 0)
		event_del(&d->timer);
	d->fires = 0;
}
