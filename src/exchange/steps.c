/* SPDX-License-Identifier: MIT */
/*
 * What each step does, and how long it may wait.
 *
 * The table at the end is the only place that knows the order of things.  .enter runs once, on
 * arrival, and starts something; .next runs after it and after every event, looks at what is there and
 * names the next step; .limit says how long waiting there may last.
 */
#include "exchange/steps.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "exchange/admit.h"
#include "exchange/authenticate.h"
#include "exchange/cached.h"
#include "exchange/exchange.h"
#include "exchange/exchange_private.h"
#include "exchange/generation.h"
#include "exchange/ports.h"
#include "exchange/relay.h"
#include "exchange/reply.h"
#include "exchange/world.h"
#include "net/proxy_header.h"
#include "policy/route.h"
#include "upstream/origin.h"

struct step_info {
	const char  *name;
	void       (*enter)(struct exchange *);
	enum step  (*next)(struct exchange *);
	struct limit (*limit)(const struct exchange *);
};

/* --- route: what is to be done with it -------------------------------------------------------- */

static enum step
refuse_route(struct exchange *x, bool methods_differ)
{
	if (methods_differ) {
		exchange_refuse(x, END_NO_ROUTE, 405, "method_not_allowed");
		x->refusal.why = "this site does not take that method here";
	} else
		exchange_refuse(x, END_NO_ROUTE, 0, NULL);
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
		exchange_refuse(x, END_ACCESS_DENIED, 0, rule);
		return STEP_REPLY;
	}
	if (m->framing == FRAMING_COUNTED && m->length > x->route->max_body) {
		exchange_refuse(x, END_BODY_TOO_LARGE, 0, "body_too_large");
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

/* --- auth: who asks --------------------------------------------------------------------------- */

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

/* --- admit: not more than its limits allow ---------------------------------------------------- */

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

/* --- gather: the body that the cache's key is made of; its limit is the front's --------------- */

static enum step
gather_next(struct exchange *x)
{
	return cached_wants_body(x) ? STEP_WAIT : STEP_LOOKUP;
}

/* --- lookup: is it there, is somebody fetching it --------------------------------------------- */

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
		exchange_refuse(x, END_NOT_CACHED, 0, NULL);
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

/* --- reply: an answer of our own -------------------------------------------------------------- */

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

/* --- pick: who serves, and the line of those who wait for a server ---------------------------- */

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

void
steps_on_turn(void *arg)
{
	struct exchange *x = arg;

	check(x->magic == EXCHANGE_MAGIC && !x->is_ended);
	x->queue_us += clock_now_us() - x->joined_us;
	take_server(x);
	exchange_run(x);
}

/* --- connect ---------------------------------------------------------------------------------- */

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
	x->origin = origin_open(x->attempt.backend, x->wants_fresh, introduction(x), &ports_origin_events,
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

/* --- send: head and body to the server, until a head comes back ------------------------------- */

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

/* --- respond: the answer to the client -------------------------------------------------------- */

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

/* --- serve: a stored answer, or one that is being stored, at this client's pace --------------- */

static enum step
serve_next(struct exchange *x)
{
	if (!cached_is_served(x))
		return STEP_WAIT;
	if (!cached_is_filling(x))
		return STEP_DONE;
	/* The client needs no more of it (304); the store does. */
	if (x->front != NULL)
		exchange_keep_peer(x);
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

/* --- the table -------------------------------------------------------------------------------- */

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
steps_name(enum step step)
{
	check((size_t)step < sizeof(steps) / sizeof(steps[0]));
	return steps[step].name;
}

void
steps_enter(struct exchange *x)
{
	if (steps[x->step].enter != NULL)
		steps[x->step].enter(x);
}

enum step
steps_next(struct exchange *x)
{
	return steps[x->step].next(x);
}

/* --- limits ----------------------------------------------------------------------------------- */

/* The server has what it needs to go on, and it is not our client who does not take it. */
bool
steps_is_owed(const struct exchange *x)
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

	if (x->upstream != NULL && x->upstream->stall_timeout > 0 && steps_is_owed(x))
		l.at = later(later(x->touched, origin_progress(x->origin)),
		    x->attempt.backend->heard_at) + x->upstream->stall_timeout;
	return l;
}

/* The nearest of the step's limit, the server's and that of the whole. */
struct limit
steps_limit(const struct exchange *x)
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
