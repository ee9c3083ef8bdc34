/* SPDX-License-Identifier: MIT */
/*
 * One request and its one answer: a value that walks down the list of steps in steps.c.  The only
 * object that knows both ports, the front (who asked) and the origin (who answers).
 */
#ifndef EXCHANGE_EXCHANGE_H
#define EXCHANGE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/end.h"
#include "edge/front.h"
#include "net/loop.h"
#include "policy/forward.h"
#include "policy/limit.h"
#include "upstream/line.h"
#include "upstream/pool.h"

struct arena;
struct auth_check;
struct cache_entry;
struct cached;
struct compress;
struct evbuffer;
struct generation;
struct message;
struct origin;
struct page_row;
struct route_conf;
struct upstream_conf;
struct world;

enum step {
	STEP_ROUTE,
	STEP_AUTH,
	STEP_ADMIT,
	STEP_REPLY,		/* an answer of our own */
	STEP_GATHER,		/* the request's body, where the cache's key is made of it */
	STEP_LOOKUP,
	STEP_PICK,
	STEP_CONNECT,
	STEP_SEND,
	STEP_RESPOND,
	STEP_SERVE,		/* from the cache, also while it is being filled */
	STEP_DONE,
	STEP_WAIT		/* not a step: stay where you are */
};

struct exchange {
	unsigned magic;
	enum step step;			/* where it is */
	bool arrived;			/* .enter of this step is still due */
	bool is_ended;
	bool head_sent;			/* the final head went to the client */
	bool request_done;		/* the whole request was read */
	bool response_done;		/* the whole answer was read */
	bool is_tunnel;
	bool client_done;		/* tunnel: the client sends no more */
	bool is_flowing;		/* the request's body may go to the origin */
	bool keeps_body;		/* body still holds every byte of the request */
	bool body_lost;			/* some of it was sent and is gone */
	bool wants_fresh;		/* no parked connection for the next attempt */
	bool was_stale;			/* that has happened already */
	bool origin_held, front_held;
	bool takes_event;		/* an event of ours may follow the answer's bytes */
	char last_byte;			/* of these, as far as they came */
	bool is_refreshed;		/* a 304 came: the stored answer is served when it is over */
	bool is_background;		/* nobody asked: a refresh for the cache */
	bool is_own;			/* asks for our own pages: in no log and no count */
	unsigned tries;
	enum end end;			/* why the last attempt, or all of it, ended */
	enum end abandoned;		/* the client left but the answer is still fetched; END_OK: not */
	int status;			/* what the client was told */
	struct world      *world;
	struct arena      *arena;	/* heads, log strings */
	struct generation *gen;		/* counted: its rules never change */
	const struct route_conf    *route;
	const struct upstream_conf *upstream;	/* of the route, or NULL */
	const struct page_row *page;	/* one of our own, that is asked for; else NULL */
	struct front_stream *front;	/* NULL once the client is gone */
	struct origin  *origin;		/* at most one attempt at a time */
	struct attempt  attempt;
	struct pick     pick;
	struct place    place;		/* in the upstream's line, while every server is full */
	unsigned        retry_after;	/* seconds, told with a refusal; 0: nothing is */
	struct str      server;		/* last one tried */
	struct message *request, *response;
	struct evbuffer *body;		/* of the request: kept for a retry, or not yet sent */
	size_t          body_sent;	/* bytes of it that this attempt was given */
	struct cached  *cached;		/* of a route with a cache, in the arena; else NULL */
	struct compress *compress;	/* while the answer's body is encoded, in the arena; else NULL */
	struct str      encoding;	/* of ours; empty: the answer went as it was */
	struct refusal  refusal;	/* of an answer of our own that is an error */
	const char     *detail;		/* of a failure, for the log alone */
	struct auth_check *check;	/* of a password, while it is waited for; else NULL */
	TAILQ_ENTRY(exchange) asker;	/* among who waits for it */
	struct limit_claim *claims;	/* of the route's limits, in the arena */
	size_t          n_claims;
	const struct limit_claim *verdict;	/* the one that decided, or NULL */
	int64_t         admitted_us;	/* when its turn is */
	struct forward_facts facts;
	struct deadline deadline;
	struct ip client;		/* after trusted_proxies */
	bool     is_forwarded;		/* the client is not who opened the connection */
	msec     touched;		/* when bytes last moved */
	int64_t  joined_us;		/* when it took its place in line */
	int64_t  waiting_us;		/* when it began to wait for a server, or for another's fetch */
	int64_t  started_us, wall_us, queue_us, picked_us, connected_us, first_byte_us;
	uint64_t bytes_in, bytes_out;
	TAILQ_ENTRY(exchange) entry;
};

void exchange_module_init(void);
void exchange_module_fini(void);
/* Walks the steps until one waits or all are done.  Asked twice, it answers twice. */
void exchange_run(struct exchange *);
/* An attempt, or the client's side, failed: tries another server when the row of why allows it. */
void exchange_fail(struct exchange *, enum end why);
/* The only way out, safe to call twice: gives everything back, answers if nothing was said, logs. */
void exchange_end(struct exchange *, enum end why);
/* Bytes moved: the time limits count from now.  Arms nothing. */
void exchange_touch(struct exchange *);
/* A hold changed: the limits that apply may be others. */
void exchange_arm(struct exchange *);
/* How many are in each step, and when the first of those began (monotonic us; 0: none); without those
 * that ask for our own pages. */
struct step_count {
	size_t  n;
	int64_t since_us;
};
void exchange_count_steps(const struct world *, struct step_count counts[STEP_DONE]);
/* Whether why is a time limit of a server's. */
bool exchange_is_timeout(enum end why);
/* The client is let go in mid-answer; what others follow is fetched on. */
void exchange_cut_client(struct exchange *, enum end why);
/* What another was fetching for it is there, or is not to be had: looks it up again. */
void exchange_look_again(struct exchange *);
/* Begins an exchange without a client that fetches what x asked for anew, for the cache;
 * none where there are many already: the next who asks begins it. */
void exchange_refresh(const struct exchange *x, struct cache_entry *stale);
/* End of the turn: frees what ended in it. */
void exchange_reap(struct world *);
/* Ends all with END_DRAINED. */
void exchange_end_all(struct world *);

#endif
