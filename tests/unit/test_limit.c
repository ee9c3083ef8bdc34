/* SPDX-License-Identifier: MIT */
/* Limits with a set clock: rates, bursts, delays, crowds, what is charged, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "http/message.h"
#include "policy/forward.h"
#include "policy/limit.h"
#include "policy/limit_table.h"

static const int64_t MS = 1000000, SECOND = 1000000000, START = 5000000000000;

enum { RULES = 3, HELD = 64 };

struct fixture {
	struct limit_registry registry;
	struct limit_conf conf[RULES];
	struct limit_rule rules[RULES];
	struct limit_claim held[HELD];	/* in flight */
	size_t n_held;
	const struct limit_claim *last;	/* the claim that decided last */
	struct limit_claim claims[RULES];
	struct arena *arena;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_level(LOG_LEVEL_ERROR);
	limit_module_init();
	LIST_INIT(&f->registry.zones);
	f->arena = arena_new(4096);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	size_t i;

	limit_give(f->held, f->n_held);
	for (i = 0; i < RULES; i++)
		limit_fini(&f->rules[i]);
	assert_int_equal(limit_registry_count(&f->registry), 0);
	slab_reap_all();
	assert_int_equal(slab_books(), 0);
	limit_module_fini();
	arena_free(f->arena);
	free(f);
	return 0;
}

static struct limit_conf *
make(struct fixture *f, size_t i, unsigned count, msec per, unsigned burst)
{
	static const char *const names[RULES] = { "a", "b", "c" };
	struct limit_conf *conf = &f->conf[i];
	struct err err;

	conf->name = str_of(names[i]);
	conf->rate.count = count;
	conf->rate.per = per;
	conf->burst = burst;
	conf->delay = LIMIT_NO_DELAY;
	conf->status = 429;
	conf->size = 64 * 1024;
	assert_true(limit_init(&f->rules[i], conf, &f->registry, &err));
	return conf;
}

static enum limit_word
ask_all(struct fixture *f, size_t n, uint64_t key, int64_t now)
{
	size_t i;

	memset(f->claims, 0, sizeof(f->claims));
	for (i = 0; i < n; i++) {
		f->claims[i].limit = &f->rules[i];
		f->claims[i].key = key;
	}
	f->last = limit_take(f->claims, n, now);
	for (i = 0; i < n; i++)
		if (f->claims[i].tally != NULL)
			f->held[f->n_held++] = f->claims[i];
	assert_true(f->n_held <= HELD - RULES);
	return f->last->word;
}

static enum limit_word
ask(struct fixture *f, uint64_t key, int64_t now)
{
	return ask_all(f, 1, key, now);
}

/* How many pass of those that ask at one moment until one does not. */
static unsigned
passes(struct fixture *f, uint64_t key, int64_t now)
{
	unsigned n = 0;

	while (n < 1000 && ask(f, key, now) == LIMIT_PASSED)
		n++;
	return n;
}

/* --- the rate ---------------------------------------------------------------------------------- */

static void
test_burst_then_rate(void **state)
{
	struct fixture *f = *state;
	unsigned i, second, n;

	make(f, 0, 10, 1000, 20);
	for (i = 0; i < 21; i++)
		assert_int_equal(ask(f, 7, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 7, START), LIMIT_REFUSED);
	assert_int_equal(f->last->wait, 100 * MS);
	/* Asking a thousand times a second changes nothing: ten a second, each at its time. */
	for (second = 0; second < 5; second++) {
		for (n = 0, i = 1; i <= 1000; i++) {
			enum limit_word word = ask(f, 7, START + second * SECOND + i * MS);

			assert_int_equal(word, i % 100 == 0 ? LIMIT_PASSED : LIMIT_REFUSED);
			n += word == LIMIT_PASSED;
		}
		assert_int_equal(n, 10);
	}
}

