/* SPDX-License-Identifier: MIT */
/*
 * A live server: health, load, idle connections.
 *
 * Passive health is a ring of failure times and one number, when the ejection ends.  Knows no pool:
 * what it is judged by comes as arguments.  Invariant: ejected_until is 0 or the server takes one
 * request at a time once that time is over.
 */
#include "upstream/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "net/conn.h"
#include "net/tls.h"

enum { BACKEND_MAGIC = 0x6261636b };

struct parked {
	struct backend *backend;
	struct conn    *conn;
	msec            expires;
	TAILQ_ENTRY(parked) entry;
};

static struct slab parkeds;

static void on_idle_deadline(void *);
static void on_ejection_over(void *);

void
backend_module_init(void)
{
	slab_init(&parkeds, "parked", sizeof(struct parked));
}

void
backend_module_fini(void)
{
	slab_fini(&parkeds);
}

void
backend_registry_init(struct backend_registry *r, struct loop *loop)
{
	memset(r, 0, sizeof(*r));
	r->loop = loop;
}

void
backend_registry_fini(struct backend_registry *r)
{
	check(r->by_identity.n == 0);
	table_fini(&r->by_identity);
}

size_t
backend_registry_count(const struct backend_registry *r)
{
	return r->by_identity.n;
}

/* --- who wants to know ----------------------------------------------------------------------- */

void
backend_watch(struct backend *b, struct backend_watch *w, void (*changed)(void *arg), void *arg)
{
	w->changed = changed;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&b->watches, w, entry);
}

void
backend_unwatch(struct backend *b, struct backend_watch *w)
{
	TAILQ_REMOVE(&b->watches, w, entry);
}

static void
tell_change(const struct backend *b)
{
	struct backend_watch *w;

	TAILQ_FOREACH(w, &b->watches, entry)
		w->changed(w->arg);
}

/* Its time over, a trial is due, which nobody else would notice while all wait. */
static void
on_ejection_over(void *arg)
{
	tell_change(arg);
}

static void
drop(struct parked *p)
{
	TAILQ_REMOVE(&p->backend->idle, p, entry);
	p->backend->n_idle--;
	conn_close(p->conn);
	slab_give(&parkeds, p);
}

/* --- identity --------------------------------------------------------------------------------- */

/* Those to the old addresses of a name lead to who is no longer meant. */
static void
drop_idle(struct backend *b)
{
	while (!TAILQ_EMPTY(&b->idle))
		drop(TAILQ_FIRST(&b->idle));
}

