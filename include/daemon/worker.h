/* SPDX-License-Identifier: MIT */
/* The one process: ties listeners to fronts and fronts to exchanges; reload, stop, signals. */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

struct config;
struct report;

/* Where the configuration comes from: a file, or the two arguments of a proxy without one. */
struct source {
	const char *path;
	const char *listen, *to;	/* both set: path is not looked at */
	char      **argv;		/* of the process, for a new one (USR2) */
};

/* The configuration of the source, or NULL with its errors in the report. */
struct config *source_load(const struct source *, struct report *);

/*
 * Runs until it is told to stop.  Returns the exit code: 0 stopped in order, 1 configuration, 3 could
 * not start, 70 something was not given back (the books of slab.h).
 */
int worker_run(const struct source *);

#endif
