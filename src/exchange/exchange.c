/* SPDX-License-Identifier: MIT */
/*
 * Birth, life and the one end of a request with its answer.
 *
 * Runs the steps (steps.c) until one waits, after each event (ports.c); decides about another try.
 * Invariant: is_ended is set once, by exchange_end, which gives everything back; the memory is freed at
 * the end of the turn.
 */
#include "exchange/exchange.h"

#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "exchange/admit.h"
#include "exchange/authenticate.h"
#include "exchange/cached.h"
#include "exchange/compress.h"
#include "exchange/exchange_private.h"
#include "exchange/generation.h"
#include "exchange/relay.h"
#include "exchange/reply.h"
#include "exchange/steps.h"
#include "exchange/world.h"
#include "net/conn.h"
#include "ops/access_log.h"
#include "ops/metrics.h"
#include "upstream/origin.h"

enum {
	REFRESHES_MAX = 64		/* at a time: no client's connection bounds them */
};

static struct slab exchanges;
static const struct exchange *looked_at;	/* the last one that was run, failed or ended; or NULL */

static void on_deadline(void *);

/* What the daemon was about when a check failed. */
static void
on_panic(void)
{
	const struct exchange *x = looked_at;

	if (x == NULL || x->magic != EXCHANGE_MAGIC)
		return;
	log_error("in exchange %.*s of %.*s: %.*s %.*s, step %s%s, end %s, try %u, server %.*s",
	    STR_ARG(x->facts.request_id), STR_ARG(x->facts.client_ip),
	    STR_ARG(x->request->method_name), STR_ARG(x->request->target),
	    x->step < STEP_DONE ? steps_name(x->step) : "done", x->is_ended ? ", ended" : "",
	    end_info(x->end)->name, x->tries, STR_ARG(x->server));
}

void
exchange_module_init(void)
{
	log_set_panic(on_panic);
	slab_init(&exchanges, "exchange", sizeof(struct exchange));
}

void
exchange_module_fini(void)
{
	slab_fini(&exchanges);
}

/* --- birth ------------------------------------------------------------------------------------ */

static struct str
ip_text(struct arena *arena, const struct ip *ip)
{
	enum { ROOM = 48 };
	char *p = arena_alloc(arena, ROOM);

	return str_make(p, ip_format(ip, p, ROOM));
}

struct exchange *
exchange_new(struct world *w, struct front_stream *front, struct message *m)
{
	struct exchange *x = slab_take(&exchanges);
	struct forward_facts *facts = &x->facts;

	x->magic = EXCHANGE_MAGIC;
	x->world = w;
	x->arena = m->arena;
	x->request = m;
	x->front = front;
	front->x = x;
	x->is_own = front->is_own;
	x->gen = generation_ref(w->current);
	x->started_us = clock_now_us();
	x->wall_us = clock_wall_us();
	x->touched = clock_now();
	facts->config = x->gen->config;
	facts->request = m;
	facts->peer_ip = str_of(front->peer_text);
	x->client = client_address(facts->config, &front->peer, m, &facts->peer_is_trusted);
	x->is_forwarded = x->client.is_set && (!front->peer.is_set ||
	    memcmp(x->client.bytes, front->peer.bytes, sizeof(x->client.bytes)) != 0);
	facts->client_ip = x->is_forwarded ? ip_text(x->arena, &x->client) : facts->peer_ip;
	facts->scheme = client_scheme(m, facts->peer_is_trusted, front->is_tls);
	m->is_https = str_eq(facts->scheme, STR("https"));
	forward_identify(facts->config, m, front->subject_field, front->subject);
	facts->local_port = front->local_port;
	facts->request_id = request_id_of(x->arena, m);
	deadline_init(&x->deadline, w->loop, on_deadline, x);
	place_init(&x->place, steps_on_turn, x);
	TAILQ_INSERT_TAIL(&w->live, x, entry);
	w->n_live++;
	return x;
}

/* What was gathered of the body, for one more reader. */
static struct evbuffer *
copy_body(const struct exchange *x)
{
	struct evbuffer *copy = evbuffer_new();
	size_t len = x->body != NULL ? evbuffer_get_length(x->body) : 0;

	check(copy != NULL);
	if (len > 0)
		evbuffer_add(copy, evbuffer_pullup(x->body, -1), len);
	return copy;
}

