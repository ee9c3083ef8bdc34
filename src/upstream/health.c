/* SPDX-License-Identifier: MIT */
/*
 * Active health: one checker for each backend that is to be checked, one probe of it at a time.
 *
 * A probe is a passing object: a connection of its own, a question, a verdict; then its checker counts
 * and sleeps.  Knows nothing of exchanges.  Invariant: the deadline is armed, for the end of the probe
 * or for the beginning of the next.
 */
#include "upstream/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "http/h1_parser.h"
#include "net/conn.h"
#include "net/proxy_header.h"
#include "upstream/pool.h"

enum {
	BODY_MAX = 64 * 1024,		/* of an answer, in which the text is looked for */
	JITTER = 10			/* percent: servers that begin together are not asked together */
};

struct probe {
	struct checker *checker;
	struct conn    *conn;
	struct arena   *arena;
	struct h1_parser parser;
	bool            has_head;	/* the final one, with a status that is expected */
	size_t          n_addresses;	/* of a name, that were tried */
	char           *body;		/* what of it came, up to BODY_MAX; NULL: nothing to be looked for */
	size_t          body_len;
};

struct checker {
	struct backend          *backend;	/* which owns it */
	const struct check_conf *conf;		/* of the newest configuration */
	struct probe            *probe;		/* NULL: it sleeps */
	struct deadline          deadline;
	uint64_t                 n_probes;
	unsigned                 n_good, n_bad, n_late;
	bool                     was_told;	/* why a server does not start */
};

static struct slab probes;

static const struct h1_limits answer_limits = {
	.max_head = 64 * 1024,
	.max_fields = 200,
	.keep_underscore = true,
};

void
health_module_init(void)
{
	slab_init(&probes, "probe", sizeof(struct probe));
}

void
health_module_fini(void)
{
	slab_fini(&probes);
}

/* --- verdicts ------------------------------------------------------------------------------------ */

static void
end_probe(struct checker *c)
{
	struct probe *p = c->probe;

	if (p == NULL)
		return;
	c->probe = NULL;
	conn_close(p->conn);
	arena_free(p->arena);
	free(p->body);
	slab_give(&probes, p);
}

/* Everybody's own, the same in every run. */
static msec
jittered(const struct checker *c, msec interval)
{
	msec span = interval * JITTER / 100;
	uint64_t h = str_hash(c->backend->identity, c->n_probes);

	return interval - span + (msec)(h % (uint64_t)(2 * span + 1));
}

static void
sleep_until_next(struct checker *c)
{
	bool is_up = c->backend->check == BACKEND_PASSES;

	deadline_arm(&c->deadline, jittered(c, is_up ? c->conf->interval : c->conf->down_interval));
}

static void
good(struct checker *c)
{
	struct backend *b = c->backend;
	/* Who begins to answer has begun; who came back has to show that it stays. */
	unsigned rise = b->check == BACKEND_STARTING ? 1 : c->conf->rise;

	c->n_bad = c->n_late = 0;
	if (b->check == BACKEND_PASSES || ++c->n_good < rise)
		return;
	c->n_good = 0;
	log_info("server %.*s: up, it passes its health check", STR_ARG(b->identity));
	backend_checked(b, BACKEND_PASSES);
}

static void
bad(struct checker *c, bool is_late, const char *why)
{
	struct backend *b = c->backend;

	c->n_good = 0;
	/* A busy server is slow in everything: only one that is late time after time is gone. */
	c->n_late = is_late ? c->n_late + 1 : 0;
	c->n_bad += !is_late;
	if (b->check == BACKEND_STARTING && !c->was_told) {
		c->was_told = true;
		log_info("server %.*s: starting, its health check says: %s", STR_ARG(b->identity), why);
	}
	if (b->check != BACKEND_PASSES)
		backend_found(b, why);
	if (b->check != BACKEND_PASSES || (c->n_bad < c->conf->fall && c->n_late < c->conf->fall))
		return;
	c->n_bad = c->n_late = 0;
	log_warn("server %.*s: down, its health check says: %s", STR_ARG(b->identity), why);
	backend_found(b, why);
	backend_checked(b, BACKEND_DOWN);
}

static void
pass(struct probe *p)
{
	struct checker *c = p->checker;

	end_probe(c);
	good(c);
	sleep_until_next(c);
}

static void
fail(struct probe *p, const char *why)
{
	struct checker *c = p->checker;

	end_probe(c);
	bad(c, false, why);
	sleep_until_next(c);
}

