/* SPDX-License-Identifier: MIT */
/*
 * Names asked of c-ares, which lives in our loop: it says which sockets it waits for and until when.
 *
 * Not evdns, though libevent is here already: that knows no SRV and gives up where an answer is too
 * long for UDP, which a service of many instances has.  Two channels, since c-ares does not tell where
 * an answer is from: one reads /etc/hosts, the other asks name servers.
 *
 * Invariant: a query is freed by c-ares's callback and by nothing else, so one whose question was
 * dropped stays, with nobody to tell.  No question hears of its answer within the call that asks it.
 */
#include "net/dns.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/loop_private.h"

enum {
	MAX_ASKED = 64,			/* queries at a time, the others wait */
	TRIES = 2,			/* each server is asked so often, the second time for twice as long */
	ROUNDS = 3,			/* what that takes, in first times */
	MIN_TIMEOUT = 50,
	UDP_SIZE = 1232			/* of an answer that is not cut into fragments on its way */
};

/* A socket of c-ares. */
struct dns_socket {
	struct dns  *dns;
	struct event event;
	int          fd;
	LIST_ENTRY(dns_socket) entry;
};

struct dns {
	struct loop *loop;
	ares_channel files, servers;	/* NULL: cannot be asked */
	bool         is_restarting;	/* queries that end now are asked again */
	int          families[2];	/* what is asked for, and what instead when there is none */
	size_t       n_asked;
	TAILQ_HEAD(, dns_question) waiting;
	LIST_HEAD(, dns_socket) sockets;
	struct task     task;		/* asks who waits */
	struct deadline deadline;	/* c-ares's own */
};

enum step { STEP_FILES, STEP_FIRST, STEP_SECOND };

struct dns_query {
	struct dns          *dns;
	struct dns_question *question;	/* NULL: dropped */
	enum step            step;
};

static struct slab queries, sockets;