static struct str
keep_text(struct exchange *x, struct str s)
{
	return s.len > 0 ? arena_dup(x->arena, s) : s;
}

void
exchange_refresh(const struct exchange *of, struct cache_entry *stale)
{
	struct exchange *x;
	struct message *m;
	struct arena *arena;

	if (of->world->n_refreshes >= REFRESHES_MAX)
		return;
	arena = arena_new(message_size(of->request) + 1024);
	m = arena_alloc(arena, message_size(of->request));
	x = slab_take(&exchanges);
	message_copy(of->request, m);
	m->arena = arena;
	x->magic = EXCHANGE_MAGIC;
	x->is_background = x->request_done = true;
	x->world = of->world;
	x->arena = arena;
	x->request = m;
	x->gen = generation_ref(of->gen);
	x->route = of->route;
	x->upstream = of->upstream;
	x->client = of->client;
	x->facts = of->facts;
	x->facts.request = m;
	x->facts.peer_ip = keep_text(x, of->facts.peer_ip);
	x->facts.client_ip = keep_text(x, of->facts.client_ip);
	x->facts.request_id = request_id_of(arena, message_new(arena, 0));
	x->pick.hash = of->pick.hash;
	x->keeps_body = true;
	x->body = copy_body(of);
	x->started_us = clock_now_us();
	x->wall_us = clock_wall_us();
	x->touched = clock_now();
	deadline_init(&x->deadline, x->world->loop, on_deadline, x);
	place_init(&x->place, steps_on_turn, x);
	TAILQ_INSERT_TAIL(&x->world->live, x, entry);
	x->world->n_live++;
	x->world->n_refreshes++;
	cached_begin_refresh(x, of, stale);
	exchange_go_to(x, STEP_PICK);
	exchange_run(x);
}

/* --- running ---------------------------------------------------------------------------------- */

void
exchange_refuse(struct exchange *x, enum end end, int status, const char *rule)
{
	const struct end_info *info = end_info(end);

	x->refusal.end = end;
	x->refusal.status = status != 0 ? status : info->status;
	x->refusal.rule = rule;
	x->refusal.why = info->text;
}

void
exchange_go_to(struct exchange *x, enum step step)
{
	x->step = step;
	x->arrived = true;
}

void
exchange_arm(struct exchange *x)
{
	struct limit l;
	msec now = clock_now();

	if (x->is_ended || x->step == STEP_DONE)
		return;
	l = steps_limit(x);
	if (l.at == NO_LIMIT)
		deadline_disarm(&x->deadline);
	else
		deadline_arm(&x->deadline, l.at > now ? l.at - now : 1);
}

void
exchange_touch(struct exchange *x)
{
	x->touched = clock_now();
}

/* The server is done with, whatever of its answer the client still lacks. */
void
exchange_leave_server(struct exchange *x)
{
	if (x->origin != NULL)
		origin_close(x->origin, x->upstream);
	x->origin = NULL;
	x->origin_held = false;
	attempt_done(&x->attempt);
}

void
exchange_drop_attempt(struct exchange *x)
{
	exchange_leave_server(x);
	x->response = NULL;
	relay_rewind(x);
}

/* An expired answer rather than this failure, where the rules of the cache allow it. */
static bool
serve_stale(struct exchange *x, enum end why)
{
	if (why == END_OK || !cached_use_stale(x, why, 0))
		return false;
	exchange_drop_attempt(x);
	x->end = END_OK;
	exchange_go_to(x, STEP_SERVE);
	exchange_run(x);
	return true;
}

void
exchange_run(struct exchange *x)
{
	enum step next;

	check(x->magic == EXCHANGE_MAGIC);
	looked_at = x;
	while (!x->is_ended && x->step != STEP_DONE) {
		if (x->arrived) {
			x->arrived = false;
			steps_enter(x);
			if (x->is_ended)
				return;
		}
		next = steps_next(x);
		if (next == STEP_WAIT) {
			exchange_arm(x);
			return;
		}
		exchange_go_to(x, next);
	}
	if (!x->is_ended && !serve_stale(x, x->end))
		exchange_end(x, x->end);
}

void
exchange_look_again(struct exchange *x)
{
	exchange_go_to(x, STEP_LOOKUP);
	exchange_run(x);
}