/* Nothing was learnt: it is not the server that failed. */
static void
skip(struct probe *p)
{
	struct checker *c = p->checker;

	end_probe(c);
	sleep_until_next(c);
}

/* --- the answer ---------------------------------------------------------------------------------- */

/* False: the probe is over. */
static bool
take_head(struct probe *p)
{
	const struct check_conf *conf = p->checker->conf;
	const struct message *m = p->parser.message;
	char why[24];

	if (m->status < 200 && m->status != 101)
		return true;
	if (!status_set_has(&conf->expect, m->status)) {
		snprintf(why, sizeof(why), "status %d", m->status);
		fail(p, why);
		return false;
	}
	if (conf->body.len == 0) {
		pass(p);
		return false;
	}
	p->has_head = true;
	p->body = malloc(BODY_MAX);
	check(p->body != NULL);
	return true;
}

static bool
take_body(struct probe *p)
{
	struct str text = p->checker->conf->body, span = p->parser.span;
	size_t from = p->body_len > text.len ? p->body_len - text.len : 0;

	span = str_first(span, BODY_MAX - p->body_len);
	memcpy(p->body + p->body_len, span.p, span.len);
	p->body_len += span.len;
	if (memmem(p->body + from, p->body_len - from, text.p, text.len) != NULL) {
		pass(p);
		return false;
	}
	if (p->body_len < BODY_MAX)
		return true;
	fail(p, "the text is not in the first 64 KB of its answer");
	return false;
}

static bool
take_end(struct probe *p)
{
	if (p->has_head) {
		fail(p, "the text is not in its answer");
		return false;
	}
	/* An interim answer. */
	arena_reset(p->arena);
	h1_parser_begin(&p->parser, p->arena, false);
	return true;
}

static bool
take_event(struct probe *p, enum h1_event event)
{
	switch (event) {
	case H1_HEAD:
		return take_head(p);
	case H1_BODY:
		return take_body(p);
	case H1_END:
		return take_end(p);
	case H1_FAIL:
		fail(p, p->parser.why);
		return false;
	case H1_MORE:
		break;
	}
	return false;
}

static void
on_data(void *owner)
{
	struct probe *p = owner;
	struct checker *c = p->checker;
	struct str in = conn_in(p->conn);
	size_t len = in.len;
	enum h1_event event;

	do {
		event = h1_parser_next(&p->parser, &in);
	} while (take_event(p, event));
	if (c->probe == p)
		conn_consume(p->conn, len - in.len);
}

static void
on_eof(void *owner)
{
	struct probe *p = owner;

	if (p->has_head && !conn_was_cut(p->conn) && h1_parser_eof(&p->parser) == H1_END)
		take_end(p);
	else
		fail(p, "it closed without a whole answer");
}

/* --- the question -------------------------------------------------------------------------------- */

/* Host and port as the configuration has them, also where the server is one of the addresses of that
 * name. */
static struct str
host_of(const struct check_conf *conf, const struct backend *b, struct arena *arena)
{
	if (conf->host.len > 0)
		return conf->host;
	if (b->address.is_unix)
		return STR("localhost");
	return arena_printf(arena, str_find(b->address.host, ':') >= 0 ? "[%.*s]:%u" : "%.*s:%u",
	    STR_ARG(b->address.host), b->address.port);
}

static void
ask(struct probe *p)
{
	const struct check_conf *conf = p->checker->conf;
	const struct backend *b = p->checker->backend;
	struct str host;

	p->arena = arena_new(1024);
	host = host_of(conf, b, p->arena);
	h1_parser_init(&p->parser, false, &answer_limits);
	h1_parser_begin(&p->parser, p->arena, false);
	conn_write(p->conn, arena_printf(p->arena, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n"
	    "User-Agent: weir\r\nAccept: */*\r\nConnection: close\r\n\r\n", STR_ARG(conf->path),
	    STR_ARG(host)));
}

static void
on_open(void *owner)
{
	struct probe *p = owner;

	if (p->checker->conf->is_tcp)
		pass(p);
	else
		ask(p);
}

static const struct conn_events probe_events;

static void
connect_to(struct probe *p)
{
	static const struct ip nobody = { .is_set = false };
	struct backend *b = p->checker->backend;
	char header[PROXY_HEADER_ROOM];
	size_t n = 0;

	/* LOCAL: we ask for ourselves. */
	if (p->checker->conf->sends_proxy_header)
		n = proxy_header_write(header, &nobody, 0, &nobody, 0);
	p->n_addresses++;
	p->conn = backend_connect(b, backend_address_first(b), str_make(header, n), &probe_events, p);
}

