/* SPDX-License-Identifier: MIT */
/*
 * THE table: what every key means, its default, its bounds, a sentence of help.
 *
 * A key is a row, a kind of value a struct type of two functions (read, print).  What rows cannot say
 * (two servers of one address, a route with two actions) stands in one check per section, behind its
 * rows.  The reference is printed from the same rows.
 */
#include "config/schema.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/suggest.h"
#include "config/auth_file.h"

#define AT(base, row)		((void *)((char *)(base) + (row)->offset))
#define AT_CONST(base, row)	((const void *)((const char *)(base) + (row)->offset))

/* How arrays lie in config.h: a pointer and a count. */
struct array {
	void  *items;
	size_t n;
};

/* --- the walk ---------------------------------------------------------------------------------- */

static size_t
push_path(struct reading *r, const char *fmt, ...)
{
	size_t was = r->path_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->path + was, sizeof(r->path) - was, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->path_len = was + (size_t)n < sizeof(r->path) ? was + (size_t)n : sizeof(r->path) - 1;
	return was;
}

struct str
path_key(struct str key)
{
	return key.len > 0 ? key : STR("\"\"");
}

static size_t
push_key(struct reading *r, struct str key)
{
	return push_path(r, "%s%.*s", r->path_len > 0 ? "." : "", STR_ARG(path_key(key)));
}

/* Of an entry; a single value is its list itself. */
static size_t
push_index(struct reading *r, const struct node *list, size_t i)
{
	return list->kind == NODE_LIST ? push_path(r, "[%zu]", i) : r->path_len;
}

static void
pop_path(struct reading *r, size_t was)
{
	r->path_len = was;
	r->path[was] = '\0';
}

static const struct row *
find_row(const struct row *rows, struct str key)
{
	for (; rows->key != NULL; rows++)
		if (str_eq(str_of(rows->key), key))
			return rows;
	return NULL;
}

/* Field names are equal whatever their case, keys are not. */
static bool
check_twice(struct reading *r, const struct node *map, size_t i,
    bool (*equal)(struct str, struct str))
{
	size_t j;

	for (j = 0; j < i; j += 2)
		if (equal(map->items[j]->text, map->items[i]->text)) {
			complain_key(r, map->items[i], map->items[i]->text, "twice here, first in line %u",
			    map->items[j]->line);
			return true;
		}
	return false;
}

/* The key stands there or one that was meant to be it. */
static bool
has_key(const struct row *rows, const struct node *map, const char *key)
{
	size_t i;

	for (i = 0; i + 1 < map->n; i += 2)
		if (find_row(rows, map->items[i]->text) == NULL &&
		    suggest_is_near(map->items[i]->text, str_of(key)))
			return true;
	return node_find(map, key) != NULL;
}

/* Where a key belongs that is not known where it stands; empty: nowhere below these rows. */
static struct str
find_home(struct arena *arena, const struct row *rows, struct str key)
{
	for (; rows->key != NULL; rows++) {
		const struct row *inner = rows->element != NULL ? rows->element->rows : rows->rows;
		const char *index = rows->named != NULL ? ".NAME" : rows->element != NULL ? "[N]" : "";
		struct str found;

		if (inner == NULL)
			continue;
		if (find_row(inner, key) != NULL)
			return arena_printf(arena, "%s%s", rows->key, index);
		found = find_home(arena, inner, key);
		if (found.len > 0)
			return arena_printf(arena, "%s%s.%.*s", rows->key, index, STR_ARG(found));
	}
	return STR_NONE;
}

static bool
complain_unknown(struct reading *r, const struct row *rows, const struct node *key)
{
	struct str names[64], nearest, home;
	size_t n;

	for (n = 0; rows[n].key != NULL; n++)
		names[n] = str_of(rows[n].key);
	nearest = suggest_nearest(key->text, names, n);
	/* What it stands for may name things. */
	r->has_misspelt |= nearest.len > 0;
	home = nearest.len > 0 ? STR_NONE : find_home(r->scratch, schema_root(), key->text);
	if (home.len > 0)
		return complain_key(r, key, key->text, "unknown key here, it belongs in %.*s",
		    STR_ARG(home));
	return complain_key(r, key, key->text, "unknown key, %.*s",
	    STR_ARG(suggest_name(r->scratch, key->text, names, n)));
}

static void
check_keys(struct reading *r, const struct row *rows, const struct node *map)
{
	size_t i;

	for (i = 0; i + 1 < map->n; i += 2)
		if (find_row(rows, map->items[i]->text) != NULL)
			check_twice(r, map, i, str_eq);
		else
			complain_unknown(r, rows, map->items[i]);
}

void
schema_tell_problems(struct reading *r, const struct node *n)
{
	struct node at = *n;
	size_t i, was;

	at.problem = STR_NONE;
	if (n->problem.len > 0)
		complain(r, &at, "%.*s", STR_ARG(n->problem));
	for (i = 0; i < n->n; i++) {
		was = r->path_len;
		if (n->kind == NODE_LIST)
			push_path(r, "[%zu]", i);
		else if (i % 2 == 1)
			push_key(r, n->items[i - 1]->text);
		schema_tell_problems(r, n->items[i]);
		pop_path(r, was);
	}
}

static struct str
list_keys(struct arena *arena, const struct row *rows)
{
	struct str all = STR("");
	const struct row *row;

	for (row = rows; row->key != NULL; row++)
		all = arena_printf(arena, "%.*s%s%s", STR_ARG(all), row != rows ? ", " : "", row->key);
	return all;
}

/* Reads a value; "key:" with nothing behind it is none. */
static bool
parse_value(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (n->is_empty)
		return complain(r, n, "there is no value, give one or leave it out");
	return row->type->parse(r, row, n, base);
}

static bool
fill_default(struct reading *r, const struct row *row, void *base)
{
	struct node *n = yaml_read(r, str_of(row->def));

	check(n != NULL);
	return row->type->parse(r, row, n, base);
}

bool
schema_fill(struct reading *r, const struct row *rows, const struct node *map, void *base)
{
	size_t errors = r->n_errors, was;
	const struct row *row;

	if (map->kind != NODE_MAP)
		return complain(r, map, "a mapping is expected here, its keys are %.*s",
		    STR_ARG(list_keys(r->scratch, rows)));
	check_keys(r, rows, map);
	for (row = rows; row->key != NULL; row++) {
		const struct node *n = node_find(map, row->key);

		was = push_key(r, str_of(row->key));
		if (n != NULL)
			parse_value(r, row, n, base);
		else if (row->required && !has_key(rows, map, row->key)) {
			pop_path(r, was);
			complain_key(r, map, str_of(row->key), "missing, %s", row->help);
		} else if (row->def != NULL)
			fill_default(r, row, base);
		pop_path(r, was);
	}
	return r->n_errors == errors;
}

void
schema_print(FILE *out, int indent, const struct row *rows, const void *base)
{
	for (; rows->key != NULL; rows++)
		rows->type->print(out, indent, rows, base);
}

/* Of a section or list that begins on the next line. */
static void
print_head(FILE *out, int indent, const struct row *row)
{
	fprintf(out, "%*s%s:\n", indent, "", row->key);
}

static void
print_key(FILE *out, int indent, const struct row *row)
{
	if (row->key != NULL && row->key[0] != '\0')
		fprintf(out, "%*s%s: ", indent, "", row->key);
}

static bool
want_scalar(struct reading *r, const struct node *n, const char *what)
{
	return n->kind == NODE_SCALAR || complain(r, n, "%s is expected here", what);
}

/* --- numbers ----------------------------------------------------------------------------------- */

static void
format_msec(char *buf, size_t size, msec t)
{
	static const struct { msec factor; const char *name; } units[] = { { 3600000, "h" },
		{ 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	size_t i = 0;

	while (t != 0 && t % units[i].factor != 0)
		i++;
	snprintf(buf, size, t == 0 ? "0" : "%lld%s", (long long)(t / units[i].factor), units[i].name);
}

static void
format_size(char *buf, size_t size, uint64_t n)
{
	static const char *const names[] = { "", "KB", "MB", "GB", "TB" };
	size_t i = 0;

	while (n != 0 && i < 4 && n % 1024 == 0) {
		n /= 1024;
		i++;
	}
	snprintf(buf, size, "%llu%s", (unsigned long long)n, names[i]);
}

static bool
parse_msec(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	msec *at = AT(base, row), value;
	char min[32], max[32];

	if (!want_scalar(r, n, "a duration such as 10s"))
		return false;
	if (!str_to_msec(n->text, &value))
		return complain(r, n, "\"%.*s\" is no duration, write 250ms, 10s, 5m or 1h",
		    STR_ARG(n->text));
	format_msec(min, sizeof(min), row->min);
	format_msec(max, sizeof(max), row->max);
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

	format_msec(buf, sizeof(buf), *(const msec *)AT_CONST(base, row));
	print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

static bool
parse_size(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t *at = AT(base, row), value;
	char min[32], max[32];

	if (!want_scalar(r, n, "a size such as 64KB"))
		return false;
	if (!str_to_size(n->text, &value))
		return complain(r, n, "\"%.*s\" is no size, write 64KB, 100MB or 1GB", STR_ARG(n->text));
	format_size(min, sizeof(min), (uint64_t)row->min);
	format_size(max, sizeof(max), (uint64_t)row->max);
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

	format_size(buf, sizeof(buf), *(const uint64_t *)AT_CONST(base, row));
	print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

static bool
parse_number(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	unsigned *at = AT(base, row);
	uint64_t value;

	if (!want_scalar(r, n, "a whole number"))
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
	print_key(out, indent, row);
	fprintf(out, "%u\n", *(const unsigned *)AT_CONST(base, row));
}

/* Decimals with at most digits places, as that many tenths: no floating point, no rounding. */
static bool
parse_decimal(struct str s, unsigned digits, uint64_t *out)
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

	if (!want_scalar(r, n, "a weight such as 1.2"))
		return false;
	if (!parse_decimal(n->text, 3, &value) || value < 1 || value > 1000000)
		return complain(r, n, "\"%.*s\" is no weight, 0.001 to 1000 with at most three decimals is "
		    "possible", STR_ARG(n->text));
	*at = (unsigned)value;
	return true;
}

static void
print_decimal(FILE *out, unsigned value, unsigned one)
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
	print_key(out, indent, row);
	print_decimal(out, *(const unsigned *)AT_CONST(base, row), 1000);
	fputc('\n', out);
}

static bool
is_bool(struct str s, bool *value)
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
	if (!want_scalar(r, n, "true or false"))
		return false;
	return is_bool(n->text, AT(base, row)) ||
	    complain(r, n, "\"%.*s\" is neither true nor false", STR_ARG(n->text));
}

static void
print_bool(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	fprintf(out, "%s\n", *(const bool *)AT_CONST(base, row) ? "true" : "false");
}

/* --- words and texts --------------------------------------------------------------------------- */

static bool
find_word(struct reading *r, const struct word *words, const struct node *n, int *value)
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

static const char *
word_of(const struct word *words, int value)
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

	if (!want_scalar(r, n, "a word") || !find_word(r, row->words, n, &value))
		return false;
	*(bool *)AT(base, row) = value != 0;
	return true;
}

static void
print_switch(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	fprintf(out, "%s\n", word_of(row->words, *(const bool *)AT_CONST(base, row)));
}

static bool
parse_enum(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	int value;

	if (!want_scalar(r, n, "a word") || !find_word(r, row->words, n, &value))
		return false;
	*(unsigned *)AT(base, row) = (unsigned)value;
	return true;
}

static void
print_enum(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	fprintf(out, "%s\n", word_of(row->words, (int)*(const unsigned *)AT_CONST(base, row)));
}

static bool
parse_text(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "a text"))
		return false;
	*(struct str *)AT(base, row) = arena_dup(r->arena, n->text);
	return true;
}

static void
print_text_row(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct str *s = AT_CONST(base, row);

	if (s->p == NULL)
		return;
	print_key(out, indent, row);
	yaml_print(out, *s);
	fputc('\n', out);
}

enum { PLAIN_MAX = 8 * 1024 };

/* What will stand in a line: no byte that ends it or a C string, nothing that is no text but a tab. */
static bool
want_line(struct reading *r, const struct node *n)
{
	size_t i;

	for (i = 0; i < n->text.len; i++)
		if (((unsigned char)n->text.p[i] < 0x20 && n->text.p[i] != '\t') || n->text.p[i] == 0x7f)
			return complain(r, n, "a control byte cannot be in it");
	return n->text.len <= PLAIN_MAX || complain(r, n, "longer than 8 KB");
}

/* What will stand in a field, a name or a path. */
static bool
want_plain(struct reading *r, const struct node *n)
{
	return want_line(r, n) && (str_find(n->text, '\t') < 0 ||
	    complain(r, n, "a control byte cannot be in it"));
}

