/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 as a server: one request at a time on a connection, bounded heads and bodies.
 *
 * Invariant: the next request is looked at only after the last answer has drained, so that a client
 * that sends and does not read holds up nobody but itself.
 */
#include "model.h"

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
	HEAD_MAX = 64 << 10,
	BODY_MAX = 8 << 20,
	CHUNK_LINE_MAX = 1024,
	READ_AHEAD = 128 << 10,		/* more than a head */
	RECEIVE_MS = 60000,		/* between two parts of a request */
	SEND_S = 60,			/* nothing could be written */
	LINGER_MS = 2000
};

enum { BODY_COUNTED, BODY_CHUNK_SIZE, BODY_CHUNK_DATA, BODY_CHUNK_END, BODY_TRAILER };
enum step { STEP_ON, STEP_WAIT };

static TAILQ_HEAD(, client) clients = TAILQ_HEAD_INITIALIZER(clients);

static void on_read(struct bufferevent *, void *);
static void on_write(struct bufferevent *, void *);
static void on_event(struct bufferevent *, short, void *);
static void take_input(struct client *);

/* --- connections --------------------------------------------------------------------------------- */

void
client_patience(struct client *c, unsigned ms)
{
	struct timeval receive = { ms / 1000, (ms % 1000) * 1000 }, send = { SEND_S, 0 };

	bufferevent_set_timeouts(c->bev, ms > 0 ? &receive : NULL, &send);
}

void
client_new(evutil_socket_t fd)
{
	struct client *c = xalloc(sizeof(*c));
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->bev = bufferevent_socket_new(model.base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->req.body = evbuffer_new();
	if (c->bev == NULL || c->req.body == NULL)
		abort();
	TAILQ_INSERT_TAIL(&clients, c, entry);
	model.stats.connections++;
	model.stats.connections_open++;
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, READ_AHEAD);
	client_patience(c, model.set.keepalive);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void
request_clear(struct request *r)
{
	free(r->head);
	free(r->line);
	r->head = r->line = NULL;
	r->n_fields = 0;
	evbuffer_drain(r->body, evbuffer_get_length(r->body));
}

void
client_free(struct client *c)
{
	if (c->job != NULL)
		answer_left(c->job);
	TAILQ_REMOVE(&clients, c, entry);
	model.stats.connections_open--;
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->message != NULL)
		evbuffer_free(c->message);
	request_clear(&c->req);
	evbuffer_free(c->req.body);
	bufferevent_free(c->bev);
	free(c);
}

void
clients_free(void)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&clients)) != NULL)
		client_free(c);
}

