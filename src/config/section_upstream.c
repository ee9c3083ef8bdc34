/* SPDX-License-Identifier: MIT */
/*
 * upstreams: pools of servers, how one of them is chosen, tried again, waited for.
 */
#include "config/section.h"

#include <string.h>

#include "config/named.h"
#include "config/type.h"

#define UP(member)	offsetof(struct upstream_conf, member)

/* --- balancers --------------------------------------------------------------------------------- */

static const struct word hash_words[] = { { "client_ip", KEY_CLIENT_IP }, { "header", KEY_HEADER },
	{ "cookie", KEY_COOKIE }, { "query", KEY_QUERY }, { "path", KEY_PATH }, { NULL, 0 } };

static bool
parse_key(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return type_key_take(r, n, hash_words, AT(base, row));
}

static void
print_hash(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	if (up->balance != BALANCE_HASH || up->bound > 0)
		return;
	schema_print_key(out, indent, row);
	type_key_print(out, hash_words, &up->hash);
	fputc('\n', out);
}

static const struct word balance_words[] = { { "round_robin", BALANCE_ROUND_ROBIN },
	{ "least_requests", BALANCE_LEAST_REQUESTS }, { "ip_hash", BALANCE_IP_HASH },
	{ "hash", BALANCE_HASH }, { NULL, 0 } };

static const struct row prefix_rows[] = {
	{ "prefix4", &type_number, offsetof(struct upstream_conf, prefix4), NULL, 1, 32,
	  .help = "bits of an IPv4 address that make the key; nginx takes 24" },
	{ "prefix6", &type_number, offsetof(struct upstream_conf, prefix6), NULL, 1, 128,
	  .help = "bits of an IPv6 address that make the key" },
	{ .key = NULL },
};

static bool
parse_prefixes(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	(void)row;
	return schema_fill(r, prefix_rows, n, base);
}

static void
print_prefixes(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	if (up->balance != BALANCE_IP_HASH)
		return;
	schema_print_key(out, indent, row);
	fprintf(out, "{prefix4: %u, prefix6: %u}\n", up->prefix4, up->prefix6);
}

static bool
parse_bound(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	uint64_t value;

	if (!type_want_scalar(r, n, "a bound such as 1.25"))
		return false;
	if (!type_parse_decimal(n->text, 2, &value) || (value != 0 && (value < 100 || value > 1000)))
		return complain(r, n, "\"%.*s\" is no bound, 1 to 10 with at most two decimals is possible, "
		    "0 is none", STR_ARG(n->text));
	*(unsigned *)AT(base, row) = (unsigned)value;
	return true;
}

static const struct type type_key = { .parse = parse_key, .print = print_hash };
static const struct type type_bound = { .parse = parse_bound, .print = NULL };
static const struct type type_prefixes = { .parse = parse_prefixes, .print = print_prefixes };

/* The long form: {hash: KEY, bound: 1.25} or {ip_hash: {prefix4: 24}}. */
static const struct row balance_rows[] = {
	{ "hash", &type_key, offsetof(struct upstream_conf, hash), .help = "the key" },
	{ "bound", &type_bound, offsetof(struct upstream_conf, bound),
	  .help = "most of its share that a server takes" },
	{ "ip_hash", &type_prefixes, 0, .help = "prefix lengths" },
	{ .key = NULL },
};

static bool
parse_balance(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct upstream_conf *up = base;
	int kind;

	(void)row;
	if (n->kind == NODE_SCALAR) {
		if (!type_find_word(r, balance_words, n, &kind))
			return false;
		up->balance = (enum balance_kind)kind;
		return true;
	}
	if (!schema_fill(r, balance_rows, n, base))
		return false;
	if ((node_find(n, "hash") != NULL) == (node_find(n, "ip_hash") != NULL))
		return complain(r, n, "give hash or ip_hash here, one of them");
	up->balance = node_find(n, "hash") != NULL ? BALANCE_HASH : BALANCE_IP_HASH;
	return up->balance == BALANCE_HASH || node_find(n, "bound") == NULL ||
	    complain_key(r, node_find(n, "bound"), STR("bound"), "has no effect without hash");
}

