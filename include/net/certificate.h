/* SPDX-License-Identifier: MIT */
/*
 * A certificate with its issuers, its key and what is stapled to it, read from files and looked at
 * before anybody relies on it.  For tls.c; nobody above net/ includes it.
 */
#ifndef NET_CERTIFICATE_H
#define NET_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/tls_conf.h"

enum { CERTIFICATE_WARN_DAYS = 14 };

struct certificate {
	X509           *leaf;
	STACK_OF(X509) *issuers;	/* in order; may be empty */
	EVP_PKEY       *key;
	char          **names;		/* DNS names it is for, lower case, sorted */
	size_t          n_names;
	int64_t         not_after;	/* seconds since 1970 */
	unsigned char  *ocsp;		/* an answer to staple, or NULL */
	size_t          ocsp_len;
	int64_t         ocsp_until;	/* not stapled after it */
};

/* Where findings go. */
struct tls_sink {
	tls_tell *tell;
	void     *arg;
	size_t    n_errors;
};
void tls_sink_error(struct tls_sink *, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tls_sink_warn(struct tls_sink *, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The newest reason on OpenSSL's error queue, which is empty after it. */
const char *tls_reason(void);

/*
 * Reads and checks; prefix stands before the keys of the pair ("certificates[0].").  False after an
 * error was told; the certificate is to be freed in any case.
 */
bool certificate_load(struct certificate *, const struct tls_pair_conf *, const char *prefix,
    struct tls_sink *);
void certificate_free(struct certificate *);
/* Reads certificates alone, of authorities; NULL after an error was told at where. */
STACK_OF(X509) *certificate_read_authorities(struct str path, const char *where, struct tls_sink *);

#endif
