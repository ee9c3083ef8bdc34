/* SPDX-License-Identifier: MIT */
/*
 * What a proxy must add, strip and rewrite, both directions (RFC 9110 7.6, BEHAVIOUR.md 4).  Pure:
 * message in, new message out in the arena given; slices are shared with the original.
 */
#ifndef POLICY_FORWARD_H
#define POLICY_FORWARD_H

#include "base/address.h"
#include "config/config.h"
#include "http/message.h"

struct arena;

/* What is known of the two ends of an exchange beside its messages; texts live as long as it. */
struct forward_facts {
	const struct config *config;
	const struct route_conf *route;	/* NULL before one was found */
	struct str  peer_ip;		/* who opened the connection; "unix" for a unix socket */
	struct str  client_ip;		/* by client_address below */
	bool        peer_is_trusted;
	struct str  scheme;		/* "http" | "https" */
	uint16_t    local_port;
	struct str  request_id;
	struct str  user;		/* by the route's auth; empty: none */
	bool        hides_credential;	/* Authorization was for us, and goes no further */
	struct str  server;		/* address of the chosen server */
	int         status;		/* of the answer, for templates */
	const struct message *request;
};

/* Whether it is in trusted_proxies; one that is not set (a unix socket) is. */
bool client_is_trusted(const struct config *, const struct ip *);
/*
 * The client's address: the peer, or, when the peer is in trusted_proxies (a unix peer always is),
 * X-Forwarded-For walked from the right while hops are trusted; an unparsable hop stops the walk at
 * the last good one.
 */
struct ip client_address(const struct config *, const struct ip *peer, const struct message *request,
    bool *peer_is_trusted);
/*
 * Makes the request tell the truth about who the client is: fields that subjects of certificates go
 * to, of any listener, are taken out, also when they are written with "_" for "-"; then subject, unless
 * it is empty, is put into field.  Both are copied.
 */
void forward_identify(const struct config *, struct message *request, struct str field,
    struct str subject);
/* The same for trailers, once they are there. */
void forward_identify_trailers(const struct config *, struct message *request);
/* "https" or "http": what a trusted proxy says, else how the client came to us. */
struct str client_scheme(const struct message *request, bool peer_is_trusted, bool is_tls);
/* A fresh request id: 32 hex digits; or the one the client sent, when it is a sane token of at most 128 bytes. */
struct str request_id_of(struct arena *, const struct message *request);
/*
 * The request as the server shall see it: hop-by-hop fields and those named by Connection gone
 * (never Host, Content-Length, Authorization, Cookie), Host first, X-Forwarded-*, X-Real-IP,
 * X-Request-Id, Via set, route rules applied, target in origin form, Upgrade kept only when
 * request->upgrade.  Framing as in the request (written anew by h1_writer).
 */
struct message *forward_request(const struct forward_facts *, const struct message *request, struct arena *);
/*
 * The answer as the client shall see it: hop-by-hop gone, Via, Date when missing, event-stream
 * fields (X-Accel-Buffering: no, Cache-Control: no-transform, unless present), route rules; framing
 * set for this client: an HTTP/1.0 client gets FRAMING_CLOSE instead of chunked; HEAD/204/304: none.
 * The Connection field is the front's.
 */
struct message *forward_response(const struct forward_facts *, const struct message *response, struct arena *);
/* Is the answer's type text/event-stream, whatever its parameters? */
bool forward_is_event_stream(const struct message *response);
/* Applies set, add and remove of one direction to the message; values are expanded in the arena. */
void forward_apply_rules(const struct header_rules *, const struct forward_facts *, struct message *,
    struct arena *);
/* Fills in the variables; the result is in the arena (or is the literal itself).  Control bytes that
 * a variable might smuggle in are left out. */
struct str template_expand(const struct template *, const struct forward_facts *, struct arena *);
/* What a key rule finds in a request; false when it is absent or empty. */
bool forward_key_value(const struct key_conf *, const struct forward_facts *,
    const struct message *request, struct str *value);
/* The key of a hash balancer: the configured value, or the client address when it is absent. */
struct str forward_key(const struct key_conf *, const struct forward_facts *, const struct message *request);

#endif