static void
print_balance(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct upstream_conf *up = base;

	schema_print_key(out, indent, row);
	if (up->balance == BALANCE_HASH && up->bound > 0) {
		fputs("{hash: ", out);
		type_key_print(out, hash_words, &up->hash);
		fputs(", bound: ", out);
		type_print_decimal(out, up->bound, 100);
		fputs("}\n", out);
	} else
		fprintf(out, "%s\n", type_word_of(balance_words, up->balance));
}

static const struct type type_balance = { .parse = parse_balance, .print = print_balance };

/* --- servers ----------------------------------------------------------------------------------- */

static bool
parse_server_address(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct server_conf *s = base;
	const char *why;

	(void)row;
	if (!type_want_scalar(r, n, "an address") || !type_want_plain(r, n))
		return false;
	return address_parse_server(r->arena, n->text, &s->address, &s->is_tls, &why) ||
	    complain(r, n, "\"%.*s\" is no address, %s", STR_ARG(n->text), why);
}

static const struct type type_address = { .parse = parse_server_address, .print = type_print_address };

static const struct word resolve_words[] = { { "all", RESOLVE_ALL }, { "first", RESOLVE_FIRST },
	{ NULL, 0 } };

static bool
parse_resolve(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return type_enum.parse(r, row, n, base);
}

static bool
may_resolve(const struct server_conf *s)
{
	return s->address.is_name && !s->address.is_service;
}

static void
print_resolve(FILE *out, int indent, const struct row *row, const void *base)
{
	if (may_resolve(base))
		type_enum.print(out, indent, row, base);
}

static const struct type type_resolve = { .parse = parse_resolve, .print = print_resolve };

static const struct row server_rows[] = {
	{ "address", &type_address, offsetof(struct server_conf, address), .required = true,
	  .help = "ADDRESS:PORT, [IPV6]:PORT, NAME:PORT, srv:NAME or unix:/path; https:// before it is TLS",
	  .example = "127.0.0.1:8002" },
	{ "resolve", &type_resolve, offsetof(struct server_conf, resolve), "all", .words = resolve_words,
	  .optional = true,
	  .help = "of a NAME: all of its addresses are servers, or it is one, at the first that answers" },
	{ "weight", &type_weight, offsetof(struct server_conf, weight), "1",
	  .help = "its share, 0.001 to 1000 with at most three decimals" },
	{ "backup", &type_bool, offsetof(struct server_conf, backup), "false",
	  .help = "serves only when no other can" },
	{ "down", &type_bool, offsetof(struct server_conf, down), "false", .help = "gets no requests" },
	{ "max_inflight", &type_number, offsetof(struct server_conf, max_inflight), "0", 0, 1000000,
	  .help = "requests it gets at a time; more wait in line; 0 is no limit" },
	{ "max_fails", &type_number, offsetof(struct server_conf, max_fails), NULL, 0, 64,
	  .help = "the upstream's unless given", .optional = true, .example = "2" },
	{ "fail_timeout", &type_msec, offsetof(struct server_conf, fail_timeout), NULL, 1, HOUR,
	  .help = "the upstream's unless given", .optional = true, .example = "10s" },
	{ .key = NULL },
};

static bool
check_resolve(struct reading *r, const struct node *n, const struct server_conf *s)
{
	const struct node *at = node_find(n, "resolve");

	return at == NULL || may_resolve(s) || complain_key(r, at, STR("resolve"), s->address.is_service
	    ? "has no effect on a service, which is all of its places"
	    : "has no effect on what is no name");
}

static bool
parse_server(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct server_conf *s = base;
	struct node *items[2], map = *n, key = *n;

	s->max_fails = r->upstream->max_fails;
	s->fail_timeout = r->upstream->fail_timeout;
	if (n->kind != NODE_SCALAR)
		return schema_fill(r, row->rows, n, base) && check_resolve(r, n, s);
	/* A bare address is a server with nothing else said. */
	key.text = STR("address");
	items[0] = &key;
	items[1] = (struct node *)(uintptr_t)n;
	map.kind = NODE_MAP;
	map.items = items;
	map.n = 2;
	return parse_server_address(r, row, n, s) && schema_fill(r, row->rows, &map, base);
}