static void
test_refused_ones_do_not_push_out(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	make(f, 0, 6, 60000, 0);
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	for (i = 0; i < 100000; i++)
		assert_int_equal(ask(f, 1, START + i * MS / 100), LIMIT_REFUSED);
	assert_int_equal(ask(f, 1, START + 10 * SECOND - 1), LIMIT_REFUSED);
	assert_int_equal(f->last->wait, 1);
	assert_int_equal(ask(f, 1, START + 10 * SECOND), LIMIT_PASSED);
	assert_int_equal(limit_stats_of(&f->rules[0])->refused, 100001);
}

static void
test_rest_gives_no_more_than_the_burst(void **state)
{
	struct fixture *f = *state;

	make(f, 0, 10, 1000, 20);
	assert_int_equal(passes(f, 1, START), 21);
	assert_int_equal(passes(f, 1, START + SECOND), 10);
	assert_int_equal(passes(f, 1, START + 3 * SECOND), 20);
	assert_int_equal(passes(f, 1, START + 1000000 * SECOND), 21);
	/* Others are others. */
	assert_int_equal(passes(f, 2, START + 1000000 * SECOND), 21);
}

static void
test_units(void **state)
{
	static const struct { unsigned count; msec per; int64_t interval; } rows[] = {
		{ 10, 1000, 100 * 1000000 },
		{ 600, 60000, 100 * 1000000 },
		{ 36000, 3600000, 100 * 1000000 },
		{ 1, 1000, 1000000000 },
		{ 6, 60000, 10000000000 },
		{ 1, 3600000, 3600000000000 },
		{ 1000000, 1000, 1000 },
		{ 7, 1000, 142857143 },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(f, 0, rows[i].count, rows[i].per, 0);
		assert_int_equal(f->rules[0].interval, rows[i].interval);
		assert_int_equal(ask(f, i + 1, START), LIMIT_PASSED);
		assert_int_equal(ask(f, i + 1, START + rows[i].interval - 1), LIMIT_REFUSED);
		assert_int_equal(ask(f, i + 1, START + rows[i].interval), LIMIT_PASSED);
		limit_fini(&f->rules[0]);
	}
	/* The largest there are: no overflow. */
	make(f, 0, 1, 3600000, 1000000);
	for (i = 0; i < 1000001; i++)
		assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
	assert_int_equal(f->last->wait, 3600 * SECOND);
}

/* The same decisions as a bucket that is filled drop by drop. */
static void
test_equals_a_bucket(void **state)
{
	struct fixture *f = *state;
	const int64_t interval = 100 * MS, capacity = 6 * interval;
	int64_t now = START, level = capacity, step;
	uint64_t dice = 4;
	unsigned i, n = 0;

	make(f, 0, 10, 1000, 5);
	for (i = 0; i < 200000; i++) {
		/* Knuth's MMIX: any mixture of short and long steps will do. */
		dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
		step = (int64_t)(dice >> 33) % (dice >> 62 == 0 ? 2 * interval : interval / 4);
		now += step;
		level = level + step > capacity ? capacity : level + step;
		assert_int_equal(ask(f, 1, now), level >= interval ? LIMIT_PASSED : LIMIT_REFUSED);
		if (level >= interval) {
			level -= interval;
			n++;
		}
	}
	assert_in_range(n, 50000, 150000);
}

/* --- delays ------------------------------------------------------------------------------------ */

static void
test_delay(void **state)
{
	static const struct { unsigned delay, at_once, waiting; } rows[] = {
		{ 0, 1, 20 }, { 8, 9, 12 }, { 20, 21, 0 }, { LIMIT_NO_DELAY, 21, 0 },
	};
	struct fixture *f = *state;
	size_t i;
	unsigned n;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(f, 0, 10, 1000, 20)->delay = rows[i].delay;
		for (n = 0; n < rows[i].at_once; n++)
			assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
		for (n = 1; n <= rows[i].waiting; n++) {
			assert_int_equal(ask(f, 1, START), LIMIT_DELAYED);
			assert_int_equal(f->last->wait, n * 100 * MS);
		}
		assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
		assert_int_equal(f->last->wait, 100 * MS);
		/* Once there is room in the burst the next one waits its turn behind the others. */
		assert_int_equal(ask(f, 1, START + 150 * MS),
		    rows[i].waiting > 0 ? LIMIT_DELAYED : LIMIT_PASSED);
		if (rows[i].waiting > 0)
			assert_int_equal(f->last->wait, rows[i].waiting * 100 * MS - 50 * MS);
		limit_fini(&f->rules[0]);
	}
}

