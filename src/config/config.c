/* SPDX-License-Identifier: MIT */
/* The snapshot: read, complained of, sealed, counted. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/section.h"

enum {
	FILE_MAX = 4 * 1024 * 1024,
	ARENA_FIRST = 16 * 1024,
	COMPLAINTS_MAX = 500,		/* who has more reads none of them */
	HEAD_MAX = 700, TAIL_MAX = 300	/* of a line, what is between is left out */
};

/* --- reports ----------------------------------------------------------------------------------- */

void
report_init(struct report *r)
{
	memset(r, 0, sizeof(*r));
	r->arena = arena_new(1024);
}

void
report_fini(struct report *r)
{
	arena_free(r->arena);
	memset(r, 0, sizeof(*r));
}

static void
add_line(struct report *r, struct str line, bool is_warning)
{
	struct report_line *lines;

	if (r->n == r->cap) {
		r->cap = r->cap * 2 + 16;
		lines = arena_alloc(r->arena, r->cap * sizeof(*lines));
		if (r->n > 0)
			memcpy(lines, r->lines, r->n * sizeof(*lines));
		r->lines = lines;
	}
	r->lines[r->n].text = line;
	r->lines[r->n++].is_warning = is_warning;
}

void
report_error(struct report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_line(r, arena_vprintf(r->arena, fmt, ap), false);
	va_end(ap);
	r->n_errors++;
}

void
report_print(const struct report *r, FILE *out)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		fprintf(out, "%.*s\n", STR_ARG(r->lines[i].text));
}

/* --- complaints: collected with their places, told in their order -------------------------------- */

struct complaint {
	unsigned   line, column;
	size_t     order;
	struct str text;
	bool       is_warning;
};

