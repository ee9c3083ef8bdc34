/* SPDX-License-Identifier: MIT */
/*
 * Keys: pairs of requests that must differ and pairs that must agree.  A request is written
 * "POST /v1?x|Host: h|Content-Type: application/json||{\"a\":1}", with "!" before it over TLS, "~"
 * by a trusted proxy.
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
#include "cache/cache_json.h"
#include "cache/cache_key.h"
#include "config/config.h"
#include "http/h1_parser.h"
#include "policy/forward.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define JSON		"|Content-Type: application/json||"

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	clock_set(1000000, 1700000000LL * 1000000);
	cache_key_init();
	arena = arena_new(4096);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	cache_key_fini();
	return 0;
}

/* --- a request as the exchange would know it ------------------------------------------------- */

struct side {
	struct config         *config;
	struct forward_facts   forward;
	struct cache_key_facts facts;
	struct str             body;
};

static struct config *
read_config(const char *cache, const char *route)
{
	struct report report;
	struct config *conf;
	struct str text = arena_printf(arena, "listen: 80\nupstreams: {up: {servers: [127.0.0.1:1]},"
	    " hashed: {balance: hash, hash: \"header:X-Chat\", servers: [127.0.0.1:1]}}\n"
	    "limits: {l: {rate: 1/s}}\ncaches: {c: {methods: [GET, HEAD, POST], %s}}\n"
	    "routes: [{path: /other, upstream: hashed, limit: l},"
	    " {path: /o2, upstream: up}, {path: /, cache: c, %s}]\n", cache,
	    strstr(route, "upstream:") != NULL ? route
	    : arena_printf(arena, "upstream: up%s%s", *route != '\0' ? ", " : "", route).p);

	report_init(&report);
	conf = config_parse(text, "test", &report);
	if (conf == NULL)
		report_print(&report, stderr);
	report_fini(&report);
	assert_non_null(conf);
	return conf;
}

static struct str
expand(void *arg, const struct template *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		assert_true(t->parts[i].var != TEMPLATE_REQUEST_ID && t->parts[i].var != TEMPLATE_SERVER);
	return template_expand(t, arg, arena);
}

static struct message *
parse(struct str text)
{
	static const struct h1_limits limits = { 65536, 32768, 200, false };
	struct h1_parser p;
	enum h1_event event;

	h1_parser_init(&p, true, &limits);
	h1_parser_begin(&p, arena, false);
	event = h1_parser_next(&p, &text);
	if (event != H1_HEAD)
		fail_msg("not a request: %.*s", STR_ARG(text));
	return p.message;
}

/* The head as it would come, with a Host and a Content-Length where there is none. */
static struct str
write_head(struct str text, size_t body)
{
	struct str head = STR(""), line;
	bool has_host = false;
	ptrdiff_t at;

	while (text.len > 0) {
		at = str_find(text, '|');
		line = at < 0 ? text : str_first(text, (size_t)at);
		text = at < 0 ? STR_NONE : str_from(text, (size_t)at + 1);
		has_host |= str_starts(line, STR("Host:"));
		head = arena_printf(arena, "%.*s%.*s%s\r\n", STR_ARG(head), STR_ARG(line),
		    head.len == 0 ? " HTTP/1.1" : "");
	}
	if (!has_host)
		head = arena_printf(arena, "%.*sHost: h\r\n", STR_ARG(head));
	if (body > 0)
		head = arena_printf(arena, "%.*sContent-Length: %zu\r\n", STR_ARG(head), body);
	return arena_printf(arena, "%.*s\r\n", STR_ARG(head));
}

static void
make_side(struct side *s, struct config *conf, const char *text)
{
	bool https = false, trusted = false;
	const char *end;
	struct str head;

	for (; *text == '!' || *text == '~'; text++) {
		https |= *text == '!';
		trusted |= *text == '~';
	}
	end = strstr(text, "||");
	s->body = end != NULL ? str_of(end + 2) : STR_NONE;
	head = write_head(end != NULL ? str_make(text, (size_t)(end - text)) : str_of(text), s->body.len);
	memset(&s->forward, 0, sizeof(s->forward));
	s->config = conf;
	s->forward.request = s->facts.request = parse(head);
	s->forward.config = conf;
	s->forward.route = s->facts.route = &conf->routes[2];
	s->forward.scheme = s->facts.scheme = https ? STR("https") : STR("http");
	s->forward.client_ip = s->facts.client_ip = STR("192.0.2.1");
	s->forward.peer_ip = s->facts.peer_ip = STR("192.0.2.1");
	s->forward.peer_is_trusted = s->facts.peer_is_trusted = trusted;
	s->forward.local_port = s->facts.local_port = 80;
	s->facts.expand = expand;
	s->facts.arg = &s->forward;
}

