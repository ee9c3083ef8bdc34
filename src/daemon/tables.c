/* SPDX-License-Identifier: MIT */
/* weir --reference: conf/reference.yaml, and what the manual page takes from the tables. */
#include "daemon/tables.h"

#include <string.h>

#include "base/end.h"
#include "base/mdoc.h"
#include "config/config.h"
#include "ops/access_log.h"
#include "ops/metrics.h"

static void
print_ends(FILE *out)
{
	int i;

	for (i = 0; i < END_COUNT; i++)
		if (end_info(i)->text[0] != '\0')
			mdoc_item(out, end_info(i)->name, end_info(i)->text);
}

static const struct {
	const char *name;
	void      (*print)(FILE *);
} tables[] = {
	{ "yaml", config_print_reference },
	{ "keys", config_print_keys },
	{ "variables", config_print_variables },
	{ "fields", access_log_print_fields },
	{ "ends", print_ends },
	{ "metrics", metrics_print_families },
};

bool
tables_print(const char *name, FILE *out)
{
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (name == NULL || strcmp(name, tables[i].name) == 0) {
			tables[i].print(out);
			return true;
		}
	return false;
}
