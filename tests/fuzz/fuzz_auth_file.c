/* SPDX-License-Identifier: MIT */
/*
 * Bytes as a file of passwords and as one of keys: read, or told with a line of it, and nothing that
 * was read could hold up who checks it.
 */
#include <sys/mman.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "config/auth_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(struct str name)
{
	check(name.len > 0 && name.len <= 64 && memchr(name.p, '\n', name.len) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1024), *scratch = arena_new(1024);
	struct auth_conf conf;
	const char *why = NULL;
	char path[64];
	int fd = memfd_create("auth", 0);
	size_t i;

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	memset(&conf, 0, sizeof(conf));
	conf.basic.file = conf.keys.file = str_of(path);
	if (auth_file_users(arena, scratch, &conf, &why)) {
		check(conf.n_users > 0);
		for (i = 0; i < conf.n_users; i++) {
			check_name(conf.users[i].name);
			check(i == 0 || str_cmp(conf.users[i - 1].name, conf.users[i].name) < 0);
			check(conf.users[i].hash.p[0] == '$');
		}
	} else
		check(why != NULL && strstr(why, path) == why);
	if (auth_file_keys(arena, scratch, &conf, &why)) {
		check(conf.n_api_keys > 0);
		for (i = 0; i < conf.n_api_keys; i++)
			check_name(conf.api_keys[i].name);
	} else
		check(why != NULL && strstr(why, path) == why);
	close(fd);
	arena_free(scratch);
	arena_free(arena);
	return 0;
}
