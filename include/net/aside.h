/* SPDX-License-Identifier: MIT */
/*
 * One thread beside the loop for work that would hold the loop up, and a line of bounded length before
 * it.  The work must touch nothing but its job.
 */
#ifndef NET_ASIDE_H
#define NET_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct aside;
struct loop;

/* Embedded in what is to be done. */
struct aside_job {
	void (*work)(struct aside_job *);	/* in the thread */
	void (*done)(struct aside_job *);	/* in the loop, afterwards: the job is the owner's again */
	TAILQ_ENTRY(aside_job) entry;
};

/* max: jobs at a time, waiting or at work. */
struct aside *aside_new(struct loop *, size_t max);
/* Waits for the work under way; calls done of every job that is left, worked at or not. */
void aside_free(struct aside *);
/* False when there are too many already, or no thread can be had.  The first starts the thread. */
bool aside_give(struct aside *, struct aside_job *);
/* Takes a job back that nobody has begun with; false: it is under way, done will come. */
bool aside_take_back(struct aside *, struct aside_job *);

#endif
