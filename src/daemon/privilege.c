/* SPDX-License-Identifier: MIT */
/* setresuid(2) and all that belongs to it, checked. */
#include "daemon/privilege.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
privilege_find(struct str user, struct str group, struct identity *id, struct err *err)
{
	char name[sizeof(id->name)];
	struct passwd *pw;
	struct group *gr;

	memset(id, 0, sizeof(*id));
	id->uid = getuid();
	id->gid = getgid();
	if (user.len == 0 && group.len == 0)
		return true;
	if (user.len >= sizeof(name) || group.len >= sizeof(name))
		return err_set(err, "user: and group: take names of at most %zu bytes",
		    sizeof(name) - 1);
	if (user.len > 0) {
		snprintf(id->name, sizeof(id->name), "%.*s", STR_ARG(user));
		pw = getpwnam(id->name);
		if (pw == NULL)
			return err_set(err, "user: there is no user %s on this machine", id->name);
		id->uid = pw->pw_uid;
		id->gid = pw->pw_gid;
	}
	if (group.len > 0) {
		snprintf(name, sizeof(name), "%.*s", STR_ARG(group));
		gr = getgrnam(name);
		if (gr == NULL)
			return err_set(err, "group: there is no group %s on this machine", name);
		id->gid = gr->gr_gid;
	}
	id->is_set = true;
	return true;
}

static bool
become(const struct identity *id, struct err *err)
{
	if (id->name[0] != '\0' ? initgroups(id->name, id->gid) != 0 : setgroups(1, &id->gid) != 0)
		return err_set(err, "cannot set the groups of %s: %s", id->name, strerror(errno));
	if (setresgid(id->gid, id->gid, id->gid) != 0)
		return err_set(err, "cannot become group %u: %s", (unsigned)id->gid, strerror(errno));
	if (setresuid(id->uid, id->uid, id->uid) != 0)
		return err_set(err, "cannot become user %s: %s", id->name, strerror(errno));
	return true;
}

/* In a child: it says so and is gone. */
static void
try_as(const struct identity *id, const char *path, int mode, int pipe)
{
	struct err err;
	char word = become(id, &err) && faccessat(AT_FDCWD, path, mode, AT_EACCESS) != 0 &&
	    errno == EACCES ? 'n' : 'y';

	(void)!write(pipe, &word, 1);
	_exit(0);
}

bool
privilege_may(const struct identity *id, const char *path, int mode)
{
	int pipes[2];
	char word = 'y';
	pid_t child;

	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) != 0 || pipe2(pipes, O_CLOEXEC) != 0)
		return true;
	child = fork();
	if (child == 0)
		try_as(id, path, mode, pipes[1]);
	close(pipes[1]);
	if (child > 0) {
		(void)!read(pipes[0], &word, 1);
		(void)waitpid(child, NULL, 0);
	}
	close(pipes[0]);
	return word != 'n';
}

/* Believed only when seen: a kernel that lets us back would make all of it pointless. */
static bool
is_for_good(const struct identity *id)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	if (getresuid(&r, &e, &s) != 0 || getresgid(&gr, &ge, &gs) != 0)
		return false;
	if (r != id->uid || e != id->uid || s != id->uid || gr != id->gid || ge != id->gid ||
	    gs != id->gid)
		return false;
	return id->uid == 0 || (setuid(0) != 0 && seteuid(0) != 0);
}

bool
privilege_drop(const struct identity *id, struct err *err)
{
	struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!id->is_set)
		return true;
	(void)setrlimit(RLIMIT_CORE, &none);
	if (geteuid() != 0) {
		if (geteuid() == id->uid && getegid() == id->gid)
			return true;
		return err_set(err, "user: only root can become %s", id->name);
	}
	if (!become(id, err))
		return false;
	return is_for_good(id) ? true : err_set(err, "user %s could become root again", id->name);
}
