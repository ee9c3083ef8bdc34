/* SPDX-License-Identifier: MIT */
/* TLS sessions without sockets: both ends in memory, the clock set by the test. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/mman.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/slab.h"
#include "net/tls.h"
#include "net/tls_private.h"

#define HOUR_US	((int64_t)3600 * 1000000)

static const char *const protocols[] = { "http/1.1", NULL };

struct end_point {			/* what it emitted and the other has not been fed */
	struct tls_session *s;
	char   out[1 << 20];
	size_t n;
};

static struct tls_context *server, *client;
static struct tls_tickets *tickets;
static struct tls_resume *resume;
static char cert_path[] = "/tmp/weir-unit-cert-XXXXXX", key_path[] = "/tmp/weir-unit-key-XXXXXX";

/* --- a certificate for "a.example", and contexts that use it --------------------------------------- */

static void
make_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
	    "DNS:a.example,DNS:*.wild.example,IP:127.0.0.1");
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 90 * 24 * 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	X509_add_ext(x, alt, -1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f = fdopen(mkstemp(cert_path), "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fdopen(mkstemp(key_path), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(alt);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
on_finding(void *arg, const char *where, bool is_warning, const char *text)
{
	(void)arg;
	print_error("%s: %s: %s\n", is_warning ? "warning" : "error", where, text);
	assert_true(is_warning);
}

static int
set_up(void **state)
{
	struct tls_pair_conf pair = { str_of(cert_path), str_of(key_path), STR_NONE };
	struct tls_server_conf conf = { .certificates = &pair, .n_certificates = 1,
		.ciphers = STR("ECDHE-ECDSA-AES128-GCM-SHA256"),
		.ciphersuites = STR("TLS_AES_128_GCM_SHA256"), .groups = STR("X25519") };
	struct tls_client_conf trust = { .verify = true, .ca = str_of(cert_path) };

	(void)state;
	make_certificate();
	clock_set(HOUR_US, HOUR_US);
	tls_module_init();
	tickets = tls_tickets_new();
	server = tls_context_new_server(&conf, tickets, protocols, on_finding, NULL);
	client = tls_context_new_client(&trust, on_finding, NULL);
	assert_non_null(server);
	assert_non_null(client);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	tls_context_unref(server);
	tls_context_unref(client);
	tls_tickets_free(tickets);
	slab_reap_all();
	assert_int_equal(slab_books(), 0);
	tls_module_fini();
	unlink(cert_path);
	unlink(key_path);
	return 0;
}

/* --- two ends ------------------------------------------------------------------------------------------ */

static void
on_emit(void *arg, const char *bytes, size_t n)
{
	struct end_point *p = arg;

	assert_true(p->n + n <= sizeof(p->out));
	memcpy(p->out + p->n, bytes, n);
	p->n += n;
}

static struct end_point *
open_end(struct tls_context *c, const char *host, struct tls_resume *r)
{
	struct end_point *p = calloc(1, sizeof(*p));

	p->s = tls_session_new(c, str_of(host), r, on_emit, p);
	return p;
}

static void
close_end(struct end_point *p)
{
	tls_session_free(p->s);
	free(p);
}

/* Everything that from has said, a few bytes at a time; the last result of the other's handshake. */
static enum tls_result
carry_handshake(struct end_point *from, struct end_point *to, size_t step)
{
	enum tls_result result = TLS_MORE;
	size_t at, n;

	for (at = 0; at < from->n && result == TLS_MORE; at += n) {
		n = from->n - at < step ? from->n - at : step;
		tls_session_feed(to->s, str_make(from->out + at, n));
		result = tls_session_handshake(to->s);
	}
	memmove(from->out, from->out + at, from->n - at);
	from->n -= at;
	return result;
}

/* Plain bytes that to gets of what from has said. */
static size_t
carry_data(struct end_point *from, struct end_point *to, char *buf, size_t room, size_t step)
{
	size_t at, n, got, total = 0;

	for (at = 0; at < from->n; at += n) {
		n = from->n - at < step ? from->n - at : step;
		tls_session_feed(to->s, str_make(from->out + at, n));
		while (tls_session_read(to->s, buf + total, room - total, &got) == TLS_OK)
			total += got;
	}
	from->n = 0;
	return total;
}

/* True when both are done. */
static bool
shake_hands(struct end_point *c, struct end_point *s, size_t step)
{
	enum tls_result rc = tls_session_handshake(c->s), rs = TLS_MORE;
	char buf[64];
	int i;

	for (i = 0; i < 10 && (rc == TLS_MORE || rs == TLS_MORE); i++) {
		if (rs == TLS_MORE)
			rs = carry_handshake(c, s, step);
		if (rc == TLS_MORE)
			rc = carry_handshake(s, c, step);
	}
	/* Tickets. */
	if (rc == TLS_OK && rs == TLS_OK)
		assert_int_equal(carry_data(s, c, buf, sizeof(buf), step), 0);
	return rc == TLS_OK && rs == TLS_OK;
}

/* One whole connection; true when it took up the last one's session. */
static bool
visit(void)
{
	struct end_point *c = open_end(client, "a.example", resume), *s = open_end(server, "", NULL);
	bool is_resumed;

	assert_true(shake_hands(c, s, 1 << 20));
	is_resumed = tls_session_info(s->s)->is_resumed;
	assert_int_equal(is_resumed, tls_session_info(c->s)->is_resumed);
	close_end(c);
	close_end(s);
	slab_reap_all();
	return is_resumed;
}

/* --- tests ----------------------------------------------------------------------------------------------- */

static void
test_handshake(void **state)
{
	static const size_t steps[] = { 1, 3, 100, 1 << 20 };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct end_point *c = open_end(client, "a.example", NULL), *s = open_end(server, "", NULL);

		assert_true(shake_hands(c, s, steps[i]));
		assert_true(str_eq(tls_session_info(s->s)->protocol, STR("http/1.1")));
		assert_true(str_eq(tls_session_info(c->s)->protocol, STR("http/1.1")));
		close_end(c);
		close_end(s);
	}
}

static void
test_names_of_servers(void **state)
{
	static const struct { const char *host; bool ok; } cases[] = { { "a.example", true },
		{ "A.Example.", true }, { "x.wild.example", true }, { "x.y.wild.example", false },
		{ "wild.example", false }, { "b.example", false }, { "127.0.0.1", true },
		{ "127.0.0.2", false }, { "::1", false } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct end_point *c = open_end(client, cases[i].host, NULL);
		struct end_point *s = open_end(server, "", NULL);

		assert_int_equal(shake_hands(c, s, 1 << 20), cases[i].ok);
		if (!cases[i].ok) {
			assert_int_equal(tls_session_end(c->s), END_TLS_VERIFY);
			assert_non_null(strstr(tls_session_why(c->s), "mismatch"));
		}
		close_end(c);
		close_end(s);
	}
}

/* Every length around the size of a record, cut anywhere. */
static void
test_data(void **state)
{
	static const size_t lengths[] = { 1, 2, 16383, 16384, 16385, 32768, 100000 };
	static char data[100000], got[100001];
	struct end_point *c = open_end(client, "a.example", NULL), *s = open_end(server, "", NULL);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	assert_true(shake_hands(c, s, 1 << 20));
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_true(tls_session_write(c->s, data, lengths[i]));
		assert_int_equal(carry_data(c, s, got, sizeof(got), 1 + i * 977), lengths[i]);
		assert_memory_equal(got, data, lengths[i]);
		assert_true(tls_session_write(s->s, data, lengths[i]));
		assert_int_equal(carry_data(s, c, got, sizeof(got), 1 << 20), lengths[i]);
		assert_memory_equal(got, data, lengths[i]);
	}
	close_end(c);
	close_end(s);
}

