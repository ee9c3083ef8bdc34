/* SPDX-License-Identifier: MIT */
/*
 * What a proxy adds, strips and rewrites.  Pure but for the random part of request ids: a message
 * goes in, a new one comes out of the arena; nothing here knows a socket.
 */
#include "policy/forward.h"

#include <sys/random.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

enum { REQUEST_ID_MAX = 128, EXTRA_FIELDS = 16 };

/* --- who asks ------------------------------------------------------------------------------------ */

bool
client_is_trusted(const struct config *conf, const struct ip *ip)
{
	size_t i;

	if (!ip->is_set)
		return true;		/* only this machine reaches a unix socket */
	for (i = 0; i < conf->n_trusted; i++)
		if (network_has(&conf->trusted_proxies[i], ip))
			return true;
	return false;
}

/* Takes the last element off a list. */
static struct str
last_item(struct str *list)
{
	size_t i = list->len;
	struct str item;

	while (i > 0 && list->p[i - 1] != ',')
		i--;
	item = str_trim(str_from(*list, i));
	*list = str_first(*list, i > 0 ? i - 1 : 0);
	return item;
}

/* An address as proxies write it, perhaps with a port. */
static bool
parse_hop(struct str s, struct ip *out)
{
	ptrdiff_t at;

	if (ip_parse(s, out))
		return true;
	if (s.len > 0 && s.p[0] == '[') {
		at = str_find(s, ']');
		return at > 0 && ip_parse(str_make(s.p + 1, (size_t)at - 1), out);
	}
	at = str_find(s, ':');
	return at > 0 && ip_parse(str_first(s, (size_t)at), out) && out->is_v4;
}

struct ip
client_address(const struct config *conf, const struct ip *peer, const struct message *request,
    bool *peer_is_trusted)
{
	struct ip client = *peer, hop;
	size_t i;

	*peer_is_trusted = client_is_trusted(conf, peer);
	if (!*peer_is_trusted)
		return client;
	for (i = request->n_fields; i > 0; i--) {
		struct str list = request->fields[i - 1].value;

		if (request->fields[i - 1].id != FIELD_X_FORWARDED_FOR)
			continue;
		while (list.len > 0) {
			struct str item = last_item(&list);

			if (item.len == 0)
				continue;
			if (!parse_hop(item, &hop))
				return client;
			client = hop;
			if (!client_is_trusted(conf, &client))
				return client;
		}
	}
	return client;
}

struct str
client_scheme(const struct message *request, bool peer_is_trusted, bool is_tls)
{
	struct str said = peer_is_trusted ? message_value(request, FIELD_X_FORWARDED_PROTO) : STR_NONE;

	if (str_eq_nocase(said, STR("https")))
		return STR("https");
	if (str_eq_nocase(said, STR("http")))
		return STR("http");
	return is_tls ? STR("https") : STR("http");
}

/* What reads fields as variables (CGI) takes "_" and "-" for one. */
static bool
is_same_name(struct str a, struct str b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++) {
		char x = a.p[i] == '_' ? '-' : a.p[i], y = b.p[i] == '_' ? '-' : b.p[i];

		if (!str_eq_nocase(str_make(&x, 1), str_make(&y, 1)))
			return false;
	}
	return true;
}

/* How many are left. */
static size_t
take_out(struct field *fields, size_t n, struct str name)
{
	size_t i, left = 0;

	for (i = 0; i < n; i++)
		if (!is_same_name(fields[i].name, name))
			fields[left++] = fields[i];
	return left;
}

void
forward_identify(const struct config *conf, struct message *m, struct str field, struct str subject)
{
	size_t i;

	for (i = 0; i < conf->n_subject_fields; i++)
		m->n_fields = take_out(m->fields, m->n_fields, conf->subject_fields[i]);
	if (subject.len == 0)
		return;
	/* A connection may be older than the configuration that has another name for it. */
	m->n_fields = take_out(m->fields, m->n_fields, field);
	field = arena_dup(m->arena, field);
	/* Whatever it is called here: the cache has to know that it says who asks. */
	message_add(m, FIELD_X_CLIENT_SUBJECT, field, arena_dup(m->arena, subject));
}

