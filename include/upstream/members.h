/* SPDX-License-Identifier: MIT */
/*
 * Who is in a pool: the places, who takes one, who leaves.  Private to pool.c, which decides who of
 * them serves.
 */
#ifndef UPSTREAM_MEMBERS_H
#define UPSTREAM_MEMBERS_H

struct member;
struct name_registry;
struct pool;

/* The pool's servers take their places, and those of its names for as long as it lives. */
void members_init(struct pool *, struct name_registry *);
void members_fini(struct pool *);
/* The pool is in force: its max_inflight and its TLS hold for its servers in older pools too. */
void members_adopt(struct pool *);
/* An exchange is over with it: who is leaving and has no other is gone. */
void members_done(struct pool *, struct member *);

#endif