static bool
parse_plain(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return parse_text(r, row, n, base) && want_plain(r, n);
}

static bool
is_token(struct str s)
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

	if (!want_scalar(r, n, "a method such as POST"))
		return false;
	for (i = 0; i < n->text.len; i++)
		if (n->text.p[i] >= 'a' && n->text.p[i] <= 'z')
			return complain(r, n, "methods are written in capitals: GET, POST");
	if (!is_token(n->text))
		return complain(r, n, "\"%.*s\" is no method", STR_ARG(n->text));
	return parse_text(r, row, n, base);
}

static bool
parse_host(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct str *at = AT(base, row);
	size_t i, stars = 0;
	char *p;

	if (!want_scalar(r, n, "a host name"))
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

static bool
compile(struct reading *r, const struct node *n, struct template *out)
{
	const char *why;

	return want_plain(r, n) && (template_compile(r->arena, n->text, out, &why) ||
	    complain(r, n, "%s", why));
}

static bool
parse_template(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "a text, perhaps with $variables"))
		return false;
	if (n->text.len == 0)
		return complain(r, n, "empty, write an address such as https://example.org$request_uri");
	return compile(r, n, AT(base, row));
}

static void
print_template_value(FILE *out, const struct template *t)
{
	struct arena *scratch = arena_new(1024);

	yaml_print(out, template_text(scratch, t));
	arena_free(scratch);
}

static void
print_template(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	print_template_value(out, AT_CONST(base, row));
	fputc('\n', out);
}

/* --- addresses --------------------------------------------------------------------------------- */

static bool
take_address(struct reading *r, const struct node *n, const char *default_host, struct address *at)
{
	const char *why;

	if (!want_scalar(r, n, "an address") || !want_plain(r, n))
		return false;
	return address_parse(r->arena, n->text, default_host, at, &why) ||
	    complain(r, n, "\"%.*s\" is no address, %s", STR_ARG(n->text), why);
}

static bool
parse_listen(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct address *at = AT(base, row);

	if (!take_address(r, n, "0.0.0.0", at))
		return false;
	return !at->is_name || complain(r, n, "\"%.*s\" is a name, write the address to listen on",
	    STR_ARG(n->text));
}

static bool
parse_server_address(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct server_conf *s = base;
	const char *why;

	(void)row;
	if (!want_scalar(r, n, "an address") || !want_plain(r, n))
		return false;
	return address_parse_server(r->arena, n->text, &s->address, &s->is_tls, &why) ||
	    complain(r, n, "\"%.*s\" is no address, %s", STR_ARG(n->text), why);
}

static void
print_address(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	yaml_print(out, ((const struct address *)AT_CONST(base, row))->text);
	fputc('\n', out);
}

static bool
parse_network(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const char *why;

	if (!want_scalar(r, n, "a network such as 10.0.0.0/8"))
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
	print_key(out, indent, row);
	fprintf(out, "\"%s/%u\"\n", buf, net->ip.is_v4 ? net->bits - 96 : net->bits);
}

/* --- lists and sections ------------------------------------------------------------------------ */

/* One value may stand for a list of one. */
static bool
parse_list(struct reading *r, const struct row *row, const struct node *n, void *base)
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
		was = push_index(r, n, i);
		ok &= parse_value(r, row->element, items[i], (char *)at->items + i * row->size);
		pop_path(r, was);
	}
	return ok;
}

static void
print_list(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	size_t i;

	if (at->n == 0) {
		print_key(out, indent, row);
		fputs("[]\n", out);
		return;
	}
	print_head(out, indent, row);
	for (i = 0; i < at->n; i++) {
		fprintf(out, "%*s-%s", indent + 2, "", row->element->rows != NULL ? "\n" : " ");
		row->element->type->print(out, indent + 4, row->element,
		    (const char *)at->items + i * row->size);
	}
}

static bool
parse_section(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return schema_fill(r, row->rows, n, AT(base, row));
}

static void
print_section(FILE *out, int indent, const struct row *row, const void *base)
{
	print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, AT_CONST(base, row));
}

/* --- maps of things with names ------------------------------------------------------------------ */

static const struct {
	const char *section;		/* the key at the root */
	const char *one, *many;
} name_kinds[] = {
	[NAMES_UPSTREAM] = { "upstreams", "an upstream", "upstreams" },
	[NAMES_LIMIT] = { "limits", "a limit", "limits" },
	[NAMES_CACHE] = { "caches", "a cache", "caches" },
};

enum { NAME_MAX_BYTES = 64 };

/* The names of a map, before its things are read; false when it is none or has too many. */
static bool
take_names(struct reading *r, const struct row *row, const struct node *n, enum names_kind kind)
{
	struct names *names = &r->names[kind];
	size_t i, was;

	names->is_broken = true;
	if (n->kind != NODE_MAP)
		return complain(r, n, "a mapping of names to %s is expected here", name_kinds[kind].many);
	if (n->n / 2 > (size_t)row->max)
		return complain(r, n, "%zu %s, %lld are possible", n->n / 2, name_kinds[kind].many,
		    (long long)row->max);
	names->is_broken = false;
	names->n = n->n / 2;
	names->keys = arena_alloc(r->scratch, (names->n + 1) * sizeof(*names->keys));
	names->used = arena_zalloc(r->scratch, names->n + 1);
	for (i = 0; i < names->n; i++) {
		names->keys[i] = n->items[2 * i];
		names->used[i] = check_twice(r, n, 2 * i, str_eq);
		was = push_key(r, names->keys[i]->text);
		if (!is_token(names->keys[i]->text))
			complain(r, names->keys[i], "a name is a word without spaces");
		else if (names->keys[i]->text.len > NAME_MAX_BYTES)
			complain(r, names->keys[i], "a name has at most %d bytes", NAME_MAX_BYTES);
		pop_path(r, was);
	}
	return true;
}

/* The thing that n names, which is used from now on. */
static bool
find_name(struct reading *r, const struct node *n, enum names_kind kind, size_t *index)
{
	struct names *names = &r->names[kind];
	struct str *known;
	size_t i;

	if (!want_scalar(r, n, arena_printf(r->scratch, "the name of %s", name_kinds[kind].one).p))
		return false;
	known = arena_alloc(r->scratch, (names->n + 1) * sizeof(*known));
	for (i = 0; i < names->n; i++) {
		known[i] = names->keys[i]->text;
		if (str_eq(known[i], n->text)) {
			names->used[i] = true;
			*index = i;
			return true;
		}
		/* Perhaps the one that is meant: not to be called unused for a slip. */
		names->used[i] |= str_distance(n->text, known[i]) < 3;
	}
	if (names->is_broken)
		return false;
	if (names->n == 0)
		return complain(r, n, "\"%.*s\" is not there, %s has no names", STR_ARG(n->text),
		    name_kinds[kind].section);
	return complain(r, n, "\"%.*s\" is not in %s, %.*s", STR_ARG(n->text),
	    name_kinds[kind].section, STR_ARG(suggest_name(r->scratch, n->text, known, names->n)));
}

static void
check_unused(struct reading *r, enum names_kind kind)
{
	const struct names *names = &r->names[kind];
	size_t was = push_path(r, "%s", name_kinds[kind].section), i;

	for (i = 0; i < names->n; i++)
		if (!names->used[i])
			complain_key(r, names->keys[i], names->keys[i]->text,
			    "no route uses it, remove it or name it in a route");
	pop_path(r, was);
}

/* --- what upstreams need ----------------------------------------------------------------------- */

enum { SET_ERROR = 1, SET_TIMEOUT, SET_UPDATING };
static const struct word set_words[] = { { "error", SET_ERROR }, { "timeout", SET_TIMEOUT },
	{ NULL, 0 } };
static const struct word stale_words[] = { { "error", SET_ERROR }, { "timeout", SET_TIMEOUT },
	{ "updating", SET_UPDATING }, { NULL, 0 } };

static bool
take_condition(struct reading *r, const struct word *words, const struct node *n,
    struct status_set *set)
{
	uint64_t status;
	int word;

	if (!want_scalar(r, n, "error, timeout or a status"))
		return false;
	if (str_to_uint(n->text, 599, &status) && status >= 300) {
		set->bits[status / 64] |= (uint64_t)1 << status % 64;
		return true;
	}
	if (n->text.len > 0 && n->text.p[0] >= '0' && n->text.p[0] <= '9')
		return complain(r, n, "%.*s is no status of a failure, 300 to 599 is possible",
		    STR_ARG(n->text));
	if (!find_word(r, words, n, &word))
		return false;
	set->error |= word == SET_ERROR;
	set->timeout |= word == SET_TIMEOUT;
	set->updating |= word == SET_UPDATING;
	return true;
}

static bool
take_set(struct reading *r, const struct word *words, const struct node *n, struct status_set *set)
{
	bool ok = true;
	size_t i, was;

	if (n->kind == NODE_SCALAR)
		return take_condition(r, words, n, set);
	if (n->kind != NODE_LIST)
		return complain(r, n, "a list such as [error, timeout, 503] is expected here");
	for (i = 0; i < n->n; i++) {
		was = push_path(r, "[%zu]", i);
		ok &= take_condition(r, words, n->items[i], set);
		pop_path(r, was);
	}
	return ok;
}

static bool
parse_set(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_set(r, set_words, n, AT(base, row));
}

static bool
parse_stale(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_set(r, stale_words, n, AT(base, row));
}

static void
print_set(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct status_set *set = AT_CONST(base, row);
	const char *comma = "";
	int i;

	print_key(out, indent, row);
	fputc('[', out);
	if (set->error) {
		fputs("error", out);
		comma = ", ";
	}
	if (set->timeout) {
		fprintf(out, "%stimeout", comma);
		comma = ", ";
	}
	if (set->updating) {
		fprintf(out, "%supdating", comma);
		comma = ", ";
	}
	for (i = 0; i < 640; i++)
		if (status_set_has(set, i)) {
			fprintf(out, "%s%d", comma, i);
			comma = ", ";
		}
	fputs("]\n", out);
}

/* Of the balancers, of the limits. */
static const struct word hash_words[] = { { "client_ip", KEY_CLIENT_IP }, { "header", KEY_HEADER },
	{ "cookie", KEY_COOKIE }, { "query", KEY_QUERY }, { "path", KEY_PATH }, { NULL, 0 } };
static const struct word limit_key_words[] = { { "client_ip", KEY_CLIENT_IP },
	{ "header", KEY_HEADER }, { "cookie", KEY_COOKIE }, { "query", KEY_QUERY },
	{ "host", KEY_HOST }, { "route", KEY_ROUTE }, { "auth", KEY_AUTH }, { NULL, 0 } };

static bool
has_name(enum key_source source)
{
	return source == KEY_HEADER || source == KEY_COOKIE || source == KEY_QUERY;
}

static bool
take_key(struct reading *r, const struct node *n, const struct word *words, struct key_conf *key)
{
	ptrdiff_t colon = str_find(n->text, ':');
	struct node word = *n;
	int source;

	if (!want_scalar(r, n, "a key such as client_ip or header:NAME"))
		return false;
	if (colon >= 0)
		word.text = str_first(n->text, (size_t)colon);
	if (!find_word(r, words, &word, &source))
		return false;
	key->source = (enum key_source)source;
	key->name = colon >= 0 ? arena_dup(r->arena, str_from(n->text, (size_t)colon + 1)) : STR_NONE;
	if (!has_name(key->source))
		return colon < 0 || complain(r, n, "%.*s takes no name", STR_ARG(word.text));
	return is_token(key->name) || complain(r, n, "a name belongs behind it: %.*s:NAME",
	    STR_ARG(word.text));
}

static bool
parse_key(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_key(r, n, hash_words, AT(base, row));
}

static void
print_key_value(FILE *out, const struct word *words, const struct key_conf *key)
{
	fprintf(out, "\"%s%s%.*s\"", word_of(words, key->source), key->name.len > 0 ? ":" : "",
	    STR_ARG(key->name));
}

static void
print_hash(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	if (up->balance != BALANCE_HASH || up->bound > 0)
		return;
	print_key(out, indent, row);
	print_key_value(out, hash_words, &up->hash);
	fputc('\n', out);
}

static const struct word balance_words[] = { { "round_robin", BALANCE_ROUND_ROBIN },
	{ "least_requests", BALANCE_LEAST_REQUESTS }, { "ip_hash", BALANCE_IP_HASH },
	{ "hash", BALANCE_HASH }, { NULL, 0 } };

static const struct type type_number;

