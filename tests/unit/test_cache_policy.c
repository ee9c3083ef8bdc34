/* SPDX-License-Identifier: MIT */
/*
 * RFC 9111 by table: what is stored, for how long, what is served.  Now is NOW on the monotonic clock
 * and 2023-11-14 22:13:20 on the wall; a message is written "GET /|Field: value|Field: value" or
 * "200|Field: value".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cache/cache_answer.h"
#include "cache/cache_policy.h"
#include "cache/cache_status.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define WALL		1700000000LL
#define DATE		"Date: Tue, 14 Nov 2023 22:13:20 GMT"
#define PAST		"Tue, 14 Nov 2023 22:12:20 GMT"		/* a minute ago */
#define FUTURE		"Tue, 14 Nov 2023 22:14:20 GMT"		/* in a minute */
#define LONG_AGO	"Mon, 13 Nov 2023 22:13:20 GMT"

enum { NOW = 50000000, HOUR = 3600 * 1000 };

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	clock_set(1, WALL * 1000000);
	arena = arena_new(4096);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* --- what goes in ---------------------------------------------------------------------------- */

static struct cache_conf
conf_of(void)
{
	static struct valid_conf valid[] = { { 200, 600000 }, { 404, 60000 }, { 0, 1000 } };
	struct cache_conf c;

	memset(&c, 0, sizeof(c));
	c.has_get = c.has_head = true;
	c.single_flight = true;
	c.valid = valid;
	c.n_valid = 2;
	return c;
}

static void
add_fields(struct message *m, struct str rest)
{
	struct str line, name;
	ptrdiff_t at;

	while (rest.len > 0) {
		at = str_find(rest, '|');
		line = at < 0 ? rest : str_first(rest, (size_t)at);
		rest = at < 0 ? STR_NONE : str_from(rest, (size_t)at + 1);
		at = str_find(line, ':');
		assert_true(at > 0);
		name = str_first(line, (size_t)at);
		message_add(m, field_lookup(name), name, str_trim(str_from(line, (size_t)at + 1)));
	}
}

static struct str
first_part(struct str *rest)
{
	ptrdiff_t at = str_find(*rest, '|');
	struct str part = at < 0 ? *rest : str_first(*rest, (size_t)at);

	*rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 1);
	return part;
}

static struct message *
request(const char *text)
{
	static const struct { struct str name; enum method method; } methods[] = {
		{ { "GET", 3 }, METHOD_GET }, { { "HEAD", 4 }, METHOD_HEAD }, { { "POST", 4 }, METHOD_POST },
		{ { "PUT", 3 }, METHOD_PUT }, { { "DELETE", 6 }, METHOD_DELETE },
		{ { "OPTIONS", 7 }, METHOD_OPTIONS }, { { "PROPFIND", 8 }, METHOD_OTHER },
	};
	struct message *m = message_new(arena, 4);
	struct str rest = str_of(text), line = first_part(&rest), query;
	ptrdiff_t space = str_find(line, ' ');
	size_t i;

	m->is_request = true;
	m->method_name = str_first(line, (size_t)space);
	for (i = 0; i < COUNT(methods); i++)
		if (str_eq(methods[i].name, m->method_name))
			m->method = methods[i].method;
	m->target = m->path = str_from(line, (size_t)space + 1);
	m->authority = m->host = STR("h");
	if (str_find(m->path, '?') >= 0) {
		query = str_from(m->path, (size_t)str_find(m->path, '?') + 1);
		m->path = str_first(m->path, (size_t)str_find(m->path, '?'));
		m->query = query;
	}
	add_fields(m, rest);
	m->upgrade = message_find(m, FIELD_UPGRADE) != NULL;
	return m;
}

static struct message *
response(const char *text)
{
	struct message *m = message_new(arena, 4);
	struct str rest = str_of(text), line = first_part(&rest);
	uint64_t status;

	assert_true(str_to_uint(line, 999, &status));
	m->status = (int)status;
	add_fields(m, rest);
	return m;
}

static struct freshness
store(const struct cache_conf *conf, const char *rq, const char *rs)
{
	struct cache_plan plan = cache_policy_lookup(conf, request(rq));
	struct cache_times times = { NOW - 2000, NOW, WALL };

	return cache_policy_store(conf, &plan, response(rs), &times);
}

/* --- Cache-Control --------------------------------------------------------------------------- */

/* All that is set, in one order. */
static struct str
describe(const struct cache_control *c)
{
	return arena_printf(arena, "%s%s%s%s%s%s%s%s%s%s%d %d %d %d %d %d", c->no_store ? "no-store " : "",
	    c->no_cache ? "no-cache " : "", c->no_transform ? "no-transform " : "",
	    c->only_if_cached ? "only-if-cached " : "", c->is_public ? "public " : "",
	    c->is_private ? "private " : "", c->must_revalidate ? "must-revalidate " : "",
	    c->proxy_revalidate ? "proxy-revalidate " : "", c->must_understand ? "must-understand " : "",
	    c->immutable ? "immutable " : "", c->max_age, c->s_maxage, c->min_fresh, c->max_stale,
	    c->stale_while_revalidate, c->stale_if_error);
}

