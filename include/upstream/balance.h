/* SPDX-License-Identifier: MIT */
/* What the balancers share; nobody but balance*.c includes it. */
#ifndef UPSTREAM_BALANCE_H
#define UPSTREAM_BALANCE_H

#include "upstream/pool.h"

extern const struct balancer_ops balance_round_robin, balance_least, balance_ip_hash, balance_hash;

/* Smooth weighted round robin among the members in the mask: the tie-breaker of the others too. */
size_t balance_next(struct pool *, uint64_t mask);

#endif