/* --- several ----------------------------------------------------------------------------------- */

static void
test_all_or_none(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	make(f, 0, 10, 1000, 9);
	make(f, 1, 1, 60000, 2);
	make(f, 2, 10, 1000, 9)->concurrent = 100;
	for (i = 0; i < 3; i++)
		assert_int_equal(ask_all(f, 3, 1, START), LIMIT_PASSED);
	for (i = 0; i < 50; i++) {
		assert_int_equal(ask_all(f, 3, 1, START), LIMIT_REFUSED);
		assert_ptr_equal(f->last->limit, &f->rules[1]);
	}
	/* What the second refused was charged to none of the others. */
	assert_int_equal(limit_stats_of(&f->rules[0])->passed, 3);
	assert_int_equal(limit_stats_of(&f->rules[0])->refused, 0);
	assert_int_equal(limit_stats_of(&f->rules[1])->refused, 50);
	assert_int_equal(f->n_held, 3);
	assert_int_equal(passes(f, 1, START), 7);
}

static void
test_the_longest_wait_decides(void **state)
{
	struct fixture *f = *state;

	make(f, 0, 1, 1000, 0);
	make(f, 1, 1, 60000, 0);
	make(f, 2, 1, 1000, 1)->delay = 0;
	assert_int_equal(ask_all(f, 3, 1, START), LIMIT_PASSED);
	assert_int_equal(ask_all(f, 3, 1, START), LIMIT_REFUSED);
	assert_ptr_equal(f->last->limit, &f->rules[1]);
	assert_int_equal(f->last->wait, 60 * SECOND);
	/* One that delays decides when none refuses. */
	assert_int_equal(ask_all(f, 3, 2, START), LIMIT_PASSED);
	limit_fini(&f->rules[0]);
	limit_fini(&f->rules[1]);
	make(f, 0, 10, 1000, 9);
	make(f, 1, 10, 1000, 9);
	assert_int_equal(ask_all(f, 3, 2, START), LIMIT_DELAYED);
	assert_ptr_equal(f->last->limit, &f->rules[2]);
}

/* --- in flight --------------------------------------------------------------------------------- */

static void
test_concurrent(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	make(f, 0, 0, 0, 0)->concurrent = 3;
	for (i = 0; i < 3; i++)
		assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
	assert_true(f->last->is_crowd);
	assert_int_equal(f->last->wait, SECOND);
	assert_int_equal(ask(f, 2, START), LIMIT_PASSED);
	/* Time alone frees nothing, one that ends does; giving back twice is once. */
	assert_int_equal(ask(f, 1, START + 3600 * SECOND), LIMIT_REFUSED);
	limit_give(&f->held[1], 1);
	limit_give(&f->held[1], 1);
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
}

static void
test_in_flight_is_never_forgotten(void **state)
{
	struct fixture *f = *state;
	struct limit_claim c;
	unsigned i;

	make(f, 0, 1000, 1000, 1000)->concurrent = 2;
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	/* Ten times what fits passes by. */
	for (i = 0; i < 40000; i++) {
		memset(&c, 0, sizeof(c));
		c.limit = &f->rules[0];
		c.key = 0x9e3779b97f4a7c15ULL * (i + 2);
		assert_int_equal(limit_take(&c, 1, START + i)->word, LIMIT_PASSED);
		limit_give(&c, 1);
		slab_reap_all();
	}
	assert_int_equal(ask(f, 1, START + SECOND), LIMIT_REFUSED);
	assert_true(f->last->is_crowd);
}

