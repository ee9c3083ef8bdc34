/* SPDX-License-Identifier: MIT */
/*
 * Weighted rendezvous hashing (highest random weight; Thaler and Ravishankar 1998, the weights after
 * Schindelhauer and Schomaker 2005): each member scores -weight / ln(u) with u drawn from key and
 * member.  A member that goes takes only its own keys with it.  With a bound the load is capped as in
 * "consistent hashing with bounded loads" (Mirrokni, Thorup, Zadimoghaddam 2016).
 */
#include "upstream/balance.h"

#include <math.h>

#include "base/log.h"

static double
score(const struct member *m, uint64_t key)
{
	uint64_t h = str_hash(str_make((const char *)&key, sizeof(key)), m->seed);
	/* 53 bits, put between 0 and 1, neither of them included. */
	double u = ((double)(h >> 11) + 0.5) / 9007199254740992.0;

	return (double)m->weight / -log(u);
}

static size_t
best_of(const struct pool *pool, uint64_t key, uint64_t mask)
{
	size_t best = pool->n_members, i;
	double top = 0, s;

	for (i = 0; i < pool->n_members; i++) {
		if ((mask >> i & 1) == 0)
			continue;
		s = score(&pool->members[i], key);
		if (best == pool->n_members || s > top) {
			best = i;
			top = s;
		}
	}
	check(best < pool->n_members);
	return best;
}

/* The members of the mask that may take one more without going over bound percent of their share. */
static uint64_t
under_bound(const struct pool *pool, uint64_t mask)
{
	uint64_t inflight = 1, weights = 0, under = 0;
	size_t i;

	for (i = 0; i < pool->n_members; i++)
		if ((mask >> i & 1) != 0) {
			inflight += pool->members[i].backend->inflight;
			weights += pool->members[i].weight;
		}
	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];
		double cap;

		if ((mask >> i & 1) == 0)
			continue;
		cap = (double)pool->conf->bound / 100 * (double)inflight * (double)m->weight /
		    (double)weights;
		if (m->backend->inflight == 0 || (double)m->backend->inflight + 1 <= cap)
			under |= (uint64_t)1 << i;
	}
	return under;
}

static size_t
pick_bounded(struct pool *pool, const struct pick *p, uint64_t mask)
{
	uint64_t under = pool->conf->bound > 0 ? under_bound(pool, mask) : mask;

	return best_of(pool, p->hash, under != 0 ? under : mask);
}

static size_t
pick(struct pool *pool, const struct pick *p, uint64_t mask)
{
	return best_of(pool, p->hash, mask);
}

const struct balancer_ops balance_ip_hash = { "ip_hash", pick };
const struct balancer_ops balance_hash = { "hash", pick_bounded };
