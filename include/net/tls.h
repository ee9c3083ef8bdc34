/* SPDX-License-Identifier: MIT */
/*
 * TLS as configuration: what a listener's clients or an upstream's servers meet.  A context is made
 * from files at a reload, is immutable then and counted; every connection that uses it holds a
 * reference.  The keys of session tickets and the sessions with servers are living: they outlast it.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/tls_conf.h"

struct tls_context;
struct tls_resume;
struct tls_tickets;

/* The keys that seal session tickets: made anew every few hours, the older ones kept for a while.
 * Must outlive every context made with it. */
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets *);
/* The keys for the program that takes over: a descriptor of sealed memory, to be closed, which does
 * not survive exec; -1 when there is none to be had. */
int tls_tickets_give(const struct tls_tickets *);
/* The other end: closes the descriptor.  False, and the keys are as they were, when that is not what
 * tls_tickets_give made. */
bool tls_tickets_take(struct tls_tickets *, int fd);

/*
 * Reads every file that is named and checks it; what is wrong is told, all of it.  NULL when any of
 * it is an error.  protocols are the words of ALPN (RFC 7301) in the order we prefer, ended by NULL.
 */
struct tls_context *tls_context_new_server(const struct tls_server_conf *, struct tls_tickets *,
    const char *const *protocols, tls_tell *, void *arg);
struct tls_context *tls_context_new_client(const struct tls_client_conf *, tls_tell *, void *arg);
struct tls_context *tls_context_ref(struct tls_context *);
void tls_context_unref(struct tls_context *);

/* For monitoring: the certificates of a server context, each with what is left of it. */
struct tls_certificate {
	struct str file;		/* valid as long as the context */
	struct str name;		/* its first */
	int64_t    not_after;		/* seconds since 1970 */
};
size_t tls_context_n_certificates(const struct tls_context *);
struct tls_certificate tls_context_certificate(const struct tls_context *, size_t i);

/* The last session with one server, offered to it when the next connection opens.  Counted. */
struct tls_resume *tls_resume_new(void);
struct tls_resume *tls_resume_ref(struct tls_resume *);
void tls_resume_unref(struct tls_resume *);

/* What a finished handshake agreed on; texts are valid as long as the connection. */
struct tls_info {
	struct str  protocol;		/* of ALPN; empty: none was asked for */
	struct str  subject;		/* of the client's certificate (RFC 4514), empty: none */
	struct str  subject_field;	/* where it goes */
	const char *version, *cipher;	/* OpenSSL's names */
	bool        is_resumed;
};

#endif
