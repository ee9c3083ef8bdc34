/* SPDX-License-Identifier: MIT */
/*
 * Limits: how often, and how many at a time, a key may ask (BEHAVIOUR.md 8).
 *
 * A zone is a living object: what is known of the keys of one limit, found by name and key rule, so
 * that it survives a reload.  A limit binds it to the numbers of one configuration.  Pure: time is an
 * argument, in nanoseconds, monotonic and greater than 0; who has to wait is told how long, and waits
 * elsewhere.
 */
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/str.h"
#include "config/config.h"

struct arena;
struct forward_facts;
struct ip;
struct limit_slot;
struct limit_zone;
struct tally;

/* From the lightest to the heaviest: the verdict of several limits is the heaviest of theirs. */
enum limit_word {
	LIMIT_NONE,
	LIMIT_PASSED,
	LIMIT_DRY_RUN,			/* would have been delayed or refused */
	LIMIT_DELAYED,
	LIMIT_REFUSED
};

struct limit_registry {
	LIST_HEAD(, limit_zone) zones;
};

/* What a zone has seen since it was made. */
struct limit_stats {
	uint64_t passed, delayed, refused, dry_run;
	uint64_t replaced;		/* keys forgotten that were at rest: nothing was lost */
	uint64_t evicted;		/* keys forgotten before they were at rest */
};

/* A limit of one configuration. */
struct limit_rule {
	const struct limit_conf *conf;
	struct limit_zone       *zone;		/* counted */
	int64_t                  interval;	/* nanoseconds from one to the next; 0: no rate */
	struct str               policy;	/* its items of RateLimit-Policy; own memory */
};

/* What one request asks of one limit. */
struct limit_claim {
	const struct limit_rule *limit;
	uint64_t            key;	/* limit_key */
	struct tally       *tally;	/* it counts there as in flight; NULL: it does not */
	/* of limit_take */
	enum limit_word     word;
	bool                is_crowd;	/* refused for what is in flight, not for the rate */
	int64_t             wait;	/* nanoseconds until its turn, or until asking again makes sense */
	struct limit_slot  *slot;	/* during limit_take */
};

void limit_module_init(void);
void limit_module_fini(void);

size_t limit_registry_count(const struct limit_registry *);

/* Finds or makes the zone; false with *err when its memory cannot be had. */
bool limit_init(struct limit_rule *, const struct limit_conf *, struct limit_registry *, struct err *);
void limit_fini(struct limit_rule *);
/* Its configuration is the one that applies now: the zone takes its size. */
void limit_adopt(struct limit_rule *, int64_t now);
const struct limit_stats *limit_stats_of(const struct limit_rule *);

/* Who asks, by the limit's key rule: a hash that nobody outside can aim. */
uint64_t limit_key(const struct limit_rule *, const struct forward_facts *, const struct ip *client);

/*
 * Charges a request to all limits or, when one of them refuses, to none.  The claim that decided;
 * among equals the one with the longest wait.  n is 1 at least.
 */
const struct limit_claim *limit_take(struct limit_claim *, size_t n, int64_t now);
/* The request is over: it is in flight no more.  Harmless when called again. */
void limit_give(struct limit_claim *, size_t n);

/* The word of a verdict for logs; NULL for LIMIT_NONE. */
const char *limit_word_name(enum limit_word);
/* Whole seconds, rounded up, 1 at least: Retry-After. */
int64_t limit_seconds(int64_t wait);
/* Values of RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11) of those that
 * are not dry runs; empty when there are none.  The second tells of the refusing ones alone when the
 * request was refused. */
struct str limit_policy_text(const struct limit_claim *, size_t n, struct arena *);
struct str limit_state_text(const struct limit_claim *, size_t n, bool refused, int64_t now,
    struct arena *);

/* Between limit.c and limit_fields.c: a rule's policy, to be freed; how many more would pass now, and
 * how many are in flight. */
struct str limit_policy_make(const struct limit_conf *);
unsigned limit_left(const struct limit_claim *, int64_t now, int64_t *until_next);
unsigned limit_in_flight(const struct limit_claim *);

#endif
