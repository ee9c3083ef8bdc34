/* SPDX-License-Identifier: MIT */
/*
 * The servers of one upstream: who may serve, who does, and what came of it.
 *
 * The balancer chooses among those that are eligible; what makes eligible (health, backup, tried) is
 * decided here, once for all balancers.
 */
#include "upstream/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static const uint64_t HASH_SEED = 0x77656972;	/* the same in every process: hashing is sticky */

static uint64_t
gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

void
pool_init(struct pool *pool, const struct upstream_conf *conf, struct backend_registry *registry)
{
	uint64_t divisor = 0;
	size_t i;

	check(conf->n_servers <= POOL_MAX_SERVERS);
	memset(pool, 0, sizeof(*pool));
	pool->conf = conf;
	pool->balancer = balancer_of(conf->balance);
	pool->members = calloc(conf->n_servers, sizeof(*pool->members));
	check(pool->members != NULL);
	pool->n_members = conf->n_servers;
	for (i = 0; i < conf->n_servers; i++)
		divisor = gcd(conf->servers[i].weight, divisor);
	for (i = 0; i < conf->n_servers; i++) {
		struct member *m = &pool->members[i];

		m->conf = &conf->servers[i];
		m->weight = m->conf->weight / divisor;
		m->backend = backend_get(registry, &m->conf->address);
		m->seed = str_hash(m->backend->identity, HASH_SEED);
	}
}

void
pool_fini(struct pool *pool)
{
	size_t i;

	check(pool->inflight == 0);
	for (i = 0; i < pool->n_members; i++)
		backend_unref(pool->members[i].backend);
	free(pool->members);
}

/* The untried members that may serve now: primaries, or backups when there is none of those. */
static uint64_t
eligible(const struct pool *pool, const struct pick *pick)
{
	uint64_t primaries = 0, backups = 0;
	size_t i;

	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];
		uint64_t bit = (uint64_t)1 << i;

		if ((pick->tried & bit) != 0 || m->conf->down ||
		    !backend_is_available(m->backend, pick->now))
			continue;
		if (m->conf->backup)
			backups |= bit;
		else
			primaries |= bit;
	}
	return primaries != 0 ? primaries : backups;
}

/* Nobody is available: the untried member whose ejection ends first; n_members when there is none. */
static size_t
fail_open(const struct pool *pool, const struct pick *pick)
{
	size_t best = pool->n_members, i;

	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];

		if ((pick->tried >> i & 1) != 0 || m->conf->down || !m->backend->is_resolved)
			continue;
		if (best == pool->n_members ||
		    m->backend->ejected_until < pool->members[best].backend->ejected_until)
			best = i;
	}
	return best;
}

bool
pool_pick(struct pool *pool, struct pick *pick, struct attempt *a)
{
	uint64_t mask = eligible(pool, pick);
	size_t i;

	memset(a, 0, sizeof(*a));
	if (mask != 0)
		i = pool->balancer->pick(pool, pick, mask);
	else {
		i = fail_open(pool, pick);
		if (i == pool->n_members)
			return false;
		a->is_open = true;
	}
	check(i < pool->n_members);
	pick->tried |= (uint64_t)1 << i;
	a->pool = pool;
	a->member = &pool->members[i];
	a->backend = backend_ref(a->member->backend);
	backend_begin(a->backend, pick->now, &a->is_trial);
	pool->inflight++;
	return true;
}

bool
pool_has_other(const struct pool *pool, const struct pick *pick)
{
	return eligible(pool, pick) != 0;
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
attempt_failure(struct attempt *a, msec now, const char *why)
{
	const struct server_conf *conf;

	if (a->member == NULL || a->has_failed)
		return;
	a->has_failed = true;
	conf = a->member->conf;
	/* A server that was restored by this attempt's good head is judged like any other. */
	backend_failure(a->backend, now, (a->is_trial || a->is_open) && !a->has_succeeded,
	    conf->max_fails, conf->fail_timeout, why);
}

void
attempt_done(struct attempt *a)
{
	if (a->member == NULL)
		return;
	backend_done(a->backend, a->is_trial);
	a->pool->inflight--;
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
