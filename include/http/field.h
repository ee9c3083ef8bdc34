/* SPDX-License-Identifier: MIT */
/* Known fields, one row each in field.def; list values; dates. */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum field_id {
	FIELD_OTHER,
#define FIELD(symbol, name, flags) FIELD_##symbol,
#include "http/field.def"
#undef FIELD
	FIELD_COUNT
};

enum field_flags { FIELD_HOP = 1, FIELD_FRAMING = 2, FIELD_ROUTING = 4, FIELD_AUTH = 8 };

/* The id of a name in any case; FIELD_OTHER when it has no row.  Cost: one hash and one compare. */
enum field_id field_lookup(struct str name);
/* Name as written on the wire ("" for FIELD_OTHER), flags (0 for it). */
struct str field_name(enum field_id);
unsigned field_flags(enum field_id);
/* Not to be passed on: those of that kind, and whatever begins with Proxy-. */
bool field_is_hop(enum field_id, struct str name);
/* Whether a comma-separated list has the token, in any case. */
bool field_list_has(struct str list, struct str token);
/* True for a non-empty token of RFC 9110 5.6.2. */
bool field_is_token(struct str);
/* All three date formats of RFC 9110 5.6.7 to seconds since 1970; false when it is none. */
bool field_parse_date(struct str, int64_t *seconds);

#endif
