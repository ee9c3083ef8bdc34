/* SPDX-License-Identifier: MIT */
/*
 * The files that a configuration names, noted as they are met, looked at when all of it is read: who
 * will need them is known only then.  Private to config/.
 */
#ifndef CONFIG_FILE_NOTE_H
#define CONFIG_FILE_NOTE_H

#include "config/schema.h"

struct file_note {
	struct file_note  *next;
	struct str         path;	/* ends in a zero byte */
	const struct node *node;
	struct str         where;	/* the way down to its key */
	enum file_use      use;
};

/* Into struct str: a file that is read at start and with each reload. */
extern const struct type type_file;

/* The node names that path, which ends in a zero byte. */
void file_note_add(struct reading *, const struct node *, struct str path, enum file_use);
/* After the walk: complains and warns of those that whom weir becomes could not use, the file itself
 * too, and of logs that have no folder. */
void file_note_check(struct reading *, const struct node *root);

#endif