static struct cache_key
key_of(const struct side *s)
{
	struct cache_key key;
	enum cache_why why = cache_key_make(&s->facts, s->body, &key);

	if (why != CACHE_WHY_NONE)
		fail_msg("no key for %.*s: %s", STR_ARG(s->body), cache_why_word(why).p);
	return key;
}

/* --- pairs ----------------------------------------------------------------------------------- */

struct pair {
	const char *cache, *route;	/* what else is configured */
	const char *a, *b;
	bool        same;
};

static void
run_pairs(const struct pair *pairs, size_t n)
{
	struct side a, b;
	struct cache_key key_a, key_b;
	size_t i;

	for (i = 0; i < n; i++) {
		struct config *conf = read_config(pairs[i].cache, pairs[i].route);

		make_side(&a, conf, pairs[i].a);
		make_side(&b, conf, pairs[i].b);
		key_a = key_of(&a);
		key_b = key_of(&b);
		if (cache_key_eq(&key_a, &key_b) != pairs[i].same)
			fail_msg("%s / %s: these must %s: <%s> <%s>", pairs[i].cache, pairs[i].route,
			    pairs[i].same ? "agree" : "differ", pairs[i].a, pairs[i].b);
		if (pairs[i].same)
			assert_true(cache_key_hash(&key_a) == cache_key_hash(&key_b));
		config_unref(conf);
	}
	arena_reset(arena);
}

#define SAME(a, b)	{ "", "", a, b, true }
#define DIFFER(a, b)	{ "", "", a, b, false }

static void
test_targets(void **state)
{
	static const struct pair pairs[] = {
		SAME("GET /a", "GET /a"), SAME("GET /a", "HEAD /a"), DIFFER("GET /a", "GET /b"),
		DIFFER("GET /a", "GET /A"), DIFFER("GET /a", "GET /a/"), DIFFER("GET /a", "GET /a?"),
		DIFFER("GET /a?x=1&y=2", "GET /a?y=2&x=1"), DIFFER("GET /a?x", "GET /a?x="),
		DIFFER("GET /a", "GET /%61"), DIFFER("GET /%2f", "GET /%2F"), DIFFER("GET //a", "GET /a"),
		DIFFER("GET /a/../b", "GET /b"), DIFFER("GET /a?b", "GET /a%3Fb"),
		SAME("GET http://h/a?x|Host: h", "GET /a?x|Host: h"),
		SAME("GET http://h|Host: h", "GET /|Host: h"),
		SAME("GET http://h?x|Host: h", "GET /?x|Host: h"),
		DIFFER("GET /a", "POST /a"), DIFFER("GET /a", "POST /a||x"),
	};

	(void)state;
	run_pairs(pairs, COUNT(pairs));
}

static void
test_origins(void **state)
{
	static const struct pair pairs[] = {
		SAME("GET /|Host: h", "GET /|Host: H"), DIFFER("GET /|Host: h", "GET /|Host: h.x"),
		SAME("GET /|Host: h", "GET /|Host: h:80"), DIFFER("GET /|Host: h", "GET /|Host: h:8080"),
		DIFFER("GET /|Host: h", "GET /|Host: h:443"), SAME("!GET /|Host: h", "!GET /|Host: h:443"),
		DIFFER("!GET /|Host: h", "!GET /|Host: h:80"), DIFFER("GET /", "!GET /"),
		DIFFER("GET /|Host: h:1", "GET /|Host: h:01"), DIFFER("GET /|Host: h", "GET /|Host: h."),
		SAME("GET /|Host: [::1]:80", "GET /|Host: [::1]"),
		DIFFER("GET /|Host: [::1]", "GET /|Host: [::2]"),
		/* What a trusted proxy says of the outside. */
		SAME("GET /", "GET /|X-Forwarded-Proto: https"),
		DIFFER("~GET /", "~GET /|X-Forwarded-Proto: https"),
		DIFFER("~GET /|X-Forwarded-Proto: http", "~GET /|X-Forwarded-Proto: https"),
		SAME("~GET /|X-Forwarded-Proto: https", "~GET /|X-Forwarded-Proto: HTTPS"),
		SAME("GET /", "GET /|X-Forwarded-Host: evil"),
		DIFFER("~GET /|X-Forwarded-Host: a", "~GET /|X-Forwarded-Host: b"),
		DIFFER("~GET /|X-Forwarded-Port: 1", "~GET /|X-Forwarded-Port: 2"),
		DIFFER("~GET /|X-Forwarded-Port: 1", "~GET /|X-Forwarded-Host: 1"),
		SAME("GET /", "GET /|Forwarded: host=evil"),
		SAME("~GET /|Forwarded: for=1.2.3.4;proto=https", "~GET /|Forwarded: proto=https;for=4.4.4.4"),
		DIFFER("~GET /|Forwarded: for=1.2.3.4;proto=https", "~GET /|Forwarded: for=1.2.3.4"),
		DIFFER("~GET /|Forwarded: host=\"a\"", "~GET /|Forwarded: host=\"b\""),
		SAME("~GET /|X-Forwarded-For: 1.2.3.4", "~GET /|X-Forwarded-For: 4.4.4.4"),
		SAME("GET /|X-Real-IP: 1.1.1.1", "GET /|X-Request-Id: 7"),
		/* What weir passes on from anybody. */
		DIFFER("GET /", "GET /|X-Forwarded-Scheme: http"),
		DIFFER("GET /", "GET /|x-forwarded-prefix: /evil"), DIFFER("GET /", "GET /|X-Host: evil"),
		DIFFER("GET /", "GET /|Front-End-Https: on"),
		DIFFER("GET /|X-Forwarded-User: a", "GET /|X-Forwarded-User: b"),
	};

	(void)state;
	run_pairs(pairs, COUNT(pairs));
}