void
dns_module_init(void)
{
	slab_init(&queries, "dns query", sizeof(struct dns_query));
	slab_init(&sockets, "dns socket", sizeof(struct dns_socket));
	check(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

void
dns_module_fini(void)
{
	ares_library_cleanup();
	slab_fini(&sockets);
	slab_fini(&queries);
}

/* --- sockets and time ---------------------------------------------------------------------------- */

static void
look_at_time(struct dns *d)
{
	struct timeval tv, *next = d->servers != NULL ? ares_timeout(d->servers, NULL, &tv) : NULL;

	if (next == NULL)
		deadline_disarm(&d->deadline);
	else
		deadline_arm(&d->deadline, (msec)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
}

static void
on_deadline(void *arg)
{
	struct dns *d = arg;

	if (d->servers != NULL)
		ares_process_fd(d->servers, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	look_at_time(d);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = ((struct dns_socket *)arg)->dns;

	loop_wake(d->loop);
	ares_process_fd(d->servers, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	look_at_time(d);
}

static struct dns_socket *
socket_of(struct dns *d, int fd)
{
	struct dns_socket *s;

	LIST_FOREACH(s, &d->sockets, entry)
		if (s->fd == fd)
			return s;
	s = slab_take(&sockets);
	s->dns = d;
	s->fd = fd;
	LIST_INSERT_HEAD(&d->sockets, s, entry);
	return s;
}

/* c-ares waits for that of the socket from now on; for nothing: it is about to close it. */
static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = arg;
	struct dns_socket *s = socket_of(d, fd);
	short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	if (event_initialized(&s->event))
		event_del(&s->event);
	if (readable || writable) {
		event_assign(&s->event, d->loop->base, fd, what, on_socket, s);
		event_add(&s->event, NULL);
		return;
	}
	LIST_REMOVE(s, entry);
	slab_give(&sockets, s);
}

/* --- answers ------------------------------------------------------------------------------------- */

struct gathering {
	struct dns_record *records;
	size_t   n, cap;
	uint32_t ttl;
};

static struct dns_record *
add_record(struct gathering *g)
{
	if (g->n == g->cap) {
		g->cap = g->cap > 0 ? 2 * g->cap : 16;
		g->records = realloc(g->records, g->cap * sizeof(*g->records));
		check(g->records != NULL);
	}
	memset(&g->records[g->n], 0, sizeof(*g->records));
	return &g->records[g->n++];
}

static void
see_ttl(struct gathering *g, uint32_t ttl)
{
	if (ttl < g->ttl)
		g->ttl = ttl;
}

/* By priority, then by what they are; weights do not make two of one. */
static int
compare_places(const struct dns_record *a, const struct dns_record *b)
{
	int order;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	order = memcmp(&a->at.sa, &b->at.sa, sizeof(a->at.sa));
	if (order == 0)
		order = strcmp(a->target, b->target);
	if (order == 0)
		order = (a->port > b->port) - (a->port < b->port);
	return order;
}

static int
compare_records(const void *a, const void *b)
{
	const struct dns_record *ra = a, *rb = b;
	int order = compare_places(ra, rb);

	return order != 0 ? order : (ra->weight < rb->weight) - (ra->weight > rb->weight);
}

static void
sort(struct gathering *g)
{
	size_t i, n = 0;

	qsort(g->records, g->n, sizeof(*g->records), compare_records);
	for (i = 0; i < g->n; i++)
		if (n == 0 || compare_places(&g->records[n - 1], &g->records[i]) != 0)
			g->records[n++] = g->records[i];
	g->n = n;
}

/* The end of a query, whose question hears of it. */
static void
tell(struct dns_query *query, struct dns_answer *answer)
{
	struct dns_question *q = query->question;
	struct dns *d = query->dns;

	d->n_asked--;
	if (!TAILQ_EMPTY(&d->waiting))
		loop_defer(d->loop, &d->task);
	slab_give(&queries, query);
	if (q == NULL)
		return;
	q->query = NULL;
	q->dns = NULL;
	q->answered(q->arg, answer);
}

static void
tell_failure(struct dns_query *query, const char *why)
{
	struct dns_answer answer = { .why = why };

	tell(query, &answer);
}

/* Hands on what was gathered. */
static void
tell_records(struct dns_query *query, struct gathering *g)
{
	struct dns_answer answer = { .is_of_file = query->step == STEP_FILES, .ttl = g->ttl };

	sort(g);
	answer.records = g->records;
	answer.n_all = g->n;
	answer.n = g->n < DNS_MAX_RECORDS ? g->n : DNS_MAX_RECORDS;
	tell(query, &answer);
	free(g->records);
}

static void
put_back(struct dns_query *query)
{
	struct dns_question *q = query->question;

	query->dns->n_asked--;
	if (q != NULL) {
		q->query = NULL;
		TAILQ_INSERT_TAIL(&query->dns->waiting, q, entry);
	}
	slab_give(&queries, query);
}

static const char *
words_of(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
		return "there is no such name";
	case ARES_ENODATA:
		return "it has no address";
	case ARES_ETIMEOUT:
		return "no name server answered in time";
	case ARES_ECONNREFUSED:
		return "no name server can be reached";
	case ARES_ESERVFAIL:
		return "the name server failed";
	default:
		return ares_strerror(status);
	}
}

/* --- addresses ----------------------------------------------------------------------------------- */

static void ask_addresses(struct dns_query *);

/* The address alone: what else c-ares fills in must not make two of one. */
static void
set_address(struct socket_address *at, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		at->sa.in.sin_family = AF_INET;
		at->sa.in.sin_addr = ((const struct sockaddr_in *)(const void *)sa)->sin_addr;
		at->len = sizeof(at->sa.in);
	} else {
		at->sa.in6.sin6_family = AF_INET6;
		at->sa.in6.sin6_addr = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		at->len = sizeof(at->sa.in6);
	}
}

/* Those of the first family, or else of the second, whichever the question was for. */
static void
gather_addresses(struct gathering *g, const struct ares_addrinfo *found, int family)
{
	const struct ares_addrinfo_node *node;
	const struct ares_addrinfo_cname *cname;

	for (node = found->nodes; node != NULL; node = node->ai_next) {
		if (node->ai_family != family)
			continue;
		set_address(&add_record(g)->at, node->ai_addr);
		see_ttl(g, node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0);
	}
	for (cname = found->cnames; cname != NULL; cname = cname->next)
		see_ttl(g, cname->ttl > 0 ? (uint32_t)cname->ttl : 0);
}

/* There are none: who else may be asked?  Not after a failure: what is not there is not known then. */
static bool
goes_on(struct dns_query *query, int status)
{
	if (query->step == STEP_SECOND)
		return false;
	if (query->step == STEP_FIRST && status != ARES_ENOTFOUND && status != ARES_ENODATA &&
	    status != ARES_SUCCESS)
		return false;
	query->step++;
	ask_addresses(query);
	return true;
}

static void
on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct dns_query *query = arg;
	struct gathering g = { .ttl = UINT32_MAX };
	size_t i;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION && query->dns->is_restarting) {
		put_back(query);
		return;
	}
	for (i = 0; i < 2 && status == ARES_SUCCESS && found != NULL && g.n == 0; i++)
		gather_addresses(&g, found, query->dns->families[i]);
	if (found != NULL)
		ares_freeaddrinfo(found);
	if (g.n > 0)
		tell_records(query, &g);
	else if (query->question == NULL || !goes_on(query, status))
		tell_failure(query, words_of(status == ARES_SUCCESS ? ARES_ENODATA : status));
}