static const struct type type_server = { .parse = parse_server, .print = type_print_map };
static const struct row server_element = { "", &type_server, 0, .rows = server_rows };

/* --- upstreams --------------------------------------------------------------------------------- */

static const struct row retry_rows[] = {
	{ "tries", &type_number, UP(retry.tries), "2", 1, 10,
	  .help = "servers asked in all, 1 is no retry" },
	{ "on", &type_set, UP(retry.on), "[error, 502, 503, 504]",
	  .help = "what is tried again: error, timeout, statuses" },
	{ "non_idempotent", &type_bool, UP(retry.non_idempotent), "false",
	  .help = "POST and PATCH too: right where asking twice only costs time" },
	{ "keep_body", &type_size, UP(retry.keep_body), "1MB", 0, 64 * MB,
	  .help = "a longer request body is not kept, so not sent again" },
	{ .key = NULL },
};

static const struct row queue_rows[] = {
	{ "size", &type_number, UP(queue.size), "64", 0, 100000,
	  .help = "its places; who finds none is refused at once with 503 and Retry-After" },
	{ "timeout", &type_msec, UP(queue.timeout), "30s", 1, DAY,
	  .help = "how long one waits; then 503 with Retry-After" },
	{ .key = NULL },
};

static bool
has_limit(const struct upstream_conf *up)
{
	size_t i;

	for (i = 0; i < up->n_servers; i++)
		if (up->servers[i].max_inflight > 0)
			return true;
	return false;
}

/* Where no server has a limit nobody ever waits. */
static void
print_queue(FILE *out, int indent, const struct row *row, const void *base)
{
	if (!has_limit(base))
		return;
	schema_print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, base);
}

static const struct type type_queue = { .parse = type_parse_section, .print = print_queue };

static const struct row keepalive_rows[] = {
	{ "idle", &type_number, UP(keepalive.idle), "32", 0, 10000,
	  .help = "idle connections kept to each server" },
	{ "timeout", &type_msec, UP(keepalive.timeout), "4s", 1, HOUR,
	  .help = "how long; less than the server keeps them" },
	{ .key = NULL },
};

static const struct row timeouts_rows[] = {
	{ "connect", &type_msec, UP(timeouts.connect), "5s", 1, DAY, .help = "until a server accepts" },
	{ "first_byte", &type_msec, UP(timeouts.first_byte), "300s", 1, DAY,
	  .help = "from the whole request to the answer's head" },
	{ "idle", &type_msec, UP(timeouts.idle), "300s", 1, DAY,
	  .help = "between two pieces of an answer; in a tunnel, of both sides" },
	{ "send", &type_msec, UP(timeouts.send), "300s", 1, DAY,
	  .help = "a server that takes no byte of the request" },
	{ "total", &type_msec, UP(timeouts.total), "0", 0, DAY, .help = "of all of it; 0 is no limit" },
	{ .key = NULL },
};

static const struct word proxy_words[] = { { "off", 0 }, { "v2", 1 }, { NULL, 0 } };
static const struct word abort_words[] = { { "close", 0 }, { "finish", 1 }, { NULL, 0 } };