static void
test_cache_control(void **state)
{
	static const struct { const char *value, *want; } rows[] = {
		{ "", "-1 -1 -1 -1 -1 -1" },
		{ "no-store, no-cache, no-transform, only-if-cached, public, private, must-revalidate, "
		  "proxy-revalidate, must-understand, immutable", "no-store no-cache no-transform "
		  "only-if-cached public private must-revalidate proxy-revalidate must-understand immutable "
		  "-1 -1 -1 -1 -1 -1" },
		{ "max-age=1,s-maxage=2,min-fresh=3,max-stale=4,stale-while-revalidate=5,stale-if-error=6",
		  "1 2 3 4 5 6" },
		{ "MAX-AGE=1,Private", "private 1 -1 -1 -1 -1 -1" },
		{ " ,, ,max-age=7 , ,", "7 -1 -1 -1 -1 -1" }, { "\t max-age=7\t,", "7 -1 -1 -1 -1 -1" },
		{ "max-age=\"7\"", "7 -1 -1 -1 -1 -1" },
		/* no number: expired */
		{ "max-age", "0 -1 -1 -1 -1 -1" }, { "max-age=", "0 -1 -1 -1 -1 -1" },
		{ "max-age=-1", "0 -1 -1 -1 -1 -1" }, { "max-age=1.5", "0 -1 -1 -1 -1 -1" },
		{ "max-age=x", "0 -1 -1 -1 -1 -1" }, { "max-age=\"\"", "0 -1 -1 -1 -1 -1" },
		{ "max-age=\"1", "no-store 0 -1 -1 -1 -1 -1" }, { "max-age=+1", "0 -1 -1 -1 -1 -1" },
		{ "max-age = 5", "0 -1 -1 -1 -1 -1" }, { "max-age=5s", "0 -1 -1 -1 -1 -1" },
		{ "s-maxage=x", "-1 0 -1 -1 -1 -1" }, { "min-fresh", "-1 -1 2147483647 -1 -1 -1" },
		{ "max-stale", "-1 -1 -1 2147483647 -1 -1" }, { "max-stale=x", "-1 -1 -1 0 -1 -1" },
		{ "stale-if-error=x", "-1 -1 -1 -1 -1 0" },
		/* huge */
		{ "max-age=2147483647", "2147483647 -1 -1 -1 -1 -1" },
		{ "max-age=2147483648", "2147483647 -1 -1 -1 -1 -1" },
		{ "max-age=99999999999999999999999999999999", "2147483647 -1 -1 -1 -1 -1" },
		/* twice: the smaller; the larger min-fresh */
		{ "max-age=5,max-age=3,max-age=9", "3 -1 -1 -1 -1 -1" },
		{ "max-age=5,max-age=x", "0 -1 -1 -1 -1 -1" }, { "min-fresh=1,min-fresh=3", "-1 -1 3 -1 -1 -1" },
		{ "max-stale,max-stale=3", "-1 -1 -1 3 -1 -1" },
		/* quotes */
		{ "private=\"a, max-age=5\"", "private -1 -1 -1 -1 -1 -1" },
		{ "no-cache=\"set-cookie, no-store\", max-age=1", "no-cache 1 -1 -1 -1 -1 -1" },
		{ "x=\"a\\\", no-store\", max-age=1", "1 -1 -1 -1 -1 -1" },
		{ "x=\"a, private, max-age=1", "no-store -1 -1 -1 -1 -1 -1" },
		{ "x=\"a\\", "no-store -1 -1 -1 -1 -1 -1" },
		/* written by hand */
		{ "public; max-age=60", "public 60 -1 -1 -1 -1 -1" },
		{ "private no-store", "no-store private -1 -1 -1 -1 -1 -1" },
		{ "no-stores, xno-store, no_store, max-agee=1", "-1 -1 -1 -1 -1 -1" },
		{ "no-store=1, public=yes", "no-store public -1 -1 -1 -1 -1 -1" },
	};
	struct cache_control c;
	struct message *m;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		m = response("200");
		message_add(m, FIELD_CACHE_CONTROL, STR("Cache-Control"), str_of(rows[i].value));
		c = cache_control_of(m);
		if (!c.present || !str_eq(describe(&c), str_of(rows[i].want)))
			fail_msg("<%s>: <%.*s>, not <%s>", rows[i].value, STR_ARG(describe(&c)), rows[i].want);
	}
	c = cache_control_of(response("200|Cache-Control: max-age=5|Cache-Control: no-store|cache-control: a"));
	assert_true(c.max_age == 5 && c.no_store);
	/* Pragma is for requests that say nothing else. */
	assert_true(cache_control_of(request("GET /|Pragma: x, No-Cache")).no_cache);
	assert_false(cache_control_of(request("GET /|Pragma: no-cache|Cache-Control: max-age=1")).no_cache);
	assert_false(cache_control_of(response("200|Pragma: no-cache")).no_cache);
	assert_false(cache_control_of(response("200|Pragma: no-cache")).present);
}

/* --- requests -------------------------------------------------------------------------------- */

static void
test_lookup(void **state)
{
	static const struct {
		const char    *request;
		bool           serve, store, follow;
		enum cache_why why;
	} rows[] = {
		{ "GET /", true, true, true, CACHE_WHY_NONE },
		{ "HEAD /", true, false, true, CACHE_WHY_HEAD },
		{ "POST /", false, false, false, CACHE_WHY_METHOD },
		{ "PUT /", false, false, false, CACHE_WHY_METHOD },
		{ "PROPFIND /", false, false, false, CACHE_WHY_METHOD },
		{ "GET *", false, false, false, CACHE_WHY_TARGET },
		{ "GET /|Upgrade: websocket", false, false, false, CACHE_WHY_UPGRADE },
		{ "GET /|Expect: 100-continue", false, false, false, CACHE_WHY_EXPECT },
		{ "GET /|Connection: close, Keep-Alive", true, true, true, CACHE_WHY_NONE },
		{ "GET /|Connection: TE", true, true, true, CACHE_WHY_NONE },
		{ "GET /|Connection: close|Connection: X-Tenant", false, false, false, CACHE_WHY_CONNECTION },
		{ "GET /|Connection: accept-encoding", false, false, false, CACHE_WHY_CONNECTION },
		{ "GET /|X-HTTP-Method-Override: DELETE", false, false, false, CACHE_WHY_OVERRIDE },
		{ "GET /|x-original-url: /admin", false, false, false, CACHE_WHY_OVERRIDE },
		{ "GET /|If-Match: \"a\"", false, false, false, CACHE_WHY_PRECONDITION },
		{ "GET /|If-Unmodified-Since: " PAST, false, false, false, CACHE_WHY_PRECONDITION },
		{ "GET /|If-None-Match: \"a\"", true, true, true, CACHE_WHY_NONE },
		{ "GET /|Range: bytes=0-1", true, false, false, CACHE_WHY_RANGE },
		{ "GET /|Range: lines=7", true, false, false, CACHE_WHY_RANGE },
		{ "GET /|Cache-Control: no-store", true, false, true, CACHE_WHY_REQUEST_NO_STORE },
		{ "GET /|Cache-Control: no-cache", true, true, false, CACHE_WHY_NONE },
		{ "GET /|Pragma: no-cache", true, true, false, CACHE_WHY_NONE },
		{ "GET /|Cache-Control: max-age=0", true, true, false, CACHE_WHY_NONE },
		{ "GET /|Cache-Control: max-age=5", true, true, true, CACHE_WHY_NONE },
		{ "GET /|Cache-Control: only-if-cached", true, true, false, CACHE_WHY_NONE },
		{ "GET /|Authorization: x", true, true, true, CACHE_WHY_NONE },
	};
	struct cache_conf conf = conf_of();
	struct cache_plan plan;
	struct message *m;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		plan = cache_policy_lookup(&conf, request(rows[i].request));
		if (plan.may_serve != rows[i].serve || plan.may_store != rows[i].store ||
		    plan.may_follow != rows[i].follow || plan.why != rows[i].why)
			fail_msg("<%s>: serve %d store %d follow %d, %s", rows[i].request, plan.may_serve,
			    plan.may_store, plan.may_follow, cache_why_word(plan.why).p);
		assert_int_equal(plan.forward, rows[i].serve ? CACHE_FORWARD_NONE
		    : rows[i].why == CACHE_WHY_METHOD ? CACHE_FORWARD_METHOD : CACHE_FORWARD_BYPASS);
	}
	m = request("GET /");
	m->framing = FRAMING_COUNTED;
	assert_true(cache_policy_lookup(&conf, m).may_serve);
	m->length = 1;
	assert_int_equal(cache_policy_lookup(&conf, m).why, CACHE_WHY_BODY);
	m->framing = FRAMING_CHUNKED;
	assert_int_equal(cache_policy_lookup(&conf, m).why, CACHE_WHY_BODY);
	conf.single_flight = false;
	assert_false(cache_policy_lookup(&conf, request("GET /")).may_follow);
}

