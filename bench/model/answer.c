/* SPDX-License-Identifier: MIT */
/*
 * Completions: a question waits for a lane, then its tokens are computed one by one, at the pace of
 * the settings.  What is said is words that follow from the question alone.
 */
#include "model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKENS_MAX = 8192, HINTS = 6, HINT_SIZE = 24 };

struct job {
	TAILQ_ENTRY(job) entry;
	struct client   *client;	/* NULL: it has left, and the answer is computed for nobody */
	bool             is_running, is_stream, has_usage, has_limit;
	unsigned         n_tokens, done, cut_at;	/* cut_at 0: not at all */
	unsigned         ttft, rate;	/* as they were at the start */
	unsigned         prompt_tokens;
	int64_t          started;
	time_t           created;
	uint64_t         number, seed;
	unsigned         sentence_left;
	char             hints[HINTS][HINT_SIZE];	/* words of the question */
	unsigned         n_hints;
	struct event    *timer;
	struct evbuffer *text;		/* of an answer in one piece */
};

TAILQ_HEAD(jobs, job);
static struct jobs waiting = TAILQ_HEAD_INITIALIZER(waiting);
static struct jobs running = TAILQ_HEAD_INITIALIZER(running);

static const char *const words[] = {
	"water", "a", "river", "the", "small", "of", "stone", "with", "light", "and", "slow", "path",
	"is", "careful", "reader", "in", "model", "from", "answer", "to", "quiet", "question", "as",
	"memory", "by", "simple", "number", "over", "morning", "between", "measure", "when", "open",
	"window", "because", "engine", "or", "balance", "near", "garden", "under", "first", "token",
	"then", "second", "voice", "without", "hurry", "learns", "often", "city", "along", "keeps",
	"bridge", "after", "patient", "turns", "into", "steady", "stream", "until", "evening", "holds",
	"every",
};
enum { N_WORDS = sizeof(words) / sizeof(words[0]) };

/* --- the text ------------------------------------------------------------------------------------ */

static uint64_t
next_random(struct job *j)
{
	j->seed ^= j->seed << 13;
	j->seed ^= j->seed >> 7;
	j->seed ^= j->seed << 17;
	return j->seed;
}

/* The seed and a few words from the question. */
static void
think(struct job *j, const char *question, size_t n)
{
	uint64_t hash = 14695981039346656037u;
	size_t i, start;

	for (i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)question[i]) * 1099511628211u;
	j->seed = hash | 1;
	for (i = 0; i < n && j->n_hints < HINTS; i++) {
		start = i;
		while (i < n && isalpha((unsigned char)question[i]) != 0)
			i++;
		if (i - start < 4 || i - start >= HINT_SIZE)
			continue;
		memcpy(j->hints[j->n_hints++], question + start, i - start);
	}
}

/* The next token into buf, with the space before it. */
static void
next_token(struct job *j, char *buf, size_t size)
{
	uint64_t r = next_random(j) >> 8;
	bool is_start = j->sentence_left == 0, is_end;
	const char *w;
	int at = j->done == 0 ? 0 : 1;

	w = j->n_hints > 0 && r % 5 == 0 ? j->hints[r / 5 % j->n_hints] : words[r / 5 % N_WORDS];
	if (is_start)
		j->sentence_left = 6 + (unsigned)(r / 1024 % 7);
	is_end = --j->sentence_left == 0 || (!j->has_limit && j->done + 1 == j->n_tokens);
	snprintf(buf, size, "%s%s%s", at == 0 ? "" : " ", w, is_end ? "." : "");
	if (is_start)
		buf[at] = (char)toupper((unsigned char)buf[at]);
}

/* --- jobs ---------------------------------------------------------------------------------------- */

static void
job_free(struct job *j)
{
	if (j->is_running) {
		TAILQ_REMOVE(&running, j, entry);
		model.stats.in_flight--;
	} else {
		TAILQ_REMOVE(&waiting, j, entry);
		model.stats.waiting--;
	}
	if (j->timer != NULL)
		event_free(j->timer);
	if (j->text != NULL)
		evbuffer_free(j->text);
	free(j);
}

void
answer_free_all(void)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&running)) != NULL || (j = TAILQ_FIRST(&waiting)) != NULL)
		job_free(j);
}

void
answer_left(struct job *j)
{
	model.stats.abandoned++;
	j->client->job = NULL;
	j->client = NULL;
	if (model.set.on_leave == LEAVE_FINISH && model.set.hang == 0)
		return;
	job_free(j);
	answer_start_waiting();
}

