/* SPDX-License-Identifier: MIT */
/*
 * Birth, the steps and the one end of a request with its answer.
 *
 * The table below is the only place that knows the order of things.  .enter runs once, on arrival,
 * and starts something; .next runs after it and after every event, looks at what is there and names
 * the next step; .limit says how long waiting there may last.  Events store what came and run the
 * steps; bodies do not walk them (relay.c).  Invariant: is_ended is set once, by exchange_end, which
 * gives everything back; the memory is freed at the end of the turn.
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
#include "exchange/generation.h"
#include "exchange/relay.h"
#include "exchange/reply.h"
#include "exchange/world.h"
#include "net/conn.h"
#include "net/proxy_header.h"
#include "ops/access_log.h"
#include "ops/metrics.h"
#include "policy/route.h"
#include "upstream/origin.h"

enum {
	EXCHANGE_MAGIC = 0x65786368,
	NO_LIMIT = 0,
	REFRESHES_MAX = 64		/* at a time: no client's connection bounds them */
};

/* When waiting in a step is over, and what that means; END_OK: the step looks again. */
struct limit {
	msec     at;			/* monotonic; NO_LIMIT: never */
	enum end why;
};

struct step_info {
	const char  *name;
	void       (*enter)(struct exchange *);
	enum step  (*next)(struct exchange *);
	struct limit (*limit)(const struct exchange *);
};

static const struct step_info steps[];
static const struct origin_events origin_events;
static struct slab exchanges;
static const struct exchange *looked_at;	/* the last one that was run, failed or ended; or NULL */

static void on_deadline(void *);
static void on_turn(void *);

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
	    x->step < STEP_DONE ? steps[x->step].name : "done", x->is_ended ? ", ended" : "",
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

static void
refuse(struct exchange *x, enum end end, int status, const char *rule)
{
	const struct end_info *info = end_info(end);

	x->refusal.end = end;
	x->refusal.status = status != 0 ? status : info->status;
	x->refusal.rule = rule;
	x->refusal.why = info->text;
}

/* --- route: what is to be done with it --------------------------------------------------------- */

static enum step
refuse_route(struct exchange *x, bool methods_differ)
{
	if (methods_differ) {
		refuse(x, END_NO_ROUTE, 405, "method_not_allowed");
		x->refusal.why = "this site does not take that method here";
	} else
		refuse(x, END_NO_ROUTE, 0, NULL);
	return STEP_REPLY;
}

/* The key of the hash balancers; the others do not look at it. */
static uint64_t
hash_of(const struct exchange *x, const struct ip *client)
{
	const struct upstream_conf *up = x->upstream;

	if (up->balance == BALANCE_IP_HASH)
		return pool_hash_ip(up, client);
	if (up->balance == BALANCE_HASH)
		return pool_hash_key(forward_key(&up->hash, &x->facts, x->request));
	return 0;
}

static enum step
route_next(struct exchange *x)
{
	const struct message *m = x->request;
	const char *rule;
	bool methods_differ;

	if (x->is_own) {
		x->page = reply_find_page(x);
		return STEP_REPLY;
	}
	x->route = x->facts.route = route_match(x->gen->config, m, &methods_differ);
	if (x->route == NULL)
		return refuse_route(x, methods_differ);
	rule = route_refuses(x->route, &x->client);
	if (rule != NULL) {
		refuse(x, END_ACCESS_DENIED, 0, rule);
		return STEP_REPLY;
	}
	if (m->framing == FRAMING_COUNTED && m->length > x->route->max_body) {
		refuse(x, END_BODY_TOO_LARGE, 0, "body_too_large");
		return STEP_REPLY;
	}
	if (x->route->action == ROUTE_UPSTREAM) {
		x->upstream = x->route->upstream;
		x->keeps_body = true;
		x->pick.hash = hash_of(x, &x->client);
		if (x->route->cache != NULL)
			cached_begin(x);
	}
	return x->route->auth != NULL ? STEP_AUTH : STEP_ADMIT;
}

/* --- auth: who asks -------------------------------------------------------------------------------- */

static enum step
auth_next(struct exchange *x)
{
	if (x->refusal.status != 0)
		return STEP_REPLY;
	return x->check != NULL ? STEP_WAIT : STEP_ADMIT;
}

