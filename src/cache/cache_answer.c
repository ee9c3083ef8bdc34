/* SPDX-License-Identifier: MIT */
/*
 * Conditions and ranges of a request, answered from a stored whole (RFC 9110 13.2.2, 14.2).  What
 * is malformed is not there.  If-Match and If-Unmodified-Since do not get here: cache_policy_lookup
 * sends them to the origin.
 */
#include "cache/cache_answer.h"

#include "base/arena.h"

/* --- conditions ------------------------------------------------------------------------------ */

static struct str
opaque(struct str etag)
{
	return str_starts(etag, STR("W/")) ? str_from(etag, 2) : etag;
}

/* RFC 9110 13.1.2: any of them, by the weak comparison; * is any. */
static bool
none_match_hits(const struct message *rq, struct str etag)
{
	struct str list, item;
	size_t i;

	for (i = 0; i < rq->n_fields; i++) {
		if (rq->fields[i].id != FIELD_IF_NONE_MATCH)
			continue;
		list = rq->fields[i].value;
		while (str_next_item(&list, &item))
			if (str_eq(item, STR("*")) ||
			    (etag.len > 0 && str_eq(opaque(item), opaque(etag))))
				return true;
	}
	return false;
}

/* The one field of that id, or an empty slice when there is none, or two. */
static struct str
single(const struct message *m, enum field_id id)
{
	const struct field *first = message_find(m, id);
	size_t i;

	if (first == NULL)
		return STR_NONE;
	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == id && &m->fields[i] != first)
			return STR_NONE;
	return first->value;
}

/* RFC 9110 13.1.3, RFC 9111 4.3.2: by Last-Modified, else by Date. */
static bool
is_unmodified(const struct message *rq, const struct message *stored)
{
	int64_t since, changed;

	if (!field_parse_date(single(rq, FIELD_IF_MODIFIED_SINCE), &since))
		return false;
	if (!field_parse_date(message_value(stored, FIELD_LAST_MODIFIED), &changed) &&
	    !field_parse_date(message_value(stored, FIELD_DATE), &changed))
		return false;
	return changed <= since;
}

static bool
is_known(const struct message *rq, const struct message *stored)
{
	/* If-Modified-Since counts only without it. */
	if (message_find(rq, FIELD_IF_NONE_MATCH) != NULL)
		return none_match_hits(rq, message_value(stored, FIELD_ETAG));
	return is_unmodified(rq, stored);
}

/* --- ranges ---------------------------------------------------------------------------------- */

/* RFC 9110 13.1.5: strong comparison only; a date is strong when it is older than the answer. */
static bool
if_range_allows(const struct message *rq, const struct message *stored)
{
	struct str want = single(rq, FIELD_IF_RANGE), have;
	int64_t wanted, changed, date;

	if (message_find(rq, FIELD_IF_RANGE) == NULL)
		return true;
	if (want.len > 0 && want.p[0] == '"') {
		have = message_value(stored, FIELD_ETAG);
		return str_eq(want, have);
	}
	have = message_value(stored, FIELD_LAST_MODIFIED);
	return field_parse_date(want, &wanted) && field_parse_date(have, &changed) &&
	    field_parse_date(message_value(stored, FIELD_DATE), &date) && wanted == changed &&
	    changed < date;
}

/* Digits; more than fit are the largest number. */
static bool
take_number(struct str s, uint64_t *out)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	if (s.len > 0 && !str_to_uint(s, UINT64_MAX, out))
		*out = UINT64_MAX;
	return s.len > 0;
}

/* "bytes=a-b", "bytes=a-", "bytes=-n": one of them, else false. */
static bool
parse_range(struct str s, uint64_t length, struct cache_answer *a)
{
	ptrdiff_t dash;
	uint64_t first = 0, last = UINT64_MAX;
	struct str from, to;

	if (!str_eq_nocase(str_first(s, 6), STR("bytes=")))
		return false;
	s = str_trim(str_from(s, 6));
	dash = str_find(s, '-');
	if (dash < 0)
		return false;
	from = str_first(s, (size_t)dash);
	to = str_from(s, (size_t)dash + 1);
	if ((from.len > 0 && !take_number(from, &first)) ||
	    (to.len > 0 && !take_number(to, &last)) || (from.len == 0 && to.len == 0) ||
	    (from.len > 0 && first > last))
		return false;
	if (from.len == 0) {
		first = last >= length ? 0 : length - last;
		a->kind = last == 0 || length == 0 ? CACHE_ANSWER_UNSATISFIABLE
		    : CACHE_ANSWER_RANGE;
		last = UINT64_MAX;
	} else
		a->kind = first >= length ? CACHE_ANSWER_UNSATISFIABLE : CACHE_ANSWER_RANGE;
	a->first = first;
	a->last = last >= length ? length - 1 : last;
	return true;
}

struct cache_answer
cache_answer_of(const struct cache_plan *plan, const struct message *rq,
    const struct message *stored, int64_t length)
{
	struct cache_answer whole = { CACHE_ANSWER_WHOLE, 0, 0 }, a = whole;

	if (plan->is_post || stored->status != 200)
		return whole;
	if (is_known(rq, stored)) {
		a.kind = CACHE_ANSWER_NOT_MODIFIED;
		return a;
	}
	if (!plan->has_range || length < 0 || !if_range_allows(rq, stored) ||
	    !parse_range(single(rq, FIELD_RANGE), (uint64_t)length, &a))
		return whole;
	return a;
}

struct str
cache_answer_content_range(struct arena *arena, const struct cache_answer *a, uint64_t length)
{
	if (a->kind == CACHE_ANSWER_UNSATISFIABLE)
		return arena_printf(arena, "bytes */%llu", (unsigned long long)length);
	return arena_printf(arena, "bytes %llu-%llu/%llu", (unsigned long long)a->first,
	    (unsigned long long)a->last, (unsigned long long)length);
}

bool
cache_answer_in_304(enum field_id id)
{
	switch (id) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_TYPE:
	case FIELD_CONTENT_RANGE:
	case FIELD_CONTENT_LANGUAGE:
	case FIELD_TRAILER:
		return false;
	default:
		return true;
	}
}