static const struct row prefix_rows[] = {
	{ "prefix4", &type_number, offsetof(struct upstream_conf, prefix4), NULL, 1, 32,
	  .help = "bits of an IPv4 address that make the key; nginx takes 24" },
	{ "prefix6", &type_number, offsetof(struct upstream_conf, prefix6), NULL, 1, 128,
	  .help = "bits of an IPv6 address that make the key" },
	{ .key = NULL },
};

static bool
parse_prefixes(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	(void)row;
	return schema_fill(r, prefix_rows, n, base);
}

static void
print_prefixes(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	if (up->balance != BALANCE_IP_HASH)
		return;
	print_key(out, indent, row);
	fprintf(out, "{prefix4: %u, prefix6: %u}\n", up->prefix4, up->prefix6);
}

static bool
parse_bound(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t value;

	if (!want_scalar(r, n, "a bound such as 1.25"))
		return false;
	if (!parse_decimal(n->text, 2, &value) || (value != 0 && (value < 100 || value > 1000)))
		return complain(r, n, "\"%.*s\" is no bound, 1 to 10 with at most two decimals is possible, "
		    "0 is none", STR_ARG(n->text));
	*(unsigned *)AT(base, row) = (unsigned)value;
	return true;
}

static const struct type type_key = { parse_key, print_hash };
static const struct type type_bound = { parse_bound, NULL };
static const struct type type_prefixes = { parse_prefixes, print_prefixes };

/* The long form: {hash: KEY, bound: 1.25} or {ip_hash: {prefix4: 24}}. */
static const struct row balance_rows[] = {
	{ "hash", &type_key, offsetof(struct upstream_conf, hash), .help = "the key" },
	{ "bound", &type_bound, offsetof(struct upstream_conf, bound),
	  .help = "most of its share that a server takes" },
	{ "ip_hash", &type_prefixes, 0, .help = "prefix lengths" },
	{ .key = NULL },
};

static bool
parse_balance(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct upstream_conf *up = base;
	int kind;

	(void)row;
	if (n->kind == NODE_SCALAR) {
		if (!find_word(r, balance_words, n, &kind))
			return false;
		up->balance = (enum balance_kind)kind;
		return true;
	}
	if (!schema_fill(r, balance_rows, n, base))
		return false;
	if ((node_find(n, "hash") != NULL) == (node_find(n, "ip_hash") != NULL))
		return complain(r, n, "give hash or ip_hash here, one of them");
	up->balance = node_find(n, "hash") != NULL ? BALANCE_HASH : BALANCE_IP_HASH;
	return up->balance == BALANCE_HASH || node_find(n, "bound") == NULL ||
	    complain_key(r, node_find(n, "bound"), STR("bound"), "has no effect without hash");
}

static void
print_balance(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	print_key(out, indent, row);
	if (up->balance == BALANCE_HASH && up->bound > 0) {
		fputs("{hash: ", out);
		print_key_value(out, hash_words, &up->hash);
		fputs(", bound: ", out);
		print_decimal(out, up->bound, 100);
		fputs("}\n", out);
	} else
		fprintf(out, "%s\n", word_of(balance_words, up->balance));
}

/* --- the kinds of values ----------------------------------------------------------------------- */

static const struct type type_msec = { parse_msec, print_msec };
static const struct type type_size = { parse_size, print_size };
static const struct type type_number = { parse_number, print_number };
static const struct type type_weight = { parse_weight, print_weight };
static const struct type type_bool = { parse_bool, print_bool };
static const struct type type_switch = { parse_switch, print_switch };
static const struct type type_status = { parse_enum, print_number };
static const struct type type_enum = { parse_enum, print_enum };
static const struct type type_text = { parse_text, print_text_row };
static const struct type type_plain = { parse_plain, print_text_row };
static const struct type type_method = { parse_method, print_text_row };
static const struct type type_host = { parse_host, print_text_row };
static const struct type type_template = { parse_template, print_template };
static const struct type type_listen = { parse_listen, print_address };
static const struct type type_address = { parse_server_address, print_address };
static const struct type type_network = { parse_network, print_network };
static const struct type type_list = { parse_list, print_list };
static const struct type type_section = { parse_section, print_section };
static const struct type type_set = { parse_set, print_set };
static const struct type type_balance = { parse_balance, print_balance };

enum { DAY = 24 * 3600 * 1000, HOUR = 3600 * 1000 };
#define MB	((int64_t)1 << 20)
#define TB	((int64_t)1 << 40)
#define UP(member)	offsetof(struct upstream_conf, member)

/* --- servers ----------------------------------------------------------------------------------- */

static const struct row server_rows[] = {
	{ "address", &type_address, offsetof(struct server_conf, address), .required = true,
	  .help = "ADDRESS:PORT, [IPV6]:PORT, NAME:PORT or unix:/path; https:// before it is TLS",
	  .example = "127.0.0.1:8002" },
	{ "weight", &type_weight, offsetof(struct server_conf, weight), "1",
	  .help = "its share, 0.001 to 1000 with at most three decimals" },
	{ "backup", &type_bool, offsetof(struct server_conf, backup), "false",
	  .help = "serves only when no other can" },
	{ "down", &type_bool, offsetof(struct server_conf, down), "false", .help = "gets no requests" },
	{ "max_inflight", &type_number, offsetof(struct server_conf, max_inflight), "0", 0, 1000000,
	  .help = "requests it gets at a time; more wait in line; 0 is no limit" },
	{ "max_fails", &type_number, offsetof(struct server_conf, max_fails), NULL, 0, 64,
	  .help = "the upstream's unless given", .optional = true, .example = "2" },
	{ "fail_timeout", &type_msec, offsetof(struct server_conf, fail_timeout), NULL, 1, HOUR,
	  .help = "the upstream's unless given", .optional = true, .example = "10s" },
	{ .key = NULL },
};

static bool
parse_server(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct server_conf *s = base;
	struct node *items[2], map = *n, key = *n;

	s->max_fails = r->upstream->max_fails;
	s->fail_timeout = r->upstream->fail_timeout;
	if (n->kind != NODE_SCALAR)
		return schema_fill(r, row->rows, n, base);
	/* A bare address is a server with nothing else said. */
	key.text = STR("address");
	items[0] = &key;
	items[1] = (struct node *)(uintptr_t)n;
	map.kind = NODE_MAP;
	map.items = items;
	map.n = 2;
	return parse_server_address(r, row, n, s) && schema_fill(r, row->rows, &map, base);
}

static void
print_map(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print(out, indent, row->rows, base);
}

static const struct type type_server = { parse_server, print_map };
static const struct row server_element = { "", &type_server, 0, .rows = server_rows };

/* --- files of TLS ------------------------------------------------------------------------------- */

#define PAIR(member)	offsetof(struct tls_pair_conf, member)
static const struct row pair_rows[] = {
	{ "cert", &type_plain, PAIR(cert), .required = true, .example = "/etc/weir/cert.pem",
	  .help = "name a PEM file: the own certificate, then its issuer, then the issuer's" },
	{ "key", &type_plain, PAIR(key), .required = true, .example = "/etc/weir/key.pem",
	  .help = "name a PEM file: its private key, without passphrase" },
	{ "ocsp", &type_plain, PAIR(ocsp), .optional = true, .example = "/etc/weir/ocsp.der",
	  .help = "a DER file: an OCSP response to staple" },
	{ .key = NULL },
};
static const struct type type_map = { parse_section, print_map };
static const struct row pair_element = { "", &type_map, 0, .rows = pair_rows, .help = "" };

/* What is wrong with a file, at the key that names it. */
struct tls_place {
	struct reading    *reading;
	const struct node *node;
};

static void
on_tls_finding(void *arg, const char *where, bool is_warning, const char *text)
{
	struct tls_place *place = arg;
	struct reading *r = place->reading;
	const struct node *at = node_at(place->node, where);
	size_t was = push_key(r, str_of(where));

	if (is_warning)
		warn(r, at, "%s", text);
	else
		complain(r, at, "%s", text);
	pop_path(r, was);
}

/* --- upstreams --------------------------------------------------------------------------------- */

static const struct row retry_rows[] = {
	{ "tries", &type_number, UP(retry.tries), "2", 1, 10,
	  .help = "servers asked in all, 1 is no retry" },
	{ "on", &type_set, UP(retry.on), "[error, 502, 503, 504]",
	  .help = "what is tried again: error, timeout, statuses" },
	{ "non_idempotent", &type_bool, UP(retry.non_idempotent), "false",
	  .help = "POST and PATCH too: right where asking twice only costs time" },
	{ "keep_body", &type_size, UP(retry.keep_body), "1MB", 0, 64 * MB,
	  .help = "a longer request body is not kept, so not sent again" },
	{ .key = NULL },
};

static const struct row queue_rows[] = {
	{ "size", &type_number, UP(queue.size), "64", 0, 100000,
	  .help = "its places; who finds none is refused at once with 503 and Retry-After" },
	{ "timeout", &type_msec, UP(queue.timeout), "30s", 1, DAY,
	  .help = "how long one waits; then 503 with Retry-After" },
	{ .key = NULL },
};

static bool
has_limit(const struct upstream_conf *up)
{
	size_t i;

	for (i = 0; i < up->n_servers; i++)
		if (up->servers[i].max_inflight > 0)
			return true;
	return false;
}

/* Where no server has a limit nobody ever waits. */
static void
print_queue(FILE *out, int indent, const struct row *row, const void *base)
{
	if (!has_limit(base))
		return;
	print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, base);
}

static const struct type type_queue = { parse_section, print_queue };

static const struct row keepalive_rows[] = {
	{ "idle", &type_number, UP(keepalive.idle), "32", 0, 10000,
	  .help = "idle connections kept to each server" },
	{ "timeout", &type_msec, UP(keepalive.timeout), "4s", 1, HOUR,
	  .help = "how long; less than the server keeps them" },
	{ .key = NULL },
};

static const struct row timeouts_rows[] = {
	{ "connect", &type_msec, UP(timeouts.connect), "5s", 1, DAY, .help = "until a server accepts" },
	{ "first_byte", &type_msec, UP(timeouts.first_byte), "300s", 1, DAY,
	  .help = "from the whole request to the answer's head" },
	{ "idle", &type_msec, UP(timeouts.idle), "300s", 1, DAY,
	  .help = "between two pieces of an answer; in a tunnel, of both sides" },
	{ "send", &type_msec, UP(timeouts.send), "300s", 1, DAY,
	  .help = "a server that takes no byte of the request" },
	{ "total", &type_msec, UP(timeouts.total), "0", 0, DAY, .help = "of all of it; 0 is no limit" },
	{ .key = NULL },
};

/* Who is asked for and checked; it goes into a field of 255 bytes. */
static bool
parse_server_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct node whole = *n;
	struct address unused;
	const char *why;

	if (!want_scalar(r, n, "a host name"))
		return false;
	whole.text = arena_printf(r->scratch, str_find(n->text, ':') >= 0 ? "[%.*s]:1" : "%.*s:1",
	    STR_ARG(n->text));
	if (!address_parse(r->scratch, whole.text, NULL, &unused, &why) || unused.is_unix)
		return complain(r, n, "\"%.*s\" is no host name or address", STR_ARG(n->text));
	return parse_text(r, row, n, base);
}

static const struct type type_server_name = { parse_server_name, print_text_row };

/* A certificate of our own: nothing is printed where there is none. */
static void
print_own_certificate(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct tls_pair_conf *)AT_CONST(base, row))->cert.len > 0)
		print_section(out, indent, row, base);
}

static const struct type type_own_certificate = { parse_section, print_own_certificate };

static const struct row own_certificate_rows[] = {
	{ "cert", &type_plain, PAIR(cert), .required = true, .example = "/etc/weir/client.pem",
	  .help = "name a PEM file: our own certificate, then its issuer, then the issuer's" },
	{ "key", &type_plain, PAIR(key), .required = true, .example = "/etc/weir/client.key",
	  .help = "name a PEM file: its private key, without passphrase" },
	{ .key = NULL },
};

#define TLS_CLIENT(member)	offsetof(struct tls_client_conf, member)
static const struct row tls_client_rows[] = {
	{ "verify", &type_bool, TLS_CLIENT(verify), "true",
	  .help = "a server must have a certificate that we trust, for its name" },
	{ "ca", &type_plain, TLS_CLIENT(ca), .optional = true, .example = "/etc/weir/ca.pem",
	  .help = "a PEM file: whose certificates are trusted; the system's authorities without" },
	{ "server_name", &type_server_name, TLS_CLIENT(server_name), .optional = true,
	  .example = "models.example.org",
	  .help = "what the servers are called; the host in the address without" },
	{ "certificate", &type_own_certificate, TLS_CLIENT(certificate), .rows = own_certificate_rows,
	  .optional = true, .help = "shown to servers that ask who we are" },
	{ .key = NULL },
};