static void
test_lookup_of_post(void **state)
{
	struct cache_conf conf = conf_of();
	struct cache_plan plan;
	struct message *m = request("POST /|Authorization: x");

	(void)state;
	conf.has_post = true;
	m->framing = FRAMING_CHUNKED;
	plan = cache_policy_lookup(&conf, m);
	assert_true(plan.may_serve && plan.may_store && plan.may_follow && plan.is_post);
	assert_false(plan.has_authorization);
	assert_int_equal(cache_policy_lookup(&conf, request("POST /|If-None-Match: *")).why,
	    CACHE_WHY_PRECONDITION);
	assert_int_equal(cache_policy_lookup(&conf, request("POST /|Range: bytes=0-")).why,
	    CACHE_WHY_RANGE);
	assert_false(cache_policy_lookup(&conf, request("POST /|Range: bytes=0-")).may_serve);
	conf.has_head = false;
	assert_int_equal(cache_policy_lookup(&conf, request("HEAD /")).why, CACHE_WHY_METHOD);
}

static void
test_when_requested(void **state)
{
	static const struct { const char *request; bool serve; } rows[] = {
		{ "GET /", false }, { "GET /|Cache-Control: public", true },
		{ "GET /|Cache-Control: max-age=60", true }, { "GET /|Cache-Control: max-age=0", true },
		{ "GET /|Cache-Control: no-cache", false }, { "GET /|Cache-Control: max-stale=1", false },
		{ "GET /|Pragma: public", false },
	};
	struct cache_conf conf = conf_of();
	struct cache_plan plan;
	size_t i;

	(void)state;
	conf.only_requested = true;
	for (i = 0; i < COUNT(rows); i++) {
		plan = cache_policy_lookup(&conf, request(rows[i].request));
		assert_int_equal(plan.may_serve, rows[i].serve);
		assert_int_equal(plan.why, rows[i].serve ? CACHE_WHY_NONE : CACHE_WHY_NOT_REQUESTED);
	}
	conf.ignore_request_cache_control = true;
	plan = cache_policy_lookup(&conf, request("GET /|Cache-Control: max-age=0, no-store, no-cache"));
	assert_true(plan.may_serve && plan.may_store && plan.may_follow && !plan.no_cache);
	assert_int_equal(plan.max_age, CACHE_ABSENT);
	assert_false(cache_policy_lookup(&conf, request("GET /|Cache-Control: no-store")).may_serve);
}

/* --- storing --------------------------------------------------------------------------------- */

