/* SPDX-License-Identifier: MIT */
/* Answers we make ourselves: errors, redirects, fixed ones.  All of them pass the door in relay.h. */
#ifndef EXCHANGE_REPLY_H
#define EXCHANGE_REPLY_H

struct exchange;

/* What the route says (respond, redirect), or x->refusal when its status is set.  The caller ends. */
void reply_send(struct exchange *);
/* The last event of a stream that is cut: "event: error" in OpenAI's error shape. */
void reply_stream_error(struct exchange *, const char *code, const char *text);

#endif
