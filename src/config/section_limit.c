/* SPDX-License-Identifier: MIT */
/* limits: how much may be asked. */
#include "config/section.h"

#include "config/named.h"
#include "config/type.h"

#define LIMIT(member)	offsetof(struct limit_conf, member)

static const struct word limit_key_words[] = { { "client_ip", KEY_CLIENT_IP },
	{ "header", KEY_HEADER }, { "cookie", KEY_COOKIE }, { "query", KEY_QUERY },
	{ "host", KEY_HOST }, { "route", KEY_ROUTE }, { "auth", KEY_AUTH }, { NULL, 0 } };

static const struct word rate_words[] = { { "s", 1000 }, { "m", 60 * 1000 }, { "h", HOUR },
	{ NULL, 0 } };

static bool
parse_rate(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct limit_conf *limit = base;
	ptrdiff_t slash = str_find(n->text, '/');
	const struct word *unit = rate_words;
	uint64_t count = 0;

	if (!type_want_scalar(r, n, "a rate such as 10/s"))
		return false;
	while (slash > 0 && unit->name != NULL &&
	    !str_eq(str_from(n->text, (size_t)slash + 1), str_of(unit->name)))
		unit++;
	if (slash <= 0 || unit->name == NULL ||
	    !str_to_uint(str_first(n->text, (size_t)slash), UINT64_MAX, &count))
		return complain(r, n, "\"%.*s\" is no rate, write 10/s, 600/m or 100/h",
		    STR_ARG(n->text));
	if (count < (uint64_t)row->min || count > (uint64_t)row->max)
		return complain(r, n, "%.*s is out of bounds, %lld/%s to %lld/%s is possible",
		    STR_ARG(n->text), (long long)row->min, unit->name, (long long)row->max, unit->name);
	limit->rate.count = (unsigned)count;
	limit->rate.per = unit->value;
	return true;
}

static void
print_rate(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct limit_conf *limit = base;

	if (limit->rate.count == 0)
		return;
	schema_print_key(out, indent, row);
	fprintf(out, "%u/%s\n", limit->rate.count, type_word_of(rate_words, (int)limit->rate.per));
}

/* false: nobody waits; true: all of the burst does; a number: so many of it do not. */
static bool
parse_delay(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct limit_conf *limit = base;
	uint64_t value;
	bool waits;

	if (!type_want_scalar(r, n, "true, false or a number"))
		return false;
	if (str_to_uint(n->text, UINT64_MAX, &value)) {
		if (value > (uint64_t)row->max)
			return complain(r, n, "%.*s is out of bounds, 0 to %lld is possible",
			    STR_ARG(n->text), (long long)row->max);
		limit->delay = (unsigned)value;
		return true;
	}
	if (!type_is_bool(n->text, &waits))
		return complain(r, n, "\"%.*s\" is neither true nor false nor a number",
		    STR_ARG(n->text));
	limit->delay = waits ? 0 : LIMIT_NO_DELAY;
	return true;
}

static void
print_delay(FILE *out, int indent, const struct row *row, const void *base)
{
	unsigned delay = ((const struct limit_conf *)base)->delay;

	schema_print_key(out, indent, row);
	if (delay == 0 || delay == LIMIT_NO_DELAY)
		fprintf(out, "%s\n", delay == 0 ? "true" : "false");
	else
		fprintf(out, "%u\n", delay);
}

static bool
parse_limit_key(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return type_key_take(r, n, limit_key_words, AT(base, row));
}

static void
print_limit_key(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	type_key_print(out, limit_key_words, AT_CONST(base, row));
	fputc('\n', out);
}

static const struct type type_limit_key = { .parse = parse_limit_key, .print = print_limit_key };
static const struct type type_rate = { .parse = parse_rate, .print = print_rate };
static const struct type type_delay = { .parse = parse_delay, .print = print_delay };

const struct row limit_rows[] = {
	{ "key", &type_limit_key, LIMIT(key), "client_ip",
	  .help = "who counts as one: client_ip (IPv6 by /64), header:NAME, cookie:NAME, query:NAME, "
	  "host, route or auth (who asks, by the route's auth); without that field the address" },
	{ "rate", &type_rate, 0, NULL, 1, 1000000, .example = "10/s",
	  .help = "so many a second, minute or hour, evenly: 10/s, 600/m, 100/h" },
	{ "burst", &type_number, LIMIT(burst), "0", 0, 1000000,
	  .help = "so many more at once, from rest" },
	{ "delay", &type_delay, 0, "false", 0, 1000000,
	  .help = "true: the burst waits its turn; a number: so many of it do not wait" },
	{ "concurrent", &type_number, LIMIT(concurrent), "0", 0, 1000000,
	  .help = "so many requests in flight; 0 is no limit" },
	{ "status", &type_number, LIMIT(status), "429", 400, 599, .help = "of a refusal" },
	{ "size", &type_size, LIMIT(size), "10MB", 64 * 1024, 64 * 1024 * MB,
	  .help = "memory for keys, 16 bytes each; the longest idle is forgotten for a new one" },
	{ "dry_run", &type_bool, LIMIT(dry_run), "false",
	  .help = "counts and logs, refuses nothing" },
	{ .key = NULL },
};

enum { LONGEST_DELAY = HOUR };

static void
check_delay(struct reading *r, const struct node *n, const struct limit_conf *limit)
{
	const struct node *at = node_find(n, "delay");

	if (at == NULL || limit->delay == LIMIT_NO_DELAY)
		return;
	if (limit->burst == 0)
		complain_key(r, at, STR("delay"), "nobody can wait, burst says how many do");
	else if (limit->delay > limit->burst)
		complain_key(r, at, STR("delay"), "%u is more than the burst, 0 to %u is possible",
		    limit->delay, limit->burst);
	else if ((limit->burst - limit->delay) * limit->rate.per / limit->rate.count > LONGEST_DELAY)
		complain_key(r, at, STR("delay"), "the last would wait longer than an hour, "
		    "lower burst or raise rate");
}

static bool
parse_limit(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct limit_conf *limit = base;
	size_t errors = r->n_errors;

	if (!schema_fill(r, row->rows, n, base))
		return false;
	if (limit->rate.count > 0)
		check_delay(r, n, limit);
	else if (limit->concurrent == 0)
		complain(r, n, "limits nothing, give rate or concurrent");
	else if (limit->burst > 0)
		complain_key(r, node_find(n, "burst"), STR("burst"), "has no effect without rate");
	else if (limit->delay != LIMIT_NO_DELAY)
		complain_key(r, node_find(n, "delay"), STR("delay"), "has no effect without rate");
	return r->n_errors == errors;
}

static bool
parse_limits(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return named_parse(r, row, n, AT(base, row), NAMES_LIMIT, parse_limit);
}

const struct type type_limits = { .parse = parse_limits, .print = named_print };
