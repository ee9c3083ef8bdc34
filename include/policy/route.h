/* SPDX-License-Identifier: MIT */
/* (authority, path, method) -> route: the first that matches, top to bottom.  Pure. */
#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include "config/config.h"
#include "http/message.h"

struct arena;

/*
 * NULL when none matches; *methods_differ is then true when a route matched in all but its methods
 * (405 with Allow rather than 404).  Matching is on the path with percent-encoded unreserved
 * characters decoded and dot segments resolved (RFC 3986 6.2.2), so that a path which leaves its
 * prefix by dot segments matches where it leads; what is sent on stays as the client wrote it.
 */
const struct route_conf *route_match(const struct config *, const struct message *request,
    bool *methods_differ);
/* The methods that routes of this path and host take, as a list for Allow; empty when none matches. */
struct str route_methods(const struct config *, const struct message *request, struct arena *);

/* The rule by which the route is not for that client, "deny" or "allow"; NULL: it may ask.  One without
 * an address (of a unix socket) is in no list. */
const char *route_refuses(const struct route_conf *, const struct ip *client);

#endif
