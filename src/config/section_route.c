/* SPDX-License-Identifier: MIT */
/* routes: which requests are answered how. */
#include "config/section.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/file_note.h"
#include "config/named.h"
#include "config/type.h"

enum { HOST_IS_BARRED, HOST_IS_FINE };

/* Framing and the connection are ours to say. */
static bool
take_field_name(struct reading *r, const struct node *n, bool host_is_fine)
{
	static const char *const barred[] = { "Connection", "Content-Length", "Transfer-Encoding",
		"Keep-Alive", "TE", "Trailer", "Upgrade" };
	size_t i;

	if (!type_want_scalar(r, n, "the name of a field"))
		return false;
	if (!type_is_token(n->text))
		return complain(r, n, "\"%.*s\" is no field name", STR_ARG(n->text));
	for (i = 0; i < sizeof(barred) / sizeof(barred[0]); i++)
		if (str_eq_nocase(n->text, str_of(barred[i])))
			return complain(r, n, "%s is set by weir itself", barred[i]);
	return host_is_fine || !str_eq_nocase(n->text, STR("Host")) ||
	    complain(r, n, "Host can only be set, in request_headers");
}

static bool
parse_field_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_field_name(r, n, false) && type_parse_text(r, row, n, base);
}

static bool
parse_path(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;

	if (!type_want_scalar(r, n, "a path"))
		return false;
	if (n->text.len == 0 || n->text.p[0] != '/')
		return complain(r, n, "\"%.*s\" is no path, paths begin with /", STR_ARG(n->text));
	if (!type_want_plain(r, n))
		return false;
	if (str_find(n->text, '?') >= 0 || str_find(n->text, '#') >= 0)
		return complain(r, n, "a path ends before ? and #");
	route->path = arena_dup(r->arena, n->text);
	route->is_exact = strcmp(row->key, "exact") == 0;
	return true;
}

static void
print_path(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->is_exact != (strcmp(row->key, "exact") == 0))
		return;
	schema_print_key(out, indent, row);
	yaml_print(out, route->path);
	fputc('\n', out);
}

static bool
parse_upstream_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t i;

	(void)row;
	route->action = ROUTE_UPSTREAM;
	if (!named_find(r, n, NAMES_UPSTREAM, &i))
		return false;
	route->upstream = &r->config->upstreams[i];
	return true;
}

static bool
parse_cache_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t i;

	(void)row;
	if (!named_find(r, n, NAMES_CACHE, &i))
		return false;
	route->cache = &r->config->caches[i];
	return true;
}

static void
print_cache_name(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->cache == NULL)
		return;
	schema_print_key(out, indent, row);
	yaml_print(out, route->cache->name);
	fputc('\n', out);
}

static void
print_upstream_name(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->action != ROUTE_UPSTREAM)
		return;
	schema_print_key(out, indent, row);
	yaml_print(out, route->upstream->name);
	fputc('\n', out);
}

/* An element of "limit: [a, b]". */
static bool
parse_limit_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct limit_conf **at = base;
	size_t i;

	(void)row;
	if (!named_find(r, n, NAMES_LIMIT, &i))
		return false;
	*at = &r->config->limits[i];
	return true;
}

static bool
parse_limit_names(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct route_conf *route = base;
	bool ok = type_parse_list(r, row, n, base);
	size_t i, j;

	for (i = 0; i < route->n_limits; i++)
		for (j = 0; j < i; j++)
			if (route->limits[i] != NULL && route->limits[i] == route->limits[j])
				ok = complain(r, n->items[i], "%.*s is there twice",
				    STR_ARG(route->limits[i]->name));
	return ok;
}

static void
print_limit_name(FILE *out, int indent, const struct row *row, const void *base)
{
	(void)indent;
	(void)row;
	yaml_print(out, (*(const struct limit_conf *const *)base)->name);
	fputc('\n', out);
}

/* respond and redirect: a section that says what the route does. */
static bool
parse_action(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	((struct route_conf *)base)->action = (enum route_action)row->min;
	return schema_fill(r, row->rows, n, base);
}

static void
print_action(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct route_conf *)base)->action != (enum route_action)row->min)
		return;
	schema_print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, base);
}

static bool
parse_body_limit(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t *at = AT(base, row);

	if (!type_parse_size(r, row, n, base))
		return false;
	if (*at == 0)
		*at = UINT64_MAX;
	return true;
}

