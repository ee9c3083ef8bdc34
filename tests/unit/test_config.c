/* SPDX-License-Identifier: MIT */
/*
 * The loader against tests/blackbox/a_start/broken_hundred.txt: broken configurations with every line
 * that must be said of each; and files that take long to read if anything in it is quadratic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "config/config.h"
#include "config/schema.h"
#include "ops/access_log.h"

#define ROUTES	"routes: [{path: /, upstream: up}]\n"
#define HEAD	"listen: [8080]\nupstreams: {up: {servers: [127.0.0.1:1]}}\n" ROUTES
#define UP	"listen: [8080]\nupstreams:\n  up:\n    servers: [127.0.0.1:1]\n"

/* What stands for several lines in the table. */
static const struct {
	struct str name, text;
} macros[] = {
	{ { "HEAD", 4 }, { HEAD, sizeof(HEAD) - 1 } },
	{ { "UP", 2 }, { UP, sizeof(UP) - 1 } },
	{ { "ROUTES", 6 }, { ROUTES, sizeof(ROUTES) - 1 } },
};

static struct str
read_file(struct arena *arena, const char *path)
{
	FILE *in = fopen(path, "rb"), *out;
	char buf[4096], *text = NULL;
	struct str s;
	size_t n, len;

	if (in == NULL)
		fail_msg("%s cannot be read: run the tests from the top of the tree", path);
	out = open_memstream(&text, &len);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		fwrite(buf, 1, n, out);
	fclose(in);
	fclose(out);
	s = arena_dup(arena, str_make(text, len));
	free(text);
	return s;
}

static struct str
take_line(struct str *rest)
{
	ptrdiff_t end = str_find(*rest, '\n');
	struct str line = end < 0 ? *rest : str_first(*rest, (size_t)end);

	*rest = str_from(*rest, line.len + 1);
	return line;
}

/* --- <client>: the keys of a section, <fields>: the names of a table ------------------------------- */

static const struct row *
rows_of(struct str path)
{
	const struct row *rows = schema_root();
	bool named = false;

	if (str_eq(path, STR("root")))
		return rows;
	while (path.len > 0 && rows != NULL) {
		ptrdiff_t dot = str_find(path, '.');
		struct str key = dot < 0 ? path : str_first(path, (size_t)dot);
		const struct row *row = rows;

		path = str_from(path, key.len + 1);
		if (named) {
			named = false;
			continue;
		}
		while (row->key != NULL && !str_eq(str_of(row->key), key))
			row++;
		if (row->key == NULL)
			return NULL;
		named = row->named != NULL;
		rows = row->element != NULL ? row->element->rows : row->rows;
	}
	return rows;
}

static struct str
names_of(struct arena *arena, void (*print)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct str all = STR(""), rest, line;

	print(out);
	fclose(out);
	for (rest = str_make(text, len); rest.len > 0; ) {
		line = take_line(&rest);
		if (str_starts(line, STR(".It Ic ")))
			all = arena_printf(arena, "%.*s%s%.*s", STR_ARG(all), all.len > 0 ? ", " : "",
			    STR_ARG(str_from(line, 7)));
	}
	free(text);
	return all;
}

static struct str
expand(struct arena *arena, struct str line)
{
	ptrdiff_t open = str_find(line, '<'), close = str_find(line, '>');
	struct str name, list = STR("");
	const struct row *row;

	if (open < 0 || close < open)
		return line;
	name = str_make(line.p + open + 1, (size_t)(close - open) - 1);
	row = rows_of(name);
	for (; row != NULL && row->key != NULL; row++)
		list = arena_printf(arena, "%.*s%s%s", STR_ARG(list), list.len > 0 ? ", " : "", row->key);
	if (str_eq(name, STR("variables")))
		list = names_of(arena, config_print_variables);
	else if (str_eq(name, STR("fields")))
		list = names_of(arena, access_log_print_fields);
	if (list.len == 0)
		return line;
	return arena_printf(arena, "%.*s%.*s%.*s", (int)open, line.p, STR_ARG(list),
	    STR_ARG(str_from(line, (size_t)close + 1)));
}

/* --- the table ------------------------------------------------------------------------------------ */

struct block {
	struct str text;		/* the configuration */
	struct str want;		/* the lines said of it, each with its \n */
};

