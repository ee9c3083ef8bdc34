/* SPDX-License-Identifier: MIT */
/*
 * The front port of an exchange: one request and the way its answer goes back, whatever the
 * protocol.  A front implements front_ops and calls front_events, from the loop only.
 */
#ifndef EDGE_FRONT_H
#define EDGE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/end.h"
#include "http/message.h"

struct arena;
struct client_conf;
struct front_stream;
struct loop;

/* on_drain comes when backlog was over this and has fallen well under it: the mark at which who feeds
 * a front has to stop. */
enum { FRONT_HIGH_MARK = 128 * 1024 };
/* So much of a body that nobody reads is dropped to keep the connection. */
enum { FRONT_DISCARD_MAX = 256 * 1024 };

struct front_ops {
	const char *name;
	/* The final head or a 1xx; the message may be changed (Connection, framing for this client). */
	void   (*send_head)(struct front_stream *, struct message *);
	/* Spans stay valid until the event ends. */
	void   (*send_body)(struct front_stream *, const struct str *spans, size_t n);
	/* The answer is complete; the stream is the front's again. */
	void   (*finish)(struct front_stream *, const struct field *trailers, size_t n);
	/* The answer is cut so that the client can tell; the stream is the front's again. */
	void   (*reset)(struct front_stream *);
	/* In a tunnel: the server sends no more. */
	void   (*shutdown)(struct front_stream *);
	void   (*hold)(struct front_stream *, bool);	/* stop (resume) the request's body */
	/* It is not the client's fault that no body comes (until it is again): nothing times it. */
	void   (*excuse)(struct front_stream *, bool);
	size_t (*backlog)(const struct front_stream *);	/* bytes the client has not taken */
};

/* What a front may know of a request it refuses: status and words for log and client. */
struct refusal {
	enum end    end;
	int         status;
	const char *rule, *why;
};

struct front_events {
	/* The whole head: sets stream->x to its exchange, to which the message's arena belongs from
	 * now on.  The answer may be complete when this returns. */
	void  (*on_request)(void *world, struct front_stream *, struct message *);
	/* No head, or a bad one; m holds what is known.  The exchange answers and ends. */
	void  (*on_refuse)(void *world, struct front_stream *, struct message *m, const struct refusal *);
	void  (*on_body)(void *x, const struct str *spans, size_t n);
	void  (*on_request_end)(void *x);		/* trailers are in the message */
	void  (*on_drain)(void *x);
	/* The client left, or broke the rules in its body.  The stream takes no more calls when the
	 * refusal's end is END_CLIENT_ABORT or END_SEND_TIMEOUT. */
	void  (*on_abort)(void *x, const struct refusal *);
};

/* What all fronts of a worker share; the worker changes it at a reload. */
struct front_env {
	struct loop *loop;
	const struct front_events *events;
	void        *world;
	const struct client_conf *client;
	bool         is_draining;
};

/* How a client came, before it has asked for anything. */
struct arrival {
	uint16_t local_port;		/* 0: a unix socket */
	bool     is_tls;		/* of a listener that speaks TLS */
	bool     is_own;		/* for our own pages, not for what is proxied */
	bool     is_misplaced;		/* of such a one, but it speaks plain HTTP: to be told so */
	struct ip local;		/* the address it came to, where somebody asks for it */
};

/* One request on its way; embedded at the head of what a front makes of it. */
struct front_stream {
	const struct front_ops *ops;
	void       *x;			/* its exchange, NULL between requests */
	struct ip   peer;
	char        peer_text[48];
	uint16_t    peer_port;		/* 0: a unix socket */
	struct ip   local;		/* its arrival's */
	uint16_t    local_port;
	bool        is_tls;
	bool        is_own;		/* its arrival's */
	struct str  subject;		/* of the client's certificate; empty: none was shown */
	struct str  subject_field;	/* the field it goes to; both live as long as the connection */
};

#endif
