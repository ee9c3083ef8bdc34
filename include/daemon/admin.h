/* SPDX-License-Identifier: MIT */
/*
 * Our own pages: what a worker says of itself to who watches it.  They are made of what is there when
 * they are asked for; nothing is kept for them but what a reload came to.
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange/reply.h"

struct text;
struct world;

struct admin {
	struct world *world;
	struct site   site;
	int64_t  started;		/* since 1970, microseconds */
	int64_t  taken;			/* the configuration in force, the same */
	uint64_t n_reloads, n_failed;	/* those that were ok, and the others */
	bool     last_failed;
};

/* Sets the world's site. */
void admin_init(struct admin *, struct world *);
/* A reload is over. */
void admin_reloaded(struct admin *, bool ok);

/* scrape.c: /metrics; status.c: /status. */
void scrape_write(const struct admin *, struct text *);
void status_write(const struct admin *, struct text *);

#endif
