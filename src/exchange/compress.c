/* SPDX-License-Identifier: MIT */
/*
 * Encodes bodies on their way to the client.
 *
 * Nothing is held back: what a turn brought is flushed in its second pass, unless the body ended
 * before.  And the loop is not held up: who has had its share of a turn waits, its server or its
 * place in the cache with it; of those who wait one goes on in each turn.  Knows no step but that of the
 * cache, which has to be asked for more.  Invariant: a coder is given back when the client is told the
 * end, or is gone.
 */
#include "exchange/compress.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "exchange/cached.h"
#include "exchange/exchange.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "http/coder.h"
#include "http/message.h"
#include "net/conn.h"
#include "policy/encode.h"

enum {
	OUT = 64 * 1024,		/* bytes of output between two flushes */
	OUT_MIN = 1024,			/* worth to begin with */
	SHARE = 64 * 1024,		/* bytes of input an answer has in a turn */
	WARN_EVERY = 10000		/* ms */
};

struct compress {
	struct exchange *x;
	struct coder    *coder;
	enum encoding    encoding;
	size_t           taken;		/* bytes of this turn */
	bool             is_tired;
	struct task      turn_end;	/* flushes */
	TAILQ_ENTRY(compress) entry;	/* of the tired */
};

static void on_next(void *);

void
compressor_init(struct compressor *s, struct loop *loop)
{
	s->loop = loop;
	s->out = malloc(OUT);
	check(s->out != NULL);
	TAILQ_INIT(&s->tired);
	task_init(&s->next, on_next, s);
}

void
compressor_fini(struct compressor *s)
{
	check(TAILQ_EMPTY(&s->tired));
	loop_cancel(s->loop, &s->next);
	free(s->out);
	s->out = NULL;
}

/* --- bytes ------------------------------------------------------------------------------------- */

static void
pass(struct compress *c, size_t from)
{
	struct compressor *s = &c->x->world->compressor;
	struct str span = str_make(s->out + from, s->used - from);

	if (span.len == 0)
		return;
	c->x->bytes_out += span.len;
	s->done[c->encoding].out += span.len;
	c->x->front->ops->send_body(c->x->front, &span, 1);
}

/* What is written stays where it is until it was sent: so a new lap begins with a flush. */
static void
code(struct compress *c, const struct str *spans, size_t n, enum coder_mode mode)
{
	struct compressor *s = &c->x->world->compressor;
	size_t from = s->used, i = 0;
	struct str in = n > 0 ? spans[0] : STR_NONE;
	bool is_done = false;

	while (!is_done) {
		if (OUT - s->used < OUT_MIN) {
			pass(c, from);
			conn_flush(s->loop);
			from = s->used = 0;
		}
		/* The last one alone is flushed behind. */
		s->used += coder_step(c->coder, &in, i + 1 < n ? CODER_MORE : mode,
		    s->out + s->used, OUT - s->used, &is_done);
		if (is_done && i + 1 < n) {
			in = spans[++i];
			is_done = false;
		}
	}
	pass(c, from);
}

static void
on_turn_end(void *arg)
{
	struct compress *c = arg;

	code(c, NULL, 0, CODER_FLUSH);
	c->taken = 0;
}

/* --- turns ------------------------------------------------------------------------------------- */

static void
rest(struct compress *c)
{
	struct compressor *s = &c->x->world->compressor;

	c->is_tired = true;
	TAILQ_INSERT_TAIL(&s->tired, c, entry);
	loop_defer(s->loop, &s->next);
}

static void
wake(struct compress *c)
{
	c->is_tired = false;
	TAILQ_REMOVE(&c->x->world->compressor.tired, c, entry);
}

static void
go_on(struct exchange *x)
{
	if (x->step == STEP_SERVE)
		cached_go_on(x);
	else if (x->front->ops->backlog(x->front) <= FRONT_HIGH_MARK)
		relay_front_drained(x);
}

