/* SPDX-License-Identifier: MIT */
/*
 * Names: asked for, asked for again, and what changed in between.
 *
 * A service is a list of places, each a name of its own with a port, which lives and is asked for like
 * any other; its addresses are put together anew whenever it or one of them changes.  Knows no server.
 * Invariant: a name has a question under way or a deadline that will ask one; those of this machine
 * (localhost) need neither.
 */
#include "net/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	NAME_MAGIC = 0x6e616d65,
	RETRY_MIN = 1000,		/* ms after a failure, doubled with each that follows */
	RETRY_MAX = 5000,
	JITTER = 10,			/* percent of that: who failed together does not ask together */
	SAID_MAX = 12,			/* addresses in a line of the log */
	LINES_MAX = 200,		/* in the log, in that many ms, whatever name servers say */
	LINES_WINDOW = 10000
};

/* A place of a service. */
struct name_target {
	struct name      *service;
	struct name      *name;		/* counted */
	struct name_watch watch;
	uint16_t port, priority, weight;
};

struct name {
	unsigned magic, refs;
	struct name_registry *registry;
	char  *key;			/* lower case, "srv:" before services */
	char  *host;			/* in it */
	bool   is_service, is_local;
	bool   is_asked;		/* since name_configure: an answer or a failure came */
	bool   is_complete;		/* all its places were asked for, once */
	unsigned n_failed;		/* times in a row */
	bool   is_told;			/* that it fails, since name_configure */
	struct name_set set;
	struct name_target *targets;	/* of a service */
	size_t n_targets;
	struct dns_question question;
	struct deadline deadline;
	TAILQ_HEAD(, name_watch) watches;
};

struct lookup {
	struct name_registry *registry;
	struct name **names;		/* counted */
	size_t        n;
	struct deadline limit;
	struct task   task;
	void        (*done)(void *arg);
	void         *arg;
	TAILQ_ENTRY(lookup) entry;
};

static void on_answer(void *, const struct dns_answer *);
static void put_together(struct name *);

/* --- the log ------------------------------------------------------------------------------------- */

static bool
may_say(struct name_registry *r)
{
	msec now = clock_now();

	if (now - r->saying_since >= LINES_WINDOW) {
		if (r->n_said > LINES_MAX)
			log_warn("names: %u more lines are left out", r->n_said - LINES_MAX);
		r->saying_since = now;
		r->n_said = 0;
	}
	return ++r->n_said <= LINES_MAX;
}

static bool
same_place(const struct name_address *a, const struct name_address *b)
{
	return a->port == b->port && memcmp(&a->at.sa, &b->at.sa, sizeof(a->at.sa)) == 0;
}

static bool
has_place(const struct name_set *set, const struct name_address *a)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (same_place(&set->at[i], a))
			return true;
	return false;
}

static size_t
format_place(const struct name_address *a, char *buf, size_t size)
{
	return a->port > 0 ? address_format(&a->at.sa.sa, buf, size)
	    : address_format_host(&a->at.sa.sa, buf, size);
}

/* " +10.0.0.1 +10.0.0.2": what is in a and not in b; what is too long is counted only. */
static void
list_missing(FILE *out, const struct name_set *a, const struct name_set *b, char sign)
{
	char text[80];
	size_t i, n = 0;

	for (i = 0; i < a->n; i++) {
		if (has_place(b, &a->at[i]) || n++ >= SAID_MAX)
			continue;
		format_place(&a->at[i], text, sizeof(text));
		fprintf(out, " %c%s", sign, text);
	}
	if (n > SAID_MAX)
		fprintf(out, " %c%zu more", sign, n - SAID_MAX);
}

static void
log_change(const struct name *name, const struct name_set *was)
{
	char line[1600];
	FILE *out = fmemopen(line, sizeof(line), "w");

	check(out != NULL);
	fprintf(out, "%zu address%s", name->set.n_all, name->set.n_all == 1 ? "" : "es");
	if (name->set.n_all > name->set.n)
		fprintf(out, ", of which %zu are used", name->set.n);
	fputc(':', out);
	list_missing(out, &name->set, was, '+');
	list_missing(out, was, &name->set, '-');
	fputc('\0', out);
	fclose(out);
	line[sizeof(line) - 1] = '\0';
	if (may_say(name->registry))
		log_info("name %s: %s", name->key, line);
}

/* --- who is told ------------------------------------------------------------------------------------ */