static struct limit
auth_limit(const struct exchange *x)
{
	struct limit l = { authenticate_limit(x), END_AUTH_BUSY };

	return l;
}

/* --- admit: not more than its limits allow ------------------------------------------------------- */

static enum step
admit_next(struct exchange *x)
{
	if (x->refusal.status != 0)
		return STEP_REPLY;
	if (x->admitted_us > clock_now_us())
		return STEP_WAIT;
	if (x->upstream == NULL)
		return STEP_REPLY;
	return x->cached != NULL ? STEP_GATHER : STEP_PICK;
}

static struct limit
admit_limit(const struct exchange *x)
{
	struct limit l = { (x->admitted_us + 999) / 1000, END_OK };

	return l;
}

/* --- gather: the body that the cache's key is made of; its limit is the front's --------------------- */

static enum step
gather_next(struct exchange *x)
{
	return cached_wants_body(x) ? STEP_WAIT : STEP_LOOKUP;
}

/* --- lookup: is it there, is somebody fetching it ---------------------------------------------------- */

static void
lookup_enter(struct exchange *x)
{
	cached_lookup(x);
	x->touched = clock_now();
	if (x->waiting_us == 0)
		x->waiting_us = clock_now_us();
}

static enum step
lookup_next(struct exchange *x)
{
	switch (cached_verdict(x)) {
	case CACHED_FETCH:
		break;
	case CACHED_SERVE:
		return STEP_SERVE;
	case CACHED_WAIT:
		return STEP_WAIT;
	case CACHED_REFUSE:
		refuse(x, END_NOT_CACHED, 0, NULL);
		return STEP_REPLY;
	}
	return STEP_PICK;
}

static struct limit
lookup_limit(const struct exchange *x)
{
	/* From the first fetch waited for on: one after the other may fail. */
	struct limit l = { x->waiting_us / 1000 + x->upstream->timeouts.first_byte, END_OK };

	return l;
}

/* --- reply: an answer of our own ------------------------------------------------------------------ */

static void
reply_enter(struct exchange *x)
{
	reply_send(x);
}

static enum step
reply_next(struct exchange *x)
{
	(void)x;
	return STEP_DONE;
}

/* --- pick: who serves, and the line of those who wait for a server ------------------------------------- */

static void
take_server(struct exchange *x)
{
	if (x->attempt.member == NULL)
		return;
	x->tries++;
	x->was_stale = false;
	x->picked_us = clock_now_us();
	x->connected_us = x->first_byte_us = 0;
	x->server = x->attempt.member->conf->address.text;
	/* One of the addresses of a name may be gone before the log is written. */
	if (x->attempt.member->conf->address.is_name)
		x->server = arena_dup(x->arena, x->attempt.backend->identity);
	x->facts.server = x->server;
}

/* The first of the route's limits that tells clients apart, or NULL. */
static const struct limit_claim *
claim_of_client(const struct exchange *x)
{
	size_t i;

	for (i = 0; i < x->n_claims; i++)
		switch (x->claims[i].limit->conf->key.source) {
		case KEY_CLIENT_IP:
		case KEY_HEADER:
		case KEY_COOKIE:
		case KEY_QUERY:
		case KEY_AUTH:
			return &x->claims[i];
		case KEY_PATH:
		case KEY_HOST:
		case KEY_ROUTE:
			break;
		}
	return NULL;
}

/* Who takes turns in the line: a limiter's key, else the address, IPv6 by a subscriber's network. */
static struct str
client_of(const struct exchange *x, struct ip *masked)
{
	const struct limit_claim *claim = claim_of_client(x);

	if (claim != NULL)
		return str_make((const char *)&claim->key, sizeof(claim->key));
	if (!x->client.is_set)
		return STR("unix");
	*masked = ip_mask(&x->client, x->client.is_v4 ? 32 : 64);
	return str_make((const char *)masked->bytes, sizeof(masked->bytes));
}