static bool
parse_tls_client(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct tls_client_conf *tls = AT(base, row);
	struct tls_place place = { r, n };
	size_t errors = r->n_errors;
	const struct node *at;

	if (!schema_fill(r, row->rows, n, tls))
		return false;
	at = node_find(n, "ca");
	if (at != NULL && !tls->verify)
		complain_key(r, at, STR("ca"), "has no effect with verify: false");
	else if (r->checks->check_tls_client != NULL && n->n > 0)
		r->checks->check_tls_client(tls, on_tls_finding, &place);
	return r->n_errors == errors;
}

static void
print_tls_client(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct upstream_conf *)base)->has_tls)
		print_section(out, indent, row, base);
}

static const struct type type_tls_client = { parse_tls_client, print_tls_client };

/* --- health checks ----------------------------------------------------------------------------- */

/* What stands in the line that asks: no space, nothing that is cut off. */
static bool
want_target(struct reading *r, const struct node *n, const char *barred)
{
	size_t i;

	for (i = 0; i < n->text.len; i++) {
		unsigned char c = (unsigned char)n->text.p[i];

		if (c <= ' ' || c >= 0x7f || strchr(barred, c) != NULL)
			return complain(r, n, "\"%.*s\": spaces, control bytes, what is not ASCII and any of "
			    "%s cannot be in it", STR_ARG(n->text), barred);
	}
	return want_plain(r, n);
}

static bool
parse_check_path(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "a path"))
		return false;
	if (n->text.len == 0 || n->text.p[0] != '/')
		return complain(r, n, "\"%.*s\" is no path, paths begin with /", STR_ARG(n->text));
	return want_target(r, n, "#") && parse_text(r, row, n, base);
}

static bool
parse_check_host(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "a host name"))
		return false;
	if (n->text.len == 0)
		return complain(r, n, "a host name is expected here");
	return want_target(r, n, "/?#@\\") && parse_text(r, row, n, base);
}

static bool
parse_check_body(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "a text"))
		return false;
	if (n->text.len == 0 || n->text.len > PLAIN_MAX)
		return complain(r, n, "a text of 1 byte to 8 KB is expected here");
	return parse_text(r, row, n, base);
}

static bool
take_status(struct reading *r, const struct node *n, struct status_set *set)
{
	uint64_t status;

	if (!want_scalar(r, n, "a status such as 200"))
		return false;
	if (!str_to_uint(n->text, 599, &status) || status < 200)
		return complain(r, n, "\"%.*s\" is no status of an answer, 200 to 599 is possible",
		    STR_ARG(n->text));
	set->bits[status / 64] |= (uint64_t)1 << status % 64;
	return true;
}

static bool
parse_expect(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct status_set *set = AT(base, row);
	bool ok = true;
	size_t i, was;

	if (n->kind == NODE_SCALAR)
		return take_status(r, n, set);
	if (n->kind != NODE_LIST || n->n == 0)
		return complain(r, n, "a status or a list such as [200, 204] is expected here");
	for (i = 0; i < n->n; i++) {
		was = push_path(r, "[%zu]", i);
		ok &= take_status(r, n->items[i], set);
		pop_path(r, was);
	}
	return ok;
}

static const struct type type_check_path = { parse_check_path, print_text_row };
static const struct type type_check_host = { parse_check_host, print_text_row };
static const struct type type_check_body = { parse_check_body, print_text_row };
static const struct type type_expect = { parse_expect, print_set };

static const struct row check_rows[] = {
	{ "path", &type_check_path, UP(check.path), "/",
	  .help = "what is asked for by GET; a query may follow" },
	{ "host", &type_check_host, UP(check.host), .optional = true, .example = "models.example.org",
	  .help = "the Host that is asked for; the server's address without" },
	{ "expect", &type_expect, UP(check.expect), "[200]",
	  .help = "a status, or a list of those, that a healthy server answers with" },
	{ "body", &type_check_body, UP(check.body), .optional = true, .example = "ready",
	  .help = "a text that has to be in the first 64 KB of the answer" },
	{ "tcp", &type_bool, UP(check.is_tcp), "false", .optional = true,
	  .help = "nothing is asked: a server is healthy when it accepts a connection" },
	{ "interval", &type_msec, UP(check.interval), "5s", 100, HOUR,
	  .help = "from the end of one check to the next, give or take a tenth" },
	{ "down_interval", &type_msec, UP(check.down_interval), NULL, 100, HOUR, .optional = true,
	  .example = "1s", .help = "the same while the server is starting or down; interval without" },
	{ "timeout", &type_msec, UP(check.timeout), "10s", 1, HOUR, .help = "of one check" },
	{ "rise", &type_number, UP(check.rise), "2", 1, 100,
	  .help = "so many good answers in a row bring a server back that was down" },
	{ "fall", &type_number, UP(check.fall), "3", 1, 100,
	  .help = "so many bad ones, or timeouts in a row, and it is down" },
	{ .key = NULL },
};

static const struct { const char *name, *path; } presets[] = {
	{ "vllm", "/health" }, { "llamacpp", "/health" }, { "ollama", "/api/version" },
	{ "tgi", "/health" }, { "openai", "/v1/models" },
};
static const struct word preset_words[] = { { "vllm", 0 }, { "llamacpp", 1 }, { "ollama", 2 },
	{ "tgi", 3 }, { "openai", 4 }, { NULL, 0 } };

/* What a check by TCP has no use for. */
static bool
is_of_http(const struct row *row)
{
	return row->offset == UP(check.path) || row->offset == UP(check.host) ||
	    row->offset == UP(check.expect) || row->offset == UP(check.body);
}

static bool
check_tcp(struct reading *r, const struct row *rows, const struct node *n)
{
	bool ok = true;

	for (; rows->key != NULL; rows++)
		if (is_of_http(rows) && node_find(n, rows->key) != NULL)
			ok = complain_key(r, node_find(n, rows->key), str_of(rows->key),
			    "has no effect with tcp: true, leave out one of them");
	return ok;
}

static bool
parse_check(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct upstream_conf *up = base;
	struct node none = *n;
	bool ok;
	int preset;

	if (n->kind == NODE_SCALAR) {
		if (!find_word(r, preset_words, n, &preset))
			return false;
		none.kind = NODE_MAP;
		none.n = 0;
		ok = schema_fill(r, row->rows, &none, up);
		up->check.path = str_of(presets[preset].path);
	} else
		ok = schema_fill(r, row->rows, n, up);
	if (ok && up->check.is_tcp)
		ok = check_tcp(r, row->rows, n);
	if (up->check.down_interval == 0)
		up->check.down_interval = up->check.interval;
	up->check.is_on = ok;
	return ok;
}

static void
print_check(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;
	const struct row *inner;

	if (!up->check.is_on)
		return;
	print_head(out, indent, row);
	for (inner = row->rows; inner->key != NULL; inner++)
		if (up->check.is_tcp ? !is_of_http(inner) : inner->offset != UP(check.is_tcp))
			inner->type->print(out, indent + 2, inner, base);
}

static const struct type type_check = { parse_check, print_check };

static const struct word proxy_words[] = { { "off", 0 }, { "v2", 1 }, { NULL, 0 } };
static const struct word abort_words[] = { { "close", 0 }, { "finish", 1 }, { NULL, 0 } };

static const struct row upstream_rows[] = {
	{ "balance", &type_balance, 0, "round_robin",
	  .help = "round_robin, least_requests, ip_hash or hash; or {hash: KEY, bound: 1.25}" },
	{ "hash", &type_key, UP(hash), .optional = true, .example = "header:X-Session-Id",
	  .help = "for hash: client_ip, header:NAME, cookie:NAME, query:NAME or path" },
	{ "ip_hash", &type_prefixes, 0, .optional = true, .example = "{prefix4: 32, prefix6: 64}",
	  .help = "for ip_hash: how much of an address makes a client" },
	{ "max_fails", &type_number, UP(max_fails), "2", 0, 64,
	  .help = "failures within fail_timeout that leave a server out; 0: never" },
	{ "fail_timeout", &type_msec, UP(fail_timeout), "10s", 1, HOUR,
	  .help = "the window of max_fails, and how long a server is left out" },
	{ "fail_on", &type_set, UP(fail_on), "[error, timeout, 502, 503, 504]",
	  .help = "what is a failure: error, timeout, statuses" },
	{ "servers", &type_list, UP(servers), NULL, 1, 64, .required = true,
	  .help = "a list of addresses, or of mappings with address", .element = &server_element,
	  .size = sizeof(struct server_conf) },
	{ "tls", &type_tls_client, UP(tls), "{}", .rows = tls_client_rows, .optional = true,
	  .help = "with servers whose address begins with https://" },
	{ "retry", &type_section, 0, "{}", .rows = retry_rows,
	  .help = "another server, while the client was told nothing" },
	{ "queue", &type_queue, 0, "{}", .rows = queue_rows, .optional = true,
	  .help = "the line of those who wait while every server is at its max_inflight" },
	{ "keepalive", &type_section, 0, "{}", .rows = keepalive_rows, .help = "connections kept open" },
	{ "timeouts", &type_section, 0, "{}", .rows = timeouts_rows, .help = "limits of waiting" },
	{ "health_check", &type_check, 0, .rows = check_rows, .optional = true,
	  .help = "servers are asked whether they are well; vllm, llamacpp, ollama, tgi or openai instead of "
	  "keys asks what these understand" },
	{ "stall_timeout", &type_msec, UP(stall_timeout), "0", 0, DAY,
	  .help = "a server that sends nobody a byte for so long, with requests waiting for it, is left out; "
	  "0: never" },
	{ "slow_start", &type_msec, UP(slow_start), "0", 0, HOUR,
	  .help = "a server that is back begins with a tenth of its weight, which grows for so long; 0: all "
	  "at once" },
	{ "proxy_protocol", &type_switch, UP(sends_proxy_header), "off", .words = proxy_words,
	  .help = "v2: servers are told the client's address in a PROXY header; each connection then "
	  "serves one request" },
	{ "on_client_abort", &type_switch, UP(finish_on_abort), "close", .words = abort_words,
	  .help = "close: a client that leaves ends the server's work; finish: it goes on" },
	{ .key = NULL },
};

/* What stands beside balance belongs to it, and is not said in it already. */
static void
check_beside(struct reading *r, const struct node *n, const char *key, bool fits)
{
	const struct node *balance = node_find(n, "balance"), *at = node_find(n, key);

	if (at == NULL)
		return;
	if (!fits)
		complain_key(r, at, str_of(key), "has no effect, balance: %s takes it", key);
	else if (balance != NULL && balance->kind == NODE_MAP)
		complain_key(r, at, str_of(key), "said in balance already");
}

static void
check_servers(struct reading *r, const struct node *n, const struct upstream_conf *up)
{
	bool any = up->n_servers == 0;
	size_t i, j, was;

	for (i = 0; i < up->n_servers; i++) {
		struct str text = up->servers[i].address.text;

		any |= !up->servers[i].down;
		was = push_path(r, "[%zu]", i);
		for (j = 0; j < i && text.len > 0; j++)
			if (str_eq(text, up->servers[j].address.text)) {
				complain(r, n->items[i], "%.*s is there twice, give it a weight instead",
				    STR_ARG(text));
				break;
			}
		pop_path(r, was);
	}
	if (!any)
		complain(r, n, "every server is down, one at least must serve");
}

/* Servers also when another row was wrong: every error is told at once. */
static void
check_upstream(struct reading *r, const struct node *n, bool ok, const struct upstream_conf *up)
{
	size_t was;

	if (ok) {
		check_beside(r, n, "hash", up->balance == BALANCE_HASH);
		check_beside(r, n, "ip_hash", up->balance == BALANCE_IP_HASH);
	}
	if (node_find(n, "servers") == NULL)
		return;
	if (ok && node_find(n, "queue") != NULL && !has_limit(up))
		complain_key(r, node_find(n, "queue"), STR("queue"),
		    "has no effect, give servers a max_inflight");
	if (ok && node_find(n, "tls") != NULL && !up->has_tls)
		complain_key(r, node_find(n, "tls"), STR("tls"),
		    "has no effect, no server's address begins with https://");
	was = push_path(r, ".servers");
	check_servers(r, node_find(n, "servers"), up);
	pop_path(r, was);
}

static bool
parse_upstream(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct upstream_conf *up = base;
	size_t errors = r->n_errors, i;

	r->upstream = up;
	/* Two places may set these, so neither has a default. */
	up->prefix4 = 32;
	up->prefix6 = 64;
	if (n->is_empty)
		complain(r, n, "there is no value, give one or leave it out");
	else
		schema_fill(r, row->rows, n, up);
	for (i = 0; i < up->n_servers; i++)
		up->has_tls |= up->servers[i].is_tls;
	if (n->kind == NODE_MAP)
		check_upstream(r, n, r->n_errors == errors, up);
	return r->n_errors == errors;
}

