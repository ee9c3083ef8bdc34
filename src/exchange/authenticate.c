/* SPDX-License-Identifier: MIT */
/*
 * Keys are compared here and now; passwords take a thread a while.
 *
 * A check is shared by all who ask for the same at the same time.  A name that is not there has the
 * password of another one checked for it and is refused whatever comes of that.  Invariant: an
 * exchange is in the list of at most one check, and x->check says of which.
 */
#include "exchange/authenticate.h"

#include <sys/random.h>

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "exchange/exchange.h"
#include "exchange/relay.h"
#include "exchange/world.h"
#include "http/message.h"
#include "net/aside.h"
#include "policy/auth.h"

enum {
	CHECKS_MAX = 64,		/* at a time, one of them at work */
	CHECKS_PER_CLIENT = 4,
	WAIT_MAX = 10000,		/* ms for a check */
	REMEMBER = 5 * 60 * 1000,	/* ms a password that was right is right without a check */
	SETS = 1024, WAYS = 4,		/* of what is remembered */
	DIGEST = 32
};

TAILQ_HEAD(askers, exchange);

struct auth_check {
	struct aside_job  job;		/* first */
	struct authority *authority;
	struct askers     askers;
	struct ip         client;	/* the first who asked */
	uint8_t           digest[DIGEST];
	bool              is_known;	/* the name is there: it may turn out right */
	bool              is_right;	/* of the thread */
	char             *hash, *secret;
	TAILQ_ENTRY(auth_check) entry;
};

struct auth_memory {
	struct {
		uint8_t digest[DIGEST];
		msec    until;
	} at[SETS][WAYS];
};

static void on_done(struct aside_job *);

void
authority_init(struct authority *a, struct loop *loop)
{
	memset(a, 0, sizeof(*a));
	TAILQ_INIT(&a->checks);
	check(getrandom(a->salt, sizeof(a->salt), 0) == (ssize_t)sizeof(a->salt));
	a->aside = aside_new(loop, CHECKS_MAX);
}

void
authority_fini(struct authority *a)
{
	aside_free(a->aside);
	check(TAILQ_EMPTY(&a->checks));
	free(a->memory);
}

/* --- verdicts ---------------------------------------------------------------------------------- */

static void
refuse(struct exchange *x, enum end end, const char *rule, const char *why)
{
	x->refusal.end = end;
	x->refusal.status = end_info(end)->status;
	x->refusal.rule = rule;
	x->refusal.why = why;
}

static void
refuse_credential(struct exchange *x, const char *rule, const char *why)
{
	x->world->authority.n_refused++;
	refuse(x, END_UNAUTHORIZED, rule, why);
}

static void
refuse_password(struct exchange *x)
{
	refuse_credential(x, "invalid_password", "no such name, or not its password");
}

static void
refuse_busy(struct exchange *x)
{
	x->world->authority.n_busy++;
	x->retry_after = 1;
	refuse(x, END_AUTH_BUSY, NULL, NULL);
}

static void
let_in(struct exchange *x, struct str name, bool hides)
{
	x->facts.user = name;
	x->facts.hides_credential = hides;
}

/* --- what is remembered ------------------------------------------------------------------------ */

/* Of what is checked and with which hash, so that a new password or another file begins anew. */
static void
digest_of(const struct authority *a, const struct auth_user *user, bool is_known, struct str secret,
    uint8_t out[DIGEST])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char known = is_known ? 1 : 0;
	bool ok;

	/* No hash has a terminator in it, so nothing can be moved from one part to the next. */
	ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(md, a->salt, sizeof(a->salt)) == 1 &&
	    EVP_DigestUpdate(md, &known, 1) == 1 &&
	    EVP_DigestUpdate(md, user->hash.p, user->hash.len) == 1 &&
	    EVP_DigestUpdate(md, "", 1) == 1 && EVP_DigestUpdate(md, secret.p, secret.len) == 1 &&
	    EVP_DigestFinal_ex(md, out, NULL) == 1;
	check(ok);
	EVP_MD_CTX_free(md);
}