static void
test_dry_run(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	make(f, 0, 1, 60000, 1)->dry_run = true;
	make(f, 1, 1, 60000, 2);
	assert_int_equal(ask_all(f, 2, 1, START), LIMIT_PASSED);
	assert_int_equal(ask_all(f, 2, 1, START), LIMIT_PASSED);
	assert_int_equal(ask_all(f, 2, 1, START), LIMIT_DRY_RUN);
	assert_ptr_equal(f->last->limit, &f->rules[0]);
	/* The real one refuses, whatever the other says. */
	for (i = 0; i < 5; i++)
		assert_int_equal(ask_all(f, 2, 1, START), LIMIT_REFUSED);
	assert_ptr_equal(f->last->limit, &f->rules[1]);
	assert_int_equal(limit_stats_of(&f->rules[0])->dry_run, 1);
	assert_int_equal(limit_stats_of(&f->rules[0])->passed, 2);
	/* It counts as the real one would: what it would have refused is not charged. */
	assert_int_equal(ask(f, 1, START + 60 * SECOND), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START + 60 * SECOND), LIMIT_DRY_RUN);
	limit_fini(&f->rules[0]);
	make(f, 0, 0, 0, 0)->concurrent = 1;
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	assert_int_equal(ask(f, 1, START), LIMIT_DRY_RUN);
	assert_null(f->last->tally);
}

/* --- the table --------------------------------------------------------------------------------- */

static uint64_t
nth_key(uint64_t i)
{
	static const struct siphash_key seed = { 1, 2 };

	return siphash(seed, str_make((const char *)&i, sizeof(i)));
}

/* Looks without asking. */
static unsigned
left_of(struct fixture *f, uint64_t key, int64_t now)
{
	struct limit_claim c = { .limit = &f->rules[0], .key = key };
	int64_t unused;

	return limit_left(&c, now, &unused);
}

static void
test_overfilled(void **state)
{
	struct fixture *f = *state;
	const unsigned fit = 64 * 1024 / 16, flood = 10 * fit;
	const struct limit_stats *stats;
	unsigned i, hot = 0;

	/* Ten a second and 200 more; the flood lasts 8 s, the hot key asks 500 times a second. */
	make(f, 0, 10, 1000, 200);
	for (i = 0; i < flood; i++) {
		int64_t now = START + i * (8 * SECOND / flood);

		assert_int_equal(ask(f, nth_key(i), now), LIMIT_PASSED);
		if (i % 10 == 0)
			hot += ask(f, 42, now) == LIMIT_PASSED;
	}
	assert_int_equal(hot, 201 + 79);
	stats = limit_stats_of(&f->rules[0]);
	assert_true(stats->replaced + stats->evicted >= flood - fit);
	/* A cold key is at rest after 0.1 s, in which an eighth of the table is written. */
	assert_int_equal(stats->evicted, 0);
}

/* Keys that all matter: three quarters of what fits are there, nearly all of them. */
static void
test_fill(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 64 * 1024 / 16 * 3 / 4;
	unsigned i, kept = 0;

	make(f, 0, 1, 3600000, 0);
	for (i = 0; i < n; i++)
		assert_int_equal(ask(f, nth_key(i), START + i), LIMIT_PASSED);
	for (i = 0; i < n; i++)
		kept += ask(f, nth_key(i), START + n) == LIMIT_REFUSED;
	assert_true(kept >= n * 98 / 100);
	assert_true(limit_stats_of(&f->rules[0])->evicted <= n * 2 / 100);
}

