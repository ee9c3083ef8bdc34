/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 bytes -> events, by llhttp (strict) with our guards for what it leaves open; all
 * strictness of BEHAVIOUR.md section 3 about the syntax of a message is here.  Pull style: the
 * caller hands a slice, takes one event at a time; no callbacks, no sockets.  The same parser
 * serves requests (edge) and responses (upstream).
 */
#ifndef HTTP_H1_PARSER_H
#define HTTP_H1_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/str.h"
#include "http/message.h"

struct arena;

struct h1_limits {
	size_t max_head;		/* bytes of start line and fields */
	size_t max_target;		/* bytes */
	size_t max_fields;
	bool   keep_underscore;		/* else fields with "_" in their name are dropped */
};

enum h1_event {
	H1_MORE,	/* all that can be used is used; what is left in *in is an incomplete head
			 * (or chunk line) to be handed in again with more behind it */
	H1_HEAD,	/* parser->message is complete but for its trailers */
	H1_BODY,	/* parser->span: decoded body bytes, pointing into what was handed in */
	H1_END,		/* the message is over; message->trailers valid */
	H1_FAIL,	/* parser->status, ->rule, ->why say what; the parser is dead */
};

struct h1_parser {
	llhttp_t       llhttp;
	struct h1_limits limits;
	struct arena  *arena;		/* where heads go; set by h1_parser_begin */
	struct message *message;	/* who frees it before the end of the body sets it (and
					 * arena) to NULL: then trailers are checked and dropped */
	struct str     span;		/* of H1_BODY */
	int            status;		/* of H1_FAIL: 400, 413, 414, 417, 431, 501, 505; responses: 502 */
	const char    *rule;		/* of H1_FAIL: a word for the log, e.g. "two_content_lengths" */
	const char    *why;		/* of H1_FAIL: a short sentence for people */
	bool           is_request;
	bool           head_request;	/* responses: the answer is to a HEAD */
	uint8_t        state;
	size_t         scanned;		/* bytes of an incomplete head already looked at */
	uint64_t       left;		/* of a counted body or chunk */
	size_t         extra;		/* bytes of extensions or trailers so far, bounded */
	bool           has_skipped;	/* the empty line before a request line */
	size_t         line, n_lines;	/* of a section: where the last line begins, lines so far */
	size_t         method_len, target_len;	/* of a whole start line */
	enum method    method;
	uint8_t        minor;
	bool           has_start;	/* the start line was seen whole */
	bool           has_underscore;	/* in the name of a field */
	bool           has_begun;	/* a byte of this message was seen */
};

/* Ready for a first message; owns no memory but what it takes from arenas. */
void h1_parser_init(struct h1_parser *, bool is_request, const struct h1_limits *);
/*
 * Before each message: the arena its head and trailers are copied to (the bytes handed in may go
 * away after each call).  For responses head_request says whether the request was a HEAD
 * (RFC 9112 6.3).  Leading empty lines before a request line: at most one CRLF is skipped.
 */
void h1_parser_begin(struct h1_parser *, struct arena *, bool head_request);
/*
 * Takes bytes off *in and tells one event.  Call until H1_MORE, H1_END or H1_FAIL.  1xx responses
 * other than 101 give H1_HEAD and then H1_END at once (begin again for the next); 101 gives
 * H1_HEAD with framing FRAMING_TUNNEL, after which everything is H1_BODY, never H1_END.
 */
enum h1_event h1_parser_next(struct h1_parser *, struct str *in);
/*
 * The peer will send no more.  H1_END when that ends a FRAMING_CLOSE body, H1_FAIL when something
 * was incomplete, H1_MORE when nothing had begun.
 */
enum h1_event h1_parser_eof(struct h1_parser *);
/* True between messages, with not one byte of the next one seen. */
bool h1_parser_is_idle(const struct h1_parser *);

#endif
