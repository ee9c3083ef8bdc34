/* SPDX-License-Identifier: MIT */
/*
 * The answer cache from an exchange's point of view: look up, follow, fill, serve.
 *
 * Who fetches what may be stored fills an entry and reads it like everybody else, so that no client's
 * pace is another's.  Decides by cache_policy and cache_key; keeps by cache_store.  Invariant: a fill
 * that was begun is ended exactly once, by end, fail, drop or refresh.
 */
#include "exchange/cached.h"

#include <string.h>

#include <event2/buffer.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/cache_answer.h"
#include "cache/cache_key.h"
#include "cache/cache_policy.h"
#include "cache/cache_status.h"
#include "cache/cache_store.h"
#include "config/config.h"
#include "exchange/compress.h"
#include "exchange/exchange.h"
#include "exchange/generation.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "net/conn.h"
#include "upstream/origin.h"

enum {
	PASS_FOR = 10000,		/* ms that an answer which could not be stored is remembered */
	PIECE = 128 * 1024,		/* bytes of a stored body written at once */
	PIECE_CODED = 32 * 1024,	/* of one that is compressed on its way */
	PIECES_PER_TURN = 8,		/* then others have their turn */
	SPANS = 16
};

struct cached {
	struct exchange    *x;
	struct cache_store *store;
	struct cache_plan   plan;
	struct cache_key    key;
	struct cache_status status;	/* for Cache-Status */
	enum cached_next    next;
	bool has_key;
	bool has_sent;			/* the head was sent from an entry */
	bool goes_alone;		/* waits for nobody's fetch (any more) */
	bool is_revalidating;		/* the request to the server carries the stored validators */
	bool is_refreshed;
	bool is_stale;			/* what is served is */
	struct cache_entry *serve;	/* what to serve: counted */
	struct cache_entry *stale;	/* expired, may serve when the fetch fails: counted */
	struct cache_entry *fill;	/* ours to end */
	struct cache_notice filler;
	struct cache_reader reader;	/* waiting, or serving */
	msec sent;
};

static void on_filler_news(void *);
static void on_reader_news(void *);

void
cached_module_init(void)
{
	cache_key_init();
}

void
cached_module_fini(void)
{
	cache_key_fini();
}

/* --- facts ------------------------------------------------------------------------------------------ */

static struct str
expand(void *arg, const struct template *t)
{
	struct exchange *x = arg;

	return template_expand(t, &x->facts, x->world->scratch);
}

static struct cache_key_facts
facts_of(struct exchange *x)
{
	struct cache_key_facts f = {
		.route = x->route,
		.request = x->request,
		.scheme = x->facts.scheme,
		.client_ip = x->facts.client_ip,
		.peer_ip = x->facts.peer_ip,
		.peer_is_trusted = x->facts.peer_is_trusted,
		.local_port = x->facts.local_port,
		.expand = expand,
		.arg = x,
	};

	return f;
}

static const struct cache_conf *
conf_of(const struct exchange *x)
{
	return x->route->cache;
}

void
cached_begin(struct exchange *x)
{
	struct cached *c = arena_zalloc(x->arena, sizeof(*c));

	x->cached = c;
	c->x = x;
	c->store = generation_store(x->gen, conf_of(x));
	c->filler.on_news = on_filler_news;
	c->filler.arg = c;
	c->plan = cache_policy_lookup(conf_of(x), x->request);
	c->status.forward = c->plan.forward;
	c->status.why = c->plan.why;
}

static bool
uses_cache(const struct cached *c)
{
	return c->plan.may_serve || c->plan.may_store;
}

/* --- the body a key is made of ------------------------------------------------------------------------ */

static size_t
gathered(const struct exchange *x)
{
	return x->body != NULL ? evbuffer_get_length(x->body) : 0;
}

bool
cached_wants_body(const struct exchange *x)
{
	const struct cached *c = x->cached;
	const struct message *m = x->request;

	if (c == NULL || !c->plan.is_post || !uses_cache(c) || x->request_done)
		return false;
	if (m->framing == FRAMING_COUNTED && m->length > conf_of(x)->max_body)
		return false;
	return gathered(x) <= conf_of(x)->max_body;
}

