/* SPDX-License-Identifier: MIT */
/*
 * The kinds of values that more than one section has: each reads a node and prints what it read.
 */
#include "config/type.h"

#include <string.h>

#include "base/arena.h"
#include "base/suggest.h"

bool
type_want_scalar(struct reading *r, const struct node *n, const char *what)
{
	return n->kind == NODE_SCALAR || complain(r, n, "%s is expected here", what);
}

/* --- numbers ----------------------------------------------------------------------------------- */

void
type_format_msec(char *buf, size_t size, int64_t t)
{
	static const struct { msec factor; const char *name; } units[] = { { 3600000, "h" },
		{ 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	size_t i = 0;

	while (t != 0 && t % units[i].factor != 0)
		i++;
	snprintf(buf, size, t == 0 ? "0" : "%lld%s", (long long)(t / units[i].factor), units[i].name);
}

void
type_format_size(char *buf, size_t size, int64_t n)
{
	static const char *const names[] = { "", "KB", "MB", "GB", "TB" };
	size_t i = 0;

	while (n != 0 && i < 4 && n % 1024 == 0) {
		n /= 1024;
		i++;
	}
	snprintf(buf, size, "%lld%s", (long long)n, names[i]);
}

bool
type_parse_msec(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	msec *at = AT(base, row), value;
	char min[32], max[32];

	if (!type_want_scalar(r, n, "a duration such as 10s"))
		return false;
	if (!str_to_msec(n->text, &value))
		return complain(r, n, "\"%.*s\" is no duration, write 250ms, 10s, 5m or 1h",
		    STR_ARG(n->text));
	type_format_msec(min, sizeof(min), row->min);
	type_format_msec(max, sizeof(max), row->max);
	if (value < row->min || value > row->max)
		return complain(r, n, "%.*s is out of bounds, %s to %s is possible", STR_ARG(n->text), min,
		    max);
	*at = value;
	return true;
}

static void
print_msec(FILE *out, int indent, const struct row *row, const void *base)
{
	char buf[32];

	type_format_msec(buf, sizeof(buf), *(const msec *)AT_CONST(base, row));
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

bool
type_parse_size(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t *at = AT(base, row), value;
	char min[32], max[32];

	if (!type_want_scalar(r, n, "a size such as 64KB"))
		return false;
	if (!str_to_size(n->text, &value))
		return complain(r, n, "\"%.*s\" is no size, write 64KB, 100MB or 1GB", STR_ARG(n->text));
	type_format_size(min, sizeof(min), row->min);
	type_format_size(max, sizeof(max), row->max);
	if (value < (uint64_t)row->min || value > (uint64_t)row->max)
		return complain(r, n, "%.*s is out of bounds, %s to %s is possible", STR_ARG(n->text), min,
		    max);
	*at = value;
	return true;
}

static void
print_size(FILE *out, int indent, const struct row *row, const void *base)
{
	char buf[32];

	type_format_size(buf, sizeof(buf), *(const uint64_t *)AT_CONST(base, row));
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

static void
format_number(char *buf, size_t size, int64_t n)
{
	snprintf(buf, size, "%lld", (long long)n);
}

static bool
parse_number(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	unsigned *at = AT(base, row);
	uint64_t value;

	if (!type_want_scalar(r, n, "a whole number"))
		return false;
	if (!str_to_uint(n->text, UINT64_MAX, &value))
		return complain(r, n, "\"%.*s\" is no whole number, %lld to %lld is possible",
		    STR_ARG(n->text), (long long)row->min, (long long)row->max);
	if (value < (uint64_t)row->min || value > (uint64_t)row->max)
		return complain(r, n, "%.*s is out of bounds, %lld to %lld is possible", STR_ARG(n->text),
		    (long long)row->min, (long long)row->max);
	*at = (unsigned)value;
	return true;
}

static void
print_number(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	fprintf(out, "%u\n", *(const unsigned *)AT_CONST(base, row));
}

bool
type_parse_decimal(struct str s, unsigned digits, uint64_t *out)
{
	ptrdiff_t dot = str_find(s, '.');
	struct str whole = dot >= 0 ? str_first(s, (size_t)dot) : s;
	struct str rest = dot >= 0 ? str_from(s, (size_t)dot + 1) : STR_NONE;
	uint64_t value, fraction = 0;
	size_t i;

	if (!str_to_uint(whole, 1000000, &value) || rest.len > digits || (dot >= 0 && rest.len == 0))
		return false;
	if (rest.len > 0 && !str_to_uint(rest, UINT64_MAX, &fraction))
		return false;
	for (i = 0; i < digits; i++) {
		value *= 10;
		if (i >= rest.len)
			fraction *= 10;
	}
	*out = value + fraction;
	return true;
}

static bool
parse_weight(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	unsigned *at = AT(base, row);
	uint64_t value;

	if (!type_want_scalar(r, n, "a weight such as 1.2"))
		return false;
	if (!type_parse_decimal(n->text, 3, &value) || value < 1 || value > 1000000)
		return complain(r, n, "\"%.*s\" is no weight, 0.001 to 1000 with at most three decimals is "
		    "possible", STR_ARG(n->text));
	*at = (unsigned)value;
	return true;
}

void
type_print_decimal(FILE *out, unsigned value, unsigned one)
{
	fprintf(out, "%u", value / one);
	value %= one;
	if (value > 0)
		fputc('.', out);
	for (; value > 0; value %= one) {
		one /= 10;
		fputc((int)('0' + value / one), out);
	}
}

static void
print_weight(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	type_print_decimal(out, *(const unsigned *)AT_CONST(base, row), 1000);
	fputc('\n', out);
}

bool
type_is_bool(struct str s, bool *value)
{
	static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no", "off" };
	size_t i;

	for (i = 0; i < 3; i++)
		if (str_eq_nocase(s, str_of(yes[i])) || str_eq_nocase(s, str_of(no[i]))) {
			*value = str_eq_nocase(s, str_of(yes[i]));
			return true;
		}
	return false;
}

static bool
parse_bool(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "true or false"))
		return false;
	return type_is_bool(n->text, AT(base, row)) ||
	    complain(r, n, "\"%.*s\" is neither true nor false", STR_ARG(n->text));
}

static void
print_bool(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", *(const bool *)AT_CONST(base, row) ? "true" : "false");
}

/* --- words and texts --------------------------------------------------------------------------- */

bool
type_find_word(struct reading *r, const struct word *words, const struct node *n, int *value)
{
	struct str names[16];
	size_t i;

	for (i = 0; words[i].name != NULL; i++) {
		names[i] = str_of(words[i].name);
		if (str_eq(n->text, names[i])) {
			*value = words[i].value;
			return true;
		}
	}
	return complain(r, n, "\"%.*s\" is not known here, %.*s", STR_ARG(n->text),
	    STR_ARG(suggest_name(r->scratch, n->text, names, i)));
}

const char *
type_word_of(const struct word *words, int value)
{
	while (words->value != value)
		words++;
	return words->name;
}

/* A word that stands for a boolean. */
static bool
parse_switch(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	int value;

	if (!type_want_scalar(r, n, "a word") || !type_find_word(r, row->words, n, &value))
		return false;
	*(bool *)AT(base, row) = value != 0;
	return true;
}

static void
print_switch(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", type_word_of(row->words, *(const bool *)AT_CONST(base, row)));
}

static bool
parse_enum(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	int value;

	if (!type_want_scalar(r, n, "a word") || !type_find_word(r, row->words, n, &value))
		return false;
	*(unsigned *)AT(base, row) = (unsigned)value;
	return true;
}

static void
print_enum(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", type_word_of(row->words, (int)*(const unsigned *)AT_CONST(base, row)));
}

bool
type_parse_text(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "a text"))
		return false;
	*(struct str *)AT(base, row) = arena_dup(r->arena, n->text);
	return true;
}

