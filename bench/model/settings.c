/* SPDX-License-Identifier: MIT */
/* One table of what can be set: by an option at the start, by POST /control later. */
#include "model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_NAME, KIND_NUMBER, KIND_FLAG, KIND_WORD };

struct setting {
	const char *key;
	enum kind   kind;
	size_t      offset;
	unsigned    def, max;
	const char *words;		/* of KIND_WORD, in the order of the enum, "|" between */
	const char *help;
};

#define AT(f)	offsetof(struct settings, f)

static const struct setting table[] = {
	{ "name", KIND_NAME, AT(name), 0, 0, NULL, "what it calls itself (model)" },
	{ "lanes", KIND_NUMBER, AT(lanes), 1, 1000, NULL, "answers at a time; the rest wait inside" },
	{ "ttft", KIND_NUMBER, AT(ttft), 150, 600000, NULL, "ms to the first token" },
	{ "rate", KIND_NUMBER, AT(rate), 40, 100000, NULL, "tokens a second then; 0: all at once" },
	{ "tokens", KIND_NUMBER, AT(tokens), 24, 8192, NULL, "of an answer without max_tokens" },
	{ "slow_start", KIND_NUMBER, AT(slow_start), 0, 3600000, NULL, "ms of 503 from now" },
	{ "fail_next", KIND_NUMBER, AT(fail_next), 0, 1000000, NULL, "POSTs to answer with 503" },
	{ "hang", KIND_FLAG, AT(hang), 0, 1, NULL, "accept completions, never answer" },
	{ "die_mid_stream", KIND_NUMBER, AT(die_mid_stream), 0, 1000000, NULL,
	    "streams to cut in the middle" },
	{ "die_after", KIND_NUMBER, AT(die_after), 3, 8192, NULL, "tokens before the cut" },
	{ "die_how", KIND_WORD, AT(die_how), DIE_CLOSE, 0, "close|reset|exit", "how it is cut" },
	{ "on_leave", KIND_WORD, AT(on_leave), LEAVE_STOP, 0, "stop|finish",
	    "when a client leaves: stop, or compute for nobody" },
	{ "keepalive", KIND_NUMBER, AT(keepalive), 75000, 3600000, NULL,
	    "ms an idle connection is kept" },
};
enum { N_SETTINGS = sizeof(table) / sizeof(table[0]) };

static const struct setting *
find(const char *key)
{
	size_t i, k;

	for (i = 0; i < N_SETTINGS; i++) {
		for (k = 0; key[k] != '\0'; k++)
			if ((key[k] == '-' ? '_' : key[k]) != table[i].key[k])
				break;
		if (key[k] == '\0' && table[i].key[k] == '\0')
			return &table[i];
	}
	return NULL;
}

static unsigned *
number_of(struct settings *set, const struct setting *s)
{
	return (unsigned *)(void *)((char *)set + s->offset);
}

static bool
put_number(struct settings *set, const struct setting *s, const char *value)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)value[0]) || strlen(value) > 9)
		return false;
	n = strtoul(value, &end, 10);
	if (*end != '\0' || n > s->max)
		return false;
	*number_of(set, s) = (unsigned)n;
	return true;
}

static bool
put_word(struct settings *set, const struct setting *s, const char *value)
{
	const char *w = s->words;
	size_t n = strlen(value);
	unsigned i;

	for (i = 0; w != NULL; i++) {
		if (n > 0 && strcspn(w, "|") == n && strncmp(w, value, n) == 0) {
			*number_of(set, s) = i;
			return true;
		}
		w = strchr(w, '|');
		if (w != NULL)
			w++;
	}
	return false;
}

/* Letters, digits, ".", "_" and "-", so that it fits a field and a JSON string as it is. */
static bool
put_name(struct settings *set, const char *value)
{
	size_t n = strlen(value);

	if (n == 0 || n >= sizeof(set->name) ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
		return false;
	memcpy(set->name, value, n + 1);
	return true;
}

bool
setting_put(struct settings *set, const char *key, const char *value, const char **why)
{
	const struct setting *s = find(key);

	if (s == NULL) {
		*why = "there is no such setting";
		return false;
	}
	switch (s->kind) {
	case KIND_NAME:
		*why = "letters, digits and ._- please";
		return put_name(set, value);
	case KIND_WORD:
		*why = s->words;
		return put_word(set, s, value);
	default:
		*why = "not a number, or too large";
		if (!put_number(set, s, value))
			return false;
		*why = "at least 1 please";
		return s->offset != AT(lanes) && s->offset != AT(tokens) ? true :
		    *number_of(set, s) > 0;
	}
}

bool
setting_exists(const char *key)
{
	return find(key) != NULL;
}

bool
setting_is_flag(const char *key)
{
	const struct setting *s = find(key);

	return s != NULL && s->kind == KIND_FLAG;
}

void
settings_default(struct settings *set)
{
	size_t i;

	memset(set, 0, sizeof(*set));
	memcpy(set->name, "model", sizeof("model"));
	for (i = 0; i < N_SETTINGS; i++)
		if (table[i].kind != KIND_NAME)
			*number_of(set, &table[i]) = table[i].def;
}

void
settings_help(void)
{
	char key[32];
	size_t i, k;

	puts("usage: model [--listen [ADDRESS:]PORT] [--SETTING VALUE]...\n");
	for (i = 0; i < N_SETTINGS; i++) {
		snprintf(key, sizeof(key), "%s", table[i].key);
		for (k = 0; key[k] != '\0'; k++)
			if (key[k] == '_')
				key[k] = '-';
		printf("  --%-15s %s", key, table[i].help);
		if (table[i].kind == KIND_WORD)
			printf(" (%s)", table[i].words);
		else if (table[i].kind == KIND_NUMBER)
			printf(" (%u)", table[i].def);
		putchar('\n');
	}
	puts("\nAll but --listen can be changed later: POST /control?rate=5&fail_next=2\n"
	     "exit codes: 0 ended by a signal, 1 by die_how=exit, 2 usage, 3 could not start");
}

struct settings
settings_now(void)
{
	struct settings set = model.set;
	int64_t left = model.ready_at - now_us();

	set.slow_start = left > 0 ? (unsigned)((left + 999) / 1000) : 0;
	return set;
}

void
settings_json(struct evbuffer *out)
{
	struct settings set = settings_now();
	const struct setting *s;
	const char *w;
	unsigned k;
	size_t i;

	for (i = 0; i < N_SETTINGS; i++) {
		s = &table[i];
		evbuffer_add_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", s->key);
		if (s->kind == KIND_NAME) {
			evbuffer_add_printf(out, "\"%s\"", set.name);
		} else if (s->kind == KIND_WORD) {
			w = s->words;
			for (k = *number_of(&set, s); k > 0; k--)
				w = strchr(w, '|') + 1;
			evbuffer_add_printf(out, "\"%.*s\"", (int)strcspn(w, "|"), w);
		} else {
			evbuffer_add_printf(out, "%u", *number_of(&set, s));
		}
	}
	evbuffer_add_printf(out, "}\n");
}

void
settings_apply(const struct settings *set)
{
	model.set = *set;
	model.ready_at = now_us() + (int64_t)set->slow_start * 1000;
	answer_start_waiting();
}