/* What was written goes out; on_write() comes when it has. */
static void
flush(struct client *c)
{
	c->pump = NULL;
	c->state = STATE_FLUSH;
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		bufferevent_trigger(c->bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

void
client_cut(struct client *c, enum die_how how)
{
	c->keep_alive = false;
	c->end = how;
	flush(c);
}

/* Closing with input unread would reset the connection and lose the answer. */
static void
linger(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->state = STATE_LINGER;
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	client_patience(c, LINGER_MS);
	bufferevent_enable(c->bev, EV_READ);	/* off after an end that came early */
	evbuffer_drain(in, evbuffer_get_length(in));
}

static void
reset(struct client *c)
{
	struct linger at_once = { 1, 0 };

	setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	client_free(c);
}

static void
end(struct client *c)
{
	if (c->end == DIE_CLOSE) {
		linger(c);
	} else if (c->end == DIE_RESET) {
		reset(c);
	} else {
		model.exit_code = 1;
		event_base_loopbreak(model.base);
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	take_input(arg);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	(void)bev;
	if (c->pump != NULL) {
		c->pump(c);
	} else if (c->state == STATE_FLUSH && !c->keep_alive) {
		end(c);
	} else if (c->state == STATE_FLUSH) {
		request_clear(&c->req);
		c->state = STATE_HEAD;
		client_patience(c, model.set.keepalive);
		take_input(c);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	(void)bev;
	/* A peer that has said all it wanted may still read what is on its way. */
	if ((what & BEV_EVENT_EOF) != 0 && (c->state == STATE_FLUSH || c->pump != NULL))
		c->keep_alive = false;
	else
		client_free(c);
}

/* --- reading ------------------------------------------------------------------------------------- */

const char *
request_field(const struct request *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->n_fields; i++)
		if (strcasecmp(r->fields[i].name, name) == 0)
			return r->fields[i].value;
	return NULL;
}

bool
request_has(const struct request *r, const char *name, const char *token)
{
	size_t i, n, want = strlen(token);
	const char *v;

	for (i = 0; i < r->n_fields; i++) {
		if (strcasecmp(r->fields[i].name, name) != 0)
			continue;
		for (v = r->fields[i].value; *v != '\0'; v += n) {
			v += strspn(v, ", \t");
			n = strcspn(v, ",");
			if (strncasecmp(v, token, want) == 0 && n >= want &&
			    want + strspn(v + want, " \t") == n)
				return true;
		}
	}
	return false;
}

static char *
percent_decode(char *s)
{
	char two[3] = { 0 }, *from, *to;

	for (from = to = s; *from != '\0'; to++)
		if (*from == '%' && isxdigit((unsigned char)from[1]) &&
		    isxdigit((unsigned char)from[2])) {
			memcpy(two, from + 1, 2);
			*to = (char)strtoul(two, NULL, 16);
			from += 3;
		} else {
			*to = *from == '+' ? ' ' : *from;
			from++;
		}
	*to = '\0';
	return s;
}

bool
query_next(char **rest, char **key, char **value)
{
	char *part = strsep(rest, "&");

	if (part == NULL)
		return false;
	*key = strsep(&part, "=");
	*value = part == NULL ? *key + strlen(*key) : part;
	percent_decode(*key);
	percent_decode(*value);
	return true;
}

uint64_t
query_number(const struct request *r, const char *key, uint64_t def, uint64_t max)
{
	char *copy = strdup(r->query), *rest = copy, *k, *v;
	uint64_t n = def;

	while (copy != NULL && query_next(&rest, &k, &v))
		if (strcmp(k, key) == 0 && isdigit((unsigned char)*v))
			n = strtoull(v, NULL, 10);
	free(copy);
	return n < max ? n : max;
}

/* Answers what cannot be understood; the connection ends. */
static enum step
refuse(struct client *c, int status, const char *why)
{
	c->keep_alive = false;
	c->is_head = false;
	c->state = STATE_ANSWER;
	reply_error(c, status, why);
	return STEP_WAIT;
}

/* "METHOD TARGET HTTP/1.x"; also path and query. */
static bool
parse_line(struct request *r, char *line)
{
	char *target, *version, *path, *query;

	r->method = strsep(&line, " ");
	target = strsep(&line, " ");
	version = line;
	if (target == NULL || version == NULL || *r->method == '\0' || *target == '\0' ||
	    strspn(r->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != strlen(r->method) ||
	    strncmp(version, "HTTP/1.", 7) != 0 || (version[7] != '0' && version[7] != '1') ||
	    version[8] != '\0')
		return false;
	r->minor = (unsigned)(version[7] - '0');
	r->target = target;
	r->line = path = strdup(target);
	if (path == NULL)
		abort();
	if (strncasecmp(path, "http://", 7) == 0)
		path += 7 + strcspn(path + 7, "/?");
	query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	r->path = *path == '\0' ? "/" : path;
	r->query = query == NULL ? "" : query;
	return true;
}

/* The head without its empty line; cut into pieces in place. */
static bool
parse_head(struct request *r)
{
	char *rest = r->head, *line, *name, *end;

	line = strsep(&rest, "\n");
	line[strcspn(line, "\r")] = '\0';
	if (!parse_line(r, line))
		return false;
	while ((line = strsep(&rest, "\n")) != NULL) {
		end = line + strlen(line);
		if (end > line && end[-1] == '\r')
			*--end = '\0';
		if (end == line && rest == NULL)
			break;
		name = strsep(&line, ":");
		if (line == NULL || *name == '\0' || r->n_fields == FIELDS_MAX ||
		    strcspn(name, " \t\r") != strlen(name))
			return false;
		line += strspn(line, " \t");
		while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
			*--end = '\0';
		r->fields[r->n_fields].name = name;
		r->fields[r->n_fields++].value = line;
	}
	return true;
}

/* 0, or the status that says what is wrong with the fields that frame the body. */
static int
frame_body(struct client *c)
{
	struct request *r = &c->req;
	const char *length = NULL, *coding = NULL;
	size_t i;

	for (i = 0; i < r->n_fields; i++)
		if (strcasecmp(r->fields[i].name, "Content-Length") == 0) {
			if (length != NULL && strcmp(length, r->fields[i].value) != 0)
				return 400;
			length = r->fields[i].value;
		} else if (strcasecmp(r->fields[i].name, "Transfer-Encoding") == 0) {
			if (coding != NULL)
				return 400;
			coding = r->fields[i].value;
		}
	c->body_state = BODY_COUNTED;
	c->body_left = 0;
	if (coding != NULL) {
		if (length != NULL || r->minor == 0)
			return 400;
		c->body_state = BODY_CHUNK_SIZE;
		return strcasecmp(coding, "chunked") == 0 ? 0 : 501;
	}
	if (length == NULL)
		return 0;
	if (*length == '\0' || strspn(length, "0123456789") != strlen(length))
		return 400;
	c->body_left = strtoull(length, NULL, 10);
	return c->body_left > BODY_MAX ? 413 : 0;
}

static enum step
take_head(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct request *r = &c->req;
	struct evbuffer_ptr end;
	unsigned char *start;
	int status;

	while (evbuffer_get_length(in) >= 2 && (start = evbuffer_pullup(in, 2)) != NULL &&
	    start[0] == '\r' && start[1] == '\n')
		evbuffer_drain(in, 2);
	end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	if (end.pos > HEAD_MAX || (end.pos < 0 && evbuffer_get_length(in) > HEAD_MAX))
		return refuse(c, 431, "the head is too large");
	if (end.pos < 0) {
		if (evbuffer_get_length(in) > 0)
			client_patience(c, RECEIVE_MS);
		return STEP_WAIT;
	}
	r->head = xalloc((size_t)end.pos + 1);
	evbuffer_remove(in, r->head, (size_t)end.pos);
	evbuffer_drain(in, 4);
	if (strlen(r->head) != (size_t)end.pos || !parse_head(r))
		return refuse(c, 400, "the head is malformed");
	c->is_head = strcmp(r->method, "HEAD") == 0;
	c->keep_alive = r->minor >= 1 ? !request_has(r, "Connection", "close")
	    : request_has(r, "Connection", "keep-alive");
	status = frame_body(c);
	if (status != 0)
		return refuse(c, status, "the body is too large or its length unclear");
	c->state = STATE_BODY;
	client_patience(c, RECEIVE_MS);
	if (r->minor >= 1 && (c->body_left > 0 || c->body_state != BODY_COUNTED) &&
	    request_has(r, "Expect", "100-continue") && evbuffer_get_length(in) == 0)
		bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return STEP_ON;
}

/* Whole: off to be answered.  From now on only the client's leaving is of interest. */
static enum step
body_done(struct client *c)
{
	c->state = STATE_ANSWER;
	client_patience(c, 0);
	route_request(c);
	return STEP_WAIT;
}

/* Moves what is there of body_left; true when none is left. */
static bool
take_counted(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t n = evbuffer_get_length(in);

	if (n > c->body_left)
		n = (size_t)c->body_left;
	evbuffer_remove_buffer(in, c->req.body, n);
	c->body_left -= n;
	return c->body_left == 0;
}

static enum step
take_chunk_line(struct client *c, const char *line)
{
	char *end;

	switch (c->body_state) {
	case BODY_CHUNK_SIZE:
		if (!isxdigit((unsigned char)*line) || strspn(line, "0123456789abcdefABCDEF") > 8)
			return refuse(c, 400, "a chunk has no size");
		c->body_left = strtoull(line, &end, 16);
		if (strchr("; \t", *end) == NULL)
			return refuse(c, 400, "a chunk's size is no number");
		if (c->body_left + evbuffer_get_length(c->req.body) > BODY_MAX)
			return refuse(c, 413, "the body is too large");
		c->body_state = c->body_left > 0 ? BODY_CHUNK_DATA : BODY_TRAILER;
		return STEP_ON;
	case BODY_CHUNK_END:
		if (*line != '\0')
			return refuse(c, 400, "a chunk does not end where it should");
		c->body_state = BODY_CHUNK_SIZE;
		return STEP_ON;
	default:
		return *line == '\0' ? body_done(c) : STEP_ON;
	}
}

static enum step
take_body(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	enum step step;
	char *line;

	if (c->body_state == BODY_COUNTED)
		return take_counted(c) ? body_done(c) : STEP_WAIT;
	if (c->body_state == BODY_CHUNK_DATA) {
		if (!take_counted(c))
			return STEP_WAIT;
		c->body_state = BODY_CHUNK_END;
	}
	line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF_STRICT);
	if (line == NULL)
		return evbuffer_get_length(in) <= CHUNK_LINE_MAX ? STEP_WAIT
		    : refuse(c, 400, "a line of the chunked body is too long");
	step = take_chunk_line(c, line);
	free(line);
	return step;
}

static void
take_input(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	enum step step;

	do {
		step = STEP_WAIT;
		if (c->state == STATE_HEAD)
			step = take_head(c);
		else if (c->state == STATE_BODY)
			step = take_body(c);
		else if (c->state == STATE_LINGER)
			evbuffer_drain(in, evbuffer_get_length(in));
		else if (c->state == STATE_SOCKET)
			socket_take(c);
	} while (step == STEP_ON);
}

/* --- answering ----------------------------------------------------------------------------------- */

static const char *
reason(int status)
{
	static const struct { int status; const char *text; } reasons[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 400, "Bad Request" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 413, "Content Too Large" },
		{ 426, "Upgrade Required" }, { 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" }, { 503, "Service Unavailable" },
	};
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Status";
}

void
reply_begin(struct client *c, int status, const char *type, int64_t length, const char *extra)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	c->is_chunked = length < 0 && c->req.minor >= 1;
	if (length < 0 && !c->is_chunked)
		c->keep_alive = false;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Instance: %s\r\n"
	    "Content-Type: %s\r\n", status, reason(status), date, model.set.name, type);
	if (length >= 0)
		evbuffer_add_printf(out, "Content-Length: %lld\r\n", (long long)length);
	else if (c->is_chunked)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	if (!c->keep_alive)
		evbuffer_add_printf(out, "Connection: close\r\n");
	else if (c->req.minor == 0)
		evbuffer_add_printf(out, "Connection: keep-alive\r\n");
	evbuffer_add_printf(out, "%s\r\n", extra == NULL ? "" : extra);
}

void
reply_data(struct client *c, struct evbuffer *data)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t n = evbuffer_get_length(data);

	if (c->is_head || n == 0) {
		evbuffer_drain(data, n);
		return;
	}
	if (c->is_chunked)
		evbuffer_add_printf(out, "%zx\r\n", n);
	evbuffer_add_buffer(out, data);
	if (c->is_chunked)
		evbuffer_add(out, "\r\n", 2);
}

void
reply_end(struct client *c)
{
	if (c->is_chunked && !c->is_head)
		evbuffer_add(bufferevent_get_output(c->bev), "0\r\n\r\n", 5);
	flush(c);
}

void
reply(struct client *c, int status, const char *type, struct evbuffer *body, const char *extra)
{
	reply_begin(c, status, type, (int64_t)evbuffer_get_length(body), extra);
	reply_data(c, body);
	reply_end(c);
}

void
reply_error(struct client *c, int status, const char *message)
{
	struct evbuffer *body = evbuffer_new();

	evbuffer_add_printf(body, "{\"error\":{\"message\":");
	json_put(body, message, strlen(message), true);
	evbuffer_add_printf(body, ",\"type\":\"%s\",\"param\":null,\"code\":%d}}\n",
	    status < 500 ? "invalid_request_error" : "server_error", status);
	reply(c, status, "application/json", body, status == 503 ? "Retry-After: 1\r\n" : NULL);
	evbuffer_free(body);
}
