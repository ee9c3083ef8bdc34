/* SPDX-License-Identifier: MIT */
/*
 * Content codings of answers: which may be encoded at all, in what for this client, and what its
 * fields have to say then (RFC 9110 8.4, 8.8.3, 12.5).  Pure: messages and rules in, a decision or a
 * changed message out; the bytes are coded by http/coder.h.
 */
#ifndef POLICY_ENCODE_H
#define POLICY_ENCODE_H

#include <stdbool.h>

#include "base/encoding.h"
#include "config/config.h"
#include "http/message.h"

struct arena;

enum encode_verdict {
	ENCODE_NEVER,			/* everybody gets it as it is */
	ENCODE_VARIES,			/* so does this one, but it is of something that may be encoded */
	ENCODE_MAY			/* whether it is encoded is the client's wish */
};
/* Of a final answer, as the client would see it; asks nothing about the client. */
enum encode_verdict encode_judge(const struct compress_conf *, const struct message *response);

/*
 * What the client likes best of what is offered: by its weights, then by our order (RFC 9110
 * 12.5.3).  ENCODING_IDENTITY when it wants none, says nothing, or could not tell where a chunked
 * body ends (HTTP/1.0).
 */
enum encoding encode_choose(const struct compress_conf *, const struct message *request);

/* The answer depends on Accept-Encoding: Vary says so, once. */
void encode_vary(struct message *response, struct arena *);
/*
 * Makes it the head of an encoded body: Content-Encoding; no length, no ranges; a strong ETag is of
 * other bytes and becomes weak.
 */
void encode_head(struct message *response, enum encoding, struct arena *);
/* A 304 names the validator as the client has it, weak where an encoded answer was given, and tells no
 * length. */
void encode_not_modified(struct message *response, const struct message *request, struct arena *);
/* False for those that tell a digest of the body as the server sent it. */
bool encode_keeps_trailer(const struct field *);

#endif
