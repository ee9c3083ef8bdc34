/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets: bind, accept, back off when descriptors run out, kept by address across reloads.
 *
 * Knows nothing of what a client will say.  Invariant: a listener in the registry is bound, whether
 * it accepts now or is paused.
 */
#include "net/listener.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/slab.h"
#include "net/inherit.h"
#include "net/loop_private.h"

enum {
	ACCEPTS_PER_EVENT = 64,
	BACKLOG = 4096,			/* cut by net.core.somaxconn */
	PAUSE = 100,			/* ms without accepting when descriptors are out */
	WARN_EVERY = 10000		/* ms of quiet between two lines about that */
};

struct listener {
	unsigned refs;
	struct listener_registry *registry;
	char    *identity;
	char    *path;			/* of a unix socket, removed at the end */
	bool     owns_path;		/* nobody else's: its mode is ours to set */
	unsigned mode;			/* of the path; 0: not set yet */
	const void *binding;
	uint16_t port;
	int      fd;
	bool     is_lent;		/* systemd holds it too */
	struct event event;
	bool     is_watching;
	bool     is_exempt;		/* from the registry's pause */
	bool     is_starved;		/* paused for want of descriptors */
	struct deadline pause;
	msec     warned;
	uint64_t n_accepted;
};

static bool
is_paused(const struct listener *l)
{
	return l->registry->is_paused && !l->is_exempt;
}

static void
watch(struct listener *l)
{
	bool want = !l->is_starved && !is_paused(l);

	if (want && !l->is_watching)
		event_add(&l->event, NULL);
	else if (!want && l->is_watching)
		event_del(&l->event);
	l->is_watching = want;
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;

	l->is_starved = false;
	watch(l);
}

static void
starve(struct listener *l, int error)
{
	if (l->warned == 0 || clock_now() - l->warned > WARN_EVERY)
		log_warn("cannot accept on %s: %s; trying again every %d ms", l->identity,
		    strerror(error), PAUSE);
	l->warned = clock_now();
	l->registry->n_starved++;
	l->is_starved = true;
	deadline_arm(&l->pause, PAUSE);
	watch(l);
}

/* False when there is nothing (more) to accept now. */
static bool
accept_one(struct listener *l)
{
	struct listener_registry *r = l->registry;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;

	memset(&peer, 0, sizeof(peer.ss_family));
	fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		l->n_accepted++;
		r->on_accept(r->arg, fd, (struct sockaddr *)&peer, len, l);
		return !is_paused(l);
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		starve(l, errno);
		return false;
	case EAGAIN:
	case EINVAL:
	case EBADF:
		return false;
	default:
		/* ECONNABORTED and the like are the peer's affair: the next one may be fine. */
		return true;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	int i;

	(void)fd;
	(void)what;
	loop_wake(l->registry->loop);
	for (i = 0; i < ACCEPTS_PER_EVENT && accept_one(l); i++)
		;
}

/* A socket file that nobody listens on any more is in the way and may go. */
static void
remove_stale(const struct address *a)
{
	struct stat st;
	int fd;

	if (lstat(a->sa.un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, &a->sa.sa, a->len) != 0 && errno == ECONNREFUSED)
		(void)unlink(a->sa.un.sun_path);
	close(fd);
}

static const char *
remedy(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another program listens there: stop it or choose another port";
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return "; no interface of this machine has that address";
	default:
		return "";
	}
}

/* A path is ours alone until it has its mode, whatever the umask. */
static int
bind_to(int fd, const struct address *a)
{
	mode_t was = a->is_unix ? umask(0177) : 0;
	int r = bind(fd, &a->sa.sa, a->len), error = errno;

	if (a->is_unix)
		(void)umask(was);
	errno = error;
	return r;
}

