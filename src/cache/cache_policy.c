/* SPDX-License-Identifier: MIT */
/*
 * The decisions of a shared cache, RFC 9111, one function for each question.  What the RFC leaves
 * open is decided for the answer that is surely right: stored less, served fresher.  Knows no time
 * but the one it is given, no entry, no socket.
 */
#include "cache/cache_policy.h"

#include <string.h>

#include "base/log.h"

struct str
cache_why_word(enum cache_why why)
{
	static const char *const words[CACHE_WHY_COUNT] = {
		[CACHE_WHY_NONE] = "",
		[CACHE_WHY_METHOD] = "method",
		[CACHE_WHY_TARGET] = "target",
		[CACHE_WHY_BODY] = "body",
		[CACHE_WHY_UPGRADE] = "upgrade",
		[CACHE_WHY_EXPECT] = "expect",
		[CACHE_WHY_CONNECTION] = "connection",
		[CACHE_WHY_OVERRIDE] = "override",
		[CACHE_WHY_PRECONDITION] = "precondition",
		[CACHE_WHY_NOT_REQUESTED] = "not-requested",
		[CACHE_WHY_REQUEST_NO_STORE] = "request-no-store",
		[CACHE_WHY_HEAD] = "head",
		[CACHE_WHY_RANGE] = "range",
		[CACHE_WHY_BODY_TOO_LARGE] = "body-too-large",
		[CACHE_WHY_JSON_INVALID] = "json-invalid",
		[CACHE_WHY_JSON_DUPLICATE] = "json-duplicate",
		[CACHE_WHY_JSON_DEEP] = "json-deep",
		[CACHE_WHY_JSON_NUMBER] = "json-number",
		[CACHE_WHY_JSON_COMPLEX] = "json-complex",
		[CACHE_WHY_NO_STORE] = "no-store",
		[CACHE_WHY_PRIVATE] = "private",
		[CACHE_WHY_SET_COOKIE] = "set-cookie",
		[CACHE_WHY_VARY] = "vary",
		[CACHE_WHY_AUTHORIZATION] = "authorization",
		[CACHE_WHY_PARTIAL] = "partial",
		[CACHE_WHY_STATUS] = "status",
		[CACHE_WHY_NO_LIFETIME] = "no-lifetime",
		[CACHE_WHY_EXPIRED] = "expired",
		[CACHE_WHY_TOO_LARGE] = "too-large",
		[CACHE_WHY_NO_MEMORY] = "no-memory",
		[CACHE_WHY_CUT] = "cut",
	};

	check((unsigned)why < CACHE_WHY_COUNT);
	return str_of(words[why]);
}

/* --- the request ----------------------------------------------------------------------------- */

static bool
has_method(const struct cache_conf *conf, enum method method)
{
	return (method == METHOD_GET && conf->has_get) ||
	    (method == METHOD_HEAD && conf->has_head) ||
	    (method == METHOD_POST && conf->has_post);
}

/*
 * Whether Connection takes out only what never goes on anyway.  Else the server would see another
 * request than the one whose fields make the key (RFC 9110 7.6.1).
 */
static bool
is_plain_connection(struct str list)
{
	static const struct str plain[] = { { "keep-alive", 10 }, { "close", 5 }, { "te", 2 },
		{ "upgrade", 7 } };
	struct str item;
	size_t i;

	while (str_next_item(&list, &item)) {
		for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
			if (str_eq_nocase(item, plain[i]))
				break;
		if (i == sizeof(plain) / sizeof(plain[0]) &&
		    (field_flags(field_lookup(item)) & FIELD_HOP) == 0)
			return false;
	}
	return true;
}