/* A name is well when one of its addresses is. */
static bool
goes_on_elsewhere(struct probe *p)
{
	struct backend *b = p->checker->backend;

	backend_address_failed(b, backend_address_first(b));
	if (p->n_addresses >= b->n_at)
		return false;
	conn_close(p->conn);
	connect_to(p);
	return true;
}

static void
on_close(void *owner, enum end why)
{
	struct probe *p = owner;
	bool is_refusal = why == END_CONNECT_FAILED || why == END_CONNECT_TIMEOUT;

	if (is_refusal && goes_on_elsewhere(p))
		return;
	if (why == END_NO_SOCKET)
		skip(p);
	else
		fail(p, conn_why(p->conn) != NULL ? conn_why(p->conn) : end_info(why)->text);
}

static const struct conn_events probe_events = {
	.on_open = on_open,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_close = on_close,
};

/* --- checkers ------------------------------------------------------------------------------------ */

static void
begin_probe(struct checker *c)
{
	c->n_probes++;
	/* A name that leads nowhere is down without being asked. */
	if (c->backend->n_at == 0) {
		sleep_until_next(c);
		return;
	}
	c->probe = slab_take(&probes);
	c->probe->checker = c;
	connect_to(c->probe);
	deadline_arm(&c->deadline, c->conf->timeout);
}

static void
on_deadline(void *arg)
{
	struct checker *c = arg;

	if (c->probe == NULL) {
		begin_probe(c);
		return;
	}
	end_probe(c);
	bad(c, true, "no answer in time");
	sleep_until_next(c);
}

static void
end_checker(struct backend *b)
{
	struct checker *c = b->checker;

	b->checker = NULL;
	end_probe(c);
	deadline_fini(&c->deadline);
	free(c);
}

static void
begin_checker(struct backend *b)
{
	struct checker *c = calloc(1, sizeof(*c));

	check(c != NULL);
	c->backend = b;
	b->checker = c;
	b->end_checker = end_checker;
	deadline_init(&c->deadline, b->registry->loop, on_deadline, c);
}

static bool
same_question(const struct check_conf *a, const struct check_conf *b)
{
	return a->is_tcp == b->is_tcp && str_eq(a->path, b->path) && str_eq(a->host, b->host) &&
	    str_eq(a->body, b->body) && memcmp(&a->expect, &b->expect, sizeof(a->expect)) == 0;
}

/* The pace may change at any time; what is asked begins anew when it is something else. */
static void
set_check(struct backend *b, const struct check_conf *conf)
{
	struct checker *c = b->checker;
	bool goes_on = c != NULL && same_question(c->conf, conf) &&
	    c->conf->interval == conf->interval && c->conf->down_interval == conf->down_interval &&
	    c->conf->timeout == conf->timeout;

	if (c == NULL)
		begin_checker(b);
	c = b->checker;
	c->conf = conf;
	if (goes_on)
		return;
	end_probe(c);
	c->n_good = c->n_bad = c->n_late = 0;
	if (b->check == BACKEND_UNCHECKED)
		backend_checked(b, b->is_known ? BACKEND_PASSES : BACKEND_STARTING);
	deadline_arm(&c->deadline, 1);
}

static void
follow_pool(struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];
		struct backend *b = m->backend;

		if (!pool->conf->check.is_on || !member_serves(m) || b->is_claimed)
			continue;
		b->is_claimed = true;
		set_check(b, &pool->conf->check);
	}
}

static void
unclaim_all(struct backend_registry *r)
{
	struct str name;
	void *value;
	size_t pos = 0;

	while (table_next(&r->by_identity, &pos, &name, &value))
		((struct backend *)value)->is_claimed = false;
}

/* A server that nobody has checked any more is what its answers say it is. */
static void
stop_unclaimed(struct backend_registry *r)
{
	struct str name;
	void *value;
	size_t pos = 0;

	while (table_next(&r->by_identity, &pos, &name, &value)) {
		struct backend *b = value;

		b->is_known = true;
		if (b->is_claimed || b->checker == NULL)
			continue;
		end_checker(b);
		backend_checked(b, BACKEND_UNCHECKED);
	}
}

void
health_follow(struct backend_registry *r, struct pool *pools, size_t n)
{
	size_t i;

	unclaim_all(r);
	for (i = 0; i < n; i++)
		follow_pool(&pools[i]);
	stop_unclaimed(r);
}