static void
print_body_limit(FILE *out, int indent, const struct row *row, const void *base)
{
	uint64_t value = *(const uint64_t *)AT_CONST(base, row);
	char buf[32];

	type_format_size(buf, sizeof(buf), value == UINT64_MAX ? 0 : (int64_t)value);
	schema_print_key(out, indent, row);
	fprintf(out, "%s\n", buf);
}

static bool
parse_field_map(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct array *at = AT(base, row);
	struct header_rule *rules;
	bool ok = true;
	size_t i, was;

	if (n->kind != NODE_MAP)
		return complain(r, n, "a mapping of field names to values is expected here");
	if (n->n / 2 > (size_t)row->max)
		return complain(r, n, "%zu fields, %lld are possible", n->n / 2, (long long)row->max);
	at->n = n->n / 2;
	at->items = rules = arena_zalloc(r->arena, (at->n + 1) * sizeof(*rules));
	for (i = 0; i < at->n; i++) {
		was = path_push_key(r, n->items[2 * i]->text);
		rules[i].name = arena_dup(r->arena, n->items[2 * i]->text);
		ok &= take_field_name(r, n->items[2 * i], row->min == HOST_IS_FINE) &&
		    type_want_scalar(r, n->items[2 * i + 1], "a text") &&
		    type_compile(r, n->items[2 * i + 1], &rules[i].value);
		path_pop(r, was);
		schema_check_twice(r, n, 2 * i, str_eq_nocase);
	}
	return ok;
}

static void
print_field_map(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct array *at = AT_CONST(base, row);
	const struct header_rule *rules = at->items;
	size_t i;

	schema_print_key(out, indent, row);
	fputc('{', out);
	for (i = 0; i < at->n; i++) {
		fputs(i > 0 ? ", " : "", out);
		yaml_print(out, rules[i].name);
		fputs(": ", out);
		type_print_template(out, &rules[i].value);
	}
	fputs("}\n", out);
}

static const struct type type_path = { .parse = parse_path, .print = print_path };
static const struct type type_upstream_name = { .parse = parse_upstream_name, .print = print_upstream_name };
static const struct type type_cache_name = { .parse = parse_cache_name, .print = print_cache_name };
static const struct type type_limit_name = { .parse = parse_limit_name, .print = print_limit_name };
static const struct type type_limit_names = { .parse = parse_limit_names, .print = type_print_list };
static const struct type type_action = { .parse = parse_action, .print = print_action };
static const struct type type_body_limit = { parse_body_limit, print_body_limit, "size",
	type_format_size };
static const struct type type_field_map = { .parse = parse_field_map, .print = print_field_map };
const struct type type_field_name = { .parse = parse_field_name, .print = type_print_text };

static const struct row host_element = { "", &type_host, 0, .help = "" };
static const struct row method_element = { "", &type_method, 0, .help = "" };
static const struct row limit_element = { "", &type_limit_name, 0, .help = "" };
static const struct row field_element = { "", &type_field_name, 0, .help = "" };

#define ROUTE(member)	offsetof(struct route_conf, member)

static const struct row respond_rows[] = {
	{ "status", &type_number, ROUTE(respond.status), "200", 200, 599, .help = "its status" },
	{ "body", &type_text, ROUTE(respond.body), "\"\"", .help = "its body" },
	{ "type", &type_plain, ROUTE(respond.type), "text/plain", .help = "its Content-Type" },
	{ "files", &type_plain, ROUTE(respond.files), .optional = true, .example = "/var/lib/weir/acme",
	  .help = "instead of these a folder: the file of the name behind the path, directly in it, at most "
	  "1 MB" },
	{ .key = NULL },
};

/* It may be made later, by who puts files into it. */
static void
check_folder(struct reading *r, const struct node *n, struct str path)
{
	struct stat st;
	int error = stat(path.p, &st) == 0 ? 0 : errno;

	if (error == ENOENT)
		warn(r, n, "%.*s: there is no such folder yet", STR_ARG(path));
	else if (error != 0)
		complain(r, n, "%.*s: %s", STR_ARG(path), strerror(error));
	else if (!S_ISDIR(st.st_mode))
		complain(r, n, "%.*s: that is a file, name the folder it is in", STR_ARG(path));
}