/* What a field of the request means for the cache; NONE for most of them. */
static enum cache_why
why_of_field(const struct field *f, bool is_post)
{
	switch (f->id) {
	case FIELD_EXPECT:
		return CACHE_WHY_EXPECT;
	case FIELD_CONNECTION:
		return is_plain_connection(f->value) ? CACHE_WHY_NONE : CACHE_WHY_CONNECTION;
	case FIELD_X_HTTP_METHOD_OVERRIDE:
	case FIELD_X_HTTP_METHOD:
	case FIELD_X_METHOD_OVERRIDE:
	case FIELD_X_ORIGINAL_URL:
	case FIELD_X_REWRITE_URL:
		return CACHE_WHY_OVERRIDE;
	case FIELD_IF_MATCH:
	case FIELD_IF_UNMODIFIED_SINCE:
		return CACHE_WHY_PRECONDITION;
	case FIELD_IF_NONE_MATCH:
	case FIELD_IF_MODIFIED_SINCE:
		return is_post ? CACHE_WHY_PRECONDITION : CACHE_WHY_NONE;
	case FIELD_RANGE:
		return is_post ? CACHE_WHY_RANGE : CACHE_WHY_NONE;
	default:
		return CACHE_WHY_NONE;
	}
}

static enum cache_why
why_of_head(const struct message *m)
{
	bool is_post = m->method == METHOD_POST;
	enum cache_why why;
	size_t i;

	if (m->path.len == 0 || m->path.p[0] != '/')
		return CACHE_WHY_TARGET;
	if (m->upgrade)
		return CACHE_WHY_UPGRADE;
	if (!is_post && m->framing != FRAMING_NONE &&
	    (m->framing != FRAMING_COUNTED || m->length > 0))
		return CACHE_WHY_BODY;
	for (i = 0; i < m->n_fields; i++) {
		why = why_of_field(&m->fields[i], is_post);
		if (why != CACHE_WHY_NONE)
			return why;
	}
	return CACHE_WHY_NONE;
}

static struct cache_plan
refuse(struct cache_plan plan, enum cache_why why)
{
	plan.may_serve = plan.may_store = plan.may_follow = plan.only_if_cached = false;
	plan.forward = why == CACHE_WHY_METHOD ? CACHE_FORWARD_METHOD : CACHE_FORWARD_BYPASS;
	plan.why = why;
	return plan;
}

static void
keep_out(struct cache_plan *plan, enum cache_why why)
{
	plan->may_store = false;
	plan->why = why;
}

/* RFC 9111 5.2.1. */
static void
apply_directives(struct cache_plan *plan, const struct cache_control *cc)
{
	plan->max_age = cc->max_age;
	plan->min_fresh = cc->min_fresh;
	plan->max_stale = cc->max_stale;
	plan->no_cache = cc->no_cache;
	plan->only_if_cached = cc->only_if_cached;
	if (cc->no_store)
		keep_out(plan, CACHE_WHY_REQUEST_NO_STORE);
}

struct cache_plan
cache_policy_lookup(const struct cache_conf *conf, const struct message *m)
{
	struct cache_plan plan = {
		.may_serve = true, .may_store = true,
		.max_age = CACHE_ABSENT, .min_fresh = CACHE_ABSENT, .max_stale = CACHE_ABSENT,
		.is_head = m->method == METHOD_HEAD, .is_post = m->method == METHOD_POST,
	};
	struct cache_control cc;
	bool has_range;
	enum cache_why why;

	if (!has_method(conf, m->method))
		return refuse(plan, CACHE_WHY_METHOD);
	why = why_of_head(m);
	if (why != CACHE_WHY_NONE)
		return refuse(plan, why);
	cc = cache_control_of(m);
	if (conf->only_requested && !cc.is_public && cc.max_age == CACHE_ABSENT)
		return refuse(plan, CACHE_WHY_NOT_REQUESTED);
	/* Of a POST it is part of the key, or said not to matter. */
	plan.has_authorization = !plan.is_post && (message_find(m, FIELD_AUTHORIZATION) != NULL ||
	    message_find(m, FIELD_X_CLIENT_SUBJECT) != NULL);
	has_range = message_find(m, FIELD_RANGE) != NULL;
	plan.has_range = has_range && m->method == METHOD_GET;
	if (has_range)
		keep_out(&plan, CACHE_WHY_RANGE);
	if (plan.is_head)
		keep_out(&plan, CACHE_WHY_HEAD);
	if (!conf->ignore_request_cache_control)
		apply_directives(&plan, &cc);
	/* A fetch that is under way began before this client asked for a look at the server. */
	plan.may_follow = conf->single_flight && !has_range && !plan.no_cache &&
	    plan.max_age != 0 && !plan.only_if_cached;
	return plan;
}

