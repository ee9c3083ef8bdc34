/* SPDX-License-Identifier: MIT */
/*
 * /metrics: the families of metrics.def from what is alive, a row each.
 *
 * A family is walked as a whole before the next, as the format wants it.  Nothing is counted here and
 * nothing kept: a row says over what it goes and how a number is got from one of those.
 */
#include "daemon/admin.h"

#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "daemon/process.h"
#include "daemon/version.h"
#include "exchange/exchange.h"
#include "exchange/generation.h"
#include "exchange/steps.h"
#include "exchange/world.h"
#include "http/coder.h"
#include "net/conn.h"
#include "net/tls.h"
#include "ops/access_log.h"
#include "ops/exposition.h"
#include "upstream/pool.h"
#include "upstream/server_meter.h"

struct scrape {
	const struct admin *admin;
	struct world       *w;
	struct exposition   e;
	enum metric         metric;	/* the one that is told */
	uint64_t            visit;	/* of this walk over servers */
};

/* Values of labels, in the order of metrics.def. */
#define LABELS(...)	((const struct str[]){ __VA_ARGS__ })

static void
put(struct scrape *s, const struct str *labels, uint64_t n)
{
	exposition_uint(&s->e, s->metric, labels, n);
}

/* A family of one label whose values are words. */
static void
put_word(struct scrape *s, const char *word, uint64_t n)
{
	put(s, LABELS(str_of(word)), n);
}

/* --- exchanges ----------------------------------------------------------------------------------- */

/* Calls with each value of a table, all of one kind. */
static void
each(struct scrape *s, const struct table *table, void (*tell)(struct scrape *, const void *))
{
	struct str name;
	void *value;
	size_t pos = 0;

	while (table_next(table, &pos, &name, &value))
		tell(s, value);
}

/* What never happened is left out, but for the one that a rate is compared with. */
static void
tell_ends(struct scrape *s, const void *value)
{
	static const struct str classes[CODE_CLASSES] = { { "none", 4 }, { "1xx", 3 }, { "2xx", 3 },
		{ "3xx", 3 }, { "4xx", 3 }, { "5xx", 3 } };
	const struct route_meter *r = value;
	size_t class, end;

	for (class = 0; class < CODE_CLASSES; class++)
		for (end = 0; end < END_COUNT; end++)
			if (r->ends[class][end] > 0 || (class == 2 && end == END_OK && r->name.len > 0))
				put(s, LABELS(r->name, classes[class], str_of(end_info(end)->name)),
				    r->ends[class][end]);
}

static void
collect_ends(struct scrape *s)
{
	each(s, &s->w->metrics.routes, tell_ends);
}

static void
tell_route_bytes(struct scrape *s, const void *value)
{
	const struct route_meter *r = value;

	put(s, LABELS(r->name), s->metric == METRIC_RECEIVED_BYTES ? r->bytes_in : r->bytes_out);
}

static void
collect_route_bytes(struct scrape *s)
{
	each(s, &s->w->metrics.routes, tell_route_bytes);
}

static void
tell_times(struct scrape *s, const void *value)
{
	const struct upstream_meter *u = value;

	exposition_histogram(&s->e, s->metric, LABELS(u->name),
	    s->metric == METRIC_EXCHANGE_SECONDS ? &u->total
	    : s->metric == METRIC_FIRST_BYTE_SECONDS ? &u->first_byte : &u->queue);
}

static void
collect_times(struct scrape *s)
{
	each(s, &s->w->metrics.upstreams, tell_times);
}

static void
tell_retries(struct scrape *s, const void *value)
{
	const struct upstream_meter *u = value;

	put(s, LABELS(u->name), u->retries);
}

static void
collect_retries(struct scrape *s)
{
	each(s, &s->w->metrics.upstreams, tell_retries);
}

static void
collect_steps(struct scrape *s)
{
	struct step_count counts[STEP_DONE];
	size_t i;

	exchange_count_steps(s->w, counts);
	for (i = 0; i < STEP_DONE; i++)
		put_word(s, steps_name(i), counts[i].n);
}

