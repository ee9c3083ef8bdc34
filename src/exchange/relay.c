/* SPDX-License-Identifier: MIT */
/*
 * Bodies: pump and back-pressure, both ways; the door for answers.
 *
 * Bytes go from the socket they came in to the one they leave by in the same turn.  What cannot
 * leave is kept, at most the high mark beyond what one read brings; then the sender is held.  Knows
 * no step: it moves bytes and says that they moved.
 */
#include "exchange/relay.h"

#include <event2/buffer.h>

#include "base/log.h"
#include "config/config.h"
#include "exchange/admit.h"
#include "exchange/cached.h"
#include "exchange/compress.h"
#include "exchange/exchange.h"
#include "exchange/world.h"
#include "http/message.h"
#include "net/conn.h"
#include "upstream/origin.h"

static size_t
total_of(const struct str *spans, size_t n)
{
	size_t total = 0, i;

	for (i = 0; i < n; i++)
		total += spans[i].len;
	return total;
}

/* --- the request ------------------------------------------------------------------------------ */

static size_t
kept(const struct exchange *x)
{
	return x->body != NULL ? evbuffer_get_length(x->body) : 0;
}

static size_t
unsent(const struct exchange *x)
{
	return kept(x) - x->body_sent;
}

/* Before there is a server, what would be kept anyway may come: who is held is not seen to leave. */
static void
hold_front(struct exchange *x)
{
	size_t waiting = unsent(x) + (x->origin != NULL ? origin_backlog(x->origin) : 0);
	/* What the cache's key is made of is gathered whole. */
	uint64_t mark = x->step == STEP_GATHER ? x->route->cache->max_body : ORIGIN_HIGH_MARK;
	bool hold = waiting > mark && (x->origin != NULL || !x->keeps_body);

	if (x->front == NULL || hold == x->front_held)
		return;
	x->front_held = hold;
	x->front->ops->hold(x->front, hold);
	exchange_arm(x);
}

void
relay_wait(struct exchange *x)
{
	if (x->front != NULL && x->request->expect_continue && !x->request_done)
		x->front->ops->excuse(x->front, true);
}

static void
keep(struct exchange *x, const struct str *spans, size_t n)
{
	size_t i;

	if (x->body == NULL) {
		x->body = evbuffer_new();
		check(x->body != NULL);
	}
	for (i = 0; i < n; i++)
		evbuffer_add(x->body, spans[i].p, spans[i].len);
}

void
relay_forget(struct exchange *x)
{
	x->keeps_body = false;
	if (x->body == NULL || x->body_sent == 0)
		return;
	/* The pieces in flight may lie in what is drained. */
	conn_flush(x->world->loop);
	evbuffer_drain(x->body, x->body_sent);
	x->body_sent = 0;
	x->body_lost = true;
}

void
relay_rewind(struct exchange *x)
{
	x->body_sent = 0;
	x->is_flowing = false;
}

void
relay_request(struct exchange *x, const struct str *spans, size_t n)
{
	bool direct = x->is_flowing && unsent(x) == 0;
	size_t total = total_of(spans, n);

	exchange_touch(x);
	if (x->keeps_body && kept(x) + total > x->upstream->retry.keep_body)
		relay_forget(x);
	if (!direct || x->keeps_body)
		keep(x, spans, n);
	else
		x->body_lost = true;
	if (direct) {
		origin_send_body(x->origin, spans, n);
		if (x->keeps_body)
			x->body_sent = kept(x);
	}
	hold_front(x);
}

/* Hands the unsent part of what is kept to the origin, chain by chain. */
static void
send_kept(struct exchange *x)
{
	struct evbuffer_iovec vec[16];
	struct evbuffer_ptr at;
	struct str spans[16];
	int n, i;

	while (unsent(x) > 0) {
		evbuffer_ptr_set(x->body, &at, x->body_sent, EVBUFFER_PTR_SET);
		n = evbuffer_peek(x->body, -1, &at, vec, 16);
		n = n > 16 ? 16 : n;
		for (i = 0; i < n; i++) {
			spans[i] = str_make(vec[i].iov_base, vec[i].iov_len);
			x->body_sent += vec[i].iov_len;
		}
		origin_send_body(x->origin, spans, (size_t)n);
	}
}

static void
finish_request(struct exchange *x)
{
	if (x->request_done && x->is_flowing && x->origin != NULL)
		origin_finish(x->origin, x->request->trailers, x->request->n_trailers);
}

void
relay_push(struct exchange *x)
{
	x->is_flowing = true;
	if (x->front != NULL)
		x->front->ops->excuse(x->front, false);
	send_kept(x);
	if (!x->keeps_body)
		relay_forget(x);
	finish_request(x);
	hold_front(x);
}

void
relay_request_end(struct exchange *x)
{
	x->request_done = true;
	finish_request(x);
}

void
relay_origin_drained(struct exchange *x)
{
	exchange_touch(x);
	hold_front(x);
	exchange_arm(x);
}

/* --- the answer ------------------------------------------------------------------------------- */

void
relay_front_drained(struct exchange *x)
{
	exchange_touch(x);
	if (x->origin == NULL || !x->origin_held)
		return;
	x->origin_held = false;
	origin_hold(x->origin, false);
	exchange_arm(x);
}

/* Not where it would count as the server's own bytes or stand unpacked among packed ones. */
static bool
takes_event(const struct message *m)
{
	return forward_is_event_stream(m) &&
	    (m->framing == FRAMING_CHUNKED || m->framing == FRAMING_CLOSE) &&
	    message_find(m, FIELD_CONTENT_ENCODING) == NULL;
}

void
respond_head(struct exchange *x, struct message *m)
{
	if (m->status >= 200 || m->status == 101) {
		x->head_sent = true;
		x->takes_event = takes_event(m);
		if (m->status >= 200)
			cached_add_status(x, m);
		/* Who has left is told nothing. */
		if (x->front != NULL)
			x->status = m->status;
	}
	if (x->front == NULL)
		return;
	if (m->status >= 200) {
		admit_fields(x, m);
		compress_head(x, m);
	}
	x->front->ops->send_head(x->front, m);
}

static void
send_body(struct exchange *x, const struct str *spans, size_t n)
{
	x->bytes_out += total_of(spans, n);
	if (x->takes_event && n > 0 && spans[n - 1].len > 0)
		x->last_byte = spans[n - 1].p[spans[n - 1].len - 1];
	x->front->ops->send_body(x->front, spans, n);
}

void
respond_body(struct exchange *x, const struct str *spans, size_t n)
{
	exchange_touch(x);
	if (x->front == NULL)
		return;
	if (x->compress != NULL)
		compress_body(x, spans, n);
	else
		send_body(x, spans, n);
	/* What fills the cache comes at the server's pace, whatever this client's is. */
	if (x->origin == NULL || x->origin_held || cached_is_filling(x))
		return;
	if (x->front->ops->backlog(x->front) <= FRONT_HIGH_MARK && !compress_is_tired(x))
		return;
	x->origin_held = true;
	origin_hold(x->origin, true);
}

void
respond_end(struct exchange *x)
{
	struct front_stream *front = x->front;
	const struct message *m = x->response;

	if (front == NULL)
		return;
	compress_finish(x);
	x->front = NULL;
	front->ops->finish(front, m != NULL ? m->trailers : NULL, m != NULL ? m->n_trailers : 0);
}

void
respond_cut(struct exchange *x)
{
	struct front_stream *front = x->front;

	compress_flush(x);
	compress_end(x);
	x->front = NULL;
	front->ops->reset(front);
}