const struct row upstream_rows[] = {
	{ "balance", &type_balance, 0, "round_robin",
	  .help = "round_robin, least_requests, ip_hash or hash; or {hash: KEY, bound: 1.25}" },
	{ "hash", &type_key, UP(hash), .optional = true, .example = "header:X-Session-Id",
	  .help = "for hash: client_ip, header:NAME, cookie:NAME, query:NAME or path" },
	{ "ip_hash", &type_prefixes, 0, .optional = true, .example = "{prefix4: 32, prefix6: 64}",
	  .help = "for ip_hash: how much of an address makes a client" },
	{ "max_fails", &type_number, UP(max_fails), "2", 0, 64,
	  .help = "failures within fail_timeout that leave a server out; 0: never" },
	{ "fail_timeout", &type_msec, UP(fail_timeout), "10s", 1, HOUR,
	  .help = "the window of max_fails, and how long a server is left out" },
	{ "fail_on", &type_set, UP(fail_on), "[error, timeout, 502, 503, 504]",
	  .help = "what is a failure: error, timeout, statuses" },
	{ "servers", &type_list, UP(servers), NULL, 1, 64, .required = true,
	  .help = "a list of addresses, or of mappings with address", .element = &server_element,
	  .size = sizeof(struct server_conf) },
	{ "tls", &type_tls_client, UP(tls), "{}", .rows = tls_client_rows, .optional = true,
	  .help = "with servers whose address begins with https://" },
	{ "retry", &type_section, 0, "{}", .rows = retry_rows,
	  .help = "another server, while the client was told nothing" },
	{ "queue", &type_queue, 0, "{}", .rows = queue_rows, .optional = true,
	  .help = "the line of those who wait while every server is at its max_inflight" },
	{ "keepalive", &type_section, 0, "{}", .rows = keepalive_rows, .help = "connections kept open" },
	{ "timeouts", &type_section, 0, "{}", .rows = timeouts_rows, .help = "limits of waiting" },
	{ "health_check", &type_check, 0, .rows = check_rows, .optional = true,
	  .help = "servers are asked whether they are well; vllm, llamacpp, ollama, tgi or openai instead of "
	  "keys asks what these understand" },
	{ "stall_timeout", &type_msec, UP(stall_timeout), "0", 0, DAY,
	  .help = "a server that sends nobody a byte for so long, with requests waiting for it, is left out; "
	  "0: never" },
	{ "slow_start", &type_msec, UP(slow_start), "0", 0, HOUR,
	  .help = "a server that is back begins with a tenth of its weight, which grows for so long; 0: all "
	  "at once" },
	{ "proxy_protocol", &type_switch, UP(sends_proxy_header), "off", .words = proxy_words,
	  .help = "v2: servers are told the client's address in a PROXY header; each connection then "
	  "serves one request" },
	{ "on_client_abort", &type_switch, UP(finish_on_abort), "close", .words = abort_words,
	  .help = "close: a client that leaves ends the server's work; finish: it goes on" },
	{ .key = NULL },
};

/* What stands beside balance belongs to it, and is not said in it already. */
static void
check_beside(struct reading *r, const struct node *n, const char *key, bool fits)
{
	const struct node *balance = node_find(n, "balance"), *at = node_find(n, key);

	if (at == NULL)
		return;
	if (!fits)
		complain_key(r, at, str_of(key), "has no effect, balance: %s takes it", key);
	else if (balance != NULL && balance->kind == NODE_MAP)
		complain_key(r, at, str_of(key), "said in balance already");
}

static void
check_servers(struct reading *r, const struct node *n, const struct upstream_conf *up)
{
	bool any = up->n_servers == 0;
	size_t i, j, was;

	for (i = 0; i < up->n_servers; i++) {
		struct str text = up->servers[i].address.text;

		any |= !up->servers[i].down;
		was = path_push(r, "[%zu]", i);
		for (j = 0; j < i && text.len > 0; j++)
			if (str_eq(text, up->servers[j].address.text)) {
				complain(r, n->items[i], "%.*s is there twice, give it a weight instead",
				    STR_ARG(text));
				break;
			}
		path_pop(r, was);
	}
	if (!any)
		complain(r, n, "every server is down, one at least must serve");
}

/* Servers also when another row was wrong: every error is told at once. */
static void
check_upstream(struct reading *r, const struct node *n, bool ok, const struct upstream_conf *up)
{
	const struct node *tls = node_find(n, "tls");
	size_t was;

	if (ok) {
		check_beside(r, n, "hash", up->balance == BALANCE_HASH);
		check_beside(r, n, "ip_hash", up->balance == BALANCE_IP_HASH);
	}
	if (node_find(n, "servers") == NULL)
		return;
	if (ok && node_find(n, "queue") != NULL && !has_limit(up))
		complain_key(r, node_find(n, "queue"), STR("queue"),
		    "has no effect, give servers a max_inflight");
	if (ok && tls != NULL && !up->has_tls)
		complain_key(r, tls, STR("tls"),
		    "has no effect, no server's address begins with https://");
	if (ok && up->has_tls && (tls == NULL || tls->n == 0))
		section_tls_check_default(r, n, &up->tls);
	was = path_push(r, ".servers");
	check_servers(r, node_find(n, "servers"), up);
	path_pop(r, was);
}

