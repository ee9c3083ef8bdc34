/* SPDX-License-Identifier: MIT */
/*
 * Client connections, HTTP/1: bytes to requests, answers to bytes, one stream at a time.
 *
 * Keeps the client's time limits (head, body, keep-alive, sending) in one lazy deadline.  Knows no
 * server and no policy.  Invariant: while stream.x is set the exchange owns the stream, and it gives
 * it back by finish or reset, exactly once; a pipelined request waits in the connection till then.
 */
#include "edge/front_h1.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "edge/front.h"
#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
	FRONT_MAGIC = 0x66726f6e,
	ARENA_FIRST = 1024,		/* most requests fit: see the memory of an idle stream */
	SPANS_MAX = 64,
	LOW_MARK = 32 * 1024,
	LINGER = 2000,			/* ms for a client to read an answer it did not wait for */
	GRACE = 500			/* ms between the start of a drain and the end of idle ones */
};

struct front_h1 {
	struct front_stream stream;	/* first: ops get this */
	unsigned magic;
	struct front_env *env;
	struct conn     *conn;
	struct arena    *arena;		/* of the head that is being read */
	struct h1_parser parser;
	struct deadline  deadline;
	struct front_h1_list *list;
	enum framing     framing;	/* of the answer */
	bool has_begun;			/* a byte of the next request came */
	bool request_done;		/* the whole request was read */
	bool is_served;			/* a request was answered on this connection */
	bool head_sent;
	bool is_held;
	bool is_excused;		/* the client waits to be told that it may send its body */
	bool is_discarding;		/* answered already; the rest of the request is dropped */
	uint64_t discarded;
	bool is_tunnel;
	bool keep_alive;		/* after this answer */
	bool is_http10;
	bool is_misplaced;		/* plain HTTP where TLS is spoken */
	bool is_waiting;		/* for its turn */
	bool has_turn;
	msec body_at;			/* when the request's body last moved */
	TAILQ_ENTRY(front_h1) of_waiting;
	TAILQ_ENTRY(front_h1) entry;
};

static struct slab fronts;
static size_t n_own;			/* of these, who came for our own pages */
static struct front_h1_list waiting;	/* of these, who wait for their turn */
static struct task next_turn;
static const struct front_ops front_ops;

static void on_next_turn(void *);

void
front_h1_module_init(void)
{
	TAILQ_INIT(&waiting);
	task_init(&next_turn, on_next_turn, NULL);
	slab_init(&fronts, "front_h1", sizeof(struct front_h1));
}

void
front_h1_module_fini(void)
{
	slab_fini(&fronts);
}

size_t
front_h1_count(void)
{
	return fronts.live - n_own;
}

size_t
front_h1_count_own(void)
{
	return n_own;
}

/* --- turns ------------------------------------------------------------------------------------- */

/* Our own pages cost more than what is proxied: in a turn of the loop one is asked for. */
static bool
has_to_wait(struct front_h1 *f)
{
	if (!f->stream.is_own || f->has_turn) {
		f->has_turn = false;
		return false;
	}
	if (!f->is_waiting) {
		f->is_waiting = true;
		TAILQ_INSERT_TAIL(&waiting, f, of_waiting);
		loop_defer(f->env->loop, &next_turn);
	}
	return true;
}

static void
leave_waiting(struct front_h1 *f)
{
	if (!f->is_waiting)
		return;
	f->is_waiting = false;
	TAILQ_REMOVE(&waiting, f, of_waiting);
	if (TAILQ_EMPTY(&waiting))
		loop_cancel(f->env->loop, &next_turn);
}

static void
on_next_turn(void *arg)
{
	struct front_h1 *f = TAILQ_FIRST(&waiting);

	(void)arg;
	leave_waiting(f);
	f->has_turn = true;
	conn_kick(f->conn);
	if (!TAILQ_EMPTY(&waiting))
		loop_defer(f->env->loop, &next_turn);
}

/* --- the end of a connection ------------------------------------------------------------------- */

