/* SPDX-License-Identifier: MIT */
/*
 * Bytes in, fewer bytes out: gzip (RFC 1952) and zstd (RFC 8878), one row each.  A coder is one body
 * under way; it owns a window and tables (gzip 268 KB, zstd at most 0.75 MB), a few of which are kept
 * for the next.  Knows no message and no socket.
 */
#ifndef HTTP_CODER_H
#define HTTP_CODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/encoding.h"
#include "base/str.h"

enum { CODERS_MAX = 256 };		/* under way at a time: 190 MB at the very most */

enum coder_mode {
	CODER_MORE,			/* more will come: output comes when it is worth while */
	CODER_FLUSH,			/* all that went in can be read from what came out */
	CODER_END			/* the body is complete */
};

struct coder;

void coder_module_init(void);
void coder_module_fini(void);

/* How it is called in Accept-Encoding and Content-Encoding; alias: another name for the same that
 * clients may use (RFC 9110 8.4.1.3), or empty. */
struct str coder_name(enum encoding);
struct str coder_alias(enum encoding);

/* A coder for one body; level 1 (fast) to 9 (small).  NULL when there are CODERS_MAX already. */
struct coder *coder_new(enum encoding, unsigned level);
/* In mid-body too.  NULL is fine. */
void coder_free(struct coder *);
/*
 * Takes bytes off *in and writes at most room bytes (at least 64 are given) to out; returns how many.
 * *is_done: everything went in and the mode's promise is kept.  Otherwise it is to be called again in
 * the same mode, with more room.  After CODER_END was done it takes no more.
 */
size_t coder_step(struct coder *, struct str *in, enum coder_mode, char *out, size_t room,
    bool *is_done);

/* For the books and for tests: how many are under way, and what one takes, in bytes. */
size_t coder_count(void);
size_t coder_size(const struct coder *);

#endif
