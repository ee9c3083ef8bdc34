/* SPDX-License-Identifier: MIT */
/*
 * Mappings of things with names, which routes name: each name once, each thing used.
 */
#include "config/named.h"

#include "base/arena.h"
#include "base/suggest.h"
#include "config/type.h"

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
named_take(struct reading *r, const struct row *row, const struct node *n, enum names_kind kind)
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
		names->used[i] = schema_check_twice(r, n, 2 * i, str_eq);
		was = path_push_key(r, names->keys[i]->text);
		if (!type_is_token(names->keys[i]->text))
			complain(r, names->keys[i], "a name is a word without spaces");
		else if (names->keys[i]->text.len > NAME_MAX_BYTES)
			complain(r, names->keys[i], "a name has at most %d bytes", NAME_MAX_BYTES);
		path_pop(r, was);
	}
	return true;
}

/* The thing that n names, which is used from now on. */
bool
named_find(struct reading *r, const struct node *n, enum names_kind kind, size_t *index)
{
	struct names *names = &r->names[kind];
	struct str *known;
	size_t i;

	if (!type_want_scalar(r, n, arena_printf(r->scratch, "the name of %s", name_kinds[kind].one).p))
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

void
named_check_unused(struct reading *r, enum names_kind kind)
{
	const struct names *names = &r->names[kind];
	size_t was = path_push(r, "%s", name_kinds[kind].section), i;

	for (i = 0; i < names->n; i++)
		if (!names->used[i])
			complain_key(r, names->keys[i], names->keys[i]->text,
			    "no route uses it, remove it or name it in a route");
	path_pop(r, was);
}

/* What has a name in the file begins with it in memory. */
static struct str *
name_of(void *items, const struct row *row, size_t i)
{
	return (struct str *)(void *)((char *)items + i * row->size);
}

/* A mapping of names to sections. */
bool
named_parse(struct reading *r, const struct row *row, const struct node *n, struct array *at,
    enum names_kind kind, bool (*parse)(struct reading *, const struct row *, const struct node *,
    void *))
{
	size_t i, was;

	if (!named_take(r, row, n, kind))
		return false;
	at->n = n->n / 2;
	at->items = arena_zalloc(r->arena, (at->n + 1) * row->size);
	for (i = 0; i < at->n; i++) {
		struct str *name = name_of(at->items, row, i);

		*name = arena_dup(r->arena, n->items[2 * i]->text);
		was = path_push_key(r, *name);
		parse(r, row, n->items[2 * i + 1], name);
		path_pop(r, was);
	}
	return true;
}

void
named_print(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	size_t i;

	if (at->n == 0) {
		schema_print_key(out, indent, row);
		fputs("{}\n", out);
		return;
	}
	schema_print_head(out, indent, row);
	for (i = 0; i < at->n; i++) {
		fprintf(out, "%*s", indent + 2, "");
		yaml_print(out, *name_of(at->items, row, i));
		fputs(":\n", out);
		schema_print(out, indent + 4, row->rows, name_of(at->items, row, i));
	}
}
