/* SPDX-License-Identifier: MIT */
/* routes[N].compress: which answers are encoded, and in what. */
#include "config/section.h"

#include "base/arena.h"
#include "base/encoding.h"
#include "config/type.h"

/* A media type, or a pattern of those with one *, in lower case. */
static bool
parse_media_type(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct str *at = AT(base, row);
	size_t i, slashes = 0, stars = 0;
	char *p;

	if (!type_want_scalar(r, n, "a media type such as text/html"))
		return false;
	*at = arena_dup(r->arena, n->text);
	p = (char *)(uintptr_t)at->p;
	for (i = 0; i < at->len; i++) {
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
		slashes += p[i] == '/';
		stars += p[i] == '*';
		if (p[i] != '/' && !type_is_token(str_make(p + i, 1)))
			return complain(r, n, "\"%.*s\" is no media type, parameters are left out",
			    STR_ARG(n->text));
	}
	if (str_eq(*at, STR("*")))
		return true;
	return (slashes == 1 && stars <= 1 && !str_starts(*at, STR("/")) && !str_ends(*at, STR("/"))) ||
	    complain(r, n, "\"%.*s\" is no media type, write text/html, text/*, application/*+json or "
	    "\"*\"", STR_ARG(n->text));
}

static const struct type type_media_type = { .parse = parse_media_type, .print = type_print_text };

static const struct word encoding_words[] = { { "gzip", ENCODING_GZIP }, { "zstd", ENCODING_ZSTD },
	{ NULL, 0 } };

static bool
parse_encodings(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	const struct compress_conf *c = base;
	bool ok = type_parse_list(r, row, n, base);
	size_t i, j;

	for (i = 0; ok && i < c->n_encodings; i++)
		for (j = 0; j < i; j++)
			if (c->encodings[i] == c->encodings[j])
				ok = complain(r, n->items[i], "%s is there twice",
				    type_word_of(encoding_words, (int)c->encodings[i]));
	return ok;
}

static const struct type type_encodings = { .parse = parse_encodings, .print = type_print_list };

static const struct row encoding_element = { "", &type_enum, 0, .words = encoding_words, .help = "" };
static const struct row media_type_element = { "", &type_media_type, 0, .help = "" };

#define COMPRESS(member)	offsetof(struct compress_conf, member)
const struct row compress_rows[] = {
	{ "encodings", &type_encodings, COMPRESS(encodings), "[zstd, gzip]", 1, 2,
	  .element = &encoding_element, .size = sizeof(unsigned),
	  .help = "zstd, gzip or both: who takes either equally gets the first" },
	{ "types", &type_list, COMPRESS(types), "[text/*, application/json, application/*+json, "
	  "application/x-ndjson, application/jsonl, application/javascript, application/xml, "
	  "application/*+xml, application/wasm, image/svg+xml]", 1, 64, .element = &media_type_element,
	  .size = sizeof(struct str),
	  .help = "media types, with one * for anything; never text/event-stream" },
	{ "min_size", &type_size, COMPRESS(min_size), "1KB", 0, MB,
	  .help = "shorter answers are not worth it; one that does not tell its length may be" },
	{ "level", &type_number, COMPRESS(level), "3", 1, 9,
	  .help = "1 is fast, 9 small; beyond 3 the processor is busy for little" },
	{ .key = NULL },
};

/* The encodings alone will do. */
static bool
parse_compress(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct compress_conf *c = arena_zalloc(r->arena, sizeof(*c));
	struct node none = *n;
	bool ok;

	if (n->kind == NODE_MAP)
		ok = schema_fill(r, row->rows, n, c);
	else {
		none.kind = NODE_MAP;
		none.n = 0;
		ok = schema_fill(r, row->rows, &none, c) && parse_encodings(r, row->rows, n, c);
	}
	*(const struct compress_conf **)AT(base, row) = c;
	return ok;
}

static void
print_compress(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct compress_conf *c = *(const struct compress_conf *const *)AT_CONST(base, row);

	if (c == NULL)
		return;
	schema_print_head(out, indent, row);
	schema_print(out, indent + 2, row->rows, c);
}

const struct type type_compress = { .parse = parse_compress, .print = print_compress };
