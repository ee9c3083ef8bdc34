/* SPDX-License-Identifier: MIT */
/* The mutable root of a worker: registries, the current generation, everything alive. */
#ifndef EXCHANGE_WORLD_H
#define EXCHANGE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "cache/cache_store.h"
#include "edge/front.h"
#include "edge/front_h1.h"
#include "edge/greet.h"
#include "exchange/authenticate.h"
#include "exchange/compress.h"
#include "net/listener.h"
#include "net/name.h"
#include "policy/limit.h"
#include "net/loop.h"
#include "ops/metrics.h"
#include "upstream/backend.h"
#include "upstream/line.h"

struct access_log;
struct arena;
struct exchange;
struct generation;
struct loop;
struct site;
struct tls_tickets;

TAILQ_HEAD(exchange_list, exchange);

struct world {
	struct loop             *loop;
	struct backend_registry  backends;
	struct line_registry     lines;
	struct name_registry     names;
	struct listener_registry listeners;
	struct limit_registry    limits;
	struct cache_registry    caches;
	struct task              cache_news;	/* tells those who follow a fetch */
	struct generation       *current;	/* what a new exchange belongs to */
	uint64_t                 last_id;	/* of a generation */
	unsigned                 n_generations;	/* alive, the current one included */
	struct exchange_list     live;
	struct exchange_list     ended;		/* this turn; reaped at its end */
	size_t                   n_live;
	size_t                   n_refreshes;	/* of these, the cache's own */
	struct authority         authority;
	struct compressor        compressor;
	struct access_log       *access_log;
	struct metrics           metrics;
	const struct site       *site;		/* our own pages, for who comes for those */
	struct front_env         env;
	struct greeter           greeter;	/* clients that are not at a front yet */
	struct front_h1_list     fronts;
	struct front_h1_list     watchers;	/* who came for our own pages */
	struct tls_tickets      *tickets;
	const char *const       *protocols;	/* of ALPN, that there is a front for */
	struct arena            *scratch;	/* of one event: forwarded heads */
	bool                     is_draining;
};

#endif
