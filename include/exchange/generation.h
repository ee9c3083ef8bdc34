/* SPDX-License-Identifier: MIT */
/*
 * A configuration bound to living things: pools over counted backends, listeners by address.  An
 * exchange takes its generation at birth and keeps it; a reload swaps one pointer (ARCHITECTURE 7).
 */
#ifndef EXCHANGE_GENERATION_H
#define EXCHANGE_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/str.h"

struct cache_conf;
struct cache_store;
struct config;
struct limit_rule;
struct limit_conf;
struct listen_conf;
struct listener;
struct pool;
struct route_conf;
struct route_meter;
struct tls_certificate;
struct tls_context;
struct upstream_conf;
struct upstream_meter;
struct world;

/* What a configuration says of a listener (listener_binding). */
struct binding {
	const struct listen_conf *conf;
	struct tls_context       *tls;	/* counted; NULL: plain */
	bool                      is_own;	/* for our own pages */
};

/* Who shows a certificate: a listener to clients, or an upstream's requests to its servers. */
struct shown_by {
	struct str listener, upstream;	/* one of them, the other empty */
};

struct generation {
	unsigned          magic, refs;
	uint64_t          id;
	struct world     *world;
	struct config    *config;
	struct pool      *pools;		/* one for each of config->upstreams */
	struct limit_rule     *limits;		/* one for each of config->limits */
	struct route_meter    **route_meters;	/* one for each of config->routes; counted */
	struct upstream_meter **upstream_meters;/* one for each of config->upstreams; counted */
	struct cache_store **stores;		/* one for each of config->caches; counted */
	/* For our own pages (config->admin) first, then those of config->listen. */
	struct binding         *bindings;
	size_t            n_bindings, n_own;
	struct listener **listeners;		/* the same, until retired */
	size_t            n_listeners;
};

/* Binds a configuration, of which it takes the caller's reference (also when it fails).  NULL with
 * *err when a file, a socket or the log cannot be opened; nothing has changed then. */
struct generation *generation_new(struct world *, struct config *, struct err *);
/* For monitoring: calls see with each certificate that clients and servers are shown. */
typedef void certificate_seer(void *arg, const struct shown_by *, const struct tls_certificate *);
void generation_certificates(const struct generation *, certificate_seer *see, void *arg);
/* Makes it the current one; the old one stops listening and lives until its last exchange ends. */
void generation_adopt(struct world *, struct generation *);
/* The servers of the current one are others than they were: their health checks follow. */
void generation_follow_names(struct world *);
/* No more clients: closes its listeners, those of the next generation excepted (they are counted); on
 * demand not those for our own pages. */
void generation_retire(struct generation *, bool keep_own);
struct generation *generation_ref(struct generation *);
void generation_unref(struct generation *);
struct limit_rule *generation_limit(struct generation *, const struct limit_conf *);
struct cache_store *generation_store(struct generation *, const struct cache_conf *);
struct route_meter *generation_route_meter(struct generation *, const struct route_conf *);
struct upstream_meter *generation_upstream_meter(struct generation *, const struct upstream_conf *);
struct pool *generation_pool(struct generation *, const struct upstream_conf *);

#endif
