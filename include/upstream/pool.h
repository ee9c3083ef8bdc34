/* SPDX-License-Identifier: MIT */
/*
 * The servers of one upstream in one generation: members with weights over counted backends, the
 * balancer and its state.  Decides who serves; moves no bytes.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/end.h"
#include "config/config.h"
#include "net/name.h"
#include "upstream/backend.h"

struct balancer_ops;
struct err;
struct tls_context;
struct line;
struct line_registry;
struct server_meter;

#define POOL_MAX_SERVERS 64		/* a bit each in pick.tried */

/* All a balancer may know. */
struct pick {
	uint64_t hash;			/* of the configured key, or of the masked client address */
	uint64_t tried;			/* members already tried by this exchange, a bit each */
	msec     now;
};

/* A place in the pool, for a server of the configuration or for one of the addresses of its name. */
struct member {
	struct backend           *backend;	/* counted; NULL: the place is free */
	const struct server_conf *conf;
	bool                      is_leaving;	/* its name has it no longer: only ends what it began */
	bool                      is_backup;
	bool                      is_named;	/* members.c, while it looks who left */
	uint64_t                  weight;	/* full, or with slow_start less while it begins */
	uint64_t                  full;		/* thousandths by thousandths: 1 to 10^9 */
	int64_t                   current;	/* smooth round robin */
	uint64_t                  seed;		/* hash of the identity, for rendezvous */
	unsigned                  limit;	/* max_inflight of the newest configuration; 0: none */
	unsigned                  inflight;	/* exchanges of this pool; slots of the backend under a limit */
	struct server_meter      *meter;	/* counted */
	struct backend_watch      watch;
};

/* A server of the configuration that is a name. */
struct pool_name {
	struct pool              *pool;
	const struct server_conf *conf;
	struct name              *name;		/* counted */
	struct name_watch         watch;
	struct member            *member;	/* it is one server; NULL: each address is */
	size_t                    n_left_out;	/* of its addresses, for want of places */
	bool                      has_served;	/* it had addresses before */
};

struct pool {
	const struct upstream_conf *conf;
	const struct balancer_ops  *balancer;
	struct member              *members;	/* POOL_MAX_SERVERS places, which do not move */
	size_t                      n_members;	/* those behind are free */
	size_t                      next_place;	/* where a free one is looked for first */
	struct pool_name           *names;
	size_t                      n_names;
	struct backend_registry    *backends;
	struct name_registry       *registry;	/* of the names */
	struct task                 rejoin;	/* a place is free for who was left out */
	bool                        is_in_force;	/* of the line's pools, the one of the newest configuration */
	unsigned                    inflight;	/* over all members, of this pool */
	struct tls_context         *tls;	/* counted; NULL: no server speaks it */
	/* the line, shared with the pools of this name in other generations */
	struct line                *line;	/* counted */
	size_t                      n_waiting;	/* of those in the line, who are of this pool */
	size_t                      n_again;	/* and have tried a server already */
	bool                        has_room;	/* line.c: for who has tried none */
	TAILQ_ENTRY(pool)           of_line;
};

struct balancer_ops {
	const char *name;		/* the word in the config */
	/* The index of the choice among the members whose bit is set in eligible (never 0). */
	size_t (*pick)(struct pool *, const struct pick *, uint64_t eligible);
};

/* The table, by enum balance_kind. */
const struct balancer_ops *balancer_of(enum balance_kind);

/* Fills a pool from its configuration; backends, its line and names come from the registries. */
void pool_init(struct pool *, const struct upstream_conf *, struct backend_registry *,
    struct line_registry *, struct name_registry *);
/* Reads what its servers need of TLS; false with *err when a file is no good any more. */
bool pool_load_tls(struct pool *, struct err *);
/* Its configuration is in force: who waits under an older one is subject to the new max_inflight. */
void pool_adopt(struct pool *);
void pool_fini(struct pool *);

/* Walks the members that are there: start with *at 0; NULL at the end. */
struct member *pool_next_member(const struct pool *, size_t *at);
/* The same for servers that are names with no address yet, and so have no member. */
const struct server_conf *pool_next_unresolved(const struct pool *, size_t *at);
/* It is there, and configured to get requests. */
bool member_serves(const struct member *);

/* One attempt of an exchange on a server; embedded in the exchange. */
struct attempt {
	struct pool    *pool;
	struct member  *member;		/* NULL: none */
	struct backend *backend;	/* counted while the attempt lasts */
	bool            is_trial;
	bool            has_succeeded, has_failed;	/* each verdict counts once */
	bool            is_open;	/* ejected: picked because nothing else was left */
	int64_t         since_us;	/* when it was picked */
};

enum pool_answer {
	POOL_NONE,		/* all were tried or are down */
	POOL_FULL,		/* none has room now */
	POOL_GIVEN
};
/*
 * Chooses a server: available, not tried and with room; primaries before backups.  When no untried member
 * is available fails open, to one that has room and is not configured down: of those that pass their
 * check, or have none, to the one whose ejection ends first; else to one that is starting; else to one
 * whose check says that it is down.  Given one, marks it in pick->tried and counts it in flight.
 *
 * Room: exchanges in flight are counted over all pools that limit the server, in every generation, and
 * each pool compares with its own max_inflight, the newest generation's.  A pool that does not limit
 * it takes no slots: what is cheap can pass by what waits, through an upstream of its own.
 */
enum pool_answer pool_pick(struct pool *, struct pick *, struct attempt *);
/* Whether pool_pick would give a server to who has tried none. */
bool pool_has_room(const struct pool *, msec now);
/* True when an available server is left that this exchange did not try, with room or with a place in
 * line, or when every server is ejected and one was not tried: what a retry that has an answer in its
 * hand already needs to be worth it. */
bool pool_has_other(const struct pool *, const struct pick *);
/* The weight of a server that has been back for so long: a tenth at first, all of it after slow_start. */
uint64_t pool_ramp(uint64_t full, msec since, msec slow_start);
/* The good head of an answer; a failure, its reason (END_OK: the status of its answer) and what the log
 * says of it.  Each counts once: an answer that began well and was cut is both. */
void attempt_success(struct attempt *, msec now);
void attempt_failure(struct attempt *, msec now, enum end reason, const char *why);
/* The server has been silent for so long, to this attempt and all others: that is its failure. */
void attempt_stalled(struct attempt *, msec now, msec silent);
/* The attempt is over: in-flight counts fall, the trial (if not judged) is free for the next. */
void attempt_done(struct attempt *);
/* 64-bit hash of a key for pick.hash. */
uint64_t pool_hash_key(struct str key);
uint64_t pool_hash_ip(const struct upstream_conf *, const struct ip *client);

#endif