static void
test_lifetimes(void **state)
{
	static const struct {
		const char    *response;
		enum cache_why why;
		int64_t        lifetime, age;	/* seconds */
	} rows[] = {
		/* s-maxage, max-age, Expires, valid: */
		{ "200|Cache-Control: max-age=60, s-maxage=5|Expires: " FUTURE, 0, 5, 2 },
		{ "200|Cache-Control: max-age=30|Expires: " FUTURE, 0, 30, 2 },
		{ "200|" DATE "|Expires: " FUTURE, 0, 60, 2 },
		{ "200|Expires: " FUTURE, 0, 60, 2 },
		{ "200|Date: " PAST "|Expires: " FUTURE, 0, 120, 60 },
		{ "200", 0, 602, 2 }, { "404", 0, 62, 2 }, { "200|Age: 100", 0, 702, 102 },
		{ "200|Cache-Control: public", 0, 602, 2 },
		{ "302", CACHE_WHY_NO_LIFETIME, 0, 2 }, { "302|Cache-Control: max-age=9", 0, 9, 2 },
		{ "500|Cache-Control: max-age=9", 0, 9, 2 },
		/* age */
		{ "200|Cache-Control: max-age=60|Age: 10", 0, 60, 12 },
		{ "200|Cache-Control: max-age=60|Age: 10, 20", 0, 60, 22 },
		{ "200|Cache-Control: max-age=60|Age: x", 0, 60, 2 },
		{ "200|Cache-Control: max-age=60|Age: -5", 0, 60, 2 },
		{ "200|Cache-Control: max-age=60|Date: " FUTURE, 0, 60, 2 },
		{ "200|Cache-Control: max-age=100|Date: " PAST, 0, 100, 60 },
		{ "200|Cache-Control: max-age=100|Age: 80|Date: " PAST, 0, 100, 82 },
		{ "200|Cache-Control: max-age=100|Date: x", 0, 100, 2 },
		/* expired on arrival: kept where it can be validated or served stale */
		{ "200|Cache-Control: max-age=0", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Cache-Control: max-age=0|ETag: \"a\"", 0, 0, 2 },
		{ "200|Cache-Control: max-age=0|Last-Modified: " PAST, 0, 0, 2 },
		{ "200|Cache-Control: max-age=0|Last-Modified: x", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Cache-Control: max-age=0|ETag: a", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Cache-Control: max-age=0, stale-while-revalidate=5", 0, 0, 2 },
		{ "200|Cache-Control: max-age=0, stale-if-error=5", 0, 0, 2 },
		{ "200|Cache-Control: max-age=0, stale-if-error=5, must-revalidate", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Cache-Control: max-age=100|Age: 100", CACHE_WHY_EXPIRED, 100, 102 },
		{ "200|Cache-Control: max-age=x", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Expires: 0", CACHE_WHY_EXPIRED, 0, 2 }, { "200|Expires: -1", CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Expires: " PAST, CACHE_WHY_EXPIRED, 0, 2 },
		{ "200|Expires: " FUTURE "|Expires: " FUTURE, CACHE_WHY_EXPIRED, 0, 2 },
		/* no-cache */
		{ "200|Cache-Control: no-cache|ETag: \"a\"", 0, 602, 2 },
		{ "302|Cache-Control: no-cache|ETag: W/\"a\"", 0, 0, 2 },
		{ "200|Cache-Control: no-cache", CACHE_WHY_EXPIRED, 602, 2 },
		{ "200|Cache-Control: no-cache=\"x\"", CACHE_WHY_EXPIRED, 602, 2 },
		/* never */
		{ "200|Cache-Control: no-store", CACHE_WHY_NO_STORE, 602, 2 },
		{ "200|Cache-Control: private, max-age=9", CACHE_WHY_PRIVATE, 9, 2 },
		{ "200|Cache-Control: private=\"x\"", CACHE_WHY_PRIVATE, 602, 2 },
		{ "200|Set-Cookie: a=1", CACHE_WHY_SET_COOKIE, 602, 2 },
		{ "200|Set-Cookie: a=1|Cache-Control: public, max-age=9", CACHE_WHY_SET_COOKIE, 9, 2 },
		{ "206|Cache-Control: max-age=9", CACHE_WHY_PARTIAL, 9, 2 },
		{ "200|Content-Range: bytes 0-1/2", CACHE_WHY_PARTIAL, 602, 2 },
		{ "304|Cache-Control: max-age=9", CACHE_WHY_STATUS, 9, 2 },
		{ "101|Cache-Control: max-age=9", CACHE_WHY_STATUS, 9, 2 },
		{ "401|Cache-Control: max-age=9", CACHE_WHY_STATUS, 9, 2 },
		{ "429|Cache-Control: max-age=9", CACHE_WHY_STATUS, 9, 2 },
		{ "416|Cache-Control: max-age=9", CACHE_WHY_STATUS, 9, 2 },
		/* huge */
		{ "200|Cache-Control: max-age=99999999999999", 0, 2147483647, 2 },
		{ "200|Cache-Control: max-age=9|Age: 99999999999999999999", CACHE_WHY_EXPIRED, 9, 2147483649 },
		{ "200|Cache-Control: max-age=9|Age: 99999999999", CACHE_WHY_EXPIRED, 9, 2147483649 },
		{ "200|Expires: Fri, 31 Dec 9999 23:59:59 GMT", 0, 2147483647, 2 },
	};
	struct cache_conf conf = conf_of();
	struct freshness f;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		f = store(&conf, "GET /", rows[i].response);
		if (f.why != rows[i].why || f.storable != (rows[i].why == 0) ||
		    f.lifetime != rows[i].lifetime * 1000 || NOW - f.born != rows[i].age * 1000)
			fail_msg("<%s>: \"%s\" lifetime %lld age %lld", rows[i].response,
			    cache_why_word(f.why).p, (long long)f.lifetime, (long long)(NOW - f.born));
	}
}

static void
test_valid_any(void **state)
{
	static const struct { int status; msec lifetime; } rows[] = {
		{ 200, 600000 }, { 404, 60000 }, { 302, 1000 }, { 500, 1000 }, { 599, 1000 }, { 299, 1000 },
		{ 400, 0 }, { 403, 0 }, { 415, 0 }, { 401, 0 }, { 429, 0 }, { 206, 0 }, { 304, 0 },
	};
	struct cache_conf conf = conf_of();
	struct freshness f;
	size_t i;

	(void)state;
	conf.n_valid = 3;
	for (i = 0; i < COUNT(rows); i++) {
		f = store(&conf, "GET /", arena_printf(arena, "%d", rows[i].status).p);
		assert_int_equal(f.storable, rows[i].lifetime > 0);
		if (f.storable)
			assert_int_equal(f.lifetime, rows[i].lifetime + 2000);
		assert_false(f.is_explicit);
	}
	conf.n_valid = 0;
	assert_int_equal(store(&conf, "GET /", "200").why, CACHE_WHY_NO_LIFETIME);
	assert_true(store(&conf, "GET /", "200|Cache-Control: max-age=5").is_explicit);
}

static void
test_store_by_request(void **state)
{
	static const struct { const char *request, *response; enum cache_why why; } rows[] = {
		{ "GET /|Authorization: x", "200", CACHE_WHY_AUTHORIZATION },
		{ "GET /|Authorization: x", "200|Cache-Control: max-age=9", CACHE_WHY_AUTHORIZATION },
		{ "GET /|Authorization: x", "200|Cache-Control: public", 0 },
		{ "GET /|Authorization: x", "200|Cache-Control: must-revalidate", 0 },
		{ "GET /|Authorization: x", "200|Cache-Control: s-maxage=9", 0 },
		{ "GET /|Authorization: x", "200|Cache-Control: proxy-revalidate", CACHE_WHY_AUTHORIZATION },
		{ "POST /|Authorization: x", "200", 0 }, { "HEAD /", "200", CACHE_WHY_HEAD },
		{ "GET /|Range: bytes=0-", "200", CACHE_WHY_RANGE },
		{ "GET /|Cache-Control: no-store", "200", CACHE_WHY_REQUEST_NO_STORE },
		{ "PUT /", "200|Cache-Control: max-age=9", CACHE_WHY_METHOD },
		{ "GET /|Cookie: a=1", "200", 0 },
	};
	struct cache_conf conf = conf_of();
	size_t i;

	(void)state;
	conf.has_post = true;
	for (i = 0; i < COUNT(rows); i++)
		if (store(&conf, rows[i].request, rows[i].response).why != rows[i].why)
			fail_msg("%s / %s: %s", rows[i].request, rows[i].response,
			    cache_why_word(store(&conf, rows[i].request, rows[i].response).why).p);
}

