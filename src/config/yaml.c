/* SPDX-License-Identifier: MIT */
/*
 * libyaml events to nodes with places.  Bounded in depth, number of nodes and size, since an alias
 * can stand for many; environment variables are filled in here, so that no row has to know of them.
 */
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/table.h"

enum { DEPTH_MAX = 32, NODES_MAX = 100000 };

struct builder {
	struct reading *reading;
	yaml_parser_t   parser;
	struct table    anchors;
	size_t          n_nodes;
	bool            failed;
};

static void
fail(struct builder *b, yaml_mark_t mark, const char *why)
{
	if (!b->failed)
		complain_at(b->reading, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s", why);
	b->failed = true;
}

static bool
next_event(struct builder *b, yaml_event_t *event)
{
	char why[256];

	if (b->failed)
		return false;
	if (yaml_parser_parse(&b->parser, event))
		return true;
	snprintf(why, sizeof(why), "this is not YAML: %s%s%s",
	    b->parser.problem != NULL ? b->parser.problem : "unreadable",
	    b->parser.context != NULL ? " " : "", b->parser.context != NULL ? b->parser.context : "");
	fail(b, b->parser.problem_mark, why);
	return false;
}

static struct node *
new_node(struct builder *b, enum node_kind kind, yaml_mark_t mark)
{
	struct node *n = arena_zalloc(b->reading->scratch, sizeof(*n));

	n->kind = kind;
	n->line = (unsigned)mark.line + 1;
	n->column = (unsigned)mark.column + 1;
	if (++b->n_nodes > NODES_MAX)
		fail(b, mark, "too many values: 100000 are the most");
	return n;
}

static void
add_item(struct builder *b, struct node *n, struct node *item)
{
	struct node **items;

	if (n->n == n->cap) {
		n->cap = n->cap * 2 + 8;
		items = arena_alloc(b->reading->scratch, n->cap * sizeof(*items));
		if (n->n > 0)
			memcpy(items, n->items, n->n * sizeof(*items));
		n->items = items;
	}
	n->items[n->n++] = item;
}

/* --- environment ------------------------------------------------------------------------------- */

static size_t
name_length(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!(c == '_' || (c >= 'A' && c <= 'Z') || (i > 0 && c >= '0' && c <= '9')))
			break;
	}
	return i;
}

/* "${NAME}" or "${NAME:-default}" at the head of s: its length, and what stands for it; 0: none. */
static size_t
variable(struct builder *b, struct str s, struct node *n, struct str *value)
{
	struct str name, rest;
	ptrdiff_t end = str_find(s, '}');
	const char *found;

	if (end < 0 || !str_starts(s, STR("${")))
		return 0;
	rest = str_make(s.p + 2, (size_t)end - 2);
	name = str_first(rest, name_length(rest));
	rest = str_from(rest, name.len);
	if (name.len == 0 || (rest.len > 0 && !str_starts(rest, STR(":-"))))
		return 0;
	found = getenv(arena_dup(b->reading->scratch, name).p);
	if (found != NULL)
		*value = str_of(found);
	else if (rest.len > 0)
		*value = str_from(rest, 2);
	else {
		complain_at(b->reading, n->line, n->column, "the environment variable %.*s is not set: "
		    "set it, or write ${%.*s:-default}", STR_ARG(name), STR_ARG(name));
		n->is_bad = true;
		*value = STR_NONE;
	}
	return (size_t)end + 1;
}

static struct str
fill_in(struct builder *b, struct str s, struct node *n)
{
	struct str out = STR(""), value;
	ptrdiff_t at;
	size_t len, from = 0;

	if (memmem(s.p, s.len, "${", 2) == NULL)
		return arena_dup(b->reading->scratch, s);
	while ((at = str_find(str_from(s, from), '$')) >= 0) {
		struct str rest = str_from(s, from + (size_t)at);

		len = variable(b, rest, n, &value);
		if (len == 0) {
			len = 1;
			value = STR("$");
		}
		out = arena_printf(b->reading->scratch, "%.*s%.*s%.*s", STR_ARG(out), (int)at, s.p + from,
		    STR_ARG(value));
		from += (size_t)at + len;
	}
	s = str_from(s, from);
	return arena_printf(b->reading->scratch, "%.*s%.*s", STR_ARG(out), STR_ARG(s));
}

/* --- nodes ----------------------------------------------------------------------------------------- */

static struct node *build(struct builder *, yaml_event_t *, unsigned depth);

struct node *
node_find(const struct node *map, const char *key)
{
	size_t i;

	for (i = 0; i + 1 < map->n; i += 2)
		if (str_eq(map->items[i]->text, str_of(key)))
			return map->items[i + 1];
	return NULL;
}