void
name_watch(struct name *name, struct name_watch *w, void (*changed)(void *arg), void *arg)
{
	w->changed = changed;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&name->watches, w, entry);
}

void
name_unwatch(struct name *name, struct name_watch *w)
{
	TAILQ_REMOVE(&name->watches, w, entry);
}

static void
tell_change(struct name *name)
{
	struct name_watch *w;

	TAILQ_FOREACH(w, &name->watches, entry)
		w->changed(w->arg);
	name_registry_changed(name->registry);
}

static bool
is_known(const struct name *name)
{
	size_t i;

	for (i = 0; i < name->n_targets; i++)
		if (!is_known(name->targets[i].name))
			return false;
	return name->is_asked;
}

static bool
is_over(const struct lookup *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (!is_known(l->names[i]))
			return false;
	return true;
}

static void
look_at_lookups(struct name_registry *r)
{
	struct lookup *l;

	TAILQ_FOREACH(l, &r->lookups, entry)
		if (is_over(l))
			loop_defer(r->loop, &l->task);
}

/* --- answers ----------------------------------------------------------------------------------------- */

static void
ask(void *arg)
{
	struct name *name = arg;

	if (dns_is_asked(&name->question) || name->is_local)
		return;
	deadline_disarm(&name->deadline);
	dns_ask(name->registry->dns, &name->question, name->is_service ? DNS_SERVICE : DNS_HOST,
	    name->host, on_answer, name);
}

/* Everybody's own, the same in every run. */
static msec
retry_after(const struct name *name)
{
	msec after = RETRY_MAX, span;
	uint64_t h = str_hash(str_of(name->key), name->n_failed);

	if (name->n_failed < 4 && RETRY_MIN << (name->n_failed - 1) < after)
		after = RETRY_MIN << (name->n_failed - 1);
	if (after > name->registry->max_ttl)
		after = name->registry->max_ttl;
	span = after * JITTER / 100;
	return after - span + (msec)(h % (uint64_t)(2 * span + 1));
}

static void
fail(struct name *name, const char *why)
{
	name->n_failed++;
	if (!name->is_told && may_say(name->registry))
		log_warn("name %s: %s; %s", name->key, why, name->set.n > 0 || name->n_targets > 0
		    ? "what it was stays in use" : "its servers are down until it is found");
	name->is_told = true;
	deadline_arm(&name->deadline, retry_after(name));
}

static void
succeed(struct name *name, const struct dns_answer *answer)
{
	const struct name_registry *r = name->registry;
	msec after = answer->is_of_file ? r->max_ttl : (msec)answer->ttl * 1000;

	if (name->n_failed > 0 && may_say(name->registry))
		log_info("name %s: found", name->key);
	name->n_failed = 0;
	name->is_told = false;
	if (after > r->max_ttl)
		after = r->max_ttl;
	if (after < r->min_ttl)
		after = r->min_ttl;
	deadline_arm(&name->deadline, after);
}

/* The set is made: everybody is told when it is another. */
static void
adopt(struct name *name, const struct name_set *set)
{
	struct name_set was = name->set;

	if (memcmp(&was, set, sizeof(was)) == 0)
		return;
	name->set = *set;
	log_change(name, &was);
	tell_change(name);
}

static void
take_addresses(struct name *name, const struct dns_answer *answer)
{
	struct name_set set;
	size_t i;

	memset(&set, 0, sizeof(set));
	for (i = 0; i < answer->n; i++) {
		set.at[i].at = answer->records[i].at;
		set.at[i].share = NAME_FULL_SHARE;
	}
	set.n = answer->n;
	set.n_all = answer->n_all;
	adopt(name, &set);
	name->is_complete = true;
}

/* --- services ---------------------------------------------------------------------------------------- */

static void
on_target_changed(void *arg)
{
	put_together(((struct name_target *)arg)->service);
}

static void
drop_targets(struct name_target *targets, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		name_unwatch(targets[i].name, &targets[i].watch);
		name_unref(targets[i].name);
	}
	free(targets);
}

