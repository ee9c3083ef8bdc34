/* SPDX-License-Identifier: MIT */
/*
 * May it be stored, may it be served, for how long: RFC 9111 for a shared cache, with the rules of
 * a caches: section (BEHAVIOUR.md 9).  Pure: messages, numbers and the time go in, a decision comes
 * out.  Called by cached.c; knows no entries.  Times are monotonic milliseconds unless they say
 * wall.
 */
#ifndef CACHE_CACHE_POLICY_H
#define CACHE_CACHE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/cache_control.h"
#include "config/config.h"
#include "http/message.h"

struct arena;

/* Why something is not looked up, stored or keyed; the word goes to Cache-Status and the log. */
enum cache_why {
	CACHE_WHY_NONE,
	/* of the request */
	CACHE_WHY_METHOD,		/* not one of methods: */
	CACHE_WHY_TARGET,		/* not an origin-form path */
	CACHE_WHY_BODY,			/* a GET or HEAD with a body */
	CACHE_WHY_UPGRADE,
	CACHE_WHY_EXPECT,
	CACHE_WHY_CONNECTION,		/* Connection takes fields out on the way */
	CACHE_WHY_OVERRIDE,		/* X-HTTP-Method-Override, X-Original-URL and their like */
	CACHE_WHY_PRECONDITION,		/* If-Match, If-Unmodified-Since: the origin's to judge */
	CACHE_WHY_NOT_REQUESTED,	/* when: requested */
	CACHE_WHY_REQUEST_NO_STORE,
	CACHE_WHY_HEAD,			/* its answer has no body to store */
	CACHE_WHY_RANGE,		/* its answer is a part */
	/* of the key */
	CACHE_WHY_BODY_TOO_LARGE,
	CACHE_WHY_JSON_INVALID,		/* also invalid UTF-8 */
	CACHE_WHY_JSON_DUPLICATE,	/* a member twice */
	CACHE_WHY_JSON_DEEP,
	CACHE_WHY_JSON_NUMBER,		/* of more digits or a larger exponent than are compared */
	CACHE_WHY_JSON_COMPLEX,		/* would hold the loop too long */
	/* of the answer */
	CACHE_WHY_NO_STORE,
	CACHE_WHY_PRIVATE,
	CACHE_WHY_SET_COOKIE,
	CACHE_WHY_VARY,			/* *, or too much */
	CACHE_WHY_AUTHORIZATION,	/* RFC 9111 3.5 */
	CACHE_WHY_PARTIAL,		/* 206, Content-Range */
	CACHE_WHY_STATUS,		/* never stored (status_is_storable) */
	CACHE_WHY_NO_LIFETIME,		/* neither the server nor valid: says one */
	CACHE_WHY_EXPIRED,		/* stale on arrival and nothing to validate it by */
	CACHE_WHY_TOO_LARGE,		/* over max_object; for cached.c */
	CACHE_WHY_NO_MEMORY,		/* for cached.c */
	CACHE_WHY_CUT,			/* the server ended it early; for cached.c */
	CACHE_WHY_COUNT
};
/* A token such as "set-cookie" or "json-duplicate"; "" for NONE. */
struct str cache_why_word(enum cache_why);

/* Why a request goes to the server (RFC 9211 2.2). */
enum cache_forward {
	CACHE_FORWARD_NONE,		/* it does not: a hit */
	CACHE_FORWARD_BYPASS,
	CACHE_FORWARD_METHOD,
	CACHE_FORWARD_URI_MISS,
	CACHE_FORWARD_VARY_MISS,
	CACHE_FORWARD_MISS,
	CACHE_FORWARD_REQUEST,
	CACHE_FORWARD_STALE,
	CACHE_FORWARD_PARTIAL
};

/* --- the request ----------------------------------------------------------------------------- */

/* What may be done for a request, before anything is looked up. */
struct cache_plan {
	bool may_serve;			/* look it up: a stored answer may be used */
	bool may_store;			/* its answer may, if cache_policy_store says so too */
	bool may_follow;		/* may join a fetch that began before it */
	bool only_if_cached;		/* 504 rather than ask (RFC 9111 5.2.1.7) */
	bool no_cache;			/* nothing stored without asking the server */
	bool has_authorization;		/* GET, HEAD: served only what is allowed for that */
	bool is_head;
	bool is_post;			/* needs the whole body for its key */
	bool has_range;			/* one range, of GET: may be cut from a stored whole */
	int32_t max_age, min_fresh, max_stale;	/* as in struct cache_control */
	enum cache_forward forward;	/* BYPASS or METHOD when it may not be served, else NONE */
	enum cache_why why;		/* why it may not be served, or else not be stored */
};
struct cache_plan cache_policy_lookup(const struct cache_conf *, const struct message *request);