static void
pick_enter(struct exchange *x)
{
	struct pool *pool = generation_pool(x->gen, x->upstream);
	enum line_answer answer;
	struct ip masked;

	x->pick.now = clock_now();
	x->joined_us = clock_now_us();
	if (x->waiting_us == 0 || x->tries > 0)
		x->waiting_us = x->joined_us;
	answer = line_ask(&x->place, pool, &x->pick, &x->attempt, client_of(x, &masked),
	    x->started_us);
	if (answer == LINE_GIVEN)
		take_server(x);
	else if (answer == LINE_WAIT)
		relay_wait(x);
	/* Out of servers: what the last one did is the better answer. */
	else if (x->end == END_OK)
		x->end = answer == LINE_FULL ? END_QUEUE_FULL : END_NO_BACKEND;
}

static enum step
pick_next(struct exchange *x)
{
	if (place_is_taken(&x->place))
		return STEP_WAIT;
	if (x->attempt.member != NULL)
		return STEP_CONNECT;
	if (x->end == END_OK)
		x->end = END_NO_BACKEND;
	return STEP_DONE;
}

static struct limit
pick_limit(const struct exchange *x)
{
	struct limit none = { NO_LIMIT, END_OK };
	/* Who has waited for the place of another, which that one lost, does not begin anew. */
	struct limit queue = { x->waiting_us / 1000 + x->upstream->queue.timeout,
		END_QUEUE_TIMEOUT };

	/* Served in this turn already: too late to be late. */
	return place_is_waiting(&x->place) ? queue : none;
}

static void
leave_line(struct exchange *x, enum end why)
{
	if (place_is_taken(&x->place))
		x->queue_us += clock_now_us() - x->joined_us;
	place_leave(&x->place, why);
}

static void
on_turn(void *arg)
{
	struct exchange *x = arg;

	check(x->magic == EXCHANGE_MAGIC && !x->is_ended);
	x->queue_us += clock_now_us() - x->joined_us;
	take_server(x);
	exchange_run(x);
}

/* --- connect ----------------------------------------------------------------------------------------------- */

/* What a server is told of the client before anything else; empty where nothing is. */
static struct str
introduction(const struct exchange *x)
{
	const struct front_stream *f = x->front;
	struct ip unset = { .is_set = false };
	char *p;

	if (!x->upstream->sends_proxy_header)
		return STR_NONE;
	p = arena_alloc(x->arena, PROXY_HEADER_ROOM);
	/* Nobody in particular asks: LOCAL. */
	if (x->is_background)
		return str_make(p, proxy_header_write(p, &unset, 0, &unset, 0));
	/* The port is that of who connected, which may not be who asks. */
	return str_make(p, proxy_header_write(p, &x->client,
	    f != NULL && !x->is_forwarded ? f->peer_port : 0,
	    f != NULL ? &f->local : &unset, f != NULL ? f->local_port : 0));
}

static void
connect_enter(struct exchange *x)
{
	x->end = END_OK;
	x->refusal.rule = NULL;
	x->detail = NULL;
	x->origin = origin_open(x->attempt.backend, x->wants_fresh, introduction(x), &origin_events,
	    x);
	x->wants_fresh = false;
	x->touched = clock_now();
}

static enum step
connect_next(struct exchange *x)
{
	if (!origin_is_open(x->origin))
		return STEP_WAIT;
	x->connected_us = clock_now_us();
	return STEP_SEND;
}

static struct limit
connect_limit(const struct exchange *x)
{
	struct limit l = { x->touched + x->upstream->timeouts.connect, END_CONNECT_TIMEOUT };

	return l;
}

/* --- send: head and body to the server, until a head comes back ------------------------------------------ */

static void
send_enter(struct exchange *x)
{
	struct message *m = forward_request(&x->facts, x->request, x->world->scratch);

	if (x->cached != NULL)
		cached_shape_request(x, m);
	origin_send(x->origin, m, x->arena);
	relay_push(x);
	x->touched = clock_now();
}

static enum step
send_next(struct exchange *x)
{
	return x->response != NULL ? STEP_RESPOND : STEP_WAIT;
}

static msec
later(msec a, msec b)
{
	return a > b ? a : b;
}