static int
bind_socket(const struct address *a, struct err *err)
{
	int fd, one = 1;

	fd = socket(a->sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err_set(err, "cannot make a socket for %.*s: %s", STR_ARG(a->text), strerror(errno));
		return -1;
	}
	if (a->is_unix)
		remove_stale(a);
	else {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		/* Inherited by what is accepted: saves a call a connection. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (a->sa.sa.sa_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	}
	if (bind_to(fd, a) != 0 || listen(fd, BACKLOG) != 0) {
		err_set(err, "cannot listen on %.*s: %s%s", STR_ARG(a->text), strerror(errno),
		    remedy(errno));
		close(fd);
		return -1;
	}
	return fd;
}

struct listener *
listener_get(struct listener_registry *r, const struct address *a, struct str name, struct err *err)
{
	struct listener *l = table_get(&r->by_address, a->text);
	bool is_lent = false;
	int fd;

	if (l != NULL) {
		l->refs++;
		return l;
	}
	if (a->is_name) {
		err_set(err, "cannot listen on %.*s: give an address, not a name", STR_ARG(a->text));
		return NULL;
	}
	fd = inherit_take(a, name, &is_lent);
	if (fd < 0)
		fd = bind_socket(a, err);
	if (fd < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	check(l != NULL);
	l->refs = 1;
	l->registry = r;
	l->fd = fd;
	l->is_lent = is_lent;
	/* A weir before us made it, if we did not. */
	l->owns_path = a->is_unix && !is_lent;
	l->port = a->port;
	l->identity = strndup(a->text.p, a->text.len);
	l->path = a->is_unix ? strdup(a->sa.un.sun_path) : NULL;
	check(l->identity != NULL);
	event_assign(&l->event, r->loop->base, fd, EV_READ | EV_PERSIST, on_readable, l);
	deadline_init(&l->pause, r->loop, on_pause_over, l);
	table_set(&r->by_address, str_of(l->identity), l);
	watch(l);
	return l;
}

/* Who stands in the kernel's line was let in before we closed: closing would reset them. */
static void
accept_waiting(struct listener *l)
{
	int i;

	for (i = 0; i < BACKLOG && !is_paused(l) && accept_one(l); i++)
		;
}

void
listener_unref(struct listener *l)
{
	if (--l->refs > 0)
		return;
	accept_waiting(l);
	table_remove(&l->registry->by_address, str_of(l->identity));
	deadline_fini(&l->pause);
	if (l->is_watching)
		event_del(&l->event);
	close(l->fd);
	if (l->path != NULL && !l->registry->is_handed_over && !inherit_owns(l->path))
		(void)unlink(l->path);
	free(l->path);
	free(l->identity);
	free(l);
}

void
listener_bind_to(struct listener *l, const void *binding)
{
	l->binding = binding;
}

const void *
listener_binding(const struct listener *l)
{
	return l->binding;
}

void
listener_set_mode(struct listener *l, unsigned mode)
{
	struct stat st;

	if (!l->owns_path || l->mode == mode)
		return;
	/* After privileges were dropped it may be another's. */
	if ((stat(l->path, &st) != 0 || (st.st_mode & 07777) != mode) && chmod(l->path, mode) != 0)
		log_warn("%s: cannot be given mode %04o: %s", l->identity, mode, strerror(errno));
	l->mode = mode;
}

void
listener_exempt(struct listener *l, bool is_exempt)
{
	l->is_exempt = is_exempt;
	watch(l);
}

uint64_t
listener_accepted(const struct listener *l)
{
	return l->n_accepted;
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}

bool
listener_is_unix(const struct listener *l)
{
	return l->path != NULL;
}

void
listener_registry_init(struct listener_registry *r, struct loop *loop, listener_accept *on_accept,
    void *arg)
{
	memset(r, 0, sizeof(*r));
	r->loop = loop;
	r->on_accept = on_accept;
	r->arg = arg;
}

void
listener_registry_fini(struct listener_registry *r)
{
	check(r->by_address.n == 0);
	table_fini(&r->by_address);
}

void
listener_registry_pause(struct listener_registry *r, bool pause)
{
	struct str key;
	void *value;
	size_t pos = 0;

	if (r->is_paused == pause)
		return;
	r->is_paused = pause;
	r->n_pauses += pause;
	while (table_next(&r->by_address, &pos, &key, &value))
		watch(value);
}

size_t
listener_registry_sockets(const struct listener_registry *r, int *fds, size_t max, FILE *told)
{
	const struct listener *l;
	struct str key;
	void *value;
	size_t pos = 0, n = 0;

	while (n < max && table_next(&r->by_address, &pos, &key, &value)) {
		l = value;
		fds[n++] = l->fd;
		fprintf(told, "%s%s\n", l->is_lent ? INHERIT_LENT : INHERIT_OWN, l->identity);
	}
	return n;
}

size_t
listener_registry_count(const struct listener_registry *r)
{
	return r->by_address.n;
}
