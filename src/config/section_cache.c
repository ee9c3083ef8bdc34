/* SPDX-License-Identifier: MIT */
/* caches: what is kept, and how long. */
#include "config/section.h"

#include "base/arena.h"
#include "config/named.h"
#include "config/type.h"

static bool
take_valid(struct reading *r, const struct node *key, const struct node *n, struct valid_conf *v)
{
	static const struct row lifetime = { "", &type_msec, offsetof(struct valid_conf, lifetime),
		NULL, 1, 365 * (int64_t)DAY, .help = "" };
	uint64_t status = 0;

	if (!str_eq(key->text, STR("any")) &&
	    (!str_to_uint(key->text, 599, &status) || status < 200))
		return complain(r, key, "\"%.*s\" is no status of an answer, 200 to 599 is possible, and "
		    "any", STR_ARG(key->text));
	if (status != 0 && !status_is_storable((int)status))
		return complain(r, key, "%.*s is never stored", STR_ARG(key->text));
	v->status = (unsigned)status;
	return type_parse_msec(r, &lifetime, n, v);
}

static bool
parse_valid(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct array *at = AT(base, row);
	struct valid_conf *valid;
	bool ok = true;
	size_t i, was;

	if (n->kind != NODE_MAP)
		return complain(r, n, "a mapping such as {200: 10m, 404: 1m} is expected here");
	at->n = n->n / 2;
	at->items = valid = arena_zalloc(r->arena, (at->n + 1) * sizeof(*valid));
	for (i = 0; i < at->n; i++) {
		was = path_push_key(r, n->items[2 * i]->text);
		ok &= take_valid(r, n->items[2 * i], n->items[2 * i + 1], &valid[i]);
		path_pop(r, was);
		schema_check_twice(r, n, 2 * i, str_eq);
	}
	return ok;
}

static void
print_valid(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	const struct valid_conf *valid = at->items;
	char buf[32];
	size_t i;

	schema_print_key(out, indent, row);
	fputc('{', out);
	for (i = 0; i < at->n; i++) {
		type_format_msec(buf, sizeof(buf), valid[i].lifetime);
		fputs(i > 0 ? ", " : "", out);
		if (valid[i].status == 0)
			fprintf(out, "any: %s", buf);
		else
			fprintf(out, "%u: %s", valid[i].status, buf);
	}
	fputs("}\n", out);
}

static const struct word cache_method_words[] = { { "GET", 1 }, { "HEAD", 2 }, { "POST", 3 },
	{ NULL, 0 } };

static bool
parse_cache_method(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	int word;

	if (!type_want_scalar(r, n, "GET, HEAD or POST") || !type_find_word(r, cache_method_words, n, &word))
		return false;
	return type_parse_text(r, row, n, base);
}

static bool
parse_key_header(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_want_scalar(r, n, "the name of a request field"))
		return false;
	return type_is_token(n->text) ? type_parse_text(r, row, n, base)
	    : complain(r, n, "\"%.*s\" is no field name", STR_ARG(n->text));
}

static const struct type type_valid = { .parse = parse_valid, .print = print_valid };
static const struct type type_cache_method = { .parse = parse_cache_method, .print = type_print_text };
static const struct type type_key_header = { .parse = parse_key_header, .print = type_print_text };
static const struct row cache_method_element = { "", &type_cache_method, 0, .help = "" };
static const struct row ignore_field_element = { "", &type_text, 0, .help = "" };
static const struct row key_header_element = { "", &type_key_header, 0, .help = "" };
static const struct word when_words[] = { { "always", 0 }, { "requested", 1 }, { NULL, 0 } };

