/* SPDX-License-Identifier: MIT */
/*
 * Bodies between the two ports, with back-pressure, and the one door for answers: everything a
 * client is told passes respond_head, respond_body and respond_end (or respond_cut).
 */
#ifndef EXCHANGE_RELAY_H
#define EXCHANGE_RELAY_H

#include <stddef.h>

#include "base/str.h"

struct exchange;
struct message;

/* Body bytes of the request: to the origin when it takes them, else kept, within bounds. */
void relay_request(struct exchange *, const struct str *spans, size_t n);
/* The request is complete. */
void relay_request_end(struct exchange *);
/* An origin is ready: what was kept goes to it, and the end when the request is complete. */
void relay_push(struct exchange *);
/* No server will ask for the body for a while: a client that asked first whether to send it (Expect)
 * is not to be timed until relay_push. */
void relay_wait(struct exchange *);
/* No other attempt will be made: what was sent need not be kept. */
void relay_forget(struct exchange *);
/* The request's body starts again at its first byte for another attempt. */
void relay_rewind(struct exchange *);
/* The origin takes bytes again / the client takes bytes again. */
void relay_origin_drained(struct exchange *);
void relay_front_drained(struct exchange *);

/* The door.  The message may be changed on its way; spans stay valid until the event ends. */
void respond_head(struct exchange *, struct message *);
void respond_body(struct exchange *, const struct str *spans, size_t n);
void respond_end(struct exchange *);
/* The answer is cut, so that the client can tell. */
void respond_cut(struct exchange *);

#endif
