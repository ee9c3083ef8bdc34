/* SPDX-License-Identifier: MIT */
/* The daemon's own log: one write(2) a line, so that lines of several processes do not mix. */
#include "base/log.h"

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static enum log_level limit = LOG_LEVEL_INFO;
static void (*panic)(void);

/* systemd names the stream it gave us as "device:inode" (systemd.exec(5)). */
static bool
journal_reads(void)
{
	static int known = -1;
	const char *named = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (known < 0)
		known = named != NULL && sscanf(named, "%llu:%llu", &dev, &ino) == 2 &&
		    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
	return known == 1;
}

static void
say(enum log_level level, const char *fmt, va_list ap)
{
	static const int priority[] = { 3, 4, 6 };
	char line[LINE_MAX_BYTES];
	int n = 0, m;
	size_t len;

	if (level > limit)
		return;
	if (journal_reads())
		n = snprintf(line, sizeof(line), "<%d>", priority[level]);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "weir: ");
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	len = (size_t)n + (m > 0 ? (size_t)m : 0);
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return;			/* nobody left to tell */
}

#define LOG(name, level)			\
void						\
name(const char *fmt, ...)			\
{						\
	va_list ap;				\
						\
	va_start(ap, fmt);			\
	say(level, fmt, ap);			\
	va_end(ap);				\
}

LOG(log_error, LOG_LEVEL_ERROR)
LOG(log_warn, LOG_LEVEL_WARN)
LOG(log_info, LOG_LEVEL_INFO)

void
log_set_level(enum log_level level)
{
	limit = level;
}

void
log_set_panic(void (*run)(void))
{
	panic = run;
}

void
log_check_failed(const char *file, int line, const char *cond)
{
	log_error("%s:%d: check failed: %s", file, line, cond);
	if (panic != NULL)
		panic();
	abort();
}

bool
err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return false;
}
