/* SPDX-License-Identifier: MIT */
/*
 * A live server by identity (its address): health, load, idle connections.  Found or made in a
 * registry, counted by the pools (and attempts) that use it, so that it survives a reload.  Knows no
 * pool and no exchange; the rules it is judged by are arguments.
 */
#ifndef UPSTREAM_BACKEND_H
#define UPSTREAM_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/str.h"
#include "base/table.h"
#include "net/loop.h"

#define BACKEND_MAX_FAILS 64
#define BACKEND_MAX_ADDRESSES 8

enum { BACKEND_NOTE = 96 };		/* bytes of what is told of a failure */

enum backend_health { BACKEND_UP, BACKEND_EJECTED, BACKEND_TRIAL };
/* What its health check says. */
enum backend_check {
	BACKEND_UNCHECKED,		/* there is none */
	BACKEND_STARTING,		/* it has never passed */
	BACKEND_PASSES,
	BACKEND_DOWN
};

struct checker;
struct conn;
struct conn_events;
struct parked;
struct tls_client_conf;
struct tls_context;
struct tls_resume;

/* Somebody to be told when more may be possible than before; embedded in who wants to know. */
struct backend_watch {
	void (*changed)(void *arg);
	void  *arg;
	TAILQ_ENTRY(backend_watch) entry;
};

struct backend_stats {
	uint64_t picked, failed, ejected, reused, opened;
};

struct backend_registry {
	struct loop *loop;
	struct table by_identity;
};

struct backend {
	unsigned magic, refs;
	struct backend_registry *registry;
	char          *key;		/* what it is found by: identity and what is meant by TLS */
	struct str     identity;	/* address->text, own memory */
	struct address address;		/* own memory */
	struct socket_address at[BACKEND_MAX_ADDRESSES];
	size_t         n_at;		/* of them; none: down */
	size_t         turn;		/* the one among them that is tried first */
	unsigned       moves;		/* how often they changed */
	bool           is_newcomer;	/* joined others that served already: slow_start is for it too */
	struct tls_context *tls;	/* counted; NULL: plain */
	struct tls_resume  *resume;	/* the last session with it */
	unsigned       inflight;	/* exchanges that were given this server */
	unsigned       slots;		/* of these, of pools that limit it (pool.h) */
	/* passive health */
	msec           fails[BACKEND_MAX_FAILS];	/* times of the last failures, a ring */
	unsigned       fails_at, n_fails;
	char           last_failure[BACKEND_NOTE];	/* for people; empty: none yet */
	msec           ejected_until;	/* 0: not ejected */
	bool           on_trial;	/* one exchange is testing it after its ejection */
	struct deadline ejection;	/* its end, for who waits for it */
	msec           recovered_at;	/* from its ejection or from being down; 0: never */
	msec           heard_at;	/* when a byte of an answer last came from it, to anybody */
	/* active health */
	enum backend_check check;
	char           finding[BACKEND_NOTE];	/* of its check, while that does not pass */
	struct checker *checker;	/* own memory of health.c; NULL: nobody asks it */
	void          (*end_checker)(struct backend *);
	bool           is_claimed, is_known;	/* of health_follow */
	TAILQ_HEAD(, backend_watch) watches;
	/* idle connections, the most recently used first */
	TAILQ_HEAD(, parked) idle;
	unsigned       n_idle;
	struct deadline idle_deadline;
	struct backend_stats stats;
};

void backend_module_init(void);
void backend_module_fini(void);
void backend_registry_init(struct backend_registry *, struct loop *);
void backend_registry_fini(struct backend_registry *);
size_t backend_registry_count(const struct backend_registry *);

/*
 * The backend of that address, found or made; the caller owns a reference.  The text is what it is
 * called and the host is who it is expected to be: two names of one address are two servers.  tls is
 * part of who it is: NULL is plain.  A name has no socket address until it is given some.
 */
struct backend *backend_get(struct backend_registry *, const struct address *,
    const struct tls_client_conf *tls);
/* Where it is from now on; what is beyond BACKEND_MAX_ADDRESSES is left out. */
void backend_set_addresses(struct backend *, const struct socket_address *, size_t n);
/* From the next connection on: what a tls section was made to.  Takes a reference. */
void backend_set_tls(struct backend *, struct tls_context *);
/* Opens a connection to one of its socket addresses (below), past its handshake when it speaks TLS;
 * on_open or on_close follows. */
struct conn *backend_connect(struct backend *, size_t address, struct str first,
    const struct conn_events *, void *owner);
struct backend *backend_ref(struct backend *);
/* The last one closes the idle connections and frees it. */
void backend_unref(struct backend *);

/* changed(arg) is called whenever a slot, the trial or the server itself may have become free, or it
 * was ejected: inside whatever call that was, so it may only take note. */
void backend_watch(struct backend *, struct backend_watch *, void (*changed)(void *arg), void *arg);
void backend_unwatch(struct backend *, struct backend_watch *);

/* --- socket addresses: it may have several, of which some do not answer ---------------------- */
/* The index of the one to try first; and that it did not answer, so that another comes first. */
size_t backend_address_first(const struct backend *);
void backend_address_failed(struct backend *, size_t);

/* --- passive health (BEHAVIOUR.md 7); now is monotonic ------------------------------------- */
enum backend_health backend_health(const struct backend *, msec now);
/* Its check does not say otherwise and it is BACKEND_UP, or its ejection is over and nobody is on trial:
 * may be picked. */
bool backend_is_available(const struct backend *, msec now);
/* For people: it serves, neither ejected nor on trial. */
bool backend_is_up(const struct backend *, msec now);
/* An exchange was given this server: counts it in flight; takes the trial when one is due. */
void backend_begin(struct backend *, msec now, bool *is_trial);
/* It is over with this server; a trial without a verdict is free for the next. */
void backend_done(struct backend *, bool is_trial);
/*
 * Verdicts.  probation says that the attempt was made on an ejected server (its trial, or a pool that
 * failed open): a success then restores it, a failure ejects it anew.  Else failures within a sliding
 * fail_timeout are counted; max_fails 0 never ejects.  Ejection and recovery are logged, a line each.
 */
void backend_success(struct backend *, bool probation);
void backend_failure(struct backend *, msec now, bool probation, unsigned max_fails,
    msec fail_timeout, const char *why);
/*
 * Silent for so long to everybody, with requests that wait for it: ejects it at once, unless it is
 * ejected already or max_fails is 0.
 */
void backend_stalled(struct backend *, msec now, msec silent, unsigned max_fails, msec fail_timeout);
/* Its health check says something else now; an ejection from before it went down is forgotten when it
 * comes back. */
void backend_checked(struct backend *, enum backend_check);
/* What a check that did not pass found, for people. */
void backend_found(struct backend *, const char *why);
/* What it is now, in a word for people: up, ejected, trial, starting, check_failed, unresolved. */
const char *backend_state_name(const struct backend *, msec now);

/* --- idle connections ------------------------------------------------------------------------ */
/* Takes the connection over.  Closed at once when limit connections are idle already; closed when it
 * becomes readable, ends, or timeout has passed (lazily, by one timer a backend). */
void backend_park(struct backend *, struct conn *, unsigned limit, msec timeout);
/* The most recently parked connection on which nothing came, or NULL; its owner is to be set anew. */
struct conn *backend_unpark(struct backend *);

#endif