enum goodbye { GOODBYE_NOW, GOODBYE_SENT, GOODBYE_GENTLE, GOODBYE_RESET };

static void
close_front(struct front_h1 *f, enum goodbye how)
{
	check(f->magic == FRONT_MAGIC);
	leave_waiting(f);
	switch (how) {
	case GOODBYE_NOW:
		conn_close(f->conn);
		break;
	case GOODBYE_RESET:
		conn_abort(f->conn);
		break;
	case GOODBYE_SENT:
		conn_close_gently(f->conn, f->env->client->send_timeout, 0);
		break;
	case GOODBYE_GENTLE:
		conn_close_gently(f->conn, f->env->client->send_timeout, LINGER);
		break;
	}
	f->conn = NULL;
	deadline_fini(&f->deadline);
	arena_free(f->arena);
	f->arena = NULL;
	TAILQ_REMOVE(f->list, f, entry);
	n_own -= f->stream.is_own;
	f->magic = 0;
	slab_give(&fronts, f);
}

/* --- time limits ---------------------------------------------------------------------------------- */

static bool
waits_for_body(const struct front_h1 *f)
{
	return f->stream.x != NULL && !f->request_done && !f->is_held && !f->is_excused &&
	    !f->is_tunnel;
}

/* Arms the one deadline with the nearest limit that applies now. */
static void
arm(struct front_h1 *f)
{
	const struct client_conf *conf = f->env->client;
	msec now = clock_now(), at, body;

	if (f->is_discarding) {
		deadline_arm(&f->deadline, conf->body_timeout);
		return;
	}
	if (f->stream.x == NULL) {
		at = f->has_begun || !f->is_served ? conf->header_timeout : conf->keepalive_timeout;
		if (f->env->is_draining && !f->has_begun && at > GRACE)
			at = GRACE;
		deadline_arm(&f->deadline, at);
		return;
	}
	at = 0;
	if (waits_for_body(f))
		at = f->body_at + conf->body_timeout;
	if (conn_backlog(f->conn) > 0) {
		body = conn_progress(f->conn) + conf->send_timeout;
		at = at == 0 || body < at ? body : at;
	}
	if (at == 0) {
		/* A look now and then: a backlog may build up while nobody arms anything. */
		deadline_arm(&f->deadline, conf->send_timeout);
		return;
	}
	deadline_arm(&f->deadline, at > now ? at - now : 1);
}

static void
refuse(struct front_h1 *f, struct message *m, const struct refusal *why)
{
	struct arena *arena = f->arena != NULL ? f->arena : arena_new(ARENA_FIRST);

	if (m == NULL)
		m = message_new(arena, 4);
	m->is_request = true;
	f->arena = NULL;
	f->keep_alive = false;
	f->head_sent = false;
	f->is_http10 = false;
	f->env->events->on_refuse(f->env->world, &f->stream, m, why);
}

static void
abort_exchange(struct front_h1 *f, const struct refusal *why)
{
	f->env->events->on_abort(f->stream.x, why);
}

static void
leave(struct front_h1 *f, enum end end, enum goodbye how)
{
	struct refusal why = { end, 0, NULL, NULL };

	if (f->stream.x != NULL) {
		abort_exchange(f, &why);
		f->stream.x = NULL;
	} else if (how == GOODBYE_NOW && conn_backlog(f->conn) > 0)
		how = GOODBYE_SENT;	/* the answer is complete, its client slow */
	if (f->magic == FRONT_MAGIC)
		close_front(f, how);
}

static void
on_idle_timeout(struct front_h1 *f)
{
	static const struct refusal why = { END_HEADER_TIMEOUT, 408, "header_timeout",
		"the request head did not arrive in time" };

	/* The last answer is still being read: its limit is the one on sending. */
	if (conn_backlog(f->conn) > 0 &&
	    clock_now() - conn_progress(f->conn) < f->env->client->send_timeout)
		arm(f);
	else if (f->has_begun)
		refuse(f, NULL, &why);
	else
		close_front(f, GOODBYE_NOW);
}

