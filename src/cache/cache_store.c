/* SPDX-License-Identifier: MIT */
/*
 * The memory of the answer cache: nodes by key, entries (variants) in a node, segments of a body.
 *
 * Everything is counted in store->used as malloc gave it out.  What can be thrown out stands in one
 * line, the youngest first.  Invariants: an entry in a node is LIVE, WHOLE or a mark that answers to
 * the key pass by (PASS); a fetch without a head is the node's busy one; memory that a socket may
 * still be written from goes at the end of the turn.
 */
#include "cache/cache_store.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/config.h"
#include "http/message.h"

enum {
	ENTRY_MAGIC = 0x63616368,
	STORE_MAGIC = 0x73746f72,
	SEGMENT_MIN = 512,
	SEGMENT_MAX = 64 * 1024,
	PER_BUCKET = 2048,		/* bytes of the store's size for each bucket of its index */
	EVICT_LOOK = 64,		/* entries in use passed over in search of one to throw out */
	KEEP_MIN = 256 * 1024,		/* bytes that a reader of what passes by may lag at least */
	TICK_MAX = 1000,		/* entries dropped for inactivity in one call */
	MALLOC_HEADER = 16		/* what malloc keeps beside usable bytes */
};

/* A mark in a node: not storable lately.  Beside enum cache_state, for the store alone. */
enum { STATE_PASS = CACHE_FAILED + 1 };

struct cache_segment {
	struct cache_segment *next;
	size_t len, cap;
	char   bytes[];
};

TAILQ_HEAD(entry_list, cache_entry);
LIST_HEAD(uri_list, node);

struct node {
	struct cache_key    key;
	struct cache_store *store;
	struct node        *next;	/* in its bucket */
	LIST_ENTRY(node)    same_uri;
	struct cache_entry *busy;	/* not counted: the filler's reference keeps it */
	struct entry_list   entries;
	unsigned            n_entries;
};

struct cache_entry {
	unsigned magic;
	unsigned refs;
	int      state;
	bool     in_lru;
	bool     is_passing;		/* outgrew its bounds: kept only for who reads */
	bool     only_authorized;	/* of a mark */
	struct cache_store *store;	/* counted */
	struct node  *node;		/* NULL when nobody new finds it */
	struct message *head;		/* one block, with its texts */
	char         *vary;		/* names of request fields, and what the request had of them */
	struct cache_variant variant;
	struct freshness freshness;
	struct cache_segment *first, *last;
	uint64_t base, length;		/* of the body: first byte kept, bytes so far */
	msec     used_at, pass_until;
	enum end why;
	struct cache_entry *stale;	/* that this one refreshes, counted */
	unsigned refreshing;
	struct cache_notice *filler;
	struct cache_reader_list readers;
	size_t   n_readers;
	TAILQ_ENTRY(cache_entry) in_node;
	TAILQ_ENTRY(cache_entry) lru;
	struct cache_entry *next_dead;
};

struct cache_store {
	unsigned magic;
	size_t   refs;			/* of generations and entries */
	unsigned named;			/* of generations */
	struct cache_registry *registry;
	char    *name;
	size_t   size, used, max_object;
	msec     inactive;
	unsigned max_variants;
	size_t   n_entries;
	struct node **buckets;		/* by key */
	struct uri_list *uris;		/* by the number of its address */
	size_t   n_buckets;
	struct entry_list lru;		/* the youngest first */
	struct cache_stats stats;
};

static void release(struct cache_entry *);
static void drop_store(struct cache_store *);

/* --- memory ------------------------------------------------------------------------------------ */

/* NULL when the system has none: a cache can do without. */
static void *
take(struct cache_store *s, size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		s->stats.no_memory++;
	else
		s->used += malloc_usable_size(p) + MALLOC_HEADER;
	return p;
}

static void
give(struct cache_store *s, void *p)
{
	if (p == NULL)
		return;
	s->used -= malloc_usable_size(p) + MALLOC_HEADER;
	free(p);
}