static bool
make_key(struct exchange *x)
{
	struct cached *c = x->cached;
	struct cache_key_facts facts = facts_of(x);
	struct str body = STR_NONE;
	enum cache_why why;

	if (c->plan.is_post) {
		if (!x->request_done || gathered(x) > conf_of(x)->max_body)
			why = CACHE_WHY_BODY_TOO_LARGE;
		else {
			if (x->body != NULL)
				body = str_make((char *)evbuffer_pullup(x->body, -1), gathered(x));
			why = cache_key_make(&facts, body, &c->key);
		}
	} else
		why = cache_key_make(&facts, body, &c->key);
	c->has_key = why == CACHE_WHY_NONE;
	if (!c->has_key) {
		c->status.forward = CACHE_FORWARD_BYPASS;
		c->status.why = why;
	}
	return c->has_key;
}

static void
forget_stale(struct cached *c)
{
	if (c->stale != NULL)
		cache_entry_unref(c->stale);
	c->stale = NULL;
}

/* --- looking up ---------------------------------------------------------------------------------------- */

static void
serve_entry(struct cached *c, struct cache_entry *e)
{
	check(c->serve == NULL);
	c->serve = cache_entry_ref(e);
	c->next = CACHED_SERVE;
}

static void
begin_fill(struct cached *c)
{
	c->next = CACHED_FETCH;
	if (!c->plan.may_store)
		return;
	c->fill = cache_fill_begin(c->store, &c->key, c->stale, &c->filler);
	if (c->stale != NULL) {
		const struct freshness *f = cache_entry_freshness(c->stale);

		c->is_revalidating = f->has_etag || f->has_last_modified;
	}
}

static void
count_hit(struct cached *c, const struct cache_serving *s)
{
	cache_store_stats(c->store)->hits++;
	c->status.hit = true;
	c->status.has_ttl = true;
	c->status.ttl = s->ttl;
	c->is_stale = s->ttl < 0;
}

/* What is there answers the request, as it is or after the server was asked. */
static void
look_at(struct cached *c, struct cache_entry *e)
{
	struct exchange *x = c->x;
	struct cache_serving s = cache_policy_serve(conf_of(x), &c->plan, cache_entry_freshness(e),
	    clock_now());
	bool follows = cache_entry_state(e) == CACHE_LIVE;

	/* With stale: updating nobody waits for a refresh, the first as little as the others. */
	if (!follows && s.verdict == CACHE_REVALIDATE && s.while_updating &&
	    (c->plan.may_store || cache_entry_is_refreshing(e)))
		s.verdict = CACHE_STALE_WHILE_REVALIDATE;
	switch (s.verdict) {
	case CACHE_STALE_WHILE_REVALIDATE:
		/* The answer to a HEAD or a range would refresh nothing; and what is still coming has
		 * neither a length that a new head could tell nor a need of one. */
		if (!follows && c->plan.may_store && !cache_entry_is_refreshing(e))
			exchange_refresh(x, e);
		__attribute__((fallthrough));
	case CACHE_FRESH:
	case CACHE_STALE:
		if (follows) {
			c->status.collapsed = true;
			c->status.forward = CACHE_FORWARD_URI_MISS;
			cache_store_stats(c->store)->collapsed++;
		} else
			count_hit(c, &s);
		cache_entry_touch(e, clock_now());
		serve_entry(c, e);
		return;
	case CACHE_REVALIDATE:
		c->status.forward = s.forward;
		if (!follows)
			c->stale = cache_entry_ref(e);
		break;
	case CACHE_FETCH:
		c->status.forward = s.forward;
		break;
	}
	c->next = CACHED_FETCH;
}

static bool
may_wait(const struct cached *c, const struct cache_found *found)
{
	bool is_passed = c->plan.has_authorization ? found->is_passed_authorized : found->is_passed;

	return found->busy != NULL && !is_passed && c->plan.may_follow && !c->goes_alone &&
	    conf_of(c->x)->single_flight;
}

