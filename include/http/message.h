/* SPDX-License-Identifier: MIT */
/*
 * A message: start line, fields, framing.  Plain data in an arena, sealed once the parser or a
 * maker has filled it; slices point into the arena.  Knows no sockets.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/field.h"

struct arena;

enum method {			/* those we let in (RFC 9110 9.3, RFC 5789, WebDAV as llhttp knows it) */
	METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE,
	METHOD_OPTIONS, METHOD_PATCH, METHOD_CONNECT, METHOD_TRACE
};

enum framing {			/* RFC 9112 6.3 */
	FRAMING_NONE,		/* no body */
	FRAMING_COUNTED,	/* Content-Length, may be 0 */
	FRAMING_CHUNKED,
	FRAMING_CLOSE,		/* responses only: until the connection ends */
	FRAMING_TUNNEL,		/* after 101: raw both ways */
};

struct field {
	struct str    name;
	struct str    value;		/* without white space around */
	enum field_id id;		/* FIELD_OTHER when no row of field.def */
};

struct message {
	struct arena *arena;
	bool          is_request;
	uint8_t       minor;		/* HTTP/1.minor */
	/* request */
	enum method   method;
	struct str    method_name;
	struct str    target;		/* as sent */
	struct str    path;		/* of the target, without query: "/v1/x"; "*" for OPTIONS * */
	struct str    query;		/* without "?"; p NULL when there is no "?" */
	struct str    authority;	/* Host as sent (or of an absolute target) */
	struct str    host;		/* the same without port and brackets, lower case */
	bool          is_https;		/* how the client came, by the first proxy we trust */
	/* response */
	int           status;
	struct str    reason;
	/* both */
	struct field *fields;
	size_t        n_fields, cap_fields;
	enum framing  framing;
	uint64_t      length;		/* of FRAMING_COUNTED; for HEAD answers what was announced */
	bool          has_length;	/* a Content-Length stood there (also for HEAD, 304) */
	bool          keep_alive;	/* the sender allows another message on this connection */
	bool          upgrade;		/* Connection: upgrade with an Upgrade field (h2c left out) */
	bool          expect_continue;
	struct field *trailers;		/* valid at the end of a chunked body */
	size_t        n_trailers;
};

/* An empty message in the arena with room for n fields. */
struct message *message_new(struct arena *, size_t n_fields);
/* Appends; slices are not copied. */
void message_add(struct message *, enum field_id, struct str name, struct str value);
/* Bytes that a copy of the message needs, its texts included (trailers left out). */
size_t message_size(const struct message *);
/* Copies it into a block of message_size bytes, aligned for any object; nothing may be added to it. */
void message_copy(const struct message *, struct message *out);
/* First field of that id (a row of field.def, not FIELD_OTHER); NULL when there is none. */
const struct field *message_find(const struct message *, enum field_id);
/* First field of that name in any case; NULL when there is none. */
const struct field *message_find_name(const struct message *, struct str name);
/* Value of the first such field, or an empty slice. */
struct str message_value(const struct message *, enum field_id);
/* The value of a cookie (RFC 6265 4.2.1) / of a query argument (not decoded); false when absent. */
bool message_cookie(const struct message *, struct str name, struct str *value);
bool message_query_argument(const struct message *, struct str name, struct str *value);
/* Idempotent by RFC 9110 9.2.2. */
bool method_is_idempotent(enum method);
/* Safe by RFC 9110 9.2.1. */
bool method_is_safe(enum method);
/* The standard reason phrase, "" for an unknown status. */
struct str status_reason(int status);

#endif
