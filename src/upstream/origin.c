/* SPDX-License-Identifier: MIT */
/*
 * One request on one upstream connection, HTTP/1.1.
 *
 * Frames what it is given, parses what comes, says how it ended.  Knows no exchange and no policy.
 * Invariant: a connection is parked only after a whole answer to a wholly sent request, with not a
 * byte left over; everything else closes it, so that no client ever sees another's answer.
 */
#include "upstream/origin.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "net/conn.h"
#include "net/loop.h"
#include "upstream/backend.h"

enum {
	ORIGIN_MAGIC = 0x6f726967,
	SPANS_MAX = 64,			/* delivered at once */
	INTERIM_MAX = 32,		/* 1xx answers to one request */
	LOW_MARK = 16 * 1024
};

struct origin {
	unsigned magic;
	struct backend *backend;	/* of the attempt, which counts it */
	struct conn    *conn;
	const struct origin_events *events;
	void           *x;
	struct arena   *arena;
	struct h1_parser parser;
	enum framing    framing;	/* of the request */
	struct str      first;		/* bytes a new connection begins with */
	bool is_open;
	bool was_parked;		/* and no byte of an answer came */
	bool is_sent;			/* the head was written */
	bool is_finished;		/* the whole request was written */
	bool expects_continue, is_head;
	struct str offered;		/* protocols to switch to; empty: none */
	bool has_head;			/* a final head came */
	bool is_tunnel;
	bool is_over;			/* the whole answer came: on_end was told */
	bool is_dead;			/* on_fail was told */
	unsigned n_interim;
	const char *rule;		/* that the answer broke; else the parser's */
	size_t   address, n_addresses;	/* of the backend: the one tried now; how many were */
	unsigned moves;			/* of the backend's addresses, when this was opened */
};

static struct slab origins;

static const struct h1_limits response_limits = {
	.max_head = 64 * 1024,
	.max_target = 0,
	.max_fields = 200,
	.keep_underscore = true,
};

void
origin_module_init(void)
{
	slab_init(&origins, "origin", sizeof(struct origin));
}

void
origin_module_fini(void)
{
	slab_fini(&origins);
}

static void
fail(struct origin *o, enum end why)
{
	if (o->is_over || o->is_dead || o->magic != ORIGIN_MAGIC)
		return;
	o->is_dead = true;
	o->events->on_fail(o->x, why);
}

/* What it means that the server sends no more, or is gone. */
static enum end
loss(const struct origin *o)
{
	if (o->has_head)
		return END_BODY_CUT;
	return o->was_parked ? END_STALE_CONN : END_SERVER_CLOSED;
}

/* --- the answer --------------------------------------------------------------------------------- */

static void
begin_answer(struct origin *o)
{
	h1_parser_begin(&o->parser, o->arena, o->is_head);
}

/* RFC 9110 7.8: to protocols that were offered, and not in the middle of a request. */
static bool
may_switch(const struct origin *o, const struct message *m)
{
	struct str rest = message_value(m, FIELD_UPGRADE), item;
	size_t n = 0;

	for (; str_next_item(&rest, &item); n++)
		if (!field_list_has(o->offered, item))
			return false;
	return n > 0 && o->is_finished;
}

/* An interim answer passes when it is plausible; 101 makes a tunnel when one was asked for. */
static bool
take_head(struct origin *o)
{
	struct message *m = o->parser.message;

	if (m->status == 101) {
		o->rule = may_switch(o, m) ? NULL : "unasked_upgrade";
		if (o->rule != NULL)
			return false;
		o->is_tunnel = o->has_head = true;
	} else if (m->status < 200) {
		o->rule = ++o->n_interim <= INTERIM_MAX ? NULL : "too_many_interim_answers";
		if (o->rule != NULL)
			return false;
		if (m->status == 100 && !o->expects_continue)
			return true;
	} else
		o->has_head = true;
	o->events->on_head(o->x, m);
	return true;
}

struct span_batch {
	struct str spans[SPANS_MAX];
	size_t     n;
};

static void
deliver(struct origin *o, struct span_batch *b)
{
	if (b->n == 0)
		return;
	o->events->on_body(o->x, b->spans, b->n);
	b->n = 0;
}

static void
end_answer(struct origin *o)
{
	if (!o->has_head) {
		/* That was an interim answer. */
		begin_answer(o);
		return;
	}
	o->is_over = true;
	o->events->on_end(o->x);
}

