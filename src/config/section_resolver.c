/* SPDX-License-Identifier: MIT */
/*
 * resolver: who is asked for the names of servers, and how long an answer is believed.
 */
#include "config/section.h"

#include "base/arena.h"
#include "config/type.h"

/* A name server has a port of its own. */
static bool
parse_name_server(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct address *at = AT(base, row);
	struct str text = n->text;
	const char *why;
	struct ip ip;

	if (!type_want_scalar(r, n, "an address") || !type_want_plain(r, n))
		return false;
	if (ip_parse(text, &ip))
		text = arena_printf(r->scratch, str_find(text, ':') >= 0 ? "[%.*s]:53" : "%.*s:53",
		    STR_ARG(text));
	if (address_parse(r->arena, text, NULL, at, &why) && !at->is_name && !at->is_unix)
		return true;
	return complain(r, n, "\"%.*s\" is no name server, give an IP address, with a port when it is not 53: "
	    "10.0.0.1:5353 or [::1]:5353", STR_ARG(n->text));
}

static const struct type type_name_server = { .parse = parse_name_server,
	.print = type_print_address };
static const struct row name_server_element = { "", &type_name_server, 0, .help = "" };

#define RESOLVER(member)	offsetof(struct resolver_conf, member)
const struct row resolver_rows[] = {
	{ "servers", &type_list, RESOLVER(servers), "[]", 0, 8, .element = &name_server_element,
	  .size = sizeof(struct address),
	  .help = "name servers, ADDRESS or ADDRESS:PORT; none: those of /etc/resolv.conf" },
	{ "timeout", &type_msec, RESOLVER(timeout), "5s", 300, 60000,
	  .help = "how long they have for an answer, all of them together" },
	{ "min_ttl", &type_msec, RESOLVER(min_ttl), "1s", 1000, HOUR,
	  .help = "an answer is used so long at least" },
	{ "max_ttl", &type_msec, RESOLVER(max_ttl), "30s", 1000, DAY,
	  .help = "and so long at most, whatever its TTL; then the name is looked up again" },
	{ .key = NULL },
};

static bool
parse_resolver(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct resolver_conf *c = AT(base, row);
	const struct node *at;

	if (!type_parse_section(r, row, n, base))
		return false;
	at = node_find(n, c->min_ttl > c->max_ttl && node_find(n, "min_ttl") == NULL ? "max_ttl" : "min_ttl");
	return c->min_ttl <= c->max_ttl ||
	    complain(r, at, "min_ttl is longer than max_ttl, it has to be the shorter one");
}

const struct type type_resolver = { .parse = parse_resolver, .print = type_print_section };
