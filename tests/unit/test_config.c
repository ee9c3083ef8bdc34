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
#include "config/section.h"
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
	const struct row *rows = section_root();
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

/* --- several ways to say one thing ---------------------------------------------------------------- */

static struct str
printed(struct arena *arena, const char *text)
{
	struct report report;
	struct config *conf;
	char *out = NULL;
	size_t len;
	FILE *f;
	struct str s;

	report_init(&report);
	report.check_format = access_log_check_format;
	conf = config_parse(str_of(text), "file", &report);
	report_print(&report, stderr);
	if (conf == NULL)
		fail_msg("refused: %s", text);
	report_fini(&report);
	f = open_memstream(&out, &len);
	config_print(conf, f);
	fclose(f);
	config_unref(conf);
	s = arena_dup(arena, str_make(out, len));
	free(out);
	return s;
}

#define ANSWER	"\nroutes: [{path: /, respond: {}}]\n"

static void
test_the_same_in_other_words(void **state)
{
	static const char *const pairs[][2] = {
		{ HEAD, "\xef\xbb\xbf" HEAD },
		{ HEAD, "# all\r\nlisten: [8080]\r\nupstreams: {up: {servers: [127.0.0.1:1]}}\r\n"
		    "routes: [{path: /, upstream: up}]\r\n" },
		{ HEAD, "{\"listen\": [8080], \"upstreams\": {\"up\": {\"servers\": [\"127.0.0.1:1\"]}},"
		    "\"routes\": [{\"path\": \"/\", \"upstream\": \"up\"}]}" },
		{ HEAD, "%YAML 1.1\n---\n" HEAD "...\n" },
		{ HEAD, "listen: 8080\nupstreams: {up: {servers: {address: 127.0.0.1:1}}}\n" },
		{ HEAD, "listen: \"0.0.0.0:8080\"\nupstreams: {\"up\": {servers: 127.0.0.1:1}}\n"
		    "routes: {path: /, upstream: up}\n" },
		{ HEAD, "? listen\n: - 8080\n? upstreams\n: up:\n    servers:\n    - 127.0.0.1:1\n" },
		{ HEAD, "listen: !!int 8080\nupstreams: !!map {up: {servers: !!seq [!!str 127.0.0.1:1]}}\n" },
		/* anchors, aliases, merges: what a map says itself counts, then the first that says it */
		{ "listen: [80, 81]\nupstreams: {a: {servers: [h:1], max_fails: 5}, b: {servers: [h:1], "
		  "max_fails: 5}}\nroutes: [{path: /a, upstream: a}, {path: /b, upstream: b}]\n",
		  "listen: [&p 80, 81]\nupstreams: {a: &a {servers: [h:1], max_fails: 5}, b: *a}\n"
		  "routes: [{path: /a, upstream: a}, {path: /b, upstream: b}]\n" },
		{ "listen: 1\nupstreams: {a: {servers: [h:1], max_fails: 5, fail_timeout: 3s}, b: {servers: "
		  "[h:2], max_fails: 6, fail_timeout: 3s}}\nroutes: [{path: /a, upstream: a}, {path: /b, "
		  "upstream: b}]\n",
		  "listen: 1\nupstreams:\n  a: &a {servers: [h:1], max_fails: 5, fail_timeout: 3s}\n"
		  "  b: {max_fails: 6, <<: *a, servers: [h:2]}\n"
		  "routes: [{path: /a, upstream: a}, {path: /b, upstream: b}]\n" },
		{ "listen: 1\nclient: {max_head: 2KB, max_connections: 7, body_timeout: 1s}" ANSWER,
		  "listen: 1\nclient:\n  <<: [{max_head: 2KB}, {max_head: 3KB, max_connections: 7}]\n"
		  "  <<: {body_timeout: 1s}" ANSWER },
		{ "listen: 1\nroutes: [{path: /, respond: {body: \"<<\"}}]\n",
		  "listen: 1\nroutes: [{path: /, respond: {body: <<}}]\n" },
		/* the environment */
		{ "listen: 1\ndrain_timeout: 7s" ANSWER,
		  "listen: ${WEIR_TEST_ONE}\ndrain_timeout: ${WEIR_TEST_SEVEN:-8}s" ANSWER },
		{ "listen: 1\ndrain_timeout: 7s" ANSWER,
		  "listen: 1\ndrain_timeout: \"${WEIR_TEST_NONE:-7}${WEIR_TEST_EMPTY:-}${WEIR_TEST_NONE:-s}\""
		  ANSWER },
		{ "listen: 1\ndrain_timeout: 7s" ANSWER, "listen: 1\n\"${WEIR_TEST_KEY}\": 7s" ANSWER },
		{ "listen: 1\nroutes: [{path: /, respond: {body: \"5s\\nx: 1\"}}]\n",
		  "listen: 1\nroutes: [{path: /, respond: {body: \"${WEIR_TEST_NEWLINE}\"}}]\n" },
		{ "listen: 1\nroutes: [{path: /, respond: {body: \"${WEIR_TEST_LITERAL} ${a} ${ $x $\"}}]\n",
		  "listen: 1\nroutes: [{path: /, respond: {body: \"$${A} ${a} ${ $x $\"}}]\n" },
		{ "listen: 1\nroutes: [{path: /, respond: {body: \"a${b-c}\"}}]\n",
		  "listen: 1\nroutes: [{path: /, respond: {body: \"${WEIR_TEST_NONE:-a${b-c}}\"}}]\n" },
		/* values */
		{ "listen: 1\ndrain_timeout: 60s" ANSWER, "listen: 1\ndrain_timeout: 1m" ANSWER },
		{ "listen: 1\ndrain_timeout: 1h" ANSWER, "listen: 1\ndrain_timeout: 3600000ms" ANSWER },
		{ "listen: 1\nclient: {max_head: 2KB}" ANSWER, "listen: 1\nclient: {max_head: 2048}" ANSWER },
		{ "listen: 1\nclient: {max_head: 2KB}" ANSWER, "listen: 1\nclient: {max_head: 2048B}" ANSWER },
		{ "listen: 1\nclient: {underscores_in_headers: true}" ANSWER,
		  "listen: 1\nclient: {underscores_in_headers: Yes}" ANSWER },
		{ "listen: \"[::1]:1\"" ANSWER, "listen: \"[0:0:0::0001]:1\"" ANSWER },
		{ "listen: 1\ntrusted_proxies: [10.0.0.1/32]" ANSWER,
		  "listen: 1\ntrusted_proxies: 10.0.0.1" ANSWER },
		{ "listen: 1\naccess_log: {path: \"off\"}" ANSWER, "listen: 1\naccess_log: off" ANSWER },
		{ "listen: 1\nroutes: [{path: /, redirect: {to: \"${host}\"}}]\n",
		  "listen: 1\nroutes: [{path: /, redirect: {to: $host}}]\n" },
	};
	struct arena *arena = arena_new(1 << 16);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct str a = printed(arena, pairs[i][0]), b = printed(arena, pairs[i][1]);

		if (!str_eq(a, b))
			fail_msg("%zu: %s\nis not\n%s\n%s\n%s", i, pairs[i][0], pairs[i][1], a.p, b.p);
	}
	arena_free(arena);
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
		cmocka_unit_test(test_the_same_in_other_words),
		cmocka_unit_test(test_large_files_are_read_in_time),
	};

	/* As in broken_hundred.py: one is no text, one holds what would be YAML. */
	setenv("WEIR_TEST_SET", "5 minutes", 1);
	setenv("WEIR_TEST_NEWLINE", "5s\nx: 1", 1);
	setenv("WEIR_TEST_BYTES", "\xff\xfe", 1);
	setenv("WEIR_TEST_ONE", "1", 1);
	setenv("WEIR_TEST_SEVEN", "7", 1);
	setenv("WEIR_TEST_EMPTY", "", 1);
	setenv("WEIR_TEST_LITERAL", "${A}", 1);
	setenv("WEIR_TEST_KEY", "drain_timeout", 1);
	unsetenv("WEIR_TEST_NONE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
