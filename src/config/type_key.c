/* SPDX-License-Identifier: MIT */
/* Keys by which requests are told apart: client_ip, header:NAME and their like. */
#include "config/type.h"

#include "base/arena.h"

static bool
has_name(enum key_source source)
{
	return source == KEY_HEADER || source == KEY_COOKIE || source == KEY_QUERY;
}

bool
type_key_take(struct reading *r, const struct node *n, const struct word *words, struct key_conf *key)
{
	ptrdiff_t colon = str_find(n->text, ':');
	struct node word = *n;
	int source;

	if (!type_want_scalar(r, n, "a key such as client_ip or header:NAME"))
		return false;
	if (colon >= 0)
		word.text = str_first(n->text, (size_t)colon);
	if (!type_find_word(r, words, &word, &source))
		return false;
	key->source = (enum key_source)source;
	key->name = colon >= 0 ? arena_dup(r->arena, str_from(n->text, (size_t)colon + 1)) : STR_NONE;
	if (!has_name(key->source))
		return colon < 0 || complain(r, n, "%.*s takes no name", STR_ARG(word.text));
	return type_is_token(key->name) || complain(r, n, "a name belongs behind it: %.*s:NAME",
	    STR_ARG(word.text));
}

void
type_key_print(FILE *out, const struct word *words, const struct key_conf *key)
{
	fprintf(out, "\"%s%s%.*s\"", type_word_of(words, key->source), key->name.len > 0 ? ":" : "",
	    STR_ARG(key->name));
}
