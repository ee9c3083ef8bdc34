/* SPDX-License-Identifier: MIT */
/*
 * Messages: fields in an array that doubles, looked up by walking it (there are about twenty, and
 * their ids were found when they were parsed).  Knows nothing of bytes on a wire.
 */
#include "http/message.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"

struct message *
message_new(struct arena *arena, size_t n_fields)
{
	struct message *m = arena_zalloc(arena, sizeof(*m));

	m->arena = arena;
	m->minor = 1;
	m->cap_fields = n_fields;
	m->fields = arena_alloc(arena, n_fields * sizeof(m->fields[0]));
	return m;
}

static void
grow(struct message *m)
{
	size_t room = m->cap_fields < 8 ? 16 : m->cap_fields * 2;
	struct field *fields = arena_alloc(m->arena, room * sizeof(fields[0]));

	if (m->n_fields > 0)
		memcpy(fields, m->fields, m->n_fields * sizeof(fields[0]));
	m->fields = fields;
	m->cap_fields = room;
}

void
message_add(struct message *m, enum field_id id, struct str name, struct str value)
{
	struct field *f;

	if (m->n_fields == m->cap_fields)
		grow(m);
	f = &m->fields[m->n_fields++];
	f->id = id;
	f->name = name;
	f->value = value;
}

const struct field *
message_find(const struct message *m, enum field_id id)
{
	size_t i;

	check(id != FIELD_OTHER);
	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == id)
			return &m->fields[i];
	return NULL;
}

const struct field *
message_find_name(const struct message *m, struct str name)
{
	enum field_id id = field_lookup(name);
	size_t i;

	if (id != FIELD_OTHER)
		return message_find(m, id);
	for (i = 0; i < m->n_fields; i++)
		if (str_eq_nocase(m->fields[i].name, name))
			return &m->fields[i];
	return NULL;
}

struct str
message_value(const struct message *m, enum field_id id)
{
	const struct field *f = message_find(m, id);

	return f != NULL ? f->value : STR_NONE;
}

/* --- copies ---------------------------------------------------------------------------------------- */

/* The texts of a message beside those of its fields. */
#define TEXTS(m) { &(m)->method_name, &(m)->target, &(m)->path, &(m)->query, &(m)->authority, \
	&(m)->host, &(m)->reason }
enum { N_TEXTS = 7 };

size_t
message_size(const struct message *m)
{
	const struct str *texts[] = TEXTS(m);
	size_t size = sizeof(*m) + m->n_fields * sizeof(m->fields[0]), i;

	for (i = 0; i < N_TEXTS; i++)
		size += texts[i]->len;
	for (i = 0; i < m->n_fields; i++)
		size += m->fields[i].name.len + m->fields[i].value.len;
	return size;
}

/* Moves a slice to *at; one that is not there stays so. */
static void
copy_text(struct str *s, char **at)
{
	if (s->p == NULL)
		return;
	memcpy(*at, s->p, s->len);
	s->p = *at;
	*at += s->len;
}

void
message_copy(const struct message *m, struct message *out)
{
	struct str *texts[] = TEXTS(out);
	char *at;
	size_t i;

	*out = *m;
	out->arena = NULL;
	out->trailers = NULL;
	out->n_trailers = 0;
	out->fields = (struct field *)(out + 1);
	out->cap_fields = m->n_fields;
	if (m->n_fields > 0)
		memcpy(out->fields, m->fields, m->n_fields * sizeof(m->fields[0]));
	at = (char *)(out->fields + m->n_fields);
	for (i = 0; i < N_TEXTS; i++)
		copy_text(texts[i], &at);
	for (i = 0; i < m->n_fields; i++) {
		copy_text(&out->fields[i].name, &at);
		copy_text(&out->fields[i].value, &at);
	}
}

/* --- parts of values ------------------------------------------------------------------------------ */

/* Takes what stands before the next sep off *rest; false when *rest was empty. */
static bool
take_part(struct str *rest, char sep, struct str *part)
{
	ptrdiff_t at = str_find(*rest, sep);

	if (rest->len == 0)
		return false;
	*part = at < 0 ? *rest : str_first(*rest, (size_t)at);
	*rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 1);
	return true;
}

/* "name=value" of that name; without "=" the value is empty. */
static bool
is_pair(struct str pair, struct str name, struct str *value)
{
	ptrdiff_t at = str_find(pair, '=');

	if (!str_eq(at < 0 ? pair : str_first(pair, (size_t)at), name))
		return false;
	*value = at < 0 ? str_make(pair.p + pair.len, 0) : str_from(pair, (size_t)at + 1);
	return true;
}

static bool
find_cookie(struct str list, struct str name, struct str *value)
{
	struct str pair;

	while (take_part(&list, ';', &pair)) {
		pair = str_trim(pair);
		if (str_find(pair, '=') >= 0 && is_pair(pair, name, value))
			return true;
	}
	return false;
}

bool
message_cookie(const struct message *m, struct str name, struct str *value)
{
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == FIELD_COOKIE && find_cookie(m->fields[i].value, name, value))
			return true;
	return false;
}

bool
message_query_argument(const struct message *m, struct str name, struct str *value)
{
	struct str rest = m->query, pair;

	while (take_part(&rest, '&', &pair))
		if (pair.len > 0 && is_pair(pair, name, value))
			return true;
	return false;
}

/* --- facts about methods and statuses --------------------------------------------------------------- */

bool
method_is_safe(enum method method)
{
	return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
	    method == METHOD_TRACE;
}

bool
method_is_idempotent(enum method method)
{
	/* METHOD_OTHER may be PROPFIND, but MKACTIVITY too: when in doubt it is not. */
	return method_is_safe(method) || method == METHOD_PUT || method == METHOD_DELETE;
}

struct str
status_reason(int status)
{
	static const struct {
		int         status;
		const char *reason;
	} reasons[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" }, { 102, "Processing" },
		{ 103, "Early Hints" },
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
		{ 203, "Non-Authoritative Information" }, { 204, "No Content" },
		{ 205, "Reset Content" }, { 206, "Partial Content" }, { 207, "Multi-Status" },
		{ 208, "Already Reported" }, { 226, "IM Used" },
		{ 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 302, "Found" },
		{ 303, "See Other" }, { 304, "Not Modified" }, { 305, "Use Proxy" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" }, { 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
		{ 411, "Length Required" }, { 412, "Precondition Failed" },
		{ 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" }, { 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" }, { 423, "Locked" }, { 424, "Failed Dependency" },
		{ 425, "Too Early" }, { 426, "Upgrade Required" }, { 428, "Precondition Required" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 451, "Unavailable For Legal Reasons" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" }, { 506, "Variant Also Negotiates" },
		{ 507, "Insufficient Storage" }, { 508, "Loop Detected" },
		{ 511, "Network Authentication Required" },
	};
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return str_of(reasons[i].reason);
	return STR("");
}
