/* SPDX-License-Identifier: MIT */
/*
 * The servers of one upstream: who may serve, who does, and what came of it.
 *
 * The balancer chooses among those that are eligible; what makes eligible (health, room, backup, tried)
 * is decided here, once for all balancers.
 */
#include "upstream/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/tls.h"
#include "upstream/line.h"
#include "upstream/members.h"
#include "upstream/server_meter.h"

static const uint64_t HASH_SEED = 0x77656972;	/* the same in every process: hashing is sticky */

void
pool_init(struct pool *pool, const struct upstream_conf *conf, struct backend_registry *backends,
    struct line_registry *lines, struct name_registry *names)
{
	memset(pool, 0, sizeof(*pool));
	pool->conf = conf;
	pool->balancer = balancer_of(conf->balance);
	pool->line = line_get(lines, conf->name);
	TAILQ_INSERT_TAIL(&pool->line->pools, pool, of_line);
	pool->backends = backends;
	members_init(pool, names);
}

/* The files were looked at a moment ago, with their places: what is wrong now has changed since. */
static void
on_tls_finding(void *arg, const char *where, bool is_warning, const char *text)
{
	struct err *err = arg;

	if (!is_warning && err->text[0] == '\0')
		err_set(err, "tls.%s: %s", where, text);
}

bool
pool_load_tls(struct pool *pool, struct err *err)
{
	if (!pool->conf->has_tls)
		return true;
	err->text[0] = '\0';
	pool->tls = tls_context_new_client(&pool->conf->tls, on_tls_finding, err);
	return pool->tls != NULL;
}

/* Else the old ones, held to a lower number than the new, would wait for ever. */
void
pool_adopt(struct pool *pool)
{
	members_adopt(pool);
	line_changed(pool->line);
}

void
pool_fini(struct pool *pool)
{
	check(pool->inflight == 0 && pool->n_waiting == 0);
	members_fini(pool);
	if (pool->tls != NULL)
		tls_context_unref(pool->tls);
	TAILQ_REMOVE(&pool->line->pools, pool, of_line);
	line_unref(pool->line);
}

struct member *
pool_next_member(const struct pool *pool, size_t *at)
{
	while (*at < pool->n_members)
		if (pool->members[(*at)++].backend != NULL)
			return &pool->members[*at - 1];
	return NULL;
}

const struct server_conf *
pool_next_unresolved(const struct pool *pool, size_t *at)
{
	const struct pool_name *n;

	while (*at < pool->n_names) {
		n = &pool->names[(*at)++];
		if (n->member == NULL && name_addresses(n->name)->n == 0)
			return n->conf;
	}
	return NULL;
}

bool
member_serves(const struct member *m)
{
	return m->backend != NULL && !m->is_leaving && !m->conf->down;
}

static bool
is_full(const struct member *m)
{
	return m->limit > 0 && m->backend->slots >= m->limit;
}

/*
 * The untried members that may serve now: primaries, or backups when there is none of those.  When
 * there are none, some_full says that there would be, had they room.
 */
static uint64_t
eligible(const struct pool *pool, const struct pick *pick, bool *some_full)
{
	uint64_t primaries = 0, backups = 0;
	size_t i;

	*some_full = false;
	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];
		uint64_t bit = (uint64_t)1 << i;

		if ((pick->tried & bit) != 0 || !member_serves(m) ||
		    !backend_is_available(m->backend, pick->now))
			continue;
		if (is_full(m))
			*some_full = true;
		else if (m->is_backup)
			backups |= bit;
		else
			primaries |= bit;
	}
	return primaries != 0 ? primaries : backups;
}

/* How little is to be hoped of a member that is not available: 0 is passive ejection alone. */
static unsigned
hopelessness(const struct member *m)
{
	switch (m->backend->check) {
	case BACKEND_STARTING:
		return m->is_backup ? 2 : 1;
	case BACKEND_DOWN:
		return m->is_backup ? 4 : 3;
	case BACKEND_UNCHECKED:
	case BACKEND_PASSES:
		break;
	}
	return 0;
}

/* As pool_pick fails open: less than 0 when a comes before b, 0 when there is nothing between them. */
static int
compare_hope(const struct member *a, const struct member *b)
{
	unsigned ha = hopelessness(a), hb = hopelessness(b);
	msec ea = a->backend->ejected_until, eb = b->backend->ejected_until;

	if (ha != hb)
		return ha < hb ? -1 : 1;
	return ea < eb ? -1 : ea > eb;
}

/* Nobody is available: the untried members with room that come first; 0 when there is none. */
static uint64_t
fail_open(const struct pool *pool, const struct pick *pick, bool *some_full)
{
	const struct member *best = NULL;
	uint64_t mask = 0;
	size_t i;
	int order;

	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];

		if ((pick->tried >> i & 1) != 0 || !member_serves(m) || m->backend->n_at == 0)
			continue;
		if (is_full(m)) {
			*some_full = true;
			continue;
		}
		order = best != NULL ? compare_hope(m, best) : -1;
		if (order < 0) {
			best = m;
			mask = 0;
		}
		if (order <= 0)
			mask |= (uint64_t)1 << i;
	}
	return mask;
}

