/* SPDX-License-Identifier: MIT */
/* Which path is answered how; all but the completions. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 10 };

#define JSON	"application/json"

static void
send_page(struct client *c)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_add_reference(out, page_text, page_size, NULL, NULL);
	reply(c, 200, "text/html; charset=utf-8", out, "Cache-Control: no-cache\r\n");
	evbuffer_free(out);
}

static void
send_health(struct client *c)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_add_printf(out, "{\"status\":\"ok\"}\n");
	reply(c, 200, JSON, out, NULL);
	evbuffer_free(out);
}

static void
send_models(struct client *c)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_add_printf(out, "{\"object\":\"list\",\"data\":[{\"id\":\"" MODEL_ID "\",\"object\":"
	    "\"model\",\"created\":1726617600,\"owned_by\":\"weir\"}]}\n");
	reply(c, 200, JSON, out, NULL);
	evbuffer_free(out);
}

/* --- /events?n=N&ms=M, /bytes?n=N&chunked=1 ------------------------------------------------------ */

static void
send_event(struct client *c)
{
	struct evbuffer *out = evbuffer_new();

	c->sent++;
	c->left--;
	evbuffer_add_printf(out, "id: %llu\ndata: {\"n\":%llu,\"instance\":\"%s\"}\n\n",
	    (unsigned long long)c->sent, (unsigned long long)c->sent, model.set.name);
	reply_data(c, out);
	evbuffer_free(out);
}

static void
on_event_due(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct timeval tv = { c->pause / 1000, (c->pause % 1000) * 1000 };

	(void)fd;
	(void)what;
	send_event(c);
	if (c->left > 0) {
		event_add(c->timer, &tv);
		return;
	}
	event_free(c->timer);
	c->timer = NULL;
	reply_end(c);
}

static void
pump_events(struct client *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	while (c->left > 0 && evbuffer_get_length(out) < PIECE)
		send_event(c);
	if (c->left == 0)
		reply_end(c);
}

static void
send_events(struct client *c)
{
	struct timeval at_once = { 0, 0 };

	c->left = query_number(&c->req, "n", 10, 1000000000);
	c->pause = (unsigned)query_number(&c->req, "ms", 100, 3600000);
	c->sent = 0;
	reply_begin(c, 200, "text/event-stream", -1, "Cache-Control: no-cache\r\n");
	if (c->left == 0 || c->is_head) {
		reply_end(c);
	} else if (c->pause == 0) {
		c->pump = pump_events;
		pump_events(c);
	} else {
		c->timer = evtimer_new(model.base, on_event_due, c);
		event_add(c->timer, &at_once);
	}
}

static void
pump_bytes(struct client *c)
{
	static char pattern[PIECE];
	struct evbuffer *out;
	size_t n, i;

	if (pattern[0] == '\0')
		for (i = 0; i < sizeof(pattern); i++)
			pattern[i] = i % 64 == 63 ? '\n' : "0123456789abcdef"[i % 16];
	n = c->left < PIECE ? (size_t)c->left : PIECE;
	out = evbuffer_new();
	evbuffer_add_reference(out, pattern, n, NULL, NULL);
	reply_data(c, out);
	evbuffer_free(out);
	c->left -= n;
	if (c->left == 0)
		reply_end(c);
}

static void
send_bytes(struct client *c)
{
	bool is_chunked = query_number(&c->req, "chunked", 0, 1) == 1;

	c->left = query_number(&c->req, "n", 1024, (uint64_t)1 << 40);
	reply_begin(c, 200, "application/octet-stream", is_chunked ? -1 : (int64_t)c->left, NULL);
	if (c->left == 0 || c->is_head) {
		reply_end(c);
		return;
	}
	c->pump = pump_bytes;
	pump_bytes(c);
}

/* --- /echo: what came, as JSON; ?raw=1: the body as it is ----------------------------------------- */

static void
put_text(struct evbuffer *out, const char *before, const char *text)
{
	evbuffer_add_printf(out, "%s", before);
	json_put(out, text, strlen(text), true);
}

static void
send_echo(struct client *c)
{
	struct request *r = &c->req;
	const char *type = request_field(r, "Content-Type"), *body;
	struct evbuffer *out;
	size_t i, n = evbuffer_get_length(r->body);

	if (query_number(r, "raw", 0, 1) == 1) {
		reply(c, 200, type == NULL ? "application/octet-stream" : type, r->body, NULL);
		return;
	}
	out = evbuffer_new();
	evbuffer_add_printf(out, "{\"instance\":\"%s\",", model.set.name);
	put_text(out, "\"method\":", r->method);
	put_text(out, ",\"target\":", r->target);
	evbuffer_add_printf(out, ",\"version\":\"HTTP/1.%u\",\"fields\":[", r->minor);
	for (i = 0; i < r->n_fields; i++) {
		put_text(out, i == 0 ? "[" : ",[", r->fields[i].name);
		put_text(out, ",", r->fields[i].value);
		evbuffer_add(out, "]", 1);
	}
	evbuffer_add_printf(out, "],\"body_bytes\":%zu,\"body\":", n);
	body = (const char *)evbuffer_pullup(r->body, -1);
	json_put(out, body == NULL ? "" : body, n, true);
	evbuffer_add(out, "}\n", 2);
	reply(c, 200, JSON, out, NULL);
	evbuffer_free(out);
}

