/* SPDX-License-Identifier: MIT */
/*
 * Config bound to living things, and the swap of one world for the next.
 *
 * The difference between two configurations is the reference count: what both name is the same
 * object.  Nothing is copied; what only the old one names closes with its last user.
 */
#include "exchange/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/cache_store.h"
#include "config/config.h"
#include "exchange/world.h"
#include "net/listener.h"
#include "net/tls.h"
#include "ops/access_log.h"
#include "upstream/health.h"
#include "upstream/pool.h"

enum { GENERATION_MAGIC = 0x67656e65 };

/* The files were looked at a moment ago, with their places: what is wrong now has changed since. */
static void
on_tls_finding(void *arg, const char *where, bool is_warning, const char *text)
{
	struct err *err = arg;

	if (!is_warning && err->text[0] == '\0')
		err_set(err, "%s: %s", where, text);
}

static void
name_bindings(struct generation *g)
{
	const struct config *conf = g->config;
	size_t i;

	g->n_own = conf->admin.n_listen;
	g->n_bindings = g->n_own + conf->n_listen;
	g->bindings = calloc(g->n_bindings + 1, sizeof(*g->bindings));
	check(g->bindings != NULL);
	for (i = 0; i < g->n_bindings; i++) {
		g->bindings[i].is_own = i < g->n_own;
		g->bindings[i].conf = i < g->n_own ? &conf->admin.listen[i]
		    : &conf->listen[i - g->n_own];
	}
}

static bool
make_bindings(struct generation *g, struct err *err)
{
	struct world *w = g->world;
	size_t i;

	name_bindings(g);
	err->text[0] = '\0';
	for (i = 0; i < g->n_bindings; i++) {
		struct binding *b = &g->bindings[i];

		if (b->conf->tls == NULL)
			continue;
		b->tls = tls_context_new_server(b->conf->tls, w->tickets, w->protocols,
		    on_tls_finding, err);
		if (b->tls == NULL)
			return false;
	}
	return true;
}

static bool
load_upstream_tls(struct generation *g, struct err *err)
{
	size_t i;

	for (i = 0; i < g->config->n_upstreams; i++)
		if (!pool_load_tls(&g->pools[i], err))
			return false;
	return true;
}

static void
free_bindings(struct generation *g)
{
	size_t i;

	for (i = 0; i < g->n_bindings; i++)
		if (g->bindings[i].tls != NULL)
			tls_context_unref(g->bindings[i].tls);
	free(g->bindings);
}

/* Named twice it is one: what tells them apart is the file. */
static bool
is_seen(const struct tls_context *tls, size_t i)
{
	struct str file = tls_context_certificate(tls, i).file;
	size_t j;

	for (j = 0; j < i; j++)
		if (str_eq(tls_context_certificate(tls, j).file, file))
			return true;
	return false;
}

static void
see_all(const struct tls_context *tls, const struct shown_by *by, certificate_seer *see, void *arg)
{
	struct tls_certificate t;
	size_t i;

	for (i = 0; tls != NULL && i < tls_context_n_certificates(tls); i++) {
		if (is_seen(tls, i))
			continue;
		t = tls_context_certificate(tls, i);
		see(arg, by, &t);
	}
}

void
generation_certificates(const struct generation *g, certificate_seer *see, void *arg)
{
	struct shown_by by;
	size_t i;

	for (i = 0; i < g->n_bindings; i++) {
		by.listener = g->bindings[i].conf->address.text;
		by.upstream = STR_NONE;
		see_all(g->bindings[i].tls, &by, see, arg);
	}
	for (i = 0; i < g->config->n_upstreams; i++) {
		by.listener = STR_NONE;
		by.upstream = g->config->upstreams[i].name;
		see_all(g->pools[i].tls, &by, see, arg);
	}
}

static bool
open_listeners(struct generation *g, struct err *err)
{
	size_t i;

	g->listeners = calloc(g->n_bindings + 1, sizeof(*g->listeners));
	check(g->listeners != NULL);
	for (i = 0; i < g->n_bindings; i++) {
		g->listeners[i] = listener_get(&g->world->listeners,
		    &g->bindings[i].conf->address, g->bindings[i].conf->name, err);
		if (g->listeners[i] == NULL)
			return false;
		g->n_listeners++;
	}
	return true;
}

static bool
bind_limits(struct generation *g, struct err *err)
{
	const struct config *conf = g->config;
	size_t i;

	g->limits = calloc(conf->n_limits + 1, sizeof(*g->limits));
	check(g->limits != NULL);
	for (i = 0; i < conf->n_limits; i++)
		if (!limit_init(&g->limits[i], &conf->limits[i], &g->world->limits, err))
			return false;
	return true;
}

/* The log goes on when nothing about it changed; else the new one is opened before the old closes. */
static bool
open_log(struct generation *g, struct err *err)
{
	struct world *w = g->world;
	struct access_log *log;

	if (w->current != NULL &&
	    access_log_conf_equal(&w->current->config->access_log, &g->config->access_log))
		return true;
	log = access_log_open(&g->config->access_log, err);
	if (log == NULL)
		return false;
	if (w->access_log != NULL)
		access_log_close(w->access_log);
	w->access_log = log;
	return true;
}

static void
get_meters(struct generation *g)
{
	const struct config *conf = g->config;
	struct metrics *m = &g->world->metrics;
	size_t i;

	g->route_meters = calloc(conf->n_routes + 1, sizeof(*g->route_meters));
	g->upstream_meters = calloc(conf->n_upstreams + 1, sizeof(*g->upstream_meters));
	check(g->route_meters != NULL && g->upstream_meters != NULL);
	for (i = 0; i < conf->n_routes; i++)
		g->route_meters[i] = route_meter_get(m, conf->routes[i].name);
	for (i = 0; i < conf->n_upstreams; i++)
		g->upstream_meters[i] = upstream_meter_get(m, conf->upstreams[i].name);
}