void
type_print_text(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct str *s = AT_CONST(base, row);

	if (s->p == NULL)
		return;
	schema_print_key(out, indent, row);
	yaml_print(out, *s);
	fputc('\n', out);
}

bool
type_want_line(struct reading *r, const struct node *n)
{
	size_t i;

	for (i = 0; i < n->text.len; i++)
		if (((unsigned char)n->text.p[i] < 0x20 && n->text.p[i] != '\t') || n->text.p[i] == 0x7f)
			return complain(r, n, "a control byte cannot be in it");
	return n->text.len <= TYPE_PLAIN_MAX || complain(r, n, "longer than 8 KB");
}

bool
type_want_plain(struct reading *r, const struct node *n)
{
	return type_want_line(r, n) && (str_find(n->text, '\t') < 0 ||
	    complain(r, n, "a control byte cannot be in it"));
}

bool
type_parse_plain(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return type_parse_text(r, row, n, base) && type_want_plain(r, n);
}

bool
type_is_token(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c) != NULL)
			return false;
	}
	return s.len > 0;
}

static bool
parse_method(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	size_t i;

	if (!type_want_scalar(r, n, "a method such as POST"))
		return false;
	for (i = 0; i < n->text.len; i++)
		if (n->text.p[i] >= 'a' && n->text.p[i] <= 'z')
			return complain(r, n, "methods are written in capitals: GET, POST");
	if (!type_is_token(n->text))
		return complain(r, n, "\"%.*s\" is no method", STR_ARG(n->text));
	return type_parse_text(r, row, n, base);
}