/* What the parser took is taken: whether bytes are left over is asked when the answer ends. */
static void
consume(struct origin *o, struct str rest)
{
	conn_consume(o->conn, conn_in(o->conn).len - rest.len);
}

/* True when there may be another event in what is left. */
static bool
take_event(struct origin *o, enum h1_event event, struct str rest, struct span_batch *b)
{
	switch (event) {
	case H1_HEAD:
		if (take_head(o))
			return true;
		fail(o, END_BAD_RESPONSE);
		return false;
	case H1_BODY:
		b->spans[b->n++] = o->parser.span;
		if (b->n == SPANS_MAX)
			deliver(o, b);
		return true;
	case H1_END:
		deliver(o, b);
		if (o->conn == NULL || o->is_dead)
			return false;
		consume(o, rest);
		end_answer(o);
		return !o->is_over;
	case H1_FAIL:
		deliver(o, b);
		fail(o, o->has_head ? END_BODY_CUT : END_BAD_RESPONSE);
		return false;
	case H1_MORE:
		break;
	}
	deliver(o, b);
	return false;
}

static void
on_data(void *owner)
{
	struct origin *o = owner;
	struct str in = conn_in(o->conn);
	enum h1_event event;
	struct span_batch batch;

	check(o->magic == ORIGIN_MAGIC);
	if (o->is_over || o->is_dead)
		return;
	if (!o->is_sent) {
		/* Bytes before a request was sent answer nothing we asked. */
		fail(o, o->was_parked ? END_STALE_CONN : END_BAD_RESPONSE);
		return;
	}
	o->was_parked = false;
	o->backend->heard_at = clock_now();
	batch.n = 0;
	do {
		event = h1_parser_next(&o->parser, &in);
	} while (take_event(o, event, in, &batch) && o->conn != NULL && !o->is_dead);
	if (o->conn != NULL)
		consume(o, in);
}

static void
on_eof(void *owner)
{
	struct origin *o = owner;

	if (o->is_tunnel && !o->is_over && !o->is_dead) {
		o->is_over = true;
		o->events->on_end(o->x);
		return;
	}
	/* TLS: an end that was not said may be somebody else's (RFC 9112 9.8). */
	if (!o->is_over && o->has_head && !conn_was_cut(o->conn) &&
	    h1_parser_eof(&o->parser) == H1_END)
		end_answer(o);
	else
		fail(o, loss(o));
}

static void
on_open(void *owner)
{
	struct origin *o = owner;

	o->is_open = true;
	o->backend->stats.opened++;
	o->events->on_open(o->x);
}

static void
on_drain(void *owner)
{
	struct origin *o = owner;

	if (!o->is_over && !o->is_dead)
		o->events->on_drain(o->x);
}

static const struct conn_events conn_events;

static void
connect_to(struct origin *o)
{
	o->n_addresses++;
	o->conn = backend_connect(o->backend, o->address, o->first, &conn_events, o);
	conn_set_marks(o->conn, ORIGIN_HIGH_MARK, LOW_MARK);
}

/* A name's other addresses are tried before anybody hears of a failure. */
static bool
goes_on_elsewhere(struct origin *o, enum end why)
{
	size_t n = o->backend->n_at;

	if (why != END_CONNECT_FAILED && why != END_CONNECT_TIMEOUT)
		return false;
	backend_address_failed(o->backend, o->address);
	if (o->n_addresses >= n)
		return false;
	o->address = (o->address + 1) % n;
	conn_close(o->conn);
	connect_to(o);
	return true;
}

static void
on_close(void *owner, enum end why)
{
	struct origin *o = owner;

	if (!o->is_open && goes_on_elsewhere(o, why))
		return;
	/* A tunnel outlives the end of one direction, not a reset. */
	if (o->is_tunnel)
		o->is_over = false;
	if (o->is_open)
		why = loss(o);
	else if (why == END_RESET)
		why = END_TLS_FAILED;
	fail(o, why);
}

static const struct conn_events conn_events = {
	.on_open = on_open,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_close = on_close,
};

/* --- the request ---------------------------------------------------------------------------------- */

