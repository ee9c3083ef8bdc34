/* SPDX-License-Identifier: MIT */
/* The store of the cache: bounds, order, readers and fillers; keys made by hand, no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/log.h"
#include "cache/cache_key.h"
#include "cache/cache_store.h"
#include "config/config.h"
#include "http/message.h"

struct fixture {
	struct arena *arena;
	struct cache_registry registry;
	struct cache_conf conf;
	struct cache_store *store;
	struct message *request, *head;
	struct cache_key_facts facts;
	unsigned asked, filler_news, reader_news;
	struct cache_notice filler;
};

static void
on_ask(void *arg)
{
	((struct fixture *)arg)->asked++;
}

static void
on_filler(void *arg)
{
	((struct fixture *)arg)->filler_news++;
}

static void
on_reader(void *arg)
{
	((struct fixture *)arg)->reader_news++;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_level(LOG_LEVEL_ERROR);
	cache_key_init();
	f->arena = arena_new(4096);
	f->conf.name = STR("answers");
	f->conf.size = 1 << 20;
	f->conf.max_object = 256 * 1024;
	f->conf.inactive = 60000;
	f->conf.vary_max = 4;
	f->request = message_new(f->arena, 4);
	f->request->is_request = true;
	f->request->method = METHOD_GET;
	f->facts.request = f->request;
	f->head = message_new(f->arena, 4);
	f->head->status = 200;
	message_add(f->head, FIELD_CONTENT_TYPE, STR("Content-Type"), STR("text/plain"));
	f->filler.on_news = on_filler;
	f->filler.arg = f;
	cache_registry_init(&f->registry, on_ask, f);
	f->store = cache_store_get(&f->registry, &f->conf);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	cache_store_unref(f->store);
	cache_registry_reap(&f->registry);
	assert_int_equal(cache_registry_count(&f->registry), 0);
	cache_registry_fini(&f->registry);
	cache_key_fini();
	arena_free(f->arena);
	free(f);
	return 0;
}

static struct cache_key
key_of(unsigned n)
{
	struct cache_key k;

	memset(&k, 0, sizeof(k));
	memcpy(k.digest, &n, sizeof(n));
	k.uri = n % 1000;
	return k;
}

static const struct freshness fresh = { .storable = true, .lifetime = 60000 };

static struct cache_entry *
begin(struct fixture *f, unsigned n)
{
	struct cache_key k = key_of(n);

	return cache_fill_begin(f->store, &k, NULL, &f->filler);
}

static enum cache_why
give_head(struct fixture *f, struct cache_entry *e, msec now)
{
	struct cache_variant v;

	cache_key_variant(&f->facts, STR(""), &v);
	return cache_fill_head(e, f->head, STR(""), &v, &fresh, now);
}

static void
give_body(struct cache_entry *e, size_t n)
{
	char *bytes = malloc(n + 1);
	struct str span;

	memset(bytes, 'x', n);
	span = str_make(bytes, n);
	cache_fill_body(e, &span, 1);
	free(bytes);
}

static bool
put(struct fixture *f, unsigned n, size_t size, msec now)
{
	struct cache_entry *e = begin(f, n);

	if (give_head(f, e, now) != CACHE_WHY_NONE) {
		cache_fill_drop(e, 0, false);
		return false;
	}
	give_body(e, size);
	cache_fill_end(e, now);
	cache_registry_reap(&f->registry);
	return true;
}

static struct cache_entry *
find(struct fixture *f, unsigned n)
{
	struct cache_key k = key_of(n);

	return cache_store_find(f->store, &k, &f->facts, 0).entry;
}

static void
test_never_over_its_size(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 20000; i++) {
		assert_true(put(f, i, i % 700, i));
		assert_true(cache_store_used(f->store) <= f->conf.size);
	}
	assert_true(cache_store_entries(f->store) > 300);
	assert_true(cache_store_stats(f->store)->evicted > 10000);
	assert_non_null(find(f, 19999));
	assert_null(find(f, 0));
	for (i = 0; i < 50; i++) {
		assert_true(put(f, i, 200 * 1024, i));
		assert_true(cache_store_used(f->store) <= f->conf.size);
	}
}

static void
test_the_least_recently_used_goes(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 100; i++) {
		put(f, i, 100 * 1024, i);
		if (find(f, 0) != NULL)
			cache_entry_touch(find(f, 0), i);
	}
	assert_non_null(find(f, 0));
	assert_null(find(f, 1));
	assert_non_null(find(f, 99));
}

static void
test_what_nobody_asks_for_goes(void **state)
{
	struct fixture *f = *state;

	put(f, 1, 10, 0);
	put(f, 2, 10, 30000);
	cache_registry_tick(&f->registry, 60000);
	assert_null(find(f, 1));
	assert_non_null(find(f, 2));
	cache_registry_tick(&f->registry, 89999);
	assert_non_null(find(f, 2));
	cache_registry_tick(&f->registry, 90000);
	assert_null(find(f, 2));
}

static size_t
read_all(struct cache_reader *r)
{
	struct str spans[4];
	size_t n, i, total = 0;

	while ((n = cache_reader_peek(r, spans, 4, 1000)) > 0)
		for (i = 0; i < n; i++) {
			assert_true(spans[i].len > 0 && spans[i].p[0] == 'x');
			total += spans[i].len;
			cache_reader_advance(r, spans[i].len);
		}
	return total;
}

static void
test_a_reader_keeps_what_was_thrown_out(void **state)
{
	struct fixture *f = *state;
	struct cache_reader r;
	unsigned i;

	put(f, 1, 100000, 0);
	cache_reader_open(&r, find(f, 1), 0, UINT64_MAX, on_reader, f);
	cache_store_invalidate(f->store, 1);
	assert_null(find(f, 1));
	for (i = 2; i < 40; i++)
		put(f, i, 100000, i);
	assert_int_equal(read_all(&r), 100000);
	assert_true(cache_reader_is_done(&r));
	cache_reader_close(&r);
	cache_reader_close(&r);
}

static void
test_what_is_read_is_not_thrown_out(void **state)
{
	struct fixture *f = *state;
	struct cache_reader r;
	unsigned i;

	put(f, 1, 100000, 0);
	cache_reader_open(&r, find(f, 1), 0, UINT64_MAX, on_reader, f);
	for (i = 2; i < 40; i++)
		put(f, i, 100000, i);
	assert_non_null(find(f, 1));
	cache_reader_close(&r);
}

static void
test_all_in_use_means_no_room(void **state)
{
	struct fixture *f = *state;
	struct cache_reader r[10];
	unsigned i, n = 0;

	while (n < 10 && put(f, n, 200000, 0) && find(f, n) != NULL) {
		cache_reader_open(&r[n], find(f, n), 0, UINT64_MAX, on_reader, f);
		n++;
	}
	assert_true(n >= 3 && n < 10);
	assert_true(cache_store_stats(f->store)->no_memory > 0);
	for (i = 0; i < n; i++) {
		assert_non_null(find(f, i));
		assert_int_equal(read_all(&r[i]), 200000);
		cache_reader_close(&r[i]);
	}
	assert_true(put(f, 100, 200000, 0));
	assert_non_null(find(f, 100));
}

static void
test_following(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *e = begin(f, 1);
	struct cache_key k = key_of(1);
	struct cache_reader r[3];
	int i;

	assert_ptr_equal(cache_store_find(f->store, &k, &f->facts, 0).busy, e);
	for (i = 0; i < 3; i++)
		cache_reader_open(&r[i], e, 0, UINT64_MAX, on_reader, f);
	assert_int_equal(cache_fill_followers(e), 3);
	assert_int_equal(give_head(f, e, 0), CACHE_WHY_NONE);
	assert_int_equal(f->asked, 1);
	cache_registry_run(&f->registry);
	assert_int_equal(f->reader_news, 3);
	assert_null(cache_store_find(f->store, &k, &f->facts, 0).busy);
	assert_ptr_equal(find(f, 1), e);
	give_body(e, 5000);
	assert_int_equal(read_all(&r[0]), 5000);
	assert_false(cache_reader_is_done(&r[0]));
	give_body(e, 5000);
	cache_fill_end(e, 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(read_all(&r[i]), i == 0 ? 5000 : 10000);
		assert_true(cache_reader_is_done(&r[i]));
		cache_reader_close(&r[i]);
	}
	assert_int_equal(cache_entry_head(find(f, 1))->length, 10000);
}

static void
test_a_fetch_that_fails(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *e = begin(f, 1);
	struct cache_reader r;

	give_head(f, e, 0);
	give_body(e, 100);
	cache_reader_open(&r, e, 0, UINT64_MAX, on_reader, f);
	cache_fill_fail(e, END_BODY_CUT);
	assert_null(find(f, 1));
	assert_int_equal(cache_entry_state(r.entry), CACHE_FAILED);
	assert_int_equal(cache_entry_why(r.entry), END_BODY_CUT);
	assert_int_equal(read_all(&r), 100);
	assert_false(cache_reader_is_done(&r));
	cache_reader_close(&r);
}

static void
test_not_storable_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct cache_key k = key_of(1);
	unsigned i;

	cache_fill_drop(begin(f, 1), 1000, false);
	assert_true(cache_store_find(f->store, &k, &f->facts, 999).is_passed);
	assert_false(cache_store_find(f->store, &k, &f->facts, 1000).is_passed);
	cache_fill_drop(begin(f, 1), 2000, true);
	assert_false(cache_store_find(f->store, &k, &f->facts, 1500).is_passed);
	assert_true(cache_store_find(f->store, &k, &f->facts, 1500).is_passed_authorized);
	assert_false(cache_store_find(f->store, &k, &f->facts, 2000).is_passed_authorized);
	cache_registry_reap(&f->registry);
	assert_int_equal(cache_store_entries(f->store), 0);
	/* A flood of them is bounded like everything else. */
	for (i = 0; i < 20000; i++)
		cache_fill_drop(begin(f, i), 1000, false);
	cache_registry_reap(&f->registry);
	assert_true(cache_store_used(f->store) <= f->conf.size);
}

