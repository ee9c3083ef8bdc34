/* SPDX-License-Identifier: MIT */
/*
 * The whole file: its sections, and what follows from all of it.
 */
#include "config/section.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "base/arena.h"
#include "config/file_note.h"
#include "config/named.h"
#include "config/type.h"

static bool
parse_format(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	static const struct word words[] = { { "json", LOG_JSON }, { "combined", LOG_COMBINED },
		{ NULL, 0 } };
	struct access_log_conf *log = AT(base, row);
	int kind = LOG_CUSTOM;
	const char *why;

	if (!type_want_scalar(r, n, "json, combined or a format with $fields"))
		return false;
	if (str_find(n->text, '$') < 0 && !type_find_word(r, words, n, &kind))
		return false;
	if (!type_want_line(r, n))
		return false;
	if (kind == LOG_CUSTOM && r->checks->check_format != NULL &&
	    !r->checks->check_format(r->scratch, n->text, &why))
		return complain(r, n, "\"%.*s\": %s", STR_ARG(n->text), why);
	log->kind = (enum log_format)kind;
	log->format = kind == LOG_CUSTOM ? arena_dup(r->arena, n->text) : STR_NONE;
	return true;
}

static void
print_format(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct access_log_conf *log = AT_CONST(base, row);

	schema_print_key(out, indent, row);
	if (log->kind == LOG_CUSTOM)
		yaml_print(out, log->format);
	else
		fputs(log->kind == LOG_JSON ? "json" : "combined", out);
	fputc('\n', out);
}

static const struct type type_format = { .parse = parse_format, .print = print_format };

#define LOG(member)	offsetof(struct access_log_conf, member)
static const struct row log_rows[] = {
	{ "path", &type_plain, LOG(path), "stdout", .help = "a file, stdout, stderr or off" },
	{ "format", &type_format, 0, "json", .help = "json, combined, or a text with $fields" },
	{ .key = NULL },
};

static void
note_log(struct reading *r, const struct node *n, struct str path)
{
	const struct node *at = n->kind == NODE_MAP ? node_find(n, "path") : NULL;
	size_t was = r->path_len;

	if (str_eq(path, STR("stdout")) || str_eq(path, STR("stderr")) || str_eq(path, STR("off")))
		return;
	if (at != NULL)
		was = path_push_key(r, STR("path"));
	file_note_add(r, at != NULL ? at : n, path, FILE_USE_LOG);
	path_pop(r, was);
}

/* "access_log: off" is short for its path. */
static bool
parse_log(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct access_log_conf *log = AT(base, row);

	if (n->kind == NODE_SCALAR) {
		log->kind = LOG_JSON;
		log->path = arena_dup(r->arena, n->text);
		if (!type_want_plain(r, n))
			return false;
	} else if (!schema_fill(r, row->rows, n, log))
		return false;
	if (log->path.len == 0)
		return complain(r, n, "a path is expected here, or off");
	note_log(r, n, log->path);
	return true;
}

static const struct type type_log = { .parse = parse_log, .print = type_print_section };

/* A name that this machine knows: min says of what. */
enum { ACCOUNT_USER, ACCOUNT_GROUP };

static bool
parse_account(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	char name[64];

	if (!type_parse_plain(r, row, n, base))
		return false;
	if (n->text.len == 0)
		return true;
	if (n->text.len >= sizeof(name))
		return complain(r, n, "too long, a name has at most %zu bytes", sizeof(name) - 1);
	snprintf(name, sizeof(name), "%.*s", STR_ARG(n->text));
	if (row->min == ACCOUNT_USER ? getpwnam(name) != NULL : getgrnam(name) != NULL)
		return true;
	return complain(r, n, "this machine has no %s %s, make one with %s --system %s",
	    row->min == ACCOUNT_USER ? "user" : "group", name,
	    row->min == ACCOUNT_USER ? "adduser" : "addgroup", name);
}

static const struct type type_account = { .parse = parse_account, .print = type_print_text };

#define CLIENT(member)	offsetof(struct client_conf, member)
static const struct row client_rows[] = {
	{ "header_timeout", &type_msec, CLIENT(header_timeout), "10s", 1, DAY,
	  .help = "for the whole head of a request" },
	{ "body_timeout", &type_msec, CLIENT(body_timeout), "60s", 1, DAY,
	  .help = "between two pieces of a request's body" },
	{ "keepalive_timeout", &type_msec, CLIENT(keepalive_timeout), "75s", 1, DAY,
	  .help = "between two requests" },
	{ "send_timeout", &type_msec, CLIENT(send_timeout), "300s", 1, DAY,
	  .help = "a client that takes no byte of the answer" },
	{ "max_head", &type_size, CLIENT(max_head), "32KB", 1024, 60 * 1024,
	  .help = "of a request: its first line and fields" },
	{ "max_connections", &type_number, CLIENT(max_connections), "10000", 1, 1000000,
	  .help = "clients at a time; more wait unaccepted" },
	{ "underscores_in_headers", &type_bool, CLIENT(keep_underscore), "false",
	  .help = "lets fields pass that have _ in their name" },
	{ .key = NULL },
};

