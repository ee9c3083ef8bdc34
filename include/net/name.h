/* SPDX-License-Identifier: MIT */
/*
 * A name that stands for addresses, by identity (host, or service): a living object, found or made in a
 * registry and counted, so that a reload keeps what is known of it.  Asks again when its answer is no
 * longer to be relied on, keeps the last good one when asking fails, and tells who watches it of every
 * change.
 */
#ifndef NET_NAME_H
#define NET_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/str.h"
#include "base/table.h"
#include "net/dns.h"
#include "net/loop.h"

enum {
	NAME_MAX_ADDRESSES = DNS_MAX_RECORDS,
	NAME_FULL_SHARE = 1000
};

struct name_address {
	struct socket_address at;	/* port 0, unless the name is a service */
	uint16_t port;			/* of a service, in host order; else 0 */
	bool     is_backup;		/* of a service: another priority comes first */
	uint16_t share;			/* of a service: its weight, 1 to NAME_FULL_SHARE; the heaviest has that */
};

struct name_set {
	struct name_address at[NAME_MAX_ADDRESSES];
	size_t n;			/* 0: nothing is known yet */
	size_t n_all;			/* that there are: those behind n are left out */
};

struct name;
struct name_target;

struct name_watch {
	void (*changed)(void *arg);
	void  *arg;
	TAILQ_ENTRY(name_watch) entry;
};

struct name_rules {
	const char *servers;		/* "1.2.3.4:53,[::1]:53"; "" as resolv.conf says */
	msec timeout;			/* of a question */
	msec min_ttl, max_ttl;
};

/* One a worker. */
struct name_registry {
	struct loop *loop;
	struct dns  *dns;
	struct table by_key;
	msec         min_ttl, max_ttl;
	TAILQ_HEAD(, lookup) lookups;
	msec         saying_since;	/* lines of the log are counted from then */
	unsigned     n_said;
	void       (*changed)(void *arg);	/* after everybody who watches was told; may be NULL */
	void        *arg;
};

void name_registry_init(struct name_registry *, struct loop *, void (*changed)(void *arg), void *arg);
void name_registry_fini(struct name_registry *);
size_t name_registry_count(const struct name_registry *);
/* changed is called: an answer of before took effect only now. */
void name_registry_changed(struct name_registry *);
/* Reads the resolver's files again and asks for every name anew. */
void name_configure(struct name_registry *, const struct name_rules *);

/* The name of that host or service, found or made (then it is asked for); the caller owns a reference. */
struct name *name_get(struct name_registry *, struct str host, bool is_service);
struct name *name_ref(struct name *);
void name_unref(struct name *);
/* "localhost": its addresses are two of one server, never change, and are known at once. */
bool name_is_local(const struct name *);
/* The last good answer.  Valid until the loop's next event. */
const struct name_set *name_addresses(const struct name *);
struct str name_text(const struct name *);
/* What is found from here on is new: false while the places of a service are found for the first time,
 * one after the other. */
bool name_is_complete(const struct name *);

/* changed(arg) is called, from the loop, when the addresses are others; it may not unwatch. */
void name_watch(struct name *, struct name_watch *, void (*changed)(void *arg), void *arg);
void name_unwatch(struct name *, struct name_watch *);

/*
 * Waits until names have been asked for since name_configure, with or without success, but no longer
 * than limit; done is then called once, from the loop, unless the lookup is freed before.  Holds the
 * names until it is freed.  NULL when there is nothing to wait for.
 */
struct lookup;
struct lookup *lookup_start(struct name_registry *, const struct address *const *names, size_t n,
    msec limit, void (*done)(void *arg), void *arg);
void lookup_free(struct lookup *);

#endif
