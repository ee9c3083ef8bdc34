/* SPDX-License-Identifier: MIT */
/*
 * The places of a pool.
 *
 * A server of the configuration has one for as long as the pool lives; a name gives one to each of its
 * addresses.  Who is no longer among them gets nothing new and keeps its place until the last exchange
 * on it is over: attempts point to members, and what was tried is a bit for each.  Newcomers come in
 * before who left goes, so that a place is not taken for the one that it was a moment ago.
 */
#include "upstream/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "upstream/line.h"
#include "upstream/pool.h"
#include "upstream/server_meter.h"

static const uint64_t SEED = 0x77656972;	/* the same in every process: hashing is sticky */

static void
on_backend_changed(void *line)
{
	line_changed(line);
}

/* --- limits -------------------------------------------------------------------------------------- */

static struct member *
member_with(const struct pool *pool, const struct backend *b)
{
	struct member *m;
	size_t at = 0;

	while ((m = pool_next_member(pool, &at)) != NULL)
		if (m->backend == b)
			return m;
	return NULL;
}

/* What is under way takes slots from now on, or does no longer. */
static void
set_limit(struct member *m, unsigned limit)
{
	if (m->limit == 0 && limit > 0)
		m->backend->slots += m->inflight;
	else if (m->limit > 0 && limit == 0)
		m->backend->slots -= m->inflight;
	m->limit = limit;
}

/* In the pools of its line the server has the limit that the one in force gives it. */
static void
share_limit(struct pool *pool, const struct backend *b)
{
	const struct member *m;
	struct member *others;
	struct pool *other, *in_force = NULL;

	TAILQ_FOREACH(other, &pool->line->pools, of_line)
		if (other->is_in_force)
			in_force = other;
	m = in_force != NULL ? member_with(in_force, b) : NULL;
	if (m == NULL)
		return;
	TAILQ_FOREACH(other, &pool->line->pools, of_line) {
		others = member_with(other, b);
		if (others != NULL)
			set_limit(others, m->conf->max_inflight);
	}
}

static void
set_tls(struct pool *pool, struct member *m)
{
	if (m->conf->is_tls && pool->tls != NULL && (pool->is_in_force || m->backend->tls == NULL))
		backend_set_tls(m->backend, pool->tls);
}

void
members_adopt(struct pool *pool)
{
	struct pool *other;
	struct member *m;
	size_t at = 0;

	TAILQ_FOREACH(other, &pool->line->pools, of_line)
		other->is_in_force = other == pool;
	while ((m = pool_next_member(pool, &at)) != NULL) {
		share_limit(pool, m->backend);
		set_tls(pool, m);
	}
}

/* --- places -------------------------------------------------------------------------------------- */

/* The one that is free the longest, more or less: who waits has tried who had it last. */
static struct member *
free_place(struct pool *pool)
{
	size_t i, n;

	for (n = 0; n < POOL_MAX_SERVERS; n++) {
		i = (pool->next_place + n) % POOL_MAX_SERVERS;
		if (pool->members[i].backend != NULL)
			continue;
		if (i >= pool->n_members)
			pool->n_members = i + 1;
		pool->next_place = i + 1;
		return &pool->members[i];
	}
	return NULL;
}

/* Takes the caller's reference over. */
static void
join(struct pool *pool, struct member *m, const struct server_conf *conf, struct backend *b)
{
	m->backend = b;
	m->conf = conf;
	m->is_backup = conf->backup;
	m->weight = m->full = (uint64_t)conf->weight * NAME_FULL_SHARE;
	m->limit = conf->max_inflight;
	m->seed = str_hash(b->identity, SEED);
	m->meter = server_meter_get(&pool->line->meters, b->identity);
	backend_watch(b, &m->watch, on_backend_changed, pool->line);
	share_limit(pool, b);
	set_tls(pool, m);
}

static void
leave(struct pool *pool, struct member *m)
{
	backend_unwatch(m->backend, &m->watch);
	server_meter_unref(m->meter);
	backend_unref(m->backend);
	memset(m, 0, sizeof(*m));
	while (pool->n_members > 0 && pool->members[pool->n_members - 1].backend == NULL)
		pool->n_members--;
}