void
cached_lookup(struct exchange *x)
{
	struct cached *c = x->cached;
	struct cache_key_facts facts = facts_of(x);
	struct cache_found found;

	c->next = CACHED_FETCH;
	forget_stale(c);
	if (!uses_cache(c) || (!c->has_key && !make_key(x)))
		return;
	found = cache_store_find(c->store, &c->key, &facts, clock_now());
	if (c->goes_alone && found.entry != NULL && cache_entry_state(found.entry) != CACHE_WHOLE)
		found.entry = NULL;
	if (found.entry != NULL && cache_entry_state(found.entry) == CACHE_LIVE &&
	    (!c->plan.may_follow || !conf_of(x)->single_flight))
		found.entry = NULL;
	if (found.entry != NULL && c->plan.may_serve) {
		look_at(c, found.entry);
		if (c->next == CACHED_SERVE)
			return;
	} else if (c->plan.may_serve)
		c->status.forward = found.has_variants ? CACHE_FORWARD_VARY_MISS
		    : CACHE_FORWARD_URI_MISS;
	if (c->plan.only_if_cached) {
		c->next = CACHED_REFUSE;
		return;
	}
	if (may_wait(c, &found)) {
		cache_reader_open(&c->reader, found.busy, 0, 0, on_reader_news, c);
		c->next = CACHED_WAIT;
		return;
	}
	cache_store_stats(c->store)->misses++;
	begin_fill(c);
}

enum cached_next
cached_verdict(const struct exchange *x)
{
	return x->cached->next;
}

void
cached_begin_refresh(struct exchange *x, const struct exchange *of, struct cache_entry *stale)
{
	struct cached *c;

	cached_begin(x);
	c = x->cached;
	c->key = of->cached->key;
	c->has_key = true;
	c->stale = cache_entry_ref(stale);
	begin_fill(c);
}

void
cached_give_up(struct exchange *x)
{
	struct cached *c = x->cached;

	cache_reader_close(&c->reader);
	c->goes_alone = true;
}

/* --- serving -------------------------------------------------------------------------------------------- */

static void
add(struct message *m, enum field_id id, struct str value)
{
	message_add(m, id, field_name(id), value);
}

static void
leave_out(struct message *m, bool (*leaves)(enum field_id))
{
	size_t i, n = 0;

	for (i = 0; i < m->n_fields; i++)
		if (!leaves(m->fields[i].id))
			m->fields[n++] = m->fields[i];
	m->n_fields = n;
}

static bool
is_age(enum field_id id)
{
	return id == FIELD_AGE;
}

static bool
is_not_in_304(enum field_id id)
{
	return !cache_answer_in_304(id);
}

static bool
is_of_whole(enum field_id id)
{
	return id == FIELD_CONTENT_RANGE || id == FIELD_CONTENT_TYPE || id == FIELD_CONTENT_ENCODING;
}

/* Status, framing and the part of the body, as the request's conditions and range want it. */
static void
shape(struct cached *c, struct message *m, const struct cache_answer *a)
{
	m->framing = FRAMING_COUNTED;
	m->has_length = true;
	switch (a->kind) {
	case CACHE_ANSWER_WHOLE:
		break;
	case CACHE_ANSWER_NOT_MODIFIED:
		m->status = 304;
		m->has_length = false;
		break;
	case CACHE_ANSWER_RANGE:
		m->status = 206;
		m->length = a->last - a->first + 1;
		c->reader.at = a->first;
		c->reader.end = a->last + 1;
		break;
	case CACHE_ANSWER_UNSATISFIABLE:
		m->status = 416;
		m->length = 0;
		break;
	}
	m->reason = status_reason(m->status);
}

static bool
has_body(const struct cached *c, const struct cache_answer *a)
{
	return !c->plan.is_head &&
	    (a->kind == CACHE_ANSWER_WHOLE || a->kind == CACHE_ANSWER_RANGE);
}

/* The stored head as this client shall see it. */
static struct message *
head_for(struct cached *c, const struct cache_answer *a, uint64_t length)
{
	struct exchange *x = c->x;
	struct arena *scratch = x->world->scratch;
	struct message m = *cache_entry_head(c->serve), *out;
	const struct freshness *f = cache_entry_freshness(c->serve);
	msec age = clock_now() - f->born;

	if (a->kind != CACHE_ANSWER_WHOLE)
		shape(c, &m, a);
	x->facts.status = m.status;
	out = forward_response(&x->facts, &m, scratch);
	if (a->kind == CACHE_ANSWER_NOT_MODIFIED)
		leave_out(out, is_not_in_304);
	if (a->kind == CACHE_ANSWER_UNSATISFIABLE)
		leave_out(out, is_of_whole);
	if (a->kind == CACHE_ANSWER_RANGE || a->kind == CACHE_ANSWER_UNSATISFIABLE)
		add(out, FIELD_CONTENT_RANGE, cache_answer_content_range(scratch, a, length));
	if (c->fill == NULL) {
		leave_out(out, is_age);
		add(out, FIELD_AGE, arena_printf(scratch, "%lld",
		    (long long)(age > 0 ? age / 1000 : 0)));
	}
	return out;
}

