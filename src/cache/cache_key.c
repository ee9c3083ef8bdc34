/* SPDX-License-Identifier: MIT */
/*
 * The digests of the rules in the header, whose numbers stand here as tags.  Every part goes in as
 * tag, length, bytes: no two lists of parts give the same bytes.  Which part belongs in is decided
 * here and nowhere else; what is a value's canonical text is cache_json.c's affair.
 */
#include "cache/cache_key.h"

#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/log.h"
#include "cache/cache_json.h"

enum tag {
	TAG_METHOD = 1, TAG_ROUTE, TAG_RULE, TAG_SCHEME, TAG_HOST, TAG_TARGET, TAG_KEY_HEADER,
	TAG_CONTENT, TAG_API, TAG_WHO, TAG_CONF, TAG_BODY, TAG_VARY
};

/* Made once: looking an algorithm up takes longer than a small digest. */
static EVP_MD     *sha256;
static EVP_MD_CTX *context;
static uint64_t    uri_seed;

void
cache_key_init(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	context = EVP_MD_CTX_new();
	check(sha256 != NULL && context != NULL);
	if (getrandom(&uri_seed, sizeof(uri_seed), 0) != (ssize_t)sizeof(uri_seed))
		uri_seed = 0x9e3779b97f4a7c15ULL;
}

void
cache_key_fini(void)
{
	EVP_MD_CTX_free(context);
	EVP_MD_free(sha256);
	context = NULL;
	sha256 = NULL;
}

/* --- digests --------------------------------------------------------------------------------- */

/* Small parts are gathered: a call of the library costs more than their bytes. */
struct digest {
	size_t  n;
	uint8_t buf[1024];
};

static void
begin(struct digest *d)
{
	check(context != NULL && EVP_DigestInit_ex2(context, sha256, NULL) == 1);
	d->n = 0;
}

static void
flush(struct digest *d)
{
	if (d->n > 0)
		check(EVP_DigestUpdate(context, d->buf, d->n) == 1);
	d->n = 0;
}

static void
add_bytes(struct digest *d, const void *bytes, size_t n)
{
	if (n > sizeof(d->buf) - d->n)
		flush(d);
	if (n > sizeof(d->buf)) {
		check(EVP_DigestUpdate(context, bytes, n) == 1);
		return;
	}
	if (n > 0)
		memcpy(d->buf + d->n, bytes, n);
	d->n += n;
}

static void
finish(struct digest *d, uint8_t out[32])
{
	unsigned len = 0;

	flush(d);
	check(EVP_DigestFinal_ex(context, out, &len) == 1 && len == 32);
}

static void
add_head(struct digest *d, enum tag tag, size_t len)
{
	uint8_t head[9] = { (uint8_t)tag };
	uint64_t n = len;

	memcpy(head + 1, &n, sizeof(n));
	add_bytes(d, head, sizeof(head));
}