static void
collect_refused(struct scrape *s)
{
	char code[16];
	size_t i;

	for (i = 0; i < REFUSED_CODES; i++) {
		snprintf(code, sizeof(code), "%d", refused_codes[i]);
		put_word(s, refused_codes[i] > 0 ? code : "other", s->w->metrics.refused[i]);
	}
}

/* --- servers ------------------------------------------------------------------------------------- */

/* Calls with each line: of living upstreams, and of those that are gone but still have requests. */
static void
each_line(struct scrape *s, void (*tell)(struct scrape *, const struct line *))
{
	struct str name;
	void *value;
	size_t pos = 0;

	while (table_next(&s->w->lines.by_name, &pos, &name, &value))
		tell(s, value);
}

static void
tell_servers(struct scrape *s, const struct line *line)
{
	const struct pool *pool = TAILQ_LAST(&line->pools, pool_list);
	const struct member *m;
	size_t at = 0, n = 0;

	while ((m = pool_next_member(pool, &at)) != NULL)
		n += !m->is_leaving;
	put(s, LABELS(line->name), n);
}

static void
collect_servers(struct scrape *s)
{
	each_line(s, tell_servers);
}

/* What is counted of servers, also of those that are only in older generations. */
static void
tell_meters(struct scrape *s, const struct line *line)
{
	const struct server_meter *m;
	size_t i;

	LIST_FOREACH(m, &line->meters, entry)
		switch (s->metric) {
		case METRIC_SERVER_INFLIGHT:
			put(s, LABELS(line->name, m->name), m->inflight);
			break;
		case METRIC_SERVER_PICKED:
			put(s, LABELS(line->name, m->name), m->picked);
			break;
		default:
			for (i = 0; i < END_COUNT; i++)
				if (m->failures[i] > 0)
					put(s, LABELS(line->name, m->name,
					    i == END_OK ? STR("status") : str_of(end_info(i)->name)),
					    m->failures[i]);
		}
}

static void
collect_meters(struct scrape *s)
{
	each_line(s, tell_meters);
}

static void
tell_state(struct scrape *s, const struct line *line, const struct member *m)
{
	const struct backend *b = m->backend;
	const struct str *labels = LABELS(line->name, m->meter->name);

	switch (s->metric) {
	case METRIC_SERVER_UP:
		if (member_serves(m))
			put(s, labels, backend_is_up(b, clock_now()));
		break;
	case METRIC_SERVER_EJECTED:
		put(s, labels, backend_health(b, clock_now()) != BACKEND_UP);
		break;
	case METRIC_SERVER_EJECTIONS:
		put(s, labels, b->stats.ejected);
		break;
	case METRIC_SERVER_HEALTH:
		if (b->check != BACKEND_UNCHECKED)
			put(s, labels, b->check == BACKEND_PASSES);
		break;
	case METRIC_SERVER_IDLE:
		put(s, labels, b->n_idle);
		break;
	default:
		put(s, LABELS(line->name, m->meter->name, STR("opened")), b->stats.opened);
		put(s, LABELS(line->name, m->meter->name, STR("reused")), b->stats.reused);
	}
}

/* What servers are now: those of the pool in force, each once. */
static void
tell_states(struct scrape *s, const struct line *line)
{
	const struct pool *pool = TAILQ_LAST(&line->pools, pool_list);
	const struct server_conf *conf;
	const struct member *m;
	size_t at;

	for (at = 0; s->metric == METRIC_SERVER_UP && (conf = pool_next_unresolved(pool, &at)) != NULL;)
		if (!conf->down)
			put(s, LABELS(line->name, conf->address.text), 0);
	for (at = 0; (m = pool_next_member(pool, &at)) != NULL;) {
		if (m->meter->visited == s->visit)
			continue;
		m->meter->visited = s->visit;
		tell_state(s, line, m);
	}
}