/* "<<: *anchor": what the map does not say itself. */
static void
merge(struct builder *b, struct node *map, const struct node *from, yaml_mark_t mark)
{
	size_t i;

	if (from->kind == NODE_LIST) {
		for (i = 0; i < from->n; i++)
			merge(b, map, from->items[i], mark);
		return;
	}
	if (from->kind != NODE_MAP) {
		fail(b, mark, "<< takes a mapping, or a list of them");
		return;
	}
	for (i = 0; i + 1 < from->n; i += 2)
		if (node_find(map, from->items[i]->text.p) == NULL) {
			add_item(b, map, from->items[i]);
			add_item(b, map, from->items[i + 1]);
			b->n_nodes += 2;
		}
}

static void
build_children(struct builder *b, struct node *n, yaml_event_type_t end, unsigned depth)
{
	struct node *item, *merges = NULL;
	yaml_event_t event;
	yaml_mark_t mark = { 0, 0, 0 };
	bool done, is_merge;

	for (;;) {
		if (!next_event(b, &event))
			return;
		done = event.type == end;
		is_merge = n->kind == NODE_MAP && n->n % 2 == 0 && event.type == YAML_SCALAR_EVENT &&
		    strcmp((const char *)event.data.scalar.value, "<<") == 0;
		item = done ? NULL : build(b, &event, depth + 1);
		mark = event.start_mark;
		yaml_event_delete(&event);
		if (done || item == NULL)
			break;
		if (n->kind == NODE_MAP && n->n % 2 == 0 && item->kind != NODE_SCALAR) {
			fail(b, mark, "a key is a word");
			return;
		}
		if (is_merge) {
			if (!next_event(b, &event))
				return;
			item = build(b, &event, depth + 1);
			yaml_event_delete(&event);
			if (item == NULL)
				return;
			if (merges == NULL)
				merges = new_node(b, NODE_LIST, mark);
			add_item(b, merges, item);
			continue;
		}
		add_item(b, n, item);
	}
	if (merges != NULL && !b->failed)
		merge(b, n, merges, mark);
}

static struct node *
find_alias(struct builder *b, const yaml_event_t *event)
{
	struct node *n = table_get(&b->anchors, str_of((const char *)event->data.alias.anchor));

	if (n == NULL)
		fail(b, event->start_mark, "this alias has no anchor before it");
	return n;
}

static struct node *
build(struct builder *b, yaml_event_t *event, unsigned depth)
{
	const unsigned char *anchor = NULL;
	struct node *n = NULL;

	if (depth > DEPTH_MAX) {
		fail(b, event->start_mark, "nested too deeply: 32 levels are the most");
		return NULL;
	}
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return find_alias(b, event);
	case YAML_SCALAR_EVENT:
		n = new_node(b, NODE_SCALAR, event->start_mark);
		n->text = fill_in(b, str_make((const char *)event->data.scalar.value,
		    event->data.scalar.length), n);
		anchor = event->data.scalar.anchor;
		break;
	case YAML_SEQUENCE_START_EVENT:
		n = new_node(b, NODE_LIST, event->start_mark);
		anchor = event->data.sequence_start.anchor;
		build_children(b, n, YAML_SEQUENCE_END_EVENT, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		n = new_node(b, NODE_MAP, event->start_mark);
		anchor = event->data.mapping_start.anchor;
		build_children(b, n, YAML_MAPPING_END_EVENT, depth);
		break;
	default:
		fail(b, event->start_mark, "a value is expected here");
		return NULL;
	}
	/* Known once it is complete: an anchor cannot hold itself. */
	if (anchor != NULL && !b->failed)
		table_set(&b->anchors, arena_dup(b->reading->scratch, str_of((const char *)anchor)), n);
	return b->failed ? NULL : n;
}

static struct node *
build_document(struct builder *b)
{
	struct node *root = NULL;
	yaml_event_t event;
	bool done = false;

	while (!done && next_event(b, &event)) {
		switch (event.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (root != NULL)
				fail(b, event.start_mark, "a second document: a file has one");
			break;
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		default:
			root = build(b, &event, 0);
			break;
		}
		yaml_event_delete(&event);
	}
	return root;
}

struct node *
yaml_read(struct reading *r, struct str text)
{
	struct builder b;
	struct node *root;
	yaml_mark_t start = { 0, 0, 0 };

	memset(&b, 0, sizeof(b));
	b.reading = r;
	check(yaml_parser_initialize(&b.parser) != 0);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text.p, text.len);
	root = build_document(&b);
	if (root == NULL && !b.failed)
		root = new_node(&b, NODE_MAP, start);
	yaml_parser_delete(&b.parser);
	table_fini(&b.anchors);
	return b.failed ? NULL : root;
}
