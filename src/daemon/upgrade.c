/* SPDX-License-Identifier: MIT */
/*
 * A child with our listening sockets, as systemd would hand them over, and a pipe on which it says
 * that it is ready.  Its end without a word is the other answer.
 */
#include "daemon/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "daemon/notify.h"
#include "net/inherit.h"
#include "net/listener.h"

#define READY_VARIABLE	"WEIR_READY_FD"
#define TICKETS_VARIABLE "WEIR_TICKETS_FD"

enum {
	FIRST = 3,			/* where handed-over descriptors begin: sd_listen_fds(3) */
	SOCKETS_MAX = 256,
	FDS_MAX = SOCKETS_MAX + 2,	/* and the pipe, and the tickets */
	LIMIT = 60000			/* ms for the new one to read its configuration and be ready */
};

static void
end(struct upgrade *u)
{
	if (u->child == 0)
		return;
	event_del(&u->event);
	close(u->pipe);
	deadline_disarm(&u->limit);
	u->child = 0;
}

static void
on_word(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;
	char word;
	ssize_t n = read(fd, &word, 1);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1) {
		u->on_ready(u->arg);
		end(u);
		return;
	}
	end(u);
	u->on_fail(u->arg, "it ended before it was ready");
}

static void
on_late(void *arg)
{
	struct upgrade *u = arg;

	(void)kill(u->child, SIGKILL);
	end(u);
	u->on_fail(u->arg, "it was not ready within a minute and was ended");
}

void
upgrade_cancel(struct upgrade *u)
{
	if (u->child == 0)
		return;
	log_info("upgrade: process %d is ended, we stop", (int)u->child);
	(void)kill(u->child, SIGKILL);
	end(u);
}

void
upgrade_init(struct upgrade *u, struct loop *loop, void (*on_ready)(void *),
    void (*on_fail)(void *, const char *), void *arg)
{
	memset(u, 0, sizeof(*u));
	u->on_ready = on_ready;
	u->on_fail = on_fail;
	u->arg = arg;
	deadline_init(&u->limit, loop, on_late, u);
}

void
upgrade_fini(struct upgrade *u)
{
	end(u);
	deadline_fini(&u->limit);
}

/* --- in the child ------------------------------------------------------------------------------ */

/* Puts the descriptors where they are looked for; they survive exec there. */
static bool
arrange(int *fds, size_t n)
{
	size_t i;

	/* First out of the way of each other. */
	for (i = 0; i < n; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST + FDS_MAX);
		if (fds[i] < 0)
			return false;
	}
	for (i = 0; i < n; i++)
		if (dup2(fds[i], FIRST + (int)i) < 0)
			return false;
	return true;
}

static void
set_number(const char *name, long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", value);
	setenv(name, text, 1);
}

/* The descriptors are sockets, then the pipe, then, where there are any, the tickets. */
static void
become_new(int *fds, size_t n_sockets, const char *told, bool has_tickets, char **argv)
{
	sigset_t none;

	if (!arrange(fds, n_sockets + 1 + has_tickets))
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_number("LISTEN_PID", (long long)getpid());
	set_number("LISTEN_FDS", (long long)n_sockets);
	setenv(INHERIT_VARIABLE, told, 1);
	set_number(READY_VARIABLE, FIRST + (long long)n_sockets);
	if (has_tickets)
		set_number(TICKETS_VARIABLE, FIRST + (long long)n_sockets + 1);
	notify_export();
	execvp(argv[0], argv);
	fprintf(stderr, "weir: cannot start %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* --- in the parent ------------------------------------------------------------------------------- */

/*
 * As fork(2), but the child is not ours: who started us inherits it now, not when we end.  systemd waits
 * only for the end of what was its own child when it was named as main process; it would kill any other
 * as soon as the service is to stop.
 */
static pid_t
fork_orphan(void)
{
	pid_t between, child = -1;
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	between = fork();
	if (between == 0) {
		child = fork();
		if (child == 0)
			return 0;
		(void)!write(pipes[1], &child, sizeof(child));
		_exit(0);
	}
	close(pipes[1]);
	/* A moment: it does nothing else. */
	if (between > 0 && read(pipes[0], &child, sizeof(child)) != (ssize_t)sizeof(child))
		child = -1;
	close(pipes[0]);
	return child;
}

/* The child with the other end of the pipe; negative: there is none. */
static pid_t
start_child(const struct listener_registry *listeners, int pipe, int tickets, char **argv)
{
	int fds[FDS_MAX];
	char *told = NULL;
	size_t n, len;
	FILE *out = open_memstream(&told, &len);
	pid_t child;

	check(out != NULL);
	n = listener_registry_sockets(listeners, fds, SOCKETS_MAX, out);
	fclose(out);
	fds[n] = pipe;
	fds[n + 1] = tickets;
	child = fork_orphan();
	if (child == 0)
		become_new(fds, n, told, tickets >= 0, argv);
	free(told);
	return child;
}

static bool
start(struct upgrade *u, struct loop *loop, const struct listener_registry *listeners, int tickets,
    char **argv, struct err *err)
{
	int pipes[2];
	pid_t child;

	if (u->child != 0)
		return err_set(err, "a new program is starting already (pid %d)", (int)u->child);
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return err_set(err, "cannot make a pipe: %s", strerror(errno));
	child = start_child(listeners, pipes[1], tickets, argv);
	close(pipes[1]);
	if (child < 0) {
		close(pipes[0]);
		return err_set(err, "cannot fork: %s", strerror(errno));
	}
	(void)fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	u->child = child;
	u->pipe = pipes[0];
	event_assign(&u->event, loop_base(loop), u->pipe, EV_READ | EV_PERSIST, on_word, u);
	event_add(&u->event, NULL);
	deadline_arm(&u->limit, LIMIT);
	return true;
}

bool
upgrade_start(struct upgrade *u, struct loop *loop, const struct listener_registry *listeners,
    int tickets, char **argv, struct err *err)
{
	bool ok = start(u, loop, listeners, tickets, argv, err);

	if (tickets >= 0)
		close(tickets);
	return ok;
}

/* --- in the new process -------------------------------------------------------------------------- */

/* The descriptor that the variable names, which is of no use twice; -1: none. */
static int
take_fd(const char *variable)
{
	const char *text = getenv(variable);
	uint64_t fd;
	bool ok = text != NULL && str_to_uint(str_of(text), 65536, &fd);

	unsetenv(variable);
	return ok ? (int)fd : -1;
}

int
upgrade_take_tickets(void)
{
	return take_fd(TICKETS_VARIABLE);
}

bool
upgrade_tell_ready(void)
{
	int fd = take_fd(READY_VARIABLE);
	bool is_heard;

	if (fd < 0)
		return false;
	is_heard = write(fd, "r", 1) == 1;
	close(fd);
	return is_heard;
}
