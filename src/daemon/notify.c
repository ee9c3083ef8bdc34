/* SPDX-License-Identifier: MIT */
/* The service manager is told how it goes: one datagram a word, never waited for. */
#include "daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_MAX = 1024 };

static struct sockaddr_un manager;
static socklen_t manager_len;		/* 0: there is none */
static msec watchdog;

static void
take_socket(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path != NULL ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(manager.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	manager.sun_family = AF_UNIX;
	memcpy(manager.sun_path, path, len);
	/* An abstract one is named by "@", and begins with a zero byte. */
	if (path[0] == '@')
		manager.sun_path[0] = '\0';
	manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void
take_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t n, us;

	if (usec == NULL || !str_to_uint(str_of(usec), INT64_MAX, &us) || us == 0)
		return;
	if (pid != NULL && (!str_to_uint(str_of(pid), INT32_MAX, &n) || (pid_t)n != getpid()))
		return;
	watchdog = (msec)(us / 2000);
	if (watchdog == 0)
		watchdog = 1;
}

void
notify_init(void)
{
	take_socket();
	take_watchdog();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

bool
notify_is_on(void)
{
	return manager_len > 0;
}

void
notify_send(const char *fmt, ...)
{
	char lines[LINES_MAX];
	va_list ap;
	int fd, n;

	if (manager_len == 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(lines, sizeof(lines), fmt, ap);
	va_end(ap);
	if (n <= 0)
		return;
	if ((size_t)n >= sizeof(lines))
		n = (int)sizeof(lines) - 1;
	/* A few a minute: not worth a descriptor that is kept. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, lines, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&manager,
	    manager_len);
	close(fd);
}

void
notify_export(void)
{
	char text[32], path[sizeof(manager.sun_path) + 1];
	size_t len = manager_len - offsetof(struct sockaddr_un, sun_path);

	if (manager_len > 0) {
		memcpy(path, manager.sun_path, len);
		path[len] = '\0';
		if (path[0] == '\0')
			path[0] = '@';
		setenv("NOTIFY_SOCKET", path, 1);
	}
	if (watchdog > 0) {
		snprintf(text, sizeof(text), "%lld", (long long)watchdog * 2000);
		setenv("WATCHDOG_USEC", text, 1);
	}
}

msec
notify_watchdog(void)
{
	return watchdog;
}