/* One of them a turn: a share is milliseconds, and a turn costs next to nothing. */
static void
on_next(void *arg)
{
	struct compressor *s = arg;
	struct compress *c = TAILQ_FIRST(&s->tired);

	if (c == NULL)
		return;
	wake(c);
	go_on(c->x);
	if (!TAILQ_EMPTY(&s->tired))
		loop_defer(s->loop, &s->next);
}

/* --- an answer --------------------------------------------------------------------------------- */

static void
refuse(struct compressor *s)
{
	s->done[ENCODING_IDENTITY].answers++;
	if (s->warned != 0 && clock_now() - s->warned < WARN_EVERY)
		return;
	s->warned = clock_now();
	log_warn("%d answers are being compressed, which is the most: %llu so far went uncompressed",
	    CODERS_MAX, (unsigned long long)s->done[ENCODING_IDENTITY].answers);
}

static void
begin(struct exchange *x, enum encoding encoding, struct coder *coder)
{
	struct compress *c = arena_zalloc(x->arena, sizeof(*c));

	c->x = x;
	c->coder = coder;
	c->encoding = encoding;
	task_init(&c->turn_end, on_turn_end, c);
	x->compress = c;
	x->encoding = coder_name(encoding);
	x->world->compressor.done[encoding].answers++;
}

void
compress_head(struct exchange *x, struct message *m)
{
	const struct compress_conf *conf = x->route != NULL ? x->route->compress : NULL;
	struct arena *scratch = x->world->scratch;
	enum encode_verdict verdict = conf != NULL ? encode_judge(conf, m) : ENCODE_NEVER;
	enum encoding encoding;
	struct coder *coder;

	/* Our own come all at once: long ones would take more than a share. */
	if (verdict == ENCODE_NEVER || (x->step == STEP_REPLY && m->length > SHARE))
		return;
	encode_vary(m, scratch);
	if (m->status == 304)
		encode_not_modified(m, x->request, scratch);
	if (verdict != ENCODE_MAY)
		return;
	encoding = encode_choose(conf, x->request);
	if (encoding == ENCODING_IDENTITY)
		return;
	if (m->framing == FRAMING_NONE) {
		/* RFC 9110 9.3.2: HEAD is told what GET would be. */
		encode_head(m, encoding, scratch);
		return;
	}
	coder = coder_new(encoding, conf->level);
	if (coder == NULL) {
		refuse(&x->world->compressor);
		return;
	}
	encode_head(m, encoding, scratch);
	begin(x, encoding, coder);
}

void
compress_body(struct exchange *x, const struct str *spans, size_t n)
{
	struct compress *c = x->compress;
	size_t i, total = 0;

	for (i = 0; i < n; i++)
		total += spans[i].len;
	c->taken += total;
	x->world->compressor.done[c->encoding].in += total;
	code(c, spans, n, CODER_MORE);
	loop_defer(x->world->loop, &c->turn_end);
	if (c->taken >= SHARE && !c->is_tired)
		rest(c);
}

bool
compress_is_tired(const struct exchange *x)
{
	return x->compress != NULL && x->compress->is_tired;
}

void
compress_flush(struct exchange *x)
{
	struct compress *c = x->compress;

	if (c == NULL || !c->turn_end.is_queued)
		return;
	loop_cancel(x->world->loop, &c->turn_end);
	on_turn_end(c);
}

void
compress_finish(struct exchange *x)
{
	struct message *m = x->response;
	size_t i, n = 0;

	if (x->compress == NULL)
		return;
	code(x->compress, NULL, 0, CODER_END);
	compress_end(x);
	if (m == NULL)
		return;
	for (i = 0; i < m->n_trailers; i++)
		if (encode_keeps_trailer(&m->trailers[i]))
			m->trailers[n++] = m->trailers[i];
	m->n_trailers = n;
}

void
compress_end(struct exchange *x)
{
	struct compress *c = x->compress;

	if (c == NULL)
		return;
	if (c->is_tired)
		wake(c);
	loop_cancel(x->world->loop, &c->turn_end);
	coder_free(c->coder);
	x->compress = NULL;
}
