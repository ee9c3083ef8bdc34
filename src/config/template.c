/* SPDX-License-Identifier: MIT */
/* Texts with $variables: names known here, filled in by policy/forward.c. */
#include "config/config.h"

#include <string.h>

#include "base/arena.h"
#include "base/mdoc.h"
#include "base/suggest.h"
#include "config/schema.h"

static const struct {
	struct str        name;
	enum template_var var;
	const char       *help;
} vars[] = {
#define V(name, var, help)	{ { name, sizeof(name) - 1 }, var, help }
	V("client_ip", TEMPLATE_CLIENT_IP, "the client's address, trusted proxies left out"),
	V("peer_ip", TEMPLATE_PEER_IP, "the address of who opened the connection"),
	V("host", TEMPLATE_HOST, "Host without its port, in lower case"),
	V("authority", TEMPLATE_AUTHORITY, "Host as it was sent"),
	V("request_uri", TEMPLATE_REQUEST_URI, "the path and the query, as they were sent"),
	V("path", TEMPLATE_PATH, "the path alone"),
	V("query", TEMPLATE_QUERY, "what stands behind the question mark"),
	V("scheme", TEMPLATE_SCHEME, "the scheme, http or https"),
	V("method", TEMPLATE_METHOD, "the method"),
	V("request_id", TEMPLATE_REQUEST_ID, "what X-Request-Id says to the server"),
	V("auth_user", TEMPLATE_AUTH_USER, "who asks, by the route's auth; empty without"),
	V("server", TEMPLATE_SERVER, "the address of the chosen server; empty before there is one"),
	V("status", TEMPLATE_STATUS, "the status of the answer; empty before there is one"),
#undef V
};

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* "$name" or "${name}" at the head of s: its length, 0 when it is neither. */
static size_t
take_name(struct str s, struct str *name)
{
	bool braced = s.len > 1 && s.p[1] == '{';
	size_t from = braced ? 2 : 1, i;

	for (i = from; i < s.len && is_name_byte(s.p[i]); i++)
		;
	*name = str_make(s.p + from, i - from);
	if (name->len == 0 || (braced && (i == s.len || s.p[i] != '}')))
		return 0;
	return i + braced;
}

static bool
find_var(struct arena *arena, struct str name, struct template_part *part)
{
	size_t i;

	part->text = STR_NONE;
	for (i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
		if (str_eq(vars[i].name, name)) {
			part->var = vars[i].var;
			return true;
		}
	if (!str_starts(name, STR("http_")) || name.len == 5)
		return false;
	part->var = TEMPLATE_FIELD;
	part->text = arena_dup(arena, str_from(name, 5));
	return true;
}

static const char *
unknown(struct arena *arena, struct str name)
{
	struct str names[sizeof(vars) / sizeof(vars[0]) + 1];
	size_t i, n = sizeof(vars) / sizeof(vars[0]);

	if (name.len == 0)
		return "a $ without a name: write $name or ${name}, and $$ for a dollar sign";
	for (i = 0; i < n; i++)
		names[i] = vars[i].name;
	names[n] = STR("http_NAME");
	return arena_printf(arena, "unknown variable $%.*s, %.*s", STR_ARG(name),
	    STR_ARG(suggest_name(arena, name, names, n + 1))).p;
}

bool
template_compile(struct arena *arena, struct str text, struct template *out, const char **why)
{
	struct str name;
	ptrdiff_t next;
	size_t len, i, cap = 1;

	for (i = 0; i < text.len; i++)
		cap += text.p[i] == '$' ? 2 : 0;
	out->parts = arena_alloc(arena, cap * sizeof(*out->parts));
	for (out->n = 0; text.len > 0; text = str_from(text, len)) {
		struct template_part *part = &out->parts[out->n++];

		if (text.p[0] == '$' && text.len > 1 && text.p[1] == '$') {
			part->var = TEMPLATE_LITERAL;
			part->text = STR("$");
			len = 2;
		} else if (text.p[0] == '$') {
			len = take_name(text, &name);
			if (len == 0 || !find_var(arena, name, part)) {
				*why = unknown(arena, len == 0 ? STR_NONE : name);
				return false;
			}
		} else {
			next = str_find(text, '$');
			len = next >= 0 ? (size_t)next : text.len;
			part->var = TEMPLATE_LITERAL;
			part->text = arena_dup(arena, str_first(text, len));
		}
	}
	return true;
}

/* The name of a part's variable; http_NAME for a field. */
static struct str
name_of(struct arena *arena, const struct template_part *p)
{
	size_t i;

	for (i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
		if (vars[i].var == p->var)
			return vars[i].name;
	return arena_printf(arena, "http_%.*s", STR_ARG(p->text));
}

struct str
template_text(struct arena *arena, const struct template *t)
{
	struct str out = STR("");
	size_t i;

	for (i = 0; i < t->n; i++) {
		const struct template_part *p = &t->parts[i];
		bool runs_on = i + 1 < t->n && p[1].var == TEMPLATE_LITERAL && is_name_byte(p[1].text.p[0]);

		if (p->var == TEMPLATE_LITERAL)
			out = arena_printf(arena, "%.*s%s%.*s", STR_ARG(out),
			    str_eq(p->text, STR("$")) ? "$" : "", STR_ARG(p->text));
		else {
			struct str name = name_of(arena, p);

			out = arena_printf(arena, runs_on ? "%.*s${%.*s}" : "%.*s$%.*s", STR_ARG(out),
			    STR_ARG(name));
		}
	}
	return out;
}

void
config_print_variables(FILE *out)
{
	size_t i;

	for (i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
		mdoc_item(out, vars[i].name.p, vars[i].help);
	mdoc_item(out, "http_NAME", "a field of the request, - written as _: $http_user_agent");
}
