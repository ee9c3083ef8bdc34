/* SPDX-License-Identifier: MIT */
/* The command: options, the listening socket, signals, the end. */
#include "model.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/listener.h>

enum { EXIT_USAGE = 2, EXIT_START = 3, BACKLOG = 1024 };

struct model model;

static struct event *accept_again;

int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void *
xalloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		abort();
	return p;
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	(void)l;
	(void)sa;
	(void)len;
	(void)arg;
	client_new(fd);
}

/* Out of descriptors or the like: a pause instead of a busy loop. */
static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	struct timeval tv = { 0, 100000 };

	(void)arg;
	evconnlistener_disable(l);
	event_add(accept_again, &tv);
}

static void
on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	evconnlistener_enable(arg);
}

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopbreak(model.base);
}

/* "PORT" or "ADDRESS:PORT" to a listening socket; -1 after a message. */
static int
listen_on(const char *where)
{
	char text[128];
	struct sockaddr_storage ss;
	int fd = -1, len = sizeof(ss), on = 1;

	snprintf(text, sizeof(text), "%s%s", strchr(where, ':') == NULL ? "127.0.0.1:" : "", where);
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&ss, &len) != 0)
		errno = EINVAL;
	else if ((fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&ss, (socklen_t)len) == 0 && listen(fd, BACKLOG) == 0)
			return fd;
	}
	fprintf(stderr, "model %s: cannot listen on %s: %s\n", model.set.name, text,
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The address of a socket, with the port the kernel gave. */
static const char *
name_of(int fd, char *buf, size_t size)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[64], port[8];

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return "?";
	snprintf(buf, size, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return buf;
}

static int
usage(const char *what, const char *why)
{
	fprintf(stderr, "model: %s: %s (model --help tells more)\n", what, why);
	return EXIT_USAGE;
}

/* 0, an exit code, or -1 after --help. */
static int
take_options(int argc, char **argv, struct settings *set, const char **where)
{
	const char *why, *value;
	char key[64];
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			settings_help();
			return -1;
		}
		if (strncmp(argv[i], "--", 2) != 0)
			return usage(argv[i], "not an option");
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(argv[i] + 2, "="), argv[i] + 2);
		if (strcmp(key, "listen") != 0 && !setting_exists(key))
			return usage(argv[i], "not an option");
		value = strchr(argv[i], '=');
		if (value != NULL)
			value++;
		else if (setting_is_flag(key))
			value = "1";
		else if (i + 1 < argc)
			value = argv[++i];
		else
			return usage(argv[i], "lacks its value");
		if (strcmp(key, "listen") == 0)
			*where = value;
		else if (!setting_put(set, key, value, &why))
			return usage(key, why);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	const char *where = "127.0.0.1:8001";
	struct settings set;
	struct event_config *config;
	struct evconnlistener *listener;
	struct event *term, *interrupt;
	char text[128];
	int fd, code;

	settings_default(&set);
	code = take_options(argc, argv, &set, &where);
	if (code != 0)
		return code < 0 ? 0 : code;
	model.set = set;
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	fd = listen_on(where);
	if (fd < 0)
		return EXIT_START;
	config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	model.base = event_base_new_with_config(config);
	event_config_free(config);
	listener = model.base == NULL ? NULL : evconnlistener_new(model.base, on_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener == NULL)
		return EXIT_START;
	accept_again = evtimer_new(model.base, on_accept_again, listener);
	evconnlistener_set_error_cb(listener, on_accept_error);
	term = evsignal_new(model.base, SIGTERM, on_stop, NULL);
	interrupt = evsignal_new(model.base, SIGINT, on_stop, NULL);
	event_add(term, NULL);
	event_add(interrupt, NULL);
	settings_apply(&set);

	printf("model %s: listening on %s\n", model.set.name, name_of(fd, text, sizeof(text)));
	fflush(stdout);
	event_base_dispatch(model.base);

	clients_free();
	answer_free_all();
	event_free(term);
	event_free(interrupt);
	event_free(accept_again);
	evconnlistener_free(listener);
	event_base_free(model.base);
	libevent_global_shutdown();
	return model.exit_code;
}