void
forward_identify_trailers(const struct config *conf, struct message *m)
{
	size_t i;

	for (i = 0; i < conf->n_subject_fields; i++)
		m->n_trailers = take_out(m->trailers, m->n_trailers, conf->subject_fields[i]);
}

/* SplitMix64 (Steele, Lea, Flood 2014): ids shall differ, nobody relies on more. */
static uint64_t
next_random(void)
{
	static uint64_t state;
	uint64_t z;

	if (state == 0 && getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
		state = (uint64_t)clock_wall_us();
	z = state += 0x9e3779b97f4a7c15ULL;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

struct str
request_id_of(struct arena *arena, const struct message *request)
{
	static const char digits[] = "0123456789abcdef";
	struct str sent = message_value(request, FIELD_X_REQUEST_ID);
	uint64_t bits;
	char *p;
	int i;

	if (sent.len <= REQUEST_ID_MAX && field_is_token(sent))
		return sent;
	p = arena_alloc(arena, 32);
	for (i = 0, bits = 0; i < 32; i++, bits >>= 4) {
		if (i % 16 == 0)
			bits = next_random();
		p[i] = digits[bits & 15];
	}
	return str_make(p, 32);
}

/* --- fields ----------------------------------------------------------------------------------------- */

/* RFC 9110 7.6.1: named by Connection; what framing and identity rest on cannot be named away. */
static bool
is_named(struct str connection, const struct field *f)
{
	switch (f->id) {
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_AUTHORIZATION:
	case FIELD_COOKIE:
		return false;
	default:
		return field_list_has(connection, f->name);
	}
}

/* Connection options that are not names of fields: nearly all there are. */
static bool
is_plain_option(struct str s)
{
	return str_eq_nocase(s, STR("keep-alive")) || str_eq_nocase(s, STR("close")) ||
	    str_eq_nocase(s, STR("upgrade"));
}

/* Every Connection field as one list; empty when it names no field. */
static struct str
connection_names(const struct message *m, struct arena *arena)
{
	struct str all = STR_NONE;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		if (f->id != FIELD_CONNECTION || is_plain_option(f->value))
			continue;
		all = all.len == 0 ? f->value
		    : arena_printf(arena, "%.*s,%.*s", STR_ARG(all), STR_ARG(f->value));
	}
	return all;
}

static bool
passes(const struct field *f, struct str connection)
{
	if (field_is_hop(f->id, f->name) || f->id == FIELD_CONTENT_LENGTH)
		return false;
	return connection.len == 0 || !is_named(connection, f);
}

static void
add(struct message *m, enum field_id id, struct str value)
{
	message_add(m, id, field_name(id), value);
}

static void
remove_field(struct message *m, struct str name)
{
	size_t i, n = 0;

	for (i = 0; i < m->n_fields; i++)
		if (!str_eq_nocase(m->fields[i].name, name))
			m->fields[n++] = m->fields[i];
	m->n_fields = n;
}

void
forward_apply_rules(const struct header_rules *rules, const struct forward_facts *facts,
    struct message *m, struct arena *arena)
{
	size_t i;

	for (i = 0; i < rules->n_remove; i++)
		remove_field(m, rules->remove[i]);
	for (i = 0; i < rules->n_set; i++) {
		const struct header_rule *r = &rules->set[i];

		remove_field(m, r->name);
		message_add(m, field_lookup(r->name), r->name,
		    template_expand(&r->value, facts, arena));
	}
	for (i = 0; i < rules->n_add; i++) {
		const struct header_rule *r = &rules->add[i];

		message_add(m, field_lookup(r->name), r->name,
		    template_expand(&r->value, facts, arena));
	}
}

/* --- the request --------------------------------------------------------------------------------------- */

static struct str
origin_form(const struct message *m, struct arena *arena)
{
	if (m->target.len > 0 && (m->target.p[0] == '/' || m->target.p[0] == '*'))
		return m->target;
	if (m->query.p == NULL)
		return m->path.len > 0 ? m->path : STR("/");
	return arena_printf(arena, "%s%.*s?%.*s", m->path.len > 0 ? "" : "/", STR_ARG(m->path),
	    STR_ARG(m->query));
}

/* The incoming list, when it is believed, and who brought it. */
static struct str
forwarded_for(const struct forward_facts *facts, const struct message *m, struct arena *arena)
{
	struct str all = STR_NONE;
	size_t i;

	for (i = 0; facts->peer_is_trusted && i < m->n_fields; i++) {
		struct str value = m->fields[i].value;

		if (m->fields[i].id != FIELD_X_FORWARDED_FOR || value.len == 0)
			continue;
		all = all.len == 0 ? value
		    : arena_printf(arena, "%.*s, %.*s", STR_ARG(all), STR_ARG(value));
	}
	if (str_eq(facts->peer_ip, STR("unix")))
		return all;
	if (all.len == 0)
		return facts->peer_ip;
	return arena_printf(arena, "%.*s, %.*s", STR_ARG(all), STR_ARG(facts->peer_ip));
}

/* What a trusted proxy said, else what we know. */
static void
add_forwarded(struct message *out, const struct forward_facts *facts, enum field_id id,
    struct str known)
{
	struct str said = facts->peer_is_trusted ? message_value(facts->request, id) : STR_NONE;

	if (said.len == 0)
		said = known;
	if (said.len > 0)
		add(out, id, said);
}

/* Fields that are made anew below, or end here. */
static bool
is_replaced(enum field_id id, const struct forward_facts *facts)
{
	switch (id) {
	case FIELD_HOST:
	case FIELD_X_REAL_IP:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PORT:
	case FIELD_X_REQUEST_ID:
		return true;
	case FIELD_FORWARDED:
		return !facts->peer_is_trusted;
	case FIELD_AUTHORIZATION:
		return facts->hides_credential;
	default:
		return false;
	}
}

/* The protocols asked for, without h2c, which ends at the next hop (RFC 9113 3.1). */
static struct str
upgrade_list(const struct message *m, struct arena *arena)
{
	struct str rest, item, all = STR_NONE;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		rest = m->fields[i].id == FIELD_UPGRADE ? m->fields[i].value : STR_NONE;
		while (str_next_item(&rest, &item)) {
			if (str_eq_nocase(item, STR("h2c")))
				continue;
			all = all.len == 0 ? item
			    : arena_printf(arena, "%.*s, %.*s", STR_ARG(all), STR_ARG(item));
		}
	}
	return all;
}

