/* SPDX-License-Identifier: MIT */
/* Cache-Status in one buffer: the longest value is known. */
#include "cache/cache_status.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/log.h"

enum { VALUE_MAX = 200 };

static const char *const forward_words[] = {
	[CACHE_FORWARD_NONE] = "", [CACHE_FORWARD_BYPASS] = "bypass",
	[CACHE_FORWARD_METHOD] = "method", [CACHE_FORWARD_URI_MISS] = "uri-miss",
	[CACHE_FORWARD_VARY_MISS] = "vary-miss", [CACHE_FORWARD_MISS] = "miss",
	[CACHE_FORWARD_REQUEST] = "request", [CACHE_FORWARD_STALE] = "stale",
	[CACHE_FORWARD_PARTIAL] = "partial",
};

static size_t
add(char *buf, size_t len, const char *name, const char *value)
{
	int n = snprintf(buf + len, VALUE_MAX - len, "; %s%s%s", name, value != NULL ? "=" : "",
	    value != NULL ? value : "");

	check(n > 0 && len + (size_t)n < VALUE_MAX);
	return len + (size_t)n;
}

static size_t
add_number(char *buf, size_t len, const char *name, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	return add(buf, len, name, text);
}

struct str
cache_status_text(struct arena *arena, const struct cache_status *s)
{
	char buf[VALUE_MAX] = "weir";
	size_t len = 4;

	if (s->hit)
		len = add(buf, len, "hit", NULL);
	else if (s->forward != CACHE_FORWARD_NONE)
		len = add(buf, len, "fwd", forward_words[s->forward]);
	if (!s->hit && s->forward_status > 0)
		len = add_number(buf, len, "fwd-status", s->forward_status);
	if (s->hit && s->has_ttl)
		len = add_number(buf, len, "ttl", s->ttl);
	if (!s->hit && s->stored)
		len = add(buf, len, "stored", NULL);
	if (!s->hit && s->collapsed)
		len = add(buf, len, "collapsed", NULL);
	if (s->why != CACHE_WHY_NONE)
		len = add(buf, len, "detail", cache_why_word(s->why).p);
	return arena_dup(arena, str_make(buf, len));
}