/* The same for bytes that a socket may still be written from in this turn. */
static void
give_later(struct cache_store *s, struct cache_segment *g)
{
	s->used -= malloc_usable_size(g) + MALLOC_HEADER;
	g->next = s->registry->trash;
	s->registry->trash = g;
}

static bool
is_idle(const struct cache_entry *e)
{
	return e->refs == 1;		/* the store's own */
}

/* Makes room by throwing out what was not asked for the longest; false when all of it is in use. */
static bool
reserve(struct cache_store *s, size_t n)
{
	struct cache_entry *e, *younger;
	int looked = 0;

	if (n > s->size)
		return false;
	for (e = TAILQ_LAST(&s->lru, entry_list); s->used + n > s->size && e != NULL; e = younger) {
		younger = TAILQ_PREV(e, entry_list, lru);
		if (is_idle(e)) {
			s->stats.evicted++;
			release(e);
		} else if (++looked == EVICT_LOOK)
			break;
	}
	return s->used + n <= s->size;
}

/* --- news ------------------------------------------------------------------------------------------ */

static void
tell(struct cache_registry *r, struct cache_notice *n)
{
	if (n->is_due)
		return;
	n->is_due = true;
	if (TAILQ_EMPTY(&r->due))
		r->ask(r->arg);
	TAILQ_INSERT_TAIL(&r->due, n, entry);
}

static void
untell(struct cache_registry *r, struct cache_notice *n)
{
	if (n->is_due)
		TAILQ_REMOVE(&r->due, n, entry);
	n->is_due = false;
}

static void
tell_readers(struct cache_entry *e)
{
	struct cache_reader *r;

	TAILQ_FOREACH(r, &e->readers, link)
		tell(e->store->registry, &r->notice);
}

static void
tell_filler(struct cache_entry *e)
{
	if (e->filler != NULL)
		tell(e->store->registry, e->filler);
}

void
cache_registry_run(struct cache_registry *r)
{
	struct cache_notice *n, *last = TAILQ_LAST(&r->due, cache_notice_list);
	bool is_last = last == NULL;

	while (!is_last && (n = TAILQ_FIRST(&r->due)) != NULL) {
		is_last = n == last;
		untell(r, n);
		n->on_news(n->arg);
	}
	if (!TAILQ_EMPTY(&r->due))
		r->ask(r->arg);
}

/* --- nodes and entries --------------------------------------------------------------------------------- */

static struct node **
bucket_of(struct cache_store *s, const struct cache_key *key)
{
	return &s->buckets[cache_key_hash(key) % s->n_buckets];
}

static struct node *
find_node(struct cache_store *s, const struct cache_key *key)
{
	struct node *n;

	for (n = *bucket_of(s, key); n != NULL; n = n->next)
		if (cache_key_eq(&n->key, key))
			return n;
	return NULL;
}

static struct node *
get_node(struct cache_store *s, const struct cache_key *key)
{
	struct node *n = find_node(s, key), **bucket;

	if (n != NULL)
		return n;
	n = take(s, sizeof(*n));
	check(n != NULL);
	memset(n, 0, sizeof(*n));
	n->key = *key;
	n->store = s;
	TAILQ_INIT(&n->entries);
	bucket = bucket_of(s, key);
	n->next = *bucket;
	*bucket = n;
	LIST_INSERT_HEAD(&s->uris[key->uri % s->n_buckets], n, same_uri);
	return n;
}

static void
drop_if_empty(struct node *n)
{
	struct node **at;

	if (n->busy != NULL || !TAILQ_EMPTY(&n->entries))
		return;
	for (at = bucket_of(n->store, &n->key); *at != n; at = &(*at)->next)
		;
	*at = n->next;
	LIST_REMOVE(n, same_uri);
	give(n->store, n);
}

static void
add_to_node(struct node *n, struct cache_entry *e)
{
	e->node = n;
	TAILQ_INSERT_HEAD(&n->entries, e, in_node);
	n->n_entries++;
}

