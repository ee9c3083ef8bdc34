/* SPDX-License-Identifier: MIT */
/*
 * Files that the configuration names, and whether who weir becomes can use them.
 *
 * What is read at start is read by whoever starts it: a reload is not, and tells nobody in time.  So that
 * is a warning, where a folder that nobody could look into later is an error.
 */
#include "config/file_note.h"

#include <sys/stat.h>

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "config/config.h"
#include "config/type.h"

void
file_note_add(struct reading *r, const struct node *n, struct str path, enum file_use use)
{
	struct file_note *note = arena_zalloc(r->scratch, sizeof(*note));

	note->path = path;
	note->node = n;
	note->where = arena_dup(r->scratch, str_make(r->path, r->path_len));
	note->use = use;
	note->next = r->file_notes;
	r->file_notes = note;
}

static bool
parse_file(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	if (!type_parse_plain(r, row, n, base))
		return false;
	if (n->text.len > 0)
		file_note_add(r, n, *(const struct str *)AT_CONST(base, row), FILE_USE_READ);
	return true;
}

const struct type type_file = { .parse = parse_file, .print = type_print_text };

/* The folder that a file is in, as a C string. */
static const char *
folder_of(struct reading *r, struct str path)
{
	size_t len = path.len;

	while (len > 0 && path.p[len - 1] != '/')
		len--;
	return len == 0 ? "." : arena_dup(r->scratch, str_first(path, len)).p;
}

/* A log is made when it is not there; its folder is not. */
static bool
check_log(struct reading *r, const struct file_note *note)
{
	const char *folder = folder_of(r, note->path);
	struct stat st;

	if (stat(note->path.p, &st) == 0 && S_ISDIR(st.st_mode))
		return complain(r, note->node, "%.*s: that is a folder, name a file in it",
		    STR_ARG(note->path));
	if (stat(folder, &st) == 0)
		return true;
	return complain(r, note->node, "%.*s: %s: %s", STR_ARG(note->path), folder,
	    errno == ENOENT ? "there is no such folder, make it" : strerror(errno));
}

static void
check_user(struct reading *r, const struct file_note *note)
{
	struct str user = r->config->user.len > 0 ? r->config->user : r->config->group;
	const char *path = note->use == FILE_USE_LOG ? folder_of(r, note->path) : note->path.p;

	if (r->checks->may_use == NULL || r->checks->may_use(r->config, path, note->use))
		return;
	switch (note->use) {
	case FILE_USE_READ:
		warn(r, note->node, "%.*s: %.*s cannot read it, or enter its folder, so reloads will fail: "
		    "give it a group of that user and mode 640", STR_ARG(note->path), STR_ARG(user));
		break;
	case FILE_USE_SEARCH:
		complain(r, note->node, "%.*s: %.*s cannot enter that folder, nothing in it would be "
		    "found: give it a group of that user and mode 750", STR_ARG(note->path),
		    STR_ARG(user));
		break;
	case FILE_USE_LOG:
		warn(r, note->node, "%.*s: %.*s cannot enter %s, so the log cannot be opened again when it "
		    "was renamed", STR_ARG(note->path), STR_ARG(user), path);
		break;
	}
}

void
file_note_check(struct reading *r, const struct node *root)
{
	const struct file_note *note;
	struct file_note own = { .path = str_of(r->file), .node = node_find(root, "user"),
		.where = STR("user"), .use = FILE_USE_READ };
	size_t was;

	if (own.node == NULL) {
		own.node = node_find(root, "group");
		own.where = STR("group");
	}
	own.next = r->file_notes;
	for (note = own.node != NULL ? &own : own.next; note != NULL; note = note->next) {
		was = path_push(r, "%.*s", STR_ARG(note->where));
		if (note->use != FILE_USE_LOG || check_log(r, note))
			check_user(r, note);
		path_pop(r, was);
	}
}
