/* SPDX-License-Identifier: MIT */
/*
 * From accepted to understood: the header of the PROXY protocol, one TLS handshake, header_timeout at
 * most for both.
 *
 * Knows no HTTP.  Invariant: a greeting is in the list as long as it owns its connection, and leaves
 * it on three ways: done, failed, late.
 */
#include "edge/greet.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/proxy_header.h"
#include "net/tls.h"

enum {
	GREETING_MAGIC = 0x67726565,
	GRACE = 500,			/* ms left when a drain begins */
	LOG_EVERY = 10000		/* ms between two lines about failures: scanners make many */
};

struct greeting {
	unsigned magic;
	struct greeter *greeter;
	struct conn    *conn;
	struct arrival  arrival;
	bool            wants_header;	/* of the PROXY protocol, which has not come whole */
	struct tls_context *tls;	/* counted; NULL: plain */
	struct deadline deadline;
	TAILQ_ENTRY(greeting) entry;
};

static struct slab greetings;

void
greet_module_init(void)
{
	slab_init(&greetings, "greeting", sizeof(struct greeting));
}

void
greet_module_fini(void)
{
	slab_fini(&greetings);
}

void
greeter_init(struct greeter *r, struct front_env *env,
    void (*on_done)(void *, struct conn *, struct str, const struct arrival *), void *arg)
{
	r->env = env;
	r->on_done = on_done;
	r->arg = arg;
	TAILQ_INIT(&r->waiting);
}

/* The connection is somebody else's now, or closed. */
static void
drop(struct greeting *g)
{
	deadline_fini(&g->deadline);
	TAILQ_REMOVE(&g->greeter->waiting, g, entry);
	g->greeter->n_waiting--;
	if (g->tls != NULL)
		tls_context_unref(g->tls);
	g->magic = 0;
	slab_give(&greetings, g);
}

static void
give_up(struct greeting *g)
{
	conn_close(g->conn);
	drop(g);
}

/* One line now and then: who is refused has to be able to find out why. */
static void
log_now_and_then(struct greet_log *l, const struct conn *c, const char *what, const char *why)
{
	msec now = clock_now();
	char peer[64];

	if (l->logged != 0 && now - l->logged < LOG_EVERY) {
		l->unlogged++;
		return;
	}
	address_format_host(conn_peer(c), peer, sizeof(peer));
	if (l->unlogged > 0)
		log_info("%s client %s failed: %s (%llu more since the last such line)", what, peer, why,
		    (unsigned long long)l->unlogged);
	else
		log_info("%s client %s failed: %s", what, peer, why);
	l->logged = now;
	l->unlogged = 0;
}

/* --- the PROXY header -------------------------------------------------------------------------- */

static void
refuse_header(struct greeting *g, uint64_t *counter, const char *why)
{
	(*counter)++;
	log_now_and_then(&g->greeter->proxy_log, g->conn, "PROXY header of", why);
	give_up(g);
}

static void start_tls(struct greeting *);

static void
take_header(struct greeting *g, const struct proxy_header *h)
{
	g->greeter->proxy.done++;
	g->wants_header = false;
	conn_consume(g->conn, h->len);
	if (!h->is_set)
		return;
	conn_set_peer(g->conn, &h->source, h->source_port);
	g->arrival.local = h->dest;
	g->arrival.local_port = h->dest_port;
}

static void
on_header(void *owner)
{
	struct greeting *g = owner;
	struct greeter *r = g->greeter;
	struct proxy_header header;

	check(g->magic == GREETING_MAGIC);
	switch (proxy_header_parse(conn_in(g->conn), &header)) {
	case PROXY_HEADER_MORE:
		return;
	case PROXY_HEADER_BAD:
		refuse_header(g, &r->proxy.malformed, header.why);
		return;
	case PROXY_HEADER_DONE:
		take_header(g, &header);
		break;
	}
	if (g->tls != NULL) {
		start_tls(g);
		return;
	}
	r->on_done(r->arg, g->conn, STR_NONE, &g->arrival);
	drop(g);
}