static struct str
via(const struct message *m)
{
	return m->minor == 0 ? STR("1.0 weir") : STR("1.1 weir");
}

/* Of an address as the configuration has it. */
static struct str
authority_of(struct str server)
{
	return str_starts(server, STR("https://")) ? str_from(server, 8) : server;
}

struct message *
forward_request(const struct forward_facts *facts, const struct message *m, struct arena *arena)
{
	struct message *out = message_new(arena, m->n_fields + EXTRA_FIELDS);
	struct str connection = connection_names(m, arena), list;
	size_t i;

	out->is_request = true;
	out->minor = 1;
	out->method = m->method;
	out->method_name = m->method_name;
	out->target = origin_form(m, arena);
	out->path = m->path;
	out->query = m->query;
	out->framing = m->framing;
	out->length = m->length;
	out->has_length = m->has_length;
	out->keep_alive = true;
	out->expect_continue = m->expect_continue;
	/* HTTP/1.0 may come without; HTTP/1.1 may not go without. */
	add(out, FIELD_HOST, m->authority.len > 0 ? m->authority : authority_of(facts->server));
	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		if (f->id == FIELD_EXPECT && !m->expect_continue)
			continue;
		if (passes(f, connection) && !is_replaced(f->id, facts))
			message_add(out, f->id, f->name, f->value);
	}
	if (facts->client_ip.len > 0 && !str_eq(facts->client_ip, STR("unix")))
		add(out, FIELD_X_REAL_IP, facts->client_ip);
	list = forwarded_for(facts, m, arena);
	if (list.len > 0)
		add(out, FIELD_X_FORWARDED_FOR, list);
	add_forwarded(out, facts, FIELD_X_FORWARDED_PROTO, facts->scheme);
	add_forwarded(out, facts, FIELD_X_FORWARDED_HOST, m->authority);
	add_forwarded(out, facts, FIELD_X_FORWARDED_PORT, facts->local_port != 0
	    ? arena_printf(arena, "%u", facts->local_port) : STR_NONE);
	add(out, FIELD_X_REQUEST_ID, facts->request_id);
	add(out, FIELD_VIA, via(m));
	list = m->upgrade ? upgrade_list(m, arena) : STR_NONE;
	if (list.len > 0) {
		out->upgrade = true;
		add(out, FIELD_CONNECTION, STR("upgrade"));
		add(out, FIELD_UPGRADE, list);
	}
	if (facts->route != NULL)
		forward_apply_rules(&facts->route->request_headers, facts, out, arena);
	return out;
}