static const struct tls_client_conf *
tls_of(const struct pool *pool, const struct server_conf *conf)
{
	return conf->is_tls ? &pool->conf->tls : NULL;
}

/* --- names --------------------------------------------------------------------------------------- */

/* Who a server of a service has to be: the domain that offers it (RFC 6125 6.5.1), not whoever it is
 * said to be at. */
static struct str
domain_of(struct str service)
{
	while (service.len > 0 && service.p[0] == '_' && str_find(service, '.') >= 0)
		service = str_from(service, (size_t)str_find(service, '.') + 1);
	return service;
}

static struct socket_address
with_port(const struct socket_address *at, uint16_t port)
{
	struct socket_address out = *at;

	if (out.sa.sa.sa_family == AF_INET)
		out.sa.in.sin_port = htons(port);
	else if (out.sa.sa.sa_family == AF_INET6)
		out.sa.in6.sin6_port = htons(port);
	return out;
}

/* The server at one of the addresses of a name, found or made. */
static struct backend *
get_instance(struct pool *pool, const struct server_conf *conf, const struct name_address *a)
{
	uint16_t port = conf->address.is_service ? a->port : conf->address.port;
	struct socket_address at = with_port(&a->at, port);
	struct address address = conf->address;
	char text[128], whole[144];

	address_format(&at.sa.sa, text, sizeof(text));
	snprintf(whole, sizeof(whole), "%s%s", conf->is_tls ? "https://" : "", text);
	address.text = str_of(whole);
	if (address.is_service)
		address.host = domain_of(address.host);
	address.port = port;
	address.is_name = address.is_service = false;
	address.sa = at.sa;
	address.len = at.len;
	return backend_get(pool->backends, &address, tls_of(pool, conf));
}

/* It begins slowly.  Its health check, if there is to be one, begins within the event that brought it
 * (generation_follow_names), so that it gets nothing before. */
static void
welcome(struct backend *b)
{
	if (b->refs > 1)
		return;
	b->is_newcomer = true;
	b->recovered_at = clock_now();
}

static struct member *
member_of(const struct pool_name *n, const struct backend *b)
{
	struct member *m;
	size_t at = 0;

	/* Another name of the pool may have that server too. */
	while ((m = pool_next_member(n->pool, &at)) != NULL)
		if (m->backend == b && m->conf == n->conf)
			return m;
	return NULL;
}

/* False when there is no place left. */
static bool
place(struct pool_name *n, const struct name_address *a)
{
	struct backend *b = get_instance(n->pool, n->conf, a);
	struct member *m = member_of(n, b);

	if (m != NULL)
		backend_unref(b);
	else if ((m = free_place(n->pool)) != NULL) {
		if (n->has_served && name_is_complete(n->name))
			welcome(b);
		join(n->pool, m, n->conf, b);
	} else {
		backend_unref(b);
		return false;
	}
	m->is_named = true;
	m->is_leaving = false;
	m->is_backup = n->conf->backup || a->is_backup;
	m->weight = m->full = (uint64_t)n->conf->weight * a->share;
	return true;
}

static size_t
place_all(struct pool_name *n)
{
	const struct name_set *set = name_addresses(n->name);
	size_t i, n_left_out = 0;

	for (i = 0; i < set->n; i++)
		n_left_out += !place(n, &set->at[i]);
	return n_left_out;
}

static uint64_t
weight_of_all(const struct pool *pool)
{
	const struct member *m;
	uint64_t sum = 0;
	size_t at = 0;

	while ((m = pool_next_member(pool, &at)) != NULL)
		if (!m->is_leaving)
			sum += m->full;
	return sum;
}

/* Smooth round robin: what one of many is ahead in their long round is less in the short one of few,
 * who would else get nothing but what makes up for it. */
static void
shorten_round(struct pool *pool, uint64_t was, uint64_t is)
{
	struct member *m;
	size_t at = 0;

	while (is < was && (m = pool_next_member(pool, &at)) != NULL)
		m->current = (int64_t)((double)m->current * (double)is / (double)was);
}

