/* SPDX-License-Identifier: MIT */
/*
 * Clients between their connection and their protocol: the header of the PROXY protocol, then the TLS
 * handshake, each where the listener wants it.  Owns each connection until both are over and then
 * hands it on; bounds how long that takes.
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

/* What is written now and then: the last time, and how often it was not, since. */
struct greet_log {
	msec     logged;
	uint64_t unlogged;
};

/* Connections that were closed for what their PROXY header was. */
struct greet_proxy_stats {
	uint64_t done;
	uint64_t untrusted;		/* from who may not send one */
	uint64_t malformed;
	uint64_t cut;			/* ended before it was whole */
	uint64_t late;			/* not whole within header_timeout */
};

struct greeter {
	struct front_env *env;
	/* All is done; protocol is that of ALPN, or empty.  The connection is the callee's. */
	void (*on_done)(void *arg, struct conn *, struct str protocol, const struct arrival *);
	void  *arg;
	struct greeting_list waiting;
	size_t   n_waiting;
	uint64_t n_done, n_resumed, n_failed, n_late;	/* for monitoring */
	struct greet_proxy_stats proxy;
	struct greet_log tls_log, proxy_log;
};

void greet_module_init(void);
void greet_module_fini(void);
void greeter_init(struct greeter *, struct front_env *,
    void (*on_done)(void *arg, struct conn *, struct str protocol, const struct arrival *), void *arg);
/* Takes over the connection of a client that has to send a PROXY header (has_header) and then, unless
 * tls is NULL, to speak TLS.  The context is counted. */
void greet_open(struct greeter *, struct conn *, bool has_header, struct tls_context *,
    const struct arrival *);
/* Closes the connection of somebody who would have to send a PROXY header but is not believed. */
void greet_refuse(struct greeter *, struct conn *);
/* A drain has begun: what is not done in a moment will not be served. */
void greet_drain(struct greeter *);
void greet_close_all(struct greeter *);

#endif
