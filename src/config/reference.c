/* SPDX-License-Identifier: MIT */
/*
 * The rows of the schema as text: a configuration file with every key (conf/reference.yaml), and the
 * part of the manual page that lists them.  "make docs" writes both, a test compares.
 */
#include "config/config.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/mdoc.h"
#include "config/section.h"

enum { COMMENT_WIDTH = 98 };

static const struct row *
inner_of(const struct row *row)
{
	return row->element != NULL ? row->element->rows : row->rows;
}

/* --- as YAML ----------------------------------------------------------------------------------- */

/* Words in lines that begin with "# ". */
static void
print_comment(FILE *out, int indent, struct str text)
{
	size_t width = (size_t)(COMMENT_WIDTH - indent - 2), cut;

	while (text.len > 0) {
		cut = text.len;
		if (cut > width)
			for (cut = width; cut > 0 && text.p[cut] != ' '; cut--)
				;
		if (cut == 0)
			cut = text.len;
		fprintf(out, "%*s# %.*s\n", indent, "", (int)cut, text.p);
		text = str_from(text, cut < text.len ? cut + 1 : cut);
	}
}

static void
print_help(FILE *out, int indent, const struct row *row)
{
	struct arena *scratch = arena_new(512);
	struct str kind = schema_describe(scratch, row);

	print_comment(out, indent, kind.len == 0 ? str_of(row->help)
	    : arena_printf(scratch, "%s (%.*s)", row->help, STR_ARG(kind)));
	arena_free(scratch);
}

/*
 * mark stands before each key: "#" where the rows are another way to say what is said already.
 * The first row of a list's element carries its dash.
 */
static void
print_rows(FILE *out, const char *mark, int indent, const struct row *rows, bool in_list)
{
	const struct row *row;

	check(!in_list || !rows->optional);
	for (row = rows; row->key != NULL; row++) {
		const struct row *inner = inner_of(row);
		const char *sign = row->optional ? "#" : mark;
		bool is_list = inner != NULL && row->element != NULL;
		bool dash = in_list && row == rows;

		if (indent == 0)
			fputc('\n', out);
		print_help(out, dash ? indent - 2 : indent, row);
		fprintf(out, "%*s%s%s%s:", dash ? indent - 2 : indent, "", sign, dash ? "- " : "",
		    row->key);
		if (inner == NULL)
			fprintf(out, " %s", row->example != NULL ? row->example
			    : row->def != NULL ? row->def : "0");
		fputc('\n', out);
		if (row->named != NULL)
			fprintf(out, "%*s%s%s:\n", indent + 2, "", sign, row->named);
		if (inner != NULL)
			print_rows(out, sign, indent + (is_list || row->named != NULL ? 4 : 2), inner,
			    is_list);
	}
}

void
config_print_reference(FILE *out)
{
	fputs("# Every key of weir with its default or, where it has none, an example.  A key that is a\n"
	      "# comment is another way to say what stands beside it.  Made by \"make docs\".\n"
	      "#\n"
	      "# Durations: 250ms 10s 5m 1h; sizes: 64KB 100MB 1GB (powers of 1024).\n"
	      "# ${NAME} and ${NAME:-default} take an environment variable; $${NAME} is the text itself.\n",
	    out);
	print_rows(out, "", 0, section_root(), false);
}

/* --- as mdoc ----------------------------------------------------------------------------------- */

/* "(duration, 1ms to 1h; default: 10s)" */
static struct str
facts_of(struct arena *arena, const struct row *row)
{
	struct str kind = schema_describe(arena, row), value = STR("");
	const char *semicolon;

	if (row->required)
		value = STR("required");
	else if (inner_of(row) == NULL && row->def != NULL)
		value = arena_printf(arena, "default: %s", row->def);
	else if (inner_of(row) == NULL && row->example != NULL)
		value = arena_printf(arena, "example: %s", row->example);
	if (kind.len == 0 && value.len == 0)
		return STR("");
	semicolon = kind.len > 0 && value.len > 0 ? "; " : "";
	return arena_printf(arena, "(%.*s%s%.*s)", STR_ARG(kind), semicolon, STR_ARG(value));
}

static void
print_item(FILE *out, struct arena *arena, const struct row *row)
{
	mdoc_item(out, row->key, row->help);
	mdoc_text(out, facts_of(arena, row));
}

/* A section: its keys, then the sections in it, each under its path. */
static void
print_section(FILE *out, struct arena *arena, struct str path, const struct row *rows)
{
	const struct row *row;

	fputs(".Bl -tag -width Ds\n", out);
	for (row = rows; row->key != NULL; row++)
		print_item(out, arena, row);
	fputs(".El\n", out);
	for (row = rows; row->key != NULL; row++) {
		struct str inner;

		if (inner_of(row) == NULL)
			continue;
		inner = arena_printf(arena, "%.*s%s%s%s", STR_ARG(path), path.len > 0 ? "." : "",
		    row->key, row->named != NULL ? ".NAME" : row->element != NULL ? "[N]\\&" : "");
		fprintf(out, ".Ss %.*s\n", STR_ARG(inner));
		mdoc_sentence(out, str_of(row->help));
		print_section(out, arena, inner, inner_of(row));
	}
}

void
config_print_keys(FILE *out)
{
	struct arena *arena = arena_new(4096);

	fputs(".Ss The whole\n", out);
	print_section(out, arena, STR(""), section_root());
	arena_free(arena);
}