static size_t
set_of(const uint8_t digest[DIGEST])
{
	return ((size_t)digest[0] << 8 | digest[1]) % SETS;
}

static bool
is_remembered(const struct authority *a, const uint8_t digest[DIGEST])
{
	size_t set = set_of(digest), i;

	for (i = 0; a->memory != NULL && i < WAYS; i++)
		if (a->memory->at[set][i].until > clock_now() &&
		    CRYPTO_memcmp(a->memory->at[set][i].digest, digest, DIGEST) == 0)
			return true;
	return false;
}

static void
remember(struct authority *a, const uint8_t digest[DIGEST])
{
	size_t set = set_of(digest), i, oldest = 0;

	if (a->memory == NULL)
		a->memory = calloc(1, sizeof(*a->memory));
	check(a->memory != NULL);
	for (i = 1; i < WAYS; i++)
		if (a->memory->at[set][i].until < a->memory->at[set][oldest].until)
			oldest = i;
	memcpy(a->memory->at[set][oldest].digest, digest, DIGEST);
	a->memory->at[set][oldest].until = clock_now() + REMEMBER;
}

/* --- checks ------------------------------------------------------------------------------------ */

static void
free_check(struct auth_check *c)
{
	TAILQ_REMOVE(&c->authority->checks, c, entry);
	OPENSSL_cleanse(c->secret, strlen(c->secret));
	free(c->secret);
	free(c->hash);
	free(c);
}

/* In the thread. */
static void
work(struct aside_job *job)
{
	struct auth_check *c = (struct auth_check *)job;
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *got = data != NULL ? crypt_r(c->secret, c->hash, data) : NULL;
	size_t len = strlen(c->hash);

	c->is_right = got != NULL && strlen(got) == len && CRYPTO_memcmp(got, c->hash, len) == 0 &&
	    c->is_known;
	if (data != NULL)
		OPENSSL_cleanse(data, sizeof(*data));
	free(data);
}

/* Whom the route knows by the name that was given. */
static void
accept_user(struct exchange *x)
{
	const struct auth_conf *conf = x->route->auth;
	struct auth_credential c = auth_credential_of(x->request, x->world->scratch);
	const struct auth_user *user = auth_find_user(conf, c.name);

	if (user != NULL)
		let_in(x, user->name, conf->basic.hide);
	else
		refuse_password(x);
}

static void
on_done(struct aside_job *job)
{
	struct auth_check *c = (struct auth_check *)job;
	struct exchange *x;
	bool is_right = c->is_right;

	c->authority->n_checked++;
	if (is_right)
		remember(c->authority, c->digest);
	while ((x = TAILQ_FIRST(&c->askers)) != NULL) {
		authenticate_end(x);
		if (is_right)
			accept_user(x);
		else
			refuse_password(x);
		exchange_run(x);
	}
	free_check(c);
}

static struct auth_check *
find_check(const struct authority *a, const uint8_t digest[DIGEST])
{
	struct auth_check *c;

	TAILQ_FOREACH(c, &a->checks, entry)
		if (CRYPTO_memcmp(c->digest, digest, DIGEST) == 0)
			return c;
	return NULL;
}

/* IPv6 by a subscriber's network, as everywhere. */
static struct ip
net_of(const struct exchange *x)
{
	return x->client.is_set && !x->client.is_v4 ? ip_mask(&x->client, 64) : x->client;
}

static bool
has_enough(const struct authority *a, const struct ip *client)
{
	const struct auth_check *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &a->checks, entry)
		n += memcmp(c->client.bytes, client->bytes, sizeof(client->bytes)) == 0;
	return n >= CHECKS_PER_CLIENT;
}

