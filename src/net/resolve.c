/* SPDX-License-Identifier: MIT */
/* getaddrinfo(3) for one name. */
#include "net/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"

bool
resolve_address(struct address *a, const char **why)
{
	struct addrinfo hints, *list = NULL, *best;
	char host[256], port[8];
	int error;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
	snprintf(host, sizeof(host), "%.*s", STR_ARG(a->host));
	snprintf(port, sizeof(port), "%u", a->port);
	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0) {
		*why = gai_strerror(error);
		return false;
	}
	/* One address is taken, and "localhost" is ::1 first where most instances listen on 127.0.0.1. */
	for (best = list; best != NULL && best->ai_family != AF_INET; best = best->ai_next)
		;
	if (best == NULL)
		best = list;
	memcpy(&a->sa, best->ai_addr, best->ai_addrlen);
	a->len = best->ai_addrlen;
	freeaddrinfo(list);
	return true;
}
