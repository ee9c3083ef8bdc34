/* SPDX-License-Identifier: MIT */
/* Small regular files, read whole.  Never waits for one: what could block (a FIFO) is refused. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>

#include "base/str.h"

/* The bytes of a regular file of at most max bytes, to be freed, with a terminator behind them that
 * *len does not count; NULL with *why, what is wrong and what would be right. */
char *file_read(const char *path, size_t max, size_t *len, const char **why);
/*
 * The same of a file that lies directly in the folder: the name is no path, does not begin with a
 * dot, and is no symbolic link.  NULL when there is no such file.
 */
char *file_read_in(const char *folder, struct str name, size_t max, size_t *len);

#endif