/* --- the answer --------------------------------------------------------------------------------------------- */

bool
forward_is_event_stream(const struct message *m)
{
	struct str type = message_value(m, FIELD_CONTENT_TYPE);
	ptrdiff_t cut = str_find(type, ';');

	if (cut >= 0)
		type = str_trim(str_first(type, (size_t)cut));
	return str_eq_nocase(type, STR("text/event-stream"));
}

static bool
has_directive(const struct message *m, enum field_id id, struct str word)
{
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == id && field_list_has(m->fields[i].value, word))
			return true;
	return false;
}

/* RFC 9112 6.3, for the client's side of us. */
static void
set_framing(struct message *out, const struct message *request, const struct message *m)
{
	out->length = m->length;
	out->has_length = m->has_length;
	out->framing = m->framing;
	if (request->method == METHOD_HEAD || m->status < 200 || m->status == 204 ||
	    m->status == 304) {
		out->framing = m->status == 101 ? FRAMING_TUNNEL : FRAMING_NONE;
		out->has_length = m->has_length && m->status >= 200 && m->status != 204;
	} else if (m->framing != FRAMING_COUNTED)
		out->framing = request->minor == 0 ? FRAMING_CLOSE : FRAMING_CHUNKED;
}

struct message *
forward_response(const struct forward_facts *facts, const struct message *m, struct arena *arena)
{
	struct message *out = message_new(arena, m->n_fields + EXTRA_FIELDS);
	struct str connection = connection_names(m, arena);
	size_t i;

	out->minor = 1;
	out->status = m->status;
	out->reason = m->reason;
	out->keep_alive = true;
	for (i = 0; i < m->n_fields; i++)
		if (passes(&m->fields[i], connection))
			message_add(out, m->fields[i].id, m->fields[i].name, m->fields[i].value);
	set_framing(out, facts->request, m);
	if (m->status == 101) {
		add(out, FIELD_CONNECTION, STR("upgrade"));
		add(out, FIELD_UPGRADE, message_value(m, FIELD_UPGRADE));
	}
	if (m->status >= 200) {
		if (message_find(m, FIELD_DATE) == NULL)
			add(out, FIELD_DATE, clock_http_date());
		if (forward_is_event_stream(m)) {
			if (message_find(m, FIELD_X_ACCEL_BUFFERING) == NULL)
				add(out, FIELD_X_ACCEL_BUFFERING, STR("no"));
			if (!has_directive(m, FIELD_CACHE_CONTROL, STR("no-transform")))
				add(out, FIELD_CACHE_CONTROL, STR("no-transform"));
		}
	}
	add(out, FIELD_VIA, via(m));
	if (facts->route != NULL && m->status >= 200)
		forward_apply_rules(&facts->route->response_headers, facts, out, arena);
	return out;
}

/* --- templates ------------------------------------------------------------------------------------------------- */

