/* SPDX-License-Identifier: MIT */
/*
 * One line per exchange: a table of fields, formats compiled once, a buffered writer that never
 * blocks the loop on a pipe (bounded; what does not fit is dropped and counted).
 */
#ifndef OPS_ACCESS_LOG_H
#define OPS_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <stdio.h>

#include "base/end.h"
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"

/* What is said of an exchange: plain data, filled at its end; slices valid during the call. */
struct record {
	int64_t    wall_us;		/* when it began, since 1970 */
	struct str request_id, client, user, method, target, host, user_agent, referer;
	int        minor;		/* HTTP/1.minor of the request */
	int        status;
	uint64_t   bytes_in, bytes_out;	/* body bytes from and to the client */
	enum end   end;
	const char *rule;		/* of a refusal, or NULL */
	const char *limit;		/* what the limits said, or NULL */
	struct str limit_name;		/* the one that decided */
	struct str route, upstream, server;
	unsigned   tries;
	const char *cache;		/* what the cache did, or NULL */
	struct str  encoding;		/* what weir encoded the answer in, or empty */
	int64_t    queue_us, connect_us, first_byte_us, total_us;	/* -1: did not come to it */
};

struct access_log;
struct arena;

/* Opens the file (append, 0640) or stdout / stderr; NULL with *err when that fails.  "off" gives a log that drops. */
struct access_log *access_log_open(const struct access_log_conf *, struct err *);
/* Flushes and closes. */
void access_log_close(struct access_log *);
/* Appends a line; values are escaped (JSON: RFC 8259, invalid UTF-8 as \ufffd; combined: \xHH). */
void access_log_write(struct access_log *, const struct record *);
/* To the kernel, as much as it takes without blocking; called by a timer and at the end. */
void access_log_flush(struct access_log *);
/* Lines that nobody read in time, since it was opened. */
uint64_t access_log_lost(const struct access_log *);
/* True when lines wait to be flushed. */
bool access_log_is_dirty(const struct access_log *);
/* The file becomes that user's, who will have to open it again; not stdout and its like. */
void access_log_give(const struct access_log *, uid_t, gid_t);
/* USR1: opens the path again (after rotation); keeps the old one when that fails. */
bool access_log_reopen(struct access_log *, struct err *);
/* True when both name the same file and format: then the log is carried over a reload. */
bool access_log_conf_equal(const struct access_log_conf *, const struct access_log_conf *);
/* For access_log.format: false with *why, in the arena, on an unknown $field. */
bool access_log_check_format(struct arena *, struct str format, const char **why);
/* The $fields for the manual page. */
void access_log_print_fields(FILE *);

#endif