static struct block
take_block(struct arena *arena, struct str *rest)
{
	struct block b = { STR(""), STR("") };
	struct str line, text;
	size_t i;

	while (rest->len > 0) {
		line = take_line(rest);
		if (str_eq(line, STR("%%")))
			break;
		if (str_starts(line, STR("> "))) {
			line = expand(arena, str_from(line, 2));
			b.want = arena_printf(arena, "%.*sfile:%.*s\n", STR_ARG(b.want), STR_ARG(line));
			continue;
		}
		text = arena_printf(arena, "%.*s\n", STR_ARG(line));
		for (i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
			if (str_eq(line, macros[i].name))
				text = macros[i].text;
		b.text = arena_printf(arena, "%.*s%.*s", STR_ARG(b.text), STR_ARG(text));
	}
	return b;
}

static struct str
said_of(struct arena *arena, struct str text)
{
	struct report report;
	struct config *conf;
	char *said = NULL;
	size_t len;
	FILE *out;
	struct str s;

	report_init(&report);
	report.check_format = access_log_check_format;
	conf = config_parse(text, "file", &report);
	assert_int_equal(conf == NULL, report.n_errors > 0);
	if (conf != NULL)
		config_unref(conf);
	out = open_memstream(&said, &len);
	report_print(&report, out);
	fclose(out);
	report_fini(&report);
	s = arena_dup(arena, str_make(said, len));
	free(said);
	return s;
}

static void
test_broken_hundred(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	struct str rest = read_file(arena, "tests/blackbox/a_start/broken_hundred.txt"), said;
	unsigned n = 0, bad = 0;
	struct block b;

	(void)state;
	take_block(arena, &rest);
	for (; rest.len > 0; n++) {
		b = take_block(arena, &rest);
		said = said_of(arena, b.text);
		if (b.want.len > 0 && str_eq(said, b.want))
			continue;
		bad++;
		fprintf(stderr, "--- this:\n%.*swas to give:\n%.*sgives:\n%.*s", STR_ARG(b.text),
		    STR_ARG(b.want), STR_ARG(said));
	}
	arena_free(arena);
	assert_true(n >= 100);
	assert_int_equal(bad, 0);
}

/* --- what may take long --------------------------------------------------------------------------- */

/* head, n times "item" with its number, tail. */
static struct str
repeat(struct arena *arena, const char *head, const char *item, unsigned n, const char *tail)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct str s;
	unsigned i;

	fputs(head, out);
	for (i = 0; i < n; i++)
		fprintf(out, item, i);
	fputs(tail, out);
	fclose(out);
	s = arena_dup(arena, str_make(text, len));
	free(text);
	return s;
}

/* Nothing is measured: what is quadratic takes minutes, and the limit of a test is one. */
static void
test_large_files_are_read_in_time(void **state)
{
	static const struct {
		const char *head, *item, *tail, *say;
		unsigned    n;
	} files[] = {
		{ "", "k%u: 1\n", "", "too many keys", 300000 },
		{ "<<: {", "k%u: 1, ", "x: 1}\n", "too many keys", 300000 },
		{ "caches: {a: {valid: {", "%u: 1s, ", "x: 1}}}\n", "too many keys", 300000 },
		{ "x: \"", "${", "\"\n", "x: unknown key", 1000000 },
		{ "x: \"", "${A", "\"\n", "x: unknown key", 800000 },
		{ "x: \"", "${A:-", "\"\n", "x: unknown key", 500000 },
		{ "x: \"", "${A:-}", "\"\n", "x: unknown key", 500000 },
		{ "trusted_proxies: [", "x%u, ", "x]\n", "possible", 90000 },
		{ HEAD "upstreams: {a: {servers: [b:1], fail_on: [", "x%u, ", "x]}}\n", "twice", 90000 },
		{ "x: [&a [", "x%u, ", "x], *a, *a, *a, *a, *a, *a, *a, *a]\n", "too many values", 20000 },
	};
	struct arena *arena = arena_new(1 << 20);
	struct str text, said;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		text = repeat(arena, files[i].head, files[i].item, files[i].n, files[i].tail);
		said = said_of(arena, text);
		if (memmem(said.p, said.len, files[i].say, strlen(files[i].say)) == NULL)
			fail_msg("file %zu: %.*s", i, (int)(said.len < 500 ? said.len : 500), said.p);
		arena_reset(arena);
	}
	arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broken_hundred),
		cmocka_unit_test(test_large_files_are_read_in_time),
	};

	/* As in broken_hundred.py: one is no text, one holds what would be YAML. */
	setenv("WEIR_TEST_SET", "5 minutes", 1);
	setenv("WEIR_TEST_NEWLINE", "5s\nx: 1", 1);
	setenv("WEIR_TEST_BYTES", "\xff\xfe", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
