/* SPDX-License-Identifier: MIT */
/*
 * USR2: the program is started anew on the same listening sockets.  When the new one is ready the
 * old one drains; when it is not, nothing has happened.
 */
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/log.h"
#include "net/loop.h"

struct listener_registry;

struct upgrade {
	pid_t  child;			/* 0: none is starting */
	int    pipe;			/* what it says, or its end */
	struct event event;
	struct deadline limit;
	/* The new one accepts; or why it does not. */
	void (*on_ready)(void *arg);
	void (*on_fail)(void *arg, const char *why);
	void  *arg;
};

void upgrade_init(struct upgrade *, struct loop *, void (*on_ready)(void *),
    void (*on_fail)(void *, const char *), void *arg);
void upgrade_fini(struct upgrade *);
/* Starts argv (NULL at its end; argv[0] is looked for as the shell does) with the sockets and what is
 * to be taken from the descriptor tickets, which is closed here (-1: nothing); one of the two events
 * follows, within a minute.  False with *err when it cannot even be tried. */
bool upgrade_start(struct upgrade *, struct loop *, const struct listener_registry *, int tickets,
    char **argv, struct err *);
/* In the new process: the descriptor of tickets, the caller's from here on; -1: none.  Once. */
int upgrade_take_tickets(void);
/* We stop: who is starting is ended, or it would hold the sockets when we are gone.  No event follows. */
void upgrade_cancel(struct upgrade *);
/* In the new process, once it accepts: the old one hears of it.  False when there is none. */
bool upgrade_tell_ready(void);

#endif