/* When the token is done, in us. */
static int64_t
due(const struct job *j, unsigned token)
{
	int64_t at = j->started + (int64_t)j->ttft * 1000;

	return j->rate == 0 ? at : at + (int64_t)token * 1000000 / j->rate;
}

static void
set_timer(struct job *j, int64_t at)
{
	int64_t us = at - now_us();
	struct timeval tv = { 0, 0 };

	if (us > 0) {
		tv.tv_sec = us / 1000000;
		tv.tv_usec = us % 1000000;
	}
	event_add(j->timer, &tv);
}

/* One event of a stream; delta is what stands in its braces, usage follows only the last. */
static void
put_chunk(struct job *j, struct evbuffer *out, const char *delta, const char *finish)
{
	evbuffer_add_printf(out, "data: {\"id\":\"chatcmpl-%s-%llu\",\"object\":"
	    "\"chat.completion.chunk\",\"created\":%lld,\"model\":\"" MODEL_ID "\",\"choices\":"
	    "[{\"index\":0,\"delta\":{%s},\"finish_reason\":%s}]}\n\n", model.set.name,
	    (unsigned long long)j->number, (long long)j->created, delta, finish);
}

static void
put_usage(struct job *j, struct evbuffer *out)
{
	evbuffer_add_printf(out, "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,"
	    "\"total_tokens\":%u}", j->prompt_tokens, j->done, j->prompt_tokens + j->done);
}

static void
compute_token(struct job *j)
{
	struct evbuffer *out;
	char token[64], delta[96];

	next_token(j, token, sizeof(token));
	model.stats.tokens++;
	if (j->client == NULL) {
		model.stats.tokens_for_nobody++;
	} else if (!j->is_stream) {
		evbuffer_add(j->text, token, strlen(token));
	} else {
		out = evbuffer_new();
		if (j->done == 0) {
			reply_begin(j->client, 200, "text/event-stream", -1,
			    "Cache-Control: no-cache\r\n");
			put_chunk(j, out, "\"role\":\"assistant\",\"content\":\"\"", "null");
		}
		snprintf(delta, sizeof(delta), "\"content\":\"%s\"", token);
		put_chunk(j, out, delta, "null");
		reply_data(j->client, out);
		evbuffer_free(out);
	}
	j->done++;
}

static void
send_end(struct job *j, struct client *c)
{
	const char *finish = j->has_limit ? "\"length\"" : "\"stop\"";
	struct evbuffer *out = evbuffer_new();

	if (j->is_stream) {
		put_chunk(j, out, "", finish);
		if (j->has_usage) {
			evbuffer_add_printf(out, "data: {\"id\":\"chatcmpl-%s-%llu\",\"object\":"
			    "\"chat.completion.chunk\",\"created\":%lld,\"model\":\"" MODEL_ID "\","
			    "\"choices\":[],", model.set.name, (unsigned long long)j->number,
			    (long long)j->created);
			put_usage(j, out);
			evbuffer_add_printf(out, "}\n\n");
		}
		evbuffer_add_printf(out, "data: [DONE]\n\n");
		reply_data(c, out);
		reply_end(c);
	} else {
		evbuffer_add_printf(out, "{\"id\":\"chatcmpl-%s-%llu\",\"object\":\"chat.completion\","
		    "\"created\":%lld,\"model\":\"" MODEL_ID "\",\"choices\":[{\"index\":0,\"message\":"
		    "{\"role\":\"assistant\",\"content\":\"", model.set.name,
		    (unsigned long long)j->number, (long long)j->created);
		evbuffer_add_buffer(out, j->text);
		evbuffer_add_printf(out, "\"},\"finish_reason\":%s}],", finish);
		put_usage(j, out);
		evbuffer_add_printf(out, "}\n");
		reply(c, 200, "application/json", out, NULL);
	}
	evbuffer_free(out);
}

/* The fault: the connection ends in the middle of the answer. */
static void
cut(struct job *j)
{
	struct client *c = j->client;

	model.stats.failed++;
	c->job = NULL;
	j->client = NULL;
	client_cut(c, model.set.die_how);
}

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;
	struct client *c = j->client;
	int64_t now = now_us();

	(void)fd;
	(void)what;
	while (j->done < j->n_tokens && due(j, j->done) <= now + 500) {
		compute_token(j);
		if (j->client != NULL && j->done == j->cut_at) {
			cut(j);
			job_free(j);
			answer_start_waiting();
			return;
		}
	}
	if (j->done < j->n_tokens) {
		set_timer(j, due(j, j->done));
		return;
	}
	if (c != NULL) {
		model.stats.answered++;
		c->job = NULL;
		send_end(j, c);
	}
	job_free(j);
	answer_start_waiting();
}

