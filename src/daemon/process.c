/* SPDX-License-Identifier: MIT */
/* What the system says of this process. */
#include "daemon/process.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

/* The names in a folder that are no names of folders. */
static size_t
count_names(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t n = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	/* One of them was for the asking. */
	return n - (n > 0);
}

size_t
process_files(void)
{
	struct stat st;

	/* Linux 6.2 tells it at once. */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (size_t)st.st_size;
	return count_names("/proc/self/fd");
}

uint64_t
process_files_max(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

uint64_t
process_memory(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long all = 0, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &all, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
microseconds(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

uint64_t
process_cpu_us(void)
{
	struct rusage use;

	return getrusage(RUSAGE_SELF, &use) == 0
	    ? microseconds(use.ru_utime) + microseconds(use.ru_stime) : 0;
}