void
exchange_count_steps(const struct world *w, struct step_count counts[STEP_DONE])
{
	const struct exchange *x;

	memset(counts, 0, STEP_DONE * sizeof(counts[0]));
	/* The oldest come first. */
	TAILQ_FOREACH(x, &w->live, entry)
		if (!x->is_own && x->step < STEP_DONE && counts[x->step].n++ == 0)
			counts[x->step].since_us = x->started_us;
}

/* --- limits that are over --------------------------------------------------------------------- */

/* Another's fetch took too long to be waited for. */
static void
fetch_alone(struct exchange *x)
{
	cached_give_up(x);
	exchange_look_again(x);
}

/* Another that waits for the same server, since before this turn, and may be told. */
static struct exchange *
find_stalled(const struct world *w, const struct backend *b)
{
	struct exchange *x;

	TAILQ_FOREACH(x, &w->live, entry)
		if (x->attempt.backend == b && x->picked_us < clock_now_us() &&
		    x->upstream->stall_timeout > 0 &&
		    (x->step == STEP_CONNECT || steps_is_owed(x)))
			return x;
	return NULL;
}

/* A server that is silent to everybody is left out, and all who wait for it go on without it. */
static void
give_up_server(struct exchange *x)
{
	struct world *w = x->world;
	struct backend *b = backend_ref(x->attempt.backend);
	msec silent = x->upstream->stall_timeout;

	for (; x != NULL; x = find_stalled(w, b)) {
		attempt_stalled(&x->attempt, clock_now(), silent);
		exchange_fail(x, END_STALLED);
	}
	backend_unref(b);
}

/* The limits are lazy: what moved meanwhile is looked at when the timer fires. */
static void
on_deadline(void *arg)
{
	struct exchange *x = arg;
	struct limit l;

	check(x->magic == EXCHANGE_MAGIC);
	l = steps_limit(x);
	if (l.at == NO_LIMIT || l.at > clock_now())
		exchange_arm(x);
	else if (l.why == END_STALLED)
		give_up_server(x);
	else if (l.why != END_OK)
		exchange_fail(x, l.why);
	else if (x->step == STEP_LOOKUP)
		fetch_alone(x);
	else
		exchange_run(x);
}

/* --- failure: another try, or the end --------------------------------------------------------- */

bool
exchange_is_timeout(enum end why)
{
	switch (why) {
	case END_CONNECT_TIMEOUT:
	case END_HEAD_TIMEOUT:
	case END_SERVER_SEND_TIMEOUT:
	case END_BODY_STALLED:
	case END_TOTAL_TIMEOUT:
		return true;
	default:
		return false;
	}
}

static bool
is_tls_failure(enum end why)
{
	return why == END_TLS_VERIFY || why == END_TLS_FAILED;
}

static void
judge_failure(struct exchange *x, enum end why)
{
	const struct status_set *fail_on = &x->upstream->fail_on;
	char text[160];

	if (end_info(why)->blame != END_BLAME_UPSTREAM)
		return;
	snprintf(text, sizeof(text), "%s%s%s", end_info(why)->name, x->detail != NULL ? ": " : "",
	    x->detail != NULL ? x->detail : "");
	if (exchange_is_timeout(why) ? fail_on->timeout : fail_on->error)
		attempt_failure(&x->attempt, clock_now(), why, text);
}

/* What every retry needs, whatever the reason. */
bool
exchange_may_try_again(const struct exchange *x)
{
	return x->upstream != NULL && !x->head_sent &&
	    (x->front != NULL || cached_has_followers(x)) && !x->body_lost &&
	    x->tries < x->upstream->retry.tries;
}

bool
exchange_method_allows(const struct exchange *x)
{
	return method_is_idempotent(x->request->method) || x->upstream->retry.non_idempotent;
}

static bool
may_retry(const struct exchange *x, enum end why)
{
	const struct status_set *on;

	if (!exchange_may_try_again(x))
		return false;
	on = &x->upstream->retry.on;
	switch (end_info(why)->retry) {
	case END_RETRY_CONNECT:
		return on->error || (on->timeout && exchange_is_timeout(why));
	case END_RETRY_STALE:
	case END_RETRY_ERROR:
		return on->error && exchange_method_allows(x);
	case END_RETRY_TIMEOUT:
		return on->timeout && exchange_method_allows(x);
	case END_RETRY_NEVER:
		break;
	}
	return false;
}