static void
follow_all(struct pool_name *n)
{
	struct pool *pool = n->pool;
	uint64_t was = weight_of_all(pool);
	size_t n_left_out, at;
	struct member *m;

	for (at = 0; (m = pool_next_member(pool, &at)) != NULL;)
		m->is_named = m->conf != n->conf;
	n_left_out = place_all(n);
	for (at = 0; (m = pool_next_member(pool, &at)) != NULL;) {
		m->is_leaving = !m->is_named;
		if (m->is_leaving && m->inflight == 0)
			leave(pool, m);
	}
	/* Those who left made room. */
	if (n_left_out > 0)
		n_left_out = place_all(n);
	shorten_round(pool, was, weight_of_all(pool));
	if (n_left_out > 0 && n->n_left_out == 0)
		log_warn("upstream %.*s: there is no place for %zu of the %zu addresses of %.*s, a pool "
		    "has %d", STR_ARG(pool->conf->name), n_left_out, name_addresses(n->name)->n,
		    STR_ARG(name_text(n->name)), POOL_MAX_SERVERS);
	n->n_left_out = n_left_out;
}

static void
follow_first(struct pool_name *n)
{
	const struct name_set *set = name_addresses(n->name);
	struct socket_address at[NAME_MAX_ADDRESSES];
	size_t i;

	for (i = 0; i < set->n; i++)
		at[i] = with_port(&set->at[i].at, n->conf->address.port);
	backend_set_addresses(n->member->backend, at, set->n);
}

static void
follow(void *arg)
{
	struct pool_name *n = arg;

	if (n->member != NULL)
		follow_first(n);
	else
		follow_all(n);
	n->has_served |= name_addresses(n->name)->n > 0;
	line_changed(n->pool->line);
}

static void
rejoin(void *arg)
{
	struct pool *pool = arg;
	size_t i;

	for (i = 0; i < pool->n_names; i++)
		if (pool->names[i].n_left_out > 0)
			follow(&pool->names[i]);
	name_registry_changed(pool->registry);
}

void
members_done(struct pool *pool, struct member *m)
{
	size_t i;

	if (!m->is_leaving || m->inflight > 0)
		return;
	leave(pool, m);
	for (i = 0; i < pool->n_names; i++)
		if (pool->names[i].n_left_out > 0)
			loop_defer(pool->backends->loop, &pool->rejoin);
}

/* --- all of them --------------------------------------------------------------------------------- */

/* What is one server whatever becomes of its name takes its place at once. */
static struct member *
add_server(struct pool *pool, const struct server_conf *conf)
{
	struct member *m = free_place(pool);

	check(m != NULL);
	join(pool, m, conf, backend_get(pool->backends, &conf->address, tls_of(pool, conf)));
	return m;
}

static void
add_name(struct pool *pool, const struct server_conf *conf, struct name_registry *names)
{
	struct pool_name *n = &pool->names[pool->n_names++];

	n->pool = pool;
	n->conf = conf;
	n->name = name_get(names, conf->address.host, conf->address.is_service);
	if (conf->resolve == RESOLVE_FIRST || name_is_local(n->name))
		n->member = add_server(pool, conf);
	name_watch(n->name, &n->watch, follow, n);
}

void
members_init(struct pool *pool, struct name_registry *names)
{
	const struct upstream_conf *conf = pool->conf;
	size_t i;

	check(conf->n_servers <= POOL_MAX_SERVERS);
	pool->registry = names;
	task_init(&pool->rejoin, rejoin, pool);
	pool->members = calloc(POOL_MAX_SERVERS, sizeof(*pool->members));
	pool->names = calloc(conf->n_servers, sizeof(*pool->names));
	check(pool->members != NULL && pool->names != NULL);
	for (i = 0; i < conf->n_servers; i++)
		if (conf->servers[i].address.is_name)
			add_name(pool, &conf->servers[i], names);
		else
			add_server(pool, &conf->servers[i]);
	for (i = 0; i < pool->n_names; i++)
		follow(&pool->names[i]);
}

void
members_fini(struct pool *pool)
{
	struct member *m;
	size_t at = 0;

	while (pool->n_names > 0) {
		struct pool_name *n = &pool->names[--pool->n_names];

		name_unwatch(n->name, &n->watch);
		name_unref(n->name);
	}
	while ((m = pool_next_member(pool, &at)) != NULL)
		leave(pool, m);
	loop_cancel(pool->backends->loop, &pool->rejoin);
	free(pool->names);
	free(pool->members);
}