static void
test_too_large_passes_by(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *e = begin(f, 1);
	struct cache_reader fast, slow;
	int i;

	give_head(f, e, 0);
	cache_reader_open(&fast, e, 0, UINT64_MAX, on_reader, f);
	cache_reader_open(&slow, e, 0, UINT64_MAX, on_reader, f);
	for (i = 0; i < 5; i++) {
		give_body(e, 50000);
		read_all(&fast);
		read_all(&slow);
	}
	assert_non_null(find(f, 1));
	give_body(e, 50000);
	assert_null(find(f, 1));
	for (i = 0; i < 100; i++) {
		read_all(&fast);
		read_all(&slow);
		give_body(e, 50000);
		cache_registry_reap(&f->registry);
		assert_true(cache_store_used(f->store) < 300000);
	}
	assert_false(cache_fill_is_full(e));
	/* One stops for want of our time: the fetch waits for it. */
	cache_reader_excuse(&slow, true);
	for (i = 0; i < 20 && !cache_fill_is_full(e); i++) {
		assert_true(read_all(&fast) > 0);
		give_body(e, 50000);
	}
	assert_true(read_all(&fast) > 0 && cache_fill_is_full(e) && !slow.is_cut);
	/* Then for its client: that is told at once, since nothing else moves. */
	cache_reader_excuse(&slow, false);
	assert_true(slow.is_cut);
	cache_reader_close(&slow);
	assert_false(cache_fill_is_full(e));
	/* Alone it is waited for. */
	for (i = 0; i < 20 && !cache_fill_is_full(e); i++)
		give_body(e, 50000);
	assert_true(cache_fill_is_full(e) && !fast.is_cut);
	read_all(&fast);
	assert_false(cache_fill_is_full(e));
	cache_registry_run(&f->registry);
	assert_true(f->filler_news > 0);
	cache_fill_end(e, 0);
	assert_true(cache_reader_is_done(&fast));
	cache_reader_close(&fast);
	assert_null(find(f, 1));
}