static bool
parse_host(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct str *at = AT(base, row);
	size_t i, stars = 0;
	char *p;

	if (!type_want_scalar(r, n, "a host name"))
		return false;
	*at = arena_dup(r->arena, n->text);
	p = (char *)(uintptr_t)at->p;
	for (i = 0; i < at->len; i++) {
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
		stars += p[i] == '*';
		if ((unsigned char)p[i] <= ' ' || (unsigned char)p[i] >= 0x7f || p[i] == '/')
			return complain(r, n, "\"%.*s\" is no host name", STR_ARG(n->text));
	}
	if (at->len == 0 || stars > 1 ||
	    (stars == 1 && (at->len < 3 || !str_starts(*at, STR("*.")))))
		return complain(r, n, "\"%.*s\" is no host name, a wildcard is written *.example.org",
		    STR_ARG(n->text));
	if (str_find(*at, ':') >= 0 && at->p[0] != ':' && str_find(str_from(*at, (size_t)str_find(*at,
	    ':') + 1), ':') < 0)
		return complain(r, n, "\"%.*s\" is no host name, leave the port out", STR_ARG(n->text));
	return true;
}

bool
type_compile(struct reading *r, const struct node *n, struct template *out)
{
	const char *why;

	return type_want_plain(r, n) && (template_compile(r->arena, n->text, out, &why) ||
	    complain(r, n, "%s", why));
}

static bool
parse_template(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "a text, perhaps with $variables"))
		return false;
	if (n->text.len == 0)
		return complain(r, n, "empty, write an address such as https://example.org$request_uri");
	return type_compile(r, n, AT(base, row));
}

void
type_print_template(FILE *out, const struct template *t)
{
	struct arena *scratch = arena_new(1024);

	yaml_print(out, template_text(scratch, t));
	arena_free(scratch);
}

static void
print_template_row(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	type_print_template(out, AT_CONST(base, row));
	fputc('\n', out);
}

/* --- addresses --------------------------------------------------------------------------------- */

static bool
take_address(struct reading *r, const struct node *n, const char *default_host, struct address *at)
{
	const char *why;

	if (!type_want_scalar(r, n, "an address") || !type_want_plain(r, n))
		return false;
	return address_parse(r->arena, n->text, default_host, at, &why) ||
	    complain(r, n, "\"%.*s\" is no address, %s", STR_ARG(n->text), why);
}

/* A port alone is one of default_host. */
static bool
take_listen(struct reading *r, const struct node *n, const char *default_host, struct address *at)
{
	if (!take_address(r, n, default_host, at))
		return false;
	return !at->is_name || complain(r, n, "\"%.*s\" is a name, write the address to listen on",
	    STR_ARG(n->text));
}

