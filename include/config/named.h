/* SPDX-License-Identifier: MIT */
/* Mappings of things with names, which routes name.  Private to config/. */
#ifndef CONFIG_NAMED_H
#define CONFIG_NAMED_H

#include "config/schema.h"

/* Reads a mapping of names to sections, each by parse, into the array; what has a name in the file begins
 * with it in memory.  False only when it is no mapping or too long. */
bool named_parse(struct reading *, const struct row *, const struct node *, struct array *,
    enum names_kind, bool (*parse)(struct reading *, const struct row *, const struct node *, void *));
void named_print(FILE *, int indent, const struct row *, const void *base);
/* The index of the thing that a node names, which is used from now on; false after a complaint. */
bool named_find(struct reading *, const struct node *, enum names_kind, size_t *index);
/* Complains of each thing that nothing names. */
void named_check_unused(struct reading *, enum names_kind);

#endif