static void
add(struct digest *d, enum tag tag, struct str s)
{
	add_head(d, tag, s.len);
	add_bytes(d, s.p, s.len);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void
add_lower(struct digest *d, enum tag tag, struct str s)
{
	char piece[128];
	size_t i;

	add_head(d, tag, s.len);
	for (; s.len > 0; s = str_from(s, i)) {
		for (i = 0; i < s.len && i < sizeof(piece); i++)
			piece[i] = lower(s.p[i]);
		add_bytes(d, piece, i);
	}
}

/* Name and value: of fields whose name is not one of a fixed list. */
static void
add_field(struct digest *d, enum tag tag, const struct field *f)
{
	add_lower(d, tag, f->name);
	add(d, tag, f->value);
}

static bool
begins_nocase(struct str s, struct str with)
{
	return s.len >= with.len && str_eq_nocase(str_first(s, with.len), with);
}

/* --- rules 1 to 7: of every request ---------------------------------------------------------- */

/* What weir sends of every client, rule or not (policy/forward.c); see rule 3. */
static bool
is_forwarding(enum field_id id)
{
	switch (id) {
	case FIELD_X_REAL_IP:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PORT:
	case FIELD_X_REQUEST_ID:
	case FIELD_FORWARDED:
	case FIELD_VIA:
		return true;
	default:
		return false;
	}
}

/* Variables that name this one request. */
static bool
is_of_the_moment(enum template_var var)
{
	return var == TEMPLATE_REQUEST_ID || var == TEMPLATE_SERVER || var == TEMPLATE_STATUS;
}

static void
add_rule(struct digest *d, const struct cache_key_facts *facts, const struct header_rule *rule)
{
	size_t i;

	for (i = 0; i < rule->value.n; i++) {
		struct template one = { &rule->value.parts[i], 1 };

		/* Literals are in the identity of the route. */
		if (one.parts->var == TEMPLATE_LITERAL || is_of_the_moment(one.parts->var))
			continue;
		check(facts->expand != NULL);
		add(d, TAG_RULE, facts->expand(facts->arg, &one));
	}
}

/* The rules of set and add in one row; NULL behind the last. */
static const struct header_rule *
rule_at(const struct header_rules *rules, size_t i)
{
	if (i < rules->n_set)
		return &rules->set[i];
	return i - rules->n_set < rules->n_add ? &rules->add[i - rules->n_set] : NULL;
}

static void
add_rules(struct digest *d, const struct cache_key_facts *facts)
{
	const struct header_rule *rule;
	size_t i;

	for (i = 0; (rule = rule_at(&facts->route->request_headers, i)) != NULL; i++)
		if (!is_forwarding(field_lookup(rule->name)))
			add_rule(d, facts, rule);
}

/* host= and proto= of RFC 7239; what is not understood counts as a whole. */
static void
add_forwarded(struct digest *d, struct str list)
{
	struct str element, pair;
	ptrdiff_t cut;

	if (str_find(list, '"') >= 0 && str_find(list, '\\') >= 0) {
		add(d, TAG_HOST, list);
		return;
	}
	while (str_next_item(&list, &element))
		while (element.len > 0) {
			cut = str_find(element, ';');
			pair = str_trim(cut < 0 ? element : str_first(element, (size_t)cut));
			element = cut < 0 ? STR_NONE : str_from(element, (size_t)cut + 1);
			if (!str_eq_nocase(str_first(pair, 4), STR("for=")) &&
			    !str_eq_nocase(str_first(pair, 3), STR("by=")))
				add_lower(d, TAG_HOST, pair);
		}
}

/* Fields by which servers take another outside for theirs; weir passes them on from anybody. */
static bool
claims_outside(const struct field *f)
{
	static const struct str names[] = { { "x-host", 6 }, { "x-scheme", 8 },
		{ "x-url-scheme", 12 }, { "x-original-host", 15 }, { "front-end-https", 15 } };
	size_t i;

	if (f->name.len < 6 || (lower(f->name.p[0]) != 'x' && lower(f->name.p[0]) != 'f'))
		return false;
	if (begins_nocase(f->name, STR("x-forwarded-")))
		return !is_forwarding(f->id);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (str_eq_nocase(f->name, names[i]))
			return true;
	return false;
}

/* What is said of the outside beside scheme and host themselves (rules 4, 5). */
static void
add_outside(struct digest *d, const struct message *m, bool is_trusted)
{
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		switch (f->id) {
		case FIELD_X_FORWARDED_PROTO:
			if (is_trusted)
				add_lower(d, TAG_SCHEME, f->value);
			break;
		case FIELD_X_FORWARDED_HOST:
		case FIELD_X_FORWARDED_PORT:
			if (is_trusted)
				add_field(d, TAG_HOST, f);
			break;
		case FIELD_FORWARDED:
			if (is_trusted)
				add_forwarded(d, f->value);
			break;
		default:
			if (claims_outside(f))
				add_field(d, TAG_HOST, f);
		}
	}
}

/* Without the port that the scheme has anyway (RFC 9110 4.2.3). */
static struct str
bare_authority(struct str authority, struct str scheme)
{
	struct str port = str_eq(scheme, STR("https")) ? STR(":443") : STR(":80");

	return str_ends(authority, port) ? str_first(authority, authority.len - port.len)
	    : authority;
}

static void
add_key_headers(struct digest *d, const struct cache_conf *conf, const struct message *m)
{
	size_t i, j;

	for (i = 0; i < conf->n_key_headers; i++) {
		add_lower(d, TAG_KEY_HEADER, conf->key_headers[i]);
		for (j = 0; j < m->n_fields; j++)
			if (str_eq_nocase(m->fields[j].name, conf->key_headers[i]))
				add(d, TAG_KEY_HEADER, m->fields[j].value);
		/* What stands between two names is a list of values, perhaps of none. */
		add_head(d, TAG_CONF, 0);
	}
}

