/* SPDX-License-Identifier: MIT */
/*
 * The limits of a route applied to an exchange.  What they say is policy/limit.c's; that it happens
 * once, and what the client and the log are told of it, is said here.
 */
#include "exchange/admit.h"

#include "base/arena.h"
#include "base/clock.h"
#include "config/config.h"
#include "exchange/exchange.h"
#include "exchange/generation.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "http/message.h"
#include "policy/limit.h"

static int64_t
now_ns(void)
{
	return clock_now_us() * 1000;
}

static void
refuse(struct exchange *x, const struct limit_claim *c)
{
	struct refusal *why = &x->refusal;

	why->end = END_RATE_LIMITED;
	why->status = (int)c->limit->conf->status;
	/* The words that OpenAI's clients know. */
	why->rule = c->is_crowd ? "concurrency_limit_exceeded" : "rate_limit_exceeded";
	why->why = arena_printf(x->arena, "too many requests%s, try again in %lld s",
	    c->is_crowd ? " at a time" : "", (long long)limit_seconds(c->wait)).p;
}

void
admit_enter(struct exchange *x)
{
	const struct route_conf *route = x->route;
	size_t i;

	if (route->n_limits == 0)
		return;
	x->n_claims = route->n_limits;
	x->claims = arena_zalloc(x->arena, x->n_claims * sizeof(*x->claims));
	for (i = 0; i < x->n_claims; i++) {
		x->claims[i].limit = generation_limit(x->gen, route->limits[i]);
		x->claims[i].key = limit_key(x->claims[i].limit, &x->facts, &x->client);
	}
	x->verdict = limit_take(x->claims, x->n_claims, now_ns());
	if (x->verdict->word == LIMIT_REFUSED)
		refuse(x, x->verdict);
	else if (x->verdict->word == LIMIT_DELAYED) {
		x->admitted_us = clock_now_us() + (x->verdict->wait + 999) / 1000;
		relay_wait(x);
	}
}

static void
add(struct message *m, enum field_id id, struct str value)
{
	if (value.len > 0)
		message_add(m, id, field_name(id), value);
}

void
admit_fields(struct exchange *x, struct message *m)
{
	struct arena *scratch = x->world->scratch;
	bool refused;

	if (x->verdict == NULL)
		return;
	refused = x->verdict->word == LIMIT_REFUSED;
	if (refused)
		add(m, FIELD_RETRY_AFTER, arena_printf(scratch, "%lld",
		    (long long)limit_seconds(x->verdict->wait)));
	add(m, FIELD_RATELIMIT_POLICY, limit_policy_text(x->claims, x->n_claims, scratch));
	add(m, FIELD_RATELIMIT, limit_state_text(x->claims, x->n_claims, refused, now_ns(),
	    scratch));
}

void
admit_end(struct exchange *x)
{
	limit_give(x->claims, x->n_claims);
}
