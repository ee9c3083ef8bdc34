/* SPDX-License-Identifier: MIT */
/*
 * What a cache key costs: microseconds of CPU for each, the best of several rounds.  Bodies of chats as
 * they come, of a megabyte, and of a megabyte made to be slow.  "make bench-micro" runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/log.h"
#include "cache/cache_key.h"
#include "config/config.h"
#include "http/h1_parser.h"

enum { MEGABYTE = 1024 * 1024, ROUNDS = 9 };

static const char chat_head[] = "{\"model\":\"qwen2.5-0.5b-instruct\",\"messages\":[{\"role\":\"system\","
    "\"content\":\"You are a helpful assistant.\"},{\"role\":\"user\",\"content\":\"";
static const char chat_tail[] = "\"}],\"temperature\":0.7,\"top_p\":0.95,\"max_tokens\":512,\"stream\":true,"
    "\"stream_options\":{\"include_usage\":true},\"user\":\"u-1\"}";

static struct str
repeat(const char *head, const char *unit, const char *tail, size_t size)
{
	size_t len = strlen(unit), n = strlen(head);
	char *text = malloc(size + len + strlen(tail) + 1);

	check(text != NULL);
	memcpy(text, head, n);
	while (n + len + strlen(tail) <= size) {
		memcpy(text + n, unit, len);
		n += len;
	}
	memcpy(text + n, tail, strlen(tail));
	return str_make(text, n + strlen(tail));
}

/* Objects of as many members as are taken, names alike for long, each object in falling order. */
static struct str
members(void)
{
	char *text = malloc(MEGABYTE);
	size_t n = 0, i;

	check(text != NULL);
	text[n++] = '[';
	for (i = 0; i < 16384; i++)
		n += (size_t)snprintf(text + n, 64, "%s\"name-of-a-member-%05zu\":[1,2,3]%s",
		    i % 4096 == 0 ? "{" : "", 4096 - i % 4096, i % 4096 == 4095 ? "}," : ",");
	n += (size_t)snprintf(text + n, 64, "null]");
	return str_make(text, n);
}

/* A long string in seven objects, each of which has to be put in order. */
static struct str
nested(void)
{
	return repeat("{\"b\":{\"b\":{\"b\":{\"b\":{\"b\":{\"b\":{\"b\":\"", "x", "\",\"a\":1},\"a\":1},"
	    "\"a\":1},\"a\":1},\"a\":1},\"a\":1},\"a\":1}", MEGABYTE);
}

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
measure(const struct cache_key_facts *facts, const char *name, struct str body)
{
	size_t times = body.len < 100000 ? 20000 : 20, i;
	double best = 0, took;
	enum cache_why why = CACHE_WHY_NONE;
	struct cache_key key;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		took = cpu_us();
		for (i = 0; i < times; i++)
			why = cache_key_make(facts, body, &key);
		took = (cpu_us() - took) / (double)times;
		if (round == 0 || took < best)
			best = took;
	}
	printf("%-44s %8zu bytes %9.2f us  %s\n", name, body.len, best, cache_why_word(why).p);
}

static struct message *
parse(struct arena *arena, const char *method)
{
	static const struct h1_limits limits = { 65536, 16384, 200, false };
	struct str head = arena_printf(arena, "%s /v1/chat/completions HTTP/1.1\r\n"
	    "Host: chat.example.org\r\nUser-Agent: OpenAI/JS 4.104.0\r\nAccept: application/json\r\n"
	    "Content-Type: application/json\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n"
	    "X-Stainless-Lang: js\r\nX-Stainless-Package-Version: 4.104.0\r\nX-Stainless-OS: Linux\r\n"
	    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: node\r\nX-Stainless-Runtime-Version: v18.19.0\r\n"
	    "X-Stainless-Retry-Count: 0\r\nX-Stainless-Timeout: 600\r\nAccept-Language: *\r\n"
	    "Sec-Fetch-Mode: cors\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n%s\r\n", method,
	    strcmp(method, "GET") == 0 ? "" : "Content-Length: 2000\r\n");
	struct h1_parser p;

	h1_parser_init(&p, true, &limits);
	h1_parser_begin(&p, arena, false);
	check(h1_parser_next(&p, &head) == H1_HEAD);
	return p.message;
}

int
main(void)
{
	struct arena *arena = arena_new(4096);
	struct report report;
	struct config *conf;
	struct cache_key_facts facts = { .scheme = STR("http"), .client_ip = STR("192.0.2.1"),
		.peer_ip = STR("192.0.2.1"), .local_port = 80 };

	report_init(&report);
	conf = config_parse(STR("listen: 80\nupstreams: {qwen: {servers: [127.0.0.1:1]}}\n"
	    "caches: {answers: {methods: [GET, HEAD, POST]}}\n"
	    "routes: [{path: /, upstream: qwen, cache: answers}]\n"), "bench", &report);
	check(conf != NULL);
	cache_key_init();
	facts.route = &conf->routes[0];
	facts.request = parse(arena, "GET");
	measure(&facts, "GET", STR_NONE);
	facts.request = parse(arena, "POST");
	measure(&facts, "chat, 2 KB", repeat(chat_head, "Tell me a \\\"story\\\" of\\nrivers and hills. ",
	    chat_tail, 2048));
	measure(&facts, "chat, 2 KB, Chinese", repeat(chat_head, "河流与山脉之间的故事。", chat_tail, 2048));
	measure(&facts, "chat, 1 MB", repeat(chat_head, "Tell me a \\\"story\\\" of\\nrivers and hills. ",
	    chat_tail, MEGABYTE));
	measure(&facts, "chat, 1 MB, Chinese", repeat(chat_head, "河流与山脉之间的故事。", chat_tail, MEGABYTE));
	measure(&facts, "chat, 1 MB, Chinese as \\u", repeat(chat_head, "\\u6cb3\\u6d41\\u4e0e", chat_tail,
	    MEGABYTE));
	measure(&facts, "chat, 1 MB, thousands of messages", repeat("{\"messages\":[",
	    "{\"role\":\"user\",\"content\":\"What is the longest river of all on this little earth of "
	    "ours, and how long is it in kilometres, in miles and in days of walking?\"},", "{}]}", MEGABYTE));
	measure(&facts, "tokens, 1 MB", repeat("[", "151643,", "1]", MEGABYTE));
	measure(&facts, "as slow as can be: escapes", repeat("\"", "\\\"", "\"", MEGABYTE));
	measure(&facts, "as slow as can be: numbers", repeat("[", "-0.5,", "1]", MEGABYTE));
	measure(&facts, "as slow as can be: names to sort", members());
	measure(&facts, "as slow as can be: nested, out of order", nested());
	measure(&facts, "as slow as can be: empty objects", repeat("[", "{},", "1]", MEGABYTE));
	cache_key_fini();
	config_unref(conf);
	report_fini(&report);
	arena_free(arena);
	return 0;
}