static void
leave_lru(struct cache_entry *e)
{
	if (e->in_lru)
		TAILQ_REMOVE(&e->store->lru, e, lru);
	e->in_lru = false;
}

static void
leave_node(struct cache_entry *e)
{
	struct node *n = e->node;

	if (n == NULL)
		return;
	e->node = NULL;
	if (n->busy == e)
		n->busy = NULL;
	else {
		TAILQ_REMOVE(&n->entries, e, in_node);
		n->n_entries--;
	}
	drop_if_empty(n);
}

/* Nobody new finds it; who reads it goes on.  The store's own reference goes with its place. */
static void
release(struct cache_entry *e)
{
	leave_node(e);
	if (e->in_lru) {
		leave_lru(e);
		cache_entry_unref(e);
	}
}

static void
join_lru(struct cache_entry *e, msec now)
{
	e->used_at = now;
	e->in_lru = true;
	TAILQ_INSERT_HEAD(&e->store->lru, e, lru);
	cache_entry_ref(e);
}

static struct cache_entry *
new_entry(struct cache_store *s, enum cache_state state)
{
	struct cache_entry *e = take(s, sizeof(*e));

	check(e != NULL);
	memset(e, 0, sizeof(*e));
	e->magic = ENTRY_MAGIC;
	e->refs = 1;
	e->state = (int)state;
	e->store = s;
	s->refs++;
	s->n_entries++;
	TAILQ_INIT(&e->readers);
	return e;
}

struct cache_entry *
cache_entry_ref(struct cache_entry *e)
{
	check(e->magic == ENTRY_MAGIC);
	e->refs++;
	return e;
}

static size_t
block_size(void *p)
{
	return p != NULL ? malloc_usable_size(p) + MALLOC_HEADER : 0;
}

static size_t
bytes_of(struct cache_entry *e)
{
	size_t n = block_size(e) + block_size(e->head) + block_size(e->vary);
	struct cache_segment *g;

	for (g = e->first; g != NULL; g = g->next)
		n += block_size(g);
	return n;
}

/* It counts no more at once, so that room for another is there; its memory goes at the turn's end. */
void
cache_entry_unref(struct cache_entry *e)
{
	struct cache_registry *r = e->store->registry;

	check(e->magic == ENTRY_MAGIC && e->refs > 0);
	if (--e->refs > 0)
		return;
	check(e->node == NULL && !e->in_lru && e->n_readers == 0);
	e->store->used -= bytes_of(e);
	e->next_dead = r->dead;
	r->dead = e;
}

static void
free_entry(struct cache_entry *e)
{
	struct cache_store *s = e->store;
	struct cache_segment *g;

	while ((g = e->first) != NULL) {
		e->first = g->next;
		free(g);
	}
	free(e->head);
	free(e->vary);
	e->magic = 0;
	s->n_entries--;
	free(e);
	drop_store(s);
}

void
cache_registry_reap(struct cache_registry *r)
{
	struct cache_entry *e;
	struct cache_segment *g;

	while ((e = r->dead) != NULL) {
		r->dead = e->next_dead;
		free_entry(e);
	}
	while ((g = r->trash) != NULL) {
		r->trash = g->next;
		free(g);
	}
}

/* --- stores ------------------------------------------------------------------------------------------------ */

void
cache_registry_init(struct cache_registry *r, void (*ask)(void *arg), void *arg)
{
	memset(r, 0, sizeof(*r));
	TAILQ_INIT(&r->due);
	r->ask = ask;
	r->arg = arg;
}

void
cache_registry_fini(struct cache_registry *r)
{
	cache_registry_reap(r);
	check(r->by_name.n == 0 && TAILQ_EMPTY(&r->due));
	table_fini(&r->by_name);
}

size_t
cache_registry_count(const struct cache_registry *r)
{
	return r->by_name.n;
}