static void
pump(struct exchange *x)
{
	struct cached *c = x->cached;
	struct str spans[SPANS];
	size_t n, i, total;
	size_t limit = x->compress != NULL ? PIECE_CODED : PIECE;
	int pieces;

	for (pieces = 0; x->front != NULL && c->reader.entry != NULL; pieces++) {
		if (x->front->ops->backlog(x->front) > FRONT_HIGH_MARK) {
			cache_reader_excuse(&c->reader, false);
			return;		/* on_drain pumps again */
		}
		if (compress_is_tired(x)) {
			cache_reader_excuse(&c->reader, true);
			return;		/* so does compress */
		}
		n = cache_reader_peek(&c->reader, spans, SPANS, limit);
		if (n == 0)
			return;
		if (pieces == PIECES_PER_TURN) {
			cache_reader_again(&c->reader);
			return;
		}
		for (i = total = 0; i < n; i++)
			total += spans[i].len;
		if (pieces > 0)
			conn_flush(x->world->loop);
		respond_body(x, spans, n);
		cache_reader_advance(&c->reader, total);
	}
}

void
cached_serve(struct exchange *x)
{
	struct cached *c = x->cached;
	bool is_whole = cache_entry_state(c->serve) == CACHE_WHOLE;
	uint64_t length = is_whole ? cache_entry_length(c->serve) : 0;
	struct cache_answer a = cache_answer_of(&c->plan, x->request, cache_entry_head(c->serve),
	    is_whole ? (int64_t)length : CACHE_LENGTH_UNKNOWN);
	struct message *m;

	cache_reader_close(&c->reader);
	if (x->front != NULL)
		cache_reader_open(&c->reader, c->serve, 0, UINT64_MAX, on_reader_news, c);
	m = head_for(c, &a, length);
	if (!has_body(c, &a))
		c->reader.at = c->reader.end = 0;
	c->has_sent = true;
	relay_forget(x);
	respond_head(x, m);
	exchange_touch(x);
	pump(x);
}

/* What a reader of a failed fetch has had is all there is. */
static bool
is_at_failure(const struct cached *c)
{
	return c->reader.entry != NULL && cache_entry_state(c->reader.entry) == CACHE_FAILED &&
	    c->reader.at >= cache_entry_length(c->reader.entry);
}

void
cached_go_on(struct exchange *x)
{
	pump(x);
	if (!x->is_ended && is_at_failure(x->cached))
		exchange_end(x, cache_entry_why(x->cached->reader.entry));
	else
		exchange_run(x);
}

bool
cached_is_served(const struct exchange *x)
{
	const struct cached *c = x->cached;

	return c->reader.entry == NULL || cache_reader_is_done(&c->reader);
}

static void
on_reader_news(void *arg)
{
	struct cached *c = arg;
	struct exchange *x = c->x;

	if (x->step == STEP_LOOKUP) {
		cache_reader_close(&c->reader);
		exchange_look_again(x);
		return;
	}
	if (c->reader.is_cut) {
		exchange_cut_client(x, END_SEND_TIMEOUT);
		return;
	}
	cached_go_on(x);
}

/* --- asking the server ------------------------------------------------------------------------------------- */

void
cached_shape_request(struct exchange *x, struct message *m)
{
	struct cached *c = x->cached;
	const struct message *stored;
	struct str value;

	c->sent = clock_now();
	if (c->fill == NULL)
		return;
	leave_out(m, cache_policy_leaves_out);
	if (!c->is_revalidating)
		return;
	stored = cache_entry_head(c->stale);
	value = message_value(stored, FIELD_ETAG);
	if (value.len > 0)
		add(m, FIELD_IF_NONE_MATCH, value);
	value = message_value(stored, FIELD_LAST_MODIFIED);
	if (value.len > 0)
		add(m, FIELD_IF_MODIFIED_SINCE, value);
}

