/* SPDX-License-Identifier: MIT */
/*
 * What tls.c, tls_tickets.c, tls_session.c and conn.c share; nobody above net/ includes it.
 *
 * A session is TLS without a socket: it is fed what came and emits what is to be sent.  It never
 * waits for room: what it emits is taken.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "base/end.h"
#include "net/tls.h"

enum {
	TLS_SESSION_SECONDS = 12 * 3600,	/* how long a session may be taken up again */
	TLS_RECORD = 16 * 1024			/* the most plain bytes in one record */
};

struct tls_context {
	unsigned           refs;
	SSL_CTX           *ctx;		/* of the first site: every connection begins with it */
	struct tls_site   *sites;
	size_t             n_sites;
	struct tls_file   *files;
	size_t             n_files;
	struct tls_staple *staples;
	size_t             n_staples;
	struct tls_tickets *tickets;
	unsigned char     *protocols;	/* as ALPN wants them: a length byte before each */
	unsigned           protocols_len;
	char              *subject_field;
	char              *server_name;	/* client: to ask for and to check; NULL: the address' host */
	bool               verify;	/* the peer must show a certificate that we accept */
	bool               is_server;
};

/* The callback of tls_tickets for SSL_CTX_set_tlsext_ticket_key_evp_cb. */
int tls_tickets_on_key(SSL *, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *,
    EVP_MAC_CTX *, int is_sealing);

struct tls_session;

enum tls_result {
	TLS_OK,
	TLS_MORE,		/* bytes of the peer are needed */
	TLS_END,		/* close_notify came: the peer sends no more */
	TLS_PLAIN,		/* handshake of a client: it does not speak TLS but something in letters */
	TLS_FAILED
};

typedef void tls_emit(void *arg, const char *bytes, size_t n);

void tls_module_init(void);
void tls_module_fini(void);

/* Takes a reference.  host is the server's name or IP address (client contexts only); resume may be
 * NULL.  Bytes to be sent go to emit from inside the calls below. */
struct tls_session *tls_session_new(struct tls_context *, struct str host, struct tls_resume *,
    tls_emit *, void *arg);
void tls_session_free(struct tls_session *);
/* Bytes that came; they must stay valid until the calls that follow have asked for more. */
void tls_session_feed(struct tls_session *, struct str);
/* One step: TLS_OK once, when it is done. */
enum tls_result tls_session_handshake(struct tls_session *);
/* Up to room plain bytes into buf: TLS_OK with *n > 0, TLS_MORE, TLS_END or TLS_FAILED. */
enum tls_result tls_session_read(struct tls_session *, char *buf, size_t room, size_t *n);
/* Seals and emits all of it; false when the session is broken. */
bool tls_session_write(struct tls_session *, const char *, size_t);
/* Emits close_notify; once. */
void tls_session_shutdown(struct tls_session *);
const struct tls_info *tls_session_info(const struct tls_session *);
/* After TLS_FAILED: why, in words that last. */
const char *tls_session_why(const struct tls_session *);
/* END_TLS_VERIFY when it was the peer's certificate, else END_TLS_FAILED. */
enum end tls_session_end(const struct tls_session *);
/* The context's own: which session an SSL belongs to. */
struct tls_session *tls_session_of(const SSL *);
/* A session that may be taken up again came from the server; takes the reference. */
void tls_session_keep(struct tls_session *, SSL_SESSION *);

#endif