static void
tick_store(struct cache_store *s, msec now)
{
	struct cache_entry *e, *younger;
	int n = 0;

	for (e = TAILQ_LAST(&s->lru, entry_list); e != NULL && n < TICK_MAX; e = younger, n++) {
		younger = TAILQ_PREV(e, entry_list, lru);
		if (now - e->used_at < s->inactive)
			return;
		s->stats.expired++;
		release(e);
	}
}

void
cache_registry_tick(struct cache_registry *r, msec now)
{
	struct str name;
	void *store;
	size_t pos = 0;

	while (table_next(&r->by_name, &pos, &name, &store))
		tick_store(store, now);
}

/* The store lives while it is named by a generation or an entry of it is still read. */
struct cache_store *
cache_store_get(struct cache_registry *r, const struct cache_conf *conf)
{
	struct cache_store *s = table_get(&r->by_name, conf->name);

	if (s != NULL) {
		s->refs++;
		s->named++;
		return s;
	}
	s = calloc(1, sizeof(*s));
	check(s != NULL);
	s->magic = STORE_MAGIC;
	s->refs = s->named = 1;
	s->registry = r;
	s->name = strndup(conf->name.p, conf->name.len);
	s->n_buckets = conf->size / PER_BUCKET + 1;
	s->buckets = calloc(s->n_buckets, sizeof(struct node *));
	s->uris = calloc(s->n_buckets, sizeof(struct uri_list));
	check(s->name != NULL && s->buckets != NULL && s->uris != NULL);
	s->used = malloc_usable_size(s->buckets) + malloc_usable_size(s->uris);
	TAILQ_INIT(&s->lru);
	table_set(&r->by_name, str_of(s->name), s);
	cache_store_adopt(s, conf);
	return s;
}

void
cache_store_adopt(struct cache_store *s, const struct cache_conf *conf)
{
	s->size = conf->size;
	s->inactive = conf->inactive;
	s->max_object = conf->max_object;
	s->max_variants = conf->vary_max;
	(void)reserve(s, 0);
}

static void
free_store(struct cache_store *s)
{
	free(s->buckets);
	free(s->uris);
	free(s->name);
	s->magic = 0;
	free(s);
}

static void
drop_store(struct cache_store *s)
{
	if (--s->refs == 0)
		free_store(s);
}

void
cache_store_unref(struct cache_store *s)
{
	check(s->magic == STORE_MAGIC && s->named > 0);
	if (--s->named == 0) {
		cache_store_clear(s);
		table_remove(&s->registry->by_name, str_of(s->name));
	}
	drop_store(s);
}

void
cache_store_clear(struct cache_store *s)
{
	struct cache_entry *e;
	struct node *n;
	size_t i;

	while ((e = TAILQ_FIRST(&s->lru)) != NULL)
		release(e);
	/* What is still being fetched is found by nobody new. */
	for (i = 0; i < s->n_buckets; i++)
		while ((n = s->buckets[i]) != NULL)
			leave_node(n->busy != NULL ? n->busy : TAILQ_FIRST(&n->entries));
}

size_t
cache_store_used(const struct cache_store *s)
{
	return s->used;
}

size_t
cache_store_entries(const struct cache_store *s)
{
	return s->n_entries;
}

const char *
cache_result_name(enum cache_result result)
{
	static const char *const names[CACHE_RESULTS] = {
		[CACHE_RESULT_HIT] = "hit",
		[CACHE_RESULT_STALE] = "stale",
		[CACHE_RESULT_COLLAPSED] = "collapsed",
		[CACHE_RESULT_REVALIDATED] = "revalidated",
		[CACHE_RESULT_MISS] = "miss",
		[CACHE_RESULT_PASS] = "pass",
		[CACHE_RESULT_BYPASS] = "bypass",
		[CACHE_RESULT_REFRESH] = "refresh",
	};

	return names[result];
}

struct cache_stats *
cache_store_stats(struct cache_store *s)
{
	return &s->stats;
}

/* --- finding ------------------------------------------------------------------------------------------------ */

