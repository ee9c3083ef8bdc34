/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets by address: found or made in a registry, counted by the generations that name
 * them, so that a reload keeps those that stay.  Accepts with a budget; out of descriptors it pauses
 * and comes back by itself.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/table.h"

struct conn;
struct listener;
struct loop;

/* A client is there: fd is non-blocking and the callee's.  port is that of the listener. */
typedef void listener_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t len,
    const struct listener *);

struct listener_registry {
	struct loop     *loop;
	struct table     by_address;
	listener_accept *on_accept;
	void            *arg;
	bool             is_paused;	/* max_connections reached */
	uint64_t         n_pauses, n_starved;	/* how often that was, and that descriptors were out */
	bool             is_handed_over;/* another process listens on the same sockets: paths stay */
};

void listener_registry_init(struct listener_registry *, struct loop *, listener_accept *, void *arg);
void listener_registry_fini(struct listener_registry *);
/* Stops (resumes) accepting on all of them but the exempt; what waits in the kernel's queue stays there. */
void listener_registry_pause(struct listener_registry *, bool);
/* The descriptors of all of them, at most max; they stay the listeners'.  What inherit_init has to be told
 * of them is written to told. */
size_t listener_registry_sockets(const struct listener_registry *, int *fds, size_t max, FILE *told);
size_t listener_registry_count(const struct listener_registry *);

/* The listener of that address, found, inherited by address or name (inherit.h), or bound; NULL with *err when it cannot be bound. */
struct listener *listener_get(struct listener_registry *, const struct address *, struct str name,
    struct err *);
/* The last one closes it (and removes the path of a unix socket). */
void listener_unref(struct listener *);
/* What the current configuration says of it; NULL before any has. */
void listener_bind_to(struct listener *, const void *binding);
const void *listener_binding(const struct listener *);
/* Of the path of a unix socket that we made: who may connect. */
void listener_set_mode(struct listener *, unsigned mode);
/* It accepts also while the others are paused. */
void listener_exempt(struct listener *, bool);
/* What it accepted since it was opened. */
uint64_t listener_accepted(const struct listener *);
uint16_t listener_port(const struct listener *);
bool listener_is_unix(const struct listener *);

#endif
