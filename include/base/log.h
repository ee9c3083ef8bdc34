/* SPDX-License-Identifier: MIT */
/*
 * The daemon's own log (stderr, one line a message), and check(): assertions that stay in.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO };

/* Writes "weir: message\n" in one write(2); with <N> priority prefixes when journald reads stderr. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Messages less urgent than this are dropped; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level);
/* Called by a failed check before abort: may print what the daemon was doing. */
void log_set_panic(void (*)(void));

void log_check_failed(const char *file, int line, const char *cond) __attribute__((noreturn));
/* For a programmer's error: always compiled in, prints where, then aborts. */
#define check(cond)	((cond) ? (void)0 : log_check_failed(__FILE__, __LINE__, #cond))

/* One start-up or reload error; text is complete and has no newline. */
struct err {
	char text[1024];
};
/* Fills e and returns false, so that callers can "return err_set(...)". */
bool err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