static void
collect_states(struct scrape *s)
{
	s->visit = ++s->w->metrics.visits;
	each_line(s, tell_states);
}

static void
tell_length(struct scrape *s, const struct line *line)
{
	put(s, LABELS(line->name), line_length(line));
}

static void
collect_lengths(struct scrape *s)
{
	each_line(s, tell_length);
}

static void
tell_outcomes(struct scrape *s, const struct line *line)
{
	const struct line_stats *n = &line->stats;

	put(s, LABELS(line->name, STR("served")), n->served);
	put(s, LABELS(line->name, STR("timeout")), n->timed_out);
	put(s, LABELS(line->name, STR("left")), n->left);
	put(s, LABELS(line->name, STR("full")), n->refused);
}

static void
collect_outcomes(struct scrape *s)
{
	each_line(s, tell_outcomes);
}

/* --- limits and caches ----------------------------------------------------------------------------- */

static void
collect_limits(struct scrape *s)
{
	const struct generation *g = s->w->current;
	size_t i;

	for (i = 0; i < g->config->n_limits; i++) {
		struct str name = g->config->limits[i].name;
		const struct limit_stats *n = limit_stats_of(&g->limits[i]);

		if (s->metric == METRIC_LIMIT_EVICTED) {
			put(s, LABELS(name), n->evicted);
			continue;
		}
		put(s, LABELS(name, STR("passed")), n->passed);
		put(s, LABELS(name, STR("delayed")), n->delayed);
		put(s, LABELS(name, STR("refused")), n->refused);
		put(s, LABELS(name, STR("dry_run")), n->dry_run);
	}
}

static void
tell_results(struct scrape *s, struct str name, const struct cache_stats *n)
{
	int i;

	for (i = 0; i < CACHE_RESULTS; i++)
		put(s, LABELS(name, str_of(cache_result_name(i))), n->results[i]);
}

static void
tell_cache(struct scrape *s, const struct cache_conf *conf, struct cache_store *store)
{
	const struct cache_stats *n = cache_store_stats(store);
	struct str name = conf->name;

	switch (s->metric) {
	case METRIC_CACHE_ANSWERS:
		tell_results(s, name, n);
		break;
	case METRIC_CACHE_STORED:
		put(s, LABELS(name), n->stored);
		break;
	case METRIC_CACHE_NOT_STORED:
		put(s, LABELS(name, STR("uncacheable")), n->uncacheable);
		put(s, LABELS(name, STR("too_large")), n->too_large);
		put(s, LABELS(name, STR("no_memory")), n->no_memory);
		break;
	case METRIC_CACHE_REMOVED:
		put(s, LABELS(name, STR("evicted")), n->evicted);
		put(s, LABELS(name, STR("expired")), n->expired);
		break;
	case METRIC_CACHE_ENTRIES:
		put(s, LABELS(name), cache_store_entries(store));
		break;
	case METRIC_CACHE_BYTES:
		put(s, LABELS(name), cache_store_used(store));
		break;
	default:
		put(s, LABELS(name), conf->size);
	}
}

static void
collect_caches(struct scrape *s)
{
	const struct generation *g = s->w->current;
	size_t i;

	for (i = 0; i < g->config->n_caches; i++)
		tell_cache(s, &g->config->caches[i], g->stores[i]);
}

/* --- clients --------------------------------------------------------------------------------------- */

static void
collect_connections(struct scrape *s)
{
	put_word(s, "open", front_h1_count());
	put_word(s, "greeting", s->w->greeter.n_waiting);
	put_word(s, "closing", conn_closing(s->w->loop));
}

static void
collect_connections_max(struct scrape *s)
{
	put(s, NULL, s->w->current->config->client.max_connections);
}

