/* SPDX-License-Identifier: MIT */
/*
 * Clients between their connection and their protocol: the TLS handshake.  Owns each connection until
 * the handshake is over and then hands it on; bounds how long that takes.
 */
#ifndef EDGE_GREET_H
#define EDGE_GREET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/str.h"
#include "edge/front.h"

struct conn;
struct greeting;
struct tls_context;

TAILQ_HEAD(greeting_list, greeting);

struct greeter {
	struct front_env *env;
	/* The handshake is done; protocol is that of ALPN, or empty.  The connection is the callee's. */
	void (*on_done)(void *arg, struct conn *, struct str protocol, const struct arrival *);
	void  *arg;
	struct greeting_list waiting;
	size_t   n_waiting;
	uint64_t n_done, n_resumed, n_failed, n_late;	/* for monitoring */
	msec     logged;		/* when a failure was last written */
	uint64_t unlogged;		/* and how many were not, since */
};

void greet_module_init(void);
void greet_module_fini(void);
void greeter_init(struct greeter *, struct front_env *,
    void (*on_done)(void *arg, struct conn *, struct str protocol, const struct arrival *), void *arg);
/* Takes over the connection of a client that has to speak TLS. */
void greet_open(struct greeter *, struct conn *, struct tls_context *, const struct arrival *);
/* A drain has begun: what is not done in a moment will not be served. */
void greet_drain(struct greeter *);
void greet_close_all(struct greeter *);

#endif
