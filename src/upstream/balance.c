/* SPDX-License-Identifier: MIT */
/* The list of balancers, and the plain one: smooth weighted round robin, as nginx does it. */
#include "upstream/balance.h"

#include "base/log.h"

size_t
balance_next(struct pool *pool, uint64_t mask)
{
	struct member *best = NULL;
	int64_t total = 0;
	size_t i;

	for (i = 0; i < pool->n_members; i++) {
		struct member *m = &pool->members[i];

		if ((mask >> i & 1) == 0)
			continue;
		m->current += (int64_t)m->weight;
		total += (int64_t)m->weight;
		if (best == NULL || m->current > best->current)
			best = m;
	}
	check(best != NULL);
	best->current -= total;
	return (size_t)(best - pool->members);
}

static size_t
pick(struct pool *pool, const struct pick *p, uint64_t mask)
{
	(void)p;
	return balance_next(pool, mask);
}

const struct balancer_ops balance_round_robin = { "round_robin", pick };

const struct balancer_ops *
balancer_of(enum balance_kind kind)
{
	static const struct balancer_ops *const table[] = {
		[BALANCE_ROUND_ROBIN] = &balance_round_robin,
		[BALANCE_LEAST_REQUESTS] = &balance_least,
		[BALANCE_IP_HASH] = &balance_ip_hash,
		[BALANCE_HASH] = &balance_hash,
	};

	check((size_t)kind < sizeof(table) / sizeof(table[0]));
	return table[kind];
}