/* $http_user_agent is User-Agent: "_" stands for "-", letters in any case. */
static struct str
field_value(const struct message *m, struct str name)
{
	size_t i, j;

	for (i = 0; i < m->n_fields; i++) {
		struct str have = m->fields[i].name;

		if (have.len != name.len)
			continue;
		for (j = 0; j < name.len; j++) {
			char c = name.p[j] == '_' ? '-' : name.p[j];

			if (!str_eq_nocase(str_make(&c, 1), str_make(have.p + j, 1)) &&
			    have.p[j] != name.p[j])
				break;
		}
		if (j == name.len)
			return m->fields[i].value;
	}
	return STR_NONE;
}

static struct str
variable(const struct template_part *part, const struct forward_facts *facts, struct arena *arena)
{
	const struct message *rq = facts->request;

	switch (part->var) {
	case TEMPLATE_LITERAL:
		return part->text;
	case TEMPLATE_CLIENT_IP:
		return facts->client_ip;
	case TEMPLATE_PEER_IP:
		return facts->peer_ip;
	case TEMPLATE_HOST:
		return rq->host;
	case TEMPLATE_AUTHORITY:
		return rq->authority;
	case TEMPLATE_REQUEST_URI:
		return origin_form(rq, arena);
	case TEMPLATE_PATH:
		return rq->path;
	case TEMPLATE_QUERY:
		return rq->query;
	case TEMPLATE_SCHEME:
		return facts->scheme;
	case TEMPLATE_METHOD:
		return rq->method_name;
	case TEMPLATE_REQUEST_ID:
		return facts->request_id;
	case TEMPLATE_AUTH_USER:
		return facts->user;
	case TEMPLATE_SERVER:
		return facts->server;
	case TEMPLATE_STATUS:
		return arena_printf(arena, "%d", facts->status);
	case TEMPLATE_FIELD:
		if (facts->hides_credential && str_eq_nocase(part->text, STR("authorization")))
			break;
		return field_value(rq, part->text);
	}
	return STR_NONE;
}

struct str
template_expand(const struct template *t, const struct forward_facts *facts, struct arena *arena)
{
	struct str *parts;
	size_t i, j, len = 0, n = 0;
	char *p;

	if (t->n == 0)
		return STR("");
	if (t->n == 1 && t->parts[0].var == TEMPLATE_LITERAL)
		return t->parts[0].text;
	parts = arena_alloc(arena, t->n * sizeof(*parts));
	for (i = 0; i < t->n; i++) {
		parts[i] = variable(&t->parts[i], facts, arena);
		len += parts[i].len;
	}
	p = arena_alloc(arena, len);
	for (i = 0; i < t->n; i++)
		for (j = 0; j < parts[i].len; j++)
			if ((unsigned char)parts[i].p[j] >= 0x20 && parts[i].p[j] != 0x7f)
				p[n++] = parts[i].p[j];
	return str_make(p, n);
}

bool
forward_key_value(const struct key_conf *key, const struct forward_facts *facts,
    const struct message *request, struct str *value)
{
	const struct field *f;

	*value = STR_NONE;
	switch (key->source) {
	case KEY_CLIENT_IP:
		*value = facts->client_ip;
		break;
	case KEY_HEADER:
		f = message_find_name(request, key->name);
		if (f != NULL)
			*value = f->value;
		break;
	case KEY_COOKIE:
		(void)message_cookie(request, key->name, value);
		break;
	case KEY_QUERY:
		(void)message_query_argument(request, key->name, value);
		break;
	case KEY_PATH:
		*value = request->path;
		break;
	case KEY_HOST:
		*value = request->host;
		break;
	case KEY_AUTH:
		*value = facts->user;
		break;
	case KEY_ROUTE:
		*value = facts->route != NULL ? facts->route->name : STR_NONE;
		break;
	}
	return value->len > 0;
}

struct str
forward_key(const struct key_conf *key, const struct forward_facts *facts,
    const struct message *request)
{
	struct str value;

	return forward_key_value(key, facts, request, &value) ? value : facts->client_ip;
}