static void
add_request(struct digest *d, const struct cache_key_facts *facts)
{
	const struct message *m = facts->request;
	size_t query = m->query.p != NULL ? m->query.len + 1 : 0;

	add(d, TAG_METHOD, m->method == METHOD_POST ? STR("POST") : STR("GET"));
	add(d, TAG_ROUTE, facts->route->cache_identity);
	add_rules(d, facts);
	add(d, TAG_SCHEME, facts->scheme);
	add_lower(d, TAG_HOST, bare_authority(m->authority, facts->scheme));
	add_outside(d, m, facts->peer_is_trusted);
	add_head(d, TAG_TARGET, m->path.len + query);
	add_bytes(d, m->path.p, m->path.len);
	if (query > 0) {
		add_bytes(d, "?", 1);
		add_bytes(d, m->query.p, m->query.len);
	}
	if (facts->route->cache->n_key_headers > 0)
		add_key_headers(d, facts->route->cache, m);
}

/* --- rules 8 to 12: of POST ------------------------------------------------------------------ */

/* application/json, application/x+json; no charset but that of JSON (RFC 8259 8.1). */
static bool
is_json_type(struct str type)
{
	ptrdiff_t cut = str_find(type, ';');
	struct str rest = cut < 0 ? STR_NONE : str_from(type, (size_t)cut + 1), parameter;

	type = str_trim(cut < 0 ? type : str_first(type, (size_t)cut));
	if (!str_eq_nocase(type, STR("application/json")) &&
	    (type.len < 5 || !str_eq_nocase(str_from(type, type.len - 5), STR("+json"))))
		return false;
	while (rest.len > 0) {
		cut = str_find(rest, ';');
		parameter = str_trim(cut < 0 ? rest : str_first(rest, (size_t)cut));
		rest = cut < 0 ? STR_NONE : str_from(rest, (size_t)cut + 1);
		if (begins_nocase(parameter, STR("charset")) &&
		    !str_eq_nocase(parameter, STR("charset=utf-8")) &&
		    !str_eq_nocase(parameter, STR("charset=\"utf-8\"")))
			return false;
	}
	return true;
}

static bool
is_json(const struct message *m)
{
	unsigned types = 0;
	bool json = false;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		if (m->fields[i].id == FIELD_CONTENT_ENCODING)
			return false;
		if (m->fields[i].id == FIELD_CONTENT_TYPE) {
			json = is_json_type(m->fields[i].value);
			types++;
		}
	}
	return json && types == 1;
}

/* A word that a credential or an identity has in its name. */
static bool
word_at(struct str s)
{
	static const char *const words[26][4] = {
		['a' - 'a'] = { "auth", "account" }, ['c' - 'a'] = { "credential", "cookie" },
		['k' - 'a'] = { "key" }, ['o' - 'a'] = { "organization" },
		['p' - 'a'] = { "password", "project" }, ['s' - 'a'] = { "session", "secret" },
		['t' - 'a'] = { "token", "tenant" }, ['u' - 'a'] = { "user" },
	};
	const char *const *w;
	char first = lower(s.p[0]);

	if (first < 'a' || first > 'z')
		return false;
	/* The second letter says no to nearly all of them. */
	for (w = words[first - 'a']; *w != NULL; w++)
		if (s.len > 1 && lower(s.p[1]) == (*w)[1] && begins_nocase(s, str_of(*w)))
			return true;
	return false;
}

static bool
tells_who(const struct field *f, const struct upstream_conf *up)
{
	size_t i;

	if (up->balance == BALANCE_HASH && up->hash.source == KEY_HEADER &&
	    str_eq_nocase(f->name, up->hash.name))
		return true;
	if (f->id == FIELD_X_CLIENT_SUBJECT)
		return true;
	if (f->id == FIELD_USER_AGENT)
		return false;
	for (i = 0; i < f->name.len; i++)
		if (word_at(str_from(f->name, i)))
			return true;
	return false;
}

static bool
tells_api(const struct field *f)
{
	return begins_nocase(f->name, STR("openai-")) || begins_nocase(f->name, STR("anthropic-"));
}

/* Content-Length is no fact of its own: the body is in the key. */
static bool
describes_body(const struct field *f)
{
	return f->id != FIELD_CONTENT_LENGTH && begins_nocase(f->name, STR("content-"));
}

/* To a server that takes JSON these three mean the same (rule 9). */
static bool
is_plain_accept(struct str value)
{
	return str_eq(value, STR("*/*")) || str_eq_nocase(value, STR("application/json"));
}

