/* SPDX-License-Identifier: MIT */
/* From root to somebody, for good: what is opened as root was opened before. */
#ifndef DAEMON_PRIVILEGE_H
#define DAEMON_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/str.h"

struct identity {
	bool  is_set;			/* false: stay who we are */
	uid_t uid;
	gid_t gid;
	char  name[64];			/* of the user, for initgroups(3) */
};

/* The ids of a user and a group (empty: that of the user); both empty: not set.  False with *err when
 * there is no such user or group. */
bool privilege_find(struct str user, struct str group, struct identity *, struct err *);
/* Whether that user may read (R_OK) what root may, or enter a folder (X_OK): asked by a child that becomes
 * it.  True when it cannot be told. */
bool privilege_may(const struct identity *, const char *path, int mode);
/*
 * Becomes that user, when run as root; all three ids and the groups, and proves that there is no way
 * back.  Not root: only its own name is fine.  No core files of what may hold keys, no privileges
 * by what is executed later.  False with *err: the caller ends the process.
 */
bool privilege_drop(const struct identity *, struct err *);

#endif