static void
test_oldest_goes_first(void **state)
{
	struct limit_table t;
	struct limit_slot *slot;
	unsigned i, j, kept;

	(void)state;
	/* One bucket: the slots of both choices are the same four. */
	assert_true(limit_table_init(&t, LIMIT_BUCKET * sizeof(struct limit_slot)));
	for (i = 1; i <= 10; i++) {
		slot = limit_table_probe(&t, i);
		slot->key = i;
		slot->tat = i;
		for (kept = 0, j = 1; j <= i; j++)
			kept += limit_table_probe(&t, j)->key == j;
		assert_int_equal(kept, i < LIMIT_BUCKET ? i : LIMIT_BUCKET);
		assert_int_equal(limit_table_probe(&t, i)->key, i);
	}
	for (j = 7; j <= 10; j++)
		assert_int_equal(limit_table_probe(&t, j)->key, j);
	/* Seven has the latest time now: eight is the next to go. */
	limit_table_probe(&t, 7)->tat = 100;
	assert_int_equal(limit_table_probe(&t, 11)->key, 8);
	limit_table_fini(&t);
}

static void
test_size_is_kept(void **state)
{
	static const uint64_t sizes[] = { 64 * 1024, 100000, 10 << 20, 12345678 };
	struct limit_table t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(limit_table_init(&t, sizes[i]));
		assert_true(t.n_buckets * LIMIT_BUCKET * sizeof(struct limit_slot) <= sizes[i]);
		assert_true((t.n_buckets + 1) * LIMIT_BUCKET * sizeof(struct limit_slot) > sizes[i]);
		/* The ends can be written. */
		limit_table_probe(&t, 0)->tat = 1;
		limit_table_probe(&t, UINT64_MAX)->tat = 1;
		limit_table_fini(&t);
	}
}

static void
test_memory_that_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct limit_conf conf = { .name = STR("big"), .rate = { 1, 1000 },
		.size = (uint64_t)1 << 60 };
	struct limit_rule rule;
	struct err err;

	assert_false(limit_init(&rule, &conf, &f->registry, &err));
	assert_non_null(strstr(err.text, "limits.big.size"));
	assert_int_equal(limit_registry_count(&f->registry), 0);
}

/* --- reload ------------------------------------------------------------------------------------ */

static void
test_state_is_kept(void **state)
{
	struct fixture *f = *state;
	struct limit_conf conf;
	struct err err;

	make(f, 0, 6, 60000, 5);
	assert_int_equal(passes(f, 1, START), 6);
	/* Another rate for what was counted. */
	conf = f->conf[0];
	conf.rate.count = 60;
	assert_true(limit_init(&f->rules[1], &conf, &f->registry, &err));
	assert_ptr_equal(f->rules[0].zone, f->rules[1].zone);
	limit_fini(&f->rules[0]);
	f->rules[0] = f->rules[1];
	f->rules[1].zone = NULL;
	f->conf[0] = conf;
	f->rules[0].conf = &f->conf[0];
	assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
	/* An empty bucket of now is the most that is owed: a minute at the old rate is forgiven. */
	assert_int_equal(f->last->wait, SECOND);
	assert_int_equal(passes(f, 1, START + SECOND), 1);
	assert_int_equal(passes(f, 1, START + 4 * SECOND), 3);
}

static void
test_another_key_rule_is_another_zone(void **state)
{
	struct fixture *f = *state;
	struct limit_conf conf;
	struct err err;

	make(f, 0, 6, 60000, 5);
	conf = f->conf[0];
	conf.key.source = KEY_HEADER;
	conf.key.name = STR("X-Key");
	assert_true(limit_init(&f->rules[1], &conf, &f->registry, &err));
	assert_ptr_not_equal(f->rules[0].zone, f->rules[1].zone);
	conf.key.name = STR("X-Other");
	assert_true(limit_init(&f->rules[2], &conf, &f->registry, &err));
	assert_int_equal(limit_registry_count(&f->registry), 3);
}