/*
 * Fields of the request that a fetch for the cache leaves out, so that a whole answer comes: the
 * conditional ones.  (Whoever sent them is answered by cache_answer_of from what came.)
 */
bool cache_policy_leaves_out(enum field_id);

/* --- the answer ------------------------------------------------------------------------------ */

/* When an answer came. */
struct cache_times {
	msec    sent;			/* the request left, or a little before */
	msec    received;		/* its head was here */
	int64_t wall;			/* the wall clock then, seconds since 1970 */
};

/* Of an answer; plain data that is kept with the entry. */
struct freshness {
	bool storable;
	enum cache_why why;		/* why it is not */
	bool is_explicit;		/* the lifetime is the server's own, not that of valid: */
	bool no_cache;			/* never without asking (also: stale on arrival) */
	bool must_revalidate;		/* never stale; also by s-maxage and no-cache */
	bool for_authorized;		/* public, must-revalidate or s-maxage: RFC 9111 3.5 */
	bool has_etag, has_last_modified;	/* something to validate it by */
	msec born;			/* its current age is now - born (RFC 9111 4.2.3) */
	msec lifetime;
	msec while_revalidate, if_error;	/* beyond its lifetime (RFC 5861), 0: not at all */
};

/*
 * Whether the answer to a request may be stored, and what is to be remembered of it.  The Vary of
 * the answer is judged by cache_key_vary.  max_object is the caller's to enforce, as it counts.
 * A request whose plan may not store is not asked about again: give the plan's own.
 */
struct freshness cache_policy_store(const struct cache_conf *, const struct cache_plan *,
    const struct message *response, const struct cache_times *);

/* --- serving --------------------------------------------------------------------------------- */

enum cache_verdict {
	CACHE_FRESH,			/* serve it */
	CACHE_STALE,			/* serve it: the client takes it stale (max-stale) */
	CACHE_STALE_WHILE_REVALIDATE,	/* serve it now, refresh it behind the client's back */
	CACHE_REVALIDATE,		/* ask the server first, with the validators there are */
	CACHE_FETCH			/* not for this request at all: fetch anew */
};

struct cache_serving {
	enum cache_verdict verdict;
	bool while_updating;		/* REVALIDATE: it will do while it is refreshed */
	enum cache_forward forward;	/* why not served: STALE or REQUEST; BYPASS of FETCH */
	int64_t age;			/* seconds, for Age */
	int64_t ttl;			/* seconds it is fresh, negative when stale */
};
struct cache_serving cache_policy_serve(const struct cache_conf *, const struct cache_plan *,
    const struct freshness *, msec now);

/* What befell a refresh. */
enum cache_event { CACHE_EVENT_ERROR, CACHE_EVENT_TIMEOUT, CACHE_EVENT_STATUS };
/*
 * Whether the expired answer is served instead; status is that of the server's answer with
 * CACHE_EVENT_STATUS.  By stale: or by the answer's own stale-if-error; never against
 * must-revalidate and its like, or a request's no-cache.
 */
bool cache_policy_stale_on(const struct cache_conf *, const struct cache_plan *,
    const struct freshness *, enum cache_event, int status, msec now);

/* --- a 304 to our question (RFC 9111 4.3.4, 3.2) --------------------------------------------- */

/* Whether the 304 speaks of the stored answer: its validators, where it has any, are the same. */
bool cache_policy_is_refreshed_by(const struct message *stored, const struct message *fresh);
/*
 * The stored head with the fields of the 304 in place, in the arena (slices are shared).  What
 * describes the body, framing and hop-by-hop stays; an old Age goes; Date is the 304's, else the
 * one given.  Ask cache_policy_store and cache_key_vary about the result: it may no longer be
 * storable, or be for others.
 */
struct message *cache_policy_merge(struct arena *, const struct message *stored,
    const struct message *fresh, struct str date);

/* --- unsafe methods (RFC 9111 4.4) ----------------------------------------------------------- */

enum { CACHE_INVALID_MAX = 3 };
/*
 * What a successful answer to an unsafe request makes invalid: fills paths with origin-form targets
 * (path and query) on the request's own host: its target, Location and Content-Location.  How many;
 * 0 for safe methods, failures, and POST where POST is one of methods:.  Slices of the messages.
 * Give each to cache_key_uri.
 */
size_t cache_policy_invalidates(const struct cache_conf *, const struct message *request,
    const struct message *response, struct str scheme, struct str paths[CACHE_INVALID_MAX]);

#endif