#define CACHE(member)	offsetof(struct cache_conf, member)
const struct row cache_rows[] = {
	{ "size", &type_size, CACHE(size), "100MB", 64 * 1024, TB,
	  .help = "memory in all, what weir needs for each answer counted too" },
	{ "inactive", &type_msec, CACHE(inactive), "1h", 1000, 365 * (int64_t)DAY,
	  .help = "an answer that nobody asked for so long goes" },
	{ "max_object", &type_size, CACHE(max_object), "8MB", 1024, TB,
	  .help = "a longer answer is not stored" },
	{ "valid", &type_valid, CACHE(valid), "{}",
	  .help = "how long answers live that do not say so themselves: {200: 10m, 404: 1m, any: 10s}" },
	{ "stale", &type_stale, CACHE(stale), "[error, timeout, updating, 500, 502, 503, 504]",
	  .help = "when an expired answer is better than none: error, timeout, updating, statuses" },
	{ "methods", &type_list, CACHE(methods), "[GET, HEAD]", 1, 3, .element = &cache_method_element,
	  .size = sizeof(struct str), .help = "GET, HEAD, and POST by its body" },
	{ "when", &type_switch, CACHE(only_requested), "always", .words = when_words,
	  .help = "requested: only requests with Cache-Control: public or max-age" },
	{ "ignore_request_cache_control", &type_bool, CACHE(ignore_request_cache_control), "false",
	  .help = "clients cannot ask for a fresh answer" },
	{ "ignore_response_cache_control", &type_bool, CACHE(ignore_response_cache_control), "false",
	  .help = "valid: alone says what is stored and how long, not the server's Cache-Control and "
	  "Expires" },
	{ "share_across_clients", &type_bool, CACHE(share_across_clients), "false",
	  .help = "a POST is answered the same whoever asks: Authorization and Cookie do not count" },
	{ "ignore_fields", &type_list, CACHE(ignore_fields), "[user, stream_options]", 0, 32,
	  .element = &ignore_field_element, .size = sizeof(struct str),
	  .help = "members of a POST's JSON object that do not change the answer" },
	{ "key_headers", &type_list, CACHE(key_headers), "[]", 0, 32, .element = &key_header_element,
	  .size = sizeof(struct str), .help = "request fields that change the answer, as if named by Vary" },
	{ "max_body", &type_size, CACHE(max_body), "1MB", 1, MB,
	  .help = "a POST with a longer body is not answered from here" },
	{ "single_flight", &type_bool, CACHE(single_flight), "true",
	  .help = "equal requests follow the one that is being answered" },
	{ "vary_max", &type_number, CACHE(vary_max), "16", 1, 1000,
	  .help = "answers to one address that differ by Vary; the oldest goes" },
	{ .key = NULL },
};

enum { CACHE_OVERHEAD = 16 * 1024 };	/* what an object needs beside its bytes, generously */

static bool
has_method(const struct cache_conf *c, struct str method)
{
	size_t i;

	for (i = 0; i < c->n_methods; i++)
		if (str_eq(c->methods[i], method))
			return true;
	return false;
}

static bool
parse_cache(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct cache_conf *c = base;
	const struct node *at;
	char size[32], object[32];

	if (!schema_fill(r, row->rows, n, c))
		return false;
	c->has_get = has_method(c, STR("GET"));
	c->has_head = has_method(c, STR("HEAD"));
	c->has_post = has_method(c, STR("POST"));
	if (c->has_head && !c->has_get)
		return complain_key(r, node_find(n, "methods"), STR("methods"),
		    "HEAD is answered from what GET stored, name GET too");
	if (c->size >= c->max_object + CACHE_OVERHEAD)
		return true;
	type_format_size(size, sizeof(size), (int64_t)c->size);
	type_format_size(object, sizeof(object), (int64_t)c->max_object);
	at = node_find(n, "size");
	return complain_key(r, at != NULL ? at : node_find(n, "max_object"),
	    at != NULL ? STR("size") : STR("max_object"), "a cache of %s cannot hold an object of %s, "
	    "raise size or lower max_object", size, object);
}

static bool
parse_caches(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return named_parse(r, row, n, AT(base, row), NAMES_CACHE, parse_cache);
}

const struct type type_caches = { .parse = parse_caches, .print = named_print };
