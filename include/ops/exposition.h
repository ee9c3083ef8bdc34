/* SPDX-License-Identifier: MIT */
/*
 * Prometheus's text format, version 0.0.4: a family's HELP and TYPE once, then its samples.  Labels are
 * those of metrics.def, their values given in that order.
 */
#ifndef OPS_EXPOSITION_H
#define OPS_EXPOSITION_H

#include <stdint.h>

#include "base/str.h"
#include "ops/metrics.h"

struct text;

#define EXPOSITION_TYPE	"text/plain; version=0.0.4; charset=utf-8"

struct exposition {
	struct text *out;
	int          last;		/* the family that was begun last; -1: none */
};

void exposition_init(struct exposition *, struct text *out);
/*
 * A sample.  values has as many texts as the family has labels, and may be NULL when it has none; an
 * empty one is a label that is not there.  Families come in the order of metrics.def.
 */
void exposition_uint(struct exposition *, enum metric, const struct str *values, uint64_t);
/* The same of thousandths, or of seconds in microseconds, without a loss. */
void exposition_fraction(struct exposition *, enum metric, const struct str *values, uint64_t n,
    unsigned decimals);
void exposition_histogram(struct exposition *, enum metric, const struct str *values,
    const struct histogram *);

#endif