/* A folder of files is read, and nothing else is said of the answer. */
static bool
parse_respond(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	static const char *const others[] = { "status", "body", "type" };
	struct route_conf *route = base;
	const struct node *files, *at;
	size_t i;

	if (!parse_action(r, row, n, base))
		return false;
	files = node_find(n, "files");
	if (files == NULL)
		return true;
	for (i = 0; i < 3; i++)
		if ((at = node_find(n, others[i])) != NULL)
			complain_key(r, at, str_of(others[i]), "has no effect with files");
	if (route->respond.files.len == 0)
		return complain_key(r, files, STR("files"), "name a folder");
	i = path_push_key(r, STR("files"));
	check_folder(r, files, route->respond.files);
	file_note_add(r, files, route->respond.files, FILE_USE_SEARCH);
	path_pop(r, i);
	return true;
}

static void
print_respond(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct route_conf *route = base;

	if (route->respond.files.len == 0) {
		print_action(out, indent, row, base);
		return;
	}
	fprintf(out, "%*s%s: {files: ", indent, "", row->key);
	yaml_print(out, route->respond.files);
	fputs("}\n", out);
}

static const struct type type_respond = { .parse = parse_respond, .print = print_respond };

static const struct word redirect_words[] = { { "301", 301 }, { "302", 302 }, { "303", 303 },
	{ "307", 307 }, { "308", 308 }, { NULL, 0 } };

static const struct row redirect_rows[] = {
	{ "to", &type_template, ROUTE(redirect.to), .required = true,
	  .example = "https://example.org$request_uri",
	  .help = "where to, with $variables such as $host and $request_uri" },
	{ "status", &type_status, ROUTE(redirect.status), "308", .words = redirect_words,
	  .help = "its status" },
	{ .key = NULL },
};

#define HEADER_ROWS(which, host)								\
	{ "set", &type_field_map, ROUTE(which.set), "{}", host, 64,			\
	  .help = "replaces fields, with $variables" },						\
	{ "add", &type_field_map, ROUTE(which.add), "{}", 0, 64, .help = "adds fields" },	\
	{ "remove", &type_list, ROUTE(which.remove), "[]", 0, 64, .element = &field_element,	\
	  .size = sizeof(struct str), .help = "takes fields out" },				\
	{ .key = NULL }

static const struct row request_header_rows[] = { HEADER_ROWS(request_headers, HOST_IS_FINE) };
static const struct row response_header_rows[] = { HEADER_ROWS(response_headers, HOST_IS_BARRED) };

static const struct word scheme_words[] = { { "any", ROUTE_ANY_SCHEME }, { "http", ROUTE_HTTP },
	{ "https", ROUTE_HTTPS }, { NULL, 0 } };

static const struct row route_rows[] = {
	{ "path", &type_path, 0, .example = "/",
	  .help = "a prefix, on a segment boundary: /v1 is /v1 and /v1/x, not /v1x" },
	{ "exact", &type_path, 0, .optional = true, .example = "/healthz", .help = "or the whole path" },
	{ "name", &type_plain, ROUTE(name), .optional = true, .example = "chat",
	  .help = "for logs; the path when absent" },
	{ "host", &type_list, ROUTE(hosts), "[]", 0, 64, .element = &host_element,
	  .size = sizeof(struct str), .help = "hosts it is for, *.x is every name below x; none: all" },
	{ "methods", &type_list, ROUTE(methods), "[]", 0, 32, .element = &method_element,
	  .size = sizeof(struct str), .help = "methods it is for; GET is HEAD too; none: all" },
	{ "scheme", &type_enum, ROUTE(scheme), "any", .words = scheme_words,
	  .help = "http: clients that came without TLS, to be redirected" },
	{ "upstream", &type_upstream_name, 0, .example = "qwen", .help = "who answers" },
	{ "cache", &type_cache_name, 0, .example = "answers",
	  .help = "where answers of the upstream are kept" },
	{ "respond", &type_respond, 0, NULL, ROUTE_RESPOND, .rows = respond_rows, .optional = true,
	  .help = "or an answer of our own" },
	{ "redirect", &type_action, 0, NULL, ROUTE_REDIRECT, .rows = redirect_rows, .optional = true,
	  .help = "or another address" },
	{ "auth", &type_auth, ROUTE(auth), .rows = auth_rows, .optional = true,
	  .help = "who asks has to say who he is, in one of these ways; others are refused with 401" },
	{ "allow", &type_list, ROUTE(allow), "[]", 0, 1024, .element = &network_element,
	  .size = sizeof(struct network),
	  .help = "clients it is for, by network; others are refused with 403; none: all" },
	{ "deny", &type_list, ROUTE(deny), "[]", 0, 1024, .element = &network_element,
	  .size = sizeof(struct network),
	  .help = "clients it is not for, whatever allow says" },
	{ "limit", &type_limit_names, ROUTE(limits), "[]", 0, 8, .element = &limit_element,
	  .size = sizeof(struct limit_conf *), .example = "per_client",
	  .help = "a limit, or a list: a request counts in all of them or in none" },
	{ "request_headers", &type_section, 0, "{}", .rows = request_header_rows,
	  .help = "fields of the request, as the server sees them" },
	{ "response_headers", &type_section, 0, "{}", .rows = response_header_rows,
	  .help = "fields of the answer" },
	{ "compress", &type_compress, ROUTE(compress), .rows = compress_rows, .optional = true,
	  .help = "answers of these kinds are encoded for clients that want it; a list of encodings, "
	  "[zstd, gzip], is enough" },
	{ "max_body", &type_body_limit, ROUTE(max_body), "64MB", 0, TB,
	  .help = "of a request; 0 is no limit" },
	{ .key = NULL },
};