/* What has a name in the file begins with it in memory. */
static struct str *
name_of(void *items, const struct row *row, size_t i)
{
	return (struct str *)(void *)((char *)items + i * row->size);
}

/* A mapping of names to sections. */
static bool
parse_named(struct reading *r, const struct row *row, const struct node *n, struct array *at,
    enum names_kind kind, bool (*parse)(struct reading *, const struct row *, const struct node *,
    void *))
{
	size_t i, was;

	if (!take_names(r, row, n, kind))
		return false;
	at->n = n->n / 2;
	at->items = arena_zalloc(r->arena, (at->n + 1) * row->size);
	for (i = 0; i < at->n; i++) {
		struct str *name = name_of(at->items, row, i);

		*name = arena_dup(r->arena, n->items[2 * i]->text);
		was = push_key(r, *name);
		parse(r, row, n->items[2 * i + 1], name);
		pop_path(r, was);
	}
	return true;
}

static void
print_named(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	size_t i;

	if (at->n == 0) {
		print_key(out, indent, row);
		fputs("{}\n", out);
		return;
	}
	print_head(out, indent, row);
	for (i = 0; i < at->n; i++) {
		fprintf(out, "%*s", indent + 2, "");
		yaml_print(out, *name_of(at->items, row, i));
		fputs(":\n", out);
		schema_print(out, indent + 4, row->rows, name_of(at->items, row, i));
	}
}

static bool
parse_upstreams(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return parse_named(r, row, n, AT(base, row), NAMES_UPSTREAM, parse_upstream);
}

static const struct type type_upstreams = { parse_upstreams, print_named };

/* --- limits ------------------------------------------------------------------------------------ */

#define LIMIT(member)	offsetof(struct limit_conf, member)

static const struct word rate_words[] = { { "s", 1000 }, { "m", 60 * 1000 }, { "h", HOUR },
	{ NULL, 0 } };

static bool
parse_rate(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct limit_conf *limit = base;
	ptrdiff_t slash = str_find(n->text, '/');
	const struct word *unit = rate_words;
	uint64_t count = 0;

	if (!want_scalar(r, n, "a rate such as 10/s"))
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
	print_key(out, indent, row);
	fprintf(out, "%u/%s\n", limit->rate.count, word_of(rate_words, (int)limit->rate.per));
}

/* false: nobody waits; true: all of the burst does; a number: so many of it do not. */
static bool
parse_delay(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct limit_conf *limit = base;
	uint64_t value;
	bool waits;

	if (!want_scalar(r, n, "true, false or a number"))
		return false;
	if (str_to_uint(n->text, UINT64_MAX, &value)) {
		if (value > (uint64_t)row->max)
			return complain(r, n, "%.*s is out of bounds, 0 to %lld is possible",
			    STR_ARG(n->text), (long long)row->max);
		limit->delay = (unsigned)value;
		return true;
	}
	if (!is_bool(n->text, &waits))
		return complain(r, n, "\"%.*s\" is neither true nor false nor a number",
		    STR_ARG(n->text));
	limit->delay = waits ? 0 : LIMIT_NO_DELAY;
	return true;
}

static void
print_delay(FILE *out, int indent, const struct row *row, const void *base)
{
	unsigned delay = ((const struct limit_conf *)base)->delay;

	print_key(out, indent, row);
	if (delay == 0 || delay == LIMIT_NO_DELAY)
		fprintf(out, "%s\n", delay == 0 ? "true" : "false");
	else
		fprintf(out, "%u\n", delay);
}

static bool
parse_limit_key(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_key(r, n, limit_key_words, AT(base, row));
}

static void
print_limit_key(FILE *out, int indent, const struct row *row, const void *base)
{
	print_key(out, indent, row);
	print_key_value(out, limit_key_words, AT_CONST(base, row));
	fputc('\n', out);
}

static const struct type type_limit_key = { parse_limit_key, print_limit_key };
static const struct type type_rate = { parse_rate, print_rate };
static const struct type type_delay = { parse_delay, print_delay };

static const struct row limit_rows[] = {
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
	return parse_named(r, row, n, AT(base, row), NAMES_LIMIT, parse_limit);
}

static const struct type type_limits = { parse_limits, print_named };

/* --- caches ------------------------------------------------------------------------------------ */

static bool
take_valid(struct reading *r, const struct node *key, const struct node *n, struct valid_conf *v)
{
	static const struct row lifetime = { "", &type_msec, offsetof(struct valid_conf, lifetime),
		NULL, 1, 365 * (int64_t)DAY, .help = "" };
	uint64_t status = 0;

	if (!str_eq(key->text, STR("any")) &&
	    (!str_to_uint(key->text, 599, &status) || status < 200))
		return complain(r, key, "\"%.*s\" is no status of an answer, 200 to 599 is possible, and "
		    "any", STR_ARG(key->text));
	if (status != 0 && !status_is_storable((int)status))
		return complain(r, key, "%.*s is never stored", STR_ARG(key->text));
	v->status = (unsigned)status;
	return parse_msec(r, &lifetime, n, v);
}

static bool
parse_valid(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct array *at = AT(base, row);
	struct valid_conf *valid;
	bool ok = true;
	size_t i, was;

	if (n->kind != NODE_MAP)
		return complain(r, n, "a mapping such as {200: 10m, 404: 1m} is expected here");
	at->n = n->n / 2;
	at->items = valid = arena_zalloc(r->arena, (at->n + 1) * sizeof(*valid));
	for (i = 0; i < at->n; i++) {
		was = push_key(r, n->items[2 * i]->text);
		ok &= take_valid(r, n->items[2 * i], n->items[2 * i + 1], &valid[i]);
		pop_path(r, was);
		check_twice(r, n, 2 * i, str_eq);
	}
	return ok;
}

static void
print_valid(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	const struct valid_conf *valid = at->items;
	char buf[32];
	size_t i;

	print_key(out, indent, row);
	fputc('{', out);
	for (i = 0; i < at->n; i++) {
		format_msec(buf, sizeof(buf), valid[i].lifetime);
		fputs(i > 0 ? ", " : "", out);
		if (valid[i].status == 0)
			fprintf(out, "any: %s", buf);
		else
			fprintf(out, "%u: %s", valid[i].status, buf);
	}
	fputs("}\n", out);
}

static const struct word cache_method_words[] = { { "GET", 1 }, { "HEAD", 2 }, { "POST", 3 },
	{ NULL, 0 } };

static bool
parse_cache_method(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	int word;

	if (!want_scalar(r, n, "GET, HEAD or POST") || !find_word(r, cache_method_words, n, &word))
		return false;
	return parse_text(r, row, n, base);
}

static bool
parse_key_header(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!want_scalar(r, n, "the name of a request field"))
		return false;
	return is_token(n->text) ? parse_text(r, row, n, base)
	    : complain(r, n, "\"%.*s\" is no field name", STR_ARG(n->text));
}

static const struct type type_valid = { parse_valid, print_valid };
static const struct type type_stale = { parse_stale, print_set };
static const struct type type_cache_method = { parse_cache_method, print_text_row };
static const struct type type_key_header = { parse_key_header, print_text_row };
static const struct row cache_method_element = { "", &type_cache_method, 0, .help = "" };
static const struct row ignore_field_element = { "", &type_text, 0, .help = "" };
static const struct row key_header_element = { "", &type_key_header, 0, .help = "" };
static const struct word when_words[] = { { "always", 0 }, { "requested", 1 }, { NULL, 0 } };

#define CACHE(member)	offsetof(struct cache_conf, member)
static const struct row cache_rows[] = {
	{ "size", &type_size, CACHE(size), "100MB", 64 * 1024, TB,
	  .help = "memory in all, what weir needs for each answer counted too" },
	{ "inactive", &type_msec, CACHE(inactive), "1h", 1000, 365 * (int64_t)DAY,
	  .help = "an answer that nobody asked for so long goes" },
	{ "max_object", &type_size, CACHE(max_object), "8MB", 1024, TB,
	  .help = "a longer answer is not stored" },
	{ "valid", &type_valid, CACHE(valid), "{}",
	  .help = "how long answers live that do not say so themselves: {200: 10m, 404: 1m, any: 10s}" },
	{ "stale", &type_stale, CACHE(stale), "[error, timeout, updating, 500, 502, 503, 504]",
	  .help = "when an expired answer is better than none: error, timeout, updating, statuses" },
	{ "methods", &type_list, CACHE(methods), "[GET, HEAD]", 1, 3, .element = &cache_method_element,
	  .size = sizeof(struct str), .help = "GET, HEAD, and POST by its body" },
	{ "when", &type_switch, CACHE(only_requested), "always", .words = when_words,
	  .help = "requested: only requests with Cache-Control: public or max-age" },
	{ "ignore_request_cache_control", &type_bool, CACHE(ignore_request_cache_control), "false",
	  .help = "clients cannot ask for a fresh answer" },
	{ "ignore_response_cache_control", &type_bool, CACHE(ignore_response_cache_control), "false",
	  .help = "valid: alone says what is stored and how long, not the server's Cache-Control and "
	  "Expires" },
	{ "share_across_clients", &type_bool, CACHE(share_across_clients), "false",
	  .help = "a POST is answered the same whoever asks: Authorization and Cookie do not count" },
	{ "ignore_fields", &type_list, CACHE(ignore_fields), "[user, stream_options]", 0, 32,
	  .element = &ignore_field_element, .size = sizeof(struct str),
	  .help = "members of a POST's JSON object that do not change the answer" },
	{ "key_headers", &type_list, CACHE(key_headers), "[]", 0, 32, .element = &key_header_element,
	  .size = sizeof(struct str), .help = "request fields that change the answer, as if named by Vary" },
	{ "max_body", &type_size, CACHE(max_body), "1MB", 1, MB,
	  .help = "a POST with a longer body is not answered from here" },
	{ "single_flight", &type_bool, CACHE(single_flight), "true",
	  .help = "equal requests follow the one that is being answered" },
	{ "vary_max", &type_number, CACHE(vary_max), "16", 1, 1000,
	  .help = "answers to one address that differ by Vary; the oldest goes" },
	{ .key = NULL },
};

enum { CACHE_OVERHEAD = 16 * 1024 };	/* what an object needs beside its bytes, generously */

static bool
has_method(const struct cache_conf *c, struct str method)
{
	size_t i;

	for (i = 0; i < c->n_methods; i++)
		if (str_eq(c->methods[i], method))
			return true;
	return false;
}

static bool
parse_cache(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct cache_conf *c = base;
	const struct node *at;
	char size[32], object[32];

	if (!schema_fill(r, row->rows, n, c))
		return false;
	c->has_get = has_method(c, STR("GET"));
	c->has_head = has_method(c, STR("HEAD"));
	c->has_post = has_method(c, STR("POST"));
	if (c->has_head && !c->has_get)
		return complain_key(r, node_find(n, "methods"), STR("methods"),
		    "HEAD is answered from what GET stored, name GET too");
	if (c->size >= c->max_object + CACHE_OVERHEAD)
		return true;
	format_size(size, sizeof(size), c->size);
	format_size(object, sizeof(object), c->max_object);
	at = node_find(n, "size");
	return complain_key(r, at != NULL ? at : node_find(n, "max_object"),
	    at != NULL ? STR("size") : STR("max_object"), "a cache of %s cannot hold an object of %s, "
	    "raise size or lower max_object", size, object);
}

static bool
parse_caches(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return parse_named(r, row, n, AT(base, row), NAMES_CACHE, parse_cache);
}

static const struct type type_caches = { parse_caches, print_named };
/* --- routes ------------------------------------------------------------------------------------ */

static bool
parse_path(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;

	if (!want_scalar(r, n, "a path"))
		return false;
	if (n->text.len == 0 || n->text.p[0] != '/')
		return complain(r, n, "\"%.*s\" is no path, paths begin with /", STR_ARG(n->text));
	if (!want_plain(r, n))
		return false;
	if (str_find(n->text, '?') >= 0 || str_find(n->text, '#') >= 0)
		return complain(r, n, "a path ends before ? and #");
	route->path = arena_dup(r->arena, n->text);
	route->is_exact = strcmp(row->key, "exact") == 0;
	return true;
}

static void
print_path(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->is_exact != (strcmp(row->key, "exact") == 0))
		return;
	print_key(out, indent, row);
	yaml_print(out, route->path);
	fputc('\n', out);
}

static bool
parse_upstream_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t i;

	(void)row;
	route->action = ROUTE_UPSTREAM;
	if (!find_name(r, n, NAMES_UPSTREAM, &i))
		return false;
	route->upstream = &r->config->upstreams[i];
	return true;
}

