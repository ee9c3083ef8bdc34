/* SPDX-License-Identifier: MIT */
/* Files of passwords and keys, line by line; the Authorization field, taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "config/auth_file.h"
#include "policy/auth.h"

#define BCRYPT	"$2y$05$abcdefghijklmnopqrstuuMm0123456789ABCDEFGHIJKLMNOPQRS"
#define SHA512	"$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
#define SHA256	"$5$salt$Gcm6FsVtF/Qa77ZKD.iwsJlCVPY0XSMgLJL0Hnww/c1"
#define KEY_A	"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"	/* "foo" */
#define KEY_B	"FCDE2B2EDBA56BF408601FB721FE9B5C338D10EE429EA04FAE5511B68FBF8FB9"	/* "bar" */

static struct arena *arena;
static char path[] = "/tmp/weir-test-auth.XXXXXX";

static int
setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	arena = arena_new(1024);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(arena);
	unlink(path);
	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	return 0;
}

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* NULL when all is well; what was wrong without the name of the file. */
static const char *
read_users(const char *text, struct auth_conf *conf)
{
	const char *why;

	put(text);
	memset(conf, 0, sizeof(*conf));
	conf->basic.file = str_of(path);
	if (auth_file_users(arena, arena, conf, &why))
		return NULL;
	assert_memory_equal(why, path, strlen(path));
	return why + strlen(path);
}

static const char *
read_keys(const char *text, struct auth_conf *conf)
{
	const char *why;

	put(text);
	memset(conf, 0, sizeof(*conf));
	conf->keys.file = str_of(path);
	if (auth_file_keys(arena, arena, conf, &why))
		return NULL;
	assert_memory_equal(why, path, strlen(path));
	return why + strlen(path);
}

static void
test_users(void **state)
{
	struct auth_conf conf;
	const struct auth_user *user;

	(void)state;
	assert_null(read_users("# remark\n\nzoe:" BCRYPT "\r\n ada:" SHA512 "\nbob:" SHA256
	    "\neve:$6$rounds=200000$s$" "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"
	    "jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/", &conf));
	assert_int_equal(conf.n_users, 4);
	user = auth_find_user(&conf, STR("zoe"));
	assert_non_null(user);
	assert_true(str_eq(user->hash, STR(BCRYPT)));
	assert_non_null(auth_find_user(&conf, STR("ada")));
	assert_non_null(auth_find_user(&conf, STR("bob")));
	assert_null(auth_find_user(&conf, STR("ado")));
	assert_null(auth_find_user(&conf, STR("")));
	assert_ptr_equal(auth_stand_in(&conf, STR("x")), auth_stand_in(&conf, STR("x")));
}

static void
test_bad_users(void **state)
{
	static const struct { const char *text, *why; } bad[] = {
		{ "", ": there is no line in it" },
		{ "# x\n", ": there is no line in it" },
		{ "a:" BCRYPT "\nb\n", ":2: no line of name:value" },
		{ ":" BCRYPT "\n", ":1: a name has 1 to 64 bytes, none of them a control byte" },
		{ "a\033b:" BCRYPT "\n", ":1: a name has 1 to 64 bytes, none of them a control byte" },
		{ "a:" BCRYPT "\na:" SHA512 "\n", ":2: a is there twice" },
		{ "a:secret\n", ":1: neither bcrypt nor SHA-crypt: make it with htpasswd -B, or mkpasswd "
		  "-m sha512crypt" },
		{ "a:$apr1$x$y\n", NULL },
		{ "a:{SHA}x\n", NULL },
		{ "a:$1$x$y\n", NULL },
		{ "a:" BCRYPT "x\n", ":1: no whole bcrypt hash" },
		{ "a:$2y$xx$abcdefghijklmnopqrstuuMm0123456789ABCDEFGHIJKLMNOPQRS\n",
		  ":1: no whole bcrypt hash" },
		{ "a:$2y$13$abcdefghijklmnopqrstuuMm0123456789ABCDEFGHIJKLMNOPQRS\n",
		  ":1: a bcrypt cost of 4 to 12 is possible: htpasswd -B -C 10" },
		{ "a:$2y$", ":1: no whole bcrypt hash" },
		{ "a:$6$salt$short\n", ":1: no whole SHA-crypt hash" },
		{ "a:$6$rounds=200001$salt$short\n", ":1: 1000 to 200000 rounds are possible" },
		{ "a:$6$rounds=99999999999999999999$salt$short\n", ":1: 1000 to 200000 rounds are possible" },
		{ "a:$6$rounds=", ":1: 1000 to 200000 rounds are possible" },
		{ "a:$5$", ":1: no whole SHA-crypt hash" },
	};
	struct auth_conf conf;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = read_users(bad[i].text, &conf);

		if (why == NULL || (bad[i].why != NULL && strcmp(why, bad[i].why) != 0))
			fail_msg("%s: %s", bad[i].text, why != NULL ? why : "taken");
		assert_null(strstr(why, "secret"));
	}
}

