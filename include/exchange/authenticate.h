/* SPDX-License-Identifier: MIT */
/*
 * The step of a route with auth: who asks is known by a password or by an API key, or is refused.
 *
 * Passwords are checked in a thread, a few at a time, and what was right is remembered for a while, so
 * that neither the loop nor the machine can be held up by asking.
 */
#ifndef EXCHANGE_AUTHENTICATE_H
#define EXCHANGE_AUTHENTICATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/str.h"

struct aside;
struct exchange;
struct loop;
struct message;

/* A check under way; exchanges that ask for the same wait for one. */
struct auth_check;
/* A password that was right, as a hash that means nothing to anybody else. */
struct auth_memory;

TAILQ_HEAD(auth_check_list, auth_check);

/* Of a worker. */
struct authority {
	struct aside          *aside;
	struct auth_check_list checks;
	struct auth_memory    *memory;	/* made when the first is right */
	uint8_t                salt[32];
	/* For monitoring. */
	uint64_t n_checked;		/* passwords, in the thread */
	uint64_t n_remembered;		/* that did not have to be */
	uint64_t n_refused;		/* 401 */
	uint64_t n_busy;		/* 503: too many checks at a time */
};

void authority_init(struct authority *, struct loop *);
/* No exchange is left. */
void authority_fini(struct authority *);

/* Begins: sets x->refusal, or leaves a check in x->check, or it is known who asks. */
void authenticate_enter(struct exchange *);
/* When a check that is not over by then has taken too long (monotonic ms). */
int64_t authenticate_limit(const struct exchange *);
/* What the client of a refusal is asked for (RFC 9110 11.6.1). */
void authenticate_fields(const struct exchange *, struct message *);
/* It does not wait for a check any more. */
void authenticate_end(struct exchange *);

#endif
