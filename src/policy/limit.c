/* SPDX-License-Identifier: MIT */
/*
 * How often, and how many at a time, a key may ask.
 *
 * The rate is a token bucket as GCRA (ITU-T I.371): a key has one number, the time at which it would
 * be its turn if all it asked had come evenly (TAT).  A request is let in when that is at most burst
 * intervals ahead of now, and moves it by one interval; one that is refused moves nothing.  Zones are
 * counted by the limits of the generations that use them.  Invariant: a tally exists while requests
 * of its key are in flight, so that no count is ever forgotten; there are at most as many as there
 * are exchanges.
 */
#include "policy/limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"
#include "policy/forward.h"
#include "policy/limit_table.h"

enum {
	ZONE_OVERHEAD = 4096,		/* bytes of a zone that are not its table */
	CLIENT_PREFIX6 = 64		/* bits of an IPv6 address that are one client */
};

static const int64_t SECOND = 1000000000;

struct limit_zone {
	unsigned           refs;
	char              *identity;	/* name and key rule */
	uint64_t           size;	/* as configured */
	struct siphash_key seed;	/* of keys */
	struct siphash_key stand_in;	/* of addresses that stand in for a missing key */
	struct limit_table times;
	struct table       tallies;	/* by the bytes of their key */
	struct limit_stats stats;
	LIST_ENTRY(limit_zone) entry;
};

/* Requests in flight of a key. */
struct tally {
	uint64_t key;
	unsigned n;
};

static struct slab tallies;

void
limit_module_init(void)
{
	slab_init(&tallies, "tally", sizeof(struct tally));
}

void
limit_module_fini(void)
{
	slab_fini(&tallies);
}

/* --- zones ------------------------------------------------------------------------------------- */

size_t
limit_registry_count(const struct limit_registry *registry)
{
	const struct limit_zone *z;
	size_t n = 0;

	LIST_FOREACH(z, &registry->zones, entry)
		n++;
	return n;
}

static char *
identity_of(const struct limit_conf *conf)
{
	size_t n = conf->name.len + conf->key.name.len + 16;
	char *p = malloc(n);

	check(p != NULL);
	snprintf(p, n, "%.*s %d %.*s", STR_ARG(conf->name), (int)conf->key.source,
	    STR_ARG(conf->key.name));
	return p;
}

static struct limit_zone *
find_zone(const struct limit_registry *registry, const char *identity)
{
	struct limit_zone *z;

	LIST_FOREACH(z, &registry->zones, entry)
		if (strcmp(z->identity, identity) == 0)
			return z;
	return NULL;
}

static struct limit_zone *
new_zone(struct limit_registry *registry, char *identity, uint64_t size)
{
	struct limit_zone *z = calloc(1, sizeof(*z));

	check(z != NULL);
	if (!limit_table_init(&z->times, size - ZONE_OVERHEAD)) {
		free(z);
		return NULL;
	}
	z->identity = identity;
	z->size = size;
	z->seed = siphash_random_key();
	z->stand_in = siphash_random_key();
	LIST_INSERT_HEAD(&registry->zones, z, entry);
	return z;
}

static void
unref_zone(struct limit_zone *z)
{
	check(z->refs > 0);
	if (--z->refs > 0)
		return;
	check(z->tallies.n == 0);
	LIST_REMOVE(z, entry);
	table_fini(&z->tallies);
	limit_table_fini(&z->times);
	free(z->identity);
	free(z);
}

/* --- limits ------------------------------------------------------------------------------------ */

bool
limit_init(struct limit_rule *l, const struct limit_conf *conf, struct limit_registry *registry,
    struct err *err)
{
	char *identity = identity_of(conf);
	struct limit_zone *z = find_zone(registry, identity);

	memset(l, 0, sizeof(*l));
	if (z != NULL)
		free(identity);
	else
		z = new_zone(registry, identity, conf->size);
	if (z == NULL) {
		free(identity);
		return err_set(err, "limits.%.*s.size: the system does not give %llu bytes of memory",
		    STR_ARG(conf->name), (unsigned long long)conf->size);
	}
	z->refs++;
	l->conf = conf;
	l->zone = z;
	if (conf->rate.count > 0)
		l->interval = (conf->rate.per * (SECOND / 1000) + conf->rate.count / 2) /
		    conf->rate.count;
	l->policy = limit_policy_make(conf);
	return true;
}