static void
add_post_fields(struct digest *d, const struct cache_key_facts *facts, bool json)
{
	const struct message *m = facts->request;
	bool share = facts->route->cache->share_across_clients;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		if (describes_body(f))
			add_field(d, TAG_CONTENT, f);
		else if (f->id == FIELD_ACCEPT) {
			if (!json || !is_plain_accept(f->value))
				add_field(d, TAG_API, f);
		} else if (tells_who(f, facts->route->upstream)) {
			if (!share)
				add_field(d, TAG_WHO, f);
		} else if (tells_api(f))
			add_field(d, TAG_API, f);
	}
}

static void
add_conf(struct digest *d, const struct cache_conf *conf)
{
	size_t i;

	add(d, TAG_CONF, conf->share_across_clients ? STR("all") : STR("each"));
	for (i = 0; i < conf->n_ignore_fields; i++)
		add(d, TAG_CONF, conf->ignore_fields[i]);
}

static enum cache_why
add_post(struct digest *d, const struct cache_key_facts *facts, struct str body)
{
	const struct cache_conf *conf = facts->route->cache;
	bool json = is_json(facts->request);
	enum cache_why why = CACHE_WHY_NONE;
	char *text;
	size_t len;

	if (body.len > conf->max_body)
		return CACHE_WHY_BODY_TOO_LARGE;
	add_post_fields(d, facts, json);
	add_conf(d, conf);
	add(d, TAG_BODY, json ? STR("json") : STR("bytes"));
	if (json) {
		why = cache_json_canonical(body, conf->ignore_fields, conf->n_ignore_fields, &text,
		    &len);
		if (why == CACHE_WHY_NONE)
			add(d, TAG_BODY, str_make(text, len));
		free(text);
	} else
		add(d, TAG_BODY, body);
	return why;
}

/* --- keys ------------------------------------------------------------------------------------ */

/* In lower case, without port: a number that is too general only costs a fetch. */
static uint64_t
hash_host(struct str authority)
{
	char piece[256];
	size_t i, n = authority.len < sizeof(piece) ? authority.len : sizeof(piece);

	for (i = n; i > 0 && authority.p[i - 1] >= '0' && authority.p[i - 1] <= '9'; i--)
		;
	if (i > 0 && i < n && authority.p[i - 1] == ':')
		n = i - 1;
	for (i = 0; i < n; i++)
		piece[i] = lower(authority.p[i]);
	return str_hash(str_make(piece, n), uri_seed);
}

static uint64_t
hash_uri(struct str authority, struct str path, struct str query)
{
	uint64_t h = str_hash(path.len > 0 ? path : STR("/"), hash_host(authority));

	return query.p != NULL ? str_hash(query, h + 1) : h;
}

uint64_t
cache_key_uri(struct str authority, struct str target)
{
	ptrdiff_t mark = str_find(target, '?');

	return hash_uri(authority, mark < 0 ? target : str_first(target, (size_t)mark),
	    mark < 0 ? STR_NONE : str_from(target, (size_t)mark + 1));
}

enum cache_why
cache_key_make(const struct cache_key_facts *facts, struct str body, struct cache_key *key)
{
	const struct message *m = facts->request;
	enum cache_why why = CACHE_WHY_NONE;
	struct digest d;

	check(facts->route->cache != NULL && facts->route->cache_identity.len > 0);
	begin(&d);
	add_request(&d, facts);
	if (m->method == METHOD_POST)
		why = add_post(&d, facts, body);
	if (why != CACHE_WHY_NONE)
		return why;
	finish(&d, key->digest);
	key->uri = hash_uri(m->authority, m->path, m->query);
	return CACHE_WHY_NONE;
}