bool
cache_policy_leaves_out(enum field_id id)
{
	return id == FIELD_IF_NONE_MATCH || id == FIELD_IF_MODIFIED_SINCE || id == FIELD_IF_RANGE;
}

/* --- the answer ------------------------------------------------------------------------------ */

/* Digits; more of them than make a number are a very long time (RFC 9111 1.2.2). */
static bool
is_seconds(struct str s, msec *out)
{
	uint64_t n = CACHE_SECONDS_MAX;
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	if (s.len == 0)
		return false;
	str_to_uint(s, CACHE_SECONDS_MAX, &n);
	*out = (msec)n;
	return true;
}

/* The largest Age: one that is no number is not there (RFC 9111 5.1). */
static msec
age_value(const struct message *m)
{
	msec age = 0, n;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		struct str list = m->fields[i].value, item;

		if (m->fields[i].id != FIELD_AGE)
			continue;
		while (str_next_item(&list, &item))
			if (is_seconds(item, &n) && n * 1000 > age)
				age = n * 1000;
	}
	return age;
}

/* RFC 9111 4.2.3: corrected_initial_age. */
static msec
initial_age(const struct message *m, const struct cache_times *t)
{
	msec corrected = age_value(m) + (t->received > t->sent ? t->received - t->sent : 0);
	msec apparent = 0;
	int64_t date;

	if (field_parse_date(message_value(m, FIELD_DATE), &date) && date < t->wall)
		apparent = (t->wall - date) * 1000;
	return apparent > corrected ? apparent : corrected;
}

/* RFC 9111 5.3: what is no date, or there twice, has passed. */
static msec
expires(const struct message *m, const struct cache_times *t)
{
	int64_t at, date = t->wall, parsed;
	const struct field *first = message_find(m, FIELD_EXPIRES);
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == FIELD_EXPIRES && &m->fields[i] != first)
			return 0;
	if (field_parse_date(message_value(m, FIELD_DATE), &parsed))
		date = parsed;
	if (!field_parse_date(first->value, &at) || at <= date)
		return 0;
	at -= date;
	return (at > CACHE_SECONDS_MAX ? CACHE_SECONDS_MAX : at) * 1000;
}

/* The lifetime that the server says (RFC 9111 4.2.1); false when it says none. */
static bool
own_lifetime(const struct message *m, const struct cache_control *cc, const struct cache_times *t,
    msec *lifetime)
{
	if (cc->s_maxage != CACHE_ABSENT)
		*lifetime = (msec)cc->s_maxage * 1000;
	else if (cc->max_age != CACHE_ABSENT)
		*lifetime = (msec)cc->max_age * 1000;
	else if (message_find(m, FIELD_EXPIRES) != NULL)
		*lifetime = expires(m, t);
	else
		return false;
	return true;
}

/* The lifetime that valid: gives it; any does not mean what the client's fields brought about. */
static bool
given_lifetime(const struct cache_conf *conf, int status, msec *lifetime)
{
	bool by_any = status != 400 && status != 403 && status != 406 && status != 415;
	bool found = false;
	size_t i;

	for (i = 0; i < conf->n_valid; i++) {
		const struct valid_conf *v = &conf->valid[i];

		if (v->status == (unsigned)status) {
			*lifetime = v->lifetime;
			return true;
		}
		if (v->status == 0 && by_any) {
			*lifetime = v->lifetime;
			found = true;
		}
	}
	return found;
}