static void
ask_addresses(struct dns_query *query)
{
	struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM };
	struct dns *d = query->dns;

	hints.ai_family = query->step == STEP_FILES ? AF_UNSPEC : d->families[query->step - STEP_FIRST];
	ares_getaddrinfo(query->step == STEP_FILES ? d->files : d->servers, query->question->host, NULL,
	    &hints, on_addresses, query);
}

/* --- services ------------------------------------------------------------------------------------ */

/* RFC 2782: priority, weight, port, and the host; "." says that there is none. */
static void
gather_place(struct gathering *g, const ns_msg *m, const ns_rr *rr)
{
	const unsigned char *data = ns_rr_rdata(*rr);
	char target[DNS_MAX_HOST];
	struct dns_record *r;
	size_t len;

	if (ns_rr_rdlen(*rr) < 7 ||
	    dn_expand(ns_msg_base(*m), ns_msg_end(*m), data + 6, target, sizeof(target)) < 0)
		return;
	len = strlen(target);
	if (len > 0 && target[len - 1] == '.')
		target[--len] = '\0';
	/* What is no host name would be of no use, and it is written to the log. */
	if (!address_is_host_name(str_make(target, len)) || ns_get16(data + 4) == 0)
		return;
	r = add_record(g);
	r->priority = (uint16_t)ns_get16(data);
	r->weight = (uint16_t)ns_get16(data + 2);
	r->port = (uint16_t)ns_get16(data + 4);
	memcpy(r->target, target, len + 1);
}

static void
gather_places(struct gathering *g, const unsigned char *bytes, int len)
{
	ns_msg m;
	ns_rr rr;
	int i;

	if (ns_initparse(bytes, len, &m) != 0)
		return;
	for (i = 0; i < ns_msg_count(m, ns_s_an) && ns_parserr(&m, ns_s_an, i, &rr) == 0; i++) {
		if (ns_rr_class(rr) != ns_c_in)
			continue;
		see_ttl(g, ns_rr_ttl(rr));
		if (ns_rr_type(rr) == ns_t_srv)
			gather_place(g, &m, &rr);
	}
}

static void
on_service(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct dns_query *query = arg;
	struct gathering g = { .ttl = UINT32_MAX };

	(void)timeouts;
	if (status == ARES_EDESTRUCTION && query->dns->is_restarting) {
		put_back(query);
		return;
	}
	if (status == ARES_SUCCESS)
		gather_places(&g, bytes, len);
	if (g.n > 0)
		tell_records(query, &g);
	else
		tell_failure(query, status == ARES_SUCCESS || status == ARES_ENODATA
		    ? "the service has no places" : words_of(status));
}

/* --- questions ----------------------------------------------------------------------------------- */

static void
send_query(struct dns *d, struct dns_question *q)
{
	struct dns_query *query = slab_take(&queries);

	query->dns = d;
	query->question = q;
	q->query = query;
	d->n_asked++;
	if (d->files == NULL || d->servers == NULL)
		tell_failure(query, "the resolver did not start");
	else if (q->kind == DNS_HOST)
		ask_addresses(query);
	else {
		query->step = STEP_FIRST;
		ares_search(d->servers, q->host, ns_c_in, ns_t_srv, on_service, query);
	}
}

static void
on_task(void *arg)
{
	struct dns *d = arg;
	struct dns_question *q;

	while (d->n_asked < MAX_ASKED && (q = TAILQ_FIRST(&d->waiting)) != NULL) {
		TAILQ_REMOVE(&d->waiting, q, entry);
		send_query(d, q);
	}
	look_at_time(d);
}

