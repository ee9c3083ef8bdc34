/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a configuration file: the loader never crashes, tells an error for what it refuses,
 * and prints what it takes so that it reads back as the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "ops/access_log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What ${NAME} may stand for, whatever the machine has. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	clearenv();
	setenv("A", "10s", 1);
	setenv("B", "a: [b\n\t\xc3\xa9", 1);
	setenv("C", "\xff", 1);
	return 0;
}

static struct config *
load(struct str text, struct report *report)
{
	struct config *conf;
	size_t i;

	report_init(report);
	report->check_format = access_log_check_format;
	conf = config_parse(text, "file", report);
	check((conf == NULL) == (report->n_errors > 0));
	for (i = 0; i < report->n; i++) {
		check(str_starts(report->lines[i].text, STR("file:")));
		check(str_find(report->lines[i].text, '\n') < 0);
	}
	return conf;
}

static char *
print(const struct config *conf, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	check(out != NULL);
	config_print(conf, out);
	fclose(out);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report report;
	struct config *conf = load(str_make((const char *)data, size), &report);
	char *first, *second;
	size_t n_first, n_second;

	report_fini(&report);
	if (conf == NULL)
		return 0;
	first = print(conf, &n_first);
	config_unref(conf);
	conf = load(str_make(first, n_first), &report);
	if (conf == NULL)
		report_print(&report, stderr);
	check(conf != NULL);
	report_fini(&report);
	second = print(conf, &n_second);
	config_unref(conf);
	check(n_first == n_second && memcmp(first, second, n_first) == 0);
	free(first);
	free(second);
	return 0;
}
