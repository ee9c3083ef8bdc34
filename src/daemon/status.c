/* SPDX-License-Identifier: MIT */
/*
 * /status: what there is and how it goes, as JSON for people and scripts.  What is counted over time
 * is in /metrics; here is what is now.
 */
#include "daemon/admin.h"

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "config/config.h"
#include "daemon/version.h"
#include "exchange/exchange.h"
#include "exchange/generation.h"
#include "exchange/steps.h"
#include "exchange/world.h"
#include "net/conn.h"
#include "net/tls.h"
#include "upstream/pool.h"
#include "upstream/server_meter.h"

enum { DAY = 24 * 3600 };

/* --- JSON ---------------------------------------------------------------------------------------- */

struct json {
	struct text *out;
	bool         goes_on;		/* something stands before in this object or list */
};

static void
put_key(struct json *j, const char *key)
{
	if (j->goes_on)
		text_add(j->out, STR(","));
	j->goes_on = true;
	if (key == NULL)
		return;
	text_add_json(j->out, str_of(key));
	text_add(j->out, STR(":"));
}

/* A key (NULL: an entry of a list) whose value is an object or a list, "{" or "[". */
static void
begin(struct json *j, const char *key, const char *bracket)
{
	put_key(j, key);
	text_add(j->out, str_of(bracket));
	j->goes_on = false;
}

static void
end(struct json *j, const char *bracket)
{
	text_add(j->out, str_of(bracket));
	j->goes_on = true;
}

static void
put_number(struct json *j, const char *key, int64_t n)
{
	put_key(j, key);
	if (n < 0)
		text_add(j->out, STR("-"));
	text_add_uint(j->out, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void
put_text(struct json *j, const char *key, struct str s)
{
	put_key(j, key);
	text_add_json(j->out, s);
}

static void
put_bool(struct json *j, const char *key, bool is_so)
{
	put_key(j, key);
	text_add(j->out, is_so ? STR("true") : STR("false"));
}

/* Seconds since 1970 as RFC 3339 has it. */
static void
put_time(struct json *j, const char *key, int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_text(j, key, str_of(text));
}

/* --- the process ----------------------------------------------------------------------------------- */

static void
put_process(struct json *j, const struct admin *a)
{
	const struct world *w = a->world;

	put_text(j, "version", STR(WEIR_VERSION));
	put_number(j, "pid", getpid());
	put_text(j, "state", w->is_draining ? STR("draining") : STR("serving"));
	put_time(j, "started", a->started / 1000000);
	put_number(j, "uptime_seconds", (clock_wall_us() - a->started) / 1000000);
	begin(j, "configuration", "{");
	put_number(j, "generation", (int64_t)w->current->id);
	put_number(j, "generations_alive", w->n_generations);
	put_time(j, "taken", a->taken / 1000000);
	put_number(j, "reloads_ok", (int64_t)a->n_reloads);
	put_number(j, "reloads_failed", (int64_t)a->n_failed);
	put_bool(j, "last_reload_failed", a->last_failed);
	end(j, "}");
}

static void
put_listeners(struct json *j, const struct generation *g)
{
	size_t i;

	begin(j, "listeners", "[");
	for (i = 0; i < g->n_listeners; i++) {
		begin(j, NULL, "{");
		put_text(j, "address", g->bindings[i].conf->address.text);
		put_bool(j, "tls", g->bindings[i].tls != NULL);
		put_bool(j, "proxy_protocol", g->bindings[i].conf->proxy_protocol);
		put_bool(j, "admin", g->bindings[i].is_own);
		put_number(j, "accepted", (int64_t)listener_accepted(g->listeners[i]));
		end(j, "}");
	}
	end(j, "]");
}

static void
put_connections(struct json *j, const struct world *w)
{
	begin(j, "connections", "{");
	put_number(j, "open", (int64_t)front_h1_count());
	put_number(j, "greeting", (int64_t)w->greeter.n_waiting);
	put_number(j, "closing", (int64_t)conn_closing(w->loop));
	put_number(j, "max", w->current->config->client.max_connections);
	end(j, "}");
}

/* Where requests are, and since when the oldest of them is under way. */
static void
put_exchanges(struct json *j, const struct world *w)
{
	struct step_count counts[STEP_DONE];
	size_t i, n = 0;

	exchange_count_steps(w, counts);
	for (i = 0; i < STEP_DONE; i++)
		n += counts[i].n;
	begin(j, "exchanges", "{");
	put_number(j, "in_flight", (int64_t)n);
	begin(j, "steps", "{");
	for (i = 0; i < STEP_DONE; i++) {
		if (counts[i].n == 0)
			continue;
		begin(j, steps_name(i), "{");
		put_number(j, "n", (int64_t)counts[i].n);
		put_number(j, "oldest_ms", (clock_now_us() - counts[i].since_us) / 1000);
		end(j, "}");
	}
	end(j, "}");
	end(j, "}");
}

/* --- servers ----------------------------------------------------------------------------------------- */

static uint64_t
failures_of(const struct server_meter *m)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < END_COUNT; i++)
		n += m->failures[i];
	return n;
}

static void
put_weight(struct json *j, unsigned thousandths)
{
	put_key(j, "weight");
	text_printf(j->out, "%u.%03u", thousandths / 1000, thousandths % 1000);
}

