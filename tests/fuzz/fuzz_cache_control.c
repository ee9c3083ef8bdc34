/* SPDX-License-Identifier: MIT */
/*
 * Lines as the fields of a request and, behind an empty line, of its answer: every decision of the
 * cache is taken, and those that must never be are looked for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/cache_answer.h"
#include "cache/cache_key.h"
#include "cache/cache_policy.h"
#include "cache/cache_status.h"

enum { NOW = 100000000, WALL = 1700000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
take_line(struct str *rest)
{
	ptrdiff_t at = str_find(*rest, '\n');
	struct str line = at < 0 ? *rest : str_first(*rest, (size_t)at);

	*rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 1);
	return line;
}

/* Up to an empty line.  The values are what a parser lets through, or worse. */
static void
take_fields(struct message *m, struct str *rest)
{
	struct str line, name;
	ptrdiff_t at;

	while (rest->len > 0 && (line = take_line(rest)).len > 0) {
		at = str_find(line, ':');
		name = at < 0 ? line : str_first(line, (size_t)at);
		message_add(m, field_lookup(name), name,
		    at < 0 ? STR_NONE : str_trim(str_from(line, (size_t)at + 1)));
	}
}

static void
check_control(const struct message *m)
{
	struct cache_control c = cache_control_of(m);

	check(c.max_age >= -1 && c.s_maxage >= -1 && c.min_fresh >= -1 && c.max_stale >= -1 &&
	    c.stale_while_revalidate >= -1 && c.stale_if_error >= -1);
	check(c.present || (!c.no_store && !c.no_cache && !c.is_private && c.max_age == -1));
}

/* A word more never makes an answer storable, nor fresher. */
static void
check_no_store(const struct cache_conf *conf, const struct cache_plan *plan, struct message *rs,
    const struct cache_times *times)
{
	struct freshness f;

	message_add(rs, FIELD_CACHE_CONTROL, STR("Cache-Control"), STR("no-store"));
	f = cache_policy_store(conf, plan, rs, times);
	check(!f.storable);
	rs->n_fields--;
}

static void
check_serving(const struct cache_conf *conf, const struct cache_plan *plan, const struct freshness *f)
{
	static const msec after[] = { 0, 999, 60000, 700000, 3000000000 };
	struct cache_serving s;
	size_t i;

	for (i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		s = cache_policy_serve(conf, plan, f, NOW + after[i]);
		check(s.age >= 0);
		if (s.verdict == CACHE_FRESH)
			check(plan->may_serve && !f->no_cache && !plan->no_cache &&
			    NOW + after[i] - f->born < f->lifetime);
		if (s.verdict == CACHE_STALE || s.verdict == CACHE_STALE_WHILE_REVALIDATE || s.while_updating)
			check(!f->must_revalidate && plan->may_serve && !plan->no_cache);
		if (f->must_revalidate)
			check(!cache_policy_stale_on(conf, plan, f, CACHE_EVENT_ERROR, 0, NOW + after[i]));
	}
}

static void
check_answer(const struct cache_plan *plan, const struct message *rq, const struct message *rs)
{
	static const int64_t lengths[] = { CACHE_LENGTH_UNKNOWN, 0, 1, 1000 };
	struct cache_answer a;
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		a = cache_answer_of(plan, rq, rs, lengths[i]);
		if (a.kind == CACHE_ANSWER_RANGE)
			check(a.first <= a.last && (int64_t)a.last < lengths[i]);
		if (a.kind == CACHE_ANSWER_UNSATISFIABLE)
			check(lengths[i] >= 0);
	}
}

static void
check_vary(struct arena *arena, const struct route_conf *route, const struct message *rq,
    const struct message *rs)
{
	struct cache_key_facts facts = { .route = route, .request = rq, .scheme = STR("http") };
	struct cache_variant one, two;
	struct str vary;

	if (!cache_key_vary(arena, route, rs, &vary))
		return;
	check(vary.len <= 1024);
	cache_key_variant(&facts, vary, &one);
	cache_key_variant(&facts, vary, &two);
	check(cache_variant_eq(&one, &two));
}

static void
check_all(struct arena *arena, const struct route_conf *route, struct message *rq, struct message *rs)
{
	const struct cache_conf *conf = route->cache;
	struct cache_plan plan = cache_policy_lookup(conf, rq);
	struct cache_times times = { NOW - 50, NOW, WALL };
	struct freshness f = cache_policy_store(conf, &plan, rs, &times);
	struct str paths[CACHE_INVALID_MAX];
	struct message *merged;
	struct cache_status status = { .why = f.why, .hit = f.storable, .has_ttl = true, .ttl = f.lifetime };

	check(f.storable == (f.why == CACHE_WHY_NONE));
	check(!f.storable || plan.may_store);
	check(!f.storable || message_find(rs, FIELD_SET_COOKIE) == NULL);
	check(f.born <= NOW && f.lifetime >= 0);
	check_no_store(conf, &plan, rs, &times);
	check_serving(conf, &plan, &f);
	check_answer(&plan, rq, rs);
	check_vary(arena, route, rq, rs);
	cache_policy_is_refreshed_by(rs, rq);
	merged = cache_policy_merge(arena, rs, rq, STR("now"));
	check(message_find(merged, FIELD_DATE) != NULL);
	check(cache_policy_invalidates(conf, rq, rs, STR("http"), paths) <= CACHE_INVALID_MAX);
	check(cache_status_text(arena, &status).len > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum method methods[] = { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT };
	static const int statuses[] = { 200, 404, 302, 304, 206, 503, 201, 400 };
	static struct valid_conf valid[] = { { 200, 600000 }, { 0, 1000 } };
	static bool ready;
	struct cache_conf conf = { .has_get = true, .has_head = true, .single_flight = true, .valid = valid };
	struct upstream_conf up = { .balance = BALANCE_ROUND_ROBIN };
	struct route_conf route = { .cache = &conf, .upstream = &up, .cache_identity = STR("x") };
	struct arena *arena;
	struct message *rq, *rs;
	struct str rest;

	if (size < 2)
		return 0;
	if (!ready) {
		cache_key_init();
		clock_set(1, (int64_t)WALL * 1000000);
		ready = true;
	}
	conf.only_requested = (data[0] & 1) != 0;
	conf.ignore_request_cache_control = (data[0] & 2) != 0;
	conf.has_post = (data[0] & 4) != 0;
	conf.n_valid = data[0] >> 3 & 3;
	conf.n_valid = conf.n_valid > 2 ? 2 : conf.n_valid;
	conf.stale.error = conf.stale.updating = (data[0] & 32) != 0;
	arena = arena_new(1024);
	rq = message_new(arena, 4);
	rq->is_request = true;
	rq->method = methods[data[0] >> 6];
	rq->target = rq->path = STR("/a");
	rq->authority = STR("h");
	rs = message_new(arena, 4);
	rs->status = statuses[data[1] & 7];
	rest = str_make((const char *)data + 2, size - 2);
	take_fields(rq, &rest);
	take_fields(rs, &rest);
	check_control(rq);
	check_control(rs);
	check_all(arena, &route, rq, rs);
	arena_free(arena);
	return 0;
}