/* What forbids storing whatever its lifetime is. */
static enum cache_why
why_not(const struct cache_plan *plan, const struct message *m, const struct cache_control *cc)
{
	if (!plan->may_store)
		return plan->why;
	if (m->status == 206 || message_find(m, FIELD_CONTENT_RANGE) != NULL)
		return CACHE_WHY_PARTIAL;
	if (!status_is_storable(m->status))
		return CACHE_WHY_STATUS;
	if (cc->no_store)
		return CACHE_WHY_NO_STORE;
	if (cc->is_private)
		return CACHE_WHY_PRIVATE;
	if (message_find(m, FIELD_SET_COOKIE) != NULL)
		return CACHE_WHY_SET_COOKIE;
	if (plan->has_authorization && !cc->is_public && !cc->must_revalidate &&
	    cc->s_maxage == CACHE_ABSENT)
		return CACHE_WHY_AUTHORIZATION;
	return CACHE_WHY_NONE;
}

static msec
window(int32_t seconds)
{
	return seconds == CACHE_ABSENT ? 0 : (msec)seconds * 1000;
}

static bool
is_etag(struct str s)
{
	if (str_starts(s, STR("W/")))
		s = str_from(s, 2);
	return s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"' &&
	    str_find(str_make(s.p + 1, s.len - 2), '"') < 0;
}

struct freshness
cache_policy_store(const struct cache_conf *conf, const struct cache_plan *plan,
    const struct message *m, const struct cache_times *t)
{
	bool listens = !conf->ignore_response_cache_control;
	struct cache_control cc = listens ? cache_control_of(m) : cache_control_none();
	struct freshness f = { .why = why_not(plan, m, &cc) };
	msec age = initial_age(m, t);
	int64_t date;
	bool has_lifetime, has_validator;

	f.born = t->received - age;
	f.no_cache = cc.no_cache;
	f.must_revalidate = cc.must_revalidate || cc.proxy_revalidate || cc.no_cache ||
	    cc.s_maxage != CACHE_ABSENT;
	f.for_authorized = cc.is_public || cc.must_revalidate || cc.s_maxage != CACHE_ABSENT;
	f.has_etag = is_etag(message_value(m, FIELD_ETAG));
	f.has_last_modified = field_parse_date(message_value(m, FIELD_LAST_MODIFIED), &date);
	has_validator = f.has_etag || f.has_last_modified;
	f.while_revalidate = f.must_revalidate ? 0 : window(cc.stale_while_revalidate);
	f.if_error = f.must_revalidate ? 0 : window(cc.stale_if_error);
	has_lifetime = f.is_explicit = listens && own_lifetime(m, &cc, t, &f.lifetime);
	/* valid: counts from now, however long others had it. */
	if (!has_lifetime && (has_lifetime = given_lifetime(conf, m->status, &f.lifetime)))
		f.lifetime += age;
	if (f.why != CACHE_WHY_NONE)
		return f;
	/* no-cache may come without a lifetime: it is asked about each time. */
	if (!has_lifetime && !(f.no_cache && has_validator))
		f.why = CACHE_WHY_NO_LIFETIME;
	else if ((f.no_cache || f.lifetime <= age) && !has_validator && f.while_revalidate == 0 &&
	    f.if_error == 0)
		f.why = CACHE_WHY_EXPIRED;
	f.storable = f.why == CACHE_WHY_NONE;
	return f;
}

/* --- serving --------------------------------------------------------------------------------- */

/* Seconds, rounded down also below 0. */
static int64_t
seconds(msec t)
{
	return t >= 0 ? t / 1000 : -((-t + 999) / 1000);
}

static bool
is_open_to(const struct cache_plan *plan, const struct freshness *f)
{
	return plan->may_serve && (!plan->has_authorization || f->for_authorized);
}

/* RFC 9111 5.2.1.1, 5.2.1.2: older than the client takes, max-stale counted in. */
static bool
is_too_old(const struct cache_plan *plan, msec age)
{
	msec max = (msec)plan->max_age * 1000;

	if (plan->max_age == CACHE_ABSENT || (plan->max_age > 0 && age <= max))
		return false;
	return plan->max_stale == CACHE_ABSENT || age - max > (msec)plan->max_stale * 1000;
}

