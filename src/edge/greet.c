/* SPDX-License-Identifier: MIT */
/*
 * From accepted to understood: one TLS handshake, at most header_timeout long.
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
	g->magic = 0;
	slab_give(&greetings, g);
}

static void
give_up(struct greeting *g)
{
	conn_close(g->conn);
	drop(g);
}

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

/* One line now and then: who is refused has to be able to find out why. */
static void
log_failure(struct greeting *g, const char *why)
{
	struct greeter *r = g->greeter;
	msec now = clock_now();
	char peer[64];

	if (r->logged != 0 && now - r->logged < LOG_EVERY) {
		r->unlogged++;
		return;
	}
	address_format_host(conn_peer(g->conn), peer, sizeof(peer));
	if (r->unlogged > 0)
		log_info("TLS with client %s failed: %s (%llu more since the last such line)", peer, why,
		    (unsigned long long)r->unlogged);
	else
		log_info("TLS with client %s failed: %s", peer, why);
	r->logged = now;
	r->unlogged = 0;
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
		log_failure(g, why);
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

	g->greeter->n_late++;
	give_up(g);
}

static const struct conn_events conn_events = {
	.on_open = on_open,
	.on_eof = on_eof,
	.on_close = on_close,
};

void
greet_open(struct greeter *r, struct conn *conn, struct tls_context *tls,
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
	conn_set_owner(conn, &conn_events, g);
	conn_start_tls_server(conn, tls);
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
