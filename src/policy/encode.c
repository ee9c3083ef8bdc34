/* SPDX-License-Identifier: MIT */
/*
 * Content codings of answers.  Two questions that must not be mixed: what may be encoded is the same
 * for everybody, so that Vary is on every such answer; whether it is, is this client's wish.
 */
#include "policy/encode.h"

#include <string.h>

#include "base/arena.h"
#include "http/coder.h"
#include "policy/forward.h"

/* --- what may be encoded ----------------------------------------------------------------------- */

static bool
list_has(const struct message *m, enum field_id id, struct str token)
{
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == id && field_list_has(m->fields[i].value, token))
			return true;
	return false;
}

static bool
is_encoded(const struct message *m)
{
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == FIELD_CONTENT_ENCODING &&
		    !str_eq_nocase(m->fields[i].value, STR("identity")))
			return true;
	return false;
}

/* Of the body's bytes, or of the representation's, which an encoding changes both (RFC 9530). */
static const struct str digests[] = { { "Content-Digest", 14 }, { "Repr-Digest", 11 },
	{ "Digest", 6 }, { "Content-MD5", 11 } };

static bool
is_sealed(const struct message *m)
{
	size_t i;

	for (i = 0; i < sizeof(digests) / sizeof(digests[0]); i++)
		if (message_find_name(m, digests[i]) != NULL ||
		    list_has(m, FIELD_TRAILER, digests[i]))
			return true;
	return false;
}

bool
encode_keeps_trailer(const struct field *f)
{
	size_t i;

	for (i = 0; i < sizeof(digests) / sizeof(digests[0]); i++)
		if (str_eq_nocase(f->name, digests[i]))
			return false;
	return true;
}

/* The type without its parameters. */
static struct str
media_type(const struct message *m)
{
	struct str type = message_value(m, FIELD_CONTENT_TYPE);
	ptrdiff_t cut = str_find(type, ';');

	return cut >= 0 ? str_trim(str_first(type, (size_t)cut)) : type;
}

/* One * stands for anything. */
static bool
matches(struct str pattern, struct str type)
{
	ptrdiff_t star = str_find(pattern, '*');
	size_t before, after;

	if (star < 0)
		return str_eq_nocase(pattern, type);
	before = (size_t)star;
	after = pattern.len - before - 1;
	return type.len >= before + after &&
	    str_eq_nocase(str_first(pattern, before), str_first(type, before)) &&
	    str_eq_nocase(str_from(pattern, before + 1), str_from(type, type.len - after));
}

static bool
has_type(const struct compress_conf *conf, struct str type)
{
	size_t i;

	for (i = 0; i < conf->n_types; i++)
		if (matches(conf->types[i], type))
			return true;
	return false;
}

enum encode_verdict
encode_judge(const struct compress_conf *conf, const struct message *m)
{
	struct str type = media_type(m);

	if (m->status < 200 || m->status == 204 || m->status == 205 || is_encoded(m) ||
	    list_has(m, FIELD_CACHE_CONTROL, STR("no-transform")))
		return ENCODE_NEVER;
	/* A 304 need not tell the type. */
	if (m->status == 304)
		return type.len == 0 || has_type(conf, type) ? ENCODE_VARIES : ENCODE_NEVER;
	if (!has_type(conf, type) || forward_is_event_stream(m) || is_sealed(m))
		return ENCODE_NEVER;
	if (m->status == 206)
		return ENCODE_VARIES;
	if (message_find(m, FIELD_CONTENT_RANGE) != NULL)
		return ENCODE_NEVER;
	if (m->has_length && (m->length < conf->min_size || m->length == 0))
		return ENCODE_NEVER;
	return ENCODE_MAY;
}

/* --- what the client wants (RFC 9110 12.4.2, 12.5.3) --------------------------------------------- */

enum { UNSAID = -1 };

/* Weights in thousandths, by name; the last is that of "*". */
struct wishes {
	int q[ENCODING_COUNT + 1];
};

/* "0.5": thousandths; 0 for what is no weight, so that it excludes rather than asks. */
static int
parse_weight(struct str s)
{
	uint64_t digits = 0;
	int q;
	size_t i;

	if (s.len == 0 || s.len > 5 || (s.p[0] != '0' && s.p[0] != '1') ||
	    (s.len > 1 && s.p[1] != '.'))
		return 0;
	if (s.len > 2 && !str_to_uint(str_from(s, 2), 999, &digits))
		return 0;
	q = (int)digits;
	for (i = s.len > 2 ? s.len : 2; i < 5; i++)
		q *= 10;
	if (s.p[0] == '1')
		return q == 0 ? 1000 : 0;
	return q;
}

/* Takes what is before the next semicolon. */
static struct str
take_part(struct str *rest)
{
	ptrdiff_t cut = str_find(*rest, ';');
	struct str part = cut >= 0 ? str_first(*rest, (size_t)cut) : *rest;

	*rest = cut >= 0 ? str_from(*rest, (size_t)cut + 1) : STR_NONE;
	return str_trim(part);
}

static int
weight_of(struct str parameters)
{
	struct str part;

	while (parameters.len > 0) {
		part = take_part(&parameters);
		if (part.len >= 2 && (part.p[0] == 'q' || part.p[0] == 'Q') && part.p[1] == '=')
			return parse_weight(str_from(part, 2));
	}
	return 1000;
}

