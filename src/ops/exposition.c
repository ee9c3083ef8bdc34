/* SPDX-License-Identifier: MIT */
/*
 * Prometheus's text format.
 *
 * Numbers are whole or decimal fractions, never floating point: what was counted is what is told.
 * Invariant: the samples of a family stand together, under its HELP and TYPE.
 */
#include "ops/exposition.h"

#include <string.h>

#include "base/log.h"
#include "base/text.h"

void
exposition_init(struct exposition *e, struct text *out)
{
	e->out = out;
	e->last = -1;
}

static const char no_utf8[] = "\xef\xbf\xbd";	/* U+FFFD */

/* In HELP a backslash and a line feed are escaped, in values of labels a quote too.  One byte that is no
 * UTF-8, as a certificate may have it in its name, would spoil all of it. */
static void
put_escaped(struct text *t, struct str s, bool is_label)
{
	char *start = text_room(t, s.len * sizeof(no_utf8)), *out = start;
	size_t i, len;

	for (i = 0; i < s.len; i++) {
		char c = s.p[i];

		if ((unsigned char)c >= 0x80) {
			len = text_utf8_length(str_from(s, i));
			out = mempcpy(out, len > 0 ? s.p + i : no_utf8, len > 0 ? len : 3);
			i += len > 0 ? len - 1 : 0;
			continue;
		}
		if (c == '\\' || c == '\n' || (c == '"' && is_label))
			*out++ = '\\';
		*out++ = c == '\n' ? 'n' : c;
	}
	text_took(t, (size_t)(out - start));
}

static void
begin(struct exposition *e, enum metric m)
{
	const struct metric_info *info = metric_info(m);
	struct str name = str_of(info->name);

	if (e->last == (int)m)
		return;
	check((int)m > e->last);
	e->last = (int)m;
	text_add(e->out, STR("# HELP "));
	text_add(e->out, name);
	text_add(e->out, STR(" "));
	put_escaped(e->out, str_of(info->text), false);
	text_add(e->out, STR("\n# TYPE "));
	text_add(e->out, name);
	text_add(e->out, STR(" "));
	text_add(e->out, str_of(metric_type_name(info->type)));
	text_add(e->out, STR("\n"));
}

static void
put_label(struct text *t, struct str name, struct str value, const char **lead)
{
	if (value.len == 0)
		return;
	text_add(t, str_of(*lead));
	*lead = ",";
	text_add(t, name);
	text_add(t, STR("=\""));
	put_escaped(t, value, true);
	text_add(t, STR("\""));
}

/* The name, its suffix and its labels; le is that of a histogram's bucket, or empty. */
static void
put_series(struct exposition *e, enum metric m, struct str suffix, const struct str *values,
    struct str le)
{
	const struct metric_info *info = metric_info(m);
	struct str rest = str_of(info->labels);
	const char *lead = "{";

	text_add(e->out, str_of(info->name));
	text_add(e->out, suffix);
	while (rest.len > 0) {
		ptrdiff_t cut = str_find(rest, ' ');
		size_t len = cut < 0 ? rest.len : (size_t)cut;

		put_label(e->out, str_first(rest, len), *values++, &lead);
		rest = str_from(rest, len + 1);
	}
	put_label(e->out, STR("le"), le, &lead);
	text_add(e->out, lead[0] == '{' ? STR(" ") : STR("} "));
}

static void
put_uint(struct exposition *e, uint64_t n)
{
	text_add_uint(e->out, n);
	text_add(e->out, STR("\n"));
}

/* n / 10^decimals, without zeros at the end. */
static void
put_fraction(struct text *t, uint64_t n, unsigned decimals)
{
	char digits[24];
	uint64_t unit = 1, rest;
	unsigned i;

	check(decimals < sizeof(digits));
	for (i = 0; i < decimals; i++)
		unit *= 10;
	text_add_uint(t, n / unit);
	rest = n % unit;
	if (rest == 0)
		return;
	for (i = decimals; i > 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	digits[0] = '.';
	while (digits[decimals] == '0')
		decimals--;
	text_add(t, str_make(digits, decimals + 1));
}

void
exposition_uint(struct exposition *e, enum metric m, const struct str *values, uint64_t n)
{
	begin(e, m);
	put_series(e, m, STR_NONE, values, STR_NONE);
	put_uint(e, n);
}

void
exposition_fraction(struct exposition *e, enum metric m, const struct str *values, uint64_t n,
    unsigned decimals)
{
	begin(e, m);
	put_series(e, m, STR_NONE, values, STR_NONE);
	put_fraction(e->out, n, decimals);
	text_add(e->out, STR("\n"));
}

/* The bounds as texts: made once. */
static struct str
bound_text(size_t i)
{
	static char texts[HISTOGRAM_BOUNDS][16];
	static size_t lens[HISTOGRAM_BOUNDS];
	struct text t;

	if (i == HISTOGRAM_BOUNDS)
		return STR("+Inf");
	if (lens[i] == 0) {
		memset(&t, 0, sizeof(t));
		put_fraction(&t, (uint64_t)histogram_bounds[i], 6);
		check(t.len <= sizeof(texts[i]));
		memcpy(texts[i], t.p, t.len);
		lens[i] = t.len;
		text_fini(&t);
	}
	return str_make(texts[i], lens[i]);
}

void
exposition_histogram(struct exposition *e, enum metric m, const struct str *values,
    const struct histogram *h)
{
	uint64_t total = 0;
	size_t i;

	begin(e, m);
	for (i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		total += h->counts[i];
		put_series(e, m, STR("_bucket"), values, bound_text(i));
		put_uint(e, total);
	}
	put_series(e, m, STR("_sum"), values, STR_NONE);
	put_fraction(e->out, h->sum_us, 6);
	text_add(e->out, STR("\n"));
	put_series(e, m, STR("_count"), values, STR_NONE);
	put_uint(e, total);
}