static void
on_deadline(void *arg)
{
	static const struct refusal stopped = { END_BODY_TIMEOUT, 408, "body_timeout",
		"the request body stopped" };
	struct front_h1 *f = arg;
	const struct client_conf *conf = f->env->client;
	msec now = clock_now();

	if (f->stream.x == NULL) {
		on_idle_timeout(f);
		return;
	}
	if (conn_backlog(f->conn) > 0 && now - conn_progress(f->conn) >= conf->send_timeout) {
		leave(f, END_SEND_TIMEOUT, GOODBYE_RESET);
		return;
	}
	if (waits_for_body(f) && now - f->body_at >= conf->body_timeout) {
		f->keep_alive = false;
		abort_exchange(f, &stopped);
		if (f->magic != FRONT_MAGIC)
			return;
	}
	arm(f);
}

/* --- requests ------------------------------------------------------------------------------------- */

static void
begin_request(struct front_h1 *f)
{
	const struct client_conf *conf = f->env->client;

	f->has_begun = true;
	f->request_done = false;
	f->arena = arena_new(ARENA_FIRST);
	f->parser.limits.max_head = conf->max_head;
	f->parser.limits.keep_underscore = conf->keep_underscore;
	h1_parser_begin(&f->parser, f->arena, false);
	arm(f);
}

static void
take_request(struct front_h1 *f)
{
	static const struct refusal misplaced = { END_BAD_REQUEST, 400, "plain_http",
		"this port speaks HTTPS: use https:// in the address" };
	struct message *m = f->parser.message;

	if (f->is_misplaced) {
		refuse(f, m, &misplaced);
		return;
	}
	f->has_begun = false;
	f->is_served = true;
	f->request_done = m->framing == FRAMING_NONE ||
	    (m->framing == FRAMING_COUNTED && m->length == 0);
	f->head_sent = false;
	f->is_tunnel = false;
	f->is_held = false;
	f->is_excused = false;
	f->keep_alive = m->keep_alive;
	f->is_http10 = m->minor == 0;
	f->body_at = clock_now();
	f->arena = NULL;
	f->env->events->on_request(f->env->world, &f->stream, m);
}

static void
take_failure(struct front_h1 *f)
{
	const struct h1_parser *p = &f->parser;
	struct refusal why = { END_BAD_REQUEST, p->status, p->rule, p->why };

	if (p->status == 413)
		why.end = END_BODY_TOO_LARGE;
	f->keep_alive = false;
	if (f->is_discarding)
		close_front(f, GOODBYE_GENTLE);
	else if (f->stream.x == NULL)
		refuse(f, p->message, &why);
	else
		abort_exchange(f, &why);
}

struct span_batch {
	struct str spans[SPANS_MAX];
	size_t     n;
};

static void
deliver(struct front_h1 *f, struct span_batch *b)
{
	size_t i;

	f->body_at = clock_now();
	if (f->is_discarding)
		for (i = 0; i < b->n; i++)
			f->discarded += b->spans[i].len;
	else if (b->n > 0 && f->stream.x != NULL)
		f->env->events->on_body(f->stream.x, b->spans, b->n);
	b->n = 0;
	if (f->magic == FRONT_MAGIC && f->discarded > FRONT_DISCARD_MAX)
		close_front(f, GOODBYE_GENTLE);
}

static void
end_request(struct front_h1 *f)
{
	f->request_done = true;
	if (f->stream.x != NULL)
		f->env->events->on_request_end(f->stream.x);
	else if (f->is_discarding) {
		f->is_discarding = false;
		arm(f);
		conn_kick(f->conn);
	}
}