static struct cache_times
times_of(const struct cached *c)
{
	struct cache_times t = { c->sent, clock_now(), clock_wall_us() / 1000000 };

	return t;
}

/* A server that fails says nothing of the answers it gives when it does not: the next line up again,
 * when it needs that most. */
static bool
is_remembered(const struct message *m)
{
	return m->status < 500 && m->status != 429;
}

static void
drop_fill(struct cached *c, const struct message *m, enum cache_why why)
{
	c->status.why = why;
	cache_fill_drop(c->fill, is_remembered(m) ? clock_now() + PASS_FOR : 0,
	    why == CACHE_WHY_AUTHORIZATION);
	c->fill = NULL;
}

/* A 304: the stored head with what is new. */
static bool
refresh(struct cached *c, const struct message *fresh)
{
	struct exchange *x = c->x;
	struct arena *scratch = x->world->scratch;
	struct cache_times t = times_of(c);
	struct message *merged;
	struct freshness f;
	struct str was, vary;

	if (!cache_policy_is_refreshed_by(cache_entry_head(c->stale), fresh))
		return false;
	merged = cache_policy_merge(scratch, cache_entry_head(c->stale), fresh, clock_http_date());
	f = cache_policy_store(conf_of(x), &c->plan, merged, &t);
	/* What varies otherwise than was thought may have been given to others than it was for. */
	if (!cache_key_vary(scratch, x->route, cache_entry_head(c->stale), &was) ||
	    !cache_key_vary(scratch, x->route, merged, &vary) || !str_eq(was, vary))
		f.storable = false;
	c->is_refreshed = true;
	c->status.stored = f.storable;
	cache_fill_refresh(c->fill, c->stale, merged, &f, clock_now());
	c->fill = NULL;
	return true;
}

static enum cached_head
try_fill(struct cached *c, const struct message *m)
{
	struct exchange *x = c->x;
	struct cache_times t = times_of(c);
	struct freshness f = cache_policy_store(conf_of(x), &c->plan, m, &t);
	struct cache_key_facts facts = facts_of(x);
	struct cache_variant variant;
	struct str vary;
	enum cache_why why = f.why;

	if (f.storable && !cache_key_vary(x->world->scratch, x->route, m, &vary)) {
		f.storable = false;
		why = CACHE_WHY_VARY;
	}
	if (f.storable) {
		cache_key_variant(&facts, vary, &variant);
		why = cache_fill_head(c->fill, m, vary, &variant, &f, clock_now());
		f.storable = why == CACHE_WHY_NONE;
	}
	if (!f.storable) {
		drop_fill(c, m, why);
		return CACHED_PASSES;
	}
	c->status.stored = true;
	c->serve = cache_entry_ref(c->fill);
	return CACHED_FILLS;
}

static void
invalidate(struct cached *c, const struct message *m)
{
	struct exchange *x = c->x;
	struct str paths[CACHE_INVALID_MAX];
	size_t n = cache_policy_invalidates(conf_of(x), x->request, m, x->facts.scheme, paths), i;

	for (i = 0; i < n; i++)
		cache_store_invalidate(c->store, cache_key_uri(x->request->authority, paths[i]));
}

enum cached_head
cached_head(struct exchange *x, const struct message *m)
{
	struct cached *c = x->cached;
	enum cached_head what;

	invalidate(c, m);
	if (c->fill == NULL)
		return CACHED_PASSES;
	if (m->status == 304 && c->is_revalidating && refresh(c, m)) {
		c->serve = c->stale;
		c->stale = NULL;
		c->status.forward_status = 304;
		return CACHED_REFRESHED;
	}
	what = try_fill(c, m);
	forget_stale(c);		/* the server gave another */
	return what;
}

static enum cache_event
event_of(enum end why)
{
	if (why == END_OK)
		return CACHE_EVENT_STATUS;
	return exchange_is_timeout(why) ? CACHE_EVENT_TIMEOUT : CACHE_EVENT_ERROR;
}

bool
cached_use_stale(struct exchange *x, enum end why, int status)
{
	struct cached *c = x->cached;

	if (c == NULL || c->stale == NULL || x->head_sent || c->has_sent || x->front == NULL ||
	    end_info(why)->blame == END_BLAME_CLIENT)
		return false;
	if (!cache_policy_stale_on(conf_of(x), &c->plan, cache_entry_freshness(c->stale),
	    event_of(why), status, clock_now()))
		return false;
	if (c->fill != NULL)
		cache_fill_fail(c->fill, END_OK);
	c->fill = NULL;
	c->serve = c->stale;
	c->stale = NULL;
	c->is_stale = true;
	c->status.forward_status = status;
	cache_entry_touch(c->serve, clock_now());
	return true;
}

