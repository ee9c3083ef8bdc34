/* SPDX-License-Identifier: MIT */
/*
 * The back port of an exchange: one request on one connection to one server, and its answer.  Takes
 * a parked connection or opens one, writes what it is given, parses what comes, gives the connection
 * back when nothing irregular happened.  Knows no policy.
 */
#ifndef UPSTREAM_ORIGIN_H
#define UPSTREAM_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/end.h"
#include "http/message.h"

struct arena;
struct backend;
struct origin;
struct upstream_conf;

/* on_drain comes when origin_backlog was over this and has fallen well under it: the mark at which
 * who feeds an origin has to stop. */
enum { ORIGIN_HIGH_MARK = 64 * 1024 };

/* Told from the loop only.  After on_end or on_fail nothing more comes. */
struct origin_events {
	void (*on_open)(void *x);			/* connected */
	void (*on_head)(void *x, struct message *);	/* 1xx heads too, then the final one */
	void (*on_body)(void *x, const struct str *spans, size_t n);	/* valid during the event */
	void (*on_end)(void *x);			/* trailers are in the message */
	void (*on_drain)(void *x);			/* the request's body may flow again */
	void (*on_fail)(void *x, enum end);
};

void origin_module_init(void);
void origin_module_fini(void);

/*
 * A parked connection of the backend (then origin_is_open is true at once), unless fresh, or a new
 * one (on_open or on_fail follows).  Never NULL.  first, unless it is empty, is what every connection
 * begins with (it lives as long as the origin): then it is a new one.
 */
struct origin *origin_open(struct backend *, bool fresh, struct str first,
    const struct origin_events *, void *x);
bool origin_is_open(const struct origin *);
/*
 * Writes the head as it is.  The answer's head goes into the arena.  Where the message says upgrade, a
 * 101 to a protocol it names may be the answer.
 */
void origin_send(struct origin *, const struct message *request, struct arena *);
/* Body bytes, framed as the head said; they must stay valid until the event ends. */
void origin_send_body(struct origin *, const struct str *spans, size_t n);
/* The request's body is complete. */
void origin_finish(struct origin *, const struct field *trailers, size_t n);
/* In a tunnel: the client sends no more. */
void origin_shutdown(struct origin *);
/* Stops (resumes) reading the answer. */
void origin_hold(struct origin *, bool);
/* Bytes the server's kernel did not take yet. */
size_t origin_backlog(const struct origin *);
/* Everything of the request was handed to the kernel. */
bool origin_sent_all(const struct origin *);
/* When bytes were last taken by or came from the server (monotonic ms). */
msec origin_progress(const struct origin *);
/* Of a malformed or cut answer: the word of the rule it broke; else NULL. */
const char *origin_rule(const struct origin *);
/* Of a failure of TLS: why, in words that last; else NULL. */
const char *origin_why(const struct origin *);
/* Silence; parks the connection under the upstream's keepalive rules when it may serve again. */
void origin_close(struct origin *, const struct upstream_conf *);

#endif