static void
test_keys(void **state)
{
	struct auth_conf conf;

	(void)state;
	assert_null(read_keys("a:" KEY_A "\nb c:" KEY_B "\n", &conf));
	assert_int_equal(conf.n_api_keys, 2);
	assert_true(str_eq(auth_find_key(&conf, STR("foo"))->name, STR("a")));
	assert_true(str_eq(auth_find_key(&conf, STR("bar"))->name, STR("b c")));
	assert_null(auth_find_key(&conf, STR("fo")));
	assert_null(auth_find_key(&conf, STR("")));
	assert_null(auth_find_key(&conf, STR(KEY_A)));
	assert_string_equal(read_keys("a:foo\n", &conf),
	    ":1: no SHA-256 in 64 hexadecimal digits: printf %s KEY | sha256sum");
	assert_non_null(read_keys("a:" KEY_A "0\n", &conf));
	assert_non_null(read_keys("a:g" "c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\n",
	    &conf));
}

static struct auth_credential
credential(const char *first, const char *second)
{
	struct message *m = message_new(arena, 4);

	m->is_request = true;
	if (first != NULL)
		message_add(m, FIELD_AUTHORIZATION, STR("Authorization"), str_of(first));
	if (second != NULL)
		message_add(m, FIELD_AUTHORIZATION, STR("Authorization"), str_of(second));
	return auth_credential_of(m, arena);
}

static void
test_credentials(void **state)
{
	static const char *const bad[] = { "", "Basic", "Basic ", "Bearer", "Bearer ", "Digest x", "Basic YQ==",
		"Basic YTpi!", "Basic Y", "Basic YTpi=", "Basic YTo=b", "Basic YQA6Yg==", "Basic YTph YTph",
		"foo", "BasicYTpi", "Basic YTpC=" };
	struct auth_credential c;
	size_t i;

	(void)state;
	assert_int_equal(credential(NULL, NULL).scheme, AUTH_SCHEME_NONE);
	assert_int_equal(credential("Bearer a", "Bearer a").scheme, AUTH_SCHEME_BAD);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (credential(bad[i], NULL).scheme != AUTH_SCHEME_BAD)
			fail_msg("taken: %s", bad[i]);
	c = credential("bEARER  sk-1", NULL);
	assert_int_equal(c.scheme, AUTH_SCHEME_BEARER);
	assert_true(str_eq(c.secret, STR("sk-1")));
	c = credential("basic YWRhOmE6YjpjCQ==", NULL);
	assert_int_equal(c.scheme, AUTH_SCHEME_BASIC);
	assert_true(str_eq(c.name, STR("ada")));
	assert_true(str_eq(c.secret, STR("a:b:c\t")));
	c = credential("Basic Og", NULL);
	assert_int_equal(c.scheme, AUTH_SCHEME_BASIC);
	assert_int_equal(c.name.len + c.secret.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