/* A place that stays is the same name, found before the old list lets go of it. */
static void
take_targets(struct name *name, const struct dns_answer *answer)
{
	struct name_target *old = name->targets;
	size_t n_old = name->n_targets, i;

	name->targets = calloc(answer->n, sizeof(*name->targets));
	check(name->targets != NULL);
	name->n_targets = answer->n;
	for (i = 0; i < answer->n; i++) {
		const struct dns_record *r = &answer->records[i];
		struct name_target *t = &name->targets[i];

		t->service = name;
		t->port = r->port;
		t->priority = r->priority;
		t->weight = r->weight;
		t->name = name_get(name->registry, str_of(r->target), false);
		name_watch(t->name, &t->watch, on_target_changed, t);
	}
	drop_targets(old, n_old);
	put_together(name);
}

static void
set_port(struct socket_address *at, uint16_t port)
{
	if (at->sa.sa.sa_family == AF_INET)
		at->sa.in.sin_port = htons(port);
	else if (at->sa.sa.sa_family == AF_INET6)
		at->sa.in6.sin6_port = htons(port);
}

/* RFC 2782 gives a weight of 0 a very small chance, so the smallest that there is. */
static uint16_t
share_of(unsigned weight, unsigned heaviest)
{
	unsigned share = NAME_FULL_SHARE;

	if (heaviest > NAME_FULL_SHARE)
		share = weight * NAME_FULL_SHARE / heaviest;
	else if (heaviest > 0)
		share = weight * (NAME_FULL_SHARE / heaviest);
	return (uint16_t)(share > 0 ? share : 1);
}

static void
add_target(struct name_set *set, const struct name_target *t, bool is_backup, unsigned heaviest)
{
	const struct name_set *from = &t->name->set;
	struct name_address a;
	size_t i;

	for (i = 0; i < from->n; i++) {
		a = from->at[i];
		a.port = t->port;
		a.is_backup = is_backup;
		a.share = share_of(t->weight, heaviest);
		set_port(&a.at, t->port);
		if (has_place(set, &a))
			continue;
		set->n_all++;
		if (set->n < NAME_MAX_ADDRESSES)
			set->at[set->n++] = a;
	}
}

/* The heaviest among those of the same priority, whose weights are compared. */
static unsigned
heaviest_of(const struct name *name, unsigned priority)
{
	unsigned most = 0;
	size_t i;

	for (i = 0; i < name->n_targets; i++)
		if (name->targets[i].priority == priority && name->targets[i].weight > most)
			most = name->targets[i].weight;
	return most;
}

/* Records come by priority, so the first one says which is served first. */
static void
put_together(struct name *name)
{
	struct name_set set;
	size_t i;

	memset(&set, 0, sizeof(set));
	for (i = 0; i < name->n_targets; i++) {
		const struct name_target *t = &name->targets[i];

		add_target(&set, t, t->priority != name->targets[0].priority,
		    heaviest_of(name, t->priority));
	}
	/* None of its places is found: as with any name, what was stays. */
	if (set.n > 0)
		adopt(name, &set);
	name->is_complete |= is_known(name);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	struct name *name = arg;

	name->is_asked = true;
	if (answer->why != NULL)
		fail(name, answer->why);
	else {
		succeed(name, answer);
		if (name->is_service)
			take_targets(name, answer);
		else
			take_addresses(name, answer);
	}
	look_at_lookups(name->registry);
}

/* --- names --------------------------------------------------------------------------------------------- */

/* RFC 6761 6.3: this machine, whatever anybody says.  An instance listens on one of the two. */
static void
set_local(struct name *name)
{
	struct name_address *a = name->set.at;

	name->is_local = name->is_asked = true;
	name->set.n = name->set.n_all = 2;
	a[0].share = a[1].share = NAME_FULL_SHARE;
	a[0].at.sa.in.sin_family = AF_INET;
	a[0].at.sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a[0].at.len = sizeof(a[0].at.sa.in);
	a[1].at.sa.in6.sin6_family = AF_INET6;
	a[1].at.sa.in6.sin6_addr = in6addr_loopback;
	a[1].at.len = sizeof(a[1].at.sa.in6);
}

static bool
is_local(struct str host)
{
	if (str_ends(host, STR(".")))
		host = str_first(host, host.len - 1);
	return str_eq(host, STR("localhost")) || str_ends(host, STR(".localhost"));
}

