/* SPDX-License-Identifier: MIT */
/* Sockets from the service manager, or from the process before this one, by address or name. */
#include "net/inherit.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/log.h"
#include "base/str.h"

enum {
	FIRST = 3,			/* SD_LISTEN_FDS_START */
	MAX = 256
};

struct inherited {
	int    fd;
	char   text[128];		/* its address */
	char  *name;			/* NULL: none */
	uint16_t port;
	bool   is_dual;			/* [::] that takes IPv4 too */
	bool   is_lent;			/* systemd's */
	bool   is_used;
};

static struct inherited sockets[MAX];
static size_t n_sockets;

static bool
listens(int fd)
{
	int value = 0, type = 0;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) != 0 || value == 0)
		return false;
	len = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool
takes_both(int fd)
{
	int only = 1;
	socklen_t len = sizeof(only);

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only == 0;
}

/* told: what the process before us says of it, empty when it comes from systemd. */
static void
take(int fd, struct str name, struct str told)
{
	struct inherited *s = &sockets[n_sockets];
	union sockaddr_any sa;
	socklen_t len = sizeof(sa);
	int flags, one = 1;

	memset(&sa, 0, sizeof(sa));
	if (!listens(fd) || getsockname(fd, &sa.sa, &len) != 0) {
		log_warn("descriptor %d was handed over but does not listen: it is closed", fd);
		close(fd);
		return;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		log_warn("descriptor %d: %s", fd, strerror(errno));
	/* As on those we open: inherited by what is accepted. */
	if (sa.sa.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->is_lent = told.len == 0 || str_starts(told, STR(INHERIT_LENT));
	if (told.len > 0)
		snprintf(s->text, sizeof(s->text), "%.*s",
		    STR_ARG(str_from(told, s->is_lent ? strlen(INHERIT_LENT) : strlen(INHERIT_OWN))));
	else
		address_format(&sa.sa, s->text, sizeof(s->text));
	s->fd = fd;
	s->port = address_port(&sa.sa);
	s->is_dual = sa.sa.sa_family == AF_INET6 && takes_both(fd) &&
	    IN6_IS_ADDR_UNSPECIFIED(&sa.in6.sin6_addr);
	s->name = name.len > 0 ? strndup(name.p, name.len) : NULL;
	n_sockets++;
}

/* Takes what stands before the next mark off *rest. */
static struct str
next_word(struct str *rest, char mark)
{
	ptrdiff_t at = str_find(*rest, mark);
	struct str name = at < 0 ? *rest : str_first(*rest, (size_t)at);

	*rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 1);
	return name;
}

void
inherit_init(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	struct str names = str_of(getenv("LISTEN_FDNAMES")), told = str_of(getenv(INHERIT_VARIABLE));
	struct str name;
	uint64_t n_pid, n, i;

	if (pid != NULL && fds != NULL && str_to_uint(str_of(pid), INT32_MAX, &n_pid) &&
	    (pid_t)n_pid == getpid() && str_to_uint(str_of(fds), MAX, &n))
		for (i = 0; i < n; i++) {
			name = next_word(&names, ':');
			take(FIRST + (int)i, name, next_word(&told, '\n'));
		}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv(INHERIT_VARIABLE);
}

void
inherit_fini(void)
{
	while (n_sockets > 0) {
		struct inherited *s = &sockets[--n_sockets];

		close(s->fd);
		free(s->name);
		memset(s, 0, sizeof(*s));
	}
}

/* How well it fits; 0: not at all.  A name says more than an address, and may be that of several. */
static unsigned
fit(const struct inherited *s, const struct address *a, struct str name)
{
	bool is_named = name.len > 0 && s->name != NULL && str_eq(str_of(s->name), name);
	bool is_there = str_eq(str_of(s->text), a->text);

	if (is_named)
		return is_there ? 5 : s->is_used ? 3 : 4;
	if (is_there)
		return 2;
	/* "ListenStream=80" is one socket for both families. */
	return s->is_dual && !a->is_unix && !a->is_name && a->sa.sa.sa_family == AF_INET &&
	    a->sa.in.sin_addr.s_addr == htonl(INADDR_ANY) && a->port == s->port;
}

static void
forget(struct inherited *s)
{
	free(s->name);
	*s = sockets[--n_sockets];
	memset(&sockets[n_sockets], 0, sizeof(sockets[n_sockets]));
}

int
inherit_take(const struct address *a, struct str name, bool *is_lent)
{
	struct inherited *best = NULL;
	size_t i;
	int fd;

	for (i = 0; i < n_sockets; i++)
		if (fit(&sockets[i], a, name) > (best != NULL ? fit(best, a, name) : 0))
			best = &sockets[i];
	*is_lent = best != NULL && best->is_lent;
	if (best == NULL)
		return -1;
	if (!best->is_lent) {
		fd = best->fd;
		forget(best);
		return fd;
	}
	fd = fcntl(best->fd, F_DUPFD_CLOEXEC, FIRST);
	if (fd < 0)
		log_warn("the socket of %.*s cannot be taken over: %s", STR_ARG(a->text),
		    strerror(errno));
	else
		best->is_used = true;
	return fd;
}

bool
inherit_owns(const char *path)
{
	struct str text;
	size_t i;

	for (i = 0; i < n_sockets; i++) {
		text = str_of(sockets[i].text);
		if (str_starts(text, STR("unix:")) && str_eq(str_from(text, 5), str_of(path)))
			return true;
	}
	return false;
}

void
inherit_settle(void)
{
	size_t i;

	for (i = n_sockets; i > 0; i--) {
		struct inherited *s = &sockets[i - 1];

		if (!s->is_lent) {
			close(s->fd);
			forget(s);
		} else if (!s->is_used)
			log_warn("a socket on %s was handed over, but listen: does not name it", s->text);
	}
}
