/* SPDX-License-Identifier: MIT */
/*
 * Text that grows as it is written: log lines, pages of ours.  A zeroed struct text is empty and valid.
 * Who writes bounds what is written.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct text {
	char  *p;
	size_t len, cap;
};

void text_fini(struct text *);
/* Where n bytes may be written; text_took says how many were. */
char *text_room(struct text *, size_t n);
void text_took(struct text *, size_t n);
void text_add(struct text *, struct str);
void text_add_uint(struct text *, uint64_t);
/* Formats; for what is not written often. */
void text_printf(struct text *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A string of JSON (RFC 8259 7), quotes included; bytes that are no UTF-8 become U+FFFD. */
void text_add_json(struct text *, struct str);
/* Length of the well-formed UTF-8 sequence of several bytes that s begins with (RFC 3629 4), 0 when it
 * begins with none. */
size_t text_utf8_length(struct str s);

#endif