/* RFC 9112 9.3.1: the server closed a connection it had kept; it has seen nothing it would act on. */
static void
try_fresh(struct exchange *x)
{
	x->was_stale = x->wants_fresh = true;
	origin_close(x->origin, x->upstream);
	x->origin = NULL;
	relay_rewind(x);
	exchange_go_to(x, STEP_CONNECT);
	exchange_run(x);
}

static void
leave_line(struct exchange *x, enum end why)
{
	if (place_is_taken(&x->place))
		x->queue_us += clock_now_us() - x->joined_us;
	place_leave(&x->place, why);
}

void
exchange_fail(struct exchange *x, enum end why)
{
	check(x->magic == EXCHANGE_MAGIC);
	looked_at = x;
	if (x->is_ended)
		return;
	leave_line(x, why);
	if ((why == END_BAD_RESPONSE || why == END_BODY_CUT) && x->origin != NULL &&
	    origin_rule(x->origin) != NULL)
		x->refusal.rule = origin_rule(x->origin);
	if (x->origin != NULL && (is_tls_failure(why) || why == END_SERVER_CLOSED))
		x->detail = origin_why(x->origin);
	if (x->upstream != NULL)
		judge_failure(x, why);
	if (end_info(why)->retry == END_RETRY_STALE && !x->was_stale && !x->body_lost &&
	    !x->head_sent) {
		try_fresh(x);
		return;
	}
	if (!may_retry(x, why)) {
		if (!serve_stale(x, why))
			exchange_end(x, why);
		return;
	}
	x->end = why;
	exchange_drop_attempt(x);
	exchange_go_to(x, STEP_PICK);
	exchange_run(x);
}

/* --- the client goes -------------------------------------------------------------------------- */

/* A server, or the log, may still be to be told of it, by a text that goes with the client's connection. */
void
exchange_keep_peer(struct exchange *x)
{
	x->facts.peer_ip = keep_text(x, x->facts.peer_ip);
	x->facts.client_ip = keep_text(x, x->facts.client_ip);
}

/* Goes on without its client where the upstream says so and the server has the whole request. */
static bool
goes_on_alone(const struct exchange *x)
{
	if (cached_has_followers(x))
		return x->request_done;
	return x->upstream != NULL && x->upstream->finish_on_abort && x->request_done &&
	    !x->is_tunnel && (x->step == STEP_SEND || x->step == STEP_RESPOND ||
	    cached_is_filling(x));
}

void
exchange_lose_client(struct exchange *x, enum end why)
{
	x->status = end_info(why)->status;
	if (!goes_on_alone(x)) {
		exchange_end(x, why);
		return;
	}
	x->abandoned = why;
	compress_end(x);
	exchange_keep_peer(x);
	cached_client_gone(x);
	relay_front_drained(x);
	exchange_arm(x);
}

