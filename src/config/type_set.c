/* SPDX-License-Identifier: MIT */
/* Sets of what may go wrong: error, timeout, statuses. */
#include "config/type.h"

enum { SET_ERROR = 1, SET_TIMEOUT, SET_UPDATING };
static const struct word set_words[] = { { "error", SET_ERROR }, { "timeout", SET_TIMEOUT },
	{ NULL, 0 } };
static const struct word stale_words[] = { { "error", SET_ERROR }, { "timeout", SET_TIMEOUT },
	{ "updating", SET_UPDATING }, { NULL, 0 } };

static bool
take_condition(struct reading *r, const struct word *words, const struct node *n,
    struct status_set *set)
{
	uint64_t status;
	int word;

	if (!type_want_scalar(r, n, "error, timeout or a status"))
		return false;
	if (str_to_uint(n->text, 599, &status) && status >= 300) {
		set->bits[status / 64] |= (uint64_t)1 << status % 64;
		return true;
	}
	if (n->text.len > 0 && n->text.p[0] >= '0' && n->text.p[0] <= '9')
		return complain(r, n, "%.*s is no status of a failure, 300 to 599 is possible",
		    STR_ARG(n->text));
	if (!type_find_word(r, words, n, &word))
		return false;
	set->error |= word == SET_ERROR;
	set->timeout |= word == SET_TIMEOUT;
	set->updating |= word == SET_UPDATING;
	return true;
}

static bool
take_set(struct reading *r, const struct word *words, const struct node *n, struct status_set *set)
{
	bool ok = true;
	size_t i, was;

	if (n->kind == NODE_SCALAR)
		return take_condition(r, words, n, set);
	if (n->kind != NODE_LIST)
		return complain(r, n, "a list such as [error, timeout, 503] is expected here");
	for (i = 0; i < n->n; i++) {
		was = path_push(r, "[%zu]", i);
		ok &= take_condition(r, words, n->items[i], set);
		path_pop(r, was);
	}
	return ok;
}

static bool
parse_set(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_set(r, set_words, n, AT(base, row));
}

static bool
parse_stale(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	return take_set(r, stale_words, n, AT(base, row));
}

void
type_set_print(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct status_set *set = AT_CONST(base, row);
	const char *comma = "";
	int i;

	schema_print_key(out, indent, row);
	fputc('[', out);
	if (set->error) {
		fputs("error", out);
		comma = ", ";
	}
	if (set->timeout) {
		fprintf(out, "%stimeout", comma);
		comma = ", ";
	}
	if (set->updating) {
		fprintf(out, "%supdating", comma);
		comma = ", ";
	}
	for (i = 0; i < 640; i++)
		if (status_set_has(set, i)) {
			fprintf(out, "%s%d", comma, i);
			comma = ", ";
		}
	fputs("]\n", out);
}

const struct type type_set = { .parse = parse_set, .print = type_set_print };
const struct type type_stale = { .parse = parse_stale, .print = type_set_print };