static bool
parse_upstream(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct upstream_conf *up = base;
	size_t errors = r->n_errors, i;

	r->upstream = up;
	/* Two places may set these, so neither has a default. */
	up->prefix4 = 32;
	up->prefix6 = 64;
	if (n->is_empty)
		complain(r, n, "there is no value, give one or leave it out");
	else
		schema_fill(r, row->rows, n, up);
	for (i = 0; i < up->n_servers; i++)
		up->has_tls |= up->servers[i].is_tls;
	if (n->kind == NODE_MAP)
		check_upstream(r, n, r->n_errors == errors, up);
	return r->n_errors == errors;
}

static bool
parse_upstreams(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return named_parse(r, row, n, AT(base, row), NAMES_UPSTREAM, parse_upstream);
}

const struct type type_upstreams = { .parse = parse_upstreams, .print = named_print };

static bool
same_check(const struct check_conf *a, const struct check_conf *b)
{
	return a->is_tcp == b->is_tcp && a->sends_proxy_header == b->sends_proxy_header &&
	    str_eq(a->path, b->path) && str_eq(a->host, b->host) &&
	    str_eq(a->body, b->body) && memcmp(&a->expect, &b->expect, sizeof(a->expect)) == 0 &&
	    a->interval == b->interval && a->down_interval == b->down_interval &&
	    a->timeout == b->timeout && a->rise == b->rise && a->fall == b->fall;
}

static bool
same_tls(const struct tls_client_conf *a, const struct tls_client_conf *b)
{
	return a->verify == b->verify && str_eq(a->ca, b->ca) && str_eq(a->server_name, b->server_name) &&
	    str_eq(a->certificate.cert, b->certificate.cert) &&
	    str_eq(a->certificate.key, b->certificate.key);
}

static bool
has_server(const struct upstream_conf *up, const struct upstream_conf *of, const struct server_conf *s)
{
	size_t i;

	for (i = 0; i < up->n_servers; i++)
		if (str_eq(up->servers[i].address.text, s->address.text) && !up->servers[i].down)
			return !s->is_tls || same_tls(&up->tls, &of->tls);
	return false;
}

/* The first upstream with another check of a server of this one's, and which; or NULL. */
static const struct upstream_conf *
find_other_check(const struct config *conf, const struct upstream_conf *up, struct str *address)
{
	const struct upstream_conf *other;
	size_t i;

	for (other = conf->upstreams; other < up; other++)
		for (i = 0; other->check.is_on && i < up->n_servers; i++) {
			*address = up->servers[i].address.text;
			if (has_server(other, up, &up->servers[i]) && !same_check(&other->check, &up->check))
				return other;
		}
	return NULL;
}

/* A server is well or it is not, whoever asks: there is one check of it, the first. */
void
section_upstream_finish(struct reading *r, const struct node *upstreams)
{
	const struct config *conf = r->config;
	size_t i, was;

	if (upstreams == NULL || upstreams->kind != NODE_MAP || conf->n_upstreams != upstreams->n / 2)
		return;
	for (i = 0; i < conf->n_upstreams; i++) {
		const struct upstream_conf *up = &conf->upstreams[i], *other;
		const struct node *n = upstreams->items[2 * i + 1];
		struct str address;

		if (!up->check.is_on)
			continue;
		other = find_other_check(conf, up, &address);
		if (other == NULL)
			continue;
		was = path_push(r, "upstreams.%.*s.health_check", STR_ARG(up->name));
		warn(r, node_find(n, "health_check"), "%.*s is checked as %.*s says, which comes first",
		    STR_ARG(address), STR_ARG(other->name));
		path_pop(r, was);
	}
}