/* Fields of GET count by Vary, key_headers and rules only. */
static void
test_fields_of_get(void **state)
{
	static const struct pair pairs[] = {
		SAME("GET /", "GET /|Cookie: a=1"), SAME("GET /", "GET /|Accept: text/html|User-Agent: x"),
		SAME("GET /", "GET /|Authorization: Bearer x"),
		SAME("GET /", "GET /|Cache-Control: max-age=1|Connection: close"),
		{ "key_headers: [x-tenant]", "", "GET /|X-Tenant: a", "GET /|X-Tenant: b", false },
		{ "key_headers: [x-tenant]", "", "GET /|X-Tenant: a", "GET /|x-tenant: a", true },
		{ "key_headers: [x-tenant]", "", "GET /|X-Tenant:", "GET /", false },
		{ "key_headers: [x-tenant]", "", "GET /|X-Tenant: a|X-Tenant: b",
		    "GET /|X-Tenant: b|X-Tenant: a", false },
		{ "key_headers: [a, b]", "", "GET /|A: 1", "GET /|B: 1", false },
		{ "key_headers: [a, b]", "", "GET /|A: 1|B: 2", "GET /|B: 2|A: 1", true },
		{ "key_headers: [Cookie]", "", "GET /|Cookie: a=1", "GET /|Cookie: a=2", false },
		{ "", "request_headers: {set: {X-T: $http_x_tenant}}", "GET /|X-Tenant: a",
		    "GET /|X-Tenant: b", false },
		{ "", "request_headers: {add: {X-T: \"a $http_x_tenant z\"}}", "GET /|X-Tenant: a",
		    "GET /|X-Tenant: b", false },
		{ "", "request_headers: {set: {X-T: $http_x_tenant}}", "GET /|X-Tenant: a",
		    "GET /|X-Tenant: a|X-Other: b", true },
		{ "", "request_headers: {set: {A: $http_a, B: $http_b}}", "GET /|A: 1", "GET /|B: 1",
		    false },
		{ "", "request_headers: {set: {X-Real-IP: $http_a, X-T: \"$request_id $server\"}}",
		    "GET /|A: 1", "GET /|A: 2", true },
	};

	(void)state;
	run_pairs(pairs, COUNT(pairs));
}

