/* SPDX-License-Identifier: MIT */
/* Content codings: what clients want, what may be encoded, what fields become; coders, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "base/arena.h"
#include "base/slab.h"
#include "http/coder.h"
#include "policy/encode.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static struct arena *arena;

static unsigned both[] = { ENCODING_ZSTD, ENCODING_GZIP };
static struct str types[] = { { "text/*", 6 }, { "application/*+json", 18 }, { "image/svg+xml", 13 } };
static const struct compress_conf conf = { both, 2, types, 3, 1024, 1 };

/* "Name: value" lines. */
static struct message *
message(const char *lines)
{
	struct message *m = message_new(arena, 8);
	struct str rest = str_of(lines);

	m->minor = 1;
	m->status = 200;
	while (rest.len > 0) {
		ptrdiff_t end = str_find(rest, '\n');
		struct str line = end >= 0 ? str_first(rest, (size_t)end) : rest, name;

		rest = end >= 0 ? str_from(rest, (size_t)end + 1) : STR_NONE;
		name = str_first(line, (size_t)str_find(line, ':'));
		message_add(m, field_lookup(name), name, str_trim(str_from(line, name.len + 1)));
	}
	return m;
}

static void
test_wishes(void **state)
{
	static const struct { const char *fields; enum encoding want; } rows[] = {
		{ "", ENCODING_IDENTITY },
		{ "Accept-Encoding:", ENCODING_IDENTITY },
		{ "Accept-Encoding: ,, ,", ENCODING_IDENTITY },
		{ "Accept-Encoding: identity", ENCODING_IDENTITY },
		{ "Accept-Encoding: br, deflate", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip", ENCODING_GZIP },
		{ "Accept-Encoding: GZip", ENCODING_GZIP },
		{ "Accept-Encoding: x-gzip", ENCODING_GZIP },
		{ "Accept-Encoding: X-GZIP;q=0.1", ENCODING_GZIP },
		{ "Accept-Encoding: gzipp", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzi", ENCODING_IDENTITY },
		{ "Accept-Encoding: zstd", ENCODING_ZSTD },
		{ "Accept-Encoding: gzip, zstd", ENCODING_ZSTD },
		{ "Accept-Encoding: gzip, deflate, br, zstd", ENCODING_ZSTD },
		{ "Accept-Encoding: gzip\nAccept-Encoding: zstd", ENCODING_ZSTD },
		{ "Accept-Encoding: gzip;q=1.000, zstd;q=0.999", ENCODING_GZIP },
		{ "Accept-Encoding: gzip;q=0.5, zstd;q=0.5", ENCODING_ZSTD },
		{ "Accept-Encoding: gzip ; q=0.5 ,zstd\t;\tQ=0.4", ENCODING_GZIP },
		{ "Accept-Encoding: *", ENCODING_ZSTD },
		{ "Accept-Encoding: *;q=0.1, gzip;q=0.2", ENCODING_GZIP },
		{ "Accept-Encoding: *;q=0.2, gzip;q=0.1", ENCODING_ZSTD },
		{ "Accept-Encoding: zstd;q=0, *", ENCODING_GZIP },
		{ "Accept-Encoding: *;q=0", ENCODING_IDENTITY },
		{ "Accept-Encoding: *;q=0, gzip", ENCODING_GZIP },
		{ "Accept-Encoding: gzip;q=0", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=0.000", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=0.001", ENCODING_GZIP },
		{ "Accept-Encoding: gzip, gzip;q=0", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=0, x-gzip", ENCODING_IDENTITY },
		{ "Accept-Encoding: identity;q=0", ENCODING_IDENTITY },
		{ "Accept-Encoding: identity;q=0, *", ENCODING_ZSTD },
		{ "Accept-Encoding: identity, gzip;q=0.9", ENCODING_IDENTITY },
		{ "Accept-Encoding: identity;q=0.5, gzip;q=0.5", ENCODING_GZIP },
		{ "Accept-Encoding: identity;q=0.5, gzip;q=0.4", ENCODING_IDENTITY },
		/* No weights: they exclude. */
		{ "Accept-Encoding: gzip;q=", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=2", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=1.001", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=0.1234", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=.5", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=-1", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=0,5", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=1e0", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=01", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;q=1.", ENCODING_GZIP },
		{ "Accept-Encoding: gzip;q=0.", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip;;q=0.5;", ENCODING_GZIP },
		{ "Accept-Encoding: gzip;level=9", ENCODING_GZIP },
		{ "Accept-Encoding: gzip;level=9;q=0", ENCODING_IDENTITY },
		{ "Accept-Encoding: ;q=1", ENCODING_IDENTITY },
		{ "Accept-Encoding: gzip\nCache-Control: max-age=0, No-Transform", ENCODING_IDENTITY },
	};
	struct compress_conf one = conf;
	struct message *m;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (encode_choose(&conf, message(rows[i].fields)) != rows[i].want)
			fail_msg("<%s> is not %d", rows[i].fields, (int)rows[i].want);
	one.n_encodings = 1;
	assert_int_equal(encode_choose(&one, message("Accept-Encoding: gzip")), ENCODING_IDENTITY);
	m = message("Accept-Encoding: gzip");
	m->minor = 0;
	assert_int_equal(encode_choose(&conf, m), ENCODING_IDENTITY);
}

static void
test_judge(void **state)
{
	static const struct { int status; int length; const char *fields; enum encode_verdict want; }
	rows[] = {
		{ 200, -1, "Content-Type: text/plain", ENCODE_MAY },
		{ 200, 1024, "Content-Type: text/plain", ENCODE_MAY },
		{ 200, 1023, "Content-Type: text/plain", ENCODE_NEVER },
		{ 404, 9999, "Content-Type: TEXT/html ; charset=x", ENCODE_MAY },
		{ 200, -1, "", ENCODE_NEVER },
		{ 200, -1, "Content-Type:", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text", ENCODE_NEVER },
		{ 200, -1, "Content-Type: application/json", ENCODE_NEVER },
		{ 200, -1, "Content-Type: application/ld+json", ENCODE_MAY },
		{ 200, -1, "Content-Type: application/+json", ENCODE_MAY },
		{ 200, -1, "Content-Type: application/json+", ENCODE_NEVER },
		{ 200, -1, "Content-Type: image/svg+xml", ENCODE_MAY },
		{ 200, -1, "Content-Type: image/svg+xmlx", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/event-stream", ENCODE_NEVER },
		{ 200, -1, "Content-Type: Text/Event-Stream;charset=utf-8", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nContent-Encoding: br", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nContent-Encoding: identity\nContent-Encoding: gzip",
		  ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nContent-Encoding: Identity", ENCODE_MAY },
		{ 200, -1, "Content-Type: text/x\nCache-Control: a\nCache-Control: b, NO-transform",
		  ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nCache-Control: no-transformer", ENCODE_MAY },
		{ 200, -1, "Content-Type: text/x\ncontent-digest: x", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nREPR-DIGEST: x", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nDigest: x", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nContent-MD5: x", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nTrailer: A, content-digest", ENCODE_NEVER },
		{ 200, -1, "Content-Type: text/x\nTrailer: A", ENCODE_MAY },
		{ 204, -1, "Content-Type: text/x", ENCODE_NEVER },
		{ 205, -1, "Content-Type: text/x", ENCODE_NEVER },
		{ 206, -1, "Content-Type: text/x\nContent-Range: bytes 0-1/2", ENCODE_VARIES },
		{ 206, -1, "Content-Type: image/png\nContent-Range: bytes 0-1/2", ENCODE_NEVER },
		{ 416, -1, "Content-Type: text/x\nContent-Range: bytes */2", ENCODE_NEVER },
		{ 304, -1, "", ENCODE_VARIES },
		{ 304, -1, "Content-Type: text/x", ENCODE_VARIES },
		{ 304, -1, "Content-Type: image/png", ENCODE_NEVER },
		{ 304, -1, "Content-Encoding: gzip", ENCODE_NEVER },
		{ 103, -1, "Content-Type: text/x", ENCODE_NEVER },
	};
	static struct str any[] = { { "*", 1 } };
	struct compress_conf all = conf;
	struct message *m;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		m = message(rows[i].fields);
		m->status = rows[i].status;
		m->has_length = rows[i].length >= 0;
		m->length = m->has_length ? (uint64_t)rows[i].length : 0;
		if (encode_judge(&conf, m) != rows[i].want)
			fail_msg("%d <%s> is not %d", m->status, rows[i].fields, (int)rows[i].want);
	}
	all.types = any;
	all.n_types = 1;
	all.min_size = 0;
	assert_int_equal(encode_judge(&all, message("Content-Type: a/b")), ENCODE_MAY);
	assert_int_equal(encode_judge(&all, message("Content-Type: text/event-stream")), ENCODE_NEVER);
	m = message("Content-Type: a/b");
	m->has_length = true;
	assert_int_equal(encode_judge(&all, m), ENCODE_NEVER);
	m->length = 1;
	assert_int_equal(encode_judge(&all, m), ENCODE_MAY);
}

static struct str
lines_of(const struct message *m)
{
	struct str all = STR("");
	size_t i;

	for (i = 0; i < m->n_fields; i++)
		all = arena_printf(arena, "%.*s%s%.*s: %.*s", STR_ARG(all), i > 0 ? "\n" : "",
		    STR_ARG(m->fields[i].name), STR_ARG(m->fields[i].value));
	return all;
}

static void
expect(const struct message *m, const char *want)
{
	struct str got = lines_of(m);

	if (!str_eq(got, str_of(want)))
		fail_msg("want <%s>, got <%.*s>", want, STR_ARG(got));
}

static void
test_fields(void **state)
{
	static const struct { const char *before, *after; } vary[] = {
		{ "A: b", "A: b\nVary: Accept-Encoding" },
		{ "Vary: *", "Vary: *" },
		{ "Vary: a\nVary: *", "Vary: a\nVary: *" },
		{ "Vary: ACCEPT-encoding", "Vary: ACCEPT-encoding" },
		{ "Vary: a\nVary: b, accept-encoding", "Vary: a\nVary: b, accept-encoding" },
		{ "Vary: a\nVary: b", "Vary: a, Accept-Encoding\nVary: b" },
		{ "Vary:", "Vary: \nVary: Accept-Encoding" },
		{ "Vary: a\"b", "Vary: a\"b\nVary: Accept-Encoding" },
	}, head[] = {
		{ "ETag: \"a\"", "ETag: W/\"a\"\nContent-Encoding: gzip" },
		{ "ETag: W/\"a\"", "ETag: W/\"a\"\nContent-Encoding: gzip" },
		{ "ETag: a\nA: b", "A: b\nContent-Encoding: gzip" },
		{ "ETag: w/\"a\"", "Content-Encoding: gzip" },
		{ "Accept-ranges: bytes\nContent-Encoding: identity\nA: b",
		  "A: b\nContent-Encoding: gzip" },
	}, known[] = {
		{ "If-None-Match: W/\"a\"", "ETag: W/\"a\"" },
		{ "If-None-Match: \"b\", W/\"a\"", "ETag: W/\"a\"" },
		{ "If-None-Match: \"b\"\nIf-None-Match: W/\"a\"", "ETag: W/\"a\"" },
		{ "If-None-Match: \"a\"", "ETag: \"a\"" },
		{ "If-None-Match: \"a\", W/\"a\"", "ETag: \"a\"" },
		{ "If-None-Match: *", "ETag: \"a\"" },
		{ "If-Modified-Since: x", "ETag: \"a\"" },
	};
	struct message *m;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(vary); i++) {
		m = message(vary[i].before);
		encode_vary(m, arena);
		expect(m, vary[i].after);
		encode_vary(m, arena);
		expect(m, vary[i].after);
	}
	for (i = 0; i < COUNT(head); i++) {
		m = message(head[i].before);
		m->framing = FRAMING_COUNTED;
		m->has_length = true;
		encode_head(m, ENCODING_GZIP, arena);
		expect(m, head[i].after);
		assert_int_equal(m->framing, FRAMING_CHUNKED);
		assert_false(m->has_length);
	}
	m = message("");
	m->framing = FRAMING_NONE;
	m->has_length = true;
	encode_head(m, ENCODING_ZSTD, arena);
	expect(m, "Content-Encoding: zstd");
	assert_int_equal(m->framing, FRAMING_NONE);
	assert_false(m->has_length);
	for (i = 0; i < COUNT(known); i++) {
		m = message("ETag: \"a\"");
		m->has_length = true;
		encode_not_modified(m, message(known[i].before), arena);
		expect(m, known[i].after);
		assert_false(m->has_length);
	}
	m = message("content-md5: x\nX: y");
	assert_false(encode_keeps_trailer(&m->fields[0]));
	assert_true(encode_keeps_trailer(&m->fields[1]));
}

/* --- coders ------------------------------------------------------------------------------------- */

enum { TEXT = 200000 };

static char text[TEXT], coded[2 * TEXT], plain[2 * TEXT];

static void
make_text(void)
{
	uint32_t state = 1;
	size_t i;

	for (i = 0; i < TEXT; i++) {
		state = state * 1664525 + 1013904223;
		text[i] = i % 7 == 0 ? ' ' : (char)('a' + (state >> 24) % 13);
	}
}

/* Puts the text in with the mode, the output in pieces of room bytes. */
static size_t
put(struct coder *c, struct str in, enum coder_mode mode, size_t room, char *out)
{
	size_t n = 0, got;
	bool is_done = false;

	while (!is_done) {
		got = coder_step(c, &in, mode, out + n, room, &is_done);
		assert_true(got <= room);
		n += got;
	}
	assert_int_equal(in.len, 0);
	return n;
}

/* How much the bytes so far tell of what they were; *whole: up to its end. */
static size_t
unpack(enum encoding e, struct str in, bool *whole)
{
	if (e == ENCODING_ZSTD) {
		ZSTD_DCtx *ctx = ZSTD_createDCtx();
		ZSTD_inBuffer from = { in.p, in.len, 0 };
		ZSTD_outBuffer to = { plain, sizeof(plain), 0 };
		size_t left = ZSTD_decompressStream(ctx, &to, &from);

		assert_false(ZSTD_isError(left));
		ZSTD_freeDCtx(ctx);
		*whole = in.len > 0 && left == 0 && from.pos == from.size;
		return to.pos;
	} else {
		z_stream z;
		int r;

		memset(&z, 0, sizeof(z));
		assert_int_equal(inflateInit2(&z, 31), Z_OK);
		z.next_in = (Bytef *)(uintptr_t)in.p;
		z.avail_in = (uInt)in.len;
		z.next_out = (Bytef *)plain;
		z.avail_out = sizeof(plain);
		r = inflate(&z, Z_SYNC_FLUSH);
		assert_true(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
		*whole = r == Z_STREAM_END && z.avail_in == 0;
		inflateEnd(&z);
		return sizeof(plain) - z.avail_out;
	}
}

static void
expect_text(enum encoding e, size_t n, size_t want, bool want_whole)
{
	bool whole;

	assert_int_equal(unpack(e, str_make(coded, n), &whole), want);
	assert_memory_equal(plain, text, want);
	assert_int_equal(whole, want_whole);
}

static void
test_coder_rooms(void **state)
{
	static const size_t rooms[] = { 64, 65, 100, 1000, 4096, 65536, sizeof(coded) };
	static const size_t sizes[] = { 0, 1, 2, 100, 65535, 65536, TEXT };
	unsigned e, level;
	size_t i, j, n;

	(void)state;
	for (e = ENCODING_GZIP; e < ENCODING_COUNT; e++)
		for (level = 1; level <= 9; level += 4)
			for (i = 0; i < COUNT(rooms); i++)
				for (j = 0; j < COUNT(sizes); j++) {
					struct coder *c = coder_new((enum encoding)e, level);

					n = put(c, str_make(text, sizes[j]), CODER_END, rooms[i], coded);
					expect_text((enum encoding)e, n, sizes[j], true);
					assert_true(coder_size(c) < 768 * 1024);
					coder_free(c);
				}
	assert_int_equal(coder_count(), 0);
}

/* Every cut of a short text, flushed at the cut: all before it can be read, and the whole in the end. */
static void
test_coder_cuts(void **state)
{
	enum { SHORT = 300 };
	unsigned e;
	size_t cut, n;

	(void)state;
	for (e = ENCODING_GZIP; e < ENCODING_COUNT; e++)
		for (cut = 0; cut <= SHORT; cut++) {
			struct coder *c = coder_new((enum encoding)e, 1);

			n = put(c, str_make(text, cut), CODER_FLUSH, 64, coded);
			expect_text((enum encoding)e, n, cut, false);
			n += put(c, STR_NONE, CODER_FLUSH, 64, coded + n);
			n += put(c, str_make(text + cut, SHORT - cut), CODER_MORE, 64, coded + n);
			n += put(c, STR_NONE, CODER_FLUSH, 64, coded + n);
			expect_text((enum encoding)e, n, SHORT, false);
			n += put(c, STR_NONE, CODER_END, 64, coded + n);
			expect_text((enum encoding)e, n, SHORT, true);
			coder_free(c);
		}
}

/* Many flushes, as of tokens; and what one costs. */
static void
test_coder_tokens(void **state)
{
	unsigned e;
	size_t i, n;

	(void)state;
	for (e = ENCODING_GZIP; e < ENCODING_COUNT; e++) {
		struct coder *c = coder_new((enum encoding)e, 3);

		for (i = n = 0; i < 5000; i += 5) {
			n += put(c, str_make(text + i, 5), CODER_FLUSH, 4096, coded + n);
			if (i % 500 == 0)
				expect_text((enum encoding)e, n, i + 5, false);
		}
		n += put(c, STR_NONE, CODER_END, 4096, coded + n);
		expect_text((enum encoding)e, n, 5000, true);
		assert_true(n < 1000 * 20 + 100);
		coder_free(c);
	}
}

/* One that ended in mid-body leaves nothing to the next that has its tables. */
static void
test_coder_again(void **state)
{
	struct coder *coders[CODERS_MAX];
	unsigned e;
	size_t i, n;

	(void)state;
	for (e = ENCODING_GZIP; e < ENCODING_COUNT; e++)
		for (i = 0; i < 40; i++) {
			struct coder *c = coder_new((enum encoding)e, 1 + i % 9);

			put(c, str_make(text + 50000, 1000 * i), i % 2 ? CODER_MORE : CODER_FLUSH, 4096,
			    coded);
			coder_free(c);
			c = coder_new((enum encoding)e, 1 + i % 9);
			n = put(c, str_make(text, 3000), CODER_END, 4096, coded);
			expect_text((enum encoding)e, n, 3000, true);
			coder_free(c);
			slab_reap_all();
		}
	for (i = 0; i < CODERS_MAX; i++) {
		coders[i] = coder_new(i % 2 ? ENCODING_GZIP : ENCODING_ZSTD, 1);
		assert_non_null(coders[i]);
	}
	assert_null(coder_new(ENCODING_GZIP, 1));
	coder_free(coders[0]);
	coders[0] = coder_new(ENCODING_GZIP, 1);
	assert_non_null(coders[0]);
	for (i = 0; i < CODERS_MAX; i++)
		coder_free(coders[i]);
	coder_free(NULL);
	assert_int_equal(coder_count(), 0);
}

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new(4096);
	coder_module_init();
	make_text();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	coder_module_fini();
	arena_free(arena);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wishes), cmocka_unit_test(test_judge),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_coder_rooms),
		cmocka_unit_test(test_coder_cuts), cmocka_unit_test(test_coder_tokens),
		cmocka_unit_test(test_coder_again),
	};

	return cmocka_run_group_tests_name("encode", tests, set_up, tear_down);
}
