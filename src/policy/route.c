/* SPDX-License-Identifier: MIT */
/* The first route that matches.  Pure: looks at configuration and message, changes neither. */
#include "policy/route.h"

#include <string.h>

#include "base/arena.h"

enum { PATH_MAX_BYTES = 16 * 1024 };

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* RFC 3986 2.3 */
static bool
is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

/* Decodes %XX of unreserved characters; other escapes stay as they are. */
static size_t
decode(struct str path, char *out)
{
	size_t i, n = 0;

	for (i = 0; i < path.len; i++) {
		int c = -1;

		if (path.p[i] == '%' && i + 2 < path.len && hex(path.p[i + 1]) >= 0 &&
		    hex(path.p[i + 2]) >= 0)
			c = hex(path.p[i + 1]) * 16 + hex(path.p[i + 2]);
		if (c >= 0 && is_unreserved(c)) {
			out[n++] = (char)c;
			i += 2;
		} else
			out[n++] = path.p[i];
	}
	return n;
}

/* RFC 3986 5.2.4, in place, segment by segment. */
static size_t
remove_dots(char *p, size_t len)
{
	size_t in = 0, out = 0, n;
	bool last;

	while (in < len) {
		/* p[in] is '/' */
		for (n = 1; in + n < len && p[in + n] != '/'; n++)
			;
		last = in + n == len;
		if (n == 2 && p[in + 1] == '.') {
			if (last)
				p[out++] = '/';
		} else if (n == 3 && p[in + 1] == '.' && p[in + 2] == '.') {
			while (out > 0 && p[--out] != '/')
				;
			if (last)
				p[out++] = '/';
		} else {
			memmove(p + out, p + in, n);
			out += n;
		}
		in += n;
	}
	return out;
}

/* What the path means; the common one is itself. */
static struct str
normal(struct str path, char buf[PATH_MAX_BYTES])
{
	if (path.len == 0 || path.p[0] != '/')
		return STR("/");
	if (path.len > PATH_MAX_BYTES ||
	    (str_find(path, '%') < 0 && memmem(path.p, path.len, "/.", 2) == NULL))
		return path;
	return str_make(buf, remove_dots(buf, decode(path, buf)));
}

static bool
path_matches(const struct route_conf *r, struct str path)
{
	if (r->is_exact)
		return str_eq(path, r->path);
	if (!str_starts(path, r->path))
		return false;
	return path.len == r->path.len || str_ends(r->path, STR("/")) || path.p[r->path.len] == '/';
}

static bool
host_matches(const struct route_conf *r, struct str host)
{
	size_t i;

	for (i = 0; i < r->n_hosts; i++) {
		struct str want = r->hosts[i];

		if (str_starts(want, STR("*."))) {
			/* "*.x" is any name below x, but not x. */
			want = str_from(want, 1);
			if (host.len > want.len && str_ends(host, want))
				return true;
		} else if (str_eq(want, host))
			return true;
	}
	return r->n_hosts == 0;
}

static bool
scheme_matches(const struct route_conf *r, bool is_https)
{
	return r->scheme == ROUTE_ANY_SCHEME || (r->scheme == ROUTE_HTTPS) == is_https;
}

static bool
method_matches(const struct route_conf *r, struct str method)
{
	size_t i;

	for (i = 0; i < r->n_methods; i++)
		if (str_eq(r->methods[i], method) ||
		    (str_eq(method, STR("HEAD")) && str_eq(r->methods[i], STR("GET"))))
			return true;
	return r->n_methods == 0;
}

const struct route_conf *
route_match(const struct config *conf, const struct message *m, bool *methods_differ)
{
	char buf[PATH_MAX_BYTES];
	struct str path = normal(m->path, buf);
	size_t i;

	*methods_differ = false;
	for (i = 0; i < conf->n_routes; i++) {
		const struct route_conf *r = &conf->routes[i];

		if (!path_matches(r, path) || !host_matches(r, m->host) ||
		    !scheme_matches(r, m->is_https))
			continue;
		if (method_matches(r, m->method_name))
			return r;
		*methods_differ = true;
	}
	return NULL;
}

struct str
route_methods(const struct config *conf, const struct message *m, struct arena *arena)
{
	char buf[PATH_MAX_BYTES];
	struct str path = normal(m->path, buf), all = STR_NONE;
	size_t i, j;

	for (i = 0; i < conf->n_routes; i++) {
		const struct route_conf *r = &conf->routes[i];

		if (!path_matches(r, path) || !host_matches(r, m->host) ||
		    !scheme_matches(r, m->is_https))
			continue;
		for (j = 0; j < r->n_methods; j++)
			if (!field_list_has(all, r->methods[j]))
				all = all.len == 0 ? r->methods[j] : arena_printf(arena, "%.*s, %.*s",
				    STR_ARG(all), STR_ARG(r->methods[j]));
	}
	return all;
}

/* --- for whom ------------------------------------------------------------------------------------ */

static bool
is_in(const struct network *list, size_t n, const struct ip *ip)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (ip->is_set && network_has(&list[i], ip))
			return true;
	return false;
}

const char *
route_refuses(const struct route_conf *route, const struct ip *client)
{
	if (is_in(route->deny, route->n_deny, client))
		return "deny";
	return route->n_allow > 0 && !is_in(route->allow, route->n_allow, client) ? "allow" : NULL;
}
