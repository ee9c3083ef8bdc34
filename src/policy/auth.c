/* SPDX-License-Identifier: MIT */
/* The Authorization field, taken apart; names and keys, found. */
#include "policy/auth.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/log.h"

enum { SECRET_MAX = 512 };		/* of a password, before anything is done for it */

/* --- the field --------------------------------------------------------------------------------- */

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict, but for padding that is left out. */
static bool
decode(struct str s, struct arena *arena, struct str *out)
{
	char *p = arena_alloc(arena, s.len + 1);
	unsigned bits = 0, n_bits = 0;
	size_t i, n = 0, pad;

	for (pad = 0; pad < 2 && s.len > 0 && s.p[s.len - 1] == '='; pad++)
		s.len--;
	if (s.len % 4 == 1 || (pad > 0 && (s.len + pad) % 4 != 0))
		return false;
	for (i = 0; i < s.len; i++) {
		int value = base64_value(s.p[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (unsigned)value;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		p[n++] = (char)(bits >> n_bits);
		bits &= (1u << n_bits) - 1;
	}
	*out = str_make(p, n);
	return bits == 0;
}

static bool
take_basic(struct str token, struct arena *arena, struct auth_credential *c)
{
	struct str both;
	ptrdiff_t colon;

	if (token.len > 4 * SECRET_MAX || !decode(token, arena, &both))
		return false;
	colon = str_find(both, ':');
	/* crypt(3) would take a part for the whole. */
	if (colon < 0 || str_find(both, '\0') >= 0)
		return false;
	c->name = str_first(both, (size_t)colon);
	c->secret = str_from(both, (size_t)colon + 1);
	return c->secret.len < SECRET_MAX;
}

struct auth_credential
auth_credential_of(const struct message *m, struct arena *arena)
{
	struct auth_credential none = { .scheme = AUTH_SCHEME_NONE }, bad = { .scheme = AUTH_SCHEME_BAD };
	struct auth_credential c = none;
	const struct field *f = message_find(m, FIELD_AUTHORIZATION);
	struct str scheme, token;
	ptrdiff_t space;
	size_t i;

	if (f == NULL)
		return none;
	for (i = 0; i < m->n_fields; i++)
		if (m->fields[i].id == FIELD_AUTHORIZATION && &m->fields[i] != f)
			return bad;
	space = str_find(f->value, ' ');
	if (space < 0)
		return bad;
	scheme = str_first(f->value, (size_t)space);
	token = str_trim(str_from(f->value, (size_t)space));
	if (str_eq_nocase(scheme, STR("Bearer")) && token.len > 0) {
		c.scheme = AUTH_SCHEME_BEARER;
		c.secret = token;
		return c;
	}
	if (!str_eq_nocase(scheme, STR("Basic")) || !take_basic(token, arena, &c))
		return bad;
	c.scheme = AUTH_SCHEME_BASIC;
	return c;
}

/* --- who it is --------------------------------------------------------------------------------- */

static void
digest(struct str s, uint8_t out[32])
{
	check(EVP_Digest(s.p, s.len, out, NULL, EVP_sha256(), NULL) == 1);
}

/* 0 when they are the same; every byte is looked at. */
static uint64_t
difference(const uint8_t a[32], const uint8_t b[32])
{
	uint64_t x[4], y[4];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
}

const struct auth_key *
auth_find_key(const struct auth_conf *conf, struct str secret)
{
	const struct auth_key *found = NULL;
	uint8_t have[32];
	size_t i;

	digest(secret, have);
	for (i = 0; i < conf->n_api_keys; i++)
		if (difference(conf->api_keys[i].digest, have) == 0)
			found = &conf->api_keys[i];
	return found;
}

static int
compare(const void *name, const void *user)
{
	return str_cmp(*(const struct str *)name, ((const struct auth_user *)user)->name);
}

const struct auth_user *
auth_find_user(const struct auth_conf *conf, struct str name)
{
	return bsearch(&name, conf->users, conf->n_users, sizeof(*conf->users), compare);
}

const struct auth_user *
auth_stand_in(const struct auth_conf *conf, struct str name)
{
	return &conf->users[str_hash(name, conf->n_users) % conf->n_users];
}