/* Of variants that answer, the younger stands first. */
static bool
answers(const struct cache_entry *e, const struct cache_key_facts *facts)
{
	struct cache_variant v;

	cache_key_variant(facts, str_of(e->vary), &v);
	return cache_variant_eq(&v, &e->variant);
}

struct cache_found
cache_store_find(struct cache_store *s, const struct cache_key *key,
    const struct cache_key_facts *facts, msec now)
{
	struct cache_found found = { NULL, NULL, false, false, false };
	struct node *n = find_node(s, key);
	struct cache_entry *e, *next;

	if (n == NULL)
		return found;
	found.busy = n->busy;
	for (e = TAILQ_FIRST(&n->entries); e != NULL; e = next) {
		next = TAILQ_NEXT(e, in_node);
		if (e->state != STATE_PASS) {
			found.has_variants = true;
			if (found.entry == NULL && answers(e, facts))
				found.entry = e;
		} else if (e->pass_until > now) {
			found.is_passed |= !e->only_authorized;
			found.is_passed_authorized = true;
		} else
			release(e);	/* the last one takes the node along */
	}
	return found;
}

void
cache_entry_touch(struct cache_entry *e, msec now)
{
	e->used_at = now;
	if (!e->in_lru)
		return;
	TAILQ_REMOVE(&e->store->lru, e, lru);
	TAILQ_INSERT_HEAD(&e->store->lru, e, lru);
}

static void
empty_node(struct node *n)
{
	struct cache_entry *e = TAILQ_FIRST(&n->entries), *next;

	/* A fetch that began before the change may bring what was before it. */
	if (n->busy != NULL)
		leave_node(n->busy);
	for (; e != NULL; e = next) {
		next = TAILQ_NEXT(e, in_node);
		release(e);
	}
}

void
cache_store_invalidate(struct cache_store *s, uint64_t uri)
{
	struct node *n, *next;

	for (n = LIST_FIRST(&s->uris[uri % s->n_buckets]); n != NULL; n = next) {
		next = LIST_NEXT(n, same_uri);
		if (n->key.uri == uri)
			empty_node(n);
	}
}

enum cache_state
cache_entry_state(const struct cache_entry *e)
{
	return (enum cache_state)e->state;
}

const struct message *
cache_entry_head(const struct cache_entry *e)
{
	return e->head;
}

const struct freshness *
cache_entry_freshness(const struct cache_entry *e)
{
	return &e->freshness;
}

uint64_t
cache_entry_length(const struct cache_entry *e)
{
	return e->length;
}

enum end
cache_entry_why(const struct cache_entry *e)
{
	return e->why;
}

bool
cache_entry_is_refreshing(const struct cache_entry *e)
{
	return e->refreshing > 0;
}

/* --- filling -------------------------------------------------------------------------------------------------- */

struct cache_entry *
cache_fill_begin(struct cache_store *s, const struct cache_key *key, struct cache_entry *stale,
    struct cache_notice *filler)
{
	struct node *n = get_node(s, key);
	struct cache_entry *e = new_entry(s, CACHE_WAITING);

	e->filler = filler;
	if (stale != NULL) {
		e->stale = cache_entry_ref(stale);
		stale->refreshing++;
	}
	/* A second fetch at the same time is nobody's to wait for. */
	if (n->busy == NULL) {
		n->busy = e;
		e->node = n;
	}
	return e;
}

static void
forget_stale(struct cache_entry *e)
{
	if (e->stale == NULL)
		return;
	e->stale->refreshing--;
	cache_entry_unref(e->stale);
	e->stale = NULL;
}

/* The fill is over, however: the caller's reference goes. */
static void
end_fill(struct cache_entry *e)
{
	untell(e->store->registry, e->filler);
	e->filler = NULL;
	forget_stale(e);
	tell_readers(e);
	cache_entry_unref(e);
}

static bool
set_head(struct cache_entry *e, const struct message *head, const struct freshness *f)
{
	struct message *copy = take(e->store, message_size(head));

	if (copy == NULL)
		return false;
	message_copy(head, copy);
	give(e->store, e->head);
	e->head = copy;
	e->freshness = *f;
	return true;
}