static bool
parse_cache_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t i;

	(void)row;
	if (!find_name(r, n, NAMES_CACHE, &i))
		return false;
	route->cache = &r->config->caches[i];
	return true;
}

static void
print_cache_name(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->cache == NULL)
		return;
	print_key(out, indent, row);
	yaml_print(out, route->cache->name);
	fputc('\n', out);
}

static void
print_upstream_name(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->action != ROUTE_UPSTREAM)
		return;
	print_key(out, indent, row);
	yaml_print(out, route->upstream->name);
	fputc('\n', out);
}

/* An element of "limit: [a, b]". */
static bool
parse_limit_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct limit_conf **at = base;
	size_t i;

	(void)row;
	if (!find_name(r, n, NAMES_LIMIT, &i))
		return false;
	*at = &r->config->limits[i];
	return true;
}

static bool
parse_limit_names(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct route_conf *route = base;
	bool ok = parse_list(r, row, n, base);
	size_t i, j;

	for (i = 0; i < route->n_limits; i++)
		for (j = 0; j < i; j++)
			if (route->limits[i] != NULL && route->limits[i] == route->limits[j])
				ok = complain(r, n->items[i], "%.*s is there twice",
				    STR_ARG(route->limits[i]->name));
	return ok;
}

static void
print_limit_name(FILE *out, int indent, const struct row *row, const void *base)
{
	(void)indent;
	(void)row;
	yaml_print(out, (*(const struct limit_conf *const *)base)->name);
	fputc('\n', out);
}

/* respond and redirect: a section that says what the route does. */
static bool
parse_action(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	((struct route_conf *)base)->action = (enum route_action)row->min;
	return schema_fill(r, row->rows, n, base);
}

static void
print_action(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct route_conf *)base)->action != (enum route_action)row->min)
		return;
	print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, base);
}

static bool
parse_body_limit(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t *at = AT(base, row);

	if (!parse_size(r, row, n, base))
		return false;
	if (*at == 0)
		*at = UINT64_MAX;
	return true;
}

static void
print_body_limit(FILE *out, int indent, const struct row *row, const void *base)
{
	uint64_t value = *(const uint64_t *)AT_CONST(base, row);
	char buf[32];

	format_size(buf, sizeof(buf), value == UINT64_MAX ? 0 : value);
	print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

enum { HOST_IS_BARRED, HOST_IS_FINE };

/* Framing and the connection are ours to say. */
static bool
take_field_name(struct reading *r, const struct node *n, bool host_is_fine)
{
	static const char *const barred[] = { "Connection", "Content-Length", "Transfer-Encoding",
		"Keep-Alive", "TE", "Trailer", "Upgrade" };
	size_t i;

	if (!want_scalar(r, n, "the name of a field"))
		return false;
	if (!is_token(n->text))
		return complain(r, n, "\"%.*s\" is no field name", STR_ARG(n->text));
	for (i = 0; i < sizeof(barred) / sizeof(barred[0]); i++)
		if (str_eq_nocase(n->text, str_of(barred[i])))
			return complain(r, n, "%s is set by weir itself", barred[i]);
	return host_is_fine || !str_eq_nocase(n->text, STR("Host")) ||
	    complain(r, n, "Host can only be set, in request_headers");
}

static bool
parse_field_map(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct array *at = AT(base, row);
	struct header_rule *rules;
	bool ok = true;
	size_t i, was;

	if (n->kind != NODE_MAP)
		return complain(r, n, "a mapping of field names to values is expected here");
	if (n->n / 2 > (size_t)row->max)
		return complain(r, n, "%zu fields, %lld are possible", n->n / 2, (long long)row->max);
	at->n = n->n / 2;
	at->items = rules = arena_zalloc(r->arena, (at->n + 1) * sizeof(*rules));
	for (i = 0; i < at->n; i++) {
		was = push_key(r, n->items[2 * i]->text);
		rules[i].name = arena_dup(r->arena, n->items[2 * i]->text);
		ok &= take_field_name(r, n->items[2 * i], row->min == HOST_IS_FINE) &&
		    want_scalar(r, n->items[2 * i + 1], "a text") &&
		    compile(r, n->items[2 * i + 1], &rules[i].value);
		pop_path(r, was);
		check_twice(r, n, 2 * i, str_eq_nocase);
	}
	return ok;
}

static void
print_field_map(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	const struct header_rule *rules = at->items;
	size_t i;

	print_key(out, indent, row);
	fputc('{', out);
	for (i = 0; i < at->n; i++) {
		fputs(i > 0 ? ", " : "", out);
		yaml_print(out, rules[i].name);
		fputs(": ", out);
		print_template_value(out, &rules[i].value);
	}
	fputs("}\n", out);
}

static bool
parse_field_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_field_name(r, n, false) && parse_text(r, row, n, base);
}

static const struct type type_path = { parse_path, print_path };
static const struct type type_upstream_name = { parse_upstream_name, print_upstream_name };
static const struct type type_cache_name = { parse_cache_name, print_cache_name };
static const struct type type_limit_name = { parse_limit_name, print_limit_name };
static const struct type type_limit_names = { parse_limit_names, print_list };
static const struct type type_action = { parse_action, print_action };
static const struct type type_body_limit = { parse_body_limit, print_body_limit };
static const struct type type_field_map = { parse_field_map, print_field_map };
static const struct type type_field_name = { parse_field_name, print_text_row };

static const struct row host_element = { "", &type_host, 0, .help = "" };
static const struct row network_element = { "", &type_network, 0, .help = "" };
static const struct row method_element = { "", &type_method, 0, .help = "" };
static const struct row limit_element = { "", &type_limit_name, 0, .help = "" };
static const struct row field_element = { "", &type_field_name, 0, .help = "" };

#define ROUTE(member)	offsetof(struct route_conf, member)

/* What stands between quotes in a field. */
static bool
parse_realm(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!parse_plain(r, row, n, base))
		return false;
	return (str_find(n->text, '"') < 0 && str_find(n->text, '\\') < 0) ||
	    complain(r, n, "neither \" nor \\ can be in it");
}

static const struct type type_realm = { parse_realm, print_text_row };

static const struct row respond_rows[] = {
	{ "status", &type_number, ROUTE(respond.status), "200", 200, 599, .help = "its status" },
	{ "body", &type_text, ROUTE(respond.body), "\"\"", .help = "its body" },
	{ "type", &type_plain, ROUTE(respond.type), "text/plain", .help = "its Content-Type" },
	{ "files", &type_plain, ROUTE(respond.files), .optional = true, .example = "/var/lib/weir/acme",
	  .help = "instead of these a folder: the file of the name behind the path, directly in it, at most "
	  "1 MB" },
	{ .key = NULL },
};

/* It may be made later, by who puts files into it. */
static void
check_folder(struct reading *r, const struct node *n, struct str path)
{
	struct stat st;
	int error = stat(path.p, &st) == 0 ? 0 : errno;

	if (error == ENOENT)
		warn(r, n, "%.*s: there is no such folder yet", STR_ARG(path));
	else if (error != 0)
		complain(r, n, "%.*s: %s", STR_ARG(path), strerror(error));
	else if (!S_ISDIR(st.st_mode))
		complain(r, n, "%.*s: that is a file, name the folder it is in", STR_ARG(path));
}

/* A folder of files is read, and nothing else is said of the answer. */
static bool
parse_respond(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	static const char *const others[] = { "status", "body", "type" };
	struct route_conf *route = base;
	const struct node *files, *at;
	size_t i;

	if (!parse_action(r, row, n, base))
		return false;
	files = node_find(n, "files");
	if (files == NULL)
		return true;
	for (i = 0; i < 3; i++)
		if ((at = node_find(n, others[i])) != NULL)
			complain_key(r, at, str_of(others[i]), "has no effect with files");
	if (route->respond.files.len == 0)
		return complain_key(r, files, STR("files"), "name a folder");
	i = push_key(r, STR("files"));
	check_folder(r, files, route->respond.files);
	pop_path(r, i);
	return true;
}

static void
print_respond(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->respond.files.len == 0) {
		print_action(out, indent, row, base);
		return;
	}
	fprintf(out, "%*s%s: {files: ", indent, "", row->key);
	yaml_print(out, route->respond.files);
	fputs("}\n", out);
}

static const struct type type_respond = { parse_respond, print_respond };

static const struct word redirect_words[] = { { "301", 301 }, { "302", 302 }, { "303", 303 },
	{ "307", 307 }, { "308", 308 }, { NULL, 0 } };

static const struct row redirect_rows[] = {
	{ "to", &type_template, ROUTE(redirect.to), .required = true,
	  .example = "https://example.org$request_uri",
	  .help = "where to, with $variables such as $host and $request_uri" },
	{ "status", &type_status, ROUTE(redirect.status), "308", .words = redirect_words,
	  .help = "its status" },
	{ .key = NULL },
};

#define HEADER_ROWS(which, host)								\
	{ "set", &type_field_map, ROUTE(which.set), "{}", host, 64,			\
	  .help = "replaces fields, with $variables" },						\
	{ "add", &type_field_map, ROUTE(which.add), "{}", 0, 64, .help = "adds fields" },	\
	{ "remove", &type_list, ROUTE(which.remove), "[]", 0, 64, .element = &field_element,	\
	  .size = sizeof(struct str), .help = "takes fields out" },				\
	{ .key = NULL }

static const struct row request_header_rows[] = { HEADER_ROWS(request_headers, HOST_IS_FINE) };
static const struct row response_header_rows[] = { HEADER_ROWS(response_headers, HOST_IS_BARRED) };

/* --- who may ask ------------------------------------------------------------------------------- */

#define AUTH(member)	offsetof(struct auth_conf, member)
static const struct row auth_basic_rows[] = {
	{ "file", &type_plain, AUTH(basic.file), .required = true, .example = "/etc/weir/users",
	  .help = "name a file of htpasswd: name:hash, by bcrypt or SHA-crypt" },
	{ "realm", &type_realm, AUTH(realm), "weir", .help = "what browsers say it is for" },
	{ "hide", &type_bool, AUTH(basic.hide), "true",
	  .help = "servers do not see the name and the password" },
	{ .key = NULL },
};
static const struct row auth_key_rows[] = {
	{ "file", &type_plain, AUTH(keys.file), .required = true, .example = "/etc/weir/keys",
	  .help = "name a file of lines name:sha256, of each key its SHA-256 in hexadecimal digits" },
	{ "hide", &type_bool, AUTH(keys.hide), "true", .help = "servers do not see the key" },
	{ .key = NULL },
};

static void
print_auth_way(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct auth_conf *auth = base;

	if ((row->rows == auth_basic_rows ? auth->basic.file : auth->keys.file).len > 0)
		print_section(out, indent, row, base);
}

static const struct type type_auth_way = { parse_section, print_auth_way };
static const struct row auth_rows[] = {
	{ "basic", &type_auth_way, 0, .rows = auth_basic_rows, .optional = true,
	  .help = "a name and a password (HTTP Basic)" },
	{ "keys", &type_auth_way, 0, .rows = auth_key_rows, .optional = true,
	  .help = "an API key (Authorization: Bearer)" },
	{ .key = NULL },
};

static bool
read_auth_file(struct reading *r, const struct node *n, const char *way, struct auth_conf *auth,
    bool (*read)(struct arena *, struct arena *, struct auth_conf *, const char **))
{
	const struct node *section = node_find(n, way);
	const char *why;
	size_t was;

	if (section == NULL || read(r->arena, r->scratch, auth, &why))
		return true;
	was = push_key(r, str_of(way));
	complain_key(r, node_find(section, "file"), STR("file"), "%s", why);
	pop_path(r, was);
	return false;
}

static bool
parse_auth(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct auth_conf *auth = arena_zalloc(r->arena, sizeof(*auth));
	bool ok;

	auth->realm = STR("weir");
	if (!schema_fill(r, row->rows, n, auth))
		return false;
	if (node_find(n, "basic") == NULL && node_find(n, "keys") == NULL)
		return complain(r, n, "nobody could come in, give basic or keys, or both");
	ok = read_auth_file(r, n, "basic", auth, auth_file_users);
	ok &= read_auth_file(r, n, "keys", auth, auth_file_keys);
	*(const struct auth_conf **)AT(base, row) = auth;
	return ok;
}

static void
print_auth(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct auth_conf *auth = *(const struct auth_conf *const *)AT_CONST(base, row);

	if (auth == NULL)
		return;
	print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, auth);
}

static const struct type type_auth = { parse_auth, print_auth };