static char *
make_key(struct str host, bool is_service)
{
	char *key, *p;

	check(asprintf(&key, "%s%.*s", is_service ? "srv:" : "", STR_ARG(host)) >= 0);
	for (p = key; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return key;
}

struct name *
name_get(struct name_registry *r, struct str host, bool is_service)
{
	char *key = make_key(host, is_service);
	struct name *name = table_get(&r->by_key, str_of(key));

	if (name != NULL) {
		free(key);
		return name_ref(name);
	}
	name = calloc(1, sizeof(*name));
	check(name != NULL);
	name->magic = NAME_MAGIC;
	name->refs = 1;
	name->registry = r;
	name->key = key;
	name->host = key + (is_service ? 4 : 0);
	name->is_service = is_service;
	TAILQ_INIT(&name->watches);
	deadline_init(&name->deadline, r->loop, ask, name);
	table_set(&r->by_key, str_of(key), name);
	if (!is_service && is_local(str_of(key)))
		set_local(name);
	ask(name);
	return name;
}

struct name *
name_ref(struct name *name)
{
	check(name->magic == NAME_MAGIC);
	name->refs++;
	return name;
}

void
name_unref(struct name *name)
{
	check(name->magic == NAME_MAGIC && name->refs > 0);
	if (--name->refs > 0)
		return;
	check(TAILQ_EMPTY(&name->watches));
	dns_drop(&name->question);
	drop_targets(name->targets, name->n_targets);
	deadline_fini(&name->deadline);
	table_remove(&name->registry->by_key, str_of(name->key));
	name->magic = 0;
	free(name->key);
	free(name);
}

bool
name_is_local(const struct name *name)
{
	return name->is_local;
}

const struct name_set *
name_addresses(const struct name *name)
{
	return &name->set;
}

struct str
name_text(const struct name *name)
{
	return str_of(name->key);
}

bool
name_is_complete(const struct name *name)
{
	return name->is_complete;
}

/* --- the registry ------------------------------------------------------------------------------------------ */

void
name_registry_init(struct name_registry *r, struct loop *loop, void (*changed)(void *arg), void *arg)
{
	memset(r, 0, sizeof(*r));
	r->loop = loop;
	r->dns = dns_new(loop);
	TAILQ_INIT(&r->lookups);
	r->changed = changed;
	r->arg = arg;
}

void
name_registry_fini(struct name_registry *r)
{
	check(r->by_key.n == 0 && TAILQ_EMPTY(&r->lookups));
	dns_free(r->dns);
	table_fini(&r->by_key);
}

size_t
name_registry_count(const struct name_registry *r)
{
	return r->by_key.n;
}

void
name_registry_changed(struct name_registry *r)
{
	if (r->changed != NULL)
		r->changed(r->arg);
}

void
name_configure(struct name_registry *r, const struct name_rules *rules)
{
	struct str key;
	void *value;
	size_t pos = 0;

	r->min_ttl = rules->min_ttl;
	r->max_ttl = rules->max_ttl;
	dns_configure(r->dns, rules->servers, rules->timeout);
	while (table_next(&r->by_key, &pos, &key, &value)) {
		struct name *name = value;

		name->is_asked = name->is_local;
		name->is_told = false;
		ask(name);
	}
}

/* --- lookups -------------------------------------------------------------------------------------------------- */

static void
end_lookup(void *arg)
{
	struct lookup *l = arg;

	deadline_disarm(&l->limit);
	loop_cancel(l->registry->loop, &l->task);
	l->done(l->arg);
}

struct lookup *
lookup_start(struct name_registry *r, const struct address *const *names, size_t n, msec limit,
    void (*done)(void *arg), void *arg)
{
	struct lookup *l = calloc(1, sizeof(*l));

	check(l != NULL);
	l->registry = r;
	l->names = calloc(n + 1, sizeof(*l->names));
	check(l->names != NULL);
	while (l->n < n) {
		l->names[l->n] = name_get(r, names[l->n]->host, names[l->n]->is_service);
		l->n++;
	}
	l->done = done;
	l->arg = arg;
	task_init(&l->task, end_lookup, l);
	deadline_init(&l->limit, r->loop, end_lookup, l);
	TAILQ_INSERT_TAIL(&r->lookups, l, entry);
	if (is_over(l)) {
		lookup_free(l);
		return NULL;
	}
	deadline_arm(&l->limit, limit);
	return l;
}

void
lookup_free(struct lookup *l)
{
	while (l->n > 0)
		name_unref(l->names[--l->n]);
	TAILQ_REMOVE(&l->registry->lookups, l, entry);
	loop_cancel(l->registry->loop, &l->task);
	deadline_fini(&l->limit);
	free(l->names);
	free(l);
}
