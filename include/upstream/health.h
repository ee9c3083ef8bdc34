/* SPDX-License-Identifier: MIT */
/*
 * Active health: asks servers whether they are well, on connections of its own, and tells their
 * backends (backend_checked).  Follows the newest configuration; the verdicts live in the backends and
 * survive it.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include <stddef.h>

struct backend_registry;
struct pool;

void health_module_init(void);
void health_module_fini(void);

/*
 * These pools are in force: each server of theirs is checked as the first of them says that has a
 * check, and servers of nobody's are checked no longer.  Their configuration has to stay until this is
 * called again, or their backends are gone.  A server that is new with its check is starting; one that
 * was there before without a check is taken to be up.
 */
void health_follow(struct backend_registry *, struct pool *pools, size_t n);

#endif