static void
test_ends(void **state)
{
	struct end_point *c = open_end(client, "a.example", NULL), *s = open_end(server, "", NULL);
	char buf[16];
	size_t n;

	(void)state;
	assert_true(shake_hands(c, s, 1 << 20));
	assert_true(tls_session_write(c->s, "last", 4));
	tls_session_shutdown(c->s);
	tls_session_shutdown(c->s);
	tls_session_feed(s->s, str_make(c->out, c->n));
	assert_int_equal(tls_session_read(s->s, buf, sizeof(buf), &n), TLS_OK);
	assert_int_equal(n, 4);
	assert_int_equal(tls_session_read(s->s, buf, sizeof(buf), &n), TLS_END);
	assert_int_equal(tls_session_read(s->s, buf, sizeof(buf), &n), TLS_END);
	/* The other way is open still. */
	assert_true(tls_session_write(s->s, "answer", 6));
	assert_int_equal(carry_data(s, c, buf, sizeof(buf), 1), 6);
	close_end(c);
	close_end(s);
}

static void
test_a_changed_byte(void **state)
{
	struct end_point *c = open_end(client, "a.example", NULL), *s = open_end(server, "", NULL);
	char buf[16];
	size_t n;

	(void)state;
	assert_true(shake_hands(c, s, 1 << 20));
	assert_true(tls_session_write(c->s, "hello", 5));
	c->out[c->n - 1] ^= 1;
	tls_session_feed(s->s, str_make(c->out, c->n));
	assert_int_equal(tls_session_read(s->s, buf, sizeof(buf), &n), TLS_FAILED);
	assert_int_equal(tls_session_read(s->s, buf, sizeof(buf), &n), TLS_FAILED);
	assert_false(tls_session_write(s->s, "x", 1));
	tls_session_shutdown(s->s);
	close_end(c);
	close_end(s);
}

