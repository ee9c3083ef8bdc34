/* SPDX-License-Identifier: MIT */
/*
 * Answers we make ourselves: errors, redirects, fixed ones, small files.
 *
 * Short plain text, or JSON in OpenAI's error shape for who accepts JSON.  Decides nothing: what to
 * say stands in the exchange.
 */
#include "exchange/reply.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "config/config.h"
#include "exchange/authenticate.h"
#include "exchange/exchange.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "exchange/generation.h"
#include "http/message.h"
#include "net/conn.h"
#include "policy/route.h"

enum { FILE_MAX = 1024 * 1024 };

struct reply {
	int        status;
	struct str type;
	struct str body;
	struct str location;
	struct page page;		/* where the body is, of one of our own */
};

static bool
accepts_json(const struct message *request)
{
	struct str rest = message_value(request, FIELD_ACCEPT), item;

	while (str_next_item(&rest, &item)) {
		ptrdiff_t cut = str_find(item, ';');

		if (cut >= 0)
			item = str_trim(str_first(item, (size_t)cut));
		if (str_eq_nocase(item, STR("application/json")))
			return true;
	}
	return false;
}

/* Which of OpenAI's error types it is. */
static const char *
error_type(enum end end, int status)
{
	if (status == 429 || end == END_RATE_LIMITED)
		return "rate_limit_error";
	return status < 500 ? "invalid_request_error" : "server_error";
}

/* Our own texts have no byte that JSON would want escaped. */
static struct str
error_json(struct arena *arena, const char *type, const char *code, const char *text)
{
	return arena_printf(arena,
	    "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", text,
	    type, code);
}

static void
make_error(struct exchange *x, struct reply *r)
{
	const struct refusal *why = &x->refusal;
	const struct end_info *info = end_info(why->end);
	const char *text = why->why != NULL ? why->why : info->text;

	r->status = why->status;
	if (accepts_json(x->request)) {
		r->type = STR("application/json");
		r->body = error_json(x->arena, error_type(why->end, r->status), why->rule != NULL ? why->rule : info->name,
		    text);
	} else {
		r->type = STR("text/plain; charset=utf-8");
		r->body = arena_printf(x->arena, "%d %.*s: %s\n", r->status,
		    STR_ARG(status_reason(r->status)), text);
	}
}

static bool
is_text(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c >= 0x7f)
			return false;
	}
	return true;
}

/* What is behind the route's path, as the client wrote it: nothing that is written in two ways. */
static struct str
file_name(const struct route_conf *route, struct str path)
{
	struct str rest;

	if (!str_starts(path, route->path))
		return STR_NONE;
	rest = str_from(path, route->path.len);
	if (!str_ends(route->path, STR("/")))
		rest = str_starts(rest, STR("/")) ? str_from(rest, 1) : STR_NONE;
	return str_find(rest, '%') < 0 ? rest : STR_NONE;
}

/* A small file, read at once: for the challenges of RFC 8555, not to serve a site. */
static void
make_file_answer(struct exchange *x, struct reply *r)
{
	const struct route_conf *route = x->route;
	size_t len;
	char *bytes = file_read_in(route->respond.files.p, file_name(route, x->request->path), FILE_MAX,
	    &len);

	if (bytes == NULL) {
		x->refusal.end = END_NO_ROUTE;
		x->refusal.status = 404;
		x->refusal.rule = "no_file";
		x->refusal.why = "no such file";
		make_error(x, r);
		return;
	}
	r->status = 200;
	r->body = arena_dup(x->arena, str_make(bytes, len));
	r->type = is_text(r->body) ? STR("text/plain") : STR("application/octet-stream");
	free(bytes);
}

static void
make_route_answer(struct exchange *x, struct reply *r)
{
	const struct route_conf *route = x->route;

	if (route->action == ROUTE_REDIRECT) {
		r->status = (int)route->redirect.status;
		r->location = template_expand(&route->redirect.to, &x->facts, x->arena);
		return;
	}
	if (route->respond.files.len > 0) {
		make_file_answer(x, r);
		return;
	}
	r->status = (int)route->respond.status;
	r->body = route->respond.body;
	r->type = route->respond.type;
}

/* --- our own pages ------------------------------------------------------------------------------ */

static bool
takes_method(const struct page_row *row, enum method method)
{
	return row->method == method || (row->method == METHOD_GET && method == METHOD_HEAD);
}

const struct page_row *
reply_find_page(struct exchange *x)
{
	const struct site *site = x->world->site;
	const struct page_row *near = NULL;
	size_t i;

	for (i = 0; i < site->n_rows; i++) {
		if (!str_eq(site->rows[i].path, x->request->path))
			continue;
		near = &site->rows[i];
		if (takes_method(near, x->request->method))
			return near;
	}
	x->refusal.end = END_NO_ROUTE;
	x->refusal.status = near != NULL ? 405 : 404;
	x->refusal.rule = near != NULL ? "method_not_allowed" : NULL;
	x->refusal.why = near != NULL ? "this page does not take that method" : "no such page";
	return NULL;
}