/* True when another event may follow at once. */
static bool
take_event(struct front_h1 *f, enum h1_event event, struct span_batch *b)
{
	switch (event) {
	case H1_HEAD:
		take_request(f);
		return f->magic == FRONT_MAGIC && (f->stream.x != NULL || f->is_discarding);
	case H1_BODY:
		b->spans[b->n++] = f->parser.span;
		if (b->n == SPANS_MAX)
			deliver(f, b);
		return true;
	case H1_END:
		deliver(f, b);
		if (f->magic == FRONT_MAGIC)
			end_request(f);
		return false;
	case H1_FAIL:
		deliver(f, b);
		if (f->magic == FRONT_MAGIC && !f->request_done)
			take_failure(f);
		return false;
	case H1_MORE:
		break;
	}
	deliver(f, b);
	return false;
}

static bool
is_busy(const struct front_h1 *f)
{
	return f->stream.x != NULL && f->request_done && !f->is_tunnel;
}

static void
pass_tunnel(struct front_h1 *f)
{
	struct str in = conn_in(f->conn);
	bool is_last = conn_is_at_eof(f->conn);

	conn_consume(f->conn, in.len);
	f->env->events->on_body(f->stream.x, &in, 1);
	/* FIN came behind them before there was a tunnel. */
	if (is_last && f->magic == FRONT_MAGIC && f->stream.x != NULL)
		f->env->events->on_request_end(f->stream.x);
}

/* FIN was read: what is not whole will never be, and a request with nothing behind it is of a client
 * that left; rest is what is still to be looked at. */
static bool
is_deserted(const struct front_h1 *f, struct str rest)
{
	bool is_between = f->stream.x == NULL && !f->has_begun && !f->is_discarding;

	if (!conn_is_at_eof(f->conn) || f->is_tunnel)
		return false;
	return rest.len == 0 || !(is_busy(f) || is_between);
}

static void
on_data(void *owner)
{
	struct front_h1 *f = owner;
	struct span_batch batch;
	struct str in;
	size_t had;

	check(f->magic == FRONT_MAGIC);
	if (is_busy(f))
		return;			/* pipelined: its turn comes with finish */
	if (f->is_tunnel) {
		pass_tunnel(f);
		return;
	}
	if (f->stream.x == NULL && !f->has_begun && !f->is_discarding) {
		/* Who does not read its answers is not asked for more: on_drain comes back to it. */
		if (conn_backlog(f->conn) > FRONT_HIGH_MARK)
			return;
		if (has_to_wait(f))
			return;
		begin_request(f);
	}
	in = conn_in(f->conn);
	had = in.len;
	batch.n = 0;
	while (take_event(f, h1_parser_next(&f->parser, &in), &batch))
		if (f->magic != FRONT_MAGIC || f->is_tunnel)
			break;
	if (f->magic != FRONT_MAGIC)
		return;
	conn_consume(f->conn, had - in.len);
	if (is_deserted(f, in))
		leave(f, END_CLIENT_ABORT, f->stream.x != NULL ? GOODBYE_NOW : GOODBYE_SENT);
	else if (f->stream.x != NULL)
		arm(f);
}

static void
on_eof(void *owner)
{
	struct front_h1 *f = owner;

	if (f->stream.x != NULL && f->is_tunnel) {
		f->env->events->on_request_end(f->stream.x);
		return;
	}
	/* FIN behind a pipelined request: that one is still to be answered. */
	if (is_deserted(f, conn_in(f->conn)))
		leave(f, END_CLIENT_ABORT, GOODBYE_NOW);
}

static void
on_close(void *owner, enum end why)
{
	struct front_h1 *f = owner;

	(void)why;
	leave(f, END_CLIENT_ABORT, GOODBYE_NOW);
}

static void
on_drain(void *owner)
{
	struct front_h1 *f = owner;

	if (f->stream.x != NULL)
		f->env->events->on_drain(f->stream.x);
	else
		conn_kick(f->conn);
}

static const struct conn_events conn_events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_close = on_close,
	.is_hasty = true,
};

/* --- answers -------------------------------------------------------------------------------------- */

static struct front_h1 *
front_of(struct front_stream *s)
{
	struct front_h1 *f = (struct front_h1 *)s;

	check(f->magic == FRONT_MAGIC);
	return f;
}

