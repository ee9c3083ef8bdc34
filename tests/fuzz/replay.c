/* SPDX-License-Identifier: MIT */
/*
 * Gives files to a fuzz target: what make test does with the inputs kept, without a fuzzer.
 * usage: replay_NAME DIRECTORY|FILE...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_done;

static void
give(const char *path)
{
	FILE *in = fopen(path, "rb"), *out;
	char *bytes = NULL, buf[4096], *exact;
	size_t size, n;

	out = open_memstream(&bytes, &size);
	if (in == NULL || out == NULL) {
		perror(path);
		exit(1);
	}
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		fwrite(buf, 1, n, out);
	fclose(in);
	fclose(out);
	/* What a failed check says would not name the file. */
	fprintf(stderr, "%s\n", path);
	exact = malloc(size > 0 ? size : 1);
	if (exact == NULL)
		exit(1);
	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, size);
	free(exact);
	free(bytes);
	n_done++;
}

static void
give_all(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	char name[4096];

	if (dir == NULL) {
		give(path);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			give(name);
		}
	closedir(dir);
}

int
main(int argc, char **argv)
{
	int i;

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (i = 1; i < argc; i++)
		give_all(argv[i]);
	printf("%s %u files\n", n_done > 0 ? "ok" : "not ok", n_done);
	return n_done > 0 ? 0 : 1;
}