/* --- /control, /stats ---------------------------------------------------------------------------- */

static void
send_control(struct client *c)
{
	struct settings set = settings_now();
	char *copy = strdup(c->req.query), *rest = copy, *key, *value, text[256];
	const char *why = NULL;
	struct evbuffer *out;

	if (copy == NULL)
		abort();
	while (why == NULL && query_next(&rest, &key, &value))
		if (*key != '\0' && setting_put(&set, key, value, &why))
			why = NULL;
	if (why != NULL) {
		snprintf(text, sizeof(text), "%.100s: %s", key, why);
		reply_error(c, 400, text);
	} else {
		if (strcmp(c->req.method, "POST") == 0)
			settings_apply(&set);
		out = evbuffer_new();
		settings_json(out);
		reply(c, 200, JSON, out, NULL);
		evbuffer_free(out);
	}
	free(copy);
}

static void send_stats(struct client *);

/* --- the table ----------------------------------------------------------------------------------- */

enum { ALWAYS = 1, SUBTREE = 2 };	/* answered during a slow start; also what lies below */

static struct route {
	const char *path;
	const char *method;		/* NULL: any; GET means HEAD too */
	void      (*run)(struct client *);
	unsigned    flags;
	uint64_t    count;
} routes[] = {
	{ "/", "GET", send_page, 0, 0 },
	{ "/health", "GET", send_health, 0, 0 },
	{ "/v1/models", "GET", send_models, 0, 0 },
	{ "/v1/chat/completions", "POST", answer_ask, 0, 0 },
	{ "/ws", "GET", socket_open, 0, 0 },
	{ "/events", "GET", send_events, 0, 0 },
	{ "/bytes", "GET", send_bytes, 0, 0 },
	{ "/echo", NULL, send_echo, SUBTREE, 0 },
	{ "/stats", "GET", send_stats, ALWAYS, 0 },
	{ "/control", NULL, send_control, ALWAYS, 0 },
};
enum { N_ROUTES = sizeof(routes) / sizeof(routes[0]) };

static uint64_t other_paths;

static void
send_stats(struct client *c)
{
	const struct stats *s = &model.stats;
	struct evbuffer *out = evbuffer_new();
	const struct { const char *name; uint64_t value; } rows[] = {
		{ "asked", s->asked }, { "answered", s->answered }, { "failed", s->failed },
		{ "abandoned", s->abandoned }, { "in_flight", s->in_flight }, { "waiting", s->waiting },
		{ "tokens", s->tokens }, { "tokens_for_nobody", s->tokens_for_nobody },
		{ "connections", s->connections }, { "connections_open", s->connections_open },
	};
	size_t i;

	evbuffer_add_printf(out, "{\"name\":\"%s\"", model.set.name);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		evbuffer_add_printf(out, ",\"%s\":%llu", rows[i].name,
		    (unsigned long long)rows[i].value);
	evbuffer_add_printf(out, ",\"paths\":{");
	for (i = 0; i < N_ROUTES; i++)
		evbuffer_add_printf(out, "\"%s\":%llu,", routes[i].path,
		    (unsigned long long)routes[i].count);
	evbuffer_add_printf(out, "\"other\":%llu}}\n", (unsigned long long)other_paths);
	reply(c, 200, JSON, out, NULL);
	evbuffer_free(out);
}

static struct route *
find_route(const char *path)
{
	struct route *r;
	size_t n;

	for (r = routes; r < routes + N_ROUTES; r++) {
		n = strlen(r->path);
		if (strncmp(path, r->path, n) == 0 &&
		    (path[n] == '\0' || ((r->flags & SUBTREE) != 0 && path[n] == '/')))
			return r;
	}
	return NULL;
}

static bool
allows(const struct route *r, const char *method)
{
	return r->method == NULL || strcmp(r->method, method) == 0 ||
	    (strcmp(r->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* A fault of the settings instead of an answer. */
static void
fail(struct client *c, const struct route *r, const char *why)
{
	if (r->run == answer_ask) {
		model.stats.asked++;
		model.stats.failed++;
	}
	reply_error(c, 503, why);
}

void
route_request(struct client *c)
{
	const char *method = c->req.method;
	struct route *r = find_route(c->req.path);
	struct evbuffer *none;

	if (r == NULL) {
		other_paths++;
		reply_error(c, 404, "there is no such path");
		return;
	}
	r->count++;
	if (!allows(r, method)) {
		none = evbuffer_new();
		reply(c, 405, JSON, none, strcmp(r->method, "GET") == 0 ? "Allow: GET, HEAD\r\n"
		    : "Allow: POST\r\n");
		evbuffer_free(none);
	} else if ((r->flags & ALWAYS) == 0 && now_us() < model.ready_at) {
		fail(c, r, "the model is being loaded");
	} else if ((r->flags & ALWAYS) == 0 && model.set.fail_next > 0 &&
	    strcmp(method, "POST") == 0) {
		model.set.fail_next--;
		fail(c, r, "told to fail");
	} else {
		r->run(c);
	}
}