/* Clients that do not read, each of another answer that does not fit any more. */
static void
test_what_passes_by_is_bounded(void **state)
{
	enum { N = 8, ALLOWED = 256 * 1024, ONCE = 50000, SEGMENT = 65 * 1024 };
	struct fixture *f = *state;
	struct cache_entry *e[N];
	struct cache_reader slow[N];
	unsigned i, k;

	f->conf.max_object = 900 * 1024;
	cache_store_adopt(f->store, &f->conf);
	for (i = 0; i < N; i++) {
		e[i] = begin(f, i);
		assert_int_equal(give_head(f, e[i], 0), CACHE_WHY_NONE);
		cache_reader_open(&slow[i], e[i], 0, UINT64_MAX, on_reader, f);
	}
	for (i = 0; i < N; i++) {
		for (k = 0; k < 40 && !cache_fill_is_full(e[i]); k++)
			give_body(e[i], ONCE);
		assert_int_equal(cache_fill_is_passing(e[i]), true);
	}
	assert_true(cache_store_used(f->store) < f->conf.size + N * (ALLOWED + ONCE + SEGMENT));
	for (i = 0; i < N; i++) {
		assert_false(slow[i].is_cut);
		read_all(&slow[i]);
		assert_false(cache_fill_is_full(e[i]));
		cache_reader_close(&slow[i]);
		cache_fill_fail(e[i], END_BODY_CUT);
	}
}