void
limit_fini(struct limit_rule *l)
{
	if (l->zone == NULL)
		return;
	unref_zone(l->zone);
	l->zone = NULL;
	free((void *)(uintptr_t)l->policy.p);
}

void
limit_adopt(struct limit_rule *l, int64_t now)
{
	struct limit_zone *z = l->zone;

	if (z->size == l->conf->size)
		return;
	if (limit_table_resize(&z->times, l->conf->size - ZONE_OVERHEAD, now))
		z->size = l->conf->size;
	else
		log_warn("limit %.*s: the system does not give %llu bytes of memory, it keeps its %llu",
		    STR_ARG(l->conf->name), (unsigned long long)l->conf->size,
		    (unsigned long long)z->size);
}

const struct limit_stats *
limit_stats_of(const struct limit_rule *l)
{
	return &l->zone->stats;
}

/* --- keys -------------------------------------------------------------------------------------- */

static uint64_t
hash_client(struct siphash_key seed, const struct ip *client)
{
	struct ip net = client->is_v4 ? *client : ip_mask(client, CLIENT_PREFIX6);

	return siphash(seed, str_make((const char *)net.bytes, sizeof(net.bytes)));
}

/* Routes of one path for several hosts are several. */
static uint64_t
hash_route(struct siphash_key seed, const struct route_conf *route)
{
	uint64_t h = siphash(seed, route->name);
	size_t i;

	for (i = 0; i < route->n_hosts; i++) {
		seed.k0 ^= h;
		h = siphash(seed, route->hosts[i]);
	}
	return h;
}

uint64_t
limit_key(const struct limit_rule *l, const struct forward_facts *facts, const struct ip *client)
{
	const struct key_conf *key = &l->conf->key;
	const struct limit_zone *z = l->zone;
	struct str value;

	if (key->source == KEY_CLIENT_IP)
		return hash_client(z->seed, client);
	if (key->source == KEY_ROUTE)
		return hash_route(z->seed, facts->route);
	if (forward_key_value(key, facts, facts->request, &value))
		return siphash(z->seed, value);
	/* Hashed apart: nobody shall spend an address's share by naming it in a header. */
	return hash_client(z->stand_in, client);
}

/* --- the rate ---------------------------------------------------------------------------------- */

/* How far the key's time is ahead of now. */
static int64_t
ahead_of(const struct limit_rule *l, struct limit_slot *slot, uint64_t key, int64_t now)
{
	int64_t most = l->interval * ((int64_t)l->conf->burst + 1);

	if (slot->key != key || slot->tat <= now)
		return 0;
	/* A time from before a reload: nobody owes more than an empty bucket of the new numbers. */
	if (slot->tat - now > most)
		slot->tat = now + most;
	return slot->tat - now;
}

static void
look_at_rate(struct limit_claim *c, int64_t now)
{
	const struct limit_rule *l = c->limit;
	int64_t ahead, tolerance = l->interval * l->conf->burst;

	c->slot = limit_table_probe(&l->zone->times, c->key);
	ahead = ahead_of(l, c->slot, c->key, now);
	if (ahead > tolerance) {
		c->word = LIMIT_REFUSED;
		c->wait = ahead - tolerance;
	} else if (l->conf->delay != LIMIT_NO_DELAY && ahead > l->interval * l->conf->delay) {
		c->word = LIMIT_DELAYED;
		c->wait = ahead - l->interval * l->conf->delay;
	}
}

static void
charge_rate(struct limit_claim *c, int64_t now)
{
	const struct limit_rule *l = c->limit;
	struct limit_stats *stats = &l->zone->stats;
	int64_t ahead = ahead_of(l, c->slot, c->key, now);

	if (c->slot->key != c->key && c->slot->tat != 0) {
		if (c->slot->tat > now)
			stats->evicted++;
		else
			stats->replaced++;
	}
	c->slot->key = c->key;
	c->slot->tat = now + ahead + l->interval;
}

