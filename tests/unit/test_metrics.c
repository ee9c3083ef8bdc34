/* SPDX-License-Identifier: MIT */
/* Prometheus's text to the byte; ranges of histograms; meters by name; text and JSON's strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "ops/access_log.h"
#include "ops/exposition.h"
#include "ops/metrics.h"

#define LABELS(...)	((const struct str[]){ __VA_ARGS__ })

static void
assert_text(struct text *t, const char *want)
{
	text_add(t, str_make("", 1));
	assert_string_equal(t->p, want);
	text_fini(t);
}

static void
test_text(void **state)
{
	struct text t = { NULL, 0, 0 };
	size_t i;

	(void)state;
	text_add(&t, STR_NONE);
	text_add_uint(&t, 0);
	text_add(&t, STR(" "));
	text_add_uint(&t, UINT64_MAX);
	text_printf(&t, " %s %d", "x", -1);
	assert_text(&t, "0 18446744073709551615 x -1");
	for (i = 0; i < 5000; i++)
		text_printf(&t, "%05zu", i);
	assert_int_equal(t.len, 25000);
	assert_memory_equal(t.p + 24995, "04999", 5);
	text_fini(&t);
	text_add_json(&t, STR("a\"b\\c\n\x01\x7f \xc3\xa9 \xff \xed\xa0\x80"));
	assert_text(&t, "\"a\\\"b\\\\c\\u000a\\u0001\\u007f \xc3\xa9 \\ufffd \\ufffd\\ufffd\\ufffd\"");
	text_add_json(&t, STR_NONE);
	assert_text(&t, "\"\"");
}

static void
test_format(void **state)
{
	struct text t = { NULL, 0, 0 };
	struct exposition e;

	(void)state;
	exposition_init(&e, &t);
	exposition_uint(&e, METRIC_RETRIES, LABELS(STR("a")), 0);
	exposition_uint(&e, METRIC_RETRIES, LABELS(STR("b\"\\\n\xc3\xa9")), UINT64_MAX);
	exposition_uint(&e, METRIC_RETRIES, LABELS(STR("M\xfcn\xc3")), 1);
	exposition_uint(&e, METRIC_DRAINING, NULL, 1);
	exposition_fraction(&e, METRIC_PROCESS_START, NULL, 1700000000250000, 6);
	exposition_fraction(&e, METRIC_PROCESS_CPU, NULL, 2000000, 6);
	assert_text(&t,
	    "# HELP weir_retries_total Attempts on another server after one that failed.\n"
	    "# TYPE weir_retries_total counter\n"
	    "weir_retries_total{upstream=\"a\"} 0\n"
	    "weir_retries_total{upstream=\"b\\\"\\\\\\n\xc3\xa9\"} 18446744073709551615\n"
	    "weir_retries_total{upstream=\"M\xef\xbf\xbdn\xef\xbf\xbd\"} 1\n"
	    "# HELP weir_draining 1: it is stopping.\n"
	    "# TYPE weir_draining gauge\n"
	    "weir_draining 1\n"
	    "# HELP process_start_time_seconds When the process started, in seconds since 1970.\n"
	    "# TYPE process_start_time_seconds gauge\n"
	    "process_start_time_seconds 1700000000.25\n"
	    "# HELP process_cpu_seconds_total Time of the processor, user and system.\n"
	    "# TYPE process_cpu_seconds_total counter\n"
	    "process_cpu_seconds_total 2\n");
	/* An empty value is a label that is not there. */
	exposition_init(&e, &t);
	exposition_uint(&e, METRIC_CERTIFICATE, LABELS(STR_NONE, STR("u"), STR("f"), STR_NONE), 7);
	assert_true(t.len > 60);
	text_add(&t, str_make("", 1));
	assert_non_null(strstr(t.p, "\nweir_certificate_not_after_seconds{upstream=\"u\",file=\"f\"} 7\n"));
	text_fini(&t);
	exposition_init(&e, &t);
	exposition_uint(&e, METRIC_RECEIVED_BYTES, LABELS(STR("")), 7);
	text_add(&t, str_make("", 1));
	assert_non_null(strstr(t.p, "\nweir_received_bytes_total 7\n"));
	text_fini(&t);
}

