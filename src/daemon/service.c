/* SPDX-License-Identifier: MIT */
/*
 * The worker seen from the service manager.  Says nothing when there is none; a line of status is sent
 * only when it says something new, at most one a second.
 */
#include "daemon/service.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/notify.h"
#include "exchange/world.h"

enum {
	STATUS_EVERY = 1000,
	STOP_MARGIN = 10000		/* ms to give everything back */
};

static void
count_servers(const struct world *w, size_t *up, size_t *all)
{
	struct str name;
	void *value;
	size_t pos = 0;

	*up = *all = 0;
	while (table_next(&w->backends.by_identity, &pos, &name, &value)) {
		const struct backend *b = value;

		++*all;
		*up += backend_is_up(b, clock_now());
	}
}

/* True when the line differs from the last one. */
static bool
make_status(struct service *s)
{
	const struct world *w = s->world;
	char line[sizeof(s->said)];
	size_t up, all;

	count_servers(w, &up, &all);
	snprintf(line, sizeof(line), "%s%zu requests in flight, %zu of %zu servers up",
	    w->is_draining ? "stopping: " : "", w->n_live, up, all);
	if (strcmp(line, s->said) == 0)
		return false;
	memcpy(s->said, line, sizeof(line));
	return true;
}

static void
on_status(void *arg)
{
	struct service *s = arg;

	if (make_status(s))
		notify_send("STATUS=%s", s->said);
	deadline_arm(&s->status, STATUS_EVERY);
}

/* From the loop: a worker that turns no more is not alive. */
static void
on_watchdog(void *arg)
{
	struct service *s = arg;

	notify_send("WATCHDOG=1");
	deadline_arm(&s->watchdog, notify_watchdog());
}

void
service_init(struct service *s, struct world *w)
{
	memset(s, 0, sizeof(*s));
	s->world = w;
	deadline_init(&s->status, w->loop, on_status, s);
	deadline_init(&s->watchdog, w->loop, on_watchdog, s);
}

void
service_fini(struct service *s)
{
	deadline_fini(&s->status);
	deadline_fini(&s->watchdog);
}

void
service_ready(struct service *s)
{
	if (!notify_is_on())
		return;
	(void)make_status(s);
	notify_send("READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), s->said);
	deadline_arm(&s->status, STATUS_EVERY);
	if (notify_watchdog() > 0)
		on_watchdog(s);
}

void
service_took_over(struct service *s)
{
	if (!notify_is_on())
		return;
	deadline_arm(&s->status, STATUS_EVERY);
	if (notify_watchdog() > 0)
		deadline_arm(&s->watchdog, notify_watchdog());
}

void
service_handed_over(struct service *s)
{
	deadline_disarm(&s->status);
	deadline_disarm(&s->watchdog);
}

void
service_reloading(struct service *s)
{
	struct timespec ts;

	(void)s;
	/* systemd orders what it hears by this clock (Type=notify-reload). */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reading the configuration",
	    (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

void
service_reloaded(struct service *s, const char *failed)
{
	if (failed == NULL) {
		s->said[0] = '\0';
		service_ready(s);
		return;
	}
	/* Stays until there is other news. */
	(void)make_status(s);
	notify_send("READY=1\nSTATUS=reload failed, nothing has changed: %s", failed);
}

void
service_stopping(struct service *s, msec limit)
{
	(void)make_status(s);
	notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nSTATUS=%s",
	    (long long)(limit + STOP_MARGIN) * 1000, s->said);
}
