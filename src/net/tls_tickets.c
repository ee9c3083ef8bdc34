/* SPDX-License-Identifier: MIT */
/*
 * The keys of session tickets (RFC 5077, RFC 8446 4.6.1), in memory only: also on their way to the
 * program that takes over.
 *
 * The newest seals; the older ones still open what they sealed, and then go: what a stolen key could
 * open is bounded by hours.  Invariant: a ticket is opened as long as its session may live, since the
 * ring holds a key for longer than that after it has stopped sealing.
 */
#include "net/tls_private.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	N_KEYS = 4,
	ROTATE_EVERY = 4 * 3600 * 1000,	/* (N_KEYS - 1) * 4 h is TLS_SESSION_SECONDS */
	NAME_LEN = 16,			/* fixed by the callback's contract */
	KEY_LEN = 32,
	IV_LEN = 16
};

struct ticket_key {
	unsigned char name[NAME_LEN];
	unsigned char aes[KEY_LEN];
	unsigned char mac[KEY_LEN];
};

struct tls_tickets {
	struct ticket_key keys[N_KEYS];	/* the newest first */
	size_t n;
	msec   made;			/* the newest */
};

/* What is handed over; another program may be another version, so it says what it is. */
struct parcel {
	char     magic[16];
	uint64_t n;
	msec     age;			/* of the newest; clocks need not agree */
	struct ticket_key keys[N_KEYS];
};
static const char magic[16] = "weir tickets 1";
enum {
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
	NOEXEC_SEAL = 0x0008		/* MFD_NOEXEC_SEAL, which older headers lack */
};

static void
add_key(struct tls_tickets *t)
{
	OPENSSL_cleanse(&t->keys[N_KEYS - 1], sizeof(t->keys[0]));
	memmove(&t->keys[1], &t->keys[0], (N_KEYS - 1) * sizeof(t->keys[0]));
	check(RAND_bytes((unsigned char *)&t->keys[0], sizeof(t->keys[0])) == 1);
	if (t->n < N_KEYS)
		t->n++;
	t->made = clock_now();
}

/* Also what nobody used for long gets old. */
static void
rotate(struct tls_tickets *t)
{
	msec age = clock_now() - t->made;
	size_t i;

	for (i = 0; i < N_KEYS && age >= ROTATE_EVERY; i++, age -= ROTATE_EVERY)
		add_key(t);
}

struct tls_tickets *
tls_tickets_new(void)
{
	struct tls_tickets *t = calloc(1, sizeof(*t));

	check(t != NULL);
	add_key(t);
	return t;
}

void
tls_tickets_free(struct tls_tickets *t)
{
	OPENSSL_cleanse(t, sizeof(*t));
	free(t);
}

/* --- from one program to the next ------------------------------------------------------------------- */

static bool
fill(int fd, const struct tls_tickets *t)
{
	struct parcel p;
	bool ok;

	memset(&p, 0, sizeof(p));
	memcpy(p.magic, magic, sizeof(magic));
	p.n = t->n;
	p.age = clock_now() - t->made;
	memcpy(p.keys, t->keys, sizeof(p.keys));
	ok = write(fd, &p, sizeof(p)) == (ssize_t)sizeof(p) && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
	OPENSSL_cleanse(&p, sizeof(p));
	return ok;
}

int
tls_tickets_give(const struct tls_tickets *t)
{
	int fd = memfd_create("weir tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);

	/* Kernels before 6.3 do not know that; others may insist on it (vm.memfd_noexec). */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("weir tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fill(fd, t))
		return fd;
	close(fd);
	return -1;
}

bool
tls_tickets_take(struct tls_tickets *t, int fd)
{
	struct parcel p;
	int seals;
	bool ok;

	/* Sealed: nobody else changes it any more, and reading it does not wait. */
	seals = fcntl(fd, F_GET_SEALS);
	ok = seals >= 0 && (seals & SEALS) == SEALS && pread(fd, &p, sizeof(p), 0) == (ssize_t)sizeof(p) &&
	    memcmp(p.magic, magic, sizeof(magic)) == 0 && p.n >= 1 && p.n <= N_KEYS && p.age >= 0;
	if (ok) {
		memcpy(t->keys, p.keys, sizeof(t->keys));
		t->n = p.n;
		t->made = clock_now() - p.age;
	}
	OPENSSL_cleanse(&p, sizeof(p));
	close(fd);
	return ok;
}

/* --- sealing ------------------------------------------------------------------------------------------ */

static bool
set_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, sizeof(sha256) - 1),
		OSSL_PARAM_END
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int
seal(struct ticket_key *k, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	if (RAND_bytes(iv, IV_LEN) != 1 ||
	    EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), k->aes, iv, NULL) != 1 || !set_mac(mac, k))
		return -1;
	memcpy(name, k->name, NAME_LEN);
	return 1;
}

/* 0 is a whole handshake instead, 2 a new ticket with the newest key.  Clients of TLS 1.3 use a ticket
 * once (RFC 8446 C.4): they get another each time. */
static int
unseal(struct tls_tickets *t, const unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, bool is_spent)
{
	size_t i;

	for (i = 0; i < t->n && memcmp(t->keys[i].name, name, NAME_LEN) != 0; i++)
		;
	if (i == t->n)
		return 0;
	if (EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), t->keys[i].aes, iv, NULL) != 1 ||
	    !set_mac(mac, &t->keys[i]))
		return -1;
	return i == 0 && !is_spent ? 1 : 2;
}

int
tls_tickets_on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int is_sealing)
{
	struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_tickets *t = context->tickets;

	if (t == NULL)
		return 0;
	rotate(t);
	return is_sealing ? seal(&t->keys[0], name, iv, cipher, mac)
	    : unseal(t, name, iv, cipher, mac, SSL_version(ssl) >= TLS1_3_VERSION);
}
