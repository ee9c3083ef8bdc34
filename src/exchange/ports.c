/* SPDX-License-Identifier: MIT */
/*
 * What the front and the origin say: events store what came and run the steps; bodies do not walk them
 * (relay.c).
 */
#include "exchange/ports.h"

#include <stdio.h>

#include "base/clock.h"
#include "config/config.h"
#include "exchange/cached.h"
#include "exchange/exchange.h"
#include "exchange/exchange_private.h"
#include "exchange/generation.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "ops/metrics.h"
#include "upstream/origin.h"

/* --- what the front says ---------------------------------------------------------------------- */

static void
on_request(void *world, struct front_stream *front, struct message *m)
{
	struct exchange *x = exchange_new(world, front, m);

	x->request_done = m->framing == FRAMING_NONE ||
	    (m->framing == FRAMING_COUNTED && m->length == 0);
	exchange_go_to(x, STEP_ROUTE);
	exchange_run(x);
}

static void
on_refuse(void *world, struct front_stream *front, struct message *m, const struct refusal *why)
{
	struct exchange *x = exchange_new(world, front, m);

	if (!x->is_own)
		metrics_refused(&x->world->metrics, why->status);
	x->refusal = *why;
	exchange_go_to(x, STEP_REPLY);
	exchange_run(x);
}

static void
on_front_body(void *arg, const struct str *spans, size_t n)
{
	struct exchange *x = arg;

	size_t i;

	if (x->is_ended)
		return;
	for (i = 0; i < n; i++)
		x->bytes_in += spans[i].len;
	if (x->bytes_in > x->route->max_body && !x->is_tunnel) {
		exchange_refuse(x, END_BODY_TOO_LARGE, 0, "body_too_large");
		exchange_end(x, END_BODY_TOO_LARGE);
		return;
	}
	relay_request(x, spans, n);
	if (x->step == STEP_GATHER)
		exchange_run(x);
}

static void
on_front_request_end(void *arg)
{
	struct exchange *x = arg;

	if (x->is_ended)
		return;
	if (x->is_tunnel) {
		x->client_done = true;
		if (x->origin != NULL)
			origin_shutdown(x->origin);
	} else {
		forward_identify_trailers(x->facts.config, x->request);
		relay_request_end(x);
	}
	exchange_run(x);
}

static void
on_front_drain(void *arg)
{
	struct exchange *x = arg;

	if (x->is_ended)
		return;
	if (x->step != STEP_SERVE) {
		relay_front_drained(x);
		return;
	}
	cached_go_on(x);
}

static void
on_front_abort(void *arg, const struct refusal *why)
{
	struct exchange *x = arg;

	if (x->is_ended)
		return;
	if (why->end != END_CLIENT_ABORT && why->end != END_SEND_TIMEOUT) {
		x->refusal = *why;
		if (x->refusal.status == 0)
			x->refusal.status = end_info(why->end)->status;
		metrics_refused(&x->world->metrics, x->refusal.status);
		exchange_end(x, why->end);
		return;
	}
	x->front = NULL;
	exchange_lose_client(x, why->end);
}

const struct front_events ports_front_events = {
	.on_request = on_request,
	.on_refuse = on_refuse,
	.on_body = on_front_body,
	.on_request_end = on_front_request_end,
	.on_drain = on_front_drain,
	.on_abort = on_front_abort,
};

/* --- what the origin says --------------------------------------------------------------------- */

static void
on_origin_open(void *arg)
{
	exchange_run(arg);
}

/* A refusal by status goes to another server while one is left and nothing was told the client. */
static bool
retries_status(struct exchange *x, int status)
{
	x->pick.now = clock_now();
	return status_set_has(&x->upstream->retry.on, status) && exchange_may_try_again(x) &&
	    exchange_method_allows(x) && pool_has_other(generation_pool(x->gen, x->upstream), &x->pick);
}

static void
take_interim(struct exchange *x, struct message *m)
{
	if (x->front != NULL)
		respond_head(x, forward_response(&x->facts, m, x->world->scratch));
	exchange_touch(x);
	exchange_arm(x);
}

/* An answer on a route with a cache; false when nobody wants it. */
static bool
take_cached_head(struct exchange *x, struct message *m)
{
	if (cached_use_stale(x, END_OK, m->status)) {
		exchange_drop_attempt(x);
		exchange_go_to(x, STEP_SERVE);
		return true;
	}
	switch (cached_head(x, m)) {
	case CACHED_PASSES:
		if (x->front == NULL && !x->upstream->finish_on_abort) {
			exchange_end(x, x->abandoned);
			return false;
		}
		x->response = m;
		break;
	case CACHED_FILLS:
		x->response = m;
		exchange_go_to(x, STEP_SERVE);
		break;
	case CACHED_REFRESHED:
		x->is_refreshed = true;
		break;
	}
	return true;
}

static void
on_origin_head(void *arg, struct message *m)
{
	struct exchange *x = arg;

	if (m->status < 200 && m->status != 101) {
		take_interim(x, m);
		return;
	}
	x->first_byte_us = clock_now_us();
	if (status_set_has(&x->upstream->fail_on, m->status)) {
		char why[24];

		snprintf(why, sizeof(why), "status %d", m->status);
		attempt_failure(&x->attempt, clock_now(), END_OK, why);
	} else
		attempt_success(&x->attempt, clock_now());
	if (x->is_background)
		x->status = m->status;
	if (retries_status(x, m->status)) {
		exchange_drop_attempt(x);
		exchange_go_to(x, STEP_PICK);
	} else if (x->cached != NULL && m->status != 101) {
		if (!take_cached_head(x, m))
			return;
	} else {
		x->response = m;
		x->is_tunnel = m->status == 101;
	}
	exchange_run(x);
}

static void
on_origin_body(void *arg, const struct str *spans, size_t n)
{
	struct exchange *x = arg;

	if (cached_is_filling(x))
		cached_fill(x, spans, n);
	else
		respond_body(x, spans, n);
}

static void
on_origin_end(void *arg)
{
	struct exchange *x = arg;

	if (x->is_ended)
		return;
	x->response_done = true;
	if (cached_is_filling(x)) {
		cached_fill_end(x);
		exchange_leave_server(x);
	} else if (x->is_refreshed) {
		exchange_leave_server(x);
		exchange_go_to(x, STEP_SERVE);
	}
	if (x->is_tunnel && x->front != NULL)
		x->front->ops->shutdown(x->front);
	exchange_run(x);
}

static void
on_origin_drain(void *arg)
{
	relay_origin_drained(arg);
}

static void
on_origin_fail(void *arg, enum end why)
{
	struct exchange *x = arg;

	/* In a tunnel either side may vanish; that is how tunnels end. */
	if (x->is_tunnel && why == END_BODY_CUT)
		why = END_RESET;
	exchange_fail(x, why);
}

const struct origin_events ports_origin_events = {
	.on_open = on_origin_open,
	.on_head = on_origin_head,
	.on_body = on_origin_body,
	.on_end = on_origin_end,
	.on_drain = on_origin_drain,
	.on_fail = on_origin_fail,
};
