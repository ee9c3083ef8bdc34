/* SPDX-License-Identifier: MIT */
/*
 * What a configuration says of TLS: plain data that config/ fills and net/ reads, which do not know
 * each other.  Texts are empty where nothing was said.
 */
#ifndef BASE_TLS_CONF_H
#define BASE_TLS_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct tls_pair_conf {
	struct str cert;		/* PEM: the server's own certificate first, then its issuers */
	struct str key;			/* PEM, without passphrase */
	struct str ocsp;		/* DER: an OCSP response to staple */
};

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };
enum tls_client_check { TLS_CLIENT_REQUIRED, TLS_CLIENT_OPTIONAL };

/* Towards clients. */
struct tls_server_conf {
	struct tls_pair_conf *certificates;
	size_t                n_certificates;
	enum tls_version      min_version;
	struct str            ciphers;		/* of TLS 1.2, in OpenSSL's words */
	struct str            ciphersuites;	/* of TLS 1.3 */
	struct str            groups;
	struct str            client_ca;	/* PEM: who may issue client certificates */
	enum tls_client_check verify_client;
	struct str            subject_field;	/* the request field that gets the subject */
};

/* Towards servers. */
struct tls_client_conf {
	bool                 verify;
	struct str           ca;		/* PEM; empty: the system's */
	struct str           server_name;	/* to ask for and to check; empty: the address' host */
	struct tls_pair_conf certificate;	/* of our own; cert is empty: none */
};

/* Told of each thing that is wrong: where is the key below the section ("certificates[0].key"). */
typedef void tls_tell(void *arg, const char *where, bool is_warning, const char *text);

#endif
