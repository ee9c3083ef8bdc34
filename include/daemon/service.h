/* SPDX-License-Identifier: MIT */
/* What the service manager is told of a worker: ready, reloading, how it goes, alive. */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "net/loop.h"

struct world;

struct service {
	struct world   *world;
	struct deadline status;		/* looks each second whether there is news */
	struct deadline watchdog;
	char            said[160];	/* the last STATUS */
};

void service_init(struct service *, struct world *);
void service_fini(struct service *);
/* The generation is adopted, clients come in; also after a reload, whatever became of it. */
void service_ready(struct service *);
/* A reload begins.  service_ready ends it; failed says why nothing has changed, else NULL. */
void service_reloading(struct service *);
void service_reloaded(struct service *, const char *failed);
/* It takes limit at most, whatever the manager would allow of itself. */
void service_stopping(struct service *, msec limit);
/* Instead of service_ready, after another process of ours: it introduces us to the manager, which listens
 * to us from then on; and in that one, which is not listened to any more. */
void service_took_over(struct service *);
void service_handed_over(struct service *);

#endif