/* What a file holds must not end a line of the report, nor paint the terminal. */
static struct str
tame(struct arena *arena, struct str line)
{
	char *p;
	size_t i;

	if (line.len > HEAD_MAX + TAIL_MAX)
		line = arena_printf(arena, "%.*s ... %.*s", HEAD_MAX, line.p, TAIL_MAX,
		    line.p + line.len - TAIL_MAX);
	line = arena_dup(arena, line);
	p = (char *)(uintptr_t)line.p;
	for (i = 0; i < line.len; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
	return line;
}

static void
add_complaint(struct reading *r, bool is_warning, unsigned line, unsigned column, struct str path,
    const char *fmt, va_list ap)
{
	const char *mark = is_warning ? "warning: " : "";
	struct complaint *c;
	struct str why;
	size_t i;

	if (r->n_complaints >= COMPLAINTS_MAX) {
		r->n_errors += !is_warning;
		r->n_untold += !is_warning;
		return;
	}
	why = arena_vprintf(r->scratch, fmt, ap);
	if (r->n_complaints == r->cap_complaints) {
		r->cap_complaints = r->cap_complaints * 2 + 16;
		c = arena_alloc(r->scratch, r->cap_complaints * sizeof(*c));
		if (r->n_complaints > 0)
			memcpy(c, r->complaints, r->n_complaints * sizeof(*c));
		r->complaints = c;
	}
	c = &r->complaints[r->n_complaints];
	c->line = line;
	c->column = column;
	c->order = r->n_complaints;
	if (line == 0)
		c->text = arena_printf(r->scratch, "%s: %.*s%s%s%.*s", r->file, STR_ARG(path),
		    path.len > 0 ? ": " : "", mark, STR_ARG(why));
	else
		c->text = arena_printf(r->scratch, "%s:%u:%u: %.*s%s%s%.*s", r->file, line, column,
		    STR_ARG(path), path.len > 0 ? ": " : "", mark, STR_ARG(why));
	c->is_warning = is_warning;
	c->text = tame(r->scratch, c->text);
	/* An alias is read at each place it stands; what is wrong with it is said once. */
	for (i = 0; i < r->n_complaints; i++)
		if (str_eq(r->complaints[i].text, c->text))
			return;
	r->n_complaints++;
	r->n_errors += !is_warning;
}

void
warn(struct reading *r, const struct node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_complaint(r, true, at->line, at->column, str_make(r->path, r->path_len), fmt, ap);
	va_end(ap);
}

bool
complain(struct reading *r, const struct node *at, const char *fmt, ...)
{
	va_list ap;

	if (at != NULL && at->problem.len > 0)
		return false;
	va_start(ap, fmt);
	add_complaint(r, false, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
	    str_make(r->path, r->path_len), fmt, ap);
	va_end(ap);
	return false;
}

bool
complain_key(struct reading *r, const struct node *at, struct str key, const char *fmt, ...)
{
	struct str path = arena_printf(r->scratch, "%.*s%s%.*s", (int)r->path_len, r->path,
	    r->path_len > 0 ? "." : "", STR_ARG(path_key(key)));
	va_list ap;

	if (at->problem.len > 0)
		return false;
	va_start(ap, fmt);
	add_complaint(r, false, at->line, at->column, path, fmt, ap);
	va_end(ap);
	return false;
}

void
complain_at(struct reading *r, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_complaint(r, false, line, column, STR_NONE, fmt, ap);
	va_end(ap);
}

static int
compare(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
tell(struct reading *r, struct report *report)
{
	size_t i;

	if (r->n_complaints > 0)
		qsort(r->complaints, r->n_complaints, sizeof(*r->complaints), compare);
	for (i = 0; i < r->n_complaints; i++)
		add_line(report, arena_dup(report->arena, r->complaints[i].text),
		    r->complaints[i].is_warning);
	if (r->n_untold > 0)
		add_line(report, arena_printf(report->arena, "%s: and %zu more errors", r->file,
		    r->n_untold), false);
	report->n_errors += r->n_errors;
}

/* --- reading ------------------------------------------------------------------------------------- */

struct config *
config_parse(struct str text, const char *name, struct report *report)
{
	struct reading r;
	struct config *conf;
	struct arena *arena = arena_new(ARENA_FIRST);
	struct node *root;

	memset(&r, 0, sizeof(r));
	r.file = name;
	r.checks = report;
	r.arena = arena;
	r.scratch = arena_new(ARENA_FIRST);
	r.config = conf = arena_zalloc(arena, sizeof(*conf));
	conf->refs = 1;
	conf->arena = arena;
	root = yaml_read(&r, text);
	if (root != NULL)
		schema_tell_problems(&r, root);
	if (root != NULL && root->kind != NODE_MAP)
		complain(&r, root, "a configuration is a mapping: listen, upstreams, routes ...");
	else if (root != NULL) {
		schema_fill(&r, section_root(), root, conf);
		section_finish(&r, root);
	}
	tell(&r, report);
	arena_free(r.scratch);
	if (r.n_errors > 0) {
		arena_free(arena);
		return NULL;
	}
	return conf;
}

/* The whole file, or NULL with its error in the report. */
static char *
slurp(const char *path, size_t *len, struct report *report)
{
	char *text = malloc(FILE_MAX + 1);
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(text != NULL);
	*len = 0;
	if (fd >= 0)
		while (*len <= FILE_MAX && (n = read(fd, text + *len, FILE_MAX + 1 - *len)) > 0)
			*len += (size_t)n;
	if (fd < 0 || n < 0)
		report_error(report, "%s: cannot read: %s", path, strerror(errno));
	else if (*len > FILE_MAX)
		report_error(report, "%s: larger than 4 MB, that is no configuration", path);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && n >= 0 && *len <= FILE_MAX)
		return text;
	free(text);
	return NULL;
}

struct config *
config_load(const char *path, struct report *report)
{
	struct config *conf;
	size_t len;
	char *text = slurp(path, &len, report);

	if (text == NULL)
		return NULL;
	conf = config_parse(str_make(text, len), path, report);
	free(text);
	return conf;
}

/* The servers of a comma list as entries of a YAML list; how many. */
static size_t
write_servers(FILE *out, struct arena *arena, const char *to, struct report *report)
{
	struct str rest = str_of(to), item;
	struct address address;
	const char *why;
	size_t n = 0;
	bool is_tls;

	while (str_next_item(&rest, &item)) {
		if (!address_parse_server(arena, item, &address, &is_tls, &why)) {
			report_error(report, "--to %.*s: %s", STR_ARG(item), why);
			continue;
		}
		fputs(n++ > 0 ? ", " : "", out);
		yaml_print(out, address.text);
	}
	return n;
}

struct config *
config_from_arguments(const char *listen, const char *to, struct report *report)
{
	size_t errors = report->n_errors, len;
	struct arena *arena = arena_new(1024);
	struct address address;
	struct config *conf = NULL;
	const char *why;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	check(out != NULL);
	fputs("listen: ", out);
	if (address_parse(arena, str_of(listen), "0.0.0.0", &address, &why))
		yaml_print(out, address.text);
	else
		report_error(report, "--listen %s: %s", listen, why);
	fputs("\nupstreams: {servers: {balance: least_requests, servers: [", out);
	if (write_servers(out, arena, to, report) == 0 && report->n_errors == errors)
		report_error(report, "--to: give at least one server, ADDRESS:PORT");
	fputs("]}}\n", out);
	fclose(out);
	if (report->n_errors == errors)
		conf = config_parse(str_make(text, len), "--listen/--to", report);
	free(text);
	arena_free(arena);
	return conf;
}


void
config_unref(struct config *conf)
{
	check(conf->refs > 0);
	if (--conf->refs == 0)
		arena_free(conf->arena);
}

void
config_print(const struct config *conf, FILE *out)
{
	schema_print(out, 0, section_root(), conf);
}