/* --- serving --------------------------------------------------------------------------------- */

static const char *const verdicts[] = { "fresh", "stale", "swr", "revalidate", "fetch" };

static void
test_serving(void **state)
{
	static const struct {
		const char        *response, *request;
		int                after;	/* seconds since it came, with an age of 2 */
		enum cache_verdict verdict;
		int                ttl;
		bool               updating;
	} rows[] = {
#define MAX60	"200|Cache-Control: max-age=60"
		{ MAX60, "GET /", 0, CACHE_FRESH, 58, false },
		{ MAX60, "GET /", 57, CACHE_FRESH, 1, false },
		{ MAX60, "GET /", 58, CACHE_REVALIDATE, 0, true },
		{ MAX60, "GET /", 100, CACHE_REVALIDATE, -42, true },
		{ MAX60, "HEAD /", 0, CACHE_FRESH, 58, false },
		{ "200|Age: 100", "GET /", 599, CACHE_FRESH, 1, false },
		{ "200|Age: 100", "GET /", 600, CACHE_REVALIDATE, 0, true },
		/* max-age */
		{ MAX60, "GET /|Cache-Control: max-age=10", 8, CACHE_FRESH, 50, false },
		{ MAX60, "GET /|Cache-Control: max-age=10", 9, CACHE_REVALIDATE, 49, false },
		{ MAX60, "GET /|Cache-Control: max-age=0", 0, CACHE_REVALIDATE, 58, false },
		{ MAX60, "GET /|Cache-Control: max-age=1000", 100, CACHE_REVALIDATE, -42, false },
		{ MAX60, "GET /|Cache-Control: max-age=10, max-stale=5", 13, CACHE_FRESH, 45, false },
		{ MAX60, "GET /|Cache-Control: max-age=10, max-stale=5", 14, CACHE_REVALIDATE, 44, false },
		/* min-fresh */
		{ MAX60, "GET /|Cache-Control: min-fresh=20", 38, CACHE_FRESH, 20, false },
		{ MAX60, "GET /|Cache-Control: min-fresh=20", 39, CACHE_REVALIDATE, 19, false },
		{ MAX60, "GET /|Cache-Control: min-fresh", 0, CACHE_REVALIDATE, 58, false },
		/* max-stale */
		{ MAX60, "GET /|Cache-Control: max-stale", 100000, CACHE_STALE, -99942, false },
		{ MAX60, "GET /|Cache-Control: max-stale=10", 68, CACHE_STALE, -10, false },
		{ MAX60, "GET /|Cache-Control: max-stale=10", 69, CACHE_REVALIDATE, -11, false },
		{ MAX60 ", stale-while-revalidate=30", "GET /|Cache-Control: max-stale=0", 70,
		    CACHE_REVALIDATE, -12, false },
		{ MAX60 ", must-revalidate", "GET /|Cache-Control: max-stale", 68, CACHE_REVALIDATE, -10,
		    false },
		{ MAX60 ", proxy-revalidate", "GET /|Cache-Control: max-stale", 68, CACHE_REVALIDATE, -10,
		    false },
		{ "200|Cache-Control: s-maxage=60", "GET /|Cache-Control: max-stale", 68, CACHE_REVALIDATE,
		    -10, false },
		/* no-cache */
		{ MAX60, "GET /|Cache-Control: no-cache", 0, CACHE_REVALIDATE, 58, false },
		{ MAX60, "GET /|Pragma: no-cache", 0, CACHE_REVALIDATE, 58, false },
		{ MAX60 ", no-cache|ETag: \"a\"", "GET /", 0, CACHE_REVALIDATE, 58, false },
		{ MAX60 ", no-cache|ETag: \"a\"", "GET /|Cache-Control: max-stale", 0, CACHE_REVALIDATE, 58,
		    false },
		/* stale-while-revalidate */
		{ MAX60 ", stale-while-revalidate=30", "GET /", 87, CACHE_STALE_WHILE_REVALIDATE, -29, false },
		{ MAX60 ", stale-while-revalidate=30", "GET /", 88, CACHE_REVALIDATE, -30, true },
		{ MAX60 ", stale-while-revalidate=30", "GET /|Cache-Control: max-age=1000", 70,
		    CACHE_REVALIDATE, -12, false },
		{ MAX60 ", stale-while-revalidate=30, must-revalidate", "GET /", 70, CACHE_REVALIDATE, -12,
		    false },
		/* Authorization */
		{ MAX60, "GET /|Authorization: x", 0, CACHE_FETCH, 58, false },
		{ MAX60 ", public", "GET /|Authorization: x", 0, CACHE_FRESH, 58, false },
		{ MAX60, "PUT /", 0, CACHE_FETCH, 58, false },
	};
	struct cache_conf conf = conf_of();
	struct cache_serving s;
	struct cache_plan plan;
	struct freshness f;
	size_t i;

	(void)state;
	conf.stale.updating = true;
	for (i = 0; i < COUNT(rows); i++) {
		f = store(&conf, "GET /", rows[i].response);
		plan = cache_policy_lookup(&conf, request(rows[i].request));
		s = cache_policy_serve(&conf, &plan, &f, NOW + (msec)rows[i].after * 1000);
		if (s.verdict != rows[i].verdict || s.ttl != rows[i].ttl ||
		    s.while_updating != rows[i].updating)
			fail_msg("<%s> <%s> after %d: %s, ttl %lld, updating %d", rows[i].response,
			    rows[i].request, rows[i].after, verdicts[s.verdict], (long long)s.ttl,
			    s.while_updating);
		assert_int_equal(s.forward == CACHE_FORWARD_NONE, s.verdict < CACHE_REVALIDATE);
		if (strstr(rows[i].response, "Age") == NULL)
			assert_int_equal(s.age, rows[i].after + 2);
	}
	conf.stale.updating = false;
	f = store(&conf, "GET /", MAX60);
	plan = cache_policy_lookup(&conf, request("GET /"));
	assert_false(cache_policy_serve(&conf, &plan, &f, NOW + 60000).while_updating);
	assert_int_equal(cache_policy_serve(&conf, &plan, &f, NOW + 60000).forward, CACHE_FORWARD_STALE);
	assert_int_equal(cache_policy_serve(&conf, &plan, &f, NOW - 99999).age, 0);
	plan = cache_policy_lookup(&conf, request("GET /|Cache-Control: no-cache"));
	assert_int_equal(cache_policy_serve(&conf, &plan, &f, NOW).forward, CACHE_FORWARD_REQUEST);
}