unsigned
limit_left(const struct limit_claim *c, int64_t now, int64_t *until_next)
{
	const struct limit_rule *l = c->limit;
	int64_t ahead = ahead_of(l, limit_table_probe(&l->zone->times, c->key), c->key, now);
	int64_t tolerance = l->interval * l->conf->burst;

	*until_next = ahead > tolerance ? ahead - tolerance : 0;
	return (unsigned)((tolerance + l->interval - ahead) / l->interval);
}

/* --- requests in flight ------------------------------------------------------------------------ */

static struct str
tally_key(const uint64_t *key)
{
	return str_make((const char *)key, sizeof(*key));
}

unsigned
limit_in_flight(const struct limit_claim *c)
{
	const struct tally *t = c->tally;

	if (t == NULL)
		t = table_get(&c->limit->zone->tallies, tally_key(&c->key));
	return t != NULL ? t->n : 0;
}

static void
look_at_crowd(struct limit_claim *c)
{
	if (limit_in_flight(c) < c->limit->conf->concurrent)
		return;
	c->word = LIMIT_REFUSED;
	c->is_crowd = true;
	/* Nobody knows when one of them ends. */
	if (c->wait < SECOND)
		c->wait = SECOND;
}

static void
join_crowd(struct limit_claim *c)
{
	struct table *all = &c->limit->zone->tallies;
	struct tally *t = table_get(all, tally_key(&c->key));

	if (t == NULL) {
		t = slab_take(&tallies);
		t->key = c->key;
		table_set(all, tally_key(&t->key), t);
	}
	t->n++;
	c->tally = t;
}

void
limit_give(struct limit_claim *c, size_t n)
{
	for (; n > 0; n--, c++) {
		struct tally *t = c->tally;

		c->tally = NULL;
		if (t == NULL || --t->n > 0)
			continue;
		table_remove(&c->limit->zone->tallies, tally_key(&t->key));
		slab_give(&tallies, t);
	}
}

/* --- all or none ------------------------------------------------------------------------------- */

static void
look(struct limit_claim *c, int64_t now)
{
	const struct limit_rule *l = c->limit;

	c->word = LIMIT_PASSED;
	c->wait = 0;
	c->is_crowd = false;
	if (l->interval > 0)
		look_at_rate(c, now);
	if (l->conf->concurrent > 0)
		look_at_crowd(c);
}

static void
charge(struct limit_claim *c, int64_t now)
{
	const struct limit_rule *l = c->limit;
	struct limit_stats *stats = &l->zone->stats;
	enum limit_word word = c->word;

	if (l->conf->dry_run && word != LIMIT_PASSED) {
		c->word = LIMIT_DRY_RUN;
		stats->dry_run++;
	} else if (word == LIMIT_DELAYED)
		stats->delayed++;
	else
		stats->passed++;
	/* A dry run counts as the real one would. */
	if (word == LIMIT_REFUSED)
		return;
	if (l->interval > 0)
		charge_rate(c, now);
	if (l->conf->concurrent > 0)
		join_crowd(c);
}

static bool
refuses(const struct limit_claim *c)
{
	return c->word == LIMIT_REFUSED && !c->limit->conf->dry_run;
}

/* The refusing one with the longest wait; NULL: none refuses. */
static struct limit_claim *
refusing(struct limit_claim *claims, size_t n)
{
	struct limit_claim *worst = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!refuses(&claims[i]))
			continue;
		claims[i].limit->zone->stats.refused++;
		if (worst == NULL || claims[i].wait > worst->wait)
			worst = &claims[i];
	}
	return worst;
}

const struct limit_claim *
limit_take(struct limit_claim *claims, size_t n, int64_t now)
{
	struct limit_claim *decides;
	size_t i;

	for (i = 0; i < n; i++)
		look(&claims[i], now);
	decides = refusing(claims, n);
	if (decides != NULL)
		return decides;
	decides = &claims[0];
	for (i = 0; i < n; i++) {
		struct limit_claim *c = &claims[i];

		charge(c, now);
		if (c->word > decides->word || (c->word == decides->word && c->wait > decides->wait))
			decides = c;
	}
	return decides;
}