static void
start(struct job *j)
{
	TAILQ_REMOVE(&waiting, j, entry);
	TAILQ_INSERT_TAIL(&running, j, entry);
	model.stats.waiting--;
	model.stats.in_flight++;
	j->is_running = true;
	j->ttft = model.set.ttft;
	j->rate = model.set.rate;
	j->started = now_us();
	if (j->is_stream && model.set.die_mid_stream > 0 && j->client != NULL) {
		model.set.die_mid_stream--;
		j->cut_at = model.set.die_after < j->n_tokens ? model.set.die_after : j->n_tokens;
	}
	j->timer = evtimer_new(model.base, on_due, j);
	set_timer(j, due(j, 0));
}

void
answer_start_waiting(void)
{
	struct job *j;

	while (model.set.hang == 0 && model.stats.in_flight < model.set.lanes &&
	    (j = TAILQ_FIRST(&waiting)) != NULL)
		start(j);
}

/* --- the question -------------------------------------------------------------------------------- */

/* The text of a content: a string, or a list of parts with a text each.  To be freed; may be NULL. */
static char *
content_text(const struct json *content, size_t *n)
{
	struct json part = { NULL, NULL }, text;

	*n = 0;
	if (json_kind(content) == '"')
		return json_string(content, n);
	while (json_kind(content) == '[' && json_next(content, &part))
		if (json_member(&part, "text", &text) && json_kind(&text) == '"')
			return json_string(&text, n);
	return NULL;
}

/* NULL, or what is wrong with the messages. */
static const char *
read_messages(struct job *j, const struct json *root)
{
	struct json messages, message = { NULL, NULL }, role, content, question = { NULL, NULL };
	char *text;
	size_t n = 0;

	if (!json_member(root, "messages", &messages) || json_kind(&messages) != '[')
		return "messages: a list of messages is required";
	while (json_next(&messages, &message)) {
		if (!json_member(&message, "role", &role) || json_kind(&role) != '"' ||
		    !json_member(&message, "content", &content))
			return "messages: each needs a role and a content";
		j->prompt_tokens += 4 + (unsigned)((content.end - content.p) / 4);
		if (question.p == NULL || (role.end - role.p == 6 && memcmp(role.p, "\"user\"", 6) == 0))
			question = content;
	}
	if (question.p == NULL)
		return "messages: the list is empty";
	text = content_text(&question, &n);
	think(j, text == NULL ? "" : text, n);
	free(text);
	return NULL;
}

/* NULL, or what is wrong with the request. */
static const char *
read_question(struct job *j, struct evbuffer *body)
{
	size_t n = evbuffer_get_length(body);
	const char *text = (const char *)evbuffer_pullup(body, -1);
	struct json root, v, usage;
	uint64_t limit;

	if (text == NULL || !json_parse(text, n, &root) || json_kind(&root) != '{')
		return "the body is not a JSON object";
	j->is_stream = json_member(&root, "stream", &v) && json_kind(&v) == 't';
	j->has_usage = json_member(&root, "stream_options", &v) &&
	    json_member(&v, "include_usage", &usage) && json_kind(&usage) == 't';
	j->n_tokens = model.set.tokens;
	if ((json_member(&root, "max_completion_tokens", &v) || json_member(&root, "max_tokens", &v)) &&
	    json_kind(&v) != 'n') {
		if (!json_unsigned(&v, &limit) || limit == 0)
			return "max_tokens: a number from 1";
		j->has_limit = true;
		j->n_tokens = limit < TOKENS_MAX ? (unsigned)limit : TOKENS_MAX;
	}
	return read_messages(j, &root);
}

void
answer_ask(struct client *c)
{
	static uint64_t number;
	struct job *j = xalloc(sizeof(*j));
	const char *wrong;

	model.stats.asked++;
	wrong = read_question(j, c->req.body);
	evbuffer_drain(c->req.body, evbuffer_get_length(c->req.body));
	if (wrong != NULL) {
		free(j);
		model.stats.failed++;
		reply_error(c, 400, wrong);
		return;
	}
	j->number = ++number;
	j->created = time(NULL);
	j->client = c;
	c->job = j;
	if (!j->is_stream && (j->text = evbuffer_new()) == NULL)
		abort();
	TAILQ_INSERT_TAIL(&waiting, j, entry);
	model.stats.waiting++;
	answer_start_waiting();
}