struct cache_serving
cache_policy_serve(const struct cache_conf *conf, const struct cache_plan *plan,
    const struct freshness *f, msec now)
{
	msec age = now > f->born ? now - f->born : 0, left = f->lifetime - age;
	struct cache_serving s = { .age = seconds(age), .ttl = seconds(left) };
	/* It said what it takes. */
	bool is_picky = plan->max_age != CACHE_ABSENT || plan->min_fresh > 0 ||
	    plan->max_stale != CACHE_ABSENT;

	s.verdict = CACHE_REVALIDATE;
	if (!is_open_to(plan, f)) {
		s.verdict = CACHE_FETCH;
		s.forward = CACHE_FORWARD_BYPASS;
		return s;
	}
	s.forward = CACHE_FORWARD_REQUEST;
	if (plan->no_cache || is_too_old(plan, age) ||
	    (plan->min_fresh > 0 && left < (msec)plan->min_fresh * 1000))
		return s;
	s.forward = CACHE_FORWARD_STALE;
	if (left > 0 && !f->no_cache) {
		s.verdict = CACHE_FRESH;
		s.forward = CACHE_FORWARD_NONE;
		return s;
	}
	if (f->must_revalidate)
		return s;
	if (plan->max_stale != CACHE_ABSENT && -left <= (msec)plan->max_stale * 1000) {
		s.verdict = CACHE_STALE;
		s.forward = CACHE_FORWARD_NONE;
	} else if (!is_picky && -left < f->while_revalidate) {
		s.verdict = CACHE_STALE_WHILE_REVALIDATE;
		s.forward = CACHE_FORWARD_NONE;
	} else
		s.while_updating = conf->stale.updating && !is_picky;
	return s;
}

/* RFC 5861 4: a failure to answer, told by us or by the server. */
static bool
is_error_status(int status)
{
	return status == 500 || status == 502 || status == 503 || status == 504;
}

bool
cache_policy_stale_on(const struct cache_conf *conf, const struct cache_plan *plan,
    const struct freshness *f, enum cache_event event, int status, msec now)
{
	msec staleness = now - f->born - f->lifetime;

	if (!is_open_to(plan, f) || f->must_revalidate || plan->no_cache)
		return false;
	if (f->if_error > 0 && staleness <= f->if_error &&
	    (event != CACHE_EVENT_STATUS || is_error_status(status)))
		return true;
	switch (event) {
	case CACHE_EVENT_ERROR:
		return conf->stale.error;
	case CACHE_EVENT_TIMEOUT:
		return conf->stale.timeout;
	case CACHE_EVENT_STATUS:
		return status_set_has(&conf->stale, status);
	}
	return false;
}

/* --- a 304 to our question ------------------------------------------------------------------- */

/* RFC 9110 8.8.3.2, the weak comparison. */
static bool
etag_is_like(struct str a, struct str b)
{
	if (str_starts(a, STR("W/")))
		a = str_from(a, 2);
	if (str_starts(b, STR("W/")))
		b = str_from(b, 2);
	return str_eq(a, b);
}

bool
cache_policy_is_refreshed_by(const struct message *stored, const struct message *fresh)
{
	struct str old = message_value(stored, FIELD_ETAG), new = message_value(fresh, FIELD_ETAG);

	if (new.len > 0 && !str_starts(new, STR("W/")))
		return str_eq(old, new);
	if (new.len > 0)
		return old.len > 0 && etag_is_like(old, new);
	old = message_value(stored, FIELD_LAST_MODIFIED);
	new = message_value(fresh, FIELD_LAST_MODIFIED);
	/* Without a validator it can only mean the one we asked about. */
	return new.len == 0 || str_eq(old, new);
}

/* RFC 9111 3.2. */
static bool
is_of_body(enum field_id id)
{
	switch (id) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_TYPE:
	case FIELD_CONTENT_RANGE:
	case FIELD_CONTENT_LANGUAGE:
	case FIELD_TRAILER:
		return true;
	default:
		return (field_flags(id) & FIELD_HOP) != 0;
	}
}

static bool
is_replaced(const struct field *f, const struct message *fresh)
{
	if (f->id == FIELD_AGE || f->id == FIELD_DATE)
		return true;
	return !is_of_body(f->id) && message_find_name(fresh, f->name) != NULL;
}