static void
test_stale_on(void **state)
{
	static const struct {
		const char      *response, *request;
		enum cache_event event;
		int              status, after;
		bool             want;
	} rows[] = {
		{ MAX60, "GET /", CACHE_EVENT_ERROR, 0, 1000, true },
		{ MAX60, "GET /", CACHE_EVENT_TIMEOUT, 0, 1000, false },
		{ MAX60, "GET /", CACHE_EVENT_STATUS, 503, 1000, true },
		{ MAX60, "GET /", CACHE_EVENT_STATUS, 500, 1000, false },
		{ MAX60, "GET /", CACHE_EVENT_STATUS, 200, 1000, false },
		{ MAX60, "GET /|Cache-Control: no-cache", CACHE_EVENT_ERROR, 0, 1000, false },
		{ MAX60, "GET /|Cache-Control: max-age=0", CACHE_EVENT_ERROR, 0, 1000, true },
		{ MAX60 ", must-revalidate", "GET /", CACHE_EVENT_ERROR, 0, 1000, false },
		{ MAX60 ", proxy-revalidate", "GET /", CACHE_EVENT_ERROR, 0, 1000, false },
		{ "200|Cache-Control: s-maxage=60", "GET /", CACHE_EVENT_ERROR, 0, 1000, false },
		{ MAX60 ", no-cache|ETag: \"a\"", "GET /", CACHE_EVENT_ERROR, 0, 1000, false },
		{ MAX60, "GET /|Authorization: x", CACHE_EVENT_ERROR, 0, 1000, false },
		{ MAX60 ", stale-if-error=30", "GET /", CACHE_EVENT_TIMEOUT, 0, 88, true },
		{ MAX60 ", stale-if-error=30", "GET /", CACHE_EVENT_TIMEOUT, 0, 89, false },
		{ MAX60 ", stale-if-error=30", "GET /", CACHE_EVENT_STATUS, 500, 88, true },
		{ MAX60 ", stale-if-error=30", "GET /", CACHE_EVENT_STATUS, 404, 88, false },
		{ MAX60 ", stale-if-error=30, must-revalidate", "GET /", CACHE_EVENT_STATUS, 500, 88, false },
		{ MAX60 ", stale-if-error=30", "GET /|Cache-Control: no-cache", CACHE_EVENT_STATUS, 500, 88,
		    false },
	};
	struct cache_conf conf = conf_of();
	struct cache_plan plan;
	struct freshness f;
	size_t i;

	(void)state;
	conf.stale.error = true;
	conf.stale.bits[503 / 64] |= (uint64_t)1 << 503 % 64;
	for (i = 0; i < COUNT(rows); i++) {
		f = store(&conf, "GET /", rows[i].response);
		plan = cache_policy_lookup(&conf, request(rows[i].request));
		if (cache_policy_stale_on(&conf, &plan, &f, rows[i].event, rows[i].status,
		    NOW + (msec)rows[i].after * 1000) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].response);
	}
}

/* --- conditions and ranges ------------------------------------------------------------------- */

