/* SPDX-License-Identifier: MIT */
/*
 * Cache-Control, read word by word.  Servers write commas, semicolons and blanks between
 * directives; all of them part here, since a "private" that is overlooked is worse than one too
 * many.  What has an open quote is taken as no-store: nobody knows what it hides.
 */
#include "cache/cache_control.h"

/* --- words ----------------------------------------------------------------------------------- */

static bool
is_separator(char c)
{
	return c == ',' || c == ';' || c == ' ' || c == '\t';
}

/* Takes the next word off *rest, quoted strings whole; *broken when a quote is open. */
static bool
next_word(struct str *rest, struct str *word, bool *broken)
{
	bool quoted = false;
	size_t i = 0;

	while (rest->len > 0 && is_separator(rest->p[0]))
		*rest = str_from(*rest, 1);
	for (; i < rest->len && (quoted || !is_separator(rest->p[i])); i++) {
		if (rest->p[i] == '"')
			quoted = !quoted;
		else if (quoted && rest->p[i] == '\\' && i + 1 < rest->len)
			i++;
	}
	*broken |= quoted;
	*word = str_first(*rest, i);
	*rest = str_from(*rest, i);
	return i > 0;
}

/* "=5" and "=\"5\"" (RFC 9111 5.2 allows both); false when it is no number. */
static bool
take_seconds(struct str value, int32_t *seconds)
{
	uint64_t n;
	size_t i;

	if (value.len < 2)
		return false;
	value = str_from(value, 1);
	if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
		value = str_make(value.p + 1, value.len - 2);
	for (i = 0; i < value.len; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
	if (value.len == 0)
		return false;
	/* More digits than a number has are a very long time. */
	*seconds = str_to_uint(value, CACHE_SECONDS_MAX, &n) ? (int32_t)n : CACHE_SECONDS_MAX;
	return true;
}

/* --- directives ------------------------------------------------------------------------------ */

static void
smaller(int32_t *at, int32_t seconds)
{
	if (*at == CACHE_ABSENT || seconds < *at)
		*at = seconds;
}

static void
larger(int32_t *at, int32_t seconds)
{
	if (seconds > *at)
		*at = seconds;
}

/* What a time means that is there and no number: the least that it can. */
static void
set_time(int32_t *at, struct str value)
{
	int32_t seconds = 0;

	take_seconds(value, &seconds);
	smaller(at, seconds);
}

static void
set_min_fresh(int32_t *at, struct str value)
{
	int32_t seconds = CACHE_SECONDS_MAX;

	take_seconds(value, &seconds);
	larger(at, seconds);
}

/* Without a value: any age (RFC 9111 5.2.1.2). */
static void
set_max_stale(int32_t *at, struct str value)
{
	int32_t seconds = value.len == 0 ? CACHE_SECONDS_MAX : 0;

	take_seconds(value, &seconds);
	smaller(at, seconds);
}

static void
set(struct cache_control *c, struct str name, struct str value)
{
	const struct { struct str name; bool *flag; } flags[] = {
		{ STR("no-store"), &c->no_store }, { STR("no-cache"), &c->no_cache },
		{ STR("no-transform"), &c->no_transform },
		{ STR("only-if-cached"), &c->only_if_cached },
		{ STR("public"), &c->is_public }, { STR("private"), &c->is_private },
		{ STR("must-revalidate"), &c->must_revalidate },
		{ STR("proxy-revalidate"), &c->proxy_revalidate },
		{ STR("must-understand"), &c->must_understand },
		{ STR("immutable"), &c->immutable },
	};
	const struct {
		struct str name;
		int32_t   *at;
		void     (*set)(int32_t *, struct str);
	} times[] = {
		{ STR("max-age"), &c->max_age, set_time },
		{ STR("s-maxage"), &c->s_maxage, set_time },
		{ STR("min-fresh"), &c->min_fresh, set_min_fresh },
		{ STR("max-stale"), &c->max_stale, set_max_stale },
		{ STR("stale-while-revalidate"), &c->stale_while_revalidate, set_time },
		{ STR("stale-if-error"), &c->stale_if_error, set_time },
	};
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (str_eq_nocase(name, flags[i].name)) {
			*flags[i].flag = true;
			return;
		}
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (str_eq_nocase(name, times[i].name)) {
			times[i].set(times[i].at, value);
			return;
		}
}

static void
read_field(struct cache_control *c, struct str rest)
{
	struct str word;
	bool broken = false;
	ptrdiff_t at;

	while (next_word(&rest, &word, &broken)) {
		at = str_find(word, '=');
		set(c, at < 0 ? word : str_first(word, (size_t)at),
		    at < 0 ? STR_NONE : str_from(word, (size_t)at));
	}
	c->no_store |= broken;
}

struct cache_control
cache_control_none(void)
{
	struct cache_control c = {
		.max_age = CACHE_ABSENT, .s_maxage = CACHE_ABSENT, .min_fresh = CACHE_ABSENT,
		.max_stale = CACHE_ABSENT, .stale_while_revalidate = CACHE_ABSENT,
		.stale_if_error = CACHE_ABSENT,
	};

	return c;
}

struct cache_control
cache_control_of(const struct message *m)
{
	struct cache_control c = cache_control_none();
	bool pragma = false;
	size_t i;

	for (i = 0; i < m->n_fields; i++) {
		const struct field *f = &m->fields[i];

		if (f->id == FIELD_CACHE_CONTROL) {
			c.present = true;
			read_field(&c, f->value);
		} else if (f->id == FIELD_PRAGMA)
			pragma |= field_list_has(f->value, STR("no-cache"));
	}
	if (m->is_request && !c.present && pragma)
		c.present = c.no_cache = true;
	return c;
}