static void
test_another_size(void **state)
{
	struct fixture *f = *state;
	unsigned i, kept = 0;

	make(f, 0, 1, 3600000, 0);
	for (i = 0; i < 2000; i++)
		assert_int_equal(ask(f, nth_key(i), START), LIMIT_PASSED);
	f->conf[0].size = 1 << 20;
	limit_adopt(&f->rules[0], START);
	for (i = 0; i < 2000; i++)
		assert_int_equal(ask(f, nth_key(i), START), LIMIT_REFUSED);
	/* Smaller: as many as there is room for, and what is over is not taken along. */
	for (i = 2000; i < 10000; i++)
		assert_int_equal(ask(f, nth_key(i), START + 1000 * SECOND + i), LIMIT_PASSED);
	f->conf[0].size = 64 * 1024;
	limit_adopt(&f->rules[0], START + 3600 * SECOND);
	for (i = 0; i < 2000; i++)
		assert_int_equal(left_of(f, nth_key(i), START + 3600 * SECOND), 1);
	for (i = 2000; i < 10000; i++)
		kept += left_of(f, nth_key(i), START + 3600 * SECOND) == 0;
	assert_in_range(kept, 3700, 4096);
	/* Those with the latest times, as in the table's life. */
	for (kept = 0, i = 8000; i < 10000; i++)
		kept += left_of(f, nth_key(i), START + 3600 * SECOND) == 0;
	assert_in_range(kept, 1900, 2000);
	/* A size that cannot be had changes nothing. */
	f->conf[0].size = (uint64_t)1 << 60;
	limit_adopt(&f->rules[0], START + 3600 * SECOND);
	for (i = 2000; i < 10000; i++)
		kept += left_of(f, nth_key(i), START + 3600 * SECOND) == 0;
	assert_in_range(kept, 1900 + 3700, 2000 + 4096);
}

/* --- keys -------------------------------------------------------------------------------------- */