/* The addresses that are listened on; a stopping process has none for clients. */
static void
collect_accepted(struct scrape *s)
{
	const struct generation *g = s->w->current;
	size_t i;

	for (i = g->n_own; i < g->n_listeners; i++)
		put(s, LABELS(g->bindings[i].conf->address.text), listener_accepted(g->listeners[i]));
}

static void
collect_compressed(struct scrape *s)
{
	const struct compressor *c = &s->w->compressor;
	int e;

	for (e = ENCODING_IDENTITY + 1; e < ENCODING_COUNT; e++) {
		struct str name = coder_name((enum encoding)e);

		if (s->metric == METRIC_COMPRESSED)
			put(s, LABELS(name), c->done[e].answers);
		else {
			put(s, LABELS(name, STR("in")), c->done[e].in);
			put(s, LABELS(name, STR("out")), c->done[e].out);
		}
	}
	if (s->metric == METRIC_COMPRESSED)
		put_word(s, "none", c->done[ENCODING_IDENTITY].answers);
}

static void
collect_pauses(struct scrape *s)
{
	put_word(s, "max_connections", s->w->listeners.n_pauses);
	put_word(s, "no_descriptors", s->w->listeners.n_starved);
}

static void
collect_handshakes(struct scrape *s)
{
	put_word(s, "ok", s->w->greeter.n_done);
	put_word(s, "failed", s->w->greeter.n_failed);
	put_word(s, "timeout", s->w->greeter.n_late);
}

static void
collect_resumed(struct scrape *s)
{
	put(s, NULL, s->w->greeter.n_resumed);
}

static void
collect_proxy_headers(struct scrape *s)
{
	const struct greet_proxy_stats *n = &s->w->greeter.proxy;

	put_word(s, "ok", n->done);
	put_word(s, "untrusted", n->untrusted);
	put_word(s, "malformed", n->malformed);
	put_word(s, "cut", n->cut);
	put_word(s, "timeout", n->late);
}

static void
tell_certificate(void *arg, const struct shown_by *by, const struct tls_certificate *t)
{
	struct scrape *s = arg;

	put(s, LABELS(by->listener, by->upstream, t->file, t->name),
	    t->not_after > 0 ? (uint64_t)t->not_after : 0);
}

static void
collect_certificates(struct scrape *s)
{
	generation_certificates(s->w->current, tell_certificate, s);
}

/* --- the process ------------------------------------------------------------------------------------- */

static void
collect_reloads(struct scrape *s)
{
	put_word(s, "ok", s->admin->n_reloads);
	put_word(s, "failed", s->admin->n_failed);
}

static void
collect_build(struct scrape *s)
{
	put(s, LABELS(STR(WEIR_VERSION), str_of(OpenSSL_version(OPENSSL_VERSION_STRING)),
	    str_of(event_get_version())), 1);
}

static void
collect_one(struct scrape *s)
{
	const struct admin *a = s->admin;
	uint64_t n = 0;

	switch (s->metric) {
	case METRIC_RELOAD_OK:
		n = !a->last_failed;
		break;
	case METRIC_COMPRESSING:
		n = coder_count();
		break;
	case METRIC_GENERATIONS:
		n = s->w->n_generations;
		break;
	case METRIC_DRAINING:
		n = s->w->is_draining;
		break;
	case METRIC_LOG_DROPPED:
		n = access_log_lost(s->w->access_log);
		break;
	case METRIC_PROCESS_RSS:
		n = process_memory();
		break;
	case METRIC_PROCESS_FDS:
		n = process_files();
		break;
	case METRIC_PROCESS_MAX_FDS:
		n = process_files_max();
		break;
	default:
		check(!"a family without a number");
	}
	put(s, NULL, n);
}

/* Seconds, of which microseconds are known. */
static void
collect_seconds(struct scrape *s)
{
	uint64_t us = s->metric == METRIC_PROCESS_CPU ? process_cpu_us()
	    : (uint64_t)(s->metric == METRIC_RELOAD_TIME ? s->admin->taken : s->admin->started);

	exposition_fraction(&s->e, s->metric, NULL, us, 6);
}

