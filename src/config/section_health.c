/* SPDX-License-Identifier: MIT */
/* upstreams.NAME.health_check: what servers are asked, and what a good answer is. */
#include "config/section.h"

#include <string.h>

#include "config/type.h"

#define UP(member)	offsetof(struct upstream_conf, member)

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
	return type_want_plain(r, n);
}

static bool
parse_check_path(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "a path"))
		return false;
	if (n->text.len == 0 || n->text.p[0] != '/')
		return complain(r, n, "\"%.*s\" is no path, paths begin with /", STR_ARG(n->text));
	return want_target(r, n, "#") && type_parse_text(r, row, n, base);
}

static bool
parse_check_host(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "a host name"))
		return false;
	if (n->text.len == 0)
		return complain(r, n, "a host name is expected here");
	return want_target(r, n, "/?#@\\") && type_parse_text(r, row, n, base);
}

static bool
parse_check_body(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "a text"))
		return false;
	if (n->text.len == 0 || n->text.len > TYPE_PLAIN_MAX)
		return complain(r, n, "a text of 1 byte to 8 KB is expected here");
	return type_parse_text(r, row, n, base);
}

static bool
take_status(struct reading *r, const struct node *n, struct status_set *set)
{
	uint64_t status;

	if (!type_want_scalar(r, n, "a status such as 200"))
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
		was = path_push(r, "[%zu]", i);
		ok &= take_status(r, n->items[i], set);
		path_pop(r, was);
	}
	return ok;
}

static const struct type type_check_path = { .parse = parse_check_path, .print = type_print_text };
static const struct type type_check_host = { .parse = parse_check_host, .print = type_print_text };
static const struct type type_check_body = { .parse = parse_check_body, .print = type_print_text };
static const struct type type_expect = { .parse = parse_expect, .print = type_set_print };

const struct row check_rows[] = {
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
		if (!type_find_word(r, preset_words, n, &preset))
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
	schema_print_head(out, indent, row);
	for (inner = row->rows; inner->key != NULL; inner++)
		if (up->check.is_tcp ? !is_of_http(inner) : inner->offset != UP(check.is_tcp))
			inner->type->print(out, indent + 2, inner, base);
}

const struct type type_check = { .parse = parse_check, .print = print_check };
