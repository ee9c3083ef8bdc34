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

/* Keys are compared with each other, so there are not many in one mapping. */
enum { DEPTH_MAX = 32, NODES_MAX = 100000, KEYS_MAX = 1000 };
#define TOO_DEEP	"nested too deeply: 32 levels are the most"

struct builder {
	struct reading *reading;
	struct str      text;
	yaml_parser_t   parser;
	struct table    anchors;
	struct node     unfinished;	/* stands there for an anchored node that is being read */
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

/* A byte that is no YAML is known by its offset only. */
static yaml_mark_t
mark_of(struct str text, size_t offset)
{
	yaml_mark_t mark = { offset, 0, 0 };
	size_t i;

	for (i = 0; i < offset && i < text.len; i++)
		if (text.p[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80)
			mark.column++;
	return mark;
}

/* The line a mark is in, from its column on. */
static struct str
text_at(struct str text, yaml_mark_t mark)
{
	size_t line = mark.line, column = mark.column;
	ptrdiff_t end;

	for (; line > 0 && (end = str_find(text, '\n')) >= 0; line--)
		text = str_from(text, (size_t)end + 1);
	if ((end = str_find(text, '\n')) >= 0)
		text = str_first(text, (size_t)end);
	for (; column > 0 && text.len > 0; column--)
		do
			text = str_from(text, 1);
		while (text.len > 0 && ((unsigned char)text.p[0] & 0xc0) == 0x80);
	return text;
}

/* What people stumble over, in words of their own; NULL: the library's do. */
static const char *
explain(struct builder *b)
{
	yaml_mark_t mark = b->parser.problem_mark, line = mark;
	struct str at = text_at(b->text, mark), before;

	line.column = 0;
	before = text_at(b->text, line);
	before.len -= at.len;
	if (b->parser.error == YAML_SCANNER_ERROR && at.len > 0 && at.p[0] == '\t')
		return "a tab cannot stand here, use spaces";
	if (b->parser.error == YAML_SCANNER_ERROR && at.len > 0 && strchr("@`%", at.p[0]) != NULL)
		return "a text that begins with @, ` or % needs quotes";
	if (b->parser.error == YAML_PARSER_ERROR && memmem(before.p, before.len, "${", 2) != NULL)
		return "a text with ${ needs quotes inside [ ] and { }";
	return NULL;
}

static void
fail_to_parse(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *own = explain(b);
	char why[256];
	int n;

	n = snprintf(why, sizeof(why), "this is not YAML: %s", own != NULL ? own
	    : p->problem != NULL ? p->problem : "unreadable");
	if (own == NULL && p->context != NULL)
		n += snprintf(why + n, sizeof(why) - (size_t)n, " %s", p->context);
	if (own == NULL && p->context != NULL && p->context_mark.line < p->problem_mark.line)
		snprintf(why + n, sizeof(why) - (size_t)n, " that begins in line %zu",
		    p->context_mark.line + 1);
	fail(b, p->error == YAML_READER_ERROR ? mark_of(b->text, p->problem_offset)
	    : p->problem_mark, why);
}

static bool
next_event(struct builder *b, yaml_event_t *event)
{
	if (b->failed)
		return false;
	if (yaml_parser_parse(&b->parser, event))
		return true;
	fail_to_parse(b);
	return false;
}

static void
count(struct builder *b, size_t more, yaml_mark_t mark)
{
	b->n_nodes += more;
	if (b->n_nodes > NODES_MAX)
		fail(b, mark, "too many values: 100000 are the most, an alias counts as what it stands for");
}

static struct node *
new_node(struct builder *b, enum node_kind kind, yaml_mark_t mark)
{
	struct node *n = arena_zalloc(b->reading->scratch, sizeof(*n));

	n->kind = kind;
	n->weight = 1;
	n->line = (unsigned)mark.line + 1;
	n->column = (unsigned)mark.column + 1;
	count(b, 1, mark);
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
	if (n->kind == NODE_MAP && n->n == 2 * KEYS_MAX && !b->failed) {
		complain_at(b->reading, item->line, item->column, "too many keys: 1000 are the most in a "
		    "mapping");
		b->failed = true;
	}
	n->items[n->n++] = item;
	n->weight += item->weight;
	if (n->height <= item->height)
		n->height = item->height + 1;
}

/* --- texts ------------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at the head of s and what it stands for; 0 when there is none. */
static size_t
utf8_next(struct str s, unsigned long *code)
{
	static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = (unsigned char)s.p[0];
	size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2, i;

	*code = len == 1 ? c : c & (0xffu >> (len + 1));
	if ((c >= 0x80 && c < 0xc0) || c > 0xf4 || len > s.len)
		return 0;
	for (i = 1; i < len; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	if (*code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return len;
}

static bool
is_utf8(struct str s)
{
	unsigned long code;
	size_t len;

	for (; s.len > 0; s = str_from(s, len))
		if ((len = utf8_next(s, &code)) == 0)
			return false;
	return true;
}

/* "${NAME}" or "${NAME:-default}" at the head of s: its length and parts; 0: neither. */
static size_t
find_variable(struct str s, struct str *name, struct str *rest)
{
	ptrdiff_t end;
	size_t i;

	if (!str_starts(s, STR("${")))
		return 0;
	*rest = str_from(s, 2);
	for (i = 0; i < rest->len; i++) {
		char c = rest->p[i];

		if (!(c == '_' || (c >= 'A' && c <= 'Z') || (i > 0 && c >= '0' && c <= '9')))
			break;
	}
	*name = str_first(*rest, i);
	*rest = str_from(*rest, i);
	if (i == 0 || (!str_starts(*rest, STR("}")) && !str_starts(*rest, STR(":-"))) ||
	    (end = str_find(*rest, '}')) < 0)
		return 0;
	*rest = str_first(*rest, (size_t)end);
	return (size_t)(rest->p + end - s.p) + 1;
}

/* A text up to its last brace: behind that is no variable. */
static struct str
with_variables(struct str s)
{
	const char *last = s.len > 0 ? memrchr(s.p, '}', s.len) : NULL;

	return last != NULL ? str_first(s, (size_t)(last - s.p) + 1) : STR_NONE;
}

void
yaml_print(FILE *out, struct str s)
{
	struct str name, rest, variables = with_variables(s);
	unsigned long code;
	size_t len;

	fputc('"', out);
	for (; s.len > 0; s = str_from(s, len), variables = str_from(variables, len)) {
		len = utf8_next(s, &code);
		if (len == 0) {
			/* Only from a command line: reading it back tells. */
			fputc(s.p[0], out);
			len = 1;
			continue;
		}
		/* Not to be filled in once more. */
		if (find_variable(variables, &name, &rest) > 0)
			fputc('$', out);
		if (code == '"' || code == '\\')
			fprintf(out, "\\%c", (int)code);
		else if (code == '\n')
			fputs("\\n", out);
		else if (code < 0x20 || (code >= 0x7f && code < 0xa0))
			fprintf(out, "\\x%02lx", code);
		else if (code == 0x2028 || code == 0x2029 || code == 0xfeff || (code | 1) == 0xffff)
			fprintf(out, "\\u%04lx", code);
		else
			fwrite(s.p, 1, len, out);
	}
	fputc('"', out);
}

static struct str
value_of(struct builder *b, struct str name, struct str rest, struct node *n)
{
	struct arena *scratch = b->reading->scratch;
	const char *found = getenv(arena_dup(scratch, name).p);

	if (found == NULL && rest.len > 0)
		return str_from(rest, 2);
	if (found != NULL && is_utf8(str_of(found)))
		return str_of(found);
	n->problem = arena_printf(scratch, "%.*s%sthe environment variable %.*s is not %s",
	    STR_ARG(n->problem), n->problem.len > 0 ? "; " : "", STR_ARG(name),
	    found != NULL ? "UTF-8" : "set");
	if (found == NULL)
		n->problem = arena_printf(scratch, "%.*s, set it or write ${%.*s:-default}",
		    STR_ARG(n->problem), STR_ARG(name));
	return STR("");
}

/* A copy with environment variables in place; "$${NAME}" is the text "${NAME}". */
static struct str
fill_in(struct builder *b, struct str s, struct node *n)
{
	struct str name, rest, out, variables = with_variables(s);
	char *text = NULL;
	size_t len, size;
	FILE *f;

	if (variables.len == 0 || memmem(variables.p, variables.len, "${", 2) == NULL)
		return arena_dup(b->reading->scratch, s);
	f = open_memstream(&text, &size);
	check(f != NULL);
	for (; s.len > 0; s = str_from(s, len), variables = str_from(variables, len)) {
		if ((len = find_variable(variables, &name, &rest)) > 0) {
			out = value_of(b, name, rest, n);
			fwrite(out.p, 1, out.len, f);
		} else if (s.p[0] == '$' &&
		    (len = find_variable(str_from(variables, 1), &name, &rest)) > 0) {
			len++;
			fwrite(s.p + 1, 1, len - 1, f);
		} else {
			len = 1;
			fputc(s.p[0], f);
		}
	}
	fclose(f);
	out = arena_dup(b->reading->scratch, str_make(text, size));
	free(text);
	return out;
}

/* --- nodes ------------------------------------------------------------------------------------- */

static struct node *build(struct builder *, yaml_event_t *, unsigned depth);

static struct node *
find_key(const struct node *map, struct str key)
{
	size_t i;

	for (i = 0; i + 1 < map->n; i += 2)
		if (str_eq(map->items[i]->text, key))
			return map->items[i + 1];
	return NULL;
}

struct node *
node_find(const struct node *map, const char *key)
{
	return find_key(map, str_of(key));
}

const struct node *
node_at(const struct node *n, const char *path)
{
	char key[64];
	const struct node *next;
	size_t len;

	while (*path != '\0') {
		if (*path == '[') {
			size_t i = strtoul(path + 1, NULL, 10);

			/* One value may stand for a list of one. */
			if (n->kind == NODE_LIST && i < n->n)
				n = n->items[i];
			path += strcspn(path, "]");
			path += *path == ']';
			continue;
		}
		path += *path == '.';
		len = strcspn(path, ".[");
		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		next = n->kind == NODE_MAP ? node_find(n, key) : NULL;
		if (next == NULL)
			return n;
		n = next;
		path += len;
	}
	return n;
}

/* "<<: *anchor": what the map does not say itself. */
static void
merge(struct builder *b, struct node *map, const struct node *from, yaml_mark_t mark)
{
	size_t i;

	if (from->kind == NODE_LIST) {
		for (i = 0; i < from->n && !b->failed; i++)
			merge(b, map, from->items[i], mark);
		return;
	}
	if (from->kind != NODE_MAP) {
		fail(b, mark, "<< takes a mapping, or a list of them");
		return;
	}
	for (i = 0; i + 1 < from->n && !b->failed; i += 2)
		if (find_key(map, from->items[i]->text) == NULL) {
			add_item(b, map, from->items[i]);
			add_item(b, map, from->items[i + 1]);
		}
}

static void
build_children(struct builder *b, struct node *n, yaml_event_type_t end, unsigned depth)
{
	struct node *item, *merges = NULL;
	yaml_event_t event;
	yaml_mark_t mark, merge_mark = { 0, 0, 0 };
	bool done, is_merge;

	for (;;) {
		if (!next_event(b, &event))
			return;
		done = event.type == end;
		is_merge = n->kind == NODE_MAP && n->n % 2 == 0 && event.type == YAML_SCALAR_EVENT &&
		    event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
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
			merge_mark = mark;
			add_item(b, merges, item);
			continue;
		}
		add_item(b, n, item);
		if (b->failed)
			return;
	}
	if (merges != NULL && !b->failed)
		merge(b, n, merges, merge_mark);
}

static void
set_anchor(struct builder *b, const unsigned char *anchor, struct node *n)
{
	if (anchor != NULL && !b->failed)
		table_set(&b->anchors, arena_dup(b->reading->scratch, str_of((const char *)anchor)), n);
}

/* Kinds of values are the schema's to know: tags that YAML itself has say nothing new. */
static void
check_tag(struct builder *b, const unsigned char *tag, yaml_mark_t mark)
{
	static const char *const known[] = { YAML_STR_TAG, YAML_INT_TAG, YAML_BOOL_TAG, YAML_FLOAT_TAG,
		YAML_SEQ_TAG, YAML_MAP_TAG };
	size_t i;

	for (i = 0; tag != NULL && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp((const char *)tag, known[i]) == 0)
			return;
	if (tag != NULL)
		fail(b, mark, "this tag means nothing here, leave it out");
}

/* The anchored node itself: what an alias adds is counted, not copied. */
static struct node *
find_alias(struct builder *b, const yaml_event_t *event, unsigned depth)
{
	struct node *n = table_get(&b->anchors, str_of((const char *)event->data.alias.anchor));

	if (n == &b->unfinished)
		fail(b, event->start_mark, "this alias stands in what it is an alias of");
	else if (n == NULL)
		fail(b, event->start_mark, "this alias has no anchor before it");
	else if (depth + n->height > DEPTH_MAX)
		fail(b, event->start_mark, TOO_DEEP);
	else
		count(b, n->weight, event->start_mark);
	return b->failed ? NULL : n;
}

static struct node *
build_scalar(struct builder *b, const yaml_event_t *event)
{
	struct node *n = new_node(b, NODE_SCALAR, event->start_mark);

	check_tag(b, event->data.scalar.tag, event->start_mark);
	n->is_empty = event->data.scalar.length == 0 &&
	    event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = fill_in(b, str_make((const char *)event->data.scalar.value,
	    event->data.scalar.length), n);
	set_anchor(b, event->data.scalar.anchor, n);
	return n;
}

static struct node *
build_list(struct builder *b, const yaml_event_t *event, unsigned depth)
{
	struct node *n = new_node(b, NODE_LIST, event->start_mark);

	check_tag(b, event->data.sequence_start.tag, event->start_mark);
	set_anchor(b, event->data.sequence_start.anchor, &b->unfinished);
	build_children(b, n, YAML_SEQUENCE_END_EVENT, depth);
	set_anchor(b, event->data.sequence_start.anchor, n);
	return n;
}

static struct node *
build_map(struct builder *b, const yaml_event_t *event, unsigned depth)
{
	struct node *n = new_node(b, NODE_MAP, event->start_mark);

	check_tag(b, event->data.mapping_start.tag, event->start_mark);
	set_anchor(b, event->data.mapping_start.anchor, &b->unfinished);
	build_children(b, n, YAML_MAPPING_END_EVENT, depth);
	set_anchor(b, event->data.mapping_start.anchor, n);
	return n;
}

static struct node *
build(struct builder *b, yaml_event_t *event, unsigned depth)
{
	struct node *n = NULL;

	if (depth > DEPTH_MAX)
		fail(b, event->start_mark, TOO_DEEP);
	else if (event->type == YAML_ALIAS_EVENT)
		n = find_alias(b, event, depth);
	else if (event->type == YAML_SCALAR_EVENT)
		n = build_scalar(b, event);
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		n = build_list(b, event, depth);
	else if (event->type == YAML_MAPPING_START_EVENT)
		n = build_map(b, event, depth);
	else
		fail(b, event->start_mark, "a value is expected here");
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
	/* A byte order mark says nothing, and is no column. */
	b.text = text = str_from(text, str_starts(text, STR("\xef\xbb\xbf")) ? 3 : 0);
	check(yaml_parser_initialize(&b.parser) != 0);
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text.p, text.len);
	root = build_document(&b);
	if (root == NULL && !b.failed)
		root = new_node(&b, NODE_MAP, start);
	yaml_parser_delete(&b.parser);
	table_fini(&b.anchors);
	return b.failed ? NULL : root;
}
