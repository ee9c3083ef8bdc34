/* SPDX-License-Identifier: MIT */
/*
 * The walk of a mapping by the rows that say what its keys mean, both ways: read and printed; and what
 * is said of a row.  Knows no key and no kind of value.
 */
#include "config/schema.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/suggest.h"
#include "config/section.h"

size_t
path_push(struct reading *r, const char *fmt, ...)
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

size_t
path_push_key(struct reading *r, struct str key)
{
	return path_push(r, "%s%.*s", r->path_len > 0 ? "." : "", STR_ARG(path_key(key)));
}

size_t
path_push_index(struct reading *r, const struct node *list, size_t i)
{
	return list->kind == NODE_LIST ? path_push(r, "[%zu]", i) : r->path_len;
}

void
path_pop(struct reading *r, size_t was)
{
	r->path_len = was;
	r->path[was] = '\0';
}

const struct row *
schema_find_row(const struct row *rows, struct str key)
{
	for (; rows->key != NULL; rows++)
		if (str_eq(str_of(rows->key), key))
			return rows;
	return NULL;
}

/* Field names are equal whatever their case, keys are not. */
bool
schema_check_twice(struct reading *r, const struct node *map, size_t i,
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

bool
schema_has_key(const struct row *rows, const struct node *map, const char *key)
{
	size_t i;

	for (i = 0; i + 1 < map->n; i += 2)
		if (schema_find_row(rows, map->items[i]->text) == NULL &&
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
		if (schema_find_row(inner, key) != NULL)
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
	home = nearest.len > 0 ? STR_NONE : find_home(r->scratch, section_root(), key->text);
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
		if (schema_find_row(rows, map->items[i]->text) != NULL)
			schema_check_twice(r, map, i, str_eq);
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
			path_push(r, "[%zu]", i);
		else if (i % 2 == 1)
			path_push_key(r, n->items[i - 1]->text);
		schema_tell_problems(r, n->items[i]);
		path_pop(r, was);
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

bool
schema_parse_value(struct reading *r, const struct row *row, const struct node *n, void *base)
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

		was = path_push_key(r, str_of(row->key));
		if (n != NULL)
			schema_parse_value(r, row, n, base);
		else if (row->required && !schema_has_key(rows, map, row->key)) {
			path_pop(r, was);
			complain_key(r, map, str_of(row->key), "missing, %s", row->help);
		} else if (row->def != NULL)
			fill_default(r, row, base);
		path_pop(r, was);
	}
	return r->n_errors == errors;
}

void
schema_print(FILE *out, int indent, const struct row *rows, const void *base)
{
	for (; rows->key != NULL; rows++)
		rows->type->print(out, indent, rows, base);
}

void
schema_print_head(FILE *out, int indent, const struct row *row)
{
	fprintf(out, "%*s%s:\n", indent, "", row->key);
}

void
schema_print_key(FILE *out, int indent, const struct row *row)
{
	if (row->key != NULL && row->key[0] != '\0')
		fprintf(out, "%*s%s: ", indent, "", row->key);
}

/* --- what is said of rows ----------------------------------------------------------------------- */

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
	const struct type *type = row->type;
	char min[32], max[32];

	if (row->words != NULL)
		return describe_words(arena, row->words);
	if (row->element != NULL)
		return row->min == row->max ? arena_printf(arena, "list of %lld", (long long)row->max)
		    : arena_printf(arena, "list, %lld to %lld entries", (long long)row->min,
		    (long long)row->max);
	if (type->kind == NULL)
		return STR("");
	if (type->format == NULL)
		return str_of(type->kind);
	type->format(min, sizeof(min), row->min);
	type->format(max, sizeof(max), row->max);
	return arena_printf(arena, "%s, %s to %s", type->kind, min, max);
}
