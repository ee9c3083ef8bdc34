/* SPDX-License-Identifier: MIT */
/*
 * What is let in and passed on is one unambiguous message: any head that the parser takes is
 * forwarded under rules that copy the client's texts, written, and parsed again as its receiver
 * would.  It must be whole, say the same, and hold none of what ends at a hop.  The first byte of
 * the input says which direction, and what is known of the other side.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/config.h"
#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "http/message.h"
#include "policy/encode.h"
#include "policy/forward.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {	/* of the first byte */
	IS_RESPONSE = 1, IS_TRUSTED = 2, TO_HEAD = 4, TO_OLD = 8, KEEPS_UNDERSCORE = 16
};

static const struct h1_limits tight = { 32 * 1024, 16 * 1024, 200, false };
/* Who receives has no more to say about sizes: rules and our own fields add to them. */
static const struct h1_limits wide = { 1024 * 1024, 1024 * 1024, 2000, true };

static const char text[] =
    "listen: 80\n"
    "trusted_proxies: [10.0.0.0/8]\n"
    "upstreams: {up: {servers: [\"127.0.0.1:1\"]}}\n"
    "routes:\n"
    "  - path: /\n"
    "    upstream: up\n"
    "    compress: {types: [text/*, '*'], min_size: 0}\n"
    "    request_headers:\n"
    "      set: {X-A: \"$http_a$client_ip $request_uri\", Cookie: \"a=$http_cookie\"}\n"
    "      add: {X-B: \"${http_b}${query}x\", X-A: \"$method$scheme\"}\n"
    "      remove: [X-C]\n"
    "    response_headers:\n"
    "      set: {X-D: \"$host$path$authority\", Server: \"$status$server\"}\n"
    "      add: {X-E: \"$request_id$http_user_agent\"}\n";

static struct config *conf;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct report report;

	(void)argc;
	(void)argv;
	report_init(&report);
	conf = config_parse(STR(text), "file", &report);
	report_print(&report, stderr);
	check(conf != NULL);
	report_fini(&report);
	return 0;
}

/* The head at the front of the bytes; NULL when the parser takes none. */
static struct message *
parse(struct str bytes, bool is_request, bool to_head, const struct h1_limits *limits,
    struct arena *arena, size_t *len)
{
	struct h1_parser p;
	struct str in = bytes;

	h1_parser_init(&p, is_request, limits);
	h1_parser_begin(&p, arena, to_head);
	if (h1_parser_next(&p, &in) != H1_HEAD)
		return NULL;
	*len = bytes.len - in.len;
	return p.message;
}

/* Written and read again. */
static struct message *
pass(const struct message *out, bool to_head, struct arena *arena)
{
	size_t room = h1_head_size(out), n, len = 0;
	char *bytes = malloc(room);
	struct message *m;

	check(bytes != NULL);
	n = h1_write_head(out, bytes, room);
	check(n <= room);
	m = parse(str_make(bytes, n), out->is_request, to_head, &wide, arena, &len);
	if (m == NULL || len != n)
		fprintf(stderr, "%.*s", (int)n, bytes);
	check(m != NULL && len == n);
	free(bytes);
	return m;
}

static size_t
count(const struct message *m, const char *name)
{
	size_t i, n = 0;

	for (i = 0; i < m->n_fields; i++)
		n += str_eq_nocase(m->fields[i].name, str_of(name));
	return n;
}

/* What is for one hop alone, or for us. */
static void
check_hop(const struct message *m)
{
	static const char *const gone[] = { "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
		"Proxy-Authorization", "TE", "HTTP2-Settings", "X-C" };
	struct str connection = message_value(m, FIELD_CONNECTION);
	size_t i;

	for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		check(count(m, gone[i]) == 0 || (i == 6 && !m->is_request));
	check(count(m, "Connection") <= 1);
	check(connection.len == 0 || str_eq(connection, STR("upgrade")));
	check((count(m, "Upgrade") > 0) == (connection.len > 0));
	/* A server cannot choose it: it was not offered (origin.c). */
	check(!m->is_request || !field_list_has(message_value(m, FIELD_UPGRADE), STR("h2c")));
}