bool
cache_key_eq(const struct cache_key *a, const struct cache_key *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

uint64_t
cache_key_hash(const struct cache_key *key)
{
	uint64_t h;

	memcpy(&h, key->digest, sizeof(h));
	return h;
}

/* --- Vary ------------------------------------------------------------------------------------ */

enum { VARY_NAMES_MAX = 16, VARY_BYTES_MAX = 512 };

struct vary {
	struct str names[VARY_NAMES_MAX + 1];
	size_t     n, bytes;
};

/* In its place; false when there is no room or the name cannot be compared. */
static bool
insert_name(struct arena *arena, struct vary *v, struct str name)
{
	char *p;
	size_t i;
	int order;

	if (!field_is_token(name) || str_eq(name, STR("*")))
		return false;
	p = arena_alloc(arena, name.len);
	for (i = 0; i < name.len; i++)
		p[i] = lower(name.p[i]);
	name = str_make(p, name.len);
	for (i = 0; i < v->n; i++) {
		order = str_cmp(name, v->names[i]);
		if (order == 0)
			return true;
		if (order < 0)
			break;
	}
	v->bytes += name.len + 1;
	if (v->n == VARY_NAMES_MAX || v->bytes > VARY_BYTES_MAX)
		return false;
	memmove(&v->names[i + 1], &v->names[i], (v->n - i) * sizeof(v->names[0]));
	v->names[i] = name;
	v->n++;
	return true;
}

static struct str
join(struct arena *arena, const struct vary *v)
{
	char *p = arena_alloc(arena, v->bytes);
	size_t i, n = 0;

	for (i = 0; i < v->n; i++) {
		if (i > 0)
			p[n++] = ',';
		memcpy(p + n, v->names[i].p, v->names[i].len);
		n += v->names[i].len;
	}
	return str_make(p, n);
}

/* Whether what a server gets in that field is another for each request. */
static bool
is_ever_new(const struct route_conf *route, struct str name)
{
	const struct header_rule *rule;
	size_t i, j;

	if (field_lookup(name) == FIELD_X_REQUEST_ID)
		return true;
	for (i = 0; (rule = rule_at(&route->request_headers, i)) != NULL; i++)
		for (j = 0; j < rule->value.n && str_eq_nocase(rule->name, name); j++)
			if (is_of_the_moment(rule->value.parts[j].var))
				return true;
	return false;
}

bool
cache_key_vary(struct arena *arena, const struct route_conf *route, const struct message *response,
    struct str *vary)
{
	struct vary v = { .n = 0 };
	size_t i;

	*vary = STR_NONE;
	for (i = 0; i < response->n_fields; i++) {
		const struct field *f = &response->fields[i];
		struct str list = f->value, name;

		/* nginx and others compress without saying so. */
		if (f->id == FIELD_CONTENT_ENCODING &&
		    !insert_name(arena, &v, STR("Accept-Encoding")))
			return false;
		if (f->id != FIELD_VARY)
			continue;
		while (str_next_item(&list, &name))
			if (is_ever_new(route, name) || !insert_name(arena, &v, name))
				return false;
	}
	*vary = join(arena, &v);
	return true;
}

/* Lists whose elements may have blanks around them, in any case (RFC 9111 4.1). */
static bool
is_folded(enum field_id id)
{
	return id == FIELD_ACCEPT || id == FIELD_ACCEPT_ENCODING || id == FIELD_ACCEPT_LANGUAGE;
}

/* A line of the request as the list it is. */
static void
add_list(struct digest *d, struct str list)
{
	struct str item;

	while (str_next_item(&list, &item))
		add_lower(d, TAG_VARY, item);
}

/* As the server sees it (policy/forward.c): everything it is made from. */
static void
add_forwarding(struct digest *d, const struct cache_key_facts *facts)
{
	uint16_t port = facts->local_port;
	char minor = (char)facts->request->minor;

	add(d, TAG_VARY, facts->peer_is_trusted ? STR("trusted") : STR("untrusted"));
	add(d, TAG_VARY, facts->client_ip);
	add(d, TAG_VARY, facts->peer_ip);
	add(d, TAG_VARY, facts->scheme);
	add(d, TAG_VARY, facts->request->authority);
	add(d, TAG_VARY, str_make((const char *)&port, sizeof(port)));
	add(d, TAG_VARY, str_make(&minor, 1));
}

static void
add_variant(struct digest *d, const struct cache_key_facts *facts, struct str name)
{
	const struct message *m = facts->request;
	enum field_id id = field_lookup(name);
	const struct header_rule *rule;
	size_t i;

	add(d, TAG_VARY, name);
	if (is_forwarding(id))
		add_forwarding(d, facts);
	for (i = 0; (rule = rule_at(&facts->route->request_headers, i)) != NULL; i++)
		if (str_eq_nocase(rule->name, name))
			add_rule(d, facts, rule);
	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		if (id != FIELD_OTHER ? f->id != id : !str_eq_nocase(f->name, name))
			continue;
		if (is_folded(id))
			add_list(d, f->value);
		else
			add(d, TAG_VARY, f->value);
	}
	add_head(d, TAG_CONF, 0);
}

void
cache_key_variant(const struct cache_key_facts *facts, struct str vary,
    struct cache_variant *variant)
{
	struct digest d;
	struct str name;

	memset(variant, 0, sizeof(*variant));
	if (vary.len == 0)
		return;
	begin(&d);
	while (str_next_item(&vary, &name))
		add_variant(&d, facts, name);
	finish(&d, variant->digest);
}

bool
cache_variant_eq(const struct cache_variant *a, const struct cache_variant *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}
