/* SPDX-License-Identifier: MIT */
/*
 * What a client is told of its limits: RateLimit-Policy, RateLimit, Retry-After
 * (draft-ietf-httpapi-ratelimit-headers-11).
 *
 * A rate is a policy of its own name with q and w as configured and the burst beside them, a limit on
 * requests in flight one of the name with "/concurrent" (no name has a slash).  Names are tokens, so
 * they need no escapes as strings of Structured Fields.  The window of what is left is the time in
 * which so much comes anew: who spreads it evenly goes at the rate and is never refused.
 */
#include "policy/limit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static const int64_t SECOND = 1000000000;

enum { POLICY_ROOM = 128, STATE_ROOM = 80 };	/* what stands beside the names of a limit's items */

const char *
limit_word_name(enum limit_word word)
{
	static const char *const names[] = { [LIMIT_NONE] = NULL, [LIMIT_PASSED] = "passed",
		[LIMIT_DRY_RUN] = "dry_run", [LIMIT_DELAYED] = "delayed", [LIMIT_REFUSED] = "refused" };

	return names[word];
}

int64_t
limit_seconds(int64_t wait)
{
	int64_t seconds = wait / SECOND + (wait % SECOND > 0);

	return seconds > 0 ? seconds : 1;
}

/* Bytes that are written one behind the other; there is room for all of them. */
struct pen {
	char  *p;
	size_t n;
};

static void
put(struct pen *pen, struct str s)
{
	memcpy(pen->p + pen->n, s.p, s.len);
	pen->n += s.len;
}

static void
put_number(struct pen *pen, struct str lead, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	put(pen, lead);
	put(pen, str_make(digits + at, sizeof(digits) - at));
}

static void
put_name(struct pen *pen, const struct limit_conf *conf, struct str behind)
{
	if (pen->n > 0)
		put(pen, STR(", "));
	put(pen, STR("\""));
	put(pen, conf->name);
	put(pen, behind);
	put(pen, STR("\""));
}

struct str
limit_policy_make(const struct limit_conf *conf)
{
	struct pen pen = { malloc(2 * conf->name.len + POLICY_ROOM), 0 };

	check(pen.p != NULL);
	if (conf->rate.count > 0) {
		put_name(&pen, conf, STR(""));
		put_number(&pen, STR(";q="), conf->rate.count);
		put_number(&pen, STR(";w="), (uint64_t)conf->rate.per / 1000);
		if (conf->burst > 0)
			put_number(&pen, STR(";weir-burst="), conf->burst);
	}
	if (conf->concurrent > 0) {
		put_name(&pen, conf, STR("/concurrent"));
		put_number(&pen, STR(";q="), conf->concurrent);
		put(&pen, STR(";qu=\"concurrent-requests\""));
	}
	return str_make(pen.p, pen.n);
}

struct str
limit_policy_text(const struct limit_claim *claims, size_t n, struct arena *arena)
{
	struct str all = STR_NONE;

	for (; n > 0; n--, claims++) {
		struct str one = claims->limit->policy;

		if (claims->limit->conf->dry_run)
			continue;
		all = all.len == 0 ? one
		    : arena_printf(arena, "%.*s, %.*s", STR_ARG(all), STR_ARG(one));
	}
	return all;
}

static void
put_rate_state(struct pen *pen, const struct limit_claim *c, int64_t now)
{
	int64_t window;
	unsigned left = limit_left(c, now, &window);

	if (left > 0)
		window = c->limit->interval * left;
	put_name(pen, c->limit->conf, STR(""));
	put_number(pen, STR(";r="), left);
	put_number(pen, STR(";t="), (uint64_t)limit_seconds(window));
}

static void
put_crowd_state(struct pen *pen, const struct limit_claim *c)
{
	unsigned most = c->limit->conf->concurrent, have = limit_in_flight(c);

	put_name(pen, c->limit->conf, STR("/concurrent"));
	put_number(pen, STR(";r="), have < most ? most - have : 0);
}

struct str
limit_state_text(const struct limit_claim *claims, size_t n, bool refused, int64_t now,
    struct arena *arena)
{
	struct pen pen = { NULL, 0 };
	size_t room = 0, i;

	for (i = 0; i < n; i++)
		room += 2 * claims[i].limit->conf->name.len + STATE_ROOM;
	pen.p = arena_alloc(arena, room);
	for (; n > 0; n--, claims++) {
		if (claims->limit->conf->dry_run || (refused && claims->word != LIMIT_REFUSED))
			continue;
		/* Retry-After shall not end before a window does: only what refused is told. */
		if (claims->limit->interval > 0 && !(refused && claims->is_crowd))
			put_rate_state(&pen, claims, now);
		if (claims->limit->conf->concurrent > 0 && (!refused || claims->is_crowd))
			put_crowd_state(&pen, claims);
	}
	return str_make(pen.p, pen.n);
}