static void
test_histogram(void **state)
{
	struct histogram h = { .sum_us = 0 };
	struct text t = { NULL, 0, 0 };
	struct exposition e;
	size_t i;

	(void)state;
	for (i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bounds[i - 1] < histogram_bounds[i]);
	/* A bound belongs to what is below it. */
	for (i = 0; i < HISTOGRAM_BOUNDS; i++) {
		histogram_add(&h, histogram_bounds[i]);
		histogram_add(&h, histogram_bounds[i] + 1);
	}
	for (i = 0; i <= HISTOGRAM_BOUNDS; i++)
		assert_int_equal(h.counts[i], i == 0 || i == HISTOGRAM_BOUNDS ? 1 : 2);
	memset(&h, 0, sizeof(h));
	histogram_add(&h, 0);
	histogram_add(&h, -5);		/* a clock is a clock */
	histogram_add(&h, 1001);
	histogram_add(&h, INT64_MAX / 4);
	assert_int_equal(h.counts[0], 2);
	assert_int_equal(h.counts[1], 1);
	assert_int_equal(h.counts[HISTOGRAM_BOUNDS], 1);
	h.sum_us = 1500001;
	exposition_init(&e, &t);
	exposition_histogram(&e, METRIC_QUEUE_SECONDS, LABELS(STR("u")), &h);
	text_add(&t, str_make("", 1));
	assert_non_null(strstr(t.p, "# TYPE weir_queue_seconds histogram\n"
	    "weir_queue_seconds_bucket{upstream=\"u\",le=\"0.001\"} 2\n"
	    "weir_queue_seconds_bucket{upstream=\"u\",le=\"0.0025\"} 3\n"));
	assert_non_null(strstr(t.p, "le=\"0.5\"} 3\nweir_queue_seconds_bucket{upstream=\"u\",le=\"1\"} 3\n"));
	assert_non_null(strstr(t.p, "le=\"600\"} 3\n"
	    "weir_queue_seconds_bucket{upstream=\"u\",le=\"+Inf\"} 4\n"
	    "weir_queue_seconds_sum{upstream=\"u\"} 1.500001\n"
	    "weir_queue_seconds_count{upstream=\"u\"} 4\n"));
	text_fini(&t);
}

static void
test_meters(void **state)
{
	struct record r = { .status = 204, .end = END_OK, .bytes_in = 3, .bytes_out = 4, .tries = 3,
		.queue_us = -1, .first_byte_us = -1, .total_us = 5 };
	struct route_meter *route, *again;
	struct upstream_meter *up;
	struct metrics m;

	(void)state;
	metrics_init(&m);
	assert_int_equal(metrics_count(&m), 1);
	route = route_meter_get(&m, STR("a"));
	up = upstream_meter_get(&m, STR("a"));
	again = route_meter_get(&m, STR("a"));
	assert_ptr_equal(route, again);
	metrics_observe(&m, route, up, &r);
	r.status = 999;			/* what cannot be is told of as nothing */
	r.tries = 1;
	r.queue_us = 7;
	r.first_byte_us = 8;
	metrics_observe(&m, route, up, &r);
	r.status = 404;
	r.end = END_NO_ROUTE;
	metrics_observe(&m, NULL, NULL, &r);
	route_meter_unref(again);
	assert_int_equal(route->ends[2][END_OK], 1);
	assert_int_equal(route->ends[0][END_OK], 1);
	assert_int_equal(m.nowhere->ends[4][END_NO_ROUTE], 1);
	assert_int_equal(route->bytes_in, 6);
	assert_int_equal(route->bytes_out, 8);
	assert_int_equal(up->retries, 2);
	assert_int_equal(up->total.counts[0], 2);
	assert_int_equal(up->queue.counts[0], 1);
	assert_int_equal(up->first_byte.counts[0], 1);
	assert_int_equal(up->first_byte.sum_us, 8);
	metrics_refused(&m, 400);
	metrics_refused(&m, 505);
	metrics_refused(&m, 999);
	assert_int_equal(m.refused[0], 1);
	assert_int_equal(m.refused[REFUSED_CODES - 2], 1);
	assert_int_equal(m.refused[REFUSED_CODES - 1], 1);
	/* The last reference takes the numbers with it. */
	route_meter_unref(route);
	upstream_meter_unref(up);
	assert_int_equal(metrics_count(&m), 1);
	route = route_meter_get(&m, STR("a"));
	assert_int_equal(route->ends[2][END_OK], 0);
	route_meter_unref(route);
	metrics_fini(&m);
}

/* Names as Prometheus wants them. */
static void
test_families(void **state)
{
	size_t i, k, len;

	(void)state;
	for (i = 0; i < METRIC_COUNT; i++) {
		const struct metric_info *info = metric_info(i);

		len = strlen(info->name);
		assert_true((info->type == METRIC_COUNTER) ==
		    (len > 6 && strcmp(info->name + len - 6, "_total") == 0));
		assert_int_equal(strspn(info->name, "abcdefghijklmnopqrstuvwxyz_"), len);
		assert_int_equal(strspn(info->labels, "abcdefghijklmnopqrstuvwxyz_ "), strlen(info->labels));
		assert_true(info->text[strlen(info->text) - 1] == '.');
		for (k = 0; k < i; k++)
			assert_string_not_equal(info->name, metric_info(k)->name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_meters),
		cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