static void
test_answers(void **state)
{
	/* A body of 100 bytes. */
	static const struct { const char *request, *stored; char kind; unsigned first, last; } rows[] = {
#define STORED	"200|ETag: \"a\"|Last-Modified: " LONG_AGO "|" DATE
#define WEAK	"200|ETag: W/\"a\"|" DATE
		{ "GET /", STORED, 'w', 0, 0 },
		{ "GET /|If-None-Match: \"a\"", STORED, 'n', 0, 0 },
		{ "GET /|If-None-Match: W/\"a\"", STORED, 'n', 0, 0 },
		{ "GET /|If-None-Match: \"a\"", WEAK, 'n', 0, 0 },
		{ "GET /|If-None-Match: \"b\", \"a\"", STORED, 'n', 0, 0 },
		{ "GET /|If-None-Match: \"b\"|If-None-Match: \"a\"", STORED, 'n', 0, 0 },
		{ "GET /|If-None-Match: \"b\"", STORED, 'w', 0, 0 },
		{ "GET /|If-None-Match: *", STORED, 'n', 0, 0 }, { "GET /|If-None-Match: *", "200", 'n', 0, 0 },
		{ "GET /|If-None-Match: \"a\"", "200", 'w', 0, 0 },
		{ "GET /|If-None-Match: \"\"", "200", 'w', 0, 0 },
		{ "HEAD /|If-None-Match: \"a\"", STORED, 'n', 0, 0 },
		{ "GET /|If-None-Match: \"a\"", "404|ETag: \"a\"", 'w', 0, 0 },
		{ "POST /|If-None-Match: \"a\"", STORED, 'w', 0, 0 },
		{ "GET /|If-Modified-Since: " LONG_AGO, STORED, 'n', 0, 0 },
		{ "GET /|If-Modified-Since: " PAST, STORED, 'n', 0, 0 },
		{ "GET /|If-Modified-Since: Mon, 13 Nov 2023 22:13:19 GMT", STORED, 'w', 0, 0 },
		{ "GET /|If-Modified-Since: x", STORED, 'w', 0, 0 },
		{ "GET /|If-Modified-Since: " PAST "|If-Modified-Since: " PAST, STORED, 'w', 0, 0 },
		{ "GET /|If-Modified-Since: " FUTURE, "200|" DATE, 'n', 0, 0 },
		{ "GET /|If-Modified-Since: " PAST, "200|" DATE, 'w', 0, 0 },
		{ "GET /|If-Modified-Since: " PAST, "200", 'w', 0, 0 },
		{ "GET /|If-Modified-Since: " PAST "|If-None-Match: \"b\"", STORED, 'w', 0, 0 },
		/* ranges */
		{ "GET /|Range: bytes=0-0", STORED, 'r', 0, 0 },
		{ "GET /|Range: bytes=10-19", STORED, 'r', 10, 19 },
		{ "GET /|Range: BYTES= 10-19 ", STORED, 'r', 10, 19 },
		{ "GET /|Range: bytes=90-", STORED, 'r', 90, 99 },
		{ "GET /|Range: bytes=90-1000", STORED, 'r', 90, 99 },
		{ "GET /|Range: bytes=99-99", STORED, 'r', 99, 99 },
		{ "GET /|Range: bytes=100-", STORED, 'u', 0, 0 },
		{ "GET /|Range: bytes=99999999999999999999999-", STORED, 'u', 0, 0 },
		{ "GET /|Range: bytes=5-99999999999999999999999", STORED, 'r', 5, 99 },
		{ "GET /|Range: bytes=-1", STORED, 'r', 99, 99 },
		{ "GET /|Range: bytes=-100", STORED, 'r', 0, 99 },
		{ "GET /|Range: bytes=-99999999999999999999999", STORED, 'r', 0, 99 },
		{ "GET /|Range: bytes=-0", STORED, 'u', 0, 0 },
		{ "GET /|Range: bytes=5-4", STORED, 'w', 0, 0 }, { "GET /|Range: bytes=-", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=", STORED, 'w', 0, 0 }, { "GET /|Range: bytes=a-b", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0,5-6", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=+1-2", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=1--2", STORED, 'w', 0, 0 },
		{ "GET /|Range: lines=1-2", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|Range: bytes=0-0", STORED, 'w', 0, 0 },
		{ "HEAD /|Range: bytes=0-0", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0", "404", 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-None-Match: \"a\"", STORED, 'n', 0, 0 },
		/* If-Range */
		{ "GET /|Range: bytes=0-0|If-Range: \"a\"", STORED, 'r', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: \"b\"", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: W/\"a\"", WEAK, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: \"a\"", WEAK, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: " LONG_AGO, STORED, 'r', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: " PAST, STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: Tue, 14 Nov 2023 22:13:20 GMT",
		    "200|Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT|" DATE, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: x", STORED, 'w', 0, 0 },
		{ "GET /|Range: bytes=0-0|If-Range: \"a\"|If-Range: \"a\"", STORED, 'w', 0, 0 },
	};
	static const char kinds[] = "wnru";
	struct cache_conf conf = conf_of();
	struct cache_plan plan;
	struct cache_answer a;
	struct message *rq, *rs;
	size_t i;

	(void)state;
	conf.has_post = true;
	for (i = 0; i < COUNT(rows); i++) {
		rq = request(rows[i].request);
		rs = response(rows[i].stored);
		plan = cache_policy_lookup(&conf, rq);
		a = cache_answer_of(&plan, rq, rs, 100);
		if (kinds[a.kind] != rows[i].kind ||
		    (rows[i].kind == 'r' && (a.first != rows[i].first || a.last != rows[i].last)))
			fail_msg("<%s> <%s>: %c %llu-%llu", rows[i].request, rows[i].stored, kinds[a.kind],
			    (unsigned long long)a.first, (unsigned long long)a.last);
		if (rows[i].kind == 'r')
			assert_int_equal(cache_answer_of(&plan, rq, rs, CACHE_LENGTH_UNKNOWN).kind,
			    CACHE_ANSWER_WHOLE);
	}
	rq = request("GET /|Range: bytes=-5");
	rs = response(STORED);
	plan = cache_policy_lookup(&conf, rq);
	assert_int_equal(cache_answer_of(&plan, rq, rs, 0).kind, CACHE_ANSWER_UNSATISFIABLE);
	rq = request("GET /|Range: bytes=0-");
	assert_int_equal(cache_answer_of(&plan, rq, rs, 0).kind, CACHE_ANSWER_UNSATISFIABLE);
	a.kind = CACHE_ANSWER_RANGE;
	a.first = 5;
	a.last = 9;
	assert_true(str_eq(cache_answer_content_range(arena, &a, 100), STR("bytes 5-9/100")));
	a.kind = CACHE_ANSWER_UNSATISFIABLE;
	assert_true(str_eq(cache_answer_content_range(arena, &a, 100), STR("bytes */100")));
	assert_true(cache_answer_in_304(FIELD_ETAG) && cache_answer_in_304(FIELD_OTHER));
	assert_false(cache_answer_in_304(FIELD_CONTENT_TYPE));
	assert_true(cache_policy_leaves_out(FIELD_IF_NONE_MATCH));
	assert_false(cache_policy_leaves_out(FIELD_IF_MATCH) || cache_policy_leaves_out(FIELD_RANGE));
}

/* --- a 304 ----------------------------------------------------------------------------------- */

static struct str
print_fields(const struct message *m)
{
	struct str out = STR("");
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		out = arena_printf(arena, "%.*s%s%.*s: %.*s", STR_ARG(out), i > 0 ? "|" : "",
		    STR_ARG(m->fields[i].name), STR_ARG(m->fields[i].value));
	return out;
}

static void
test_merge(void **state)
{
	static const struct { const char *stored, *fresh, *want; } rows[] = {
		{ "200|ETag: \"a\"|Content-Type: x|Date: 1|X-A: 1|X-A: 2", "304|x-a: 3|Date: 2",
		    "ETag: \"a\"|Content-Type: x|x-a: 3|Date: 2" },
		{ "200|Content-Length: 5|Content-Encoding: br|Date: 1",
		    "304|Content-Length: 0|Content-Encoding: gzip|Content-Type: y|Content-Range: z|Date: 2",
		    "Content-Length: 5|Content-Encoding: br|Date: 2" },
		{ "200|Age: 50|Date: 1", "304", "Date: now" },
		{ "200|Age: 50|Date: 1", "304|Age: 3|Date: 2", "Age: 3|Date: 2" },
		{ "200|Cache-Control: max-age=1|Expires: 5", "304|Cache-Control: max-age=9|Connection: x|"
		  "Keep-Alive: 5|Transfer-Encoding: chunked", "Expires: 5|Cache-Control: max-age=9|Date: now" },
		{ "200|Vary: a", "304|Vary: b|Set-Cookie: c|Set-Cookie: d",
		    "Vary: b|Set-Cookie: c|Set-Cookie: d|Date: now" },
	};
	struct message *stored, *out;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		stored = response(rows[i].stored);
		out = cache_policy_merge(arena, stored, response(rows[i].fresh), STR("now"));
		if (!str_eq(print_fields(out), str_of(rows[i].want)))
			fail_msg("<%s> + <%s>: <%.*s>", rows[i].stored, rows[i].fresh,
			    STR_ARG(print_fields(out)));
		assert_int_equal(out->status, 200);
		assert_true(str_eq(print_fields(stored), str_of(rows[i].stored + 4)));
	}
}

static void
test_is_refreshed_by(void **state)
{
	static const struct { const char *stored, *fresh; bool want; } rows[] = {
		{ "200|ETag: \"a\"", "304|ETag: \"a\"", true }, { "200|ETag: \"a\"", "304|ETag: \"b\"", false },
		{ "200|ETag: W/\"a\"", "304|ETag: \"a\"", false },
		{ "200|ETag: \"a\"", "304|ETag: W/\"a\"", true }, { "200", "304|ETag: W/\"a\"", false },
		{ "200", "304|ETag: \"a\"", false }, { "200|ETag: \"a\"", "304", true },
		{ "200|Last-Modified: x", "304|Last-Modified: x", true },
		{ "200|Last-Modified: x", "304|Last-Modified: y", false },
		{ "200|ETag: \"a\"|Last-Modified: x", "304|ETag: \"a\"|Last-Modified: y", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (cache_policy_is_refreshed_by(response(rows[i].stored), response(rows[i].fresh)) !=
		    rows[i].want)
			fail_msg("<%s> <%s>", rows[i].stored, rows[i].fresh);
}

/* --- unsafe methods -------------------------------------------------------------------------- */

static void
test_invalidates(void **state)
{
	static const struct { const char *request, *response, *want; } rows[] = {
		{ "GET /a", "200", "" }, { "OPTIONS /a", "200|Location: /b", "" },
		{ "PUT /a?x", "200", "/a?x" }, { "DELETE /a", "204", "/a" }, { "PROPFIND /a", "207", "/a" },
		{ "POST /a", "201|Location: /b", "/a /b" }, { "PUT /a", "404", "" }, { "PUT /a", "500", "" },
		{ "PUT /a", "302|Location: http://h/b?y#z", "/a /b?y" },
		{ "PUT /a", "200|Location: /b|Content-Location: /c", "/a /b /c" },
		{ "PUT /a", "200|Location: //H:80/b", "/a /b" }, { "PUT /a", "200|Location: http://h", "/a " },
		{ "PUT /a", "200|Location: http://h?q", "/a ?q" },
		{ "PUT /a", "200|Location: http://other/b", "/a" },
		{ "PUT /a", "200|Location: http://h.other/b", "/a" },
		{ "PUT /a", "200|Location: https://h/b", "/a" }, { "PUT /a", "200|Location: ftp://h/b", "/a" },
		{ "PUT /a", "200|Location: b", "/a" }, { "PUT /a", "200|Location:", "/a" },
		{ "PUT /a", "200|Location: http:/b", "/a" }, { "PUT http://h/a?x", "200", "/a?x" },
		{ "PUT http://h", "200", "" },
	};
	struct str paths[CACHE_INVALID_MAX];
	struct cache_conf conf = conf_of();
	struct str got;
	size_t i, j, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		n = cache_policy_invalidates(&conf, request(rows[i].request), response(rows[i].response),
		    STR("http"), paths);
		got = STR("");
		for (j = 0; j < n; j++)
			got = arena_printf(arena, "%.*s%s%.*s", STR_ARG(got), j > 0 ? " " : "",
			    STR_ARG(paths[j]));
		if (!str_eq(got, str_of(rows[i].want)))
			fail_msg("<%s> <%s>: <%.*s>", rows[i].request, rows[i].response, STR_ARG(got));
	}
	conf.has_post = true;
	assert_int_equal(cache_policy_invalidates(&conf, request("POST /a"), response("200"), STR("http"),
	    paths), 0);
	assert_int_equal(cache_policy_invalidates(&conf, request("PUT /a"), response("200"), STR("http"),
	    paths), 1);
}

/* --- Cache-Status ---------------------------------------------------------------------------- */

static void
test_status(void **state)
{
	static const struct { struct cache_status status; const char *want; } rows[] = {
		{ { .hit = true, .has_ttl = true, .ttl = 376 }, "weir; hit; ttl=376" },
		{ { .hit = true, .has_ttl = true, .ttl = -30, .stored = true }, "weir; hit; ttl=-30" },
		{ { .hit = true }, "weir; hit" },
		{ { .forward = CACHE_FORWARD_URI_MISS, .stored = true, .collapsed = true },
		    "weir; fwd=uri-miss; stored; collapsed" },
		{ { .forward = CACHE_FORWARD_STALE, .forward_status = 304, .stored = true },
		    "weir; fwd=stale; fwd-status=304; stored" },
		{ { .forward = CACHE_FORWARD_BYPASS, .why = CACHE_WHY_EXPECT },
		    "weir; fwd=bypass; detail=expect" },
		{ { .forward = CACHE_FORWARD_METHOD }, "weir; fwd=method" },
		{ { .forward = CACHE_FORWARD_VARY_MISS }, "weir; fwd=vary-miss" },
		{ { .forward = CACHE_FORWARD_MISS }, "weir; fwd=miss" },
		{ { .forward = CACHE_FORWARD_REQUEST }, "weir; fwd=request" },
		{ { .forward = CACHE_FORWARD_PARTIAL }, "weir; fwd=partial" },
		{ { .hit = true, .has_ttl = true, .ttl = INT64_MIN, .why = CACHE_WHY_REQUEST_NO_STORE },
		    "weir; hit; ttl=-9223372036854775808; detail=request-no-store" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct str got = cache_status_text(arena, &rows[i].status);

		if (!str_eq(got, str_of(rows[i].want)))
			fail_msg("<%.*s>, not <%s>", STR_ARG(got), rows[i].want);
	}
	for (i = 1; i < CACHE_WHY_COUNT; i++)
		assert_true(field_is_token(cache_why_word((enum cache_why)i)));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_control), cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_lookup_of_post), cmocka_unit_test(test_when_requested),
		cmocka_unit_test(test_lifetimes), cmocka_unit_test(test_valid_any),
		cmocka_unit_test(test_store_by_request), cmocka_unit_test(test_serving),
		cmocka_unit_test(test_stale_on), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_merge), cmocka_unit_test(test_is_refreshed_by),
		cmocka_unit_test(test_invalidates), cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests_name("cache_policy", tests, set_up, tear_down);
}