static const struct word scheme_words[] = { { "any", ROUTE_ANY_SCHEME }, { "http", ROUTE_HTTP },
	{ "https", ROUTE_HTTPS }, { NULL, 0 } };

static const struct row route_rows[] = {
	{ "path", &type_path, 0, .example = "/",
	  .help = "a prefix, on a segment boundary: /v1 is /v1 and /v1/x, not /v1x" },
	{ "exact", &type_path, 0, .optional = true, .example = "/healthz", .help = "or the whole path" },
	{ "name", &type_plain, ROUTE(name), .optional = true, .example = "chat",
	  .help = "for logs; the path when absent" },
	{ "host", &type_list, ROUTE(hosts), "[]", 0, 64, .element = &host_element,
	  .size = sizeof(struct str), .help = "hosts it is for, *.x is every name below x; none: all" },
	{ "methods", &type_list, ROUTE(methods), "[]", 0, 32, .element = &method_element,
	  .size = sizeof(struct str), .help = "methods it is for; GET is HEAD too; none: all" },
	{ "scheme", &type_enum, ROUTE(scheme), "any", .words = scheme_words,
	  .help = "http: clients that came without TLS, to be redirected" },
	{ "upstream", &type_upstream_name, 0, .example = "qwen", .help = "who answers" },
	{ "cache", &type_cache_name, 0, .example = "answers",
	  .help = "where answers of the upstream are kept" },
	{ "respond", &type_respond, 0, NULL, ROUTE_RESPOND, .rows = respond_rows, .optional = true,
	  .help = "or an answer of our own" },
	{ "redirect", &type_action, 0, NULL, ROUTE_REDIRECT, .rows = redirect_rows, .optional = true,
	  .help = "or another address" },
	{ "auth", &type_auth, ROUTE(auth), .rows = auth_rows, .optional = true,
	  .help = "who asks has to say who he is, in one of these ways; others are refused with 401" },
	{ "allow", &type_list, ROUTE(allow), "[]", 0, 1024, .element = &network_element,
	  .size = sizeof(struct network),
	  .help = "clients it is for, by network; others are refused with 403; none: all" },
	{ "deny", &type_list, ROUTE(deny), "[]", 0, 1024, .element = &network_element,
	  .size = sizeof(struct network),
	  .help = "clients it is not for, whatever allow says" },
	{ "limit", &type_limit_names, ROUTE(limits), "[]", 0, 8, .element = &limit_element,
	  .size = sizeof(struct limit_conf *), .example = "per_client",
	  .help = "a limit, or a list: a request counts in all of them or in none" },
	{ "request_headers", &type_section, 0, "{}", .rows = request_header_rows,
	  .help = "fields of the request, as the server sees them" },
	{ "response_headers", &type_section, 0, "{}", .rows = response_header_rows,
	  .help = "fields of the answer" },
	{ "max_body", &type_body_limit, ROUTE(max_body), "64MB", 0, TB,
	  .help = "of a request; 0 is no limit" },
	{ .key = NULL },
};

/* Keys of a route that change nothing in what a server is asked. */
static bool
is_beside_the_request(const char *key)
{
	static const char *const beside[] = { "name", "host", "methods", "scheme", "cache", "limit", "respond",
		"redirect", "response_headers", "max_body", "allow", "deny" };
	size_t i;

	for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
		if (strcmp(key, beside[i]) == 0)
			return true;
	return false;
}

/* A key that comes later is part of it unless it is named above: when in doubt answers are not shared. */
static struct str
cache_identity(struct reading *r, const struct row *row, const struct route_conf *route)
{
	struct str identity;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	check(out != NULL);
	for (; row->key != NULL; row++)
		if (!is_beside_the_request(row->key))
			row->type->print(out, 0, row, route);
	fclose(out);
	identity = arena_dup(r->arena, str_make(text, len));
	free(text);
	return identity;
}

/* Files are named by what is behind a prefix, and only read. */
static void
check_files(struct reading *r, const struct node *n, struct route_conf *route)
{
	size_t i;

	if (route->is_exact)
		complain_key(r, node_find(n, "exact"), STR("exact"), "files need a path, which their names "
		    "follow");
	for (i = 0; i < route->n_methods; i++)
		if (!str_eq(route->methods[i], STR("GET")) && !str_eq(route->methods[i], STR("HEAD")))
			complain_key(r, node_find(n, "methods"), STR("methods"), "files are for GET and HEAD");
	if (route->n_methods > 0)
		return;
	route->methods = arena_alloc(r->arena, sizeof(*route->methods));
	route->methods[0] = STR("GET");
	route->n_methods = 1;
}

static bool
parse_route(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t errors = r->n_errors;
	unsigned actions;

	schema_fill(r, row->rows, n, base);
	if (n->kind != NODE_MAP)
		return false;
	if (has_key(row->rows, n, "path") == has_key(row->rows, n, "exact"))
		complain(r, n, "a route has either path or exact");
	actions = has_key(row->rows, n, "upstream") + has_key(row->rows, n, "respond") +
	    has_key(row->rows, n, "redirect");
	if (actions != 1)
		complain(r, n, "a route has one of upstream, respond and redirect");
	if (node_find(n, "cache") != NULL && node_find(n, "upstream") == NULL)
		complain_key(r, node_find(n, "cache"), STR("cache"), "only answers of an upstream are kept");
	if (route->respond.files.len > 0)
		check_files(r, n, route);
	if (route->name.len == 0)
		route->name = route->path;
	/* Of a file that is good so far: in another what it names may not be there. */
	if (r->n_errors == 0 && route->cache != NULL)
		route->cache_identity = cache_identity(r, row->rows, route);
	return r->n_errors == errors;
}

static const struct type type_route = { parse_route, print_map };
static const struct row route_element = { "", &type_route, 0, .rows = route_rows };

/* --- the log ----------------------------------------------------------------------------------- */

static bool
parse_format(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	static const struct word words[] = { { "json", LOG_JSON }, { "combined", LOG_COMBINED },
		{ NULL, 0 } };
	struct access_log_conf *log = AT(base, row);
	int kind = LOG_CUSTOM;
	const char *why;

	if (!want_scalar(r, n, "json, combined or a format with $fields"))
		return false;
	if (str_find(n->text, '$') < 0 && !find_word(r, words, n, &kind))
		return false;
	if (!want_line(r, n))
		return false;
	if (kind == LOG_CUSTOM && r->checks->check_format != NULL &&
	    !r->checks->check_format(r->scratch, n->text, &why))
		return complain(r, n, "\"%.*s\": %s", STR_ARG(n->text), why);
	log->kind = (enum log_format)kind;
	log->format = kind == LOG_CUSTOM ? arena_dup(r->arena, n->text) : STR_NONE;
	return true;
}

static void
print_format(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct access_log_conf *log = AT_CONST(base, row);

	print_key(out, indent, row);
	if (log->kind == LOG_CUSTOM)
		yaml_print(out, log->format);
	else
		fputs(log->kind == LOG_JSON ? "json" : "combined", out);
	fputc('\n', out);
}

static const struct type type_format = { parse_format, print_format };

#define LOG(member)	offsetof(struct access_log_conf, member)
static const struct row log_rows[] = {
	{ "path", &type_plain, LOG(path), "stdout", .help = "a file, stdout, stderr or off" },
	{ "format", &type_format, 0, "json", .help = "json, combined, or a text with $fields" },
	{ .key = NULL },
};

/* "access_log: off" is short for its path. */
static bool
parse_log(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct access_log_conf *log = AT(base, row);

	if (n->kind == NODE_SCALAR) {
		log->kind = LOG_JSON;
		log->path = arena_dup(r->arena, n->text);
		if (!want_plain(r, n))
			return false;
	} else if (!schema_fill(r, row->rows, n, log))
		return false;
	return log->path.len > 0 || complain(r, n, "a path is expected here, or off");
}

static const struct type type_log = { parse_log, print_section };

/* --- TLS ---------------------------------------------------------------------------------------- */

static const struct word version_words[] = { { "1.2", TLS_VERSION_1_2 }, { "1.3", TLS_VERSION_1_3 },
	{ NULL, 0 } };
static const struct word verify_client_words[] = { { "required", TLS_CLIENT_REQUIRED },
	{ "optional", TLS_CLIENT_OPTIONAL }, { NULL, 0 } };

/* Mozilla's intermediate profile, version 5.7, without its DHE ciphers: they cost a server ten times
 * what they cost who asks for them. */
#define CIPHERS										\
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"			\
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"			\
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERSUITES	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#define SERVER(member)	offsetof(struct tls_server_conf, member)
static const struct row tls_server_rows[] = {
	{ "certificates", &type_list, SERVER(certificates), NULL, 1, 1000, .required = true,
	  .element = &pair_element, .size = sizeof(struct tls_pair_conf),
	  .help = "give some, chosen by the name a client asks for: exact, then *.x, else the first" },
	{ "min_version", &type_enum, SERVER(min_version), "1.2", .words = version_words,
	  .help = "of TLS" },
	{ "ciphers", &type_plain, SERVER(ciphers), CIPHERS, .help = "of TLS 1.2, best first" },
	{ "ciphersuites", &type_plain, SERVER(ciphersuites), CIPHERSUITES,
	  .help = "of TLS 1.3, best first" },
	{ "groups", &type_plain, SERVER(groups), "X25519:P-256:P-384", .help = "for the key exchange" },
	{ "client_ca", &type_plain, SERVER(client_ca), .optional = true,
	  .example = "/etc/weir/clients.pem",
	  .help = "a PEM file: clients show a certificate that one of these issued" },
	{ "verify_client", &type_enum, SERVER(verify_client), "required",
	  .words = verify_client_words,
	  .help = "optional: a client may come without certificate, but not with a bad one" },
	{ "subject_field", &type_field_name, SERVER(subject_field), "X-Client-Subject",
	  .help = "the request field that gets the subject of a client's certificate; it is never "
	  "taken from a client" },
	{ .key = NULL },
};

static bool
parse_tls_server(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct tls_server_conf *tls = arena_zalloc(r->arena, sizeof(*tls));
	struct tls_place place = { r, n };
	size_t errors = r->n_errors;
	const struct node *at;

	if (!schema_fill(r, row->rows, n, tls))
		return false;
	*(struct tls_server_conf **)AT(base, row) = tls;
	at = node_find(n, "verify_client");
	if (at != NULL && tls->client_ca.len == 0)
		complain_key(r, at, STR("verify_client"), "has no effect without client_ca");
	if (r->checks->check_tls_server != NULL)
		r->checks->check_tls_server(tls, on_tls_finding, &place);
	return r->n_errors == errors;
}

static void
print_tls_server(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct tls_server_conf *tls = *(struct tls_server_conf *const *)AT_CONST(base, row);

	if (tls == NULL)
		return;
	print_head(out, indent, row);
	for (row = row->rows; row->key != NULL; row++)
		if (strcmp(row->key, "verify_client") != 0 || tls->client_ca.len > 0)
			row->type->print(out, indent + 2, row, tls);
}

static const struct type type_tls_server = { parse_tls_server, print_tls_server };

/* --- the whole --------------------------------------------------------------------------------- */

/* A bare address is a listener with nothing else said. */
static bool
parse_listen_entry(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (n->kind == NODE_LIST)
		return complain(r, n, "an address is expected here, or a mapping with one");
	if (n->kind == NODE_MAP)
		return schema_fill(r, row->rows, n, base);
	((struct listen_conf *)base)->name = STR("");
	return parse_listen(r, &row->rows[0], n, base);
}

static void
collect_subject_fields(struct reading *r, struct config *conf)
{
	size_t i, j;

	conf->subject_fields = arena_alloc(r->arena, (conf->n_listen + 1) * sizeof(struct str));
	for (i = 0; i < conf->n_listen; i++) {
		const struct tls_server_conf *tls = conf->listen[i].tls;

		if (tls == NULL || tls->client_ca.len == 0)
			continue;
		for (j = 0; j < conf->n_subject_fields; j++)
			if (str_eq_nocase(conf->subject_fields[j], tls->subject_field))
				break;
		conf->subject_fields[j] = tls->subject_field;
		conf->n_subject_fields += j == conf->n_subject_fields;
	}
}

static bool
parse_listens(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct config *conf = base;
	bool ok = parse_list(r, row, n, base);
	size_t i, j, was;

	for (i = 0; i < conf->n_listen; i++)
		for (j = 0; j < i; j++) {
			struct str text = conf->listen[i].address.text;

			if (text.len == 0 || !str_eq(text, conf->listen[j].address.text))
				continue;
			was = push_path(r, "[%zu]", i);
			ok = complain(r, n->items[i], "%.*s is there twice", STR_ARG(text));
			pop_path(r, was);
			break;
		}
	collect_subject_fields(r, conf);
	return ok;
}