static void
test_siphash(void **state)
{
	static const struct { unsigned len; uint64_t hash; } rows[] = {
		{ 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd }, { 15, 0xa129ca6149be45e5 },
	};
	struct siphash_key key;
	char bytes[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	memcpy(&key, bytes, sizeof(key));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(siphash(key, str_make(bytes, rows[i].len)) == rows[i].hash);
}

static uint64_t
key_with(struct fixture *f, struct str header, const char *address)
{
	struct message *m = message_new(f->arena, 4);
	struct forward_facts facts;
	struct ip ip;

	memset(&facts, 0, sizeof(facts));
	memset(&ip, 0, sizeof(ip));
	if (address != NULL)
		assert_true(ip_parse(str_of(address), &ip));
	facts.request = m;
	facts.client_ip = str_of(address);
	if (header.p != NULL)
		message_add(m, FIELD_OTHER, STR("x-key"), header);
	m->host = STR("a.example");
	return limit_key(&f->rules[0], &facts, &ip);
}

static uint64_t
key_of(struct fixture *f, const char *header, const char *address)
{
	return key_with(f, header != NULL ? str_of(header) : STR_NONE, address);
}

static void
test_client_keys(void **state)
{
	struct fixture *f = *state;

	make(f, 0, 10, 1000, 0);
	assert_true(key_of(f, NULL, "192.0.2.1") == key_of(f, "x", "192.0.2.1"));
	assert_true(key_of(f, NULL, "192.0.2.1") == key_of(f, NULL, "::ffff:192.0.2.1"));
	assert_true(key_of(f, NULL, "192.0.2.1") != key_of(f, NULL, "192.0.2.2"));
	assert_true(key_of(f, NULL, "2001:db8::1") == key_of(f, NULL, "2001:db8::ffff:1"));
	assert_true(key_of(f, NULL, "2001:db8:0:1::1") != key_of(f, NULL, "2001:db8:0:2::1"));
	assert_true(key_of(f, NULL, NULL) != key_of(f, NULL, "192.0.2.1"));
}

static void
test_header_keys(void **state)
{
	struct fixture *f = *state;
	struct limit_conf *conf = &f->conf[0];
	struct ip ip;

	conf->key.source = KEY_HEADER;
	conf->key.name = STR("X-Key");
	make(f, 0, 10, 1000, 0);
	assert_true(key_of(f, "a", "192.0.2.1") == key_of(f, "a", "192.0.2.2"));
	assert_true(key_of(f, "a", "192.0.2.1") != key_of(f, "b", "192.0.2.1"));
	/* Without it the address; naming an address is not being it. */
	assert_true(key_of(f, NULL, "192.0.2.1") == key_of(f, "", "192.0.2.1"));
	assert_true(key_of(f, NULL, "192.0.2.1") != key_of(f, NULL, "192.0.2.2"));
	assert_true(key_of(f, NULL, "192.0.2.1") != key_of(f, "192.0.2.1", "192.0.2.2"));
	/* Not even by its bytes. */
	assert_true(ip_parse(STR("2001:db8:1:2::"), &ip));
	assert_true(key_of(f, NULL, "2001:db8:1:2::3") !=
	    key_with(f, str_make((const char *)ip.bytes, sizeof(ip.bytes)), "::1"));
	conf->key.source = KEY_HOST;
	assert_true(key_of(f, "a", "192.0.2.1") == key_of(f, "b", "192.0.2.2"));
}

static void
test_hostile_keys(void **state)
{
	struct fixture *f = *state;
	struct limit_conf *conf = &f->conf[0];
	char *text = malloc(64 * 1024 + 1);
	uint64_t last = 0, key;
	unsigned i;

	conf->key.source = KEY_HEADER;
	conf->key.name = STR("X-Key");
	make(f, 0, 10, 1000, 0);
	memset(text, 'k', 64 * 1024);
	text[64 * 1024] = '\0';
	for (i = 0; i < 64; i++) {
		text[i * 1000] = 'x';
		key = key_of(f, text, "192.0.2.1");
		assert_true(key != last);
		assert_int_equal(ask(f, key, START), LIMIT_PASSED);
		assert_int_equal(ask(f, key, START), LIMIT_REFUSED);
		last = key;
	}
	free(text);
}

static void
test_route_keys(void **state)
{
	static struct str hosts[] = { { "a.example", 9 }, { "b.example", 9 } };
	struct route_conf a = { .name = STR("/"), .hosts = &hosts[0], .n_hosts = 1 };
	struct route_conf b = { .name = STR("/"), .hosts = &hosts[1], .n_hosts = 1 };
	struct route_conf both = { .name = STR("/"), .hosts = hosts, .n_hosts = 2 };
	struct forward_facts facts;
	struct fixture *f = *state;
	struct ip ip;
	uint64_t keys[3];

	memset(&facts, 0, sizeof(facts));
	memset(&ip, 0, sizeof(ip));
	f->conf[0].key.source = KEY_ROUTE;
	make(f, 0, 10, 1000, 0);
	facts.route = &a;
	keys[0] = limit_key(&f->rules[0], &facts, &ip);
	assert_true(keys[0] == limit_key(&f->rules[0], &facts, &ip));
	facts.route = &b;
	keys[1] = limit_key(&f->rules[0], &facts, &ip);
	facts.route = &both;
	keys[2] = limit_key(&f->rules[0], &facts, &ip);
	assert_true(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

/* --- what the client is told ------------------------------------------------------------------- */

static void
expect_state(struct fixture *f, size_t n, bool refused, int64_t now, const char *want)
{
	struct str got = limit_state_text(f->claims, n, refused, now, f->arena);

	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.p, want, got.len);
}

static void
expect_policy(struct fixture *f, size_t n, const char *want)
{
	struct str got = limit_policy_text(f->claims, n, f->arena);

	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.p, want, got.len);
}

static void
test_seconds(void **state)
{
	static const struct { int64_t wait, seconds; } rows[] = {
		{ 0, 1 }, { 1, 1 }, { 100000000, 1 }, { 1000000000, 1 }, { 1000000001, 2 },
		{ 59999999999, 60 }, { 60000000000, 60 }, { 3600000000000, 3600 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(limit_seconds(rows[i].wait), rows[i].seconds);
}

static void
test_fields(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	make(f, 0, 6, 60000, 5);
	assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	expect_policy(f, 1, "\"a\";q=6;w=60;weir-burst=5");
	expect_state(f, 1, false, START, "\"a\";r=5;t=50");
	for (i = 0; i < 5; i++)
		assert_int_equal(ask(f, 1, START), LIMIT_PASSED);
	expect_state(f, 1, false, START, "\"a\";r=0;t=10");
	expect_state(f, 1, false, START + SECOND, "\"a\";r=0;t=9");
	/* It is told when the answer goes out. */
	expect_state(f, 1, false, START + 20 * SECOND, "\"a\";r=2;t=20");
	expect_state(f, 1, false, START + 3600 * SECOND, "\"a\";r=6;t=60");
	assert_int_equal(ask(f, 1, START), LIMIT_REFUSED);
	expect_state(f, 1, true, START, "\"a\";r=0;t=10");
	f->conf[1].concurrent = 2;
	f->conf[2].concurrent = 7;
	make(f, 1, 0, 0, 0);
	make(f, 2, 10, 1000, 0);
	assert_int_equal(ask_all(f, 3, 2, START), LIMIT_PASSED);
	expect_policy(f, 3, "\"a\";q=6;w=60;weir-burst=5, "
	    "\"b/concurrent\";q=2;qu=\"concurrent-requests\", "
	    "\"c\";q=10;w=1, \"c/concurrent\";q=7;qu=\"concurrent-requests\"");
	expect_state(f, 3, false, START,
	    "\"a\";r=5;t=50, \"b/concurrent\";r=1, \"c\";r=0;t=1, \"c/concurrent\";r=6");
	/* A refusal tells of what refused. */
	assert_int_equal(ask_all(f, 3, 2, START), LIMIT_REFUSED);
	expect_state(f, 3, true, START, "\"c\";r=0;t=1");
	assert_int_equal(ask_all(f, 3, 2, START + SECOND), LIMIT_PASSED);
	assert_int_equal(ask_all(f, 3, 2, START + 2 * SECOND), LIMIT_REFUSED);
	expect_state(f, 3, true, START + 2 * SECOND, "\"b/concurrent\";r=0");
	/* Nothing is told of a dry run. */
	f->conf[0].dry_run = f->conf[1].dry_run = f->conf[2].dry_run = true;
	expect_policy(f, 3, "");
	expect_state(f, 3, false, START, "");
}

/* Who spreads what is left over the window is never refused. */
static void
test_following_the_fields(void **state)
{
	struct fixture *f = *state;
	int64_t now = START, window;
	unsigned i, left;

	make(f, 0, 7, 1000, 30);
	assert_int_equal(ask(f, 1, now), LIMIT_PASSED);
	for (i = 0; i < 1000; i++) {
		left = limit_left(&f->claims[0], now, &window);
		if (left > 0)
			window = limit_seconds(f->rules[0].interval * left) * SECOND / left;
		else
			window = limit_seconds(window) * SECOND;
		now += window;
		assert_int_equal(ask(f, 1, now), LIMIT_PASSED);
		if (i % 100 == 0)
			(void)passes(f, 1, now);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_burst_then_rate),
		TEST(test_refused_ones_do_not_push_out),
		TEST(test_rest_gives_no_more_than_the_burst),
		TEST(test_units),
		TEST(test_equals_a_bucket),
		TEST(test_delay),
		TEST(test_all_or_none),
		TEST(test_the_longest_wait_decides),
		TEST(test_concurrent),
		TEST(test_in_flight_is_never_forgotten),
		TEST(test_dry_run),
		TEST(test_overfilled),
		TEST(test_fill),
		TEST(test_oldest_goes_first),
		TEST(test_size_is_kept),
		TEST(test_memory_that_is_not_there),
		TEST(test_state_is_kept),
		TEST(test_another_key_rule_is_another_zone),
		TEST(test_another_size),
		TEST(test_siphash),
		TEST(test_client_keys),
		TEST(test_header_keys),
		TEST(test_hostile_keys),
		TEST(test_route_keys),
		TEST(test_seconds),
		TEST(test_fields),
		TEST(test_following_the_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