static struct limit
send_limit(const struct exchange *x)
{
	msec moved = later(x->touched, origin_progress(x->origin));
	struct limit none = { NO_LIMIT, END_OK };
	struct limit head = { moved + x->upstream->timeouts.first_byte, END_HEAD_TIMEOUT };
	struct limit send = { moved + x->upstream->timeouts.send, END_SERVER_SEND_TIMEOUT };

	if (origin_sent_all(x->origin))
		return head;
	/* Waiting for the client's body is the front's affair, and limited there. */
	return origin_backlog(x->origin) > 0 ? send : none;
}

/* --- respond: the answer to the client ---------------------------------------------------------------------- */

static void
respond_enter(struct exchange *x)
{
	struct message *m;

	x->facts.status = x->response->status;
	m = forward_response(&x->facts, x->response, x->world->scratch);
	relay_forget(x);
	respond_head(x, m);
	x->touched = clock_now();
}

static enum step
respond_next(struct exchange *x)
{
	if (x->is_tunnel)
		return x->response_done && x->client_done ? STEP_DONE : STEP_WAIT;
	return x->response_done ? STEP_DONE : STEP_WAIT;
}

static struct limit
respond_limit(const struct exchange *x)
{
	struct limit none = { NO_LIMIT, END_OK };
	struct limit idle = { x->touched + x->upstream->timeouts.idle,
		x->is_tunnel ? END_TUNNEL_IDLE : END_BODY_STALLED };

	/* The client is slow, not the server: the front limits that. */
	return x->origin_held && !x->is_tunnel ? none : idle;
}

static struct str
keep_text(struct exchange *x, struct str s)
{
	return s.len > 0 ? arena_dup(x->arena, s) : s;
}

/* A server, or the log, may still be to be told of it, by a text that goes with the client's connection. */
static void
keep_peer(struct exchange *x)
{
	x->facts.peer_ip = keep_text(x, x->facts.peer_ip);
	x->facts.client_ip = keep_text(x, x->facts.client_ip);
}

/* --- serve: a stored answer, or one that is being stored, at this client's pace ----------------------------- */

static enum step
serve_next(struct exchange *x)
{
	if (!cached_is_served(x))
		return STEP_WAIT;
	if (!cached_is_filling(x))
		return STEP_DONE;
	/* The client needs no more of it (304); the store does. */
	if (x->front != NULL)
		keep_peer(x);
	respond_end(x);
	cached_client_gone(x);
	return STEP_WAIT;
}

static struct limit
serve_limit(const struct exchange *x)
{
	struct limit none = { NO_LIMIT, END_OK };
	struct limit idle = { x->touched + x->upstream->timeouts.idle, END_BODY_STALLED };

	/* Who follows another's fetch has that one's limit; a slow client has the front's. */
	return cached_is_filling(x) && !x->origin_held ? idle : none;
}

/* --- the table ------------------------------------------------------------------------------------------------- */

static const struct step_info steps[] = {
	[STEP_ROUTE]   = { "route",   NULL,          route_next,   NULL },
	[STEP_AUTH]    = { "auth",    authenticate_enter, auth_next, auth_limit },
	[STEP_ADMIT]   = { "admit",   admit_enter,   admit_next,   admit_limit },
	[STEP_REPLY]   = { "reply",   reply_enter,   reply_next,   NULL },
	[STEP_GATHER]  = { "gather",  NULL,          gather_next,  NULL },
	[STEP_LOOKUP]  = { "lookup",  lookup_enter,  lookup_next,  lookup_limit },
	[STEP_PICK]    = { "pick",    pick_enter,    pick_next,    pick_limit },
	[STEP_CONNECT] = { "connect", connect_enter, connect_next, connect_limit },
	[STEP_SEND]    = { "send",    send_enter,    send_next,    send_limit },
	[STEP_RESPOND] = { "respond", respond_enter, respond_next, respond_limit },
	[STEP_SERVE]   = { "serve",   cached_serve,  serve_next,   serve_limit },
};