static void
put_server(struct json *j, const struct member *m)
{
	const struct backend *b = m->backend;
	msec now = clock_now();

	begin(j, NULL, "{");
	put_text(j, "address", m->meter->name);
	put_text(j, "state", str_of(m->conf->down ? "down" :
	    m->is_leaving ? "leaving" : backend_state_name(b, now)));
	put_weight(j, m->conf->weight);
	put_bool(j, "backup", m->is_backup);
	put_number(j, "inflight", m->meter->inflight);
	put_number(j, "max_inflight", m->conf->max_inflight);
	put_number(j, "idle_connections", b->n_idle);
	put_number(j, "picked", (int64_t)m->meter->picked);
	put_number(j, "failures", (int64_t)failures_of(m->meter));
	if (b->ejected_until > now)
		put_number(j, "ejected_for_ms", b->ejected_until - now);
	if (b->last_failure[0] != '\0')
		put_text(j, "last_failure", str_of(b->last_failure));
	if (b->finding[0] != '\0')
		put_text(j, "check_says", str_of(b->finding));
	end(j, "}");
}

/* A name with no address: there is nothing else to say of it. */
static void
put_unresolved(struct json *j, const struct server_conf *conf)
{
	begin(j, NULL, "{");
	put_text(j, "address", conf->address.text);
	put_text(j, "state", str_of(conf->down ? "down" : "unresolved"));
	end(j, "}");
}

static void
put_upstreams(struct json *j, const struct generation *g)
{
	const struct server_conf *conf;
	const struct member *m;
	size_t i, at;

	begin(j, "upstreams", "[");
	for (i = 0; i < g->config->n_upstreams; i++) {
		const struct pool *pool = &g->pools[i];

		begin(j, NULL, "{");
		put_text(j, "name", pool->conf->name);
		begin(j, "line", "{");
		put_number(j, "length", (int64_t)line_length(pool->line));
		put_number(j, "longest", (int64_t)pool->line->stats.max);
		put_number(j, "size", pool->conf->queue.size);
		end(j, "}");
		begin(j, "servers", "[");
		for (at = 0; (m = pool_next_member(pool, &at)) != NULL;)
			put_server(j, m);
		for (at = 0; (conf = pool_next_unresolved(pool, &at)) != NULL;)
			put_unresolved(j, conf);
		end(j, "]");
		end(j, "}");
	}
	end(j, "]");
}

/* --- limits, caches, certificates ------------------------------------------------------------------ */

static void
put_limits(struct json *j, const struct generation *g)
{
	size_t i;

	begin(j, "limits", "[");
	for (i = 0; i < g->config->n_limits; i++) {
		const struct limit_stats *n = limit_stats_of(&g->limits[i]);

		begin(j, NULL, "{");
		put_text(j, "name", g->config->limits[i].name);
		put_number(j, "passed", (int64_t)n->passed);
		put_number(j, "delayed", (int64_t)n->delayed);
		put_number(j, "refused", (int64_t)n->refused);
		put_number(j, "dry_run", (int64_t)n->dry_run);
		end(j, "}");
	}
	end(j, "]");
}

static void
put_caches(struct json *j, const struct generation *g)
{
	size_t i;
	int k;

	begin(j, "caches", "[");
	for (i = 0; i < g->config->n_caches; i++) {
		const struct cache_stats *n = cache_store_stats(g->stores[i]);

		begin(j, NULL, "{");
		put_text(j, "name", g->config->caches[i].name);
		put_number(j, "entries", (int64_t)cache_store_entries(g->stores[i]));
		put_number(j, "bytes", (int64_t)cache_store_used(g->stores[i]));
		put_number(j, "size", (int64_t)g->config->caches[i].size);
		begin(j, "answers", "{");
		for (k = 0; k < CACHE_RESULTS; k++)
			put_number(j, cache_result_name(k), (int64_t)n->results[k]);
		end(j, "}");
		end(j, "}");
	}
	end(j, "]");
}

static void
put_certificate(void *arg, const struct shown_by *by, const struct tls_certificate *t)
{
	int64_t left = t->not_after - clock_wall_us() / 1000000;
	struct json *j = arg;

	begin(j, NULL, "{");
	if (by->listener.len > 0)
		put_text(j, "listener", by->listener);
	else
		put_text(j, "upstream", by->upstream);
	put_text(j, "file", t->file);
	put_text(j, "name", t->name);
	put_time(j, "not_after", t->not_after);
	/* Whole days; one that is over has none. */
	put_number(j, "days_left", left > 0 ? left / DAY : 0);
	end(j, "}");
}

void
status_write(const struct admin *a, struct text *out)
{
	const struct generation *g = a->world->current;
	struct json j = { out, false };

	begin(&j, NULL, "{");
	put_process(&j, a);
	put_listeners(&j, g);
	put_connections(&j, a->world);
	put_exchanges(&j, a->world);
	put_upstreams(&j, g);
	put_limits(&j, g);
	put_caches(&j, g);
	begin(&j, "certificates", "[");
	generation_certificates(g, put_certificate, &j);
	end(&j, "]");
	end(&j, "}");
	text_add(out, STR("\n"));
}
