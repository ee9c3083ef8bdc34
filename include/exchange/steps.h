/* SPDX-License-Identifier: MIT */
/*
 * The list of steps that an exchange walks down: what each starts, what it waits for, and how long.
 * Called by exchange.c.
 */
#ifndef EXCHANGE_STEPS_H
#define EXCHANGE_STEPS_H

#include "exchange/exchange.h"

/* When waiting in a step is over, and what that means; END_OK: the step looks again. */
enum { NO_LIMIT = 0 };
struct limit {
	msec     at;			/* monotonic; NO_LIMIT: never */
	enum end why;
};

/* The name of a step, for people and metrics. */
const char *steps_name(enum step);
/* It has arrived at its step: starts what belongs to that. */
void steps_enter(struct exchange *);
/* Where to go from here, or STEP_WAIT. */
enum step steps_next(struct exchange *);
/* The nearest of the step's limit, the server's (stall_timeout) and that of the whole. */
struct limit steps_limit(const struct exchange *);
/* The server has what it needs to go on, and it is not our client who does not take it. */
bool steps_is_owed(const struct exchange *);
/* Its place in the line has come to a server. */
void steps_on_turn(void *exchange);

#endif
