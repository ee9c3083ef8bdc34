/* SPDX-License-Identifier: MIT */
/*
 * Stored answers by key: memory, variants, who fills and who reads.
 *
 * An entry is filled by one and read by many, at the same time and each at its own pace; whoever reads
 * holds it alive.  The store bounds its memory, throws out what was not asked for the longest, and
 * tells readers that there is news, from the owner's loop only.  Knows no socket and no exchange.
 */
#ifndef CACHE_CACHE_STORE_H
#define CACHE_CACHE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/end.h"
#include "base/str.h"
#include "base/table.h"
#include "cache/cache_key.h"
#include "cache/cache_policy.h"

struct arena;
struct cache_conf;
struct cache_entry;
struct cache_registry;
struct cache_segment;
struct cache_store;
struct message;

/* Something that wants to hear: embedded in its owner, in the line of news at most once. */
struct cache_notice {
	void (*on_news)(void *arg);
	void  *arg;
	bool   is_due;
	TAILQ_ENTRY(cache_notice) entry;
};
TAILQ_HEAD(cache_notice_list, cache_notice);

/* What came of a request on a route with a cache. */
enum cache_result {
	CACHE_RESULT_HIT,
	CACHE_RESULT_STALE,		/* an expired answer was served */
	CACHE_RESULT_COLLAPSED,		/* it followed another's fetch */
	CACHE_RESULT_REVALIDATED,	/* a 304 came, the stored answer was served */
	CACHE_RESULT_MISS,		/* fetched and stored */
	CACHE_RESULT_PASS,		/* fetched, not storable */
	CACHE_RESULT_BYPASS,		/* the cache was not asked */
	CACHE_RESULT_REFRESH,		/* nobody's request: the cache's own */
	CACHE_RESULTS
};
/* The word of logs and metrics. */
const char *cache_result_name(enum cache_result);

struct cache_stats {
	uint64_t results[CACHE_RESULTS];/* of exchanges that are over */
	uint64_t hits, misses, stored, evicted, expired, collapsed, uncacheable, no_memory, too_large;
};

/* Every store of a worker: what belongs to none alone. */
struct cache_registry {
	struct table by_name;
	struct cache_notice_list due;
	struct cache_entry   *dead;	/* until cache_registry_reap */
	struct cache_segment *trash;
	void (*ask)(void *arg);		/* wants cache_registry_run to be called, from the loop */
	void  *arg;
};

void cache_registry_init(struct cache_registry *, void (*ask)(void *arg), void *arg);
void cache_registry_fini(struct cache_registry *);
size_t cache_registry_count(const struct cache_registry *);
/* Tells everyone who is due; those who become due meanwhile wait for the next call. */
void cache_registry_run(struct cache_registry *);
/* End of the turn: frees what nobody can look at any more. */
void cache_registry_reap(struct cache_registry *);
/* Removes what was not asked for within each store's inactive time, a bounded number a call. */
void cache_registry_tick(struct cache_registry *, msec now);

/* The store of that name, found or made; counted.  Its size and times are the configuration's from
 * cache_store_adopt on; what a change of the key's rules strands goes as what nobody asks for. */
struct cache_store *cache_store_get(struct cache_registry *, const struct cache_conf *);
void cache_store_adopt(struct cache_store *, const struct cache_conf *);
void cache_store_unref(struct cache_store *);
/* Bytes in use, bookkeeping included; never over size but by what one answer in flight needs. */
size_t cache_store_used(const struct cache_store *);
size_t cache_store_entries(const struct cache_store *);
struct cache_stats *cache_store_stats(struct cache_store *);
/* Drops everything (purge). */
void cache_store_clear(struct cache_store *);

enum cache_state {
	CACHE_WAITING,			/* being fetched, no head yet */
	CACHE_LIVE,			/* being fetched, head there */
	CACHE_WHOLE,
	CACHE_FAILED			/* the fetch ended: see cache_entry_why */
};

struct cache_found {
	struct cache_entry *entry;	/* the variant that answers the request, LIVE or WHOLE; or NULL */
	struct cache_entry *busy;	/* a fetch under way whose head is awaited; or NULL */
	bool has_variants;		/* other variants of the key are there */
	bool is_passed;			/* answers to it were not storable lately: do not line up */
	bool is_passed_authorized;	/* nor were those to requests with Authorization */
};
/* What is known of the key for this request; takes no reference. */
struct cache_found cache_store_find(struct cache_store *, const struct cache_key *,
    const struct cache_key_facts *, msec now);
/* The entry was asked for: it is the youngest now. */
void cache_entry_touch(struct cache_entry *, msec now);
/* Removes everything of that address (cache_key_uri); readers keep what they read. */
void cache_store_invalidate(struct cache_store *, uint64_t uri);