/* Who says it twice means the lesser: no once is no. */
static void
wish(struct wishes *w, struct str item)
{
	struct str name = take_part(&item);
	int q = weight_of(item);
	size_t e = ENCODING_COUNT;

	if (!str_eq(name, STR("*")))
		for (e = 0; e < ENCODING_COUNT; e++)
			if (str_eq_nocase(name, coder_name((enum encoding)e)) ||
			    (name.len > 0 && str_eq_nocase(name, coder_alias((enum encoding)e))))
				break;
	if (e == ENCODING_COUNT && !str_eq(name, STR("*")))
		return;
	if (w->q[e] == UNSAID || q < w->q[e])
		w->q[e] = q;
}

static struct wishes
wishes_of(const struct message *request)
{
	struct wishes w;
	struct str rest, item;
	size_t i;

	for (i = 0; i <= ENCODING_COUNT; i++)
		w.q[i] = UNSAID;
	for (i = 0; i < request->n_fields; i++) {
		if (request->fields[i].id != FIELD_ACCEPT_ENCODING)
			continue;
		rest = request->fields[i].value;
		while (str_next_item(&rest, &item))
			wish(&w, item);
	}
	return w;
}

enum encoding
encode_choose(const struct compress_conf *conf, const struct message *request)
{
	enum encoding best = ENCODING_IDENTITY;
	struct wishes w;
	int best_q = 0, q;
	size_t i;

	/* RFC 9111 5.2.1.6 for the second. */
	if (request->minor == 0 || list_has(request, FIELD_CACHE_CONTROL, STR("no-transform")))
		return ENCODING_IDENTITY;
	w = wishes_of(request);
	for (i = 0; i < conf->n_encodings; i++) {
		q = w.q[conf->encodings[i]];
		if (q == UNSAID)
			q = w.q[ENCODING_COUNT];
		if (q > best_q) {
			best = (enum encoding)conf->encodings[i];
			best_q = q;
		}
	}
	return w.q[ENCODING_IDENTITY] > best_q ? ENCODING_IDENTITY : best;
}

/* --- fields ------------------------------------------------------------------------------------ */

static void
add(struct message *m, enum field_id id, struct str value)
{
	message_add(m, id, field_name(id), value);
}

void
encode_vary(struct message *m, struct arena *arena)
{
	struct field *first = NULL;
	size_t i;

	if (list_has(m, FIELD_VARY, STR("Accept-Encoding")) || list_has(m, FIELD_VARY, STR("*")))
		return;
	/* A quote has no place there, and could swallow what comes behind it. */
	for (i = 0; i < m->n_fields && first == NULL; i++)
		if (m->fields[i].id == FIELD_VARY && m->fields[i].value.len > 0 &&
		    str_find(m->fields[i].value, '"') < 0)
			first = &m->fields[i];
	if (first == NULL)
		add(m, FIELD_VARY, STR("Accept-Encoding"));
	else
		first->value = arena_printf(arena, "%.*s, Accept-Encoding", STR_ARG(first->value));
}

static bool
is_strong(struct str etag)
{
	return etag.len > 0 && etag.p[0] == '"';
}

static struct str
weaken(struct str etag, struct arena *arena)
{
	return arena_printf(arena, "W/%.*s", STR_ARG(etag));
}

/* Of the bytes as they were: what has no meaning, or another, beside encoded ones. */
static bool
is_of_plain(const struct field *f)
{
	switch (f->id) {
	case FIELD_CONTENT_ENCODING:
		return true;
	case FIELD_ETAG:
		/* What is neither strong nor weak cannot be made weak. */
		return !is_strong(f->value) && !str_starts(f->value, STR("W/\""));
	default:
		return str_eq_nocase(f->name, STR("Accept-Ranges"));
	}
}

void
encode_head(struct message *m, enum encoding encoding, struct arena *arena)
{
	size_t i, n = 0;

	for (i = 0; i < m->n_fields; i++) {
		if (is_of_plain(&m->fields[i]))
			continue;
		m->fields[n] = m->fields[i];
		if (m->fields[n].id == FIELD_ETAG && is_strong(m->fields[n].value))
			m->fields[n].value = weaken(m->fields[n].value, arena);
		n++;
	}
	m->n_fields = n;
	add(m, FIELD_CONTENT_ENCODING, coder_name(encoding));
	m->has_length = false;
	if (m->framing == FRAMING_COUNTED)
		m->framing = FRAMING_CHUNKED;
}

/* Whether the client named this tag, to the letter. */
static bool
has_tag(const struct message *request, struct str tag)
{
	struct str rest, item;
	size_t i;

	for (i = 0; i < request->n_fields; i++) {
		if (request->fields[i].id != FIELD_IF_NONE_MATCH)
			continue;
		rest = request->fields[i].value;
		while (str_next_item(&rest, &item))
			if (str_eq(item, tag))
				return true;
	}
	return false;
}

void
encode_not_modified(struct message *m, const struct message *request, struct arena *arena)
{
	struct str weak;
	size_t i;

	/* RFC 9110 15.4.5: it would have to be that of what the client has, which may be encoded. */
	m->has_length = false;
	for (i = 0; i < m->n_fields; i++) {
		if (m->fields[i].id != FIELD_ETAG || !is_strong(m->fields[i].value))
			continue;
		weak = weaken(m->fields[i].value, arena);
		if (has_tag(request, weak) && !has_tag(request, m->fields[i].value))
			m->fields[i].value = weak;
	}
}