static void
test_announced_too_large(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *e = begin(f, 1);

	f->head->has_length = true;
	f->head->length = f->conf.max_object;
	assert_int_equal(give_head(f, e, 0), CACHE_WHY_TOO_LARGE);
	cache_fill_drop(e, 0, false);
	f->head->length = UINT64_MAX;
	e = begin(f, 1);
	assert_int_equal(give_head(f, e, 0), CACHE_WHY_TOO_LARGE);
	cache_fill_drop(e, 0, false);
}

static void
test_refresh(void **state)
{
	struct fixture *f = *state;
	struct cache_key k = key_of(1);
	struct cache_entry *e, *stale;

	put(f, 1, 100, 0);
	stale = cache_entry_ref(find(f, 1));
	e = cache_fill_begin(f->store, &k, stale, &f->filler);
	assert_true(cache_entry_is_refreshing(stale));
	message_add(f->head, FIELD_ETAG, STR("ETag"), STR("\"2\""));
	cache_fill_refresh(e, stale, f->head, &fresh, 5);
	assert_false(cache_entry_is_refreshing(stale));
	assert_ptr_equal(find(f, 1), stale);
	assert_non_null(message_find(cache_entry_head(stale), FIELD_ETAG));
	assert_int_equal(cache_entry_head(stale)->length, 100);
	cache_entry_unref(stale);
}

/* A server that adds to the head with each 304. */
static void
test_a_head_that_grows(void **state)
{
	struct fixture *f = *state;
	struct cache_key k = key_of(1);
	struct cache_entry *e, *stale;
	struct str value = str_make(arena_zalloc(f->arena, 8192), 8192);
	unsigned i;

	put(f, 1, 100, 0);
	for (i = 0; i < 100 && (stale = find(f, 1)) != NULL; i++) {
		message_add(f->head, FIELD_OTHER, STR("X-More"), value);
		e = cache_fill_begin(f->store, &k, stale, &f->filler);
		cache_fill_refresh(e, stale, f->head, &fresh, i);
		assert_true(cache_store_used(f->store) < f->conf.max_object + 16384);
		cache_registry_reap(&f->registry);
	}
	assert_null(find(f, 1));
}

static void
test_replacing(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *old;

	put(f, 1, 100, 0);
	old = cache_entry_ref(find(f, 1));
	put(f, 1, 200, 0);
	assert_ptr_not_equal(find(f, 1), old);
	assert_int_equal(cache_entry_length(find(f, 1)), 200);
	cache_entry_unref(old);
	cache_registry_reap(&f->registry);
	assert_int_equal(cache_store_entries(f->store), 1);
}

static void
test_clearing_with_fetches_under_way(void **state)
{
	struct fixture *f = *state;
	struct cache_entry *waiting = begin(f, 1), *live = begin(f, 2);

	give_head(f, live, 0);
	put(f, 3, 10, 0);
	cache_store_clear(f->store);
	assert_null(find(f, 2));
	assert_null(find(f, 3));
	give_body(live, 10);
	cache_fill_end(live, 0);
	give_head(f, waiting, 0);
	cache_fill_end(waiting, 0);
	cache_registry_reap(&f->registry);
	assert_int_equal(cache_store_entries(f->store), 0);
}

static void
test_a_smaller_size_is_kept_at_once(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 8; i++)
		put(f, i, 100000, 0);
	f->conf.size = 300000;
	cache_store_adopt(f->store, &f->conf);
	cache_registry_reap(&f->registry);
	assert_true(cache_store_used(f->store) <= 300000);
	assert_non_null(find(f, 7));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_never_over_its_size),
		TEST(test_the_least_recently_used_goes),
		TEST(test_what_nobody_asks_for_goes),
		TEST(test_a_reader_keeps_what_was_thrown_out),
		TEST(test_what_is_read_is_not_thrown_out),
		TEST(test_all_in_use_means_no_room),
		TEST(test_following),
		TEST(test_a_fetch_that_fails),
		TEST(test_not_storable_is_remembered),
		TEST(test_too_large_passes_by),
		TEST(test_what_passes_by_is_bounded),
		TEST(test_announced_too_large),
		TEST(test_refresh),
		TEST(test_a_head_that_grows),
		TEST(test_replacing),
		TEST(test_clearing_with_fetches_under_way),
		TEST(test_a_smaller_size_is_kept_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