/* An answer whose end an HTTP/1.0 client (or we) can only tell by the connection's end. */
static void
choose_framing(struct front_h1 *f, struct message *m)
{
	if (f->is_http10 && m->framing == FRAMING_CHUNKED)
		m->framing = FRAMING_CLOSE;
	f->framing = m->framing;
	if (m->framing == FRAMING_CLOSE || f->env->is_draining || !m->keep_alive)
		f->keep_alive = false;
}

static void
send_head(struct front_stream *s, struct message *m)
{
	struct front_h1 *f = front_of(s);
	size_t room;
	char *p;

	if (m->status >= 200 || m->status == 101) {
		f->head_sent = true;
		choose_framing(f, m);
		f->is_tunnel = m->status == 101;
		if (f->is_tunnel)
			f->keep_alive = false;
		else if (!f->keep_alive)
			message_add(m, FIELD_CONNECTION, field_name(FIELD_CONNECTION), STR("close"));
		else if (f->is_http10)
			message_add(m, FIELD_CONNECTION, field_name(FIELD_CONNECTION),
			    STR("keep-alive"));
	} else if (f->is_http10)
		return;			/* RFC 9110 15.2: no 1xx to HTTP/1.0 */
	room = h1_head_size(m);
	p = conn_scratch(f->conn, room);
	conn_write(f->conn, str_make(p, h1_write_head(m, p, room)));
	if (f->is_tunnel)
		conn_kick(f->conn);
}

static void
send_body(struct front_stream *s, const struct str *spans, size_t n)
{
	struct front_h1 *f = front_of(s);
	uint64_t total = 0;
	size_t i;
	char *line;

	if (f->framing == FRAMING_NONE)
		return;
	for (i = 0; i < n; i++)
		total += spans[i].len;
	if (total == 0)
		return;
	if (f->framing == FRAMING_CHUNKED) {
		line = conn_scratch(f->conn, 20);
		conn_write(f->conn, str_make(line, h1_write_chunk_line(total, line)));
	}
	for (i = 0; i < n; i++)
		conn_write(f->conn, spans[i]);
	if (f->framing == FRAMING_CHUNKED)
		conn_write(f->conn, STR("\r\n"));
}

static void
send_last_chunk(struct front_h1 *f, const struct field *trailers, size_t n)
{
	size_t room = 5, i;
	char *p;

	for (i = 0; i < n; i++)
		room += trailers[i].name.len + trailers[i].value.len + 4;
	p = conn_scratch(f->conn, room);
	conn_write(f->conn, str_make(p, h1_write_last_chunk(trailers, n, p, room)));
}

static void
finish(struct front_stream *s, const struct field *trailers, size_t n)
{
	struct front_h1 *f = front_of(s);

	if (f->framing == FRAMING_CHUNKED)
		send_last_chunk(f, trailers, n);
	s->x = NULL;
	if (!f->keep_alive) {
		/* Closed with bytes unread, the kernel sends RST, and what is on its way is lost. */
		close_front(f, f->request_done && !f->is_tunnel && conn_in(f->conn).len == 0
		    ? GOODBYE_SENT : GOODBYE_GENTLE);
		return;
	}
	if (f->is_held)
		conn_hold(f->conn, false);
	f->is_held = false;
	if (conn_is_at_eof(f->conn) && conn_in(f->conn).len == 0) {
		close_front(f, GOODBYE_SENT);
		return;
	}
	f->is_discarding = !f->request_done;
	f->discarded = 0;
	if (f->is_discarding) {
		/* Both went with the exchange; the parser then drops trailers. */
		f->parser.arena = NULL;
		f->parser.message = NULL;
	}
	arm(f);
	if (conn_in(f->conn).len > 0)
		conn_kick(f->conn);
}

