/* SPDX-License-Identifier: MIT */
/* The tables that users can name things of, printed: weir --reference. */
#ifndef DAEMON_TABLES_H
#define DAEMON_TABLES_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Prints one table: "yaml" (NULL too) is conf/reference.yaml, the others are parts of the manual page
 * in mdoc.  False when there is no such table.
 */
bool tables_print(const char *name, FILE *out);

#endif