static void
test_fields_of_post(void **state)
{
	static const struct pair pairs[] = {
		SAME("POST /" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /" JSON "1", "POST /|Content-Type: application/vnd.x+json||1"),
		DIFFER("POST /" JSON "1", "POST /|Content-Type: text/plain||1"),
		DIFFER("POST /" JSON "1", "POST /||1"),
		DIFFER("POST /" JSON "1", "POST /|Content-Encoding: gzip" JSON "1"),
		DIFFER("POST /|Content-Encoding: gzip" JSON "1", "POST /|Content-Encoding: br" JSON "1"),
		DIFFER("POST /|Content-Language: de" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|Content-Type: multipart/x; boundary=a||1",
		    "POST /|Content-Type: multipart/x; boundary=A||1"),
		DIFFER("POST /|Content-Type: application/json; charset=utf-16||1", "POST /" JSON "1"),
		/* who asks */
		DIFFER("POST /|Authorization: Bearer a" JSON "1", "POST /|Authorization: Bearer b" JSON "1"),
		DIFFER("POST /|Authorization: Bearer a" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|Cookie: a=1" JSON "1", "POST /|Cookie: a=2" JSON "1"),
		DIFFER("POST /|X-Api-Key: a" JSON "1", "POST /|x-api-key: b" JSON "1"),
		DIFFER("POST /|api-key: a" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|X-Session-Id: a" JSON "1", "POST /|X-Session-Id: b" JSON "1"),
		DIFFER("POST /|OpenAI-Organization: a" JSON "1", "POST /|OpenAI-Organization: b" JSON "1"),
		DIFFER("POST /|X-Tenant: a" JSON "1", "POST /|X-Tenant: b" JSON "1"),
		DIFFER("POST /|CF-Access-Authenticated-User-Email: a" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|X-Api-Key: a" JSON "1", "POST /|X-Api-Token: a" JSON "1"),
		DIFFER("POST /|Idempotency-Key: a" JSON "1", "POST /|Idempotency-Key: b" JSON "1"),
		{ "share_across_clients: true", "", "POST /|Authorization: a|Cookie: b|X-Api-Key: 1" JSON "1",
		    "POST /" JSON "1", true },
		{ "share_across_clients: true", "", "POST /|OpenAI-Beta: a" JSON "1", "POST /" JSON "1",
		    false },
		{ "share_across_clients: true, key_headers: [authorization]", "",
		    "POST /|Authorization: a" JSON "1", "POST /" JSON "1", false },
		SAME("POST /|X-Chat: a" JSON "1", "POST /|X-Chat: b" JSON "1"),
		{ "", "upstream: hashed", "POST /|X-Chat: a" JSON "1", "POST /|x-chat: b" JSON "1", false },
		/* what is meant */
		SAME("POST /|Accept: */*" JSON "1", "POST /|Accept: application/json" JSON "1"),
		SAME("POST /|Accept: */*" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|Accept: text/event-stream" JSON "1", "POST /" JSON "1"),
		DIFFER("POST /|Accept: */*||1", "POST /||1"),
		SAME("POST /|User-Agent: a|Referer: b|Origin: c|Accept-Language: d" JSON "1",
		    "POST /" JSON "1"),
		SAME("POST /|X-Stainless-Lang: js|traceparent: 00-1-2-01|Sec-Fetch-Mode: cors|DNT: 1" JSON "1",
		    "POST /" JSON "1"),
	};

	(void)state;
	run_pairs(pairs, COUNT(pairs));
}

static void
test_bodies(void **state)
{
	static const struct pair pairs[] = {
		SAME("POST /" JSON "{\"a\":1,\"b\":2}", "POST /" JSON " { \"b\" : 2.0 , \"a\":10e-1 } "),
		DIFFER("POST /" JSON "{\"a\":1}", "POST /" JSON "{\"a\":\"1\"}"),
		DIFFER("POST /||{\"a\":1,\"b\":2}", "POST /||{\"b\":2,\"a\":1}"),
		DIFFER("POST /||a", "POST /||b"), SAME("POST /||a", "POST /||a"),
		DIFFER("POST /|Content-Type: text/json||{\"a\":1}", "POST /|Content-Type: text/json||{ \"a\":1}"),
		SAME("POST /|Content-Type: application/problem+json; charset=UTF-8||{ }",
		    "POST /|Content-Type: application/problem+json; charset=UTF-8||{}"),
		/* compressed: bytes */
		DIFFER("POST /|Content-Encoding: br" JSON "{ }", "POST /|Content-Encoding: br" JSON "{}"),
		SAME("POST /" JSON "{\"a\":1,\"user\":\"x\"}", "POST /" JSON "{\"stream_options\":{},\"a\":1}"),
		DIFFER("POST /" JSON "{\"a\":{\"user\":1}}", "POST /" JSON "{\"a\":{}}"),
		DIFFER("POST /" JSON "[{\"user\":1}]", "POST /" JSON "[{}]"),
		{ "ignore_fields: []", "", "POST /" JSON "{\"user\":1}", "POST /" JSON "{}", false },
		{ "ignore_fields: [\"a\\\"\\u00e9\"]", "", "POST /" JSON "{\"a\\\"\\u00e9\":1}",
		    "POST /" JSON "{}", true },
		DIFFER("POST /" JSON "{\"stream\":true}", "POST /" JSON "{\"stream\":false}"),
		DIFFER("POST /" JSON "{\"seed\":10000000000000001}", "POST /" JSON "{\"seed\":10000000000000002}"),
	};

	(void)state;
	run_pairs(pairs, COUNT(pairs));
}

/* Two routes, two configurations: one request. */
static void
test_routes_and_rules(void **state)
{
	static const struct { const char *cache_a, *route_a, *cache_b, *route_b; bool same; } rows[] = {
		{ "", "", "", "", true }, { "", "", "", "upstream: hashed", false },
		{ "", "", "", "max_body: 1MB, response_headers: {set: {A: b}}, name: x, limit: l", true },
		{ "", "request_headers: {set: {A: b}}", "", "", false },
		{ "", "request_headers: {set: {A: b}}", "", "request_headers: {set: {A: c}}", false },
		{ "", "request_headers: {set: {A: b}}", "", "request_headers: {add: {A: b}}", false },
		{ "", "request_headers: {remove: [A]}", "", "request_headers: {remove: [B]}", false },
		{ "size: 200MB, valid: {200: 1m}", "", "", "", true },
		{ "share_across_clients: true", "", "", "", false },
		{ "ignore_fields: [user]", "", "", "", false },
		{ "ignore_fields: [a, b]", "", "ignore_fields: [b, a]", "", false },
	};
	struct side a, b;
	struct cache_key key_a, key_b;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct config *x = read_config(rows[i].cache_a, rows[i].route_a);
		struct config *y = read_config(rows[i].cache_b, rows[i].route_b);

		make_side(&a, x, "POST /" JSON "{\"a\":1}");
		make_side(&b, y, "POST /" JSON "{\"a\":1}");
		key_a = key_of(&a);
		key_b = key_of(&b);
		if (cache_key_eq(&key_a, &key_b) != rows[i].same)
			fail_msg("row %zu", i);
		config_unref(x);
		config_unref(y);
	}
	arena_reset(arena);
}

static void
test_no_key(void **state)
{
	static const struct { const char *request; enum cache_why why; } rows[] = {
		{ "POST /" JSON "{\"a\":1,\"a\":1}", CACHE_WHY_JSON_DUPLICATE },
		{ "POST /" JSON "{\"user\":1,\"user\":1}", CACHE_WHY_JSON_DUPLICATE },
		{ "POST /" JSON "{\"a\":1} x", CACHE_WHY_JSON_INVALID },
		{ "POST /|Content-Type: application/json", CACHE_WHY_JSON_INVALID },
		{ "POST /" JSON "-0", CACHE_WHY_JSON_NUMBER },
		{ "POST /" JSON "\xff", CACHE_WHY_JSON_INVALID },
		{ "POST /||0123456789012345678901234567890123", CACHE_WHY_BODY_TOO_LARGE },
	};
	struct config *conf = read_config("max_body: 33", "");
	struct cache_key key;
	struct side s;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		make_side(&s, conf, rows[i].request);
		assert_int_equal(cache_key_make(&s.facts, s.body, &key), rows[i].why);
	}
	config_unref(conf);
	arena_reset(arena);
}

static void
test_uris(void **state)
{
	struct config *conf = read_config("", "");
	struct cache_key key;
	struct side s;

	(void)state;
	make_side(&s, conf, "GET /a?x|Host: Ex.org:8080");
	key = key_of(&s);
	assert_true(key.uri == cache_key_uri(STR("ex.org"), STR("/a?x")));
	assert_true(key.uri == cache_key_uri(STR("EX.org:443"), STR("/a?x")));
	assert_true(key.uri != cache_key_uri(STR("ex.org"), STR("/a")));
	assert_true(key.uri != cache_key_uri(STR("ex.com"), STR("/a?x")));
	assert_true(cache_key_uri(STR("h"), STR("")) == cache_key_uri(STR("h"), STR("/")));
	assert_true(cache_key_uri(STR("h"), STR("?x")) == cache_key_uri(STR("h"), STR("/?x")));
	assert_true(cache_key_uri(STR("h"), STR("/?")) != cache_key_uri(STR("h"), STR("/")));
	make_side(&s, conf, "GET http://[::1]:80?x|Host: [::1]:80");
	assert_true(key_of(&s).uri == cache_key_uri(STR("[::1]"), STR("/?x")));
	config_unref(conf);
	arena_reset(arena);
}

/* --- Vary ------------------------------------------------------------------------------------ */

static struct message *
response(const char *fields)
{
	struct message *m = message_new(arena, 4);
	struct str rest = str_of(fields), name, line;
	ptrdiff_t at;

	m->status = 200;
	while (rest.len > 0) {
		at = str_find(rest, '|');
		line = at < 0 ? rest : str_first(rest, (size_t)at);
		rest = at < 0 ? STR_NONE : str_from(rest, (size_t)at + 1);
		at = str_find(line, ':');
		name = str_first(line, (size_t)at);
		message_add(m, field_lookup(name), name, str_trim(str_from(line, (size_t)at + 1)));
	}
	return m;
}

static void
test_vary_lists(void **state)
{
	static const struct { const char *fields, *want; } rows[] = {
		{ "", "" }, { "Vary:", "" }, { "Vary: Accept", "accept" },
		{ "Vary: b, A ,c|vary: a,B", "a,b,c" }, { "Content-Encoding: gzip", "accept-encoding" },
		{ "Content-Encoding: gzip|Vary: Accept-Encoding, Origin", "accept-encoding,origin" },
		{ "Vary: *", NULL }, { "Vary: a, *", NULL }, { "Vary: a|Vary: *", NULL },
		{ "Vary: a b", NULL }, { "Vary: \"a\"", NULL }, { "Vary: x-request-id", NULL },
		{ "Vary: X-Trace", NULL }, { "Vary: x-other", "x-other" },
		{ "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p" },
		{ "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL },
	};
	struct config *conf = read_config("",
	    "request_headers: {set: {X-Trace: \"a-$request_id\", X-Other: $http_a}}");
	struct str vary;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		bool ok = cache_key_vary(arena, &conf->routes[2], response(rows[i].fields), &vary);

		if (ok != (rows[i].want != NULL) || (ok && !str_eq(vary, str_of(rows[i].want))))
			fail_msg("%s: %d <%.*s>", rows[i].fields, ok, STR_ARG(vary));
	}
	config_unref(conf);
	arena_reset(arena);
}

static void
test_variants(void **state)
{
	static const struct { const char *vary, *route, *a, *b; bool same; } rows[] = {
		{ "", "", "GET /|Accept: a", "GET /|Accept: b", true },
		{ "accept", "", "GET /|Accept: a", "GET /|Accept: b", false },
		{ "accept", "", "GET /|Accept: a,b", "GET /|Accept: A , b", true },
		{ "accept", "", "GET /|Accept: a,b", "GET /|Accept: b,a", false },
		{ "accept", "", "GET /|Accept: a,b", "GET /|Accept: a|accept: b", true },
		{ "accept", "", "GET /|Accept:", "GET /", true },
		{ "accept-encoding", "", "GET /|Accept-Encoding: gzip", "GET /", false },
		{ "accept,accept-encoding", "", "GET /|Accept: x", "GET /|Accept-Encoding: x", false },
		{ "cookie", "", "GET /|Cookie: a=1", "GET /|Cookie: A=1", false },
		{ "x-a", "", "GET /|X-A: a, b", "GET /|X-A: a,b", false },
		{ "x-a", "", "GET /|X-A: a|X-A: b", "GET /|X-A: a, b", false },
		{ "x-a", "", "GET /|X-A:", "GET /", false },
		{ "x-a", "", "GET /|X-A: 1|X-B: 1", "GET /|X-A: 1|X-B: 2", true },
		{ "host", "", "GET /|Host: h", "GET /|Host: H", false },
		{ "x-forwarded-proto", "", "GET /|X-Forwarded-Proto: https",
		    "~GET /|X-Forwarded-Proto: https", false },
		{ "x-forwarded-proto", "", "GET /", "!GET /", false },
		{ "x-real-ip", "", "GET /", "GET /", true },
		{ "x-real-ip", "request_headers: {set: {X-Real-IP: $http_a}}", "GET /|A: 1", "GET /|A: 2",
		    false },
		{ "x-a", "request_headers: {set: {X-A: $http_b}}", "GET /|B: 1", "GET /|B: 2", false },
	};
	struct cache_variant va, vb;
	struct side a, b;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct config *conf = read_config("", rows[i].route);

		make_side(&a, conf, rows[i].a);
		make_side(&b, conf, rows[i].b);
		cache_key_variant(&a.facts, str_of(rows[i].vary), &va);
		cache_key_variant(&b.facts, str_of(rows[i].vary), &vb);
		if (cache_variant_eq(&va, &vb) != rows[i].same)
			fail_msg("Vary: %s of <%s> <%s>", rows[i].vary, rows[i].a, rows[i].b);
		/* A client of another address sees another X-Real-IP. */
		if (strcmp(rows[i].vary, "x-real-ip") == 0) {
			b.facts.client_ip = STR("192.0.2.2");
			cache_key_variant(&b.facts, str_of(rows[i].vary), &vb);
			assert_false(cache_variant_eq(&va, &vb));
		}
		config_unref(conf);
	}
	arena_reset(arena);
}

/* --- canonical JSON -------------------------------------------------------------------------- */

static void
test_canonical(void **state)
{
	static const struct { const char *text, *want; } rows[] = {
		{ "1", "1" }, { "100", "1e2" }, { "1.0", "1" }, { "1e0", "1" }, { "10E-1", "1" },
		{ "0", "0" }, { "0.0", "0" }, { "0e5", "0" }, { "-1.50", "-15e-1" }, { "0.001", "1e-3" },
		{ "1e2", "1e2" }, { "1E+2", "1e2" }, { "100e-2", "1" }, { "10.05", "1005e-2" },
		{ "12345678901234567890123456789", "12345678901234567890123456789" },
		{ "1e299", "1e299" }, { "1e-300", "1e-300" }, { "0.1e00003", "1e2" },
		{ "true", "true" }, { " null ", "null" }, { "\"\"", "\"\"" },
		{ "\"\\u0041\\/\\b\\n\\u0000\\u001f\\u007f\"", "\"A/\\h\\j\\`\\\x7f\x7f\"" },
		{ "\"\\u00e9\\uD83D\\ude00\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "\"\\\"\\\\\\u0022\\u005c\"", "\"\\\"\\\\\\\"\\\\\"" },
		{ "[]", "[]" }, { "[1,[],{}]", "[1,[],{},]" }, { "{}", "{}" },
		{ "{\"b\":[2],\"a\":{\"d\":1,\"c\":2}}", "{\"a\":{\"c\":2,\"d\":1,},\"b\":[2,],}" },
		{ "{\"aa\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"aa\":1,}" },
		{ "{\"x\":9,\"b\":1}", "{\"b\":1,}" }, { "{\"\\u0078\":9}", "{}" },
		{ "{\"a\":{\"x\":9}}", "{\"a\":{\"x\":9,},}" },
		{ "{\"longest-name\":1,\"longest-nama\":2,\"longest-na\":3}",
		    "{\"longest-na\":3,\"longest-nama\":2,\"longest-name\":1,}" },
	};
	static const struct str ignore[] = { { "y", 1 }, { "x", 1 } };
	char *out;
	size_t i, len;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(cache_json_canonical(str_of(rows[i].text), ignore, 2, &out, &len), 0);
		if (!str_eq(str_make(out, len), str_of(rows[i].want)))
			fail_msg("%s: <%.*s> not <%s>", rows[i].text, (int)len, out, rows[i].want);
		free(out);
	}
}

static void
test_not_canonical(void **state)
{
	static const char *const invalid[] = { "", " ", "x", "{", "[", "\"", "{\"a\"}", "{\"a\":}",
		"{\"a\":1,}", "[1,]", "[,1]", "{,}", "{a:1}", "{1:1}", "{\"a\" 1}", "[1 2]", "1 2", "[1]]",
		"01", "-", "-a", "+1", ".5", "1.", "1.e2", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity",
		"tru", "truex", "TRUE", "nul", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"",
		"\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\udc00\"", "\"\t\"",
		"\"\n\"", "\"\x80\"", "\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xc3\"", "\"\xe0\x9f\xbf\"",
		"\"\xed\xa0\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"",
		"\"\xe2\x82\"", "\xef\xbb\xbf""1", "\"\\\"", "'a'", "1\f", "/**/1", "[1}", "{\"a\":1]",
		"\x01" };
	static const char *const numbers[] = { "-0", "-0.0", "-0e1", "1e301", "1e-301", "1e999999999999",
		"-1e400", "1e-400", "0e400" };
	static const char *const twice[] = { "{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":2,\"\\u0061\":1}",
		"[{\"b\":1,\"a\":1,\"b\":2}]", "{\"x\":1,\"x\":1}", "{\"x\":1,\"\\u0078\":2}",
		"{\"c\":{\"x\":1,\"x\":2}}" };
	static const struct str ignore = { "x", 1 };
	char *out = NULL;
	size_t i, len;

	(void)state;
#define REFUSED(table, why)								\
	for (i = 0; i < COUNT(table); i++) {						\
		if (cache_json_canonical(str_of(table[i]), &ignore, 1, &out, &len) != why)	\
			fail_msg("not refused as it should be: <%s>", table[i]);		\
		assert_null(out);							\
	}
	REFUSED(invalid, CACHE_WHY_JSON_INVALID)
	REFUSED(numbers, CACHE_WHY_JSON_NUMBER)
	REFUSED(twice, CACHE_WHY_JSON_DUPLICATE)
	assert_int_equal(cache_json_canonical(STR("\"\0\""), NULL, 0, &out, &len), CACHE_WHY_JSON_INVALID);
	assert_int_equal(cache_json_canonical(STR("1\0"), NULL, 0, &out, &len), CACHE_WHY_JSON_INVALID);
}

/* A text of n times a, then b, then n times c. */
static struct str
repeat(const char *a, size_t n, const char *b, const char *c)
{
	size_t len_a = strlen(a), len_b = strlen(b), len_c = strlen(c), i;
	char *text = arena_alloc(arena, n * (len_a + len_c) + len_b), *p = text;

	for (i = 0; i < n; i++, p += len_a)
		memcpy(p, a, len_a);
	memcpy(p, b, len_b);
	p += len_b;
	for (i = 0; i < n; i++, p += len_c)
		memcpy(p, c, len_c);
	return str_make(text, (size_t)(p - text));
}

static void
expect_why(struct str text, enum cache_why want)
{
	char *out;
	size_t len;
	enum cache_why why = cache_json_canonical(text, NULL, 0, &out, &len);

	if (why != want)
		fail_msg("%.*s...: %s, not %s", 40, text.p, cache_why_word(why).p, cache_why_word(want).p);
	free(out);
}

/* An object of n members in falling order. */
static struct str
falling(size_t n)
{
	char *text = arena_alloc(arena, 16 * n + 16), *p = text;

	*p++ = '{';
	for (; n > 0; n--)
		p += snprintf(p, 16, "\"%08zu\":1%s", n, n > 1 ? "," : "");
	*p++ = '}';
	return str_make(text, (size_t)(p - text));
}

static void
test_bounds(void **state)
{
	struct str big;

	(void)state;
	expect_why(repeat("[", 64, "1", "]"), CACHE_WHY_NONE);
	expect_why(repeat("[", 65, "1", "]"), CACHE_WHY_JSON_DEEP);
	expect_why(repeat("{\"a\":", 64, "1", "}"), CACHE_WHY_NONE);
	expect_why(repeat("{\"a\":", 65, "1", "}"), CACHE_WHY_JSON_DEEP);
	expect_why(repeat("[", 100000, "", ""), CACHE_WHY_JSON_DEEP);
	expect_why(repeat("9", 100, "", ""), CACHE_WHY_NONE);
	expect_why(repeat("9", 101, "", ""), CACHE_WHY_JSON_NUMBER);
	expect_why(repeat("1", 1, "", "0000000000"), CACHE_WHY_NONE);
	expect_why(repeat("0", 0, "0.", "0"), CACHE_WHY_JSON_INVALID);
	expect_why(falling(4096), CACHE_WHY_NONE);
	expect_why(falling(4097), CACHE_WHY_JSON_COMPLEX);
	expect_why(repeat("1,", 250000, "1", ""), CACHE_WHY_JSON_INVALID);
	big = repeat("1,", 250000, "1]", "");
	expect_why(arena_printf(arena, "[%.*s", STR_ARG(big)), CACHE_WHY_JSON_COMPLEX);
	/* Sorting moves this million of bytes at each of its levels. */
	big = repeat("x", 1000000, "", "");
	big = arena_printf(arena, "\"%.*s\"", STR_ARG(big));
	expect_why(repeat("{\"b\":", 7, arena_dup(arena, big).p, ",\"a\":1}"), CACHE_WHY_NONE);
	expect_why(repeat("{\"b\":", 20, arena_dup(arena, big).p, ",\"a\":1}"), CACHE_WHY_JSON_COMPLEX);
	arena_reset(arena);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets), cmocka_unit_test(test_origins),
		cmocka_unit_test(test_fields_of_get), cmocka_unit_test(test_fields_of_post),
		cmocka_unit_test(test_bodies), cmocka_unit_test(test_routes_and_rules),
		cmocka_unit_test(test_no_key), cmocka_unit_test(test_uris),
		cmocka_unit_test(test_vary_lists), cmocka_unit_test(test_variants),
		cmocka_unit_test(test_canonical), cmocka_unit_test(test_not_canonical),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("cache_key", tests, set_up, tear_down);
}