/* Who may serve, as a mask for the balancer. */
static enum pool_answer
choose(const struct pool *pool, const struct pick *pick, uint64_t *mask, bool *is_open)
{
	bool some_full;

	*is_open = false;
	*mask = eligible(pool, pick, &some_full);
	if (*mask != 0)
		return POOL_GIVEN;
	if (some_full)
		return POOL_FULL;
	*mask = fail_open(pool, pick, &some_full);
	if (*mask == 0)
		return some_full ? POOL_FULL : POOL_NONE;
	*is_open = true;
	return POOL_GIVEN;
}

uint64_t
pool_ramp(uint64_t full, msec since, msec slow_start)
{
	uint64_t weight = full;

	if (since < slow_start)
		weight = full / 10 + (full - full / 10) * (uint64_t)since / (uint64_t)slow_start;
	return weight > 0 ? weight : 1;
}

/* Smooth round robin bears that: what one gains in a round the others give. */
static void
weigh(struct pool *pool, msec now)
{
	msec slow_start = pool->conf->slow_start;
	size_t i;

	for (i = 0; slow_start > 0 && i < pool->n_members; i++) {
		struct member *m = &pool->members[i];
		msec back = m->backend != NULL ? m->backend->recovered_at : 0;

		m->weight = back > 0 ? pool_ramp(m->full, now - back, slow_start) : m->full;
	}
}

enum pool_answer
pool_pick(struct pool *pool, struct pick *pick, struct attempt *a)
{
	enum pool_answer answer;
	uint64_t mask;
	size_t i;

	memset(a, 0, sizeof(*a));
	answer = choose(pool, pick, &mask, &a->is_open);
	if (answer != POOL_GIVEN)
		return answer;
	weigh(pool, pick->now);
	i = pool->balancer->pick(pool, pick, mask);
	check(i < pool->n_members);
	pick->tried |= (uint64_t)1 << i;
	a->pool = pool;
	a->member = &pool->members[i];
	a->backend = backend_ref(a->member->backend);
	a->since_us = clock_now_us();
	backend_begin(a->backend, pick->now, &a->is_trial);
	pool->inflight++;
	a->member->inflight++;
	a->member->meter->inflight++;
	a->member->meter->picked++;
	if (a->member->limit > 0)
		a->backend->slots++;
	return POOL_GIVEN;
}

bool
pool_has_room(const struct pool *pool, msec now)
{
	struct pick none_tried = { 0, 0, now };
	uint64_t mask;
	bool is_open;

	return choose(pool, &none_tried, &mask, &is_open) == POOL_GIVEN;
}

bool
pool_has_other(const struct pool *pool, const struct pick *pick)
{
	struct pick anew = { 0, 0, pick->now };
	bool some_full, any_full;

	if (eligible(pool, pick, &some_full) != 0)
		return true;
	if (some_full)
		return line_length(pool->line) < pool->conf->queue.size;
	/* With everybody left out the others are asked all the same: one may be back. */
	return eligible(pool, &anew, &any_full) == 0 && !any_full &&
	    fail_open(pool, pick, &some_full) != 0;
}

void
attempt_success(struct attempt *a, msec now)
{
	(void)now;
	if (a->member == NULL || a->has_succeeded || a->has_failed)
		return;
	a->has_succeeded = true;
	backend_success(a->backend, a->is_trial || a->is_open);
}

void
attempt_failure(struct attempt *a, msec now, enum end reason, const char *why)
{
	const struct server_conf *conf;

	if (a->member == NULL || a->has_failed)
		return;
	a->has_failed = true;
	a->member->meter->failures[reason]++;
	conf = a->member->conf;
	/* A server that was restored by this attempt's good head is judged like any other. */
	backend_failure(a->backend, now, (a->is_trial || a->is_open) && !a->has_succeeded,
	    conf->max_fails, conf->fail_timeout, why);
}

void
attempt_stalled(struct attempt *a, msec now, msec silent)
{
	if (a->member == NULL || a->has_failed)
		return;
	a->has_failed = true;
	a->member->meter->failures[END_STALLED]++;
	backend_stalled(a->backend, now, silent, a->member->conf->max_fails,
	    a->member->conf->fail_timeout);
}

void
attempt_done(struct attempt *a)
{
	if (a->member == NULL)
		return;
	line_took(a->pool->line, clock_now_us() - a->since_us);
	a->pool->inflight--;
	a->member->inflight--;
	a->member->meter->inflight--;
	if (a->member->limit > 0)
		a->backend->slots--;
	backend_done(a->backend, a->is_trial);
	members_done(a->pool, a->member);
	backend_unref(a->backend);
	memset(a, 0, sizeof(*a));
}

uint64_t
pool_hash_key(struct str key)
{
	return str_hash(key, HASH_SEED);
}

uint64_t
pool_hash_ip(const struct upstream_conf *conf, const struct ip *client)
{
	struct ip masked = ip_mask(client, client->is_v4 ? conf->prefix4 : conf->prefix6);

	return str_hash(str_make((const char *)masked.bytes, sizeof(masked.bytes)), HASH_SEED);
}