static bool
same_address(const struct socket_address *a, const struct socket_address *b)
{
	return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

static bool
has_addresses(const struct backend *b, const struct socket_address *at, size_t n)
{
	size_t i;

	for (i = 0; i < n && i < b->n_at; i++)
		if (!same_address(&b->at[i], &at[i]))
			return false;
	return n == b->n_at;
}

/* The one that served goes on to, if it is still there. */
void
backend_set_addresses(struct backend *b, const struct socket_address *at, size_t n)
{
	struct socket_address first;
	size_t i;

	if (n > BACKEND_MAX_ADDRESSES)
		n = BACKEND_MAX_ADDRESSES;
	if (has_addresses(b, at, n))
		return;
	first = b->at[b->turn];
	memcpy(b->at, at, n * sizeof(*at));
	b->n_at = n;
	b->turn = 0;
	for (i = 0; i < n; i++)
		if (same_address(&first, &at[i]))
			b->turn = i;
	b->moves++;
	drop_idle(b);
	tell_change(b);
}

size_t
backend_address_first(const struct backend *b)
{
	return b->turn;
}

void
backend_address_failed(struct backend *b, size_t i)
{
	if (b->turn == i && b->n_at > 0)
		b->turn = (i + 1) % b->n_at;
}

static char *
copy(struct str s)
{
	char *p = strndup(s.p, s.len);

	check(p != NULL);
	return p;
}

static void
add_word(FILE *out, const char *what, struct str s)
{
	if (s.len > 0)
		fprintf(out, " %s %.*s", what, STR_ARG(s));
}

/* Servers of one address and different ideas of who has to be there are different servers. */
static char *
make_key(const struct address *address, const struct tls_client_conf *tls)
{
	char *key = NULL;
	size_t len;
	FILE *out = open_memstream(&key, &len);

	check(out != NULL);
	fprintf(out, "%.*s", STR_ARG(address->text));
	add_word(out, "of", address->host);
	if (tls != NULL) {
		fputs(tls->verify ? "" : " unverified", out);
		add_word(out, "ca", tls->ca);
		add_word(out, "as", tls->server_name);
		add_word(out, "with", tls->certificate.cert);
		add_word(out, "key", tls->certificate.key);
	}
	fclose(out);
	return key;
}

struct backend *
backend_get(struct backend_registry *r, const struct address *address,
    const struct tls_client_conf *tls)
{
	char *key = make_key(address, tls);
	struct backend *b = table_get(&r->by_identity, str_of(key));

	if (b != NULL) {
		free(key);
		return backend_ref(b);
	}
	b = calloc(1, sizeof(*b));
	check(b != NULL);
	b->magic = BACKEND_MAGIC;
	b->refs = 1;
	b->registry = r;
	b->key = key;
	b->address = *address;
	b->address.text = b->identity = str_of(copy(address->text));
	b->address.host = str_of(copy(address->host));
	TAILQ_INIT(&b->idle);
	TAILQ_INIT(&b->watches);
	deadline_init(&b->idle_deadline, r->loop, on_idle_deadline, b);
	deadline_init(&b->ejection, r->loop, on_ejection_over, b);
	if (!b->address.is_name) {
		b->n_at = 1;
		b->at[0].sa = address->sa;
		b->at[0].len = address->len;
	}
	table_set(&r->by_identity, str_of(b->key), b);
	return b;
}

void
backend_set_tls(struct backend *b, struct tls_context *tls)
{
	if (b->tls == tls)
		return;
	if (b->tls != NULL) {
		tls_context_unref(b->tls);
		tls_resume_unref(b->resume);
	}
	/* A session taken up is not looked at again: the new context begins without. */
	b->tls = tls_context_ref(tls);
	b->resume = tls_resume_new();
}

struct conn *
backend_connect(struct backend *b, size_t address, struct str first,
    const struct conn_events *events, void *owner)
{
	const struct socket_address *a = &b->at[address];
	struct conn *c = conn_connect(b->registry->loop, &a->sa.sa, a->len, events, owner);

	conn_write_copy(c, first);
	if (b->tls != NULL)
		conn_start_tls_client(c, b->tls, b->address.host, b->resume);
	return c;
}

struct backend *
backend_ref(struct backend *b)
{
	check(b->magic == BACKEND_MAGIC);
	b->refs++;
	return b;
}

void
backend_unref(struct backend *b)
{
	check(b->magic == BACKEND_MAGIC && b->refs > 0);
	if (--b->refs > 0)
		return;
	check(b->inflight == 0 && TAILQ_EMPTY(&b->watches));
	if (b->checker != NULL)
		b->end_checker(b);
	drop_idle(b);
	deadline_fini(&b->idle_deadline);
	deadline_fini(&b->ejection);
	table_remove(&b->registry->by_identity, str_of(b->key));
	if (b->tls != NULL) {
		tls_context_unref(b->tls);
		tls_resume_unref(b->resume);
	}
	b->magic = 0;
	free(b->key);
	free((char *)(uintptr_t)b->identity.p);
	free((char *)(uintptr_t)b->address.host.p);
	free(b);
}

/* --- passive health ----------------------------------------------------------------------------- */

enum backend_health
backend_health(const struct backend *b, msec now)
{
	if (b->ejected_until == 0)
		return BACKEND_UP;
	return now < b->ejected_until ? BACKEND_EJECTED : BACKEND_TRIAL;
}

bool
backend_is_available(const struct backend *b, msec now)
{
	if (b->n_at == 0 || b->check == BACKEND_STARTING || b->check == BACKEND_DOWN)
		return false;
	return b->ejected_until == 0 || (now >= b->ejected_until && !b->on_trial);
}

bool
backend_is_up(const struct backend *b, msec now)
{
	return backend_is_available(b, now) && backend_health(b, now) == BACKEND_UP;
}

void
backend_begin(struct backend *b, msec now, bool *is_trial)
{
	*is_trial = backend_health(b, now) == BACKEND_TRIAL && !b->on_trial;
	if (*is_trial)
		b->on_trial = true;
	b->inflight++;
	b->stats.picked++;
}

void
backend_done(struct backend *b, bool is_trial)
{
	check(b->inflight > 0);
	b->inflight--;
	if (is_trial)
		b->on_trial = false;
	tell_change(b);
}

void
backend_success(struct backend *b, bool probation)
{
	if (!probation || b->ejected_until == 0)
		return;
	b->ejected_until = 0;
	b->n_fails = 0;
	b->recovered_at = clock_now();
	log_info("server %.*s: answers again", STR_ARG(b->identity));
	tell_change(b);
}

static void
eject(struct backend *b, msec now, msec fail_timeout, const char *why)
{
	bool again = b->ejected_until != 0;

	b->ejected_until = now + fail_timeout;
	b->n_fails = 0;
	b->stats.ejected++;
	if (again)
		log_info("server %.*s: still failing (%s), left out for another %lld ms",
		    STR_ARG(b->identity), why, (long long)fail_timeout);
	else
		log_warn("server %.*s: left out for %lld ms, last failure: %s",
		    STR_ARG(b->identity), (long long)fail_timeout, why);
	deadline_arm(&b->ejection, fail_timeout);
	tell_change(b);
}

static void
note(char to[BACKEND_NOTE], const char *why)
{
	snprintf(to, BACKEND_NOTE, "%s", why);
}

/* How many of the remembered failures are younger than fail_timeout, the newest first. */
static unsigned
recent(const struct backend *b, msec now, msec fail_timeout)
{
	unsigned i;

	for (i = 0; i < b->n_fails; i++) {
		unsigned at = (b->fails_at + BACKEND_MAX_FAILS - 1 - i) % BACKEND_MAX_FAILS;

		if (now - b->fails[at] >= fail_timeout)
			break;
	}
	return i;
}

void
backend_failure(struct backend *b, msec now, bool probation, unsigned max_fails, msec fail_timeout,
    const char *why)
{
	b->stats.failed++;
	note(b->last_failure, why);
	if (max_fails == 0)
		return;
	if (b->ejected_until != 0) {
		/* What was under way when it was ejected says nothing new. */
		if (probation)
			eject(b, now, fail_timeout, why);
		return;
	}
	b->fails[b->fails_at] = now;
	b->fails_at = (b->fails_at + 1) % BACKEND_MAX_FAILS;
	if (b->n_fails < BACKEND_MAX_FAILS)
		b->n_fails++;
	if (recent(b, now, fail_timeout) >= max_fails)
		eject(b, now, fail_timeout, why);
}

void
backend_stalled(struct backend *b, msec now, msec silent, unsigned max_fails, msec fail_timeout)
{
	char why[64];

	b->stats.failed++;
	snprintf(why, sizeof(why), "not a byte in %lld ms, with requests waiting", (long long)silent);
	note(b->last_failure, why);
	if (max_fails == 0 || backend_health(b, now) == BACKEND_EJECTED)
		return;
	eject(b, now, fail_timeout, why);
}

/* --- active health -------------------------------------------------------------------------------- */

void
backend_checked(struct backend *b, enum backend_check state)
{
	bool is_back = b->check == BACKEND_DOWN && state == BACKEND_PASSES;

	if (is_back) {
		b->ejected_until = 0;
		b->n_fails = 0;
	}
	if (is_back || (b->is_newcomer && b->check == BACKEND_STARTING && state == BACKEND_PASSES))
		b->recovered_at = clock_now();
	b->check = state;
	if (state == BACKEND_PASSES)
		b->finding[0] = '\0';
	tell_change(b);
}

void
backend_found(struct backend *b, const char *why)
{
	note(b->finding, why);
}

const char *
backend_state_name(const struct backend *b, msec now)
{
	static const char *const names[] = {
		[BACKEND_UP] = "up",
		[BACKEND_EJECTED] = "ejected",
		[BACKEND_TRIAL] = "trial",
	};

	if (b->n_at == 0)
		return "unresolved";
	if (b->check == BACKEND_STARTING)
		return "starting";
	return b->check == BACKEND_DOWN ? "check_failed" : names[backend_health(b, now)];
}

/* --- idle connections ------------------------------------------------------------------------------ */

/* An idle connection has nothing to say: bytes, an end and an error are all its end. */
static void
on_sign(void *owner)
{
	drop(owner);
}

static void
on_close(void *owner, enum end why)
{
	(void)why;
	drop(owner);
}

static const struct conn_events parked_events = {
	.on_data = on_sign,
	.on_eof = on_sign,
	.on_close = on_close,
};

static void
on_idle_deadline(void *arg)
{
	struct backend *b = arg;
	msec now = clock_now(), first = 0;
	struct parked *p, *next;

	for (p = TAILQ_FIRST(&b->idle); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->expires <= now)
			drop(p);
		else if (first == 0 || p->expires < first)
			first = p->expires;
	}
	if (first != 0)
		deadline_arm(&b->idle_deadline, first - now);
}

void
backend_park(struct backend *b, struct conn *c, unsigned limit, msec timeout)
{
	struct parked *p;

	if (b->n_idle >= limit) {
		conn_close(c);
		return;
	}
	p = slab_take(&parkeds);
	p->backend = b;
	p->conn = c;
	p->expires = clock_now() + timeout;
	conn_set_owner(c, &parked_events, p);
	TAILQ_INSERT_HEAD(&b->idle, p, entry);
	b->n_idle++;
	/* Armed by the first; the timer finds the others when it fires. */
	if (b->idle_deadline.at == 0)
		deadline_arm(&b->idle_deadline, timeout);
}

struct conn *
backend_unpark(struct backend *b)
{
	struct parked *p;
	struct conn *c;

	while ((p = TAILQ_FIRST(&b->idle)) != NULL) {
		/* What its event has not told yet counts too. */
		if (!conn_is_quiet(p->conn)) {
			drop(p);
			continue;
		}
		c = p->conn;
		TAILQ_REMOVE(&b->idle, p, entry);
		b->n_idle--;
		slab_give(&parkeds, p);
		b->stats.reused++;
		return c;
	}
	return NULL;
}