void
cached_fill(struct exchange *x, const struct str *spans, size_t n)
{
	struct cached *c = x->cached;

	cache_fill_body(c->fill, spans, n);
	exchange_touch(x);
	if (cache_fill_is_full(c->fill) && !x->origin_held) {
		x->origin_held = true;
		origin_hold(x->origin, true);
	}
}

void
cached_fill_end(struct exchange *x)
{
	struct cached *c = x->cached;

	cache_fill_end(c->fill, clock_now());
	c->fill = NULL;
}

bool
cached_is_filling(const struct exchange *x)
{
	return x->cached != NULL && x->cached->fill != NULL && x->cached->serve == x->cached->fill;
}

static bool
is_followed(const struct cached *c)
{
	return cache_fill_followers(c->fill) > (c->reader.entry == c->fill);
}

bool
cached_has_followers(const struct exchange *x)
{
	const struct cached *c = x->cached;

	return c != NULL && c->fill != NULL && (x->is_background || is_followed(c));
}

/* Whether a fetch whose own client is gone, was served, or never was, has somebody to go on for. */
static bool
is_wanted(const struct cached *c)
{
	const struct exchange *x = c->x;

	if (is_followed(c))
		return true;
	if (x->abandoned == END_OK)
		return !cache_fill_is_passing(c->fill);
	return x->upstream->finish_on_abort && (x->step == STEP_SEND || x->step == STEP_SERVE);
}

static void
on_filler_news(void *arg)
{
	struct cached *c = arg;
	struct exchange *x = c->x;

	if (x->front == NULL && !is_wanted(c)) {
		exchange_end(x, x->abandoned);
		return;
	}
	if (x->origin != NULL && x->origin_held && !cache_fill_is_full(c->fill)) {
		x->origin_held = false;
		origin_hold(x->origin, false);
		exchange_arm(x);
	}
}

void
cached_client_gone(struct exchange *x)
{
	if (x->cached != NULL)
		cache_reader_close(&x->cached->reader);
}

/* --- words --------------------------------------------------------------------------------------------------- */

void
cached_add_status(struct exchange *x, struct message *m)
{
	if (x->cached != NULL)
		add(m, FIELD_CACHE_STATUS, cache_status_text(m->arena, &x->cached->status));
}

static enum cache_result
result_of(const struct exchange *x)
{
	const struct cached *c = x->cached;

	if (x->is_background)
		return CACHE_RESULT_REFRESH;
	if (c->is_stale)
		return CACHE_RESULT_STALE;
	if (c->status.hit)
		return CACHE_RESULT_HIT;
	if (c->status.collapsed)
		return CACHE_RESULT_COLLAPSED;
	if (c->is_refreshed)
		return CACHE_RESULT_REVALIDATED;
	if (!uses_cache(c) || !c->has_key)
		return CACHE_RESULT_BYPASS;
	return c->status.stored ? CACHE_RESULT_MISS : CACHE_RESULT_PASS;
}

const char *
cached_word(const struct exchange *x)
{
	return x->cached != NULL ? cache_result_name(result_of(x)) : NULL;
}

/* What followers are told: never that a part was the whole, nor what this one's client did. */
static enum end
failure_of(const struct cache_entry *fill, enum end why)
{
	if (cache_entry_state(fill) == CACHE_WAITING)
		return END_OK;
	return why == END_OK || end_info(why)->blame == END_BLAME_CLIENT ? END_BODY_CUT : why;
}

void
cached_end(struct exchange *x, enum end why)
{
	struct cached *c = x->cached;

	if (c == NULL)
		return;
	cache_reader_close(&c->reader);
	if (c->fill != NULL)
		cache_fill_fail(c->fill, failure_of(c->fill, why));
	c->fill = NULL;
	if (c->serve != NULL)
		cache_entry_unref(c->serve);
	c->serve = NULL;
	forget_stale(c);
	cache_store_stats(c->store)->results[result_of(x)]++;
}
