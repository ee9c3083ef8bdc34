/* SPDX-License-Identifier: MIT */
/*
 * A thread, a line of jobs to it and one back, an eventfd that wakes the loop.
 *
 * Invariant: a job is in one of the two lines, or in current while the thread is at it.
 */
#include "net/aside.h"

#include <sys/eventfd.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop_private.h"

TAILQ_HEAD(job_list, aside_job);

struct aside {
	struct loop     *loop;
	size_t           max, n;	/* the loop's */
	bool             runs;
	pthread_t        thread;
	struct event     event;
	int              fd;		/* readable when something is finished */
	pthread_mutex_t  lock;		/* of what follows */
	pthread_cond_t   more;
	struct job_list  waiting, finished;
	struct aside_job *current;
	bool             stops;
};

static void on_finished(evutil_socket_t, short, void *);

struct aside *
aside_new(struct loop *loop, size_t max)
{
	struct aside *a = calloc(1, sizeof(*a));

	check(a != NULL);
	a->loop = loop;
	a->max = max;
	a->fd = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->more, NULL);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->finished);
	return a;
}

/* --- the thread -------------------------------------------------------------------------------- */

static void *
run(void *arg)
{
	struct aside *a = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&a->lock);
	while (!a->stops) {
		a->current = TAILQ_FIRST(&a->waiting);
		if (a->current == NULL) {
			pthread_cond_wait(&a->more, &a->lock);
			continue;
		}
		TAILQ_REMOVE(&a->waiting, a->current, entry);
		pthread_mutex_unlock(&a->lock);
		a->current->work(a->current);
		pthread_mutex_lock(&a->lock);
		TAILQ_INSERT_TAIL(&a->finished, a->current, entry);
		a->current = NULL;
		/* An eventfd takes 2^64 - 2 of these. */
		if (write(a->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
			abort();
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static bool
start(struct aside *a)
{
	sigset_t all, old;

	a->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (a->fd < 0)
		return false;
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	a->runs = pthread_create(&a->thread, NULL, run, a) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!a->runs) {
		close(a->fd);
		return false;
	}
	event_assign(&a->event, a->loop->base, a->fd, EV_READ | EV_PERSIST, on_finished, a);
	event_add(&a->event, NULL);
	return true;
}

/* --- the loop ---------------------------------------------------------------------------------- */

static struct aside_job *
take_first(struct aside *a, struct job_list *list)
{
	struct aside_job *job;

	pthread_mutex_lock(&a->lock);
	job = TAILQ_FIRST(list);
	if (job != NULL)
		TAILQ_REMOVE(list, job, entry);
	pthread_mutex_unlock(&a->lock);
	return job;
}

static void
give_back(struct aside *a, struct job_list *list)
{
	struct aside_job *job;

	while ((job = take_first(a, list)) != NULL) {
		a->n--;
		job->done(job);
	}
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct aside *a = arg;
	uint64_t n;

	(void)what;
	loop_wake(a->loop);
	/* Nothing to read means that an earlier look had it all. */
	if (read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		give_back(a, &a->finished);
}

bool
aside_give(struct aside *a, struct aside_job *job)
{
	if (a->n >= a->max || (!a->runs && !start(a)))
		return false;
	a->n++;
	pthread_mutex_lock(&a->lock);
	TAILQ_INSERT_TAIL(&a->waiting, job, entry);
	pthread_cond_signal(&a->more);
	pthread_mutex_unlock(&a->lock);
	return true;
}

bool
aside_take_back(struct aside *a, struct aside_job *job)
{
	struct aside_job *other;

	pthread_mutex_lock(&a->lock);
	TAILQ_FOREACH(other, &a->waiting, entry)
		if (other == job)
			break;
	if (other != NULL)
		TAILQ_REMOVE(&a->waiting, job, entry);
	pthread_mutex_unlock(&a->lock);
	a->n -= other != NULL;
	return other != NULL;
}

void
aside_free(struct aside *a)
{
	if (a->runs) {
		pthread_mutex_lock(&a->lock);
		a->stops = true;
		pthread_cond_signal(&a->more);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
		event_del(&a->event);
		close(a->fd);
	}
	give_back(a, &a->finished);
	give_back(a, &a->waiting);
	pthread_cond_destroy(&a->more);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
