/* SPDX-License-Identifier: MIT */
/*
 * A pretended model instance for the demo and for measurements: it behaves like a single-process web
 * service around a language model, with faults on demand.  Nothing of weir is in it.
 */
#ifndef MODEL_H
#define MODEL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#define MODEL_ID	"qwen2.5-0.5b-demo"

struct client;
struct job;

/* --- the instance (main.c, settings.c) ----------------------------------------------------------- */

enum on_leave { LEAVE_STOP, LEAVE_FINISH };
enum die_how { DIE_CLOSE, DIE_RESET, DIE_EXIT };

struct settings {
	char     name[64];
	unsigned lanes;			/* answers computed at a time */
	unsigned ttft;			/* ms to the first token */
	unsigned rate;			/* tokens a second after it; 0: at once */
	unsigned tokens;		/* of an answer when the client names no max_tokens */
	unsigned slow_start;		/* ms of 503 */
	unsigned fail_next;		/* POSTs left to answer with 503 */
	unsigned hang;			/* completions are accepted and never answered */
	unsigned die_mid_stream;	/* streams left to cut */
	unsigned die_after;		/* tokens before the cut */
	unsigned die_how;		/* enum die_how */
	unsigned on_leave;		/* enum on_leave */
	unsigned keepalive;		/* ms an idle connection is kept */
};

struct stats {
	uint64_t asked, answered, failed;	/* completions; failed: 4xx, 5xx and cuts */
	uint64_t abandoned;			/* the client left before the end */
	uint64_t tokens, tokens_for_nobody;	/* computed; of these for clients that had left */
	uint64_t connections, connections_open;
	unsigned in_flight, waiting;		/* on a lane; accepted, but on none */
};

struct model {
	struct event_base *base;
	struct settings    set;
	struct stats       stats;
	int64_t            ready_at;		/* now_us() from which it answers */
	int                exit_code;
};
extern struct model model;

int64_t now_us(void);
/* Never NULL; zeroed. */
void *xalloc(size_t size);
/* True when the key exists and takes the value; else *why says what would be right. */
bool setting_put(struct settings *, const char *key, const char *value, const char **why);
bool setting_exists(const char *key);
/* A flag may stand without a value. */
bool setting_is_flag(const char *key);
void settings_default(struct settings *);
void settings_help(void);
void settings_json(struct evbuffer *out);
/* As they are; slow_start is what is left of it. */
struct settings settings_now(void);
/* Takes over a changed set; what hangs on it follows. */
void settings_apply(const struct settings *);

/* --- HTTP (http.c) ------------------------------------------------------------------------------- */

enum { FIELDS_MAX = 200 };

struct request {
	char            *head;		/* the other pointers point into it */
	char            *line;		/* a copy of the target, cut into path and query */
	const char      *method, *target, *path, *query;
	unsigned         minor;		/* of HTTP/1.x */
	struct { const char *name, *value; } fields[FIELDS_MAX];
	size_t           n_fields;
	struct evbuffer *body;
};

enum client_state { STATE_HEAD, STATE_BODY, STATE_ANSWER, STATE_FLUSH, STATE_LINGER, STATE_SOCKET };

struct client {
	TAILQ_ENTRY(client) entry;
	struct bufferevent *bev;
	enum client_state   state;
	struct request      req;
	int                 body_state;
	uint64_t            body_left;		/* of the body or of its chunk */
	bool                is_head, keep_alive, is_chunked;
	enum die_how        end;		/* how a connection that is not kept ends */
	struct job         *job;		/* a completion that is not over */
	void              (*pump)(struct client *);	/* goes on once the output has drained */
	struct event       *timer;		/* of /events */
	uint64_t            left, sent;		/* events or bytes */
	unsigned            pause;		/* ms between events */
	struct evbuffer    *message;		/* WebSocket: what came of it so far */
	unsigned            opcode;
};

void client_new(evutil_socket_t fd);
void client_free(struct client *);
void clients_free(void);
/* Ends the connection once what was written has gone out, without ending the answer. */
void client_cut(struct client *, enum die_how);
/* How long nothing may be received, ms; 0: for ever. */
void client_patience(struct client *, unsigned ms);

const char *request_field(const struct request *, const char *name);
/* Does the list-valued field contain the token? */
bool request_has(const struct request *, const char *name, const char *token);
/* A number from the query, bounded. */
uint64_t query_number(const struct request *, const char *key, uint64_t def, uint64_t max);
/* The next key=value of a query, decoded in place; false at the end. */
bool query_next(char **rest, char **key, char **value);

/* length < 0: streamed.  extra: more field lines or NULL. */
void reply_begin(struct client *, int status, const char *type, int64_t length, const char *extra);
/* Moves what is in the buffer. */
void reply_data(struct client *, struct evbuffer *);
void reply_end(struct client *);
/* The three in one; the buffer is emptied. */
void reply(struct client *, int status, const char *type, struct evbuffer *, const char *extra);
/* An error in OpenAI's shape. */
void reply_error(struct client *, int status, const char *message);

/* --- what is answered ---------------------------------------------------------------------------- */

/* routes.c */
void route_request(struct client *);
/* answer.c: completions; lanes. */
void answer_ask(struct client *);
/* The client of the job has left. */
void answer_left(struct job *);
/* Lanes or hanging changed. */
void answer_start_waiting(void);
void answer_free_all(void);
/* socket.c: the echo over WebSocket. */
void socket_open(struct client *);
void socket_take(struct client *);
/* page.c */
extern const char page_text[];
extern const uint32_t page_size;

/* --- JSON (json.c) ------------------------------------------------------------------------------- */

/* A value inside a text that json_parse() found right. */
struct json {
	const char *p, *end;
};
bool json_parse(const char *text, size_t n, struct json *out);
bool json_member(const struct json *object, const char *key, struct json *out);
/* The first element when *it is empty, then the next; also the values of an object's members. */
bool json_next(const struct json *array, struct json *it);
char json_kind(const struct json *);		/* one of { [ " 0 t f n */
/* Decoded, NUL-terminated, to be freed; the length in *n. */
char *json_string(const struct json *, size_t *n);
bool json_unsigned(const struct json *, uint64_t *out);
/* A quoted string; bytes from 128 up stand as they are, or as \u00xx. */
void json_put(struct evbuffer *out, const char *s, size_t n, bool as_bytes);

#endif
