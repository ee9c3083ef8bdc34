/* SPDX-License-Identifier: MIT */
/*
 * The store at work for an exchange: as an origin (a stored answer, or one that another exchange is
 * fetching) and as what fills it.  All of an exchange's business with the cache is here.
 */
#ifndef EXCHANGE_CACHED_H
#define EXCHANGE_CACHED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/end.h"
#include "base/str.h"

struct cache_entry;
struct cached;
struct exchange;
struct message;
struct world;

void cached_module_init(void);
void cached_module_fini(void);

/* The route has a cache: what may be done for this request is settled. */
void cached_begin(struct exchange *);
/* The same for the background refresh of an expired answer that of was just served. */
void cached_begin_refresh(struct exchange *, const struct exchange *of, struct cache_entry *stale);
/* The key needs the request's body, which has not come whole yet and may still be short enough. */
bool cached_wants_body(const struct exchange *);

enum cached_next {
	CACHED_FETCH,			/* ask a server */
	CACHED_SERVE,			/* serve what is there */
	CACHED_WAIT,			/* somebody fetches it: news will come */
	CACHED_REFUSE			/* only-if-cached, and it is not */
};
/* Looks it up; begins a fill where the fetch shall be stored. */
void cached_lookup(struct exchange *);
enum cached_next cached_verdict(const struct exchange *);
/* Waiting for another's fetch took too long: this one fetches for itself. */
void cached_give_up(struct exchange *);

/* Sends the head of the answer that was found or is being filled, and what there is of its body. */
void cached_serve(struct exchange *);
/* More may be sent: the client takes bytes again.  Goes on to the end, if that is there; it may be that
 * of a fetch that failed. */
void cached_go_on(struct exchange *);
/* The client has all of it. */
bool cached_is_served(const struct exchange *);

/* A refresh: adds validators, and leaves out the client's conditions. */
void cached_shape_request(struct exchange *, struct message *);

enum cached_head {
	CACHED_PASSES,			/* the answer goes to the client as it is */
	CACHED_FILLS,			/* it is stored as it comes: serve it */
	CACHED_REFRESHED		/* 304: serve the stored one when this answer is over */
};
enum cached_head cached_head(struct exchange *, const struct message *);
/* Whether a stored answer shall be served rather than this failure (or answer with status, END_OK);
 * it is then ready to be served. */
bool cached_use_stale(struct exchange *, enum end why, int status);

/* Body bytes and the end of a filling answer. */
void cached_fill(struct exchange *, const struct str *spans, size_t n);
void cached_fill_end(struct exchange *);
bool cached_is_filling(const struct exchange *);
/* Others wait for what this exchange fetches, or it is fetched for nobody in particular. */
bool cached_has_followers(const struct exchange *);

/* Adds Cache-Status to an answer of a cached route. */
void cached_add_status(struct exchange *, struct message *);
/* For the log: "hit", "miss", ...; NULL without a cache. */
const char *cached_word(const struct exchange *);
/* The client left but the fetch goes on. */
void cached_client_gone(struct exchange *);
/* Gives everything back; why is how the exchange ended. */
void cached_end(struct exchange *, enum end why);

#endif