/* Too many variants of one key: the least recently stored goes. */
static void
limit_variants(struct node *n)
{
	struct cache_entry *e, *younger;

	for (e = TAILQ_LAST(&n->entries, entry_list); e != NULL &&
	    n->n_entries >= n->store->max_variants; e = younger) {
		younger = TAILQ_PREV(e, entry_list, in_node);
		if (e->state == CACHE_WHOLE)
			release(e);
	}
}

enum cache_why
cache_fill_head(struct cache_entry *e, const struct message *head, struct str vary,
    const struct cache_variant *variant, const struct freshness *f, msec now)
{
	struct cache_store *s = e->store;
	size_t body = head->has_length ? (size_t)head->length : 0;
	struct node *n = e->node;

	check(e->state == CACHE_WAITING);
	if (message_size(head) > s->max_object ||
	    (head->has_length && head->length > s->max_object - message_size(head))) {
		s->stats.too_large++;
		return CACHE_WHY_TOO_LARGE;
	}
	if (!reserve(s, message_size(head) + vary.len + 1 + body) || !set_head(e, head, f)) {
		s->stats.no_memory++;
		return CACHE_WHY_NO_MEMORY;
	}
	e->vary = take(s, vary.len + 1);
	check(e->vary != NULL);
	memcpy(e->vary, vary.len > 0 ? vary.p : "", vary.len);
	e->vary[vary.len] = '\0';
	e->variant = *variant;
	e->used_at = now;
	e->state = CACHE_LIVE;
	if (n != NULL) {
		limit_variants(n);	/* the node stays: it is busy with this one */
		n->busy = NULL;
		add_to_node(n, e);
	}
	tell_readers(e);
	return CACHE_WHY_NONE;
}

/* From here on only readers keep bytes, and only those they have not had. */
static void
pass(struct cache_entry *e, uint64_t *why)
{
	(*why)++;
	e->is_passing = true;
	leave_node(e);
	if (e->n_readers == 0)
		tell_filler(e);
}

static uint64_t
slowest(const struct cache_entry *e)
{
	const struct cache_reader *r;
	uint64_t at = e->length;

	TAILQ_FOREACH(r, &e->readers, link)
		if (r->at < at)
			at = r->at;
	return at;
}

static void
trim(struct cache_entry *e)
{
	uint64_t at = slowest(e);
	struct cache_segment *g;

	while ((g = e->first) != NULL && e->base + g->len <= at) {
		e->first = g->next;
		if (e->first == NULL)
			e->last = NULL;
		e->base += g->len;
		give_later(e->store, g);
	}
}

/* How far a reader may lag.  Not less than what comes and goes at once, or the one whose turn is last
 * would be taken for slow; not more than that when the store is over its size. */
static uint64_t
allowance(const struct cache_entry *e)
{
	const struct cache_store *s = e->store;

	return s->used <= s->size && s->max_object > KEEP_MIN ? s->max_object : KEEP_MIN;
}

static bool
is_full(const struct cache_entry *e)
{
	return e->is_passing && e->length - slowest(e) > allowance(e);
}

/* Who lags by all that may be kept holds up the others: it is let go, unless that is our own doing. */
static void
cut_slowest(struct cache_entry *e)
{
	uint64_t at = slowest(e);
	struct cache_reader *r;
	bool others = false;

	TAILQ_FOREACH(r, &e->readers, link)
		others = others || e->length - r->at <= allowance(e) / 2;
	if (!others)
		return;
	TAILQ_FOREACH(r, &e->readers, link)
		if (r->at == at && !r->is_excused) {
			r->is_cut = true;
			tell(e->store->registry, &r->notice);
		}
}

