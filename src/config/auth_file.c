/* SPDX-License-Identifier: MIT */
/*
 * Lines "name:what", "#" before remarks.
 *
 * What a check of a password costs is bounded here, where the file's owner is told: a hash that takes
 * longer than a moment would let anybody keep the machine busy by asking.
 */
#include "config/auth_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/table.h"

enum {
	FILE_MAX = 1024 * 1024,
	LINES_MAX = 10000,
	NAME_MAX_BYTES = 64,
	BCRYPT_LEN = 60, BCRYPT_COST_MIN = 4, BCRYPT_COST_MAX = 12,
	ROUNDS_MIN = 1000, ROUNDS_MAX = 200000,
	SALT_MAX = 16, SHA256_LEN = 43, SHA512_LEN = 86
};

/* --- lines ------------------------------------------------------------------------------------- */

struct lines {
	struct arena *scratch;
	struct str    file;
	struct table  names;
	unsigned      number;		/* of the line that is read */
	size_t        n;		/* how many had something in them */
	const char   *why;
};

static bool
blame(struct lines *l, const char *what)
{
	l->why = arena_printf(l->scratch, "%.*s:%u: %s", STR_ARG(l->file), l->number, what).p;
	return false;
}

/* What a name may be: it goes to logs and fields. */
static bool
is_name(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.len > 0 && s.len <= NAME_MAX_BYTES;
}

typedef bool take_line(struct lines *, void *items, size_t i, struct str name, struct str rest);

static bool
read_line(struct lines *l, struct str line, take_line *take, void *items)
{
	ptrdiff_t colon;
	struct str name;

	line = str_trim(line);
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line = str_trim(str_first(line, line.len - 1));
	if (line.len == 0 || line.p[0] == '#')
		return true;
	colon = str_find(line, ':');
	if (colon < 0)
		return blame(l, "no line of name:value");
	name = str_first(line, (size_t)colon);
	if (!is_name(name))
		return blame(l, "a name has 1 to 64 bytes, none of them a control byte");
	if (l->n == LINES_MAX)
		return blame(l, "more than 10000 names");
	if (table_set(&l->names, name, l) != NULL)
		return blame(l, arena_printf(l->scratch, "%.*s is there twice", STR_ARG(name)).p);
	return take(l, items, l->n++, name, str_from(line, (size_t)colon + 1));
}

static size_t
count_lines(struct str text)
{
	size_t n = 1, i;

	for (i = 0; i < text.len; i++)
		n += text.p[i] == '\n';
	return n < LINES_MAX ? n : LINES_MAX;
}

static bool
read_lines(struct lines *l, struct str text, take_line *take, void *items)
{
	bool ok = true;
	ptrdiff_t end;

	while (ok && text.len > 0) {
		end = str_find(text, '\n');
		l->number++;
		ok = read_line(l, end >= 0 ? str_first(text, (size_t)end) : text, take, items);
		text = end >= 0 ? str_from(text, (size_t)end + 1) : STR_NONE;
	}
	return ok;
}

/* The items of a file in the arena; NULL with *why. */
static void *
read_file(struct arena *arena, struct arena *scratch, struct str file, size_t size, take_line *take,
    size_t *n, const char **why)
{
	struct lines l = { .scratch = scratch, .file = file };
	const char *reason;
	void *items = NULL;
	size_t len;
	char *text = file_read(arena_dup(scratch, file).p, FILE_MAX, &len, &reason);

	if (text == NULL) {
		*why = arena_printf(scratch, "%.*s: %s", STR_ARG(file), reason).p;
		return NULL;
	}
	items = arena_zalloc(arena, (count_lines(str_make(text, len)) + 1) * size);
	if (!read_lines(&l, arena_dup(arena, str_make(text, len)), take, items))
		items = NULL;
	else if (l.n == 0) {
		l.why = arena_printf(scratch, "%.*s: there is no line in it", STR_ARG(file)).p;
		items = NULL;
	}
	table_fini(&l.names);
	free(text);
	*n = l.n;
	*why = l.why;
	return items;
}

/* --- passwords --------------------------------------------------------------------------------- */