void
exchange_cut_client(struct exchange *x, enum end why)
{
	respond_cut(x);
	exchange_lose_client(x, why);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* "http://name:password@host/" is refused, and what stands before the host is for no log. */
static struct str
without_userinfo(struct exchange *x, struct str s, bool is_target)
{
	const char *scheme;
	size_t from, to, at;

	if (str_find(s, '@') < 0 || (is_target && s.p[0] == '/'))
		return s;
	scheme = memmem(s.p, s.len, "://", 3);
	from = scheme != NULL ? (size_t)(scheme - s.p) + 3 : 0;
	for (to = from; to < s.len && memchr("/?#", s.p[to], 3) == NULL; to++)
		;
	for (at = to; at > from && s.p[at - 1] != '@'; at--)
		;
	return at == from ? s : arena_printf(x->arena, "%.*s***@%.*s", (int)from, s.p, (int)(s.len - at),
	    s.p + at);
}

static void
log_exchange(struct exchange *x)
{
	const struct message *m = x->request;
	int64_t now = clock_now_us();
	struct record r = {
		.wall_us = x->wall_us,
		.request_id = x->facts.request_id,
		.client = x->facts.client_ip,
		.user = x->facts.user,
		.method = m->method_name,
		.target = without_userinfo(x, m->target, true),
		.host = without_userinfo(x, m->authority, false),
		.user_agent = message_value(m, FIELD_USER_AGENT),
		.referer = message_value(m, FIELD_REFERER),
		.minor = m->minor,
		.status = x->status,
		.bytes_in = x->bytes_in,
		.bytes_out = x->bytes_out,
		.end = x->end,
		.rule = x->refusal.rule != NULL ? x->refusal.rule : x->detail,
		.limit = x->verdict != NULL ? limit_word_name(x->verdict->word) : NULL,
		.server = x->server,
		.tries = x->tries,
		.cache = cached_word(x),
		.encoding = x->encoding,
		.queue_us = x->picked_us > 0 || x->queue_us > 0 ? x->queue_us : -1,
		.connect_us = x->connected_us > 0 ? x->connected_us - x->picked_us : -1,
		.first_byte_us = x->first_byte_us > 0 ? x->first_byte_us - x->started_us : -1,
		.total_us = now - x->started_us,
	};

	if (x->verdict != NULL)
		r.limit_name = x->verdict->limit->conf->name;
	if (x->route != NULL)
		r.route = x->route->name;
	if (x->upstream != NULL)
		r.upstream = x->upstream->name;
	access_log_write(x->world->access_log, &r);
	metrics_observe(&x->world->metrics,
	    x->route != NULL ? generation_route_meter(x->gen, x->route) : NULL,
	    x->upstream != NULL ? generation_upstream_meter(x->gen, x->upstream) : NULL, &r);
}

/* What the client is told of a failure; nothing that it could take for a whole answer. */
static void
answer_failure(struct exchange *x, enum end why)
{
	const struct end_info *info = end_info(why);

	if (why == END_QUEUE_FULL || why == END_QUEUE_TIMEOUT)
		x->retry_after = line_retry_after(generation_pool(x->gen, x->upstream)->line);
	if (!x->head_sent && (x->refusal.status != 0 || info->status != 0)) {
		if (x->refusal.status == 0)
			exchange_refuse(x, why, 0, x->refusal.rule);
		x->response = NULL;
		reply_send(x);
		respond_end(x);
		return;
	}
	if (x->takes_event && x->head_sent)
		reply_stream_error(x, info->name, info->text);
	respond_cut(x);
}

void
exchange_end(struct exchange *x, enum end why)
{
	check(x->magic == EXCHANGE_MAGIC);
	looked_at = x;
	if (x->is_ended)
		return;
	x->is_ended = true;
	/* A refusal has its own word: the steps went well, the request did not. */
	x->end = why == END_OK && x->refusal.status != 0 ? x->refusal.end : why;
	if (x->abandoned != END_OK)
		x->end = x->abandoned;
	x->step = STEP_DONE;
	deadline_fini(&x->deadline);
	leave_line(x, why);
	if (x->origin != NULL)
		origin_close(x->origin, x->upstream);
	x->origin = NULL;
	attempt_done(&x->attempt);
	authenticate_end(x);
	admit_end(x);
	cached_end(x, why);
	if (x->front != NULL) {
		if (why == END_OK)
			respond_end(x);
		else
			answer_failure(x, why);
	}
	compress_end(x);
	if (x->status == 0)
		x->status = end_info(x->end)->status;
	if (!x->is_own)
		log_exchange(x);
	generation_unref(x->gen);
	x->gen = NULL;
	TAILQ_REMOVE(&x->world->live, x, entry);
	TAILQ_INSERT_TAIL(&x->world->ended, x, entry);
	x->world->n_live--;
	if (x->is_background)
		x->world->n_refreshes--;
}

void
exchange_reap(struct world *w)
{
	struct exchange *x;

	/* Pieces gathered for a socket may lie in these arenas. */
	if (!TAILQ_EMPTY(&w->ended))
		conn_flush(w->loop);
	while ((x = TAILQ_FIRST(&w->ended)) != NULL) {
		TAILQ_REMOVE(&w->ended, x, entry);
		if (looked_at == x)
			looked_at = NULL;
		arena_free(x->arena);
		if (x->body != NULL)
			evbuffer_free(x->body);
		x->magic = 0;
		slab_give(&exchanges, x);
	}
}

void
exchange_end_all(struct world *w)
{
	while (!TAILQ_EMPTY(&w->live))
		exchange_end(TAILQ_FIRST(&w->live), END_DRAINED);
}