static void
reset(struct front_stream *s)
{
	struct front_h1 *f = front_of(s);

	s->x = NULL;
	/* Where only the end of the connection ends a body, a FIN would look like the whole. */
	close_front(f, f->head_sent && f->framing == FRAMING_CLOSE ? GOODBYE_RESET : GOODBYE_GENTLE);
}

static void
hold(struct front_stream *s, bool held)
{
	struct front_h1 *f = front_of(s);

	if (f->is_held == held)
		return;
	f->is_held = held;
	f->body_at = clock_now();
	conn_hold(f->conn, held);
	if (!held)
		arm(f);
}

static void
excuse(struct front_stream *s, bool excused)
{
	struct front_h1 *f = front_of(s);

	if (f->is_excused == excused)
		return;
	f->is_excused = excused;
	f->body_at = clock_now();
	if (!excused)
		arm(f);
}

static void
shut_down(struct front_stream *s)
{
	conn_shutdown(front_of(s)->conn);
}

static size_t
backlog(const struct front_stream *s)
{
	return conn_backlog(((const struct front_h1 *)s)->conn);
}

static const struct front_ops front_ops = {
	.name = "http/1.1",
	.send_head = send_head,
	.send_body = send_body,
	.finish = finish,
	.reset = reset,
	.shutdown = shut_down,
	.hold = hold,
	.excuse = excuse,
	.backlog = backlog,
};

/* --- birth, drain --------------------------------------------------------------------------------- */

void
front_h1_open(struct front_env *env, struct front_h1_list *list, struct conn *conn,
    const struct arrival *arrival)
{
	struct h1_limits limits = {
		.max_head = env->client->max_head,
		.max_target = 16 * 1024,
		.max_fields = 200,
		.keep_underscore = env->client->keep_underscore,
	};
	const struct tls_info *tls = conn_tls(conn);
	struct front_h1 *f = slab_take(&fronts);

	f->magic = FRONT_MAGIC;
	f->env = env;
	f->list = list;
	f->stream.ops = &front_ops;
	f->stream.local_port = arrival->local_port;
	f->stream.local = arrival->local;
	f->stream.is_tls = tls != NULL;
	f->stream.is_own = arrival->is_own;
	n_own += arrival->is_own;
	if (tls != NULL) {
		f->stream.subject = tls->subject;
		f->stream.subject_field = tls->subject_field;
	}
	f->is_misplaced = arrival->is_misplaced;
	ip_of_sockaddr(conn_peer(conn), &f->stream.peer);
	if (f->stream.peer.is_set) {
		f->stream.peer_port = address_port(conn_peer(conn));
		ip_format(&f->stream.peer, f->stream.peer_text, sizeof(f->stream.peer_text));
	} else
		snprintf(f->stream.peer_text, sizeof(f->stream.peer_text), "unix");
	f->conn = conn;
	conn_set_owner(conn, &conn_events, f);
	conn_set_marks(f->conn, FRONT_HIGH_MARK, LOW_MARK);
	h1_parser_init(&f->parser, true, &limits);
	deadline_init(&f->deadline, env->loop, on_deadline, f);
	TAILQ_INSERT_TAIL(list, f, entry);
	arm(f);
}

void
front_h1_drain(struct front_h1_list *list)
{
	struct front_h1 *f;

	TAILQ_FOREACH(f, list, entry)
		if (f->stream.x == NULL)
			arm(f);
}

void
front_h1_close_all(struct front_h1_list *list)
{
	struct front_h1 *f, *next;

	for (f = TAILQ_FIRST(list); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		check(f->stream.x == NULL);
		close_front(f, GOODBYE_NOW);
	}
}

bool
front_h1_make_room(struct front_h1_list *list, bool idle_only)
{
	struct front_h1 *f;

	TAILQ_FOREACH(f, list, entry)
		if (f->stream.x == NULL && (!idle_only || (f->is_served && !f->has_begun &&
		    !f->is_waiting && !f->is_discarding && conn_backlog(f->conn) == 0))) {
			close_front(f, GOODBYE_NOW);
			return true;
		}
	return false;
}