struct cache_entry *cache_entry_ref(struct cache_entry *);
void cache_entry_unref(struct cache_entry *);
enum cache_state cache_entry_state(const struct cache_entry *);
/* The stored head (hop-by-hop fields left out); NULL while WAITING.  May be another after a refresh. */
const struct message *cache_entry_head(const struct cache_entry *);
const struct freshness *cache_entry_freshness(const struct cache_entry *);
/* Of a WHOLE one. */
uint64_t cache_entry_length(const struct cache_entry *);
/* Why a FAILED one failed; END_OK: its answer was not storable, fetch your own. */
enum end cache_entry_why(const struct cache_entry *);
/* Somebody refreshes it. */
bool cache_entry_is_refreshing(const struct cache_entry *);

/* --- filling: by the one who made the entry ------------------------------------------------------- */

/*
 * A new entry of the key, WAITING, which others find; the caller owns a reference, and ends it with
 * exactly one of end, fail and drop.  stale, if not NULL, is the entry that it is to refresh.
 */
struct cache_entry *cache_fill_begin(struct cache_store *, const struct cache_key *,
    struct cache_entry *stale, struct cache_notice *filler);
/*
 * The head came and is storable: those who wait hear of it.  vary and variant say which requests of
 * the key it answers.  Else why there is no room for it: nothing has changed then, and the caller
 * drops the fill.
 */
enum cache_why cache_fill_head(struct cache_entry *, const struct message *head, struct str vary,
    const struct cache_variant *, const struct freshness *, msec now);
/*
 * Body bytes, copied.  When the answer outgrows max_object or the store, nobody new finds the entry
 * any more, and it keeps only what its readers have not had.
 */
void cache_fill_body(struct cache_entry *, const struct str *spans, size_t n);
/* It has outgrown its bounds: without readers it is of no use, of which the filler hears. */
bool cache_fill_is_passing(const struct cache_entry *);
/* True when it keeps so much for its slowest reader that no more should come; the filler hears when
 * that is over. */
bool cache_fill_is_full(const struct cache_entry *);
/* The answer is whole: the entry takes the place of others of its variant. */
void cache_fill_end(struct cache_entry *, msec now);
/* The fetch failed: who reads is told why, who waits looks anew. */
void cache_fill_fail(struct cache_entry *, enum end why);
/* The answer cannot be stored: who waits fetches for himself; so does, until pass_until (0: nobody), who
 * comes, or who comes with Authorization when that was the reason. */
void cache_fill_drop(struct cache_entry *, msec pass_until, bool only_authorized);
/* A 304 came: stale has a new head and lives on; the fill is over, who waits finds stale. */
void cache_fill_refresh(struct cache_entry *, struct cache_entry *stale, const struct message *head,
    const struct freshness *, msec now);
/* Readers and those who wait; the filler hears when the last one leaves. */
size_t cache_fill_followers(const struct cache_entry *);

/* --- reading ---------------------------------------------------------------------------------------- */

struct cache_reader {
	struct cache_notice notice;	/* first bytes, more, the end, failure, or look again */
	struct cache_entry *entry;	/* counted; NULL: closed */
	uint64_t at, end;		/* next byte; where to stop (UINT64_MAX: at the end of the body) */
	struct cache_segment *segment;	/* where at lies, if known, and its first byte */
	uint64_t base;
	bool     is_excused;
	bool     is_cut;		/* lagged so far behind that it can have no more */
	TAILQ_ENTRY(cache_reader) link;
};
TAILQ_HEAD(cache_reader_list, cache_reader);

/* Reads from at on; hears of news until it is closed. */
void cache_reader_open(struct cache_reader *, struct cache_entry *, uint64_t at, uint64_t end,
    void (*on_news)(void *arg), void *arg);
/* Safe to call twice. */
void cache_reader_close(struct cache_reader *);
/* Spans of at most limit bytes that are there and not yet had; they stay valid until the end of the
 * turn.  Returns how many spans, at most n. */
size_t cache_reader_peek(struct cache_reader *, struct str *spans, size_t n, size_t limit);
void cache_reader_advance(struct cache_reader *, size_t n);
/* Whether it lags for want of our time, not for its client's pace: then the fetch waits for it, and it is
 * not cut. */
void cache_reader_excuse(struct cache_reader *, bool is_excused);
/* Everything it was to read was had. */
bool cache_reader_is_done(const struct cache_reader *);
/* Asks to hear again in the next turn: others have their turn first. */
void cache_reader_again(struct cache_reader *);

#endif