static char *
copy(struct str s)
{
	char *p = malloc(s.len + 1);

	check(p != NULL);
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

static struct auth_check *
start_check(struct exchange *x, const struct auth_user *user, bool is_known, struct str secret,
    const uint8_t digest[DIGEST])
{
	struct authority *a = &x->world->authority;
	struct ip client = net_of(x);
	struct auth_check *c;

	if (has_enough(a, &client))
		return NULL;
	c = calloc(1, sizeof(*c));
	check(c != NULL);
	c->job.work = work;
	c->job.done = on_done;
	c->authority = a;
	c->client = client;
	c->is_known = is_known;
	memcpy(c->digest, digest, DIGEST);
	c->hash = copy(user->hash);
	c->secret = copy(secret);
	TAILQ_INIT(&c->askers);
	TAILQ_INSERT_TAIL(&a->checks, c, entry);
	if (aside_give(a->aside, &c->job))
		return c;
	free_check(c);
	return NULL;
}

void
authenticate_end(struct exchange *x)
{
	struct auth_check *c = x->check;

	if (c == NULL)
		return;
	x->check = NULL;
	TAILQ_REMOVE(&c->askers, x, asker);
	/* Nobody wants to know any more. */
	if (TAILQ_EMPTY(&c->askers) && aside_take_back(c->authority->aside, &c->job))
		free_check(c);
}

/* --- the step ---------------------------------------------------------------------------------- */

static void
enter_basic(struct exchange *x, const struct auth_credential *given)
{
	const struct auth_conf *conf = x->route->auth;
	struct authority *a = &x->world->authority;
	const struct auth_user *user = auth_find_user(conf, given->name);
	const struct auth_user *checked = user != NULL ? user : auth_stand_in(conf, given->name);
	uint8_t digest[DIGEST];

	digest_of(a, checked, user != NULL, given->secret, digest);
	if (user != NULL && is_remembered(a, digest)) {
		a->n_remembered++;
		let_in(x, user->name, conf->basic.hide);
		return;
	}
	x->check = find_check(a, digest);
	if (x->check == NULL)
		x->check = start_check(x, checked, user != NULL, given->secret, digest);
	if (x->check == NULL) {
		refuse_busy(x);
		return;
	}
	TAILQ_INSERT_TAIL(&x->check->askers, x, asker);
	relay_wait(x);
}

static void
enter_bearer(struct exchange *x, const struct auth_credential *given)
{
	const struct auth_key *key = auth_find_key(x->route->auth, given->secret);

	if (key != NULL)
		let_in(x, key->name, x->route->auth->keys.hide);
	else
		refuse_credential(x, "invalid_api_key", "that API key is not known here");
}

void
authenticate_enter(struct exchange *x)
{
	const struct auth_conf *conf = x->route->auth;
	struct auth_credential given = auth_credential_of(x->request, x->world->scratch);

	if (given.scheme == AUTH_SCHEME_BASIC && conf->n_users > 0)
		enter_basic(x, &given);
	else if (given.scheme == AUTH_SCHEME_BEARER && conf->n_api_keys > 0)
		enter_bearer(x, &given);
	else if (given.scheme == AUTH_SCHEME_NONE)
		refuse_credential(x, "missing_credentials", "this is for those who say who they are");
	else
		refuse_credential(x, "bad_credentials", "no Authorization that is taken here");
}

int64_t
authenticate_limit(const struct exchange *x)
{
	return x->started_us / 1000 + WAIT_MAX;
}

static void
ask_for(const struct exchange *x, struct message *m, const char *scheme, const char *more)
{
	message_add(m, FIELD_WWW_AUTHENTICATE, field_name(FIELD_WWW_AUTHENTICATE),
	    arena_printf(x->arena, "%s realm=\"%.*s\"%s", scheme, STR_ARG(x->route->auth->realm), more));
}

void
authenticate_fields(const struct exchange *x, struct message *m)
{
	const struct auth_conf *conf = x->route->auth;
	bool was_key = x->refusal.rule != NULL && strcmp(x->refusal.rule, "invalid_api_key") == 0;

	if (conf->n_users > 0)
		ask_for(x, m, "Basic", ", charset=\"UTF-8\"");
	if (conf->n_api_keys > 0)
		ask_for(x, m, "Bearer", was_key ? ", error=\"invalid_token\"" : "");
}