static const struct type type_listens = { parse_listens, print_list };
static const struct type type_listen_entry = { parse_listen_entry, print_map };

/* A name that this machine knows: min says of what. */
enum { ACCOUNT_USER, ACCOUNT_GROUP };

static bool
parse_account(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	char name[64];

	if (!parse_plain(r, row, n, base))
		return false;
	if (n->text.len == 0)
		return true;
	if (n->text.len >= sizeof(name))
		return complain(r, n, "too long, a name has at most %zu bytes", sizeof(name) - 1);
	snprintf(name, sizeof(name), "%.*s", STR_ARG(n->text));
	if (row->min == ACCOUNT_USER ? getpwnam(name) != NULL : getgrnam(name) != NULL)
		return true;
	return complain(r, n, "this machine has no %s %s, make one with %s --system %s",
	    row->min == ACCOUNT_USER ? "user" : "group", name,
	    row->min == ACCOUNT_USER ? "adduser" : "addgroup", name);
}

static const struct type type_account = { parse_account, print_text_row };

static const struct row listen_rows[] = {
	{ "address", &type_listen, offsetof(struct listen_conf, address), .required = true,
	  .example = "80", .help = "give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path" },
	{ "name", &type_plain, offsetof(struct listen_conf, name), "\"\"",
	  .help = "takes the socket that systemd calls so (FileDescriptorName=), whatever its address" },
	{ "proxy_protocol", &type_bool, offsetof(struct listen_conf, proxy_protocol), "false",
	  .help = "who connects, one of trusted_proxies, first says whose connection it is (PROXY protocol "
	  "v1 or v2)" },
	{ "tls", &type_tls_server, offsetof(struct listen_conf, tls), .rows = tls_server_rows,
	  .optional = true, .help = "clients speak TLS here; plain without" },
	{ .key = NULL },
};
static const struct row listen_element = { "", &type_listen_entry, 0, .rows = listen_rows,
	.help = "" };

#define CLIENT(member)	offsetof(struct client_conf, member)
static const struct row client_rows[] = {
	{ "header_timeout", &type_msec, CLIENT(header_timeout), "10s", 1, DAY,
	  .help = "for the whole head of a request" },
	{ "body_timeout", &type_msec, CLIENT(body_timeout), "60s", 1, DAY,
	  .help = "between two pieces of a request's body" },
	{ "keepalive_timeout", &type_msec, CLIENT(keepalive_timeout), "75s", 1, DAY,
	  .help = "between two requests" },
	{ "send_timeout", &type_msec, CLIENT(send_timeout), "300s", 1, DAY,
	  .help = "a client that takes no byte of the answer" },
	{ "max_head", &type_size, CLIENT(max_head), "32KB", 1024, 60 * 1024,
	  .help = "of a request: its first line and fields" },
	{ "max_connections", &type_number, CLIENT(max_connections), "10000", 1, 1000000,
	  .help = "clients at a time; more wait unaccepted" },
	{ "underscores_in_headers", &type_bool, CLIENT(keep_underscore), "false",
	  .help = "lets fields pass that have _ in their name" },
	{ .key = NULL },
};

#define CONF(member)	offsetof(struct config, member)
static const struct row root_rows[] = {
	{ "listen", &type_listens, CONF(listen), NULL, 1, 64, .required = true, .example = "[80]",
	  .element = &listen_element, .size = sizeof(struct listen_conf),
	  .help = "give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path, a mapping with one, or a list "
	  "of them" },
	{ "trusted_proxies", &type_list, CONF(trusted_proxies), "[]", 0, 1024,
	  .element = &network_element, .size = sizeof(struct network),
	  .help = "networks whose X-Forwarded-* fields are believed" },
	{ "upstreams", &type_upstreams, CONF(upstreams), "{}", 0, 64, .rows = upstream_rows,
	  .help = "pools of servers by name", .named = "qwen", .size = sizeof(struct upstream_conf) },
	{ "limits", &type_limits, CONF(limits), "{}", 0, 64, .rows = limit_rows,
	  .size = sizeof(struct limit_conf), .named = "per_client",
	  .help = "how much may be asked; routes name them" },
	{ "caches", &type_caches, CONF(caches), "{}", 0, 16, .rows = cache_rows, .named = "answers",
	  .size = sizeof(struct cache_conf), .help = "answers that are kept, by name" },
	{ "routes", &type_list, CONF(routes), NULL, 1, 1024, .element = &route_element,
	  .size = sizeof(struct route_conf), .help = "what is answered how: the first that matches" },
	{ "client", &type_section, CONF(client), "{}", .rows = client_rows, .help = "limits of clients" },
	{ "access_log", &type_log, CONF(access_log), "{}", .rows = log_rows,
	  .help = "one line for each request" },
	{ "user", &type_account, CONF(user), "\"\"", ACCOUNT_USER,
	  .help = "whom to become once sockets, certificates and logs are open; needs root to start" },
	{ "group", &type_account, CONF(group), "\"\"", ACCOUNT_GROUP,
	  .help = "the group instead of that user's own" },
	{ "drain_timeout", &type_msec, CONF(drain_timeout), "30s", 0, DAY,
	  .help = "how long requests in flight may go on when weir stops" },
	{ .key = NULL },
};

const struct row *
schema_root(void)
{
	return root_rows;
}

/* Without routes everything goes to the one upstream. */
static bool
make_route(struct reading *r, const struct node *root)
{
	struct config *conf = r->config;
	const struct node *upstreams = node_find(root, "upstreams");
	struct node *route;

	/* A section that could not be read at all says nothing of the other. */
	if (upstreams != NULL && (upstreams->kind != NODE_MAP || conf->n_upstreams != upstreams->n / 2))
		return false;
	if (conf->n_upstreams != 1)
		return complain_key(r, root, STR("routes"), "missing, say what is answered how: "
		    "- {path: /, upstream: NAME}");
	if (r->n_errors > 0)
		return false;
	route = yaml_read(r, arena_printf(r->scratch, "[{path: /, upstream: \"%.*s\"}]",
	    STR_ARG(conf->upstreams[0].name)));
	return route != NULL && parse_list(r, find_row(root_rows, STR("routes")), route, conf);
}

static bool
same_check(const struct check_conf *a, const struct check_conf *b)
{
	return a->is_tcp == b->is_tcp && a->sends_proxy_header == b->sends_proxy_header &&
	    str_eq(a->path, b->path) && str_eq(a->host, b->host) &&
	    str_eq(a->body, b->body) && memcmp(&a->expect, &b->expect, sizeof(a->expect)) == 0 &&
	    a->interval == b->interval && a->down_interval == b->down_interval &&
	    a->timeout == b->timeout && a->rise == b->rise && a->fall == b->fall;
}

static bool
same_tls(const struct tls_client_conf *a, const struct tls_client_conf *b)
{
	return a->verify == b->verify && str_eq(a->ca, b->ca) && str_eq(a->server_name, b->server_name) &&
	    str_eq(a->certificate.cert, b->certificate.cert) &&
	    str_eq(a->certificate.key, b->certificate.key);
}

static bool
has_server(const struct upstream_conf *up, const struct upstream_conf *of, const struct server_conf *s)
{
	size_t i;

	for (i = 0; i < up->n_servers; i++)
		if (str_eq(up->servers[i].address.text, s->address.text) && !up->servers[i].down)
			return !s->is_tls || same_tls(&up->tls, &of->tls);
	return false;
}

/* The first upstream with another check of a server of this one's, and which; or NULL. */
static const struct upstream_conf *
find_other_check(const struct config *conf, const struct upstream_conf *up, struct str *address)
{
	const struct upstream_conf *other;
	size_t i;

	for (other = conf->upstreams; other < up; other++)
		for (i = 0; other->check.is_on && i < up->n_servers; i++) {
			*address = up->servers[i].address.text;
			if (has_server(other, up, &up->servers[i]) && !same_check(&other->check, &up->check))
				return other;
		}
	return NULL;
}

/* A server is well or it is not, whoever asks: there is one check of it, the first. */
static void
warn_of_other_checks(struct reading *r, const struct node *upstreams)
{
	const struct config *conf = r->config;
	size_t i, was;

	if (upstreams == NULL || upstreams->kind != NODE_MAP || conf->n_upstreams != upstreams->n / 2)
		return;
	for (i = 0; i < conf->n_upstreams; i++) {
		const struct upstream_conf *up = &conf->upstreams[i], *other;
		const struct node *n = upstreams->items[2 * i + 1];
		struct str address;

		if (!up->check.is_on)
			continue;
		other = find_other_check(conf, up, &address);
		if (other == NULL)
			continue;
		was = push_path(r, "upstreams.%.*s.health_check", STR_ARG(up->name));
		warn(r, node_find(n, "health_check"), "%.*s is checked as %.*s says, which comes first",
		    STR_ARG(address), STR_ARG(other->name));
		pop_path(r, was);
	}
}

/* Who is not believed cannot say whose connection it is. */
static void
check_proxy_senders(struct reading *r, const struct node *root)
{
	const struct config *conf = r->config;
	const struct node *listen = node_find(root, "listen"), *entry;
	const struct node *trusted = node_find(root, "trusted_proxies");
	size_t i, was;

	/* Some are named, if not well, or what was meant to be the key is another word. */
	if (trusted != NULL ? trusted->kind != NODE_LIST || trusted->n > 0
	    : has_key(root_rows, root, "trusted_proxies"))
		return;

	for (i = 0; i < conf->n_listen; i++) {
		if (!conf->listen[i].proxy_protocol || conf->listen[i].address.is_unix)
			continue;
		entry = listen->kind == NODE_LIST ? listen->items[i] : listen;
		was = push_path(r, "listen");
		push_index(r, listen, i);
		complain_key(r, node_find(entry, "proxy_protocol"), STR("proxy_protocol"),
		    "nobody is believed, name those who send it in trusted_proxies");
		pop_path(r, was);
	}
}

bool
schema_finish(struct reading *r, const struct node *root)
{
	bool has_routes = node_find(root, "routes") != NULL;
	unsigned kind;
	size_t i;

	check_proxy_senders(r, root);
	for (i = 0; i < r->config->n_upstreams; i++) {
		struct upstream_conf *up = &r->config->upstreams[i];

		up->check.sends_proxy_header = up->sends_proxy_header;
		r->config->sends_proxy_headers |= up->sends_proxy_header;
	}
	warn_of_other_checks(r, node_find(root, "upstreams"));
	for (kind = 0; kind < N_NAMES; kind++)
		if (!r->has_misspelt && (has_routes ? r->config->n_routes > 0 : kind != NAMES_UPSTREAM))
			check_unused(r, kind);
	return has_routes || make_route(r, root);
}

/* --- what is said of rows ----------------------------------------------------------------------- */

enum scale { SCALE_NONE, SCALE_NUMBER, SCALE_MSEC, SCALE_SIZE };

static const struct {
	const struct type *type;
	const char        *name;
	enum scale         scale;	/* of its bounds */
} kinds[] = {
	{ &type_msec, "duration", SCALE_MSEC }, { &type_size, "size", SCALE_SIZE },
	{ &type_body_limit, "size", SCALE_SIZE }, { &type_number, "number", SCALE_NUMBER },
	{ &type_bool, "true or false", SCALE_NONE },
};

static void
format_scaled(char *buf, size_t size, enum scale scale, int64_t value)
{
	if (scale == SCALE_MSEC)
		format_msec(buf, size, value);
	else if (scale == SCALE_SIZE)
		format_size(buf, size, (uint64_t)value);
	else
		snprintf(buf, size, "%lld", (long long)value);
}

static struct str
describe_words(struct arena *arena, const struct word *words)
{
	struct str out = STR("");
	const struct word *w;

	for (w = words; w->name != NULL; w++)
		out = arena_printf(arena, "%.*s%s%s", STR_ARG(out),
		    w == words ? "" : w[1].name != NULL ? ", " : " or ", w->name);
	return out;
}

struct str
schema_describe(struct arena *arena, const struct row *row)
{
	char min[32], max[32];
	size_t i;

	if (row->words != NULL)
		return describe_words(arena, row->words);
	if (row->element != NULL)
		return row->min == row->max ? arena_printf(arena, "list of %lld", (long long)row->max)
		    : arena_printf(arena, "list, %lld to %lld entries", (long long)row->min,
		    (long long)row->max);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].type != row->type)
			continue;
		if (kinds[i].scale == SCALE_NONE)
			return str_of(kinds[i].name);
		format_scaled(min, sizeof(min), kinds[i].scale, row->min);
		format_scaled(max, sizeof(max), kinds[i].scale, row->max);
		return arena_printf(arena, "%s, %s to %s", kinds[i].name, min, max);
	}
	return STR("");
}
