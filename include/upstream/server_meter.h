/* SPDX-License-Identifier: MIT */
/*
 * What is counted of a server in an upstream: a living object by both names, counted by the members of
 * pools, so that its numbers survive a reload.  Plain data: who counts adds, who watches reads.
 */
#ifndef UPSTREAM_SERVER_METER_H
#define UPSTREAM_SERVER_METER_H

#include <stdint.h>
#include <sys/queue.h>

#include "base/end.h"
#include "base/str.h"

struct server_meter {
	unsigned   refs;
	struct str name;		/* the server's identity; own memory */
	unsigned   inflight;
	uint64_t   picked;
	uint64_t   failures[END_COUNT];	/* by reason; END_OK: an answer whose status is in fail_on */
	uint64_t   visited;		/* of who walks and wants to meet it once */
	LIST_ENTRY(server_meter) entry;
};

/* Those of one upstream: of all its pools in every generation. */
LIST_HEAD(server_meter_list, server_meter);

/* The meter of that server, found or made; the caller owns a reference. */
struct server_meter *server_meter_get(struct server_meter_list *, struct str name);
/* The last one takes it off its list. */
void server_meter_unref(struct server_meter *);

#endif
