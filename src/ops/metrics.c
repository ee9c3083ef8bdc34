/* SPDX-License-Identifier: MIT */
/*
 * Meters of exchanges.
 *
 * Adding to numbers is all that happens per request.  Who reads them is exposition.c's client.
 */
#include "ops/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mdoc.h"
#include "ops/access_log.h"

/* From what a fixed answer takes to what a long one of a slow model does; then +Inf. */
const int64_t histogram_bounds[HISTOGRAM_BOUNDS] = {
	1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 120000000, 300000000, 600000000,
};

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC(symbol, type, name, labels, text) \
	[METRIC_##symbol] = { METRIC_##type, name, labels, text },
#include "ops/metrics.def"
#undef METRIC
};

const struct metric_info *
metric_info(enum metric m)
{
	check((unsigned)m < METRIC_COUNT);
	return &infos[m];
}

const char *
metric_type_name(enum metric_type type)
{
	static const char *const names[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
	};

	return names[type];
}

static void
print_labels(FILE *out, const char *labels)
{
	const char *p;

	if (labels[0] == '\0')
		return;
	fputc('{', out);
	for (p = labels; *p != '\0'; p++)
		fputc(*p == ' ' ? ',' : *p, out);
	fputc('}', out);
}

void
metrics_print_families(FILE *out)
{
	char *name = NULL;
	size_t len, i;
	FILE *buffer;

	for (i = 0; i < METRIC_COUNT; i++) {
		buffer = open_memstream(&name, &len);
		check(buffer != NULL);
		fputs(infos[i].name, buffer);
		print_labels(buffer, infos[i].labels);
		fclose(buffer);
		mdoc_item(out, name, infos[i].text);
		free(name);
	}
}

void
histogram_add(struct histogram *h, int64_t us)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && us > histogram_bounds[i])
		i++;
	h->counts[i]++;
	h->sum_us += us > 0 ? (uint64_t)us : 0;
}

/* --- meters ------------------------------------------------------------------------------------ */

static struct str
copy(struct str s)
{
	char *p = strndup(s.len > 0 ? s.p : "", s.len);

	check(p != NULL);
	return str_make(p, s.len);
}

static void
free_copy(struct str s)
{
	free((char *)(uintptr_t)s.p);
}

void
metrics_init(struct metrics *m)
{
	memset(m, 0, sizeof(*m));
	m->nowhere = route_meter_get(m, STR(""));
}

void
metrics_fini(struct metrics *m)
{
	route_meter_unref(m->nowhere);
	check(metrics_count(m) == 0);
	table_fini(&m->routes);
	table_fini(&m->upstreams);
}

size_t
metrics_count(const struct metrics *m)
{
	return m->routes.n + m->upstreams.n;
}

struct route_meter *
route_meter_get(struct metrics *m, struct str name)
{
	struct route_meter *r = table_get(&m->routes, name);

	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		check(r != NULL);
		r->metrics = m;
		r->name = copy(name);
		table_set(&m->routes, r->name, r);
	}
	r->refs++;
	return r;
}

void
route_meter_unref(struct route_meter *r)
{
	if (--r->refs > 0)
		return;
	table_remove(&r->metrics->routes, r->name);
	free_copy(r->name);
	free(r);
}

struct upstream_meter *
upstream_meter_get(struct metrics *m, struct str name)
{
	struct upstream_meter *u = table_get(&m->upstreams, name);

	if (u == NULL) {
		u = calloc(1, sizeof(*u));
		check(u != NULL);
		u->metrics = m;
		u->name = copy(name);
		table_set(&m->upstreams, u->name, u);
	}
	u->refs++;
	return u;
}

void
upstream_meter_unref(struct upstream_meter *u)
{
	if (--u->refs > 0)
		return;
	table_remove(&u->metrics->upstreams, u->name);
	free_copy(u->name);
	free(u);
}

const int refused_codes[REFUSED_CODES] = { 400, 405, 408, 413, 414, 417, 431, 501, 505, 0 };

void
metrics_refused(struct metrics *m, int status)
{
	size_t i;

	for (i = 0; i < REFUSED_CODES - 1 && refused_codes[i] != status; i++)
		;
	m->refused[i]++;
}

void
metrics_observe(struct metrics *m, struct route_meter *route, struct upstream_meter *upstream,
    const struct record *r)
{
	unsigned class = r->status > 0 && r->status < CODE_CLASSES * 100 ? (unsigned)r->status / 100 : 0;

	if (route == NULL)
		route = m->nowhere;
	route->ends[class][r->end]++;
	route->bytes_in += r->bytes_in;
	route->bytes_out += r->bytes_out;
	if (upstream == NULL)
		return;
	histogram_add(&upstream->total, r->total_us);
	if (r->first_byte_us >= 0)
		histogram_add(&upstream->first_byte, r->first_byte_us);
	if (r->queue_us >= 0)
		histogram_add(&upstream->queue, r->queue_us);
	if (r->tries > 1)
		upstream->retries += r->tries - 1;
}