static bool
is_crypt_text(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '.' && c <= '9')))
			return false;
	}
	return true;
}

static const char *
check_bcrypt(struct str hash)
{
	uint64_t cost;

	if (hash.len != BCRYPT_LEN || hash.p[6] != '$' || !is_crypt_text(str_from(hash, 7)) ||
	    !str_to_uint(str_make(hash.p + 4, 2), 99, &cost))
		return "no whole bcrypt hash";
	if (cost < BCRYPT_COST_MIN || cost > BCRYPT_COST_MAX)
		return "a bcrypt cost of 4 to 12 is possible: htpasswd -B -C 10";
	return NULL;
}

/* "$6$[rounds=N$]salt$hash" */
static const char *
check_sha_crypt(struct str hash, size_t len)
{
	struct str rest = str_from(hash, 3);
	uint64_t rounds;
	ptrdiff_t cut;

	if (str_starts(rest, STR("rounds="))) {
		cut = str_find(rest, '$');
		if (cut < 0 || !str_to_uint(str_make(rest.p + 7, (size_t)cut - 7), UINT32_MAX, &rounds) ||
		    rounds < ROUNDS_MIN || rounds > ROUNDS_MAX)
			return "1000 to 200000 rounds are possible";
		rest = str_from(rest, (size_t)cut + 1);
	}
	cut = str_find(rest, '$');
	if (cut < 0 || cut > SALT_MAX || !is_crypt_text(str_first(rest, (size_t)cut)) ||
	    rest.len - (size_t)cut - 1 != len || !is_crypt_text(str_from(rest, (size_t)cut + 1)))
		return "no whole SHA-crypt hash";
	return NULL;
}

static const char *
check_hash(struct str hash)
{
	if (str_starts(hash, STR("$2y$")) || str_starts(hash, STR("$2b$")) ||
	    str_starts(hash, STR("$2a$")))
		return check_bcrypt(hash);
	if (str_starts(hash, STR("$6$")))
		return check_sha_crypt(hash, SHA512_LEN);
	if (str_starts(hash, STR("$5$")))
		return check_sha_crypt(hash, SHA256_LEN);
	return "neither bcrypt nor SHA-crypt: make it with htpasswd -B, or mkpasswd -m sha512crypt";
}

static bool
take_user(struct lines *l, void *items, size_t i, struct str name, struct str rest)
{
	struct auth_user *user = (struct auth_user *)items + i;
	const char *wrong = check_hash(rest);

	user->name = name;
	user->hash = rest;
	return wrong == NULL || blame(l, wrong);
}

static int
compare_users(const void *a, const void *b)
{
	return str_cmp(((const struct auth_user *)a)->name, ((const struct auth_user *)b)->name);
}

bool
auth_file_users(struct arena *arena, struct arena *scratch, struct auth_conf *conf, const char **why)
{
	conf->users = read_file(arena, scratch, conf->basic.file, sizeof(*conf->users), take_user,
	    &conf->n_users, why);
	if (conf->users != NULL)
		qsort(conf->users, conf->n_users, sizeof(*conf->users), compare_users);
	return conf->users != NULL;
}

/* --- keys -------------------------------------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
take_key(struct lines *l, void *items, size_t i, struct str name, struct str rest)
{
	struct auth_key *key = (struct auth_key *)items + i;
	size_t j;

	key->name = name;
	if (rest.len != 2 * sizeof(key->digest))
		return blame(l, "no SHA-256 in 64 hexadecimal digits: printf %s KEY | sha256sum");
	for (j = 0; j < sizeof(key->digest); j++) {
		int high = hex_value(rest.p[2 * j]), low = hex_value(rest.p[2 * j + 1]);

		if (high < 0 || low < 0)
			return blame(l, "no SHA-256 in 64 hexadecimal digits: printf %s KEY | sha256sum");
		key->digest[j] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool
auth_file_keys(struct arena *arena, struct arena *scratch, struct auth_conf *conf, const char **why)
{
	conf->api_keys = read_file(arena, scratch, conf->keys.file, sizeof(*conf->api_keys), take_key,
	    &conf->n_api_keys, why);
	return conf->api_keys != NULL;
}
