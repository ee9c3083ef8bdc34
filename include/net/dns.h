/* SPDX-License-Identifier: MIT */
/*
 * Questions to /etc/hosts and to name servers, and their answers: addresses of a host, places of a
 * service (SRV, RFC 2782).  Owns the resolver's sockets and timers; remembers nothing of an answer.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/str.h"

struct dns;
struct dns_query;
struct loop;

enum {
	DNS_MAX_RECORDS = 64,		/* of an answer that are handed on */
	DNS_MAX_HOST = 256		/* bytes of a name, with terminator */
};

struct dns_record {
	/* of a host */
	struct socket_address at;	/* port 0 */
	/* of a service */
	uint16_t priority, weight, port;
	char     target[DNS_MAX_HOST];	/* a host name, without the last dot */
};

struct dns_answer {
	const char *why;		/* there is none, in words (static); NULL: there is */
	const struct dns_record *records;	/* valid during the call, no two alike, in an order of
						 * their own: the same ones are the same list */
	size_t      n;			/* at least 1, at most DNS_MAX_RECORDS */
	size_t      n_all;		/* that there were: those behind n are left out */
	uint32_t    ttl;		/* seconds: the least of what led there */
	bool        is_of_file;		/* of /etc/hosts: there is no ttl */
};

enum dns_kind { DNS_HOST, DNS_SERVICE };

/* Embedded in who asks.  Zeroed: it asks nothing. */
struct dns_question {
	struct dns      *dns;		/* while it is asked */
	struct dns_query *query;	/* what was sent; NULL: it waits */
	enum dns_kind    kind;
	const char      *host;
	void           (*answered)(void *arg, const struct dns_answer *);
	void            *arg;
	TAILQ_ENTRY(dns_question) entry;
};

void dns_module_init(void);
void dns_module_fini(void);
struct dns *dns_new(struct loop *);
/* No question may be asked any more. */
void dns_free(struct dns *);
/*
 * Reads /etc/resolv.conf (or asks the servers given, "1.2.3.4:53,[::1]:53", when there are any) for all
 * questions from here on, and for those that have no answer yet.  A question that nobody answers fails
 * after about timeout.
 */
void dns_configure(struct dns *, const char *servers, msec timeout);
/*
 * Asks: a host's IPv4 addresses, those of IPv6 when it has no other (the other way round on a machine
 * that reaches the world by IPv6 alone); search domains are tried as resolv.conf says.  answered comes once, from the loop, unless the question is dropped before; host
 * must live as long.  Many questions wait for each other.
 */
void dns_ask(struct dns *, struct dns_question *, enum dns_kind, const char *host,
    void (*answered)(void *arg, const struct dns_answer *), void *arg);
bool dns_is_asked(const struct dns_question *);
/* Nothing will be heard of it. */
void dns_drop(struct dns_question *);

#endif