/* --- the table --------------------------------------------------------------------------------------- */

static void (*const collectors[METRIC_COUNT])(struct scrape *) = {
	[METRIC_EXCHANGES] = collect_ends,
	[METRIC_RECEIVED_BYTES] = collect_route_bytes,
	[METRIC_SENT_BYTES] = collect_route_bytes,
	[METRIC_IN_FLIGHT] = collect_steps,
	[METRIC_EXCHANGE_SECONDS] = collect_times,
	[METRIC_FIRST_BYTE_SECONDS] = collect_times,
	[METRIC_QUEUE_SECONDS] = collect_times,
	[METRIC_RETRIES] = collect_retries,
	[METRIC_REFUSED] = collect_refused,
	[METRIC_UPSTREAM_SERVERS] = collect_servers,
	[METRIC_SERVER_UP] = collect_states,
	[METRIC_SERVER_INFLIGHT] = collect_meters,
	[METRIC_SERVER_PICKED] = collect_meters,
	[METRIC_SERVER_FAILURES] = collect_meters,
	[METRIC_SERVER_EJECTED] = collect_states,
	[METRIC_SERVER_EJECTIONS] = collect_states,
	[METRIC_SERVER_HEALTH] = collect_states,
	[METRIC_SERVER_IDLE] = collect_states,
	[METRIC_SERVER_CONNECTIONS] = collect_states,
	[METRIC_LINE_LENGTH] = collect_lengths,
	[METRIC_LINE_OUTCOMES] = collect_outcomes,
	[METRIC_LIMIT_REQUESTS] = collect_limits,
	[METRIC_LIMIT_EVICTED] = collect_limits,
	[METRIC_CACHE_ANSWERS] = collect_caches,
	[METRIC_CACHE_STORED] = collect_caches,
	[METRIC_CACHE_NOT_STORED] = collect_caches,
	[METRIC_CACHE_REMOVED] = collect_caches,
	[METRIC_CACHE_ENTRIES] = collect_caches,
	[METRIC_CACHE_BYTES] = collect_caches,
	[METRIC_CACHE_SIZE] = collect_caches,
	[METRIC_COMPRESSED] = collect_compressed,
	[METRIC_COMPRESSED_BYTES] = collect_compressed,
	[METRIC_COMPRESSING] = collect_one,
	[METRIC_CONNECTIONS] = collect_connections,
	[METRIC_CONNECTIONS_MAX] = collect_connections_max,
	[METRIC_ACCEPTED] = collect_accepted,
	[METRIC_ACCEPT_PAUSES] = collect_pauses,
	[METRIC_TLS_HANDSHAKES] = collect_handshakes,
	[METRIC_TLS_RESUMED] = collect_resumed,
	[METRIC_PROXY_HEADERS] = collect_proxy_headers,
	[METRIC_CERTIFICATE] = collect_certificates,
	[METRIC_RELOADS] = collect_reloads,
	[METRIC_RELOAD_OK] = collect_one,
	[METRIC_RELOAD_TIME] = collect_seconds,
	[METRIC_GENERATIONS] = collect_one,
	[METRIC_DRAINING] = collect_one,
	[METRIC_LOG_DROPPED] = collect_one,
	[METRIC_BUILD] = collect_build,
	[METRIC_PROCESS_START] = collect_seconds,
	[METRIC_PROCESS_CPU] = collect_seconds,
	[METRIC_PROCESS_RSS] = collect_one,
	[METRIC_PROCESS_FDS] = collect_one,
	[METRIC_PROCESS_MAX_FDS] = collect_one,
};

void
scrape_write(const struct admin *a, struct text *out)
{
	struct scrape s = { .admin = a, .w = a->world };
	int i;

	exposition_init(&s.e, out);
	for (i = 0; i < METRIC_COUNT; i++) {
		s.metric = i;
		check(collectors[i] != NULL);
		collectors[i](&s);
	}
}
