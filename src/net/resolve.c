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
	struct addrinfo hints, *list = NULL;
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
	memcpy(&a->sa, list->ai_addr, list->ai_addrlen);
	a->len = list->ai_addrlen;
	freeaddrinfo(list);
	return true;
}
