/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets that were open before we were: from systemd (sd_listen_fds(3)), or from the
 * process that started us to take its place, which says by what address its configuration calls each.
 * Found by name or by address.  What systemd holds stays open here too, so that a listener which goes
 * with one reload may come back with the next; what nobody else holds is the listener's alone.
 */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct address;

/* How the process before us tells of its sockets: a line each, one of these words and the address. */
#define INHERIT_VARIABLE	"WEIR_LISTEN"
#define INHERIT_LENT		"lent "
#define INHERIT_OWN		"own "

/* Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, and the descriptors they
 * tell of.  What does not listen is closed, with a warning. */
void inherit_init(void);
void inherit_fini(void);
/*
 * A descriptor of its own (the caller closes it), non-blocking, of the inherited socket that has
 * the name (FileDescriptorName= of systemd; empty: none), one that is free first, or is bound to the
 * address; "[::]:80" that takes IPv4 too serves "0.0.0.0:80" as well.  -1 when there is none.  is_lent:
 * systemd holds it too.
 */
int inherit_take(const struct address *, struct str name, bool *is_lent);
/* Whether the path of a unix socket is another's. */
bool inherit_owns(const char *path);
/* Of those that nothing asked for so far, systemd's are told of and the others closed: clients would
 * wait there for ever. */
void inherit_settle(void);

#endif