const char *
exchange_step_name(enum step step)
{
	check((size_t)step < sizeof(steps) / sizeof(steps[0]));
	return steps[step].name;
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

static void
go_to(struct exchange *x, enum step step)
{
	x->step = step;
	x->arrived = true;
}

/* The server has what it needs to go on, and it is not our client who does not take it. */
static bool
is_owed(const struct exchange *x)
{
	if (x->origin == NULL || x->is_tunnel || x->origin_held || x->response_done)
		return false;
	if (x->step != STEP_SEND && x->step != STEP_RESPOND &&
	    !(x->step == STEP_SERVE && cached_is_filling(x)))
		return false;
	return origin_sent_all(x->origin) || origin_backlog(x->origin) > 0;
}

/* A server that sends to others is at work, however long this one waits. */
static struct limit
stall_limit(const struct exchange *x)
{
	struct limit l = { NO_LIMIT, END_STALLED };

	if (x->upstream != NULL && x->upstream->stall_timeout > 0 && is_owed(x))
		l.at = later(later(x->touched, origin_progress(x->origin)),
		    x->attempt.backend->heard_at) + x->upstream->stall_timeout;
	return l;
}

/* The nearest of the step's limit, the server's and that of the whole. */
static struct limit
limit_of(const struct exchange *x)
{
	const struct step_info *s = &steps[x->step];
	struct limit none = { NO_LIMIT, END_OK };
	struct limit l = s->limit != NULL ? s->limit(x) : none;
	struct limit stall = stall_limit(x);
	msec total = x->upstream != NULL ? x->upstream->timeouts.total : 0;

	if (stall.at != NO_LIMIT && (l.at == NO_LIMIT || stall.at < l.at))
		l = stall;
	if (total > 0 && !x->is_tunnel &&
	    (l.at == NO_LIMIT || x->started_us / 1000 + total < l.at)) {
		l.at = x->started_us / 1000 + total;
		l.why = END_TOTAL_TIMEOUT;
	}
	return l;
}

void
exchange_arm(struct exchange *x)
{
	struct limit l;
	msec now = clock_now();

	if (x->is_ended || x->step == STEP_DONE)
		return;
	l = limit_of(x);
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
static void
leave_server(struct exchange *x)
{
	if (x->origin != NULL)
		origin_close(x->origin, x->upstream);
	x->origin = NULL;
	x->origin_held = false;
	attempt_done(&x->attempt);
}

static void
drop_attempt(struct exchange *x)
{
	leave_server(x);
	x->response = NULL;
	relay_rewind(x);
}

/* An expired answer rather than this failure, where the rules of the cache allow it. */
static bool
serve_stale(struct exchange *x, enum end why)
{
	if (why == END_OK || !cached_use_stale(x, why, 0))
		return false;
	drop_attempt(x);
	x->end = END_OK;
	go_to(x, STEP_SERVE);
	exchange_run(x);
	return true;
}

void
exchange_run(struct exchange *x)
{
	const struct step_info *s;
	enum step next;

	check(x->magic == EXCHANGE_MAGIC);
	looked_at = x;
	while (!x->is_ended && x->step != STEP_DONE) {
		s = &steps[x->step];
		if (x->arrived) {
			x->arrived = false;
			if (s->enter != NULL)
				s->enter(x);
			if (x->is_ended)
				return;
		}
		next = s->next(x);
		if (next == STEP_WAIT) {
			exchange_arm(x);
			return;
		}
		go_to(x, next);
	}
	if (!x->is_ended && !serve_stale(x, x->end))
		exchange_end(x, x->end);
}

void
exchange_look_again(struct exchange *x)
{
	go_to(x, STEP_LOOKUP);
	exchange_run(x);
}

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
		    (x->step == STEP_CONNECT || is_owed(x)))
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
	l = limit_of(x);
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

/* --- failure: another try, or the end ----------------------------------------------------------------------------- */

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
static bool
may_try_again(const struct exchange *x)
{
	return x->upstream != NULL && !x->head_sent &&
	    (x->front != NULL || cached_has_followers(x)) && !x->body_lost &&
	    x->tries < x->upstream->retry.tries;
}

static bool
method_allows(const struct exchange *x)
{
	return method_is_idempotent(x->request->method) || x->upstream->retry.non_idempotent;
}

static bool
may_retry(const struct exchange *x, enum end why)
{
	const struct status_set *on;

	if (!may_try_again(x))
		return false;
	on = &x->upstream->retry.on;
	switch (end_info(why)->retry) {
	case END_RETRY_CONNECT:
		return on->error || (on->timeout && exchange_is_timeout(why));
	case END_RETRY_STALE:
	case END_RETRY_ERROR:
		return on->error && method_allows(x);
	case END_RETRY_TIMEOUT:
		return on->timeout && method_allows(x);
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
	go_to(x, STEP_CONNECT);
	exchange_run(x);
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
	drop_attempt(x);
	go_to(x, STEP_PICK);
	exchange_run(x);
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

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
			refuse(x, why, 0, x->refusal.rule);
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

/* --- what the front says ------------------------------------------------------------------------------------------- */

static struct exchange *
new_exchange(struct world *w, struct front_stream *front, struct message *m)
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
	facts->client_ip = facts->peer_ip;
	if (x->client.is_set)
		facts->client_ip = str_make(x->client_text,
		    ip_format(&x->client, x->client_text, sizeof(x->client_text)));
	x->is_forwarded = x->client.is_set && (!front->peer.is_set ||
	    memcmp(x->client.bytes, front->peer.bytes, sizeof(x->client.bytes)) != 0);
	facts->scheme = client_scheme(m, facts->peer_is_trusted, front->is_tls);
	m->is_https = str_eq(facts->scheme, STR("https"));
	forward_identify(facts->config, m, front->subject_field, front->subject);
	facts->local_port = front->local_port;
	facts->request_id = request_id_of(x->arena, m);
	deadline_init(&x->deadline, w->loop, on_deadline, x);
	place_init(&x->place, on_turn, x);
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
	place_init(&x->place, on_turn, x);
	TAILQ_INSERT_TAIL(&x->world->live, x, entry);
	x->world->n_live++;
	x->world->n_refreshes++;
	cached_begin_refresh(x, of, stale);
	go_to(x, STEP_PICK);
	exchange_run(x);
}

static void
on_request(void *world, struct front_stream *front, struct message *m)
{
	struct exchange *x = new_exchange(world, front, m);

	x->request_done = m->framing == FRAMING_NONE ||
	    (m->framing == FRAMING_COUNTED && m->length == 0);
	go_to(x, STEP_ROUTE);
	exchange_run(x);
}

static void
on_refuse(void *world, struct front_stream *front, struct message *m, const struct refusal *why)
{
	struct exchange *x = new_exchange(world, front, m);

	if (!x->is_own)
		metrics_refused(&x->world->metrics, why->status);
	x->refusal = *why;
	go_to(x, STEP_REPLY);
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
		refuse(x, END_BODY_TOO_LARGE, 0, "body_too_large");
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

static void
lose_client(struct exchange *x, enum end why)
{
	x->status = end_info(why)->status;
	if (!goes_on_alone(x)) {
		exchange_end(x, why);
		return;
	}
	x->abandoned = why;
	compress_end(x);
	keep_peer(x);
	cached_client_gone(x);
	relay_front_drained(x);
	exchange_arm(x);
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
	lose_client(x, why->end);
}

void
exchange_cut_client(struct exchange *x, enum end why)
{
	respond_cut(x);
	lose_client(x, why);
}

const struct front_events exchange_front_events = {
	.on_request = on_request,
	.on_refuse = on_refuse,
	.on_body = on_front_body,
	.on_request_end = on_front_request_end,
	.on_drain = on_front_drain,
	.on_abort = on_front_abort,
};

/* --- what the origin says --------------------------------------------------------------------------------------------- */

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
	return status_set_has(&x->upstream->retry.on, status) && may_try_again(x) &&
	    method_allows(x) && pool_has_other(generation_pool(x->gen, x->upstream), &x->pick);
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
		drop_attempt(x);
		go_to(x, STEP_SERVE);
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
		go_to(x, STEP_SERVE);
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
		drop_attempt(x);
		go_to(x, STEP_PICK);
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
		leave_server(x);
	} else if (x->is_refreshed) {
		leave_server(x);
		go_to(x, STEP_SERVE);
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

static const struct origin_events origin_events = {
	.on_open = on_origin_open,
	.on_head = on_origin_head,
	.on_body = on_origin_body,
	.on_end = on_origin_end,
	.on_drain = on_origin_drain,
	.on_fail = on_origin_fail,
};
