/* SPDX-License-Identifier: MIT */
/* routes[N].auth: who may ask. */
#include "config/section.h"

#include "base/arena.h"
#include "config/auth_file.h"
#include "config/file_note.h"
#include "config/type.h"

/* What stands between quotes in a field. */
static bool
parse_realm(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_parse_plain(r, row, n, base))
		return false;
	return (str_find(n->text, '"') < 0 && str_find(n->text, '\\') < 0) ||
	    complain(r, n, "neither \" nor \\ can be in it");
}

static const struct type type_realm = { .parse = parse_realm, .print = type_print_text };

#define AUTH(member)	offsetof(struct auth_conf, member)
static const struct row auth_basic_rows[] = {
	{ "file", &type_file, AUTH(basic.file), .required = true, .example = "/etc/weir/users",
	  .help = "name a file of htpasswd: name:hash, by bcrypt or SHA-crypt" },
	{ "realm", &type_realm, AUTH(realm), "weir", .help = "what browsers say it is for" },
	{ "hide", &type_bool, AUTH(basic.hide), "true",
	  .help = "servers do not see the name and the password" },
	{ .key = NULL },
};
static const struct row auth_key_rows[] = {
	{ "file", &type_file, AUTH(keys.file), .required = true, .example = "/etc/weir/keys",
	  .help = "name a file of lines name:sha256, of each key its SHA-256 in hexadecimal digits" },
	{ "hide", &type_bool, AUTH(keys.hide), "true", .help = "servers do not see the key" },
	{ .key = NULL },
};

static void
print_auth_way(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct auth_conf *auth = base;

	if ((row->rows == auth_basic_rows ? auth->basic.file : auth->keys.file).len > 0)
		type_print_section(out, indent, row, base);
}

static const struct type type_auth_way = { .parse = type_parse_section, .print = print_auth_way };
const struct row auth_rows[] = {
	{ "basic", &type_auth_way, 0, .rows = auth_basic_rows, .optional = true,
	  .help = "a name and a password (HTTP Basic)" },
	{ "keys", &type_auth_way, 0, .rows = auth_key_rows, .optional = true,
	  .help = "an API key (Authorization: Bearer)" },
	{ .key = NULL },
};

static bool
read_auth_file(struct reading *r, const struct node *n, const char *way, struct auth_conf *auth,
    bool (*read)(struct arena *, struct arena *, struct auth_conf *, const char **))
{
	const struct node *section = node_find(n, way);
	const char *why;
	size_t was;

	if (section == NULL || read(r->arena, r->scratch, auth, &why))
		return true;
	was = path_push_key(r, str_of(way));
	complain_key(r, node_find(section, "file"), STR("file"), "%s", why);
	path_pop(r, was);
	return false;
}

static bool
parse_auth(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct auth_conf *auth = arena_zalloc(r->arena, sizeof(*auth));
	bool ok;

	auth->realm = STR("weir");
	if (!schema_fill(r, row->rows, n, auth))
		return false;
	if (node_find(n, "basic") == NULL && node_find(n, "keys") == NULL)
		return complain(r, n, "nobody could come in, give basic or keys, or both");
	ok = read_auth_file(r, n, "basic", auth, auth_file_users);
	ok &= read_auth_file(r, n, "keys", auth, auth_file_keys);
	*(const struct auth_conf **)AT(base, row) = auth;
	return ok;
}

static void
print_auth(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct auth_conf *auth = *(const struct auth_conf *const *)AT_CONST(base, row);

	if (auth == NULL)
		return;
	schema_print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, auth);
}

const struct type type_auth = { .parse = parse_auth, .print = print_auth };
