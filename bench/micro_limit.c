/* SPDX-License-Identifier: MIT */
/*
 * What a limit costs a request: nanoseconds of CPU, the best of several rounds, with few keys and with
 * a million, which no cache of a processor holds.  "make bench-micro" runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/log.h"
#include "http/message.h"
#include "policy/forward.h"
#include "policy/limit.h"

enum { ASKS = 1000 * 1000, ROUNDS = 7 };

static const int64_t START = 1000000000000;

/* One request after the other, each of another key, as an exchange does it. */
struct bench {
	struct limit_rule rule;
	struct arena *arena;
	struct message *request;
	struct forward_facts facts;
	struct ip client;
	char header[64];
	uint64_t dice;
	int64_t now;
	uint64_t sum;			/* of what was said, so that it is computed */
};

static void
choose(struct bench *b, unsigned n_keys)
{
	uint32_t i;

	b->dice = b->dice * 6364136223846793005ULL + 1442695040888963407ULL;
	i = (uint32_t)((b->dice >> 32) * n_keys >> 32);
	memcpy(b->client.bytes + 12, &i, sizeof(i));
	memcpy(b->header + 7, &i, sizeof(i));
	b->now += 1000;
}

static void
charge(struct bench *b, struct limit_claim *c)
{
	memset(c, 0, sizeof(*c));
	c->limit = &b->rule;
	c->key = limit_key(&b->rule, &b->facts, &b->client);
	b->sum += limit_take(c, 1, b->now)->word;
}

static void
tell(struct bench *b, const struct limit_claim *c)
{
	b->sum += limit_policy_text(c, 1, b->arena).len;
	b->sum += limit_state_text(c, 1, false, b->now, b->arena).len;
	arena_reset(b->arena);
}

static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* what 0: only the choice of a key, 1: charged, 2: told too */
static double
ns_each(struct bench *b, unsigned n_keys, int what)
{
	struct limit_claim c;
	double best = 0, took;
	unsigned round, i;

	for (round = 0; round < ROUNDS; round++) {
		took = cpu_ns();
		for (i = 0; i < ASKS; i++) {
			choose(b, n_keys);
			if (what > 0)
				charge(b, &c);
			if (what > 1)
				tell(b, &c);
			if (what > 0)
				limit_give(&c, 1);
		}
		took = (cpu_ns() - took) / ASKS;
		if (round == 0 || took < best)
			best = took;
	}
	return best;
}

static void
measure(const char *name, enum key_source key, unsigned concurrent, unsigned n_keys)
{
	struct limit_conf conf = { .name = STR("per_client"), .key = { key, STR("Authorization") },
		.rate = { 10, 1000 }, .burst = 20, .delay = LIMIT_NO_DELAY, .concurrent = concurrent,
		.size = 24 << 20 };
	struct limit_registry registry = { 0 };
	struct limit_claim c;
	struct bench b;
	struct err err;
	double base, charged, told;
	unsigned i;

	memset(&b, 0, sizeof(b));
	if (!limit_init(&b.rule, &conf, &registry, &err)) {
		printf("%s\n", err.text);
		exit(1);
	}
	b.arena = arena_new(1024);
	b.now = START;
	b.client.is_v4 = b.client.is_set = true;
	memset(b.header, 'k', sizeof(b.header));
	memcpy(b.header, "Bearer ", 7);
	b.request = message_new(arena_new(1024), 8);
	for (i = 0; i < 6; i++)
		message_add(b.request, FIELD_OTHER, STR("X-Some-Field"), STR("value"));
	message_add(b.request, FIELD_AUTHORIZATION, STR("Authorization"),
	    str_make(b.header, sizeof(b.header)));
	b.facts.request = b.request;
	for (i = 0; i < n_keys; i++) {
		memcpy(b.client.bytes + 12, &i, sizeof(i));
		memcpy(b.header + 7, &i, sizeof(i));
		charge(&b, &c);
		limit_give(&c, 1);
	}
	base = ns_each(&b, n_keys, 0);
	charged = ns_each(&b, n_keys, 1) - base;
	told = ns_each(&b, n_keys, 2) - base;
	printf("%-34s %8u keys  charged %4.0f ns, with its fields %4.0f ns\n", name, n_keys, charged,
	    told);
	limit_fini(&b.rule);
	arena_free(b.arena);
	arena_free(b.request->arena);
	if (b.sum == 0)
		printf("nothing was said\n");
}

int
main(void)
{
	limit_module_init();
	measure("address, rate", KEY_CLIENT_IP, 0, 100);
	measure("address, rate", KEY_CLIENT_IP, 0, 1000 * 1000);
	measure("header of 64 bytes, rate", KEY_HEADER, 0, 1000 * 1000);
	measure("address, rate and in flight", KEY_CLIENT_IP, 4, 1000 * 1000);
	limit_module_fini();
	return 0;
}