static void
test_what_is_no_tls(void **state)
{
	static const char *const plain[] = { "GET / HTTP/1.1\r\n\r\n", "P", "PRI * HTTP/2.0\r\n" };
	static const char *const junk[] = { "get /", " ", "\x16\x03\x01\x00\x02hi", "{}" };
	struct end_point *s;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		s = open_end(server, "", NULL);
		tls_session_feed(s->s, str_of(plain[i]));
		assert_int_equal(tls_session_handshake(s->s), TLS_PLAIN);
		assert_int_equal(s->n, 0);
		close_end(s);
	}
	for (i = 0; i < 4; i++) {
		s = open_end(server, "", NULL);
		tls_session_feed(s->s, str_of(junk[i]));
		assert_true(tls_session_handshake(s->s) != TLS_PLAIN);
		close_end(s);
	}
}

/* A peer may ask for new keys as often as it likes; what it makes us say is bounded. */
static void
test_chatter(void **state)
{
	struct end_point *c = open_end(client, "a.example", NULL), *s = open_end(server, "", NULL);
	SSL *ssl = SSL_new(client->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	enum tls_result result = TLS_MORE;
	char buf[65536];
	size_t n, said = 0, i;
	int got;

	(void)state;
	close_end(c);
	SSL_set_bio(ssl, in, out);
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	SSL_set_connect_state(ssl);
	while (SSL_do_handshake(ssl) != 1) {
		got = BIO_read(out, buf, sizeof(buf));
		tls_session_feed(s->s, str_make(buf, (size_t)got));
		(void)tls_session_handshake(s->s);
		BIO_write(in, s->out, (int)s->n);
		s->n = 0;
	}
	got = BIO_read(out, buf, sizeof(buf));
	tls_session_feed(s->s, str_make(buf, (size_t)got));
	assert_int_equal(tls_session_handshake(s->s), TLS_OK);
	s->n = 0;
	for (i = 0; i < 100000 && result == TLS_MORE; i++) {
		SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(ssl);
		got = BIO_read(out, buf, sizeof(buf));
		tls_session_feed(s->s, str_make(buf, (size_t)got));
		result = tls_session_read(s->s, buf, sizeof(buf), &n);
		said += s->n;
		s->n = 0;
	}
	assert_int_equal(result, TLS_FAILED);
	assert_true(said < 128 * 1024);
	SSL_free(ssl);
	close_end(s);
}

static void
test_tickets_get_old(void **state)
{
	static const struct { int hour; bool is_resumed; } visits[] = {
		{ 0, false }, { 1, true }, { 3, true }, { 7, true },	/* each gives a new one */
		{ 7 + 11, true },	/* sealed by a key that is the third now */
		{ 7 + 11 + 17, false },	/* by one that is gone */
		{ 7 + 11 + 18, true },
		{ 5000, false }, { 5000, true },
	};
	size_t i;

	(void)state;
	resume = tls_resume_new();
	for (i = 0; i < sizeof(visits) / sizeof(visits[0]); i++) {
		clock_set((100 + visits[i].hour) * HOUR_US, HOUR_US);
		assert_int_equal(visit(), visits[i].is_resumed);
	}
	tls_resume_unref(resume);
	resume = NULL;
}

/* A descriptor with these bytes, sealed or not. */
static int
parcel_of(const void *bytes, size_t n, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
test_tickets_for_the_next_program(void **state)
{
	enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
	struct tls_tickets *next = tls_tickets_new();
	char bytes[4096] = "weir tickets 0", good[4096];
	ssize_t n;
	int fd;

	(void)state;
	clock_set(200000 * HOUR_US, HOUR_US);
	resume = tls_resume_new();
	assert_false(visit());
	server->tickets = next;
	assert_false(visit());		/* its keys are its own */
	assert_true(visit());
	/* What is no parcel changes nothing. */
	assert_false(tls_tickets_take(next, open("/dev/null", O_RDONLY)));
	assert_false(tls_tickets_take(next, 4000));
	assert_false(tls_tickets_take(next, parcel_of(bytes, sizeof(bytes), SEALS)));
	fd = tls_tickets_give(tickets);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	n = pread(fd, good, sizeof(good), 0);
	assert_true(n > 0);
	close(fd);
	assert_false(tls_tickets_take(next, parcel_of(good, (size_t)n, F_SEAL_SEAL)));
	assert_false(tls_tickets_take(next, parcel_of(good, (size_t)n - 1, SEALS)));
	assert_true(visit());
	/* Theirs, as old as they are. */
	server->tickets = tickets;
	assert_false(visit());
	clock_set(200003 * HOUR_US, HOUR_US);
	fd = tls_tickets_give(tickets);
	clock_set(7 * HOUR_US, 3 * HOUR_US);	/* another clock */
	assert_true(tls_tickets_take(next, fd));
	server->tickets = next;
	assert_true(visit());
	clock_set((7 + 17) * HOUR_US, HOUR_US);
	assert_false(visit());
	server->tickets = tickets;
	tls_tickets_free(next);
	tls_resume_unref(resume);
	resume = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_names_of_servers),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_a_changed_byte),
		cmocka_unit_test(test_what_is_no_tls),
		cmocka_unit_test(test_chatter),
		cmocka_unit_test(test_tickets_get_old),
		cmocka_unit_test(test_tickets_for_the_next_program),
	};

	return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
