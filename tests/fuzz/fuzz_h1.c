/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as HTTP/1 messages: the parser never crashes, and tells the same events whether they come
 * whole, byte by byte or in other pieces.  The first byte of the input says what they are, the second
 * how they are cut.  Each piece is in a buffer of its size that is freed after the call.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "http/h1_parser.h"
#include "http/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {	/* of the first byte */
	IS_RESPONSE = 1, TO_HEAD = 2, ENDS = 4, KEEPS_UNDERSCORE = 8, IS_TIGHT = 16, FORGETS_MESSAGE = 32
};

enum { PIECES_MAX = 4096 };		/* what is fed byte by byte: heads are looked at again */

struct feeder {
	struct h1_parser parser;
	struct arena *arena;
	FILE   *out;			/* the events, neighbouring spans as one */
	char   *kept;			/* what the parser left */
	size_t  n_kept;
	bool    in_body, is_over;
	unsigned how;
};

/* --- events as text ------------------------------------------------------------------------------ */

static void
say(struct feeder *f, struct str s)
{
	fprintf(f->out, "%zu:", s.len);
	fwrite(s.len > 0 ? s.p : "", 1, s.len, f->out);
}

static void
say_fields(struct feeder *f, const struct field *fields, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		check(fields[i].name.len > 0 && fields[i].id == field_lookup(fields[i].name));
		say(f, fields[i].name);
		say(f, fields[i].value);
	}
}

static void
say_head(struct feeder *f, const struct message *m)
{
	check(m->is_request == ((f->how & IS_RESPONSE) == 0));
	fprintf(f->out, "head %d %d %d %d %d %llu %d%d%d%d ", m->minor, m->method, m->status, m->framing,
	    m->has_length, (unsigned long long)m->length, m->keep_alive, m->upgrade, m->expect_continue,
	    m->query.p != NULL);
	say(f, m->method_name);
	say(f, m->target);
	say(f, m->path);
	say(f, m->query);
	say(f, m->authority);
	say(f, m->host);
	say(f, m->reason);
	say_fields(f, m->fields, m->n_fields);
}

static void
say_event(struct feeder *f, enum h1_event event)
{
	struct h1_parser *p = &f->parser;

	if (event == H1_MORE)
		return;
	if (f->in_body && event != H1_BODY)
		fputs("]\n", f->out);
	if (event == H1_BODY) {
		check(p->span.len > 0);
		fputs(f->in_body ? "" : "[", f->out);
		fwrite(p->span.p, 1, p->span.len, f->out);
	} else if (event == H1_HEAD) {
		say_head(f, p->message);
		/* Who frees a message early says so; its trailers are dropped then. */
		if ((f->how & FORGETS_MESSAGE) != 0) {
			p->message = NULL;
			p->arena = NULL;
		}
	} else if (event == H1_END) {
		if (p->message != NULL)
			say_fields(f, p->message->trailers, p->message->n_trailers);
		fputs("end\n", f->out);
		h1_parser_begin(p, f->arena, (f->how & TO_HEAD) != 0);
	} else {
		check(event == H1_FAIL && p->rule != NULL && p->why != NULL && p->status >= 400);
		fprintf(f->out, "fail %d %s %s\n", p->status, p->rule, p->why);
		f->is_over = true;
	}
	f->in_body = event == H1_BODY;
}

/* --- feeding ------------------------------------------------------------------------------------- */

static void
feed(struct feeder *f, struct str piece)
{
	size_t had = f->n_kept + piece.len;
	char *bytes = malloc(had > 0 ? had : 1);
	struct str in = { bytes, had };
	enum h1_event event = H1_BODY;

	check(bytes != NULL);
	if (f->n_kept > 0)
		memcpy(bytes, f->kept, f->n_kept);
	if (piece.len > 0)
		memcpy(bytes + f->n_kept, piece.p, piece.len);
	free(f->kept);
	while (!f->is_over && event != H1_MORE) {
		event = h1_parser_next(&f->parser, &in);
		check(in.len <= had && in.p + in.len == bytes + had);
		say_event(f, event);
	}
	f->n_kept = in.len;
	f->kept = malloc(in.len > 0 ? in.len : 1);
	check(f->kept != NULL);
	memcpy(f->kept, in.p, in.len);
	free(bytes);
}

/* The transcript of the bytes in pieces whose sizes seed says; 0: one piece, 1: single bytes. */
static char *
transcript(struct str bytes, unsigned how, unsigned seed, size_t *len)
{
	struct h1_limits limits = { .max_head = 32 * 1024, .max_target = 16 * 1024, .max_fields = 200 };
	struct feeder f;
	char *text = NULL;
	size_t n;

	if ((how & IS_TIGHT) != 0)
		limits = (struct h1_limits){ .max_head = 128, .max_target = 16, .max_fields = 3 };
	limits.keep_underscore = (how & KEEPS_UNDERSCORE) != 0;
	memset(&f, 0, sizeof(f));
	f.how = how;
	f.arena = arena_new(512);
	f.out = open_memstream(&text, len);
	check(f.out != NULL);
	h1_parser_init(&f.parser, (how & IS_RESPONSE) == 0, &limits);
	h1_parser_begin(&f.parser, f.arena, (how & TO_HEAD) != 0);
	check(h1_parser_is_idle(&f.parser));
	for (; bytes.len > 0; bytes = str_from(bytes, n)) {
		n = seed == 0 ? bytes.len : seed == 1 ? 1 : 1 + seed % 61;
		n = n < bytes.len ? n : bytes.len;
		seed = seed < 2 ? seed : (seed * 1103515245 + 12345) % 65536 + 2;
		feed(&f, str_first(bytes, n));
	}
	if ((how & ENDS) != 0 && !f.is_over)
		say_event(&f, h1_parser_eof(&f.parser));
	fprintf(f.out, "left %zu idle %d\n", f.is_over ? 0 : f.n_kept, h1_parser_is_idle(&f.parser));
	fclose(f.out);
	free(f.kept);
	arena_free(f.arena);
	return text;
}

static void
expect_same(struct str bytes, unsigned how, unsigned seed, const char *want, size_t n_want)
{
	size_t n;
	char *got = transcript(bytes, how, seed, &n);

	if (n != n_want || memcmp(got, want, n) != 0)
		fprintf(stderr, "in one piece:\n%s\nwith seed %u:\n%s\n", want, seed, got);
	check(n == n_want && memcmp(got, want, n) == 0);
	free(got);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes;
	char *whole;
	size_t n;

	if (size < 2)
		return 0;
	bytes = str_make((const char *)data + 2, size - 2);
	whole = transcript(bytes, data[0], 0, &n);
	expect_same(bytes, data[0], 2 + data[1], whole, n);
	if (bytes.len <= PIECES_MAX)
		expect_same(bytes, data[0], 1, whole, n);
	free(whole);
	return 0;
}
