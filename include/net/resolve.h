/* SPDX-License-Identifier: MIT */
/* Host names to socket addresses, by the system's resolver.  Called at start and at a reload only. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>

struct address;

/* Fills in sa and len of a name's address: of those the system found the first of IPv4, else the first.
 * Blocks for as long as the system's resolver may (resolv.conf(5)).  False with *why when it does not
 * resolve. */
bool resolve_address(struct address *, const char **why);

#endif