static struct str
methods_of_page(struct exchange *x)
{
	const struct site *site = x->world->site;
	struct str list = STR_NONE;
	size_t i;

	for (i = 0; i < site->n_rows; i++)
		if (str_eq(site->rows[i].path, x->request->path))
			list = arena_printf(x->arena, "%.*s%s%s", STR_ARG(list), list.len > 0 ? ", " : "",
			    site->rows[i].method == METHOD_GET ? "GET, HEAD" : "POST");
	return list;
}

static void
make_page(struct exchange *x, struct reply *r)
{
	r->page.status = 200;
	x->page->make(x->world->site->arg, &r->page);
	r->status = r->page.status;
	r->type = r->page.type;
	r->body = str_make(r->page.body.p, r->page.body.len);
}

/* RFC 9110 15.5.6: the methods of every route that would match but for its method. */
static struct str
allowed(struct exchange *x)
{
	if (x->is_own)
		return methods_of_page(x);
	return route_methods(x->gen->config, x->request, x->arena);
}

static void
add(struct message *m, enum field_id id, struct str value)
{
	if (value.len > 0)
		message_add(m, id, field_name(id), value);
}

/* Who broke the rules of HTTP is not asked for more; who asked for the wrong thing, or too often, may
 * go on, unless that means to read a long body for nothing. */
static bool
keeps_connection(const struct exchange *x)
{
	const struct message *m = x->request;

	switch (x->refusal.end) {
	case END_NO_ROUTE:
		return true;
	case END_ACCESS_DENIED:
	case END_UNAUTHORIZED:
	case END_AUTH_BUSY:
	case END_RATE_LIMITED:
	case END_QUEUE_FULL:
	case END_QUEUE_TIMEOUT:
		/* Whether a body follows 100-continue that was not given is the client's choice. */
		return x->request_done || (!m->expect_continue &&
		    (m->framing != FRAMING_COUNTED || m->length <= FRONT_DISCARD_MAX));
	default:
		return end_info(x->refusal.end)->blame != END_BLAME_CLIENT;
	}
}

void
reply_send(struct exchange *x)
{
	struct message *m = message_new(x->arena, 8);
	struct reply r;

	memset(&r, 0, sizeof(r));
	if (x->refusal.status != 0)
		make_error(x, &r);
	else if (x->page != NULL)
		make_page(x, &r);
	else
		make_route_answer(x, &r);
	m->minor = 1;
	m->status = r.status;
	m->reason = status_reason(r.status);
	add(m, FIELD_SERVER, STR("weir"));
	add(m, FIELD_DATE, clock_http_date());
	if (r.body.len > 0)
		add(m, FIELD_CONTENT_TYPE, r.type);
	add(m, FIELD_LOCATION, r.location);
	if (x->page != NULL)
		add(m, FIELD_CACHE_CONTROL, STR("no-store"));
	if (x->retry_after > 0)
		add(m, FIELD_RETRY_AFTER, arena_printf(x->arena, "%u", x->retry_after));
	if (x->refusal.end == END_UNAUTHORIZED)
		authenticate_fields(x, m);
	if (r.status == 405)
		add(m, FIELD_ALLOW, allowed(x));
	if (x->refusal.status == 0 && x->route != NULL) {
		x->facts.status = r.status;
		forward_apply_rules(&x->route->response_headers, &x->facts, m, x->arena);
	}
	m->keep_alive = keeps_connection(x);
	m->has_length = r.status != 204 && r.status != 304;
	m->length = r.body.len;
	m->framing = FRAMING_COUNTED;
	if (x->request->method == METHOD_HEAD || !m->has_length)
		m->framing = FRAMING_NONE;
	respond_head(x, m);
	if (m->framing != FRAMING_NONE)
		respond_body(x, &r.body, 1);
	if (x->page == NULL)
		return;
	/* What the kernel did not take is copied now. */
	conn_flush(x->world->loop);
	text_fini(&r.page.body);
}

void
reply_stream_error(struct exchange *x, const char *code, const char *text)
{
	struct str json = error_json(x->arena, error_type(END_OK, 502), code, text);
	/*
	 * A line that was cut is ended.  An event that was cut is not: it would pass for whole, so
	 * what came of it becomes part of this one, which nobody takes for an answer.
	 */
	const char *end = x->last_byte == '\n' || x->bytes_out == 0 ? "" : "\n";
	struct str event = arena_printf(x->arena, "%sevent: error\ndata: %.*s\n\n", end,
	    STR_ARG(json));

	respond_body(x, &event, 1);
}