void
dns_ask(struct dns *d, struct dns_question *q, enum dns_kind kind, const char *host,
    void (*answered)(void *arg, const struct dns_answer *), void *arg)
{
	check(q->dns == NULL);
	q->dns = d;
	q->query = NULL;
	q->kind = kind;
	q->host = host;
	q->answered = answered;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&d->waiting, q, entry);
	loop_defer(d->loop, &d->task);
}

bool
dns_is_asked(const struct dns_question *q)
{
	return q->dns != NULL;
}

void
dns_drop(struct dns_question *q)
{
	if (q->dns == NULL)
		return;
	if (q->query != NULL)
		q->query->question = NULL;
	else
		TAILQ_REMOVE(&q->dns->waiting, q, entry);
	q->query = NULL;
	q->dns = NULL;
}

/* --- channels ------------------------------------------------------------------------------------ */

static ares_channel
open_channel(struct dns *d, const char *lookups, const char *servers, int timeout)
{
	struct ares_options options = {
		.flags = ARES_FLAG_EDNS,
		.ednspsz = UDP_SIZE,
		.tries = TRIES,
		.timeout = timeout,
		.lookups = (char *)(uintptr_t)lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = d,
	};
	ares_channel channel;
	int status = ares_init_options(&channel, &options, ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ |
	    ARES_OPT_TRIES | ARES_OPT_TIMEOUTMS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);

	if (status == ARES_SUCCESS && servers[0] != '\0') {
		status = ares_set_servers_ports_csv(channel, servers);
		if (status != ARES_SUCCESS)
			ares_destroy(channel);
	}
	if (status == ARES_SUCCESS)
		return channel;
	log_warn("names cannot be looked up: %s", ares_strerror(status));
	return NULL;
}

static int
count_servers(ares_channel channel)
{
	struct ares_addr_port_node *list = NULL, *s;
	int n = 0;

	if (channel == NULL || ares_get_servers_ports(channel, &list) != ARES_SUCCESS)
		return 1;
	for (s = list; s != NULL; s = s->next)
		n++;
	if (list != NULL)
		ares_free_data(list);
	return n > 0 ? n : 1;
}

static void
close_channels(struct dns *d)
{
	if (d->files != NULL)
		ares_destroy(d->files);
	if (d->servers != NULL)
		ares_destroy(d->servers);
	d->files = d->servers = NULL;
}

struct dns *
dns_new(struct loop *loop)
{
	struct dns *d = calloc(1, sizeof(*d));

	check(d != NULL);
	d->loop = loop;
	TAILQ_INIT(&d->waiting);
	LIST_INIT(&d->sockets);
	task_init(&d->task, on_task, d);
	deadline_init(&d->deadline, loop, on_deadline, d);
	return d;
}

void
dns_free(struct dns *d)
{
	check(TAILQ_EMPTY(&d->waiting));
	close_channels(d);
	check(d->n_asked == 0 && LIST_EMPTY(&d->sockets));
	loop_cancel(d->loop, &d->task);
	deadline_fini(&d->deadline);
	free(d);
}

/* Whether this machine has a way to the world there; nothing is sent. */
static bool
has_route(int family)
{
	/* Of documentation, in networks that are no machine's own (RFC 5737, RFC 3849). */
	union sockaddr_any to = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(53),
		.sin6_addr.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_there;

	if (fd < 0)
		return false;
	if (family == AF_INET)
		to.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53),
		    .sin_addr.s_addr = htonl(0xc0000201) };
	is_there = connect(fd, &to.sa, family == AF_INET ? sizeof(to.in) : sizeof(to.in6)) == 0;
	close(fd);
	return is_there;
}

void
dns_configure(struct dns *d, const char *servers, msec timeout)
{
	bool is_ipv6 = !has_route(AF_INET) && has_route(AF_INET6);
	msec once;

	d->is_restarting = true;
	close_channels(d);
	d->is_restarting = false;
	d->families[0] = is_ipv6 ? AF_INET6 : AF_INET;
	d->families[1] = is_ipv6 ? AF_INET : AF_INET6;
	d->files = open_channel(d, "f", servers, MIN_TIMEOUT);
	once = timeout / (ROUNDS * count_servers(d->files));
	d->servers = open_channel(d, "b", servers, (int)(once > MIN_TIMEOUT ? once : MIN_TIMEOUT));
	if (!TAILQ_EMPTY(&d->waiting))
		loop_defer(d->loop, &d->task);
	look_at_time(d);
}
