/* SPDX-License-Identifier: MIT */
/* admin: where our own pages are. */
#include "config/section.h"

#include <string.h>

#include <netinet/in.h>

#include "config/type.h"

/* An address in a listener with nothing else said. */
static bool
parse_own(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct listen_conf *l = base;

	l->name = STR("");
	return type_listen_local.parse(r, row, n, base);
}

static const struct type type_own = { .parse = parse_own, .print = type_print_address };
static const struct row own_element = { "", &type_own, offsetof(struct listen_conf, address),
	.help = "" };

/* At most so many: one for each network that watches. */
enum { OWN_MAX = 8 };

const struct row admin_rows[] = {
	{ "listen", &type_list, 0, "[]", 0, OWN_MAX, .element = &own_element,
	  .size = sizeof(struct listen_conf), .example = "[]",
	  .help = "where these are, for everybody who can connect: a port of 127.0.0.1, ADDRESS:PORT, "
	  "[IPV6]:PORT or unix:/path; nowhere when empty" },
	{ "mode", &type_mode, offsetof(struct config, admin.mode) - offsetof(struct config, admin),
	  "0660", .help = "of those that are unix sockets" },
	{ .key = NULL },
};

const struct type type_admin = { .parse = type_parse_section, .print = type_print_section };

static bool
is_any(const struct address *a)
{
	if (a->sa.sa.sa_family == AF_INET)
		return a->sa.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->sa.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->sa.in6.sin6_addr);
}

/* One socket, or two that the kernel does not let be. */
static bool
collide(const struct address *a, const struct address *b)
{
	if (str_eq(a->text, b->text))
		return true;
	if (a->is_unix || b->is_unix || a->sa.sa.sa_family != b->sa.sa.sa_family || a->port != b->port)
		return false;
	return is_any(a) || is_any(b);
}

static const struct address *
find_collision(const struct listen_conf *l, size_t n, const struct address *a)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (l[i].address.text.len > 0 && collide(&l[i].address, a))
			return &l[i].address;
	return NULL;
}

void
section_admin_finish(struct reading *r, const struct node *root)
{
	struct config *conf = r->config;
	const struct node *list = node_at(root, "admin.listen");
	const struct address *other;
	size_t i, was;

	for (i = 0; i < conf->admin.n_listen; i++) {
		const struct address *a = &conf->admin.listen[i].address;

		conf->admin.listen[i].mode = conf->admin.mode;
		if (a->text.len == 0)
			continue;
		was = path_push(r, "admin.listen");
		path_push_index(r, list, i);
		other = find_collision(conf->listen, conf->n_listen, a);
		if (other != NULL)
			complain(r, list->kind == NODE_LIST ? list->items[i] : list,
			    "clients come to %.*s, choose another port", STR_ARG(other->text));
		else if (find_collision(conf->admin.listen, i, a) != NULL)
			complain(r, list->kind == NODE_LIST ? list->items[i] : list,
			    "%.*s is there twice", STR_ARG(a->text));
		path_pop(r, was);
	}
}
