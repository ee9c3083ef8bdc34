/* SPDX-License-Identifier: MIT */
/* Least requests: the smallest (in flight + 1) / weight; ties go round. */
#include "upstream/balance.h"

/* Whether a's load is less (-1), the same (0) or more (1) than b's; exact, by cross multiplication:
 * weights are at most 10^9, requests in flight far below 2^32. */
static int
compare(const struct member *a, const struct member *b)
{
	uint64_t left = (uint64_t)(a->backend->inflight + 1) * b->weight;
	uint64_t right = (uint64_t)(b->backend->inflight + 1) * a->weight;

	return left < right ? -1 : left > right;
}

static size_t
pick(struct pool *pool, const struct pick *p, uint64_t mask)
{
	const struct member *best = NULL;
	uint64_t ties = 0;
	size_t i;
	int order;

	(void)p;
	for (i = 0; i < pool->n_members; i++) {
		const struct member *m = &pool->members[i];

		if ((mask >> i & 1) == 0)
			continue;
		order = best != NULL ? compare(m, best) : -1;
		if (order < 0) {
			best = m;
			ties = 0;
		}
		if (order <= 0)
			ties |= (uint64_t)1 << i;
	}
	return balance_next(pool, ties);
}

const struct balancer_ops balance_least = { "least_requests", pick };
