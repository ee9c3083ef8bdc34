/* SPDX-License-Identifier: MIT */
/* listen: where clients come. */
#include "config/section.h"

#include "base/arena.h"
#include "config/type.h"

enum { MODE = 0666 };			/* who can reach the path may connect */

/* As chmod takes it: three or four octal digits. */
static bool
parse_mode(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	unsigned *at = AT(base, row), value = 0;
	size_t i;

	if (!type_want_scalar(r, n, "a mode such as 0660"))
		return false;
	for (i = 0; i < n->text.len && n->text.p[i] >= '0' && n->text.p[i] <= '7' && value <= 0777; i++)
		value = value * 8 + (unsigned)(n->text.p[i] - '0');
	if (i < 3 || i < n->text.len || value > 0777)
		return complain(r, n, "\"%.*s\" is no mode, write three octal digits such as 0660",
		    STR_ARG(n->text));
	*at = value;
	return true;
}

static void
print_mode(FILE *out, int indent, const struct row *row, const void *base)
{
	schema_print_key(out, indent, row);
	fprintf(out, "%04o\n", *(const unsigned *)AT_CONST(base, row));
}

const struct type type_mode = { .parse = parse_mode, .print = print_mode, .kind = "as for chmod" };

static void
print_listen_mode(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct listen_conf *)base)->address.is_unix)
		print_mode(out, indent, row, base);
}

static const struct type type_listen_mode = { .parse = parse_mode, .print = print_listen_mode,
	.kind = "as for chmod" };

static bool
fill_listen(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct listen_conf *l = base;
	const struct node *mode = node_find(n, "mode");

	if (!schema_fill(r, row->rows, n, base))
		return false;
	if (mode == NULL || l->address.is_unix)
		return true;
	return complain_key(r, mode, STR("mode"), "only the path of a unix socket has one, take it out");
}

/* A bare address is a listener with nothing else said. */
static bool
parse_listen_entry(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (n->kind == NODE_LIST)
		return complain(r, n, "an address is expected here, or a mapping with one");
	if (n->kind == NODE_MAP)
		return fill_listen(r, row, n, base);
	((struct listen_conf *)base)->name = STR("");
	((struct listen_conf *)base)->mode = MODE;
	return type_listen.parse(r, &row->rows[0], n, base);
}

static void
collect_subject_fields(struct reading *r, struct config *conf)
{
	size_t i, j;

	conf->subject_fields = arena_alloc(r->arena, (conf->n_listen + 1) * sizeof(struct str));
	for (i = 0; i < conf->n_listen; i++) {
		const struct tls_server_conf *tls = conf->listen[i].tls;

		if (tls == NULL || tls->client_ca.len == 0)
			continue;
		for (j = 0; j < conf->n_subject_fields; j++)
			if (str_eq_nocase(conf->subject_fields[j], tls->subject_field))
				break;
		conf->subject_fields[j] = tls->subject_field;
		conf->n_subject_fields += j == conf->n_subject_fields;
	}
}

static bool
parse_listens(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct config *conf = base;
	bool ok = type_parse_list(r, row, n, base);
	size_t i, j, was;

	for (i = 0; i < conf->n_listen; i++)
		for (j = 0; j < i; j++) {
			struct str text = conf->listen[i].address.text;

			if (text.len == 0 || !str_eq(text, conf->listen[j].address.text))
				continue;
			was = path_push(r, "[%zu]", i);
			ok = complain(r, n->items[i], "%.*s is there twice", STR_ARG(text));
			path_pop(r, was);
			break;
		}
	collect_subject_fields(r, conf);
	return ok;
}

const struct type type_listens = { .parse = parse_listens, .print = type_print_list };
static const struct type type_listen_entry = { .parse = parse_listen_entry, .print = type_print_map };

static const struct row listen_rows[] = {
	{ "address", &type_listen, offsetof(struct listen_conf, address), .required = true,
	  .example = "80", .help = "give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path" },
	{ "name", &type_plain, offsetof(struct listen_conf, name), "\"\"",
	  .help = "takes the socket that systemd calls so (FileDescriptorName=), whatever its address" },
	{ "proxy_protocol", &type_bool, offsetof(struct listen_conf, proxy_protocol), "false",
	  .help = "who connects, one of trusted_proxies, first says whose connection it is (PROXY protocol "
	  "v1 or v2)" },
	{ "mode", &type_listen_mode, offsetof(struct listen_conf, mode), "0666", .optional = true,
	  .help = "of a unix socket: who else may connect needs write permission" },
	{ "tls", &type_tls_server, offsetof(struct listen_conf, tls), .rows = tls_server_rows,
	  .optional = true, .help = "clients speak TLS here; plain without" },
	{ .key = NULL },
};

const struct row listen_element = { "", &type_listen_entry, 0, .rows = listen_rows,
	.help = "" };

/* Who is not believed cannot say whose connection it is. */
void
section_listen_finish(struct reading *r, const struct node *root)
{
	const struct config *conf = r->config;
	const struct node *listen = node_find(root, "listen"), *entry;
	const struct node *trusted = node_find(root, "trusted_proxies");
	size_t i, was;

	/* Some are named, if not well, or what was meant to be the key is another word. */
	if (trusted != NULL ? trusted->kind != NODE_LIST || trusted->n > 0
	    : schema_has_key(section_root(), root, "trusted_proxies"))
		return;

	for (i = 0; i < conf->n_listen; i++) {
		if (!conf->listen[i].proxy_protocol || conf->listen[i].address.is_unix)
			continue;
		entry = listen->kind == NODE_LIST ? listen->items[i] : listen;
		was = path_push(r, "listen");
		path_push_index(r, listen, i);
		complain_key(r, node_find(entry, "proxy_protocol"), STR("proxy_protocol"),
		    "nobody is believed, name those who send it in trusted_proxies");
		path_pop(r, was);
	}
}
