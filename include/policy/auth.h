/* SPDX-License-Identifier: MIT */
/*
 * Who says who he is, and whether a key is one of those.  Pure; a password is not checked here, for
 * that takes long.
 */
#ifndef POLICY_AUTH_H
#define POLICY_AUTH_H

#include "config/config.h"
#include "http/message.h"

struct arena;

enum auth_scheme {
	AUTH_SCHEME_NONE,		/* nothing was said */
	AUTH_SCHEME_BASIC,		/* RFC 7617: name and secret */
	AUTH_SCHEME_BEARER,		/* RFC 6750: secret */
	AUTH_SCHEME_BAD			/* something else, said twice, or malformed */
};

struct auth_credential {
	enum auth_scheme scheme;
	struct str name, secret;	/* in the message or the arena */
};

struct auth_credential auth_credential_of(const struct message *, struct arena *);
/* The key with that secret, or NULL; how long it takes does not depend on how much of one is right. */
const struct auth_key *auth_find_key(const struct auth_conf *, struct str secret);
/* The user of that name, or NULL. */
const struct auth_user *auth_find_user(const struct auth_conf *, struct str name);
/* Whose password is to be checked instead, so that it takes as long: for a name always the same. */
const struct auth_user *auth_stand_in(const struct auth_conf *, struct str name);

#endif
