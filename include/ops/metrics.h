/* SPDX-License-Identifier: MIT */
/*
 * What is counted of exchanges, and the families of metrics (metrics.def).
 *
 * A meter is a living object by name: found or made in a registry, counted by the generations that
 * name it, so that its numbers survive a reload, and go with the last exchange of a name that is gone.
 * Counting is adding to members: names are looked up when a generation is made, never per request.
 */
#ifndef OPS_METRICS_H
#define OPS_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/end.h"
#include "base/str.h"
#include "base/table.h"

struct record;

enum metric {
#define METRIC(symbol, type, name, labels, text)	METRIC_##symbol,
#include "ops/metrics.def"
#undef METRIC
	METRIC_COUNT
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_info {
	enum metric_type type;
	const char      *name, *labels, *text;
};
const struct metric_info *metric_info(enum metric);
/* The word of TYPE. */
const char *metric_type_name(enum metric_type);
/* The families for the manual page. */
void metrics_print_families(FILE *);

/* Times in so many ranges; counts[i] is what was over bound i - 1 and not over bound i. */
enum { HISTOGRAM_BOUNDS = 18 };
struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1];
	uint64_t sum_us;
};
/* The bounds, in microseconds. */
extern const int64_t histogram_bounds[HISTOGRAM_BOUNDS];
void histogram_add(struct histogram *, int64_t us);

enum { CODE_CLASSES = 6 };	/* 0: nothing was told; 1xx to 5xx */

struct route_meter {
	unsigned   refs;
	struct metrics *metrics;
	struct str name;		/* own memory; empty: of exchanges that found no route */
	uint64_t   ends[CODE_CLASSES][END_COUNT];
	uint64_t   bytes_in, bytes_out;
};

struct upstream_meter {
	unsigned   refs;
	struct metrics *metrics;
	struct str name;		/* own memory */
	struct histogram total, first_byte, queue;
	uint64_t   retries;
};

/* The statuses that requests are refused with before they have a route; the last stands for others. */
enum { REFUSED_CODES = 10 };
extern const int refused_codes[REFUSED_CODES];

/* One a worker. */
struct metrics {
	uint64_t     refused[REFUSED_CODES];
	struct table routes, upstreams;	/* meters by name */
	struct route_meter *nowhere;
	uint64_t     visits;		/* how often somebody walked over things to meet each once */
};

void metrics_init(struct metrics *);
/* Every meter must have been given back. */
void metrics_fini(struct metrics *);
size_t metrics_count(const struct metrics *);

struct route_meter *route_meter_get(struct metrics *, struct str name);
void route_meter_unref(struct route_meter *);
struct upstream_meter *upstream_meter_get(struct metrics *, struct str name);
void upstream_meter_unref(struct upstream_meter *);

/* A request broke the rules, or came too slowly. */
void metrics_refused(struct metrics *, int status);
/* An exchange is over.  route NULL: it found none; upstream NULL: its route has none. */
void metrics_observe(struct metrics *, struct route_meter *route, struct upstream_meter *upstream,
    const struct record *);

#endif
