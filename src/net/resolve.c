/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo(3), waited for or in a thread.
 *
 * The thread touches nothing but a lookup: it fills in the answers, writes to a descriptor the loop
 * watches, and lets go.  Who lets go last frees, so that neither a lookup that is given up nor the end
 * of the process has to wait for a resolver that hangs.
 */
#include "net/resolve.h"

#include <sys/eventfd.h>

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/loop_private.h"

struct question {
	struct address  name;		/* texts in own memory */
	struct resolved answer;
};

struct lookup {
	size_t           n;
	struct question *questions;
	pthread_mutex_t  lock;		/* of the three below */
	bool             is_answered;	/* the thread is done with it */
	bool             is_given_up;	/* the loop is */
	int              fd;		/* readable when all are answered */
	/* the loop's */
	struct event     event;
	struct loop     *loop;
	void           (*done)(void *arg);
	void            *arg;
};

static void
take(const struct addrinfo *i, bool is_v4, struct resolved *out)
{
	for (; i != NULL && out->n < RESOLVE_MAX; i = i->ai_next) {
		if ((i->ai_family == AF_INET) != is_v4 || i->ai_addrlen > sizeof(out->at[0].sa))
			continue;
		memcpy(&out->at[out->n].sa, i->ai_addr, i->ai_addrlen);
		out->at[out->n++].len = i->ai_addrlen;
	}
}

void
resolve_name(const struct address *a, struct resolved *out)
{
	struct addrinfo hints, *list = NULL;
	char host[256], port[8];
	int error;

	memset(out, 0, sizeof(*out));
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
	snprintf(host, sizeof(host), "%.*s", STR_ARG(a->host));
	snprintf(port, sizeof(port), "%u", a->port);
	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0) {
		out->why = gai_strerror(error);
		return;
	}
	/* "localhost" is ::1 first where most instances listen on 127.0.0.1. */
	take(list, true, out);
	take(list, false, out);
	if (out->n == 0)
		out->why = "it has no address";
	freeaddrinfo(list);
}

/* --- aside ------------------------------------------------------------------------------------- */

static void
destroy(struct lookup *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		free((char *)(uintptr_t)l->questions[i].name.text.p);
		free((char *)(uintptr_t)l->questions[i].name.host.p);
	}
	free(l->questions);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *
answer_all(void *arg)
{
	struct lookup *l = arg;
	uint64_t one = 1;
	bool is_last;
	size_t i;

	for (i = 0; i < l->n; i++)
		resolve_name(&l->questions[i].name, &l->questions[i].answer);
	pthread_mutex_lock(&l->lock);
	l->is_answered = true;
	is_last = l->is_given_up;
	/* An eventfd takes 2^64 - 2 of these. */
	if (!is_last && write(l->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
	pthread_mutex_unlock(&l->lock);
	if (is_last)
		destroy(l);
	return NULL;
}

static void
on_answered(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;

	(void)fd;
	(void)what;
	loop_wake(l->loop);
	l->done(l->arg);
}

static struct str
copy(struct str s)
{
	char *p = strndup(s.p, s.len);

	check(p != NULL);
	return str_make(p, s.len);
}

/* Without a thread (the process may have no more of them) it is waited for. */
static void
start_thread(struct lookup *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	bool runs;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	runs = pthread_create(&thread, &attr, answer_all, l) == 0;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!runs)
		answer_all(l);
}

struct lookup *
lookup_start(struct loop *loop, const struct address *const *names, size_t n,
    void (*done)(void *arg), void *arg)
{
	struct lookup *l;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	size_t i;

	if (fd < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	check(l != NULL);
	pthread_mutex_init(&l->lock, NULL);
	l->fd = fd;
	l->questions = calloc(n + 1, sizeof(*l->questions));
	check(l->questions != NULL);
	for (i = 0; i < n; i++) {
		if (!names[i]->is_name || lookup_find(l, names[i]) != NULL)
			continue;
		l->questions[l->n].name = *names[i];
		l->questions[l->n].name.text = copy(names[i]->text);
		l->questions[l->n++].name.host = copy(names[i]->host);
	}
	l->loop = loop;
	l->done = done;
	l->arg = arg;
	event_assign(&l->event, loop->base, l->fd, EV_READ, on_answered, l);
	event_add(&l->event, NULL);
	start_thread(l);
	return l;
}

const struct resolved *
lookup_find(const struct lookup *l, const struct address *a)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (str_eq(l->questions[i].name.text, a->text))
			return &l->questions[i].answer;
	return NULL;
}

void
lookup_free(struct lookup *l)
{
	bool is_last;

	event_del(&l->event);
	pthread_mutex_lock(&l->lock);
	l->is_given_up = true;
	is_last = l->is_answered;
	close(l->fd);
	pthread_mutex_unlock(&l->lock);
	if (is_last)
		destroy(l);
}
