/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 messages as bytes in, a transcript of events out.  Every message here is fed whole, byte by
 * byte and cut at each offset, always from a buffer of its exact size that is freed after each call:
 * the transcript must be the same, and the sanitizer silent.  What each byte may be is written down
 * here as lists of bytes, not taken from the parser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/h1_parser.h"
#include "http/message.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const struct h1_limits limits = {
	.max_head = 32 * 1024,
	.max_target = 16 * 1024,
	.max_fields = 200,
	.keep_underscore = false,
};

/* --- transcripts ---------------------------------------------------------------------------------- */

struct text {
	char  *p;
	size_t len, room;
};

static void
text_add(struct text *t, const char *p, size_t n)
{
	if (t->len + n + 1 > t->room) {
		t->room = (t->len + n + 1) * 2;
		t->p = realloc(t->p, t->room);
		assert_non_null(t->p);
	}
	if (n > 0)
		memcpy(t->p + t->len, p, n);
	t->len += n;
	t->p[t->len] = '\0';
}

static void
text_say(struct text *t, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_add(t, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void
say_fields(struct text *t, const struct field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		text_add(t, f[i].name.p, f[i].name.len);
		text_say(t, "=");
		text_add(t, f[i].value.p, f[i].value.len);
		text_say(t, "\n");
		assert_int_equal(f[i].id, field_lookup(f[i].name));
	}
}

static void
say_head(struct text *t, const struct message *m)
{
	static const char *const framings[] = { "none", "counted", "chunked", "close", "tunnel" };

	if (m->is_request) {
		text_say(t, "%d ", m->method);
		text_add(t, m->method_name.p, m->method_name.len);
		text_say(t, " ");
		text_add(t, m->target.p, m->target.len);
		text_say(t, " path ");
		text_add(t, m->path.p, m->path.len);
		if (m->query.p != NULL)
			text_say(t, " query ");
		text_add(t, m->query.p, m->query.len);
		text_say(t, " authority %.*s host %.*s", STR_ARG(m->authority), STR_ARG(m->host));
	} else
		text_say(t, "%d %.*s", m->status, STR_ARG(m->reason));
	text_say(t, " 1.%d %s", m->minor, framings[m->framing]);
	if (m->has_length)
		text_say(t, " %llu", (unsigned long long)m->length);
	text_say(t, "%s%s%s\n", m->keep_alive ? " keep" : "", m->upgrade ? " upgrade" : "",
	    m->expect_continue ? " expect" : "");
	say_fields(t, m->fields, m->n_fields);
}

/* One parser fed with pieces; what it tells goes to the transcript, neighbouring spans as one. */
struct feeder {
	struct h1_parser parser;
	struct arena *arena;
	struct text out, kept;		/* kept: bytes the parser left */
	bool in_body, over;
	bool head_request;
	enum h1_event last;
};

static void
feeder_init(struct feeder *f, bool is_request, const struct h1_limits *l, bool head_request)
{
	memset(f, 0, sizeof(*f));
	f->arena = arena_new(512);
	h1_parser_init(&f->parser, is_request, l);
	assert_true(h1_parser_is_idle(&f->parser));
	h1_parser_begin(&f->parser, f->arena, head_request);
	f->head_request = head_request;
	text_add(&f->out, "", 0);
}

static void
feeder_fini(struct feeder *f)
{
	arena_free(f->arena);
	free(f->out.p);
	free(f->kept.p);
}

static void
take_event(struct feeder *f, enum h1_event event)
{
	const struct h1_parser *p = &f->parser;

	f->last = event;
	if (f->in_body && event != H1_BODY && event != H1_MORE) {
		text_say(&f->out, "]\n");
		f->in_body = false;
	}
	switch (event) {
	case H1_HEAD:
		say_head(&f->out, p->message);
		break;
	case H1_BODY:
		assert_true(p->span.len > 0);
		text_say(&f->out, f->in_body ? "" : "[");
		text_add(&f->out, p->span.p, p->span.len);
		f->in_body = true;
		break;
	case H1_END:
		say_fields(&f->out, p->message->trailers, p->message->n_trailers);
		text_say(&f->out, "end\n");
		h1_parser_begin(&f->parser, f->arena, f->head_request);
		break;
	case H1_FAIL:
		text_say(&f->out, "fail %d %s\n", p->status, p->rule);
		assert_non_null(p->why);
		assert_null(strpbrk(p->why, "\"\\"));
		f->over = true;
		break;
	case H1_MORE:
		break;
	}
}

/* As a connection does it: what was left, and the piece behind it, in a buffer of their size. */
static void
feed(struct feeder *f, const char *p, size_t n)
{
	size_t had = f->kept.len + n;
	char *bytes = malloc(had > 0 ? had : 1);
	struct str in = { bytes, had };
	enum h1_event event;

	assert_non_null(bytes);
	if (f->kept.len > 0)
		memcpy(bytes, f->kept.p, f->kept.len);
	if (n > 0)
		memcpy(bytes + f->kept.len, p, n);
	f->kept.len = 0;
	while (!f->over) {
		event = h1_parser_next(&f->parser, &in);
		assert_true(in.len <= had && in.p + in.len == bytes + had);
		take_event(f, event);
		if (event == H1_MORE)
			break;
	}
	text_add(&f->kept, in.p, in.len);
	memset(bytes, 'x', had);
	free(bytes);
}

struct how {
	bool is_request;
	bool head_request;
	bool eof;			/* the peer ends after the bytes */
	const struct h1_limits *limits;	/* NULL: those above */
};

static void
finish(struct feeder *f, const struct how *how)
{
	if (how->eof && !f->over)
		take_event(f, h1_parser_eof(&f->parser));
	if (f->in_body)
		text_say(&f->out, "...\n");
}

/* The transcript, when the bytes come in pieces of step, the first of them of size first. */
static char *
transcript(struct str s, const struct how *how, size_t first, size_t step)
{
	struct feeder f;
	char *out;

	feeder_init(&f, how->is_request, how->limits != NULL ? how->limits : &limits,
	    how->head_request);
	feed(&f, s.p, first);
	for (s = str_from(s, first); s.len > 0; s = str_from(s, step))
		feed(&f, s.p, s.len < step ? s.len : step);
	finish(&f, how);
	out = f.out.p;
	f.out.p = NULL;
	feeder_fini(&f);
	return out;
}

static void
expect_same(struct str s, const char *want, char *got, const char *what, size_t at)
{
	if (strcmp(want, got) != 0)
		fail_msg("%s %zu: <<%.*s>>\nwant:\n%s\ngot:\n%s", what, at, STR_ARG(s), want, got);
	free(got);
}

/* Fed in every way, the bytes must give this transcript. */
static void
expect(struct str s, const struct how *how, const char *want)
{
	size_t i;

	expect_same(s, want, transcript(s, how, s.len, 1), "whole", 0);
	expect_same(s, want, transcript(s, how, 0, 1), "byte by byte", 0);
	for (i = 1; i < s.len; i++)
		expect_same(s, want, transcript(s, how, i, s.len), "cut at", i);
}

static const struct how request = { true, false, false, NULL };
static const struct how response = { false, false, false, NULL };
static const struct how head_response = { false, true, false, NULL };
static const struct how response_eof = { false, false, true, NULL };

struct row {
	struct str  bytes;
	const char *want;
};

#define ROW(bytes, want) { { bytes, sizeof(bytes) - 1 }, want }

static void
expect_rows(const struct row *rows, size_t n, const struct how *how)
{
	size_t i;

	for (i = 0; i < n; i++)
		expect(rows[i].bytes, how, rows[i].want);
}

/* --- what is let in --------------------------------------------------------------------------------- */

#define H	"Host: h\r\n"

static void
test_good_requests(void **state)
{
	static const struct row rows[] = {
		ROW("GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none keep\nHost=h\nend\n"),
		ROW("\r\nGET /a/b?c=d&e HTTP/1.1\r\nhost:Example.ORG:8080\r\nX:\t a b \t\r\nE:\r\n\r\n",
		    "1 GET /a/b?c=d&e path /a/b query c=d&e authority Example.ORG:8080 host "
		    "example.org 1.1 none keep\nhost=Example.ORG:8080\nX=a b\nE=\nend\n"),
		ROW("GET /? HTTP/1.1\r\n" H "\r\n",
		    "1 GET /? path / query  authority h host h 1.1 none keep\nHost=h\nend\n"),
		/* What the path says about itself is passed on. */
		ROW("GET //%zz/../%2e?\"<>\\^`{|} HTTP/1.1\r\n" H "\r\n",
		    "1 GET //%zz/../%2e?\"<>\\^`{|} path //%zz/../%2e query \"<>\\^`{|} authority h "
		    "host h 1.1 none keep\nHost=h\nend\n"),
		ROW("POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc",
		    "3 POST /p path /p authority h host h 1.1 counted 3 keep\nHost=h\n"
		    "Content-Length=3\n[abc]\nend\n"),
		ROW("POST /p HTTP/1.1\r\n" H "Content-Length: 000\r\n\r\n",
		    "3 POST /p path /p authority h host h 1.1 counted 0 keep\nHost=h\n"
		    "Content-Length=000\nend\n"),
		ROW("POST /p HTTP/1.1\r\n" H "Content-Length: \t 2 \r\n\r\nab",
		    "3 POST /p path /p authority h host h 1.1 counted 2 keep\nHost=h\n"
		    "Content-Length=2\n[ab]\nend\n"),
		ROW("POST /p HTTP/1.1\r\n" H "Transfer-Encoding: ChunkeD\r\n\r\n"
		    "3\r\nabc\r\n00A;x=\"y\";\t\xff z\r\n0123456789\r\n0\r\n\r\n",
		    "3 POST /p path /p authority h host h 1.1 chunked keep\nHost=h\n"
		    "Transfer-Encoding=ChunkeD\n[abc0123456789]\nend\n"),
		/* Trailers that frame, route, authorise or are hop-by-hop are dropped. */
		ROW("POST / HTTP/1.1\r\n" H "transfer-encoding:chunked\r\n\r\n1\r\n\n\r\n0;z\r\n"
		    "X-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\nAuthorization: x\r\n"
		    "Connection: close\r\nCookie: a\r\na_b: c\r\nServer-Timing:\tx\r\n\r\n",
		    "3 POST / path / authority h host h 1.1 chunked keep\nHost=h\n"
		    "transfer-encoding=chunked\n[\n]\nX-Sum=1\nServer-Timing=x\nend\n"),
		/* Two in a row; the second has its one empty line. */
		ROW("PUT /1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx\r\nDELETE /2 HTTP/1.1\r\n" H "\r\n",
		    "4 PUT /1 path /1 authority h host h 1.1 counted 1 keep\nHost=h\nContent-Length=1\n"
		    "[x]\nend\n5 DELETE /2 path /2 authority h host h 1.1 none keep\nHost=h\nend\n"),
		ROW("HEAD / HTTP/1.1\r\n" H "\r\nPATCH / HTTP/1.1\r\n" H "\r\n",
		    "2 HEAD / path / authority h host h 1.1 none keep\nHost=h\nend\n"
		    "7 PATCH / path / authority h host h 1.1 none keep\nHost=h\nend\n"),
		ROW("OPTIONS * HTTP/1.1\r\n" H "\r\n",
		    "6 OPTIONS * path * authority h host h 1.1 none keep\nHost=h\nend\n"),
		ROW("OPTIONS http://h HTTP/1.1\r\n" H "\r\n",
		    "6 OPTIONS http://h path * authority h host h 1.1 none keep\nHost=h\nend\n"),
		/* Absolute targets. */
		ROW("GET http://H:80/x?y HTTP/1.1\r\n" H "\r\n",
		    "1 GET http://H:80/x?y path /x query y authority H:80 host h 1.1 none keep\n"
		    "Host=h\nend\n"),
		ROW("GET HTTPS://h?y HTTP/1.1\r\nHost: h:443\r\n\r\n",
		    "1 GET HTTPS://h?y path / query y authority h host h 1.1 none keep\n"
		    "Host=h:443\nend\n"),
		ROW("GET http://h:81 HTTP/1.0\r\n\r\n",
		    "1 GET http://h:81 path / authority h:81 host h 1.0 none\nend\n"),
		/* Kinds of Host. */
		ROW("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:65535\r\n\r\n",
		    "1 GET / path / authority [2001:DB8::1]:65535 host 2001:db8::1 1.1 none keep\n"
		    "Host=[2001:DB8::1]:65535\nend\n"),
		ROW("GET / HTTP/1.1\r\nHost: 127.0.0.1:\r\n\r\n",
		    "1 GET / path / authority 127.0.0.1: host 127.0.0.1 1.1 none keep\n"
		    "Host=127.0.0.1:\nend\n"),
		ROW("GET / HTTP/1.1\r\nHost: A%2d.b.\r\n\r\n",
		    "1 GET / path / authority A%2d.b. host a%2d.b 1.1 none keep\nHost=A%2d.b.\nend\n"),
		/* HTTP/1.0: no Host needed, not persistent unless said so, no Expect, no Upgrade. */
		ROW("GET / HTTP/1.0\r\n\r\n", "1 GET / path / authority  host  1.0 none\nend\n"),
		ROW("GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\nExpect: x\r\nUpgrade: a\r\n"
		    "Connection: upgrade\r\n\r\n",
		    "1 GET / path / authority  host  1.0 none keep\nConnection=x, Keep-Alive\nExpect=x\n"
		    "Upgrade=a\nConnection=upgrade\nend\n"),
		ROW("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		    "1 GET / path / authority  host  1.0 none\nConnection=keep-alive, close\nend\n"),
		ROW("GET / HTTP/1.1\r\n" H "Connection: foo\r\nConnection: CLOSE\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none\nHost=h\nConnection=foo\n"
		    "Connection=CLOSE\nend\n"),
		ROW("GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, WebSocket\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none keep upgrade\nHost=h\n"
		    "Connection=keep-alive, Upgrade\nUpgrade=h2c, WebSocket\nend\n"),
		ROW("GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: H2C\r\nHTTP2-Settings: x\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none keep\nHost=h\nConnection=upgrade\n"
		    "Upgrade=H2C\nHTTP2-Settings=x\nend\n"),
		ROW("GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none keep\nHost=h\nUpgrade=websocket\nend\n"),
		ROW("POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
		    "3 POST / path / authority h host h 1.1 counted 1 keep expect\nHost=h\n"
		    "Expect=100-Continue\nContent-Length=1\n[x]\nend\n"),
		/* Underscores go, even where they look like framing. */
		ROW("GET / HTTP/1.1\r\nContent_Length: 5\r\n" H "X_Y: a\r\nZ: b\r\n\r\n",
		    "1 GET / path / authority h host h 1.1 none keep\nHost=h\nZ=b\nend\n"),
		ROW("PROPFIND / HTTP/1.1\r\n" H "\r\n",
		    "0 PROPFIND / path / authority h host h 1.1 none keep\nHost=h\nend\n"),
		ROW("M-SEARCH / HTTP/1.1\r\n" H "\r\n",
		    "0 M-SEARCH / path / authority h host h 1.1 none keep\nHost=h\nend\n"),
		/* Nothing, and the beginning of something. */
		ROW("", ""), ROW("\r\n", ""), ROW("GET / HTTP/1.1\r\nHost: h\r\n\r", ""),
		ROW("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab",
		    "3 POST / path / authority h host h 1.1 counted 5 keep\nHost=h\nContent-Length=5\n"
		    "[ab...\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

static void
test_methods(void **state)
{
	static const char *const others[] = { "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH",
		"SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY",
		"CHECKOUT", "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",
		"MKCALENDAR", "LINK", "UNLINK", "SOURCE" };
	static const char *const unknown[] = { "get", "Get", "GETS", "GE", "FOO", "PRI", "DESCRIBE",
		"ANNOUNCE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "REDIRECT",
		"RECORD", "FLUSH", "X-MINE", "connect", "!#$%&'*+-.^_`|~" };
	static const char *const barred[] = { "CONNECT", "TRACE" };
	char bytes[128], want[128];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(others); i++) {
		snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\n" H "\r\n", others[i]);
		snprintf(want, sizeof(want),
		    "0 %s / path / authority h host h 1.1 none keep\nHost=h\nend\n", others[i]);
		expect(str_of(bytes), &request, want);
	}
	for (i = 0; i < COUNT(unknown); i++) {
		snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\n" H "\r\n", unknown[i]);
		expect(str_of(bytes), &request, "fail 501 unknown_method\n");
	}
	for (i = 0; i < COUNT(barred); i++) {
		snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\n" H "\r\n", barred[i]);
		expect(str_of(bytes), &request, "fail 405 method_not_allowed\n");
		snprintf(bytes, sizeof(bytes), "%s h:443 HTTP/1.1\r\n" H "\r\n", barred[i]);
		expect(str_of(bytes), &request, "fail 405 method_not_allowed\n");
	}
}

static void
test_good_responses(void **state)
{
	static const struct row rows[] = {
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
		    "200 OK 1.1 counted 2 keep\nContent-Length=2\n[ok]\nend\n"
		    "404  1.1 counted 0 keep\nContent-Length=0\nend\n"),
		ROW("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		    "200  1.1 chunked keep\nTransfer-Encoding=chunked\n[hello]\nX-T=1\nend\n"),
		ROW("HTTP/1.1 599 a\tb \xe9  c\r\nX_y: kept when asked\r\nContent-Length: 0\r\n\r\n",
		    "599 a\tb \xe9  c 1.1 counted 0 keep\nContent-Length=0\nend\n"),
		/* No body whatever the fields say. */
		ROW("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 x\r\n"
		    "Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n",
		    "204 No Content 1.1 none 5\nContent-Length=5\nend\n"
		    "304 x 1.1 none keep\nTransfer-Encoding=chunked\nend\n"
		    "304 x 1.1 none 7 keep\nContent-Length=7\nend\n"),
		ROW("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
		    "100 Continue 1.1 none keep\nend\n103 Early Hints 1.1 none keep\nLink=x\nend\n"
		    "200 OK 1.0 counted 1 keep\nConnection=keep-alive\nContent-Length=1\n[x]\nend\n"),
		ROW("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\n\r\n"
		    "HTTP/1.1 200 OK\r\n\r\n\n\r",
		    "101 Go 1.1 tunnel 1 upgrade\nConnection=upgrade\nUpgrade=a\nContent-Length=1\n"
		    "[HTTP/1.1 200 OK\r\n\r\n\n\r...\n"),
		ROW("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nabc\n\r\n",
		    "200 OK 1.1 close\nConnection=keep-alive\n[abc\n\r\n...\n"),
	};
	static const struct row heads[] = {
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n",
		    "200 OK 1.1 none 50 keep\nContent-Length=50\nend\n200 OK 1.1 none keep\nend\n"
		    "200 OK 1.1 none keep\nTransfer-Encoding=chunked\nend\n"),
	};
	static const struct row ends[] = {
		ROW("HTTP/1.1 200 OK\r\n\r\nabc", "200 OK 1.1 close\n[abc]\nend\n"),
		ROW("HTTP/1.0 200 OK\r\n\r\n", "200 OK 1.0 close\nend\n"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		    "200 OK 1.1 counted 0 keep\nContent-Length=0\nend\n"),
		ROW("", ""),
		ROW("H", "fail 502 incomplete_message\n"),
		ROW("HTTP/1.1 200 OK\r\n\r", "fail 502 incomplete_message\n"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
		    "200 OK 1.1 counted 4 keep\nContent-Length=4\n[abc]\nfail 502 incomplete_message\n"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
		    "200 OK 1.1 chunked keep\nTransfer-Encoding=chunked\n[a]\n"
		    "fail 502 incomplete_message\n"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
		    "200 OK 1.1 chunked keep\nTransfer-Encoding=chunked\n[a]\n"
		    "fail 502 incomplete_message\n"),
		ROW("HTTP/1.1 101 Go\r\n\r\nabc", "101 Go 1.1 tunnel\n[abc...\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &response);
	expect_rows(heads, COUNT(heads), &head_response);
	expect_rows(ends, COUNT(ends), &response_eof);
}

/* --- what is refused ---------------------------------------------------------------------------------- */

#define G	"GET / HTTP/1.1\r\n"
#define GH	G H
#define P	"POST / HTTP/1.1\r\n" H

static void
test_bad_framing(void **state)
{
	static const struct row rows[] = {
		ROW(P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "fail 400 length_and_chunked\n"),
		ROW(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "fail 400 length_and_chunked\n"),
		ROW(P "Transfer-Encoding: gzip\r\nContent-Length: x\r\n\r\n", "fail 400 length_and_chunked\n"),
		ROW(P "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", "fail 400 two_content_lengths\n"),
		ROW(P "Content-Length: 3\r\ncontent-length: 4\r\n\r\n", "fail 400 two_content_lengths\n"),
		ROW(P "Content-Length: 3,3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 3, 3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: +3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: -3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 0x3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: a\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 3 3\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 3;\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: \"3\"\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length:\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: \t \r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 9223372036854775808\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 18446744073709551616\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Content-Length: 99999999999999999999999\r\n\r\n", "fail 400 bad_content_length\n"),
		ROW(P "Transfer-Encoding: gzip\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: gzip, chunked\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: chunked, chunked\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: chunked,\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: chunked;q=1\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: xchunked\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: \"chunked\"\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: identity\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding:\r\n\r\n", "fail 501 bad_transfer_encoding\n"),
		ROW(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "fail 400 two_transfer_encodings\n"),
		ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "fail 400 transfer_encoding_in_1_0\n"),
		ROW("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", "fail 400 transfer_encoding_in_1_0\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

static void
test_bad_lines(void **state)
{
	static const struct row rows[] = {
		/* Told at once: what follows does not matter. */
		ROW("GET / HTTP/1.1\n", "fail 400 bare_lf\n"),
		ROW("GET / HTTP/1.1\nHost: h\n\n", "fail 400 bare_lf\n"),
		ROW("\nGET", "fail 400 bare_lf\n"),
		ROW(G "Host: h\n", "fail 400 bare_lf\n"),
		ROW(G "\n", "fail 400 bare_lf\n"),
		ROW(GH "\n", "fail 400 bare_lf\n"),
		ROW(G "Host: a\rb", "fail 400 bare_cr\n"),
		ROW(G "Host: a\r\r\n", "fail 400 bare_cr\n"),
		ROW("GET /\r HTTP/1.1", "fail 400 bare_cr\n"),
		ROW("\rG", "fail 400 bare_cr\n"),
		ROW(GH "\r\r", "fail 400 bare_cr\n"),
		ROW(GH "X:\rTransfer-Encoding: chunked\r\n\r\n", "fail 400 bare_cr\n"),
		ROW("GET /\0", "fail 400 control_byte\n"),
		ROW("GET / HTTP/1.1\r\nX: a\0", "fail 400 control_byte\n"),
		ROW("GET / HTTP/1.1\r\nX\x7f", "fail 400 control_byte\n"),
		ROW("\x16\x03\x01", "fail 400 speaks_tls\n"),
		ROW("\r\n\x15\x03\x01", "fail 400 speaks_tls\n"),
		/* The first wrong byte counts. */
		ROW(G "X: \x01\n", "fail 400 control_byte\n"),
		ROW(G "X: \n\x01", "fail 400 bare_lf\n"),
		/* Fields. */
		ROW(GH "X: a\r\n b\r\n\r\n", "fail 400 obs_fold\n"),
		ROW(GH "X: a\r\n\tb\r\n\r\n", "fail 400 obs_fold\n"),
		ROW(GH "X: a\r\n \r\n\r\n", "fail 400 obs_fold\n"),
		ROW(G " Host: h\r\n\r\n", "fail 400 obs_fold\n"),
		ROW(G "\tHost: h\r\n\r\n", "fail 400 obs_fold\n"),
		ROW(G "Host : h\r\n\r\n", "fail 400 space_before_colon\n"),
		ROW(GH "Transfer-Encoding\t: chunked\r\n\r\n", "fail 400 space_before_colon\n"),
		ROW(GH "abc\r\n\r\n", "fail 400 no_colon\n"),
		ROW(GH "GET / HTTP/1.1\r\n\r\n", "fail 400 no_colon\n"),
		ROW(GH ": a\r\n\r\n", "fail 400 bad_field_name\n"),
		ROW(GH "a b: c\r\n\r\n", "fail 400 bad_field_name\n"),
		ROW(GH "a\xe9: c\r\n\r\n", "fail 400 bad_field_name\n"),
		ROW(GH "\"a\": c\r\n\r\n", "fail 400 bad_field_name\n"),
		ROW(GH "a(: c\r\n\r\n", "fail 400 bad_field_name\n"),
		/* Request lines. */
		ROW("\r\n\r\n" GH "\r\n", "fail 400 bad_request_line\n"),
		ROW("GET  / HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET /  HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/1.1 \r\n", "fail 400 bad_request_line\n"),
		ROW(" GET / HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET\t/ HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET /\tHTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/1.1\t\r\n", "fail 400 bad_request_line\n"),
		ROW("GET /a b HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET\r\n", "fail 400 bad_request_line\n"),
		ROW("GET \r\n", "fail 400 bad_request_line\n"),
		ROW("G\"T / HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / \r\n HTTP/1.1\r\n", "fail 400 bad_request_line\n"),
		/* Versions. */
		ROW("GET /\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / \r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/0.9\r\n", "fail 400 bad_version\n"),
		ROW("GET / HTTP/1.2\r\n", "fail 505 bad_version\n"),
		ROW("GET / HTTP/2.0\r\n", "fail 505 bad_version\n"),
		ROW("GET / HTTP/0.1\r\n", "fail 505 bad_version\n"),
		ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "fail 505 bad_version\n"),
		ROW("GET / HTTP/2\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/11\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/1.11\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/01.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTP/1,1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / http/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / HTTPS/1.1\r\n", "fail 400 bad_request_line\n"),
		ROW("GET / RTSP/1.0\r\n", "fail 400 bad_request_line\n"),
		ROW("SOURCE / ICE/1.0\r\n", "fail 400 bad_request_line\n"),
		/* Targets. */
		ROW("GET /#a HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET /\xc3\xa9 HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET * HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("M-SEARCH * HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("OPTIONS *a HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET h:80 HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET a/b HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET ?a HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET ftp://h/ HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET http:/h/ HTTP/1.1\r\n", "fail 400 bad_target\n"),
		ROW("GET http:///a HTTP/1.1\r\n" H "\r\n", "fail 400 bad_target\n"),
		ROW("GET http://u@h/ HTTP/1.1\r\n" H "\r\n", "fail 400 bad_target\n"),
		ROW("GET http://h:x/ HTTP/1.1\r\n" H "\r\n", "fail 400 bad_target\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

/* llhttp 8.1 takes no tab after these values; RFC 9110 5.5 would.  It shows that both must agree. */
static void
test_llhttp(void **state)
{
	static const struct row rows[] = {
		ROW(P "Content-Length: 3\t\r\n\r\nabc", "fail 400 llhttp\n"),
		ROW(P "Transfer-Encoding: chunked\t\r\n\r\n", "fail 400 llhttp\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

static void
test_bad_hosts(void **state)
{
	static const struct row rows[] = {
		ROW(G "\r\n", "fail 400 no_host\n"),
		ROW(G "X-Host: h\r\n\r\n", "fail 400 no_host\n"),
		ROW("GET http://h/ HTTP/1.1\r\n\r\n", "fail 400 no_host\n"),
		ROW(GH H "\r\n", "fail 400 two_hosts\n"),
		ROW(G H "hOST: i\r\n\r\n", "fail 400 two_hosts\n"),
		ROW("GET / HTTP/1.0\r\n" H H "\r\n", "fail 400 two_hosts\n"),
		ROW("GET http://h/ HTTP/1.1\r\nHost: i\r\n\r\n", "fail 400 host_mismatch\n"),
		ROW("GET http://h/ HTTP/1.1\r\nHost: h:8080\r\n\r\n", "fail 400 host_mismatch\n"),
		ROW("GET http://h/ HTTP/1.1\r\nHost: h:443\r\n\r\n", "fail 400 host_mismatch\n"),
		ROW("GET https://h/ HTTP/1.1\r\nHost: h:80\r\n\r\n", "fail 400 host_mismatch\n"),
		ROW("GET http://h:8080/ HTTP/1.0\r\nHost: h\r\n\r\n", "fail 400 host_mismatch\n"),
		ROW("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", "fail 400 bad_host\n"),
	};
	static const char *const hosts[] = { "", "a b", "a/b", "a@b", "u:p@h", "a,b:x", "a:b", "a:80a",
		"a:-1", "a:65536", "a:123456", "a:0", "a:000080", "a:80:80", ":80", "a?b", "a\\b", "a\"", "<a>",
		"a#b", "a%", "a%4", "a%zz", "[::1", "::1", "[]", "[::1]x", "[::1]:x", "[127.0.0.1]",
		"[v1.a]", "[fe80::1%25eth0]", "[:::1]", "a]", "http://a", "a\xc3\xa9", "a\tb", "{a}",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]" };
	char bytes[256];
	size_t i;

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
	for (i = 0; i < COUNT(hosts); i++) {
		snprintf(bytes, sizeof(bytes), G "Host: %s\r\n\r\n", hosts[i]);
		expect(str_of(bytes), &request, "fail 400 bad_host\n");
		snprintf(bytes, sizeof(bytes), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", hosts[i]);
		expect(str_of(bytes), &request, "fail 400 bad_host\n");
	}
}

static void
test_bad_expect(void **state)
{
	static const struct row rows[] = {
		ROW(GH "Expect: 200-ok\r\n\r\n", "fail 417 bad_expect\n"),
		ROW(GH "Expect:\r\n\r\n", "fail 417 bad_expect\n"),
		ROW(GH "Expect: 100-continue, x\r\n\r\n", "fail 417 bad_expect\n"),
		ROW(GH "Expect: 100-continue\r\nExpect: x\r\n\r\n", "fail 417 bad_expect\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

#define C	P "Transfer-Encoding: chunked\r\n\r\n"
#define C_HEAD	"3 POST / path / authority h host h 1.1 chunked keep\nHost=h\nTransfer-Encoding=chunked\n"

static void
test_bad_chunks(void **state)
{
	static const struct row rows[] = {
		ROW(C "+1\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "-1\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "0x1\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C " 1\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "1 \r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "1\t;a\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "1 1\r\na\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C ";a\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "1,\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "g\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "00000000000000001", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "11111111111111111", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "ffffffffffffffff\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "8000000000000000\r\n", C_HEAD "fail 400 bad_chunk_size\n"),
		ROW(C "1\na\r\n", C_HEAD "fail 400 bare_lf\n"),
		ROW(C "1\ra", C_HEAD "fail 400 bare_cr\n"),
		ROW(C "1;a\nb\r\n", C_HEAD "fail 400 bare_lf\n"),
		ROW(C "1;a\rb", C_HEAD "fail 400 bare_cr\n"),
		ROW(C "1;a\0", C_HEAD "fail 400 control_byte\n"),
		ROW(C "1\r\nab\r\n", C_HEAD "[a]\nfail 400 bad_chunk_end\n"),
		ROW(C "1\r\na\n", C_HEAD "[a]\nfail 400 bad_chunk_end\n"),
		ROW(C "1\r\na\r1", C_HEAD "[a]\nfail 400 bad_chunk_end\n"),
		ROW(C "3\r\nabcXX0\r\n\r\n", C_HEAD "[abc]\nfail 400 bad_chunk_end\n"),
		ROW(C "1\r\na0\r\n\r\n", C_HEAD "[a]\nfail 400 bad_chunk_end\n"),
		/* After the last chunk come trailers and an empty line, by the rules of heads. */
		ROW(C "0\r\n\n", C_HEAD "fail 400 bare_lf\n"),
		ROW(C "0\r\n\ra", C_HEAD "fail 400 bare_cr\n"),
		ROW(C "0\r\nGET / HTTP/1.1\r\n", C_HEAD "fail 400 no_colon\n"),
		ROW(C "0\r\n X: a\r\n", C_HEAD "fail 400 obs_fold\n"),
		ROW(C "0\r\nX: a\r\n b\r\n", C_HEAD "fail 400 obs_fold\n"),
		ROW(C "0\r\nX : a\r\n", C_HEAD "fail 400 space_before_colon\n"),
		ROW(C "0\r\n: a\r\n", C_HEAD "fail 400 bad_field_name\n"),
		ROW(C "0\r\nX: a\nY: b\r\n", C_HEAD "fail 400 bare_lf\n"),
		ROW(C "0\r\nX: \x7f", C_HEAD "fail 400 control_byte\n"),
		/* The biggest size there is; not its data. */
		ROW(C "7fffffffffffffff\r\na", C_HEAD "[a...\n"),
		ROW(C "0000000000000001\r\na\r\n0000000000000000\r\n\r\n", C_HEAD "[a]\nend\n"),
	};

	(void)state;
	expect_rows(rows, COUNT(rows), &request);
}

static void
test_bad_responses(void **state)
{
	static const struct row rows[] = {
		ROW("\x15\x03\x01\x00\x02", "fail 502 speaks_tls\n"),
		ROW("HTTP/1.1 99 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 099 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 600 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 2000 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 20x x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1  200 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1\t200 x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 200\tx\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 200x\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/1.1 \r\n", "fail 502 bad_status_line\n"),
		ROW("\r\nHTTP/1.1 200 OK\r\n", "fail 502 bad_status_line\n"),
		ROW(" HTTP/1.1 200 OK\r\n", "fail 502 bad_status_line\n"),
		ROW("http/1.1 200 OK\r\n", "fail 502 bad_status_line\n"),
		ROW("ICY 200 OK\r\n", "fail 502 bad_status_line\n"),
		ROW("SSH-2.0-OpenSSH\r\n", "fail 502 bad_status_line\n"),
		ROW("HTTP/2.0 200 OK\r\n", "fail 502 bad_version\n"),
		ROW("HTTP/1.2 200 OK\r\n", "fail 502 bad_version\n"),
		ROW("HTTP/0.9 200 OK\r\n", "fail 502 bad_version\n"),
		ROW("HTTP/1.1 200 OK\n", "fail 502 bare_lf\n"),
		ROW("HTTP/1.1 200 O\rK", "fail 502 bare_cr\n"),
		ROW("HTTP/1.1 200 O\0", "fail 502 control_byte\n"),
		ROW("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n", "fail 502 obs_fold\n"),
		ROW("HTTP/1.1 200 OK\r\n X: a\r\n", "fail 502 obs_fold\n"),
		ROW("HTTP/1.1 200 OK\r\nX : a\r\n", "fail 502 space_before_colon\n"),
		ROW("HTTP/1.1 200 OK\r\nabc\r\n", "fail 502 no_colon\n"),
		ROW("HTTP/1.1 200 OK\r\n: x\r\n", "fail 502 bad_field_name\n"),
		ROW("HTTP/1.1 200 OK\r\nX: \x01", "fail 502 control_byte\n"),
		ROW("HTTP/1.1 200 OK\r\nX: a\n", "fail 502 bare_lf\n"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "fail 502 length_and_chunked\n"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		    "fail 502 two_content_lengths\n"),
		ROW("HTTP/1.1 204 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		    "fail 502 two_content_lengths\n"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "fail 502 bad_content_length\n"),
		ROW("HTTP/1.1 304 OK\r\nContent-Length: -1\r\n\r\n", "fail 502 bad_content_length\n"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "fail 502 bad_transfer_encoding\n"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		    "fail 502 bad_transfer_encoding\n"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "fail 502 two_transfer_encodings\n"),
		ROW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "fail 502 transfer_encoding_in_1_0\n"),
	};
	static const struct row chunks[] = {
		ROW("+1\r\n", "bad_chunk_size"), ROW("0x1\r\n", "bad_chunk_size"), ROW("1 \r\n", "bad_chunk_size"),
		ROW("11111111111111111", "bad_chunk_size"), ROW("1\na", "bare_lf"), ROW("1;a\n", "bare_lf"),
		ROW("0\r\n\n", "bare_lf"), ROW("0\r\nX\r\n", "no_colon"), ROW("0\r\n y\r\n", "obs_fold"),
	};
	char bytes[256], want[256];
	size_t i;

	(void)state;
	expect_rows(rows, COUNT(rows), &response);
	for (i = 0; i < COUNT(chunks); i++) {
		snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s",
		    chunks[i].bytes.p);
		snprintf(want, sizeof(want),
		    "200 OK 1.1 chunked keep\nTransfer-Encoding=chunked\nfail 502 %s\n", chunks[i].want);
		expect(str_of(bytes), &response, want);
	}
}

/* --- every byte in every place ---------------------------------------------------------------------- */

#define ALNUM	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TCHARS	"!#$%&'*+-.^_`|~" ALNUM			/* RFC 9110 5.6.2 */

static bool
is_in(int byte, const char *set)
{
	return byte != 0 && strchr(set, byte) != NULL;
}

static bool
is_visible(int byte)
{
	return byte >= 0x21 && byte <= 0x7e;
}

/* What comes of before, the byte, after: 0 or the status of the failure. */
static int
outcome(const char *before, int byte, const char *after, const struct how *how, bool whole)
{
	char bytes[512], *got, *at;
	struct str s;
	int status = 0;

	s.p = bytes;
	s.len = (size_t)snprintf(bytes, sizeof(bytes), "%s%c%s", before, 'x', after);
	bytes[strlen(before)] = (char)byte;
	got = transcript(s, how, whole ? s.len : 0, 1);
	at = strstr(got, "fail ");
	if (at != NULL)
		status = (int)strtol(at + 5, NULL, 10);
	free(got);
	return status;
}

/* ok tells which bytes may stand there; others give status bad. */
static void
sweep(const char *before, const char *after, const struct how *how, bool (*ok)(int), int bad)
{
	int byte, want;

	for (byte = 0; byte < 256; byte++) {
		want = ok(byte) ? 0 : bad;
		if (outcome(before, byte, after, how, true) != want ||
		    outcome(before, byte, after, how, false) != want)
			fail_msg("%s<%02x>%s: want %d, got %d", before, (unsigned)byte, after, want,
			    outcome(before, byte, after, how, true));
	}
}

static bool
ok_target(int b)
{
	return is_visible(b) && b != '#';
}

static bool
ok_name(int b)
{
	return is_in(b, TCHARS ":");	/* "X:Y: v" is a field X */
}

static bool
ok_value(int b)
{
	return b == '\t' || b == ' ' || is_visible(b) || b >= 0x80;
}

static bool
ok_size_alone(int b)
{
	return is_in(b, "0123456789abcdefABCDEF");
}

static bool
ok_size_next(int b)
{
	return is_in(b, "0123456789abcdefABCDEF;");
}

static bool
ok_host(int b)
{
	return is_in(b, ALNUM "-._~" "!$&'()*+,;=");	/* RFC 3986 3.2.2, a lone % left out */
}

static bool
ok_host_colon(int b)
{
	return ok_host(b) || b == ':' || b == ' ' || b == '\t';
}

static bool
ok_digit(int b)
{
	return is_in(b, "0123456789");
}

static bool
ok_first_digit(int b)
{
	return is_in(b, "12345");
}

static bool
ok_minor(int b)
{
	return is_in(b, "01");
}

static bool
ok_none(int b)
{
	(void)b;
	return false;
}

static bool
ok_cr(int b)
{
	return b == '\r';
}

static bool
ok_lf(int b)
{
	return b == '\n';
}

static bool
ok_length(int b)
{
	return is_in(b, "0123456789 \t");
}

static void
test_sweep(void **state)
{
	static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	char before[256];
	int byte;

	(void)state;
	/* A method: not a token 400, a token but unknown 501. */
	for (byte = 0; byte < 256; byte++) {
		int want = byte == 'E' ? 0 : is_in(byte, TCHARS) ? 501 : 400;

		assert_int_equal(outcome("G", byte, "T / HTTP/1.1\r\n" H "\r\n", &request, true), want);
		assert_int_equal(outcome("G", byte, "T / HTTP/1.1\r\n" H "\r\n", &request, false), want);
	}
	sweep("GET /a", "b HTTP/1.1\r\n" H "\r\n", &request, ok_target, 400);
	sweep("GET /a?b", "c HTTP/1.1\r\n" H "\r\n", &request, ok_target, 400);
	sweep(GH "X", "Y: v\r\n\r\n", &request, ok_name, 400);
	sweep(GH "X: a", "b\r\n\r\n", &request, ok_value, 400);
	sweep(GH "X:", "b\r\n\r\n", &request, ok_value, 400);
	sweep(GH "X: ", "\r\n\r\n", &request, ok_value, 400);
	sweep(G "Host: a", "b\r\n\r\n", &request, ok_host, 400);
	sweep(G "Host: a", "\r\n\r\n", &request, ok_host_colon, 400);
	sweep(P "Content-Length: ", "1\r\n\r\n", &request, ok_length, 400);
	sweep(GH "X: a", "\n\r\n", &request, ok_cr, 400);
	sweep(GH "X: a\r", "\r\n", &request, ok_lf, 400);
	sweep(GH "X: a\r\n", "\n", &request, ok_cr, 400);
	sweep("GET / HTTP/1.1\r", H "\r\n", &request, ok_lf, 400);
	sweep(C, "\r\n", &request, ok_size_alone, 400);
	sweep(C "1", "\r\n", &request, ok_size_next, 400);
	sweep(C "1;a", "b\r\n", &request, ok_value, 400);
	sweep(C "1\r\na", "\n0\r\n\r\n", &request, ok_cr, 400);
	sweep(C "1\r\na\r", "0\r\n\r\n", &request, ok_lf, 400);
	sweep(C "0\r\nX", "Y: v\r\n\r\n", &request, ok_name, 400);
	sweep(C "0\r\nX: a", "b\r\n\r\n", &request, ok_value, 400);
	sweep(C "0\r\nX: a\r\n", "\n", &request, ok_cr, 400);
	sweep("HTTP/1.1 ", "00 OK\r\n\r\n", &response, ok_first_digit, 502);
	sweep("HTTP/1.1 2", "0 OK\r\n\r\n", &response, ok_digit, 502);
	sweep("HTTP/1.1 20", " OK\r\n\r\n", &response, ok_digit, 502);
	sweep("HTTP/1.1 200 O", "K\r\n\r\n", &response, ok_value, 502);
	sweep("HTTP/1.", " 200 OK\r\n\r\n", &response, ok_minor, 502);
	sweep("HTTP/", "1.1 200 OK\r\n\r\n", &response, ok_none, 502);
	sweep("HTTP/1.1 200 OK\r\nX", "Y: v\r\n\r\n", &response, ok_name, 502);
	sweep("HTTP/1.1 200 OK\r\nX: a", "b\r\n\r\n", &response, ok_value, 502);
	sweep(chunked, "\r\n", &response, ok_size_alone, 502);
	snprintf(before, sizeof(before), "%s1;a", chunked);
	sweep(before, "b\r\n", &response, ok_value, 502);
}

/* --- bounds ----------------------------------------------------------------------------------------- */

static struct str
padded(char *buf, const char *before, int c, size_t n, const char *after)
{
	size_t b = strlen(before), a = strlen(after);

	memcpy(buf, before, b);
	memset(buf + b, c, n);
	memcpy(buf + b + n, after, a);
	return str_make(buf, b + n + a);
}

/* Whole, byte by byte, and in halves; every offset would take too long here. */
static void
expect_big(struct str s, const struct how *how, const char *want)
{
	size_t parts[] = { s.len, 0, s.len / 2 }, i;
	char *got;

	for (i = 0; i < COUNT(parts); i++) {
		got = transcript(s, how, parts[i], i == 1 ? 1 : s.len);
		if (strncmp(got, want, strlen(want)) != 0)
			fail_msg("part %zu of %zu bytes: want %s got %.200s", i, s.len, want, got);
		free(got);
	}
}

static void
test_limits(void **state)
{
	static const struct h1_limits small = { 100, 20, 3, true };
	static const struct how in_small = { true, false, false, &small };
	static const struct how out_small = { false, false, false, &small };
	char *buf = malloc(70000);
	struct str s;

	(void)state;
	assert_non_null(buf);
	/* The head: 100 bytes pass, 101 do not; nor do 100 without their end. */
	s = padded(buf, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'a', 100 - 28 - 4, "\r\n\r\n");
	assert_int_equal(s.len, 100);
	expect_big(s, &in_small, "1 GET / path / ");
	s = padded(buf, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'a', 100 - 28 - 3, "\r\n\r\n");
	expect_big(s, &in_small, "fail 431 head_too_large\n");
	s = padded(buf, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'a', 100 - 28, "");
	expect_big(s, &in_small, "fail 431 head_too_large\n");
	s = padded(buf, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'a', 100 - 28 - 1, "");
	expect_big(s, &in_small, "");
	s = padded(buf, "HTTP/1.1 200 OK\r\nX: ", 'a', 100, "");
	expect_big(s, &out_small, "fail 502 head_too_large\n");
	s = padded(buf, "", 'a', 100, "");
	expect_big(s, &in_small, "fail 431 head_too_large\n");
	/* The target: 20 bytes pass, 21 do not, also while the line is not whole. */
	s = padded(buf, "GET /", 'a', 19, " HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_big(s, &in_small, "1 GET /aaaaaaaaaaaaaaaaaaa path");
	s = padded(buf, "GET /", 'a', 20, " HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_big(s, &in_small, "fail 414 target_too_long\n");
	s = padded(buf, "GET /", 'a', 20, "");
	expect_big(s, &in_small, "fail 414 target_too_long\n");
	s = padded(buf, "GET /", 'a', 200, "");
	expect_big(s, &in_small, "fail 414 target_too_long\n");
	s = padded(buf, "GET /", 'a', 16 * 1024, " HTTP/1.1\r\n");
	expect_big(s, &request, "fail 414 target_too_long\n");
	/* Fields. */
	expect(STR("GET / HTTP/1.1\r\nA:\r\nB:\r\n" H "\r\n"), &in_small,
	    "1 GET / path / authority h host h 1.1 none keep\nA=\nB=\nHost=h\nend\n");
	expect(STR("GET / HTTP/1.1\r\nA:\r\nB:\r\n" H "C:\r\n"), &in_small, "fail 431 too_many_fields\n");
	expect(STR("HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC:\r\nD:\r\n"), &out_small,
	    "fail 502 too_many_fields\n");
	/* Underscores, where they are kept. */
	expect(STR("GET / HTTP/1.1\r\na_b: c\r\n" H "\r\n"), &in_small,
	    "1 GET / path / authority h host h 1.1 none keep\na_b=c\nHost=h\nend\n");
	/* Chunk extensions: 4096 bytes in a message, in one chunk or in many. */
	s = padded(buf, C "1;", 'a', 4095, "\r\nx\r\n0\r\n\r\n");
	expect_big(s, &request, C_HEAD "[x]\nend\n");
	s = padded(buf, C "1;", 'a', 4096, "\r\nx\r\n0\r\n\r\n");
	expect_big(s, &request, C_HEAD "fail 400 chunk_extension_too_long\n");
	s = padded(buf, C "1;", 'a', 4096, "");
	expect_big(s, &request, C_HEAD "fail 400 chunk_extension_too_long\n");
	s = padded(buf, C "1;", 'a', 4094, "\r\nx\r\n0;\r\n\r\n");
	expect_big(s, &request, C_HEAD "[x]\nend\n");
	s = padded(buf, C "1;", 'a', 4095, "\r\nx\r\n0;\r\n\r\n");
	expect_big(s, &request, C_HEAD "[x]\nfail 400 chunk_extension_too_long\n");
	/* Trailers. */
	expect(STR(C "0\r\nA:\r\nB:\r\nC: c\r\n\r\n"), &in_small, C_HEAD "A=\nB=\nC=c\nend\n");
	expect(STR(C "0\r\nA:\r\nB:\r\nC:\r\nD:\r\n"), &in_small, C_HEAD "fail 400 bad_trailer\n");
	s = padded(buf, C "0\r\nA:", 'a', 98, "");
	expect_big(s, &in_small, C_HEAD "fail 400 bad_trailer\n");
	free(buf);
}

/* Byte by byte costs a byte each: what was looked at is not looked at again. */
static void
test_linear(void **state)
{
	struct feeder f;
	size_t i;

	(void)state;
	feeder_init(&f, true, &limits, false);
	feed(&f, "GET / HTTP/1.1\r\nX: ", 19);
	for (i = 19; i < 2000; i++) {
		feed(&f, i % 2 == 0 ? "a" : " ", 1);
		assert_int_equal(f.last, H1_MORE);
		assert_int_equal(f.kept.len, i + 1);
		assert_int_equal(f.parser.scanned, i + 1);
	}
	feeder_fini(&f);
	feeder_init(&f, true, &limits, false);
	feed(&f, C "1;", strlen(C "1;"));
	for (i = 3; i < 2000; i++) {
		feed(&f, "a", 1);
		assert_int_equal(f.last, H1_MORE);
		assert_int_equal(f.parser.scanned, i);
	}
	feeder_fini(&f);
}

/* --- the parser's own life ------------------------------------------------------------------------------ */

static void
test_life(void **state)
{
	struct h1_parser p;
	struct arena *arena = arena_new(256);
	struct str in = STR("\r"), none = STR_NONE;

	(void)state;
	h1_parser_init(&p, true, &limits);
	assert_true(h1_parser_is_idle(&p));
	assert_int_equal(h1_parser_eof(&p), H1_MORE);
	h1_parser_begin(&p, arena, false);
	assert_true(h1_parser_is_idle(&p));
	assert_int_equal(h1_parser_next(&p, &none), H1_MORE);
	assert_int_equal(h1_parser_eof(&p), H1_MORE);
	assert_int_equal(h1_parser_next(&p, &in), H1_MORE);
	assert_int_equal(in.len, 1);
	assert_false(h1_parser_is_idle(&p));
	/* The empty line before a request is not of it. */
	in = STR("\r\n");
	assert_int_equal(h1_parser_next(&p, &in), H1_MORE);
	assert_int_equal(in.len, 0);
	assert_true(h1_parser_is_idle(&p));
	assert_int_equal(h1_parser_eof(&p), H1_MORE);
	in = STR("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET");
	assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
	assert_true(str_eq(in, STR("GET")));
	assert_false(h1_parser_is_idle(&p));
	/* The end comes with no bytes too, once; then the parser rests. */
	assert_int_equal(h1_parser_next(&p, &none), H1_END);
	assert_true(h1_parser_is_idle(&p));
	assert_int_equal(h1_parser_next(&p, &in), H1_MORE);
	assert_int_equal(in.len, 3);
	assert_true(h1_parser_is_idle(&p));
	/* A head not read to its end may be followed by the next one. */
	h1_parser_begin(&p, arena, false);
	in = STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
	h1_parser_begin(&p, arena, false);
	assert_null(p.message);
	/* A failure is for ever. */
	in = STR("GET /\n");
	assert_int_equal(h1_parser_next(&p, &in), H1_FAIL);
	assert_int_equal(p.status, 400);
	assert_false(h1_parser_is_idle(&p));
	h1_parser_begin(&p, arena, false);
	in = STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(h1_parser_next(&p, &in), H1_FAIL);
	assert_int_equal(h1_parser_eof(&p), H1_FAIL);
	assert_string_equal(p.rule, "bare_lf");
	arena_free(arena);
}

static void
test_span_points_into_input(void **state)
{
	static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd";
	struct str in = { bytes, sizeof(bytes) - 1 }, none = STR_NONE;
	struct arena *arena = arena_new(256);
	struct h1_parser p;

	(void)state;
	h1_parser_init(&p, false, &limits);
	h1_parser_begin(&p, arena, false);
	assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
	/* The head was copied, the body is not. */
	assert_true(p.message->reason.p < bytes || p.message->reason.p > bytes + sizeof(bytes));
	in.len = 1;
	assert_int_equal(h1_parser_next(&p, &in), H1_BODY);
	assert_ptr_equal(p.span.p, bytes + sizeof(bytes) - 5);
	assert_int_equal(h1_parser_next(&p, &in), H1_MORE);
	in = str_make(bytes + sizeof(bytes) - 4, 3);
	assert_int_equal(h1_parser_next(&p, &in), H1_BODY);
	assert_int_equal(p.span.len, 3);
	assert_int_equal(h1_parser_next(&p, &none), H1_END);
	arena_free(arena);
}

/* What a failure leaves for the log. */
static void
test_partial(void **state)
{
	static const struct {
		struct str  bytes;
		const char *method, *target, *accept;	/* NULL: none */
	} rows[] = {
		{ STR("FOO /x HTTP/1.1\r\n"), "FOO", "/x", NULL },
		{ STR("CONNECT h:443 HTTP/1.1\r\n"), "CONNECT", "h:443", NULL },
		{ STR("GET /x HTTP/2.0\r\n"), "GET", "/x", NULL },
		{ STR("GET /x HTTP/1.1\r\nHost : h\r\n"), "GET", "/x", NULL },
		{ STR("GET /x HTTP/1.1\r\nHost: \x01"), "GET", "/x", NULL },
		{ STR("GET /x HTTP/1.1\r\n\r\n"), "GET", "/x", NULL },
		{ STR("GET /\xff HTTP/1.1\r\n"), "GET", "", NULL },
		{ STR("GET /\n"), NULL, NULL, NULL },
		{ STR("\x16\x03\x01"), NULL, NULL, NULL },
		{ STR(" / HTTP/1.1\r\n"), NULL, NULL, NULL },
		/* What kind of answer is wanted is looked for in all that is here, be it right or not. */
		{ STR("FOO /x HTTP/1.1\r\nA: b\r\nACCEPT: \t x/y \r\n"), "FOO", "/x", "x/y" },
		{ STR("GET /x HTTP/1.1\r\nAccept:x/y\r\n:\r\n\r\n"), "GET", "/x", "x/y" },
		{ STR("GET /\nAccept: x/y\n"), NULL, NULL, "x/y" },
		{ STR("GET /x HTTP/1.1\r\n:\r\nAccept: x/y"), "GET", "/x", NULL },
		{ STR("GET /x HTTP/1.1\r\n:\r\n\r\nAccept: x/y\r\n"), "GET", "/x", NULL },
	};
	struct arena *arena = arena_new(256);
	struct h1_parser p;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct str in = rows[i].bytes;

		h1_parser_init(&p, true, &limits);
		h1_parser_begin(&p, arena, false);
		assert_int_equal(h1_parser_next(&p, &in), H1_FAIL);
		assert_non_null(p.message);
		assert_int_equal(message_find(p.message, FIELD_ACCEPT) != NULL, rows[i].accept != NULL);
		if (rows[i].accept != NULL)
			assert_true(str_eq(message_value(p.message, FIELD_ACCEPT),
			    str_of(rows[i].accept)));
		assert_int_equal(p.message->method_name.len > 0, rows[i].method != NULL);
		if (rows[i].method == NULL)
			continue;
		assert_true(str_eq(p.message->method_name, str_of(rows[i].method)));
		assert_true(str_eq(p.message->target, str_of(rows[i].target)));
	}
	/* Judged as a whole, a head leaves its fields too. */
	h1_parser_init(&p, true, &limits);
	h1_parser_begin(&p, arena, false);
	i = 0;
	assert_int_equal(h1_parser_next(&p, &(struct str){ G "Accept: a\r\n\r\n", 29 }), H1_FAIL);
	assert_true(str_eq(message_value(p.message, FIELD_ACCEPT), STR("a")));
	arena_free(arena);
}

/* A caller whose exchange is over lets go of the message; its body is still read by the rules. */
static void
test_detached(void **state)
{
	struct str in = STR(C "1\r\na\r\n0\r\nX: y\r\n\r\n");
	struct arena *arena = arena_new(256);
	struct h1_parser p;

	(void)state;
	h1_parser_init(&p, true, &limits);
	h1_parser_begin(&p, arena, false);
	assert_int_equal(h1_parser_next(&p, &in), H1_HEAD);
	arena_free(arena);
	p.arena = NULL;
	p.message = NULL;
	assert_int_equal(h1_parser_next(&p, &in), H1_BODY);
	assert_int_equal(h1_parser_next(&p, &in), H1_END);
	assert_int_equal(in.len, 0);
}

/* --- any bytes, cut in any way ---------------------------------------------------------------------------- */

static uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Messages with a few bytes changed, added or taken away: however they are cut, the same transcript. */
static void
test_mutants(void **state)
{
	static const char *const seeds[] = {
		"GET /a?b=c HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		C "3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" GH "\r\n",
		P "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET http://h/ HTTP/1.1\r\n" H "\r\n",
	};
	static const char spice[] = "\r\n\r\n\t\0 :;,0aZ%#_\x7f\xff/";
	uint32_t random = 2463534242u;
	char bytes[512];
	int round;

	(void)state;
	for (round = 0; round < 6000; round++) {
		const char *seed = seeds[round % (int)COUNT(seeds)];
		size_t len = strlen(seed), n = 1 + next_random(&random) % 3;
		char *whole, *other;

		memcpy(bytes, seed, len);
		for (; n > 0; n--) {
			size_t at = next_random(&random) % len;
			char c = spice[next_random(&random) % (sizeof(spice) - 1)];
			unsigned what = next_random(&random) % 3;

			if (what == 0)
				bytes[at] = c;
			else if (what == 1)
				memmove(bytes + at, bytes + at + 1, --len - at);
			else {
				memmove(bytes + at + 1, bytes + at, len++ - at);
				bytes[at] = c;
			}
		}
		whole = transcript(str_make(bytes, len), &request, len, 1);
		other = transcript(str_make(bytes, len), &request, 0, 1);
		expect_same(str_make(bytes, len), whole, other, "mutant, byte by byte", (size_t)round);
		other = transcript(str_make(bytes, len), &request, next_random(&random) % len, 7);
		expect_same(str_make(bytes, len), whole, other, "mutant, in sevens", (size_t)round);
		/* llhttp has nothing to say that our rules did not say first, but for test_llhttp. */
		bytes[len] = '\0';
		if (strstr(whole, "llhttp") != NULL && strstr(bytes, "\t\r\n") == NULL)
			fail_msg("<<%s>> %s", bytes, whole);
		free(whole);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests), cmocka_unit_test(test_methods),
		cmocka_unit_test(test_good_responses), cmocka_unit_test(test_bad_framing),
		cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_llhttp),
		cmocka_unit_test(test_bad_hosts),
		cmocka_unit_test(test_bad_expect), cmocka_unit_test(test_bad_chunks),
		cmocka_unit_test(test_bad_responses), cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_linear),
		cmocka_unit_test(test_life), cmocka_unit_test(test_span_points_into_input),
		cmocka_unit_test(test_partial), cmocka_unit_test(test_detached),
		cmocka_unit_test(test_mutants),
	};

	return cmocka_run_group_tests_name("h1_parser", tests, NULL, NULL);
}
