/* SPDX-License-Identifier: MIT */
/*
 * How a file becomes a tree of structs: nodes with places (yaml.c), rows that say what a key means
 * (section_*.c, of kinds in type*.c), and the walk that ties them (schema.c).  Private to config/.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"
#include "config/config.h"

struct arena;

/* --- nodes ------------------------------------------------------------------------------------- */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	unsigned       line, column;	/* from 1 */
	bool           is_empty;	/* a scalar of which nothing is written */
	struct str     problem;		/* of its environment; complaints about its text say nothing new */
	struct str     text;		/* of a scalar, environment filled in */
	struct node  **items;		/* of a list; of a map: key, value, key, value */
	size_t         n, cap;
	size_t         weight;		/* nodes in it, each alias counted as what it stands for */
	unsigned       height;		/* levels below it */
};

/* Maps of things with names, which others name: who is in them, and who is never named. */
enum names_kind { NAMES_UPSTREAM, NAMES_LIMIT, NAMES_CACHE, N_NAMES };
struct names {
	struct node **keys;
	bool         *used;
	size_t        n;
	bool          is_broken;	/* who is in it could not be read */
};

/* One reading: where it goes, where errors go, and the way down to the current key. */
struct reading {
	const char    *file;
	struct arena  *arena;		/* of the configuration */
	struct arena  *scratch;		/* nodes: gone when the reading is over */
	struct config *config;
	const struct report *checks;	/* those of others, in it */
	struct upstream_conf *upstream;	/* the one whose servers are read */
	struct names   names[N_NAMES];	/* of the file, for messages after the walk */
	struct file_note *file_notes;	/* what it names, the last first */
	bool           has_misspelt;	/* a key, so what it would have named is not known */
	char           path[256];
	size_t         path_len;
	struct complaint *complaints;
	size_t         n_complaints, cap_complaints, n_errors;
	size_t         n_untold;	/* errors beyond what is collected */
};

/* A node for the text; NULL after a complaint.  An empty text is an empty map. */
struct node *yaml_read(struct reading *, struct str text);
/* Writes a text as a YAML scalar that yaml_read reads back as itself. */
void yaml_print(FILE *, struct str);
/* The value of a key of a map, or NULL. */
struct node *node_find(const struct node *map, const char *key);
/* The node that "a[0].b" names below a map; the nearest above it when there is none. */
const struct node *node_at(const struct node *map, const char *path);

/* A key as it stands in paths. */
struct str path_key(struct str key);
/* Each lengthens the current path and gives its length before, for path_pop; too long a path is cut. */
size_t path_push(struct reading *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t path_push_key(struct reading *, struct str key);
/* Of an entry; a single value is its list itself. */
size_t path_push_index(struct reading *, const struct node *list, size_t i);
void path_pop(struct reading *, size_t was);
/* Adds a message at the node's place (NULL: of the file as a whole) under the current path; false. */
bool complain(struct reading *, const struct node *, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the path extended by key. */
bool complain_key(struct reading *, const struct node *, struct str key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a warning at the node's place under the current path. */
void warn(struct reading *, const struct node *, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same at a place that no node has. */
void complain_at(struct reading *, unsigned line, unsigned column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* --- rows -------------------------------------------------------------------------------------- */

struct row;

struct type {
	/* Reads the node into base + row->offset; false after a complaint. */
	bool (*parse)(struct reading *, const struct row *, const struct node *, void *base);
	/* Prints "key: value" lines as YAML; prints nothing where nothing is to be said. */
	void (*print)(FILE *, int indent, const struct row *, const void *base);
	const char *kind;		/* in words for the reference; NULL: the row's help says it */
	void (*format)(char *buf, size_t size, int64_t bound);	/* NULL: it has no bounds */
};

struct word {
	const char *name;
	int         value;
};

struct row {
	const char        *key;
	const struct type *type;
	size_t             offset;
	const char        *def;		/* YAML, read when the key is absent; NULL: left alone */
	int64_t            min, max;	/* of numbers; how many, of lists */
	const char        *help;	/* one sentence */
	const char        *example;	/* YAML for the reference where def will not do */
	const struct word *words;	/* of enums, ended by a row without name */
	const struct row  *rows;	/* of sections, ended by a row without key */
	const struct row  *element;	/* of lists */
	size_t             size;	/* of one element */
	bool               required;
	bool               optional;	/* of one or the other: a comment in the reference */
	const char        *named;	/* rows of things with names: one for the reference */
};

#define AT(base, row)		((void *)((char *)(base) + (row)->offset))
#define AT_CONST(base, row)	((const void *)((const char *)(base) + (row)->offset))

/* How arrays lie in config.h: a pointer and a count. */
struct array {
	void  *items;
	size_t n;
};

/* Reads a map by its rows; unknown and duplicate keys are complained of. */
bool schema_fill(struct reading *, const struct row *rows, const struct node *map, void *base);
void schema_print(FILE *, int indent, const struct row *rows, const void *base);
/* Reads a value by its row; "key:" with nothing behind it is none. */
bool schema_parse_value(struct reading *, const struct row *, const struct node *, void *base);
/* The row of a key, or NULL. */
const struct row *schema_find_row(const struct row *rows, struct str key);
/* The key stands there or one that was meant to be it. */
bool schema_has_key(const struct row *rows, const struct node *map, const char *key);
/* Complains, and says true, when an earlier key of the map equals its item i. */
bool schema_check_twice(struct reading *, const struct node *map, size_t i,
    bool (*equal)(struct str, struct str));
/* "key:" of a section or list that begins on the next line; "key: " of a value; of elements nothing. */
void schema_print_head(FILE *, int indent, const struct row *);
void schema_print_key(FILE *, int indent, const struct row *);
/* The kind of a row's value and its bounds in words, "duration, 1ms to 1h"; empty: help says it. */
struct str schema_describe(struct arena *, const struct row *);
/* Complains of the problems that nodes carry, each under its path; before the walk. */
void schema_tell_problems(struct reading *, const struct node *);
/* The text that compiles to the template. */
struct str template_text(struct arena *, const struct template *);

#endif