/* How long a next segment is: what is announced, or as much again as there is. */
static size_t
segment_size(const struct cache_entry *e, size_t n)
{
	uint64_t want = e->head->has_length && e->head->length > e->length
	    ? e->head->length - e->length : e->length;

	if (want < n)
		want = n;
	if (want < SEGMENT_MIN && !e->head->has_length)
		want = SEGMENT_MIN;
	return want > SEGMENT_MAX ? SEGMENT_MAX : (size_t)want;
}

static struct cache_segment *
add_segment(struct cache_entry *e, size_t n)
{
	size_t cap = segment_size(e, n);
	struct cache_segment *g;

	if (!e->is_passing && !reserve(e->store, sizeof(*g) + cap))
		pass(e, &e->store->stats.no_memory);
	g = take(e->store, sizeof(*g) + cap);
	check(g != NULL);
	g->next = NULL;
	g->len = 0;
	g->cap = cap;
	if (e->last == NULL)
		e->first = g;
	else
		e->last->next = g;
	e->last = g;
	return g;
}

static void
append(struct cache_entry *e, struct str bytes)
{
	struct cache_segment *g = e->last;
	size_t n;

	while (bytes.len > 0) {
		if (g == NULL || g->len == g->cap)
			g = add_segment(e, bytes.len);
		n = g->cap - g->len < bytes.len ? g->cap - g->len : bytes.len;
		memcpy(g->bytes + g->len, bytes.p, n);
		g->len += n;
		e->length += n;
		bytes = str_from(bytes, n);
	}
}

void
cache_fill_body(struct cache_entry *e, const struct str *spans, size_t n)
{
	size_t i;

	check(e->state == CACHE_LIVE);
	for (i = 0; i < n; i++) {
		if (!e->is_passing && e->length + spans[i].len > e->store->max_object)
			pass(e, &e->store->stats.too_large);
		append(e, spans[i]);
	}
	if (e->is_passing) {
		trim(e);
		if (is_full(e))
			cut_slowest(e);
	}
	tell_readers(e);
}

bool
cache_fill_is_passing(const struct cache_entry *e)
{
	return e->is_passing;
}

bool
cache_fill_is_full(const struct cache_entry *e)
{
	return is_full(e);
}

/* Older ones that answer the same requests. */
static void
replace_others(struct cache_entry *e)
{
	struct cache_entry *o, *next;

	for (o = TAILQ_FIRST(&e->node->entries); o != NULL; o = next) {
		next = TAILQ_NEXT(o, in_node);
		if (o != e && (o->state == STATE_PASS ||
		    (o->state == CACHE_WHOLE && strcmp(o->vary, e->vary) == 0 &&
		    cache_variant_eq(&o->variant, &e->variant))))
			release(o);
	}
}

void
cache_fill_end(struct cache_entry *e, msec now)
{
	check(e->state == CACHE_LIVE);
	e->state = CACHE_WHOLE;
	if (e->node != NULL) {
		replace_others(e);
		e->head->framing = FRAMING_COUNTED;
		e->head->has_length = true;
		e->head->length = e->length;
		join_lru(e, now);
		e->store->stats.stored++;
		(void)reserve(e->store, 0);
	}
	end_fill(e);
}

void
cache_fill_fail(struct cache_entry *e, enum end why)
{
	e->state = CACHE_FAILED;
	e->why = why;
	leave_node(e);
	end_fill(e);
}

void
cache_fill_drop(struct cache_entry *e, msec pass_until, bool only_authorized)
{
	struct cache_store *s = e->store;
	struct cache_key key;
	struct cache_entry *mark;

	check(e->state == CACHE_WAITING);
	s->stats.uncacheable++;
	e->state = CACHE_FAILED;
	e->why = END_OK;
	if (e->node != NULL) {
		key = e->node->key;
		leave_node(e);
		if (pass_until > 0 && reserve(s, sizeof(*mark) + sizeof(struct node))) {
			mark = new_entry(s, CACHE_FAILED);
			mark->state = STATE_PASS;
			mark->pass_until = pass_until;
			mark->only_authorized = only_authorized;
			add_to_node(get_node(s, &key), mark);
			join_lru(mark, pass_until);
			cache_entry_unref(mark);
		}
	}
	end_fill(e);
}

