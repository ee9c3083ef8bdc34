/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that were open before we were: from systemd (sd_listen_fds(3)), or from the
 * process that started us to take its place.  Found by name or by address; each stays open here, so
 * that a listener which goes with one reload may come back with the next.
 */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct address;

/* Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, and the descriptors they
 * tell of.  What does not listen is closed, with a warning. */
void inherit_init(void);
void inherit_fini(void);
/*
 * A descriptor of its own (the caller closes it), non-blocking, of the inherited socket that has
 * the name (FileDescriptorName= of systemd; empty: none) or is bound to the address; "[::]:80" that
 * takes IPv4 too serves "0.0.0.0:80" as well.  -1 when there is none.
 */
int inherit_take(const struct address *, struct str name);
/* Whether the path of a unix socket is another's: systemd's, or the next process's. */
bool inherit_owns(const char *path);
/* Those that nothing asked for so far are told of, once. */
void inherit_warn_unused(void);

#endif