/* Who looks whether the port is open, as balancers do, is no news. */
static void
on_header_eof(void *owner)
{
	struct greeting *g = owner;

	if (conn_bytes_in(g->conn) == 0)
		give_up(g);
	else
		refuse_header(g, &g->greeter->proxy.cut, "it was cut");
}

static void
on_header_close(void *owner, enum end end)
{
	(void)end;
	on_header_eof(owner);
}

static const struct conn_events header_events = {
	.on_data = on_header,
	.on_eof = on_header_eof,
	.on_close = on_header_close,
};

void
greet_refuse(struct greeter *r, struct conn *c)
{
	r->proxy.untrusted++;
	log_now_and_then(&r->proxy_log, c, "PROXY header of", "it is not in trusted_proxies");
	conn_close(c);
}

/* --- TLS --------------------------------------------------------------------------------------- */

static void
on_open(void *owner)
{
	struct greeting *g = owner;
	struct greeter *r = g->greeter;
	const struct tls_info *tls = conn_tls(g->conn);

	check(g->magic == GREETING_MAGIC);
	g->arrival.is_misplaced = tls == NULL;
	if (tls != NULL) {
		r->n_done++;
		r->n_resumed += tls->is_resumed;
	}
	r->on_done(r->arg, g->conn, tls != NULL ? tls->protocol : STR_NONE, &g->arrival);
	drop(g);
}

static void
on_close(void *owner, enum end end)
{
	struct greeting *g = owner;
	const char *why = conn_why(g->conn);

	check(g->magic == GREETING_MAGIC);
	g->greeter->n_failed++;
	/* Who just leaves (a port scan, a balancer that looks whether the port is open) is no news. */
	if (end != END_RESET && why != NULL)
		log_now_and_then(&g->greeter->tls_log, g->conn, "TLS with", why);
	give_up(g);
}

static void
on_eof(void *owner)
{
	on_close(owner, END_RESET);
}

static void
on_late(void *arg)
{
	struct greeting *g = arg;

	if (g->wants_header) {
		refuse_header(g, &g->greeter->proxy.late, "it did not come in time");
		return;
	}
	g->greeter->n_late++;
	give_up(g);
}

static const struct conn_events conn_events = {
	.on_open = on_open,
	.on_eof = on_eof,
	.on_close = on_close,
};

static void
start_tls(struct greeting *g)
{
	conn_set_owner(g->conn, &conn_events, g);
	conn_start_tls_server(g->conn, g->tls);
}

/* --- both -------------------------------------------------------------------------------------- */

void
greet_open(struct greeter *r, struct conn *conn, bool has_header, struct tls_context *tls,
    const struct arrival *arrival)
{
	struct greeting *g = slab_take(&greetings);

	g->magic = GREETING_MAGIC;
	g->greeter = r;
	g->conn = conn;
	g->arrival = *arrival;
	TAILQ_INSERT_TAIL(&r->waiting, g, entry);
	r->n_waiting++;
	deadline_init(&g->deadline, r->env->loop, on_late, g);
	deadline_arm(&g->deadline, r->env->is_draining ? GRACE : r->env->client->header_timeout);
	g->wants_header = has_header;
	g->tls = tls != NULL ? tls_context_ref(tls) : NULL;
	if (has_header)
		conn_set_owner(conn, &header_events, g);
	else
		start_tls(g);
}

void
greet_drain(struct greeter *r)
{
	struct greeting *g;

	TAILQ_FOREACH(g, &r->waiting, entry)
		if (r->env->client->header_timeout > GRACE)
			deadline_arm(&g->deadline, GRACE);
}

void
greet_close_all(struct greeter *r)
{
	while (!TAILQ_EMPTY(&r->waiting))
		give_up(TAILQ_FIRST(&r->waiting));
}