static void
give_meters(struct generation *g)
{
	size_t i;

	for (i = 0; i < g->config->n_routes; i++)
		route_meter_unref(g->route_meters[i]);
	for (i = 0; i < g->config->n_upstreams; i++)
		upstream_meter_unref(g->upstream_meters[i]);
	free(g->route_meters);
	free(g->upstream_meters);
}

struct generation *
generation_new(struct world *w, struct config *conf, struct err *err)
{
	struct generation *g = calloc(1, sizeof(*g));
	size_t i;

	check(g != NULL);
	g->magic = GENERATION_MAGIC;
	g->refs = 1;
	g->id = ++w->last_id;
	g->world = w;
	g->config = conf;
	w->n_generations++;
	g->pools = calloc(conf->n_upstreams + 1, sizeof(*g->pools));
	check(g->pools != NULL);
	for (i = 0; i < conf->n_upstreams; i++)
		pool_init(&g->pools[i], &conf->upstreams[i], &w->backends, &w->lines,
		    &w->names);
	g->stores = calloc(conf->n_caches + 1, sizeof(*g->stores));
	check(g->stores != NULL);
	for (i = 0; i < conf->n_caches; i++)
		g->stores[i] = cache_store_get(&w->caches, &conf->caches[i]);
	get_meters(g);
	/* What can fail comes last, the log after the sockets: it cannot be taken back. */
	if (!bind_limits(g, err) || !make_bindings(g, err) || !load_upstream_tls(g, err) ||
	    !open_listeners(g, err) || !open_log(g, err)) {
		generation_unref(g);
		return NULL;
	}
	return g;
}

void
generation_follow_names(struct world *w)
{
	if (w->current != NULL)
		health_follow(&w->backends, w->current->pools, w->current->config->n_upstreams);
}

static void
tell_changed_key(const struct config *old, const struct limit_conf *conf)
{
	size_t i;

	for (i = 0; i < old->n_limits; i++) {
		const struct limit_conf *was = &old->limits[i];

		if (str_eq(was->name, conf->name) && (was->key.source != conf->key.source ||
		    !str_eq(was->key.name, conf->key.name)))
			log_warn("limit %.*s: its key has changed, what was counted is forgotten",
			    STR_ARG(conf->name));
	}
}

static void
adopt_limits(struct generation *g, const struct generation *old)
{
	size_t i;

	for (i = 0; i < g->config->n_limits; i++) {
		limit_adopt(&g->limits[i], clock_now_us() * 1000);
		if (old != NULL)
			tell_changed_key(old->config, g->limits[i].conf);
	}
}

void
generation_adopt(struct world *w, struct generation *g)
{
	struct generation *old = w->current;
	size_t i;

	w->current = g;
	for (i = 0; i < g->n_listeners; i++) {
		listener_bind_to(g->listeners[i], &g->bindings[i]);
		listener_set_mode(g->listeners[i], g->bindings[i].conf->mode);
		listener_exempt(g->listeners[i], g->bindings[i].is_own);
	}
	w->env.client = &g->config->client;
	adopt_limits(g, old);
	for (i = 0; i < g->config->n_upstreams; i++)
		pool_adopt(&g->pools[i]);
	health_follow(&w->backends, g->pools, g->config->n_upstreams);
	for (i = 0; i < g->config->n_caches; i++)
		cache_store_adopt(g->stores[i], &g->config->caches[i]);
	if (old == NULL)
		return;
	generation_retire(old, false);
	generation_unref(old);
}

void
generation_retire(struct generation *g, bool keep_own)
{
	size_t keep = keep_own ? g->n_own : 0;

	while (g->n_listeners > keep)
		listener_unref(g->listeners[--g->n_listeners]);
}

struct generation *
generation_ref(struct generation *g)
{
	check(g->magic == GENERATION_MAGIC);
	g->refs++;
	return g;
}

void
generation_unref(struct generation *g)
{
	size_t i;

	check(g->magic == GENERATION_MAGIC && g->refs > 0);
	if (--g->refs > 0)
		return;
	generation_retire(g, false);
	for (i = 0; i < g->config->n_upstreams; i++)
		pool_fini(&g->pools[i]);
	for (i = 0; g->limits != NULL && i < g->config->n_limits; i++)
		limit_fini(&g->limits[i]);
	for (i = 0; i < g->config->n_caches; i++)
		cache_store_unref(g->stores[i]);
	free_bindings(g);
	give_meters(g);
	g->world->n_generations--;
	g->magic = 0;
	config_unref(g->config);
	free(g->limits);
	free(g->listeners);
	free(g->pools);
	free(g->stores);
	free(g);
}

struct route_meter *
generation_route_meter(struct generation *g, const struct route_conf *conf)
{
	return g->route_meters[conf - g->config->routes];
}

struct upstream_meter *
generation_upstream_meter(struct generation *g, const struct upstream_conf *conf)
{
	return g->upstream_meters[conf - g->config->upstreams];
}

struct limit_rule *
generation_limit(struct generation *g, const struct limit_conf *conf)
{
	return &g->limits[conf - g->config->limits];
}

struct pool *
generation_pool(struct generation *g, const struct upstream_conf *conf)
{
	return &g->pools[conf - g->config->upstreams];
}

struct cache_store *
generation_store(struct generation *g, const struct cache_conf *conf)
{
	return g->stores[conf - g->config->caches];
}