/* Keys of a route that change nothing in what a server is asked. */
static bool
is_beside_the_request(const char *key)
{
	static const char *const beside[] = { "name", "host", "methods", "scheme", "cache", "limit",
		"respond", "redirect", "response_headers", "compress", "max_body", "allow", "deny" };
	size_t i;

	for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
		if (strcmp(key, beside[i]) == 0)
			return true;
	return false;
}

/* A key that comes later is part of it unless it is named above: when in doubt answers are not shared. */
static struct str
cache_identity(struct reading *r, const struct row *row, const struct route_conf *route)
{
	struct str identity;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	check(out != NULL);
	for (; row->key != NULL; row++)
		if (!is_beside_the_request(row->key))
			row->type->print(out, 0, row, route);
	fclose(out);
	identity = arena_dup(r->arena, str_make(text, len));
	free(text);
	return identity;
}

/* Files are named by what is behind a prefix, and only read. */
static void
check_files(struct reading *r, const struct node *n, struct route_conf *route)
{
	size_t i;

	if (route->is_exact)
		complain_key(r, node_find(n, "exact"), STR("exact"), "files need a path, which their names "
		    "follow");
	for (i = 0; i < route->n_methods; i++)
		if (!str_eq(route->methods[i], STR("GET")) && !str_eq(route->methods[i], STR("HEAD")))
			complain_key(r, node_find(n, "methods"), STR("methods"),
			    "files are for GET and HEAD");
	if (route->n_methods > 0)
		return;
	route->methods = arena_alloc(r->arena, sizeof(*route->methods));
	route->methods[0] = STR("GET");
	route->n_methods = 1;
}

static bool
parse_route(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct route_conf *route = base;
	size_t errors = r->n_errors;
	unsigned actions;

	schema_fill(r, row->rows, n, base);
	if (n->kind != NODE_MAP)
		return false;
	if (schema_has_key(row->rows, n, "path") == schema_has_key(row->rows, n, "exact"))
		complain(r, n, "a route has either path or exact");
	actions = schema_has_key(row->rows, n, "upstream") + schema_has_key(row->rows, n, "respond") +
	    schema_has_key(row->rows, n, "redirect");
	if (actions != 1)
		complain(r, n, "a route has one of upstream, respond and redirect");
	if (node_find(n, "cache") != NULL && node_find(n, "upstream") == NULL)
		complain_key(r, node_find(n, "cache"), STR("cache"), "only answers of an upstream are kept");
	if (node_find(n, "compress") != NULL && node_find(n, "redirect") != NULL)
		complain_key(r, node_find(n, "compress"), STR("compress"), "a redirect has no body");
	if (route->respond.files.len > 0)
		check_files(r, n, route);
	if (route->name.len == 0)
		route->name = route->path;
	/* Of a file that is good so far: in another what it names may not be there. */
	if (r->n_errors == 0 && route->cache != NULL)
		route->cache_identity = cache_identity(r, row->rows, route);
	return r->n_errors == errors;
}

static const struct type type_route = { .parse = parse_route, .print = type_print_map };
const struct row route_element = { "", &type_route, 0, .rows = route_rows };
