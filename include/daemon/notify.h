/* SPDX-License-Identifier: MIT */
/*
 * Words to the service manager: sd_notify(3)'s protocol, a datagram to a unix socket.  Without
 * NOTIFY_SOCKET in the environment every call does nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdbool.h>

#include "base/str.h"

/* Takes NOTIFY_SOCKET and WATCHDOG_USEC (if WATCHDOG_PID names us) out of the environment. */
void notify_init(void);
/* Somebody listens. */
bool notify_is_on(void);
/* Sends lines such as "READY=1\nSTATUS=...".  Lost when nobody listens: that is not our affair. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Puts them back, in a child that is to become the next main process. */
void notify_export(void);
/* How often WATCHDOG=1 is due, in milliseconds (half of what is asked); 0: never. */
msec notify_watchdog(void);

#endif
