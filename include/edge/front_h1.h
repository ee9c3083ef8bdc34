/* SPDX-License-Identifier: MIT */
/*
 * Client connections that speak HTTP/1: one stream at a time, pipelined requests answered in order.
 * Owns its connection; lives in the worker's list until the connection is closed.
 */
#ifndef EDGE_FRONT_H1_H
#define EDGE_FRONT_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct arrival;
struct conn;
struct front_env;
struct front_h1;

TAILQ_HEAD(front_h1_list, front_h1);

void front_h1_module_init(void);
void front_h1_module_fini(void);

/* Takes over a client's connection; adds itself to the list, which it leaves when it closes. */
void front_h1_open(struct front_env *, struct front_h1_list *, struct conn *, const struct arrival *);
/* A drain has begun: those between requests are closed after a moment of grace in which a request
 * that was under way is still served. */
void front_h1_drain(struct front_h1_list *);
/* Closes all at once; none may have an exchange. */
void front_h1_close_all(struct front_h1_list *);
/* Closes the oldest without an exchange, on demand only one that waits for a request with nothing
 * unsent; false: there is none. */
bool front_h1_make_room(struct front_h1_list *, bool idle_only);
/* Connections of clients, and of who came for our own pages. */
size_t front_h1_count(void);
size_t front_h1_count_own(void);

#endif
