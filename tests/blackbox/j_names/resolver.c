/* SPDX-License-Identifier: MIT */
/*
 * A resolver for tests, loaded before libc: names as the file $WEIR_TEST_NAMES has them at the moment
 * they are asked for, a line each: "NAME ADDRESS...", "NAME -" (does not resolve), "NAME ..." (no answer
 * until the line is another).  Other names are the system's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* What stands behind the name, into line; NULL when it is not there. */
static char *
find(const char *name, char *line, size_t size)
{
	const char *path = getenv("WEIR_TEST_NAMES");
	FILE *f = path != NULL ? fopen(path, "r") : NULL;
	size_t len = strlen(name);
	char *found = NULL;

	while (f != NULL && found == NULL && fgets(line, (int)size, f) != NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			found = line + len + 1;
	if (f != NULL)
		fclose(f);
	return found;
}

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
	struct addrinfo numeric = *hints, **tail = out;
	char line[512], *rest, *word, *at = NULL;

	while ((rest = find(node, line, sizeof(line))) != NULL && strncmp(rest, "...", 3) == 0)
		usleep(10000);
	if (rest == NULL)
		return real(node, service, hints, out);
	numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	*out = NULL;
	for (word = strtok_r(rest, " \n", &at); word != NULL; word = strtok_r(NULL, " \n", &at))
		if (real(word, service, &numeric, tail) == 0)
			while (*tail != NULL)
				tail = &(*tail)->ai_next;
	return *out != NULL ? 0 : EAI_NONAME;
}