static void
forward_one_request(const struct message *m, unsigned how, struct arena *arena)
{
	struct forward_facts facts = { .config = conf, .route = &conf->routes[0], .request = m,
		.scheme = STR("http"), .local_port = 80, .server = STR("127.0.0.1:1") };
	struct message *out, *got;
	struct ip peer, client;
	char client_text[64];

	facts.peer_ip = (how & IS_TRUSTED) != 0 ? STR("10.1.2.3") : STR("192.0.2.1");
	check(ip_parse(facts.peer_ip, &peer));
	client = client_address(conf, &peer, m, &facts.peer_is_trusted);
	check(facts.peer_is_trusted == ((how & IS_TRUSTED) != 0));
	facts.client_ip = str_make(client_text, ip_format(&client, client_text, sizeof(client_text)));
	check(facts.client_ip.len > 0);
	facts.request_id = request_id_of(arena, m);
	out = forward_request(&facts, m, arena);
	got = pass(out, false, arena);
	check(encode_choose(conf->routes[0].compress, m) == ENCODING_IDENTITY ||
	    (m->minor == 1 && count(m, "Accept-Encoding") > 0));
	check(str_eq(got->method_name, m->method_name) && got->minor == 1);
	check(str_eq(got->path, m->path) && str_eq(got->query, m->query));
	check((got->query.p == NULL) == (m->query.p == NULL));
	check(got->framing == m->framing && got->length == m->length);
	check(m->authority.len == 0 || str_eq(got->host, m->host));
	check(got->expect_continue == m->expect_continue && got->upgrade == m->upgrade);
	check(count(got, "Host") == 1 && count(got, "X-Real-IP") == 1 &&
	    count(got, "X-Forwarded-For") == 1 && count(got, "X-Request-Id") == 1 &&
	    count(got, "Cookie") == 1 && count(got, "X-A") == 2);
	check_hop(got);
}

/* The same head for an encoded body: nothing of the plain one's is left, nothing is said twice. */
static void
encode_one(struct message *m, const struct message *request, bool to_head, struct arena *arena)
{
	enum encode_verdict verdict = encode_judge(conf->routes[0].compress, m);
	struct message *got;
	size_t i, varies = 0;

	if (verdict == ENCODE_NEVER)
		return;
	encode_vary(m, arena);
	if (m->status == 304)
		encode_not_modified(m, request, arena);
	if (verdict == ENCODE_MAY)
		encode_head(m, ENCODING_ZSTD, arena);
	got = pass(m, to_head, arena);
	for (i = 0; i < got->n_fields; i++)
		varies += got->fields[i].id == FIELD_VARY &&
		    (field_list_has(got->fields[i].value, STR("Accept-Encoding")) ||
		    field_list_has(got->fields[i].value, STR("*")));
	check(varies > 0 && got->framing == m->framing);
	if (verdict != ENCODE_MAY)
		return;
	check(count(got, "Content-Encoding") == 1 && count(got, "Accept-Ranges") == 0);
	check(got->framing != FRAMING_COUNTED && !got->has_length);
	check(message_value(got, FIELD_ETAG).len == 0 ||
	    str_starts(message_value(got, FIELD_ETAG), STR("W/\"")));
}

static void
forward_one_response(const struct message *m, unsigned how, struct arena *arena)
{
	bool to_head = (how & TO_HEAD) != 0, to_old = (how & TO_OLD) != 0;
	char line[128];
	struct forward_facts facts = { .config = conf, .route = &conf->routes[0],
		.peer_ip = STR("192.0.2.1"), .client_ip = STR("192.0.2.1"), .scheme = STR("http"),
		.local_port = 80, .server = STR("127.0.0.1:1"), .status = m->status };
	struct message *out, *got;
	size_t len;
	int n;

	n = snprintf(line, sizeof(line), "%s /x?y HTTP/1.%d\r\nHost: a\r\nUser-Agent: b\r\n\r\n",
	    to_head ? "HEAD" : "GET", !to_old);
	facts.request = parse(str_make(line, (size_t)n), true, false, &tight, arena, &len);
	check(facts.request != NULL);
	facts.request_id = request_id_of(arena, facts.request);
	out = forward_response(&facts, m, arena);
	check(!to_old || out->framing != FRAMING_CHUNKED);
	got = pass(out, to_head, arena);
	check(got->status == m->status && str_eq(got->reason, out->reason));
	check(got->framing == out->framing);
	check(got->framing != FRAMING_COUNTED || got->length == m->length);
	check(count(got, "Date") <= 1 || count(m, "Date") == count(got, "Date"));
	check(m->status < 200 || (count(got, "X-D") == 1 && count(got, "Server") == 1));
	check_hop(got);
	if (m->status >= 200)
		encode_one(out, facts.request, to_head, arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h1_limits limits = tight;
	struct arena *arena;
	struct message *m;
	size_t len;

	if (size < 1)
		return 0;
	limits.keep_underscore = (data[0] & KEEPS_UNDERSCORE) != 0;
	arena = arena_new(4096);
	m = parse(str_make((const char *)data + 1, size - 1), (data[0] & IS_RESPONSE) == 0,
	    (data[0] & TO_HEAD) != 0, &limits, arena, &len);
	if (m != NULL && m->is_request)
		forward_one_request(m, data[0], arena);
	else if (m != NULL)
		forward_one_response(m, data[0], arena);
	arena_free(arena);
	return 0;
}