struct origin *
origin_open(struct backend *backend, bool fresh, struct str first,
    const struct origin_events *events, void *x)
{
	struct origin *o = slab_take(&origins);

	o->magic = ORIGIN_MAGIC;
	o->backend = backend;
	o->events = events;
	o->x = x;
	o->moves = backend->moves;
	o->first = first;
	o->conn = fresh || first.len > 0 ? NULL : backend_unpark(backend);
	if (o->conn != NULL) {
		o->is_open = o->was_parked = true;
		conn_set_owner(o->conn, &conn_events, o);
		conn_set_marks(o->conn, ORIGIN_HIGH_MARK, LOW_MARK);
	} else {
		o->address = backend_address_first(backend);
		connect_to(o);
	}
	return o;
}

bool
origin_is_open(const struct origin *o)
{
	return o->is_open;
}


void
origin_send(struct origin *o, const struct message *request, struct arena *arena)
{
	size_t room = h1_head_size(request);
	char *p = conn_scratch(o->conn, room);

	o->arena = arena;
	o->framing = request->framing;
	o->is_head = request->method == METHOD_HEAD;
	o->offered = request->upgrade
	    ? arena_dup(arena, message_value(request, FIELD_UPGRADE)) : STR_NONE;
	o->expects_continue = request->expect_continue;
	o->is_sent = true;
	h1_parser_init(&o->parser, false, &response_limits);
	begin_answer(o);
	conn_write(o->conn, str_make(p, h1_write_head(request, p, room)));
}

void
origin_send_body(struct origin *o, const struct str *spans, size_t n)
{
	uint64_t total = 0;
	size_t i;
	char *line;

	for (i = 0; i < n; i++)
		total += spans[i].len;
	if (total == 0)
		return;
	if (o->framing == FRAMING_CHUNKED && !o->is_tunnel) {
		line = conn_scratch(o->conn, 20);
		conn_write(o->conn, str_make(line, h1_write_chunk_line(total, line)));
	}
	for (i = 0; i < n; i++)
		conn_write(o->conn, spans[i]);
	if (o->framing == FRAMING_CHUNKED && !o->is_tunnel)
		conn_write(o->conn, STR("\r\n"));
}

/* Room for "0\r\n", the trailers and an empty line. */
static size_t
trailers_size(const struct field *trailers, size_t n)
{
	size_t size = 5, i;

	for (i = 0; i < n; i++)
		size += trailers[i].name.len + trailers[i].value.len + 4;
	return size;
}

void
origin_finish(struct origin *o, const struct field *trailers, size_t n)
{
	size_t room;
	char *p;

	if (o->is_finished)
		return;
	o->is_finished = true;
	if (o->framing != FRAMING_CHUNKED)
		return;
	room = trailers_size(trailers, n);
	p = conn_scratch(o->conn, room);
	conn_write(o->conn, str_make(p, h1_write_last_chunk(trailers, n, p, room)));
}

void
origin_shutdown(struct origin *o)
{
	conn_shutdown(o->conn);
}

void
origin_hold(struct origin *o, bool hold)
{
	conn_hold(o->conn, hold);
}

size_t
origin_backlog(const struct origin *o)
{
	return conn_backlog(o->conn);
}

bool
origin_sent_all(const struct origin *o)
{
	return o->is_finished && conn_backlog(o->conn) == 0;
}

msec
origin_progress(const struct origin *o)
{
	return conn_progress(o->conn);
}

const char *
origin_rule(const struct origin *o)
{
	return o->rule != NULL ? o->rule : o->parser.rule;
}

const char *
origin_why(const struct origin *o)
{
	const char *why = conn_why(o->conn);

	return why != NULL || o->is_open ? why : "the server closed in the handshake";
}

static bool
may_serve_again(const struct origin *o)
{
	const struct message *m = o->parser.message;

	return o->is_over && !o->is_tunnel && o->is_finished && m != NULL && m->keep_alive &&
	    m->framing != FRAMING_CLOSE && conn_in(o->conn).len == 0 &&
	    conn_backlog(o->conn) == 0 && !conn_saw_eof(o->conn) &&
	    o->moves == o->backend->moves;
}

void
origin_close(struct origin *o, const struct upstream_conf *conf)
{
	check(o->magic == ORIGIN_MAGIC);
	/* One that was said to be a client's is no other's. */
	if (may_serve_again(o) && conf->keepalive.idle > 0 && o->first.len == 0) {
		conn_hold(o->conn, false);
		backend_park(o->backend, o->conn, conf->keepalive.idle, conf->keepalive.timeout);
	} else {
		if (!o->is_open)
			backend_address_failed(o->backend, o->address);
		conn_close(o->conn);
	}
	o->conn = NULL;
	o->magic = 0;
	slab_give(&origins, o);
}