#define CONF(member)	offsetof(struct config, member)
static const struct row root_rows[] = {
	{ "listen", &type_listens, CONF(listen), NULL, 1, 64, .required = true, .example = "[80]",
	  .element = &listen_element, .size = sizeof(struct listen_conf),
	  .help = "give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path, a mapping with one, or a list "
	  "of them" },
	{ "trusted_proxies", &type_list, CONF(trusted_proxies), "[]", 0, 1024,
	  .element = &network_element, .size = sizeof(struct network),
	  .help = "networks whose X-Forwarded-* fields are believed" },
	{ "upstreams", &type_upstreams, CONF(upstreams), "{}", 0, 64, .rows = upstream_rows,
	  .help = "pools of servers by name", .named = "qwen", .size = sizeof(struct upstream_conf) },
	{ "resolver", &type_resolver, CONF(resolver), "{}", .rows = resolver_rows,
	  .help = "how names of servers are looked up: in /etc/hosts, then by name servers" },
	{ "limits", &type_limits, CONF(limits), "{}", 0, 64, .rows = limit_rows,
	  .size = sizeof(struct limit_conf), .named = "per_client",
	  .help = "how much may be asked; routes name them" },
	{ "caches", &type_caches, CONF(caches), "{}", 0, 16, .rows = cache_rows, .named = "answers",
	  .size = sizeof(struct cache_conf), .help = "answers that are kept, by name" },
	{ "routes", &type_list, CONF(routes), NULL, 1, 1024, .element = &route_element,
	  .size = sizeof(struct route_conf), .help = "what is answered how: the first that matches" },
	{ "client", &type_section, CONF(client), "{}", .rows = client_rows, .help = "limits of clients" },
	{ "access_log", &type_log, CONF(access_log), "{}", .rows = log_rows,
	  .help = "one line for each request" },
	{ "admin", &type_admin, CONF(admin), "{}", .rows = admin_rows,
	  .help = "what weir says of itself: /metrics for Prometheus, /status, /healthz" },
	{ "user", &type_account, CONF(user), "\"\"", ACCOUNT_USER,
	  .help = "whom to become once sockets, certificates and logs are open; needs root to start" },
	{ "group", &type_account, CONF(group), "\"\"", ACCOUNT_GROUP,
	  .help = "the group instead of that user's own" },
	{ "drain_timeout", &type_msec, CONF(drain_timeout), "30s", 0, DAY,
	  .help = "how long requests in flight may go on when weir stops" },
	{ .key = NULL },
};

const struct row *
section_root(void)
{
	return root_rows;
}

/* Without routes everything goes to the one upstream. */
static bool
make_route(struct reading *r, const struct node *root)
{
	struct config *conf = r->config;
	const struct node *upstreams = node_find(root, "upstreams");
	struct node *route;

	/* A section that could not be read at all says nothing of the other. */
	if (upstreams != NULL && (upstreams->kind != NODE_MAP || conf->n_upstreams != upstreams->n / 2))
		return false;
	if (conf->n_upstreams != 1)
		return complain_key(r, root, STR("routes"), "missing, say what is answered how: "
		    "- {path: /, upstream: NAME}");
	if (r->n_errors > 0)
		return false;
	route = yaml_read(r, arena_printf(r->scratch, "[{path: /, upstream: \"%.*s\"}]",
	    STR_ARG(conf->upstreams[0].name)));
	return route != NULL && type_parse_list(r, schema_find_row(root_rows, STR("routes")), route, conf);
}

bool
section_finish(struct reading *r, const struct node *root)
{
	bool has_routes = node_find(root, "routes") != NULL;
	unsigned kind;
	size_t i;

	section_listen_finish(r, root);
	section_admin_finish(r, root);
	file_note_check(r, root);
	for (i = 0; i < r->config->n_upstreams; i++) {
		struct upstream_conf *up = &r->config->upstreams[i];

		up->check.sends_proxy_header = up->sends_proxy_header;
		r->config->sends_proxy_headers |= up->sends_proxy_header;
	}
	section_upstream_finish(r, node_find(root, "upstreams"));
	for (kind = 0; kind < N_NAMES; kind++)
		if (!r->has_misspelt && (has_routes ? r->config->n_routes > 0 : kind != NAMES_UPSTREAM))
			named_check_unused(r, kind);
	return has_routes || make_route(r, root);
}