/* A head that each 304 adds to does not grow without bounds. */
static bool
fits(const struct cache_entry *e, const struct message *head)
{
	size_t max = e->store->max_object, n = message_size(head);

	return n <= max && e->length <= max - n && reserve(e->store, n);
}

void
cache_fill_refresh(struct cache_entry *e, struct cache_entry *stale, const struct message *head,
    const struct freshness *f, msec now)
{
	check(e->state == CACHE_WAITING);
	if (f->storable && fits(stale, head) && set_head(stale, head, f)) {
		stale->head->framing = FRAMING_COUNTED;
		stale->head->has_length = true;
		stale->head->length = stale->length;
		cache_entry_touch(stale, now);
	} else
		release(stale);
	cache_fill_fail(e, END_OK);
}

size_t
cache_fill_followers(const struct cache_entry *e)
{
	return e->n_readers;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

void
cache_reader_open(struct cache_reader *r, struct cache_entry *e, uint64_t at, uint64_t end,
    void (*on_news)(void *arg), void *arg)
{
	memset(r, 0, sizeof(*r));
	r->notice.on_news = on_news;
	r->notice.arg = arg;
	r->entry = cache_entry_ref(e);
	r->at = at;
	r->end = end;
	TAILQ_INSERT_TAIL(&e->readers, r, link);
	e->n_readers++;
}

void
cache_reader_close(struct cache_reader *r)
{
	struct cache_entry *e = r->entry;

	if (e == NULL)
		return;
	r->entry = NULL;
	untell(e->store->registry, &r->notice);
	TAILQ_REMOVE(&e->readers, r, link);
	if (--e->n_readers == 0 || e->is_passing)
		tell_filler(e);
	if (e->is_passing)
		trim(e);
	cache_entry_unref(e);
}

static uint64_t
limit_of(const struct cache_reader *r)
{
	return r->end < r->entry->length ? r->end : r->entry->length;
}

size_t
cache_reader_peek(struct cache_reader *r, struct str *spans, size_t n, size_t limit)
{
	struct cache_entry *e = r->entry;
	uint64_t end = limit_of(r), from;
	struct cache_segment *g = r->segment;
	uint64_t base = r->base;
	size_t i = 0, len;

	/* Of one that passes by, others may have let go what this one stood on. */
	if (g == NULL || e->is_passing) {
		g = e->first;
		base = e->base;
	}
	while (g != NULL && base + g->len <= r->at && g->next != NULL) {
		base += g->len;
		g = g->next;
	}
	r->segment = g;
	r->base = base;
	for (from = r->at; g != NULL && i < n && limit > 0 && from < end; base += g->len, g = g->next) {
		len = (size_t)(base + g->len - from);
		if (len > end - from)
			len = (size_t)(end - from);
		if (len > limit)
			len = limit;
		if (len == 0)
			continue;
		spans[i++] = str_make(g->bytes + (from - base), len);
		from += len;
		limit -= len;
	}
	return i;
}

void
cache_reader_advance(struct cache_reader *r, size_t n)
{
	struct cache_entry *e = r->entry;

	check(n <= limit_of(r) - r->at);
	r->at += n;
	if (!e->is_passing)
		return;
	trim(e);
	if (is_full(e))
		cut_slowest(e);
	tell_filler(e);
}

void
cache_reader_excuse(struct cache_reader *r, bool is_excused)
{
	if (r->is_excused == is_excused)
		return;
	r->is_excused = is_excused;
	if (!is_excused && is_full(r->entry))
		cut_slowest(r->entry);
}

bool
cache_reader_is_done(const struct cache_reader *r)
{
	return r->at >= r->end || (r->entry->state == CACHE_WHOLE && r->at == r->entry->length);
}

void
cache_reader_again(struct cache_reader *r)
{
	tell(r->entry->store->registry, &r->notice);
}