struct message *
cache_policy_merge(struct arena *arena, const struct message *stored, const struct message *fresh,
    struct str date)
{
	struct message *out = message_new(arena, stored->n_fields + fresh->n_fields + 1);
	struct field *fields = out->fields;
	size_t cap = out->cap_fields, i;

	*out = *stored;
	out->arena = arena;
	out->fields = fields;
	out->cap_fields = cap;
	out->n_fields = 0;
	for (i = 0; i < stored->n_fields; i++)
		if (!is_replaced(&stored->fields[i], fresh))
			message_add(out, stored->fields[i].id, stored->fields[i].name,
			    stored->fields[i].value);
	for (i = 0; i < fresh->n_fields; i++)
		if (!is_of_body(fresh->fields[i].id))
			message_add(out, fresh->fields[i].id, fresh->fields[i].name,
			    fresh->fields[i].value);
	if (message_find(fresh, FIELD_DATE) == NULL)
		message_add(out, FIELD_DATE, field_name(FIELD_DATE), date);
	return out;
}

/* --- unsafe methods -------------------------------------------------------------------------- */

/* Without a port that the scheme has anyway. */
static struct str
bare_authority(struct str authority, struct str scheme)
{
	struct str port = str_eq_nocase(scheme, STR("https")) ? STR(":443") : STR(":80");

	return str_ends(authority, port) ? str_first(authority, authority.len - port.len)
	    : authority;
}

static bool
take_scheme(struct str *s, struct str *scheme)
{
	static const struct str schemes[] = { { "http", 4 }, { "https", 5 } };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct str rest = str_from(*s, schemes[i].len);

		if (!str_eq_nocase(str_first(*s, schemes[i].len), schemes[i]) ||
		    !str_starts(rest, STR("://")))
			continue;
		*s = str_from(rest, 1);
		*scheme = schemes[i];
		return true;
	}
	return false;
}

/* The origin-form target of a URI reference when it is of the same origin. */
static bool
same_origin_target(struct str uri, const struct message *rq, struct str scheme, struct str *target)
{
	struct str their_scheme = scheme, authority;
	ptrdiff_t cut = str_find(uri, '#');
	size_t i;

	if (cut >= 0)
		uri = str_first(uri, (size_t)cut);
	take_scheme(&uri, &their_scheme);
	if (str_starts(uri, STR("//"))) {
		uri = str_from(uri, 2);
		for (i = 0; i < uri.len && uri.p[i] != '/' && uri.p[i] != '?'; i++)
			;
		authority = str_first(uri, i);
		if (!str_eq_nocase(their_scheme, scheme) ||
		    !str_eq_nocase(bare_authority(authority, scheme),
		    bare_authority(rq->authority, scheme)))
			return false;
		*target = str_from(uri, i);
		return true;
	}
	*target = uri;
	return uri.len > 0 && uri.p[0] == '/';
}

/* Path and query as one slice; without a path "?x", which stands for "/?x". */
static struct str
own_target(const struct message *m)
{
	struct str scheme, target;

	if (m->target.len > 0 && m->target.p[0] == '/')
		return m->target;
	scheme = STR("http");
	target = m->target;
	if (!take_scheme(&target, &scheme) || !same_origin_target(m->target, m, scheme, &target))
		return STR("*");
	return target;
}

size_t
cache_policy_invalidates(const struct cache_conf *conf, const struct message *rq,
    const struct message *rs, struct str scheme, struct str paths[CACHE_INVALID_MAX])
{
	static const enum field_id also[] = { FIELD_LOCATION, FIELD_CONTENT_LOCATION };
	const struct field *f;
	size_t n = 0, i;

	if (method_is_safe(rq->method) || rs->status < 200 || rs->status >= 400)
		return 0;
	if (rq->method == METHOD_POST && conf->has_post)
		return 0;
	paths[n++] = own_target(rq);
	for (i = 0; i < sizeof(also) / sizeof(also[0]); i++) {
		f = message_find(rs, also[i]);
		if (f != NULL && same_origin_target(f->value, rq, scheme, &paths[n]))
			n++;
	}
	return n;
}
