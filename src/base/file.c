/* SPDX-License-Identifier: MIT */
/* Opens without blocking, looks at what it is, then reads. */
#include "base/file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static const char *
why_not(int error)
{
	switch (error) {
	case ENOENT:
		return "there is no such file";
	case EACCES:
		return "permission denied: the user weir runs as has to be able to read it";
	case EISDIR:
		return "that is a folder, give a file";
	default:
		return strerror(error);
	}
}

static const char *
why_too_large(size_t max)
{
	static char text[64];

	snprintf(text, sizeof(text), "the file is too large, at most %zu KB are read", max / 1024);
	return text;
}

/* A file may grow while it is read: what is beyond its size now is not looked at. */
static char *
read_all(int fd, size_t size, size_t *len)
{
	char *text = malloc(size + 1);
	ssize_t n = 1;

	check(text != NULL);
	for (*len = 0; *len < size && n > 0; *len += (size_t)(n > 0 ? n : 0))
		n = read(fd, text + *len, size - *len);
	text[*len] = '\0';
	if (n >= 0)
		return text;
	free(text);
	return NULL;
}

static char *
read_regular(int fd, size_t max, size_t *len, const char **why)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) != 0)
		*why = why_not(errno);
	else if (S_ISDIR(st.st_mode))
		*why = why_not(EISDIR);
	else if (!S_ISREG(st.st_mode))
		*why = "that is no regular file";
	else if ((uint64_t)st.st_size > max)
		*why = why_too_large(max);
	else if ((text = read_all(fd, (size_t)st.st_size, len)) != NULL)
		return text;
	else
		*why = why_not(errno);
	return NULL;
}

char *
file_read(const char *path, size_t max, size_t *len, const char **why)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char *text;

	if (fd < 0) {
		*why = why_not(errno);
		return NULL;
	}
	text = read_regular(fd, max, len, why);
	close(fd);
	return text;
}

char *
file_read_in(const char *folder, struct str name, size_t max, size_t *len)
{
	char path[NAME_MAX + 1], *text;
	const char *why;
	int dir, fd;

	if (name.len == 0 || name.len > NAME_MAX || name.p[0] == '.' || str_find(name, '/') >= 0 ||
	    str_find(name, '\0') >= 0)
		return NULL;
	memcpy(path, name.p, name.len);
	path[name.len] = '\0';
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return NULL;
	fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	close(dir);
	if (fd < 0)
		return NULL;
	text = read_regular(fd, max, len, &why);
	close(fd);
	return text;
}