static bool
parse_listen(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_listen(r, n, "0.0.0.0", AT(base, row));
}

static bool
parse_listen_local(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_listen(r, n, "127.0.0.1", AT(base, row));
}

void
type_print_address(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	yaml_print(out, ((const struct address *)AT_CONST(base, row))->text);
	fputc('\n', out);
}

static bool
parse_network(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const char *why;

	if (!type_want_scalar(r, n, "a network such as 10.0.0.0/8"))
		return false;
	return network_parse(n->text, AT(base, row), &why) ||
	    complain(r, n, "\"%.*s\" is no network, %s", STR_ARG(n->text), why);
}

static void
print_network(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct network *net = AT_CONST(base, row);
	char buf[64];

	ip_format(&net->ip, buf, sizeof(buf));
	schema_print_key(out, indent, row);
	fprintf(out, "\"%s/%u\"\n", buf, net->ip.is_v4 ? net->bits - 96 : net->bits);
}

/* --- lists and sections ------------------------------------------------------------------------ */

/* One value may stand for a list of one. */
bool
type_parse_list(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct array *at = AT(base, row);
	struct node *single[1] = { (struct node *)(uintptr_t)n };
	struct node **items = n->kind == NODE_LIST ? n->items : single;
	size_t count = n->kind == NODE_LIST ? n->n : 1, i, was;
	bool ok = true;

	if (count < (size_t)row->min || count > (size_t)row->max)
		return complain(r, n, "%zu entries, %lld to %lld are possible", count,
		    (long long)row->min, (long long)row->max);
	at->items = arena_zalloc(r->arena, (count + 1) * row->size);
	at->n = count;
	for (i = 0; i < count; i++) {
		was = path_push_index(r, n, i);
		ok &= schema_parse_value(r, row->element, items[i], (char *)at->items + i * row->size);
		path_pop(r, was);
	}
	return ok;
}

void
type_print_list(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	size_t i;

	if (at->n == 0) {
		schema_print_key(out, indent, row);
		fputs("[]\n", out);
		return;
	}
	schema_print_head(out, indent, row);
	for (i = 0; i < at->n; i++) {
		fprintf(out, "%*s-%s", indent + 2, "", row->element->rows != NULL ? "\n" : " ");
		row->element->type->print(out, indent + 4, row->element,
		    (const char *)at->items + i * row->size);
	}
}

bool
type_parse_section(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return schema_fill(r, row->rows, n, AT(base, row));
}

void
type_print_section(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, AT_CONST(base, row));
}

void
type_print_map(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print(out, indent, row->rows, base);
}

/* --- the kinds ---------------------------------------------------------------------------------- */

const struct type type_msec = { type_parse_msec, print_msec, "duration", type_format_msec };
const struct type type_size = { type_parse_size, print_size, "size", type_format_size };
const struct type type_number = { parse_number, print_number, "number", format_number };
const struct type type_bool = { parse_bool, print_bool, "true or false", NULL };
const struct type type_weight = { .parse = parse_weight, .print = print_weight };
const struct type type_switch = { .parse = parse_switch, .print = print_switch };
const struct type type_status = { .parse = parse_enum, .print = print_number };
const struct type type_enum = { .parse = parse_enum, .print = print_enum };
const struct type type_text = { .parse = type_parse_text, .print = type_print_text };
const struct type type_plain = { .parse = type_parse_plain, .print = type_print_text };
const struct type type_method = { .parse = parse_method, .print = type_print_text };
const struct type type_host = { .parse = parse_host, .print = type_print_text };
const struct type type_template = { .parse = parse_template, .print = print_template_row };
const struct type type_listen = { .parse = parse_listen, .print = type_print_address };
const struct type type_listen_local = { .parse = parse_listen_local, .print = type_print_address };
const struct type type_network = { .parse = parse_network, .print = print_network };
const struct type type_list = { .parse = type_parse_list, .print = type_print_list };
const struct type type_section = { .parse = type_parse_section, .print = type_print_section };
const struct type type_map = { .parse = type_parse_section, .print = type_print_map };

const struct row network_element = { "", &type_network, 0, .help = "" };
