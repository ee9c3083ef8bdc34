/* SPDX-License-Identifier: MIT */
/*
 * Host names to socket addresses, by the system's resolver, which may take its time: at the start that
 * is waited for, at a reload a thread does it while the loop goes on.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

struct loop;
struct lookup;

enum { RESOLVE_MAX = 8 };		/* addresses of one name that are kept */

struct resolved {
	size_t n;			/* 0: it does not resolve */
	const char *why;		/* that, in the resolver's words (static) */
	struct socket_address {
		union sockaddr_any sa;
		socklen_t          len;
	} at[RESOLVE_MAX];		/* IPv4 first, else as the system prefers */
};

/* Blocks for as long as the resolver may (resolv.conf(5)). */
void resolve_name(const struct address *, struct resolved *);

/* Resolves the names among n addresses aside; done is called once, from the loop, unless the lookup is
 * freed before.  Texts are copied.  NULL when there is no descriptor for it. */
struct lookup *lookup_start(struct loop *, const struct address *const *, size_t n,
    void (*done)(void *arg), void *arg);
/* What came of the name of that address; NULL when it was not among them. */
const struct resolved *lookup_find(const struct lookup *, const struct address *);
void lookup_free(struct lookup *);

#endif
