/* SPDX-License-Identifier: MIT */
/*
 * The life of the daemon: start, reload, drain, end.
 *
 * Owns the world.  Decides nothing about a request.  Invariant: there is a current generation from
 * the start to the end of the last turn, so that a client that is accepted always finds rules.
 */
#include "daemon/worker.h"

#include <sys/resource.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "base/wait.h"
#include "config/config.h"
#include "edge/front_h1.h"
#include "edge/greet.h"
#include "daemon/admin.h"
#include "daemon/notify.h"
#include "daemon/privilege.h"
#include "daemon/process.h"
#include "daemon/service.h"
#include "daemon/upgrade.h"
#include "exchange/cached.h"
#include "exchange/exchange.h"
#include "exchange/generation.h"
#include "exchange/ports.h"
#include "exchange/world.h"
#include "http/coder.h"
#include "net/conn.h"
#include "net/inherit.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/name.h"
#include "net/tls.h"
#include "ops/access_log.h"
#include "policy/forward.h"
#include "upstream/backend.h"
#include "upstream/health.h"
#include "upstream/line.h"
#include "upstream/origin.h"

enum {
	EXIT_CONFIG = 1,
	EXIT_START = 3,
	EXIT_BOOKS = 70,		/* EX_SOFTWARE of sysexits.h */
	SCRATCH = 64 * 1024,
	FLUSH_EVERY = 200,		/* ms a log line may wait */
	TICK = 5000,			/* ms between two looks at what the caches need no more */
	LAST_WORDS = 1000,		/* ms for answers under way when the drain is over */
	DAY_SECONDS = 24 * 3600,
	OWN_FILES = 128,		/* descriptors that are no client's: listeners, logs, idle */
	WATCHERS_MAX = 32		/* connections to our own pages */
};

struct signal_row {
	int    number;
	void (*run)(evutil_socket_t, short, void *);
};

static void on_hup(evutil_socket_t, short, void *);
static void on_stop(evutil_socket_t, short, void *);
static void on_usr1(evutil_socket_t, short, void *);
static void on_usr2(evutil_socket_t, short, void *);

static const struct signal_row signals[] = {
	{ SIGHUP, on_hup },
	{ SIGTERM, on_stop },
	{ SIGINT, on_stop },
	{ SIGUSR1, on_usr1 },
	{ SIGUSR2, on_usr2 },
};
enum { N_SIGNALS = sizeof(signals) / sizeof(signals[0]) };

struct worker {
	struct world world;
	const struct source *source;
	struct event *signals[N_SIGNALS];
	struct deadline flush;
	struct deadline drain;
	struct deadline tick;		/* of the caches: what is inactive goes */
	size_t n_files;			/* descriptors we were given */
	struct service service;
	struct upgrade upgrade;
	struct admin admin;
	struct lookup *lookup;		/* the start waits for names, or a reload for those in next */
	struct config *next;
	bool is_started;
	bool hup_again;			/* since it began */
	char why[400];			/* the first error of the last reading, for the manager */
	bool is_done;
};

/* --- protocols ------------------------------------------------------------------------------------ */

static void
open_h1(struct world *w, struct conn *c, const struct arrival *arrival)
{
	front_h1_open(&w->env, arrival->is_own ? &w->watchers : &w->fronts, c, arrival);
}

/* The fronts by their names in ALPN (RFC 7301), the one we like best first. */
static const struct {
	const char *protocol;
	void      (*open)(struct world *, struct conn *, const struct arrival *);
} fronts[] = {
	{ "http/1.1", open_h1 },
	{ "http/1.0", open_h1 },
};
enum { N_FRONTS = sizeof(fronts) / sizeof(fronts[0]) };

static const char *const *
protocols(void)
{
	static const char *names[N_FRONTS + 1];
	size_t i;

	for (i = 0; i < N_FRONTS; i++)
		names[i] = fronts[i].protocol;
	return names;
}

static void
check_tls_server(const struct tls_server_conf *conf, tls_tell *tell, void *arg)
{
	struct tls_context *c = tls_context_new_server(conf, NULL, protocols(), tell, arg);

	if (c != NULL)
		tls_context_unref(c);
}

static void
check_tls_client(const struct tls_client_conf *conf, tls_tell *tell, void *arg)
{
	struct tls_context *c = tls_context_new_client(conf, tell, arg);

	if (c != NULL)
		tls_context_unref(c);
}

/* Root may do everything, who it becomes may not; who is not root becomes nobody else. */
static bool
may_use(const struct config *conf, const char *path, enum file_use use)
{
	struct identity id;
	struct err err;

	if (geteuid() != 0 || !privilege_find(conf->user, conf->group, &id, &err) || !id.is_set)
		return true;
	return privilege_may(&id, path, use == FILE_USE_READ ? R_OK : X_OK);
}

struct config *
source_load(const struct source *s, struct report *report)
{
	report->check_format = access_log_check_format;
	report->check_tls_server = check_tls_server;
	report->check_tls_client = check_tls_client;
	report->may_use = may_use;
	if (s->listen != NULL)
		return config_from_arguments(s->listen, s->to, report);
	return config_load(s->path, report);
}

/* --- clients -------------------------------------------------------------------------------------- */

static bool
is_full(const struct world *w)
{
	return front_h1_count() + w->greeter.n_waiting + conn_closing(w->loop) >=
	    w->current->config->client.max_connections;
}

static bool
is_deserted(const struct world *w)
{
	return w->n_live == 0 && w->greeter.n_waiting == 0 && front_h1_count() == 0;
}

/* A client is known by its protocol; who did not say speaks HTTP/1. */
static void
on_greeted(void *arg, struct conn *c, struct str protocol, const struct arrival *arrival)
{
	size_t i;

	for (i = 0; i < N_FRONTS && !str_eq(protocol, str_of(fronts[i].protocol)); i++)
		;
	fronts[i < N_FRONTS ? i : 0].open(arg, c, arrival);
}

static bool
is_believed(const struct world *w, const struct conn *c)
{
	struct ip peer;

	ip_of_sockaddr(conn_peer(c), &peer);
	return client_is_trusted(w->current->config, &peer);
}

/*
 * There is room for one more who watches, if need be at the cost of another: who is idle first, then who
 * reads its last answer, then who does not get on.  Those who hold on to what they have shut nobody out.
 */
static bool
has_room_to_watch(struct world *w)
{
	if (front_h1_count_own() + conn_closing_apart(w->loop) < WATCHERS_MAX)
		return true;
	/* What they were told in this turn is on its way first. */
	conn_flush(w->loop);
	return front_h1_make_room(&w->watchers, true) || conn_drop_apart(w->loop) ||
	    front_h1_make_room(&w->watchers, false);
}

static void
on_accept(void *arg, int fd, const struct sockaddr *peer, socklen_t len, const struct listener *l)
{
	struct world *w = arg;
	const struct binding *binding = listener_binding(l);
	struct arrival arrival = { .local_port = listener_is_unix(l) ? 0 : listener_port(l) };
	struct conn *c;

	/* A listener of a generation that came to nothing, or too many who watch. */
	if (binding == NULL || (binding->is_own && !has_room_to_watch(w))) {
		close(fd);
		return;
	}
	c = conn_accept(w->loop, fd, peer, len);
	arrival.is_own = binding->is_own;
	if (binding->is_own) {
		conn_set_apart(c);
		open_h1(w, c, &arrival);
		return;
	}
	arrival.is_tls = binding->tls != NULL;
	if (w->current->config->sends_proxy_headers)
		conn_local(c, &arrival.local);
	if (binding->conf->proxy_protocol && !is_believed(w, c))
		greet_refuse(&w->greeter, c);
	else if (binding->conf->proxy_protocol || arrival.is_tls)
		greet_open(&w->greeter, c, binding->conf->proxy_protocol, binding->tls, &arrival);
	else
		on_greeted(w, c, STR_NONE, &arrival);
	if (is_full(w))
		listener_registry_pause(&w->listeners, true);
}

/* The end of each turn. */
static void
on_chore(void *arg)
{
	struct worker *wk = arg;
	struct world *w = &wk->world;

	conn_flush(w->loop);
	exchange_reap(w);
	cache_registry_reap(&w->caches);
	arena_reset(w->scratch);
	if (w->listeners.is_paused && wk->is_started && !is_full(w))
		listener_registry_pause(&w->listeners, false);
	if (wk->flush.at == 0 && access_log_is_dirty(w->access_log))
		deadline_arm(&wk->flush, FLUSH_EVERY);
	if (w->is_draining && is_deserted(w) && conn_closing(w->loop) == 0 &&
	    conn_closing_apart(w->loop) == 0)
		wk->is_done = true;
}

static void
on_names_changed(void *arg)
{
	generation_follow_names(arg);
}

static void
ask_for_news(void *arg)
{
	struct world *w = arg;

	loop_defer(w->loop, &w->cache_news);
}

static void
on_cache_news(void *arg)
{
	cache_registry_run(&((struct world *)arg)->caches);
}

static void
on_tick(void *arg)
{
	struct worker *wk = arg;

	cache_registry_tick(&wk->world.caches, clock_now());
	deadline_arm(&wk->tick, TICK);
}

static void
on_flush(void *arg)
{
	access_log_flush(((struct worker *)arg)->world.access_log);
}

/* --- signals ---------------------------------------------------------------------------------------- */

static void
log_report(struct worker *wk, const struct report *report)
{
	const struct report_line *line;
	size_t i;

	wk->why[0] = '\0';
	for (i = 0; i < report->n; i++) {
		line = &report->lines[i];
		(line->is_warning ? log_warn : log_error)("%.*s", STR_ARG(line->text));
		if (!line->is_warning && wk->why[0] == '\0')
			snprintf(wk->why, sizeof(wk->why), "%.*s", STR_ARG(line->text));
	}
}

/* Each client may need a server's connection too. */
static void
check_files(const struct config *conf)
{
	unsigned long long need = 2ULL * conf->client.max_connections + OWN_FILES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < need)
		log_warn("open files are limited to %llu, but client.max_connections %u may need %llu: "
		    "raise the limit (LimitNOFILE, ulimit -n) or lower max_connections",
		    (unsigned long long)limit.rlim_cur, conf->client.max_connections, need);
}

/* The source as it is now; NULL when anything is wrong, which is said. */
static struct config *
read_source(struct worker *wk)
{
	struct config *conf;
	struct report report;

	report_init(&report);
	conf = source_load(wk->source, &report);
	log_report(wk, &report);
	report_fini(&report);
	if (conf != NULL)
		check_files(conf);
	return conf;
}

/* Its generation, which takes the reference; NULL when it cannot be, which is said. */
static struct generation *
bind_source(struct worker *wk, struct config *conf)
{
	struct generation *g;
	struct err err;

	g = generation_new(&wk->world, conf, &err);
	if (g == NULL) {
		log_error("%s", err.text);
		snprintf(wk->why, sizeof(wk->why), "%.*s", (int)sizeof(wk->why) - 1, err.text);
	}
	return g;
}

static void
log_certificate(void *arg, const struct shown_by *by, const struct tls_certificate *t)
{
	(void)arg;
	(void)by;
	log_info("certificate %.*s for %.*s: %lld days left", STR_ARG(t->file), STR_ARG(t->name),
	    (long long)((t->not_after - clock_wall_us() / 1000000) / DAY_SECONDS));
}

/* --- reload ---------------------------------------------------------------------------------------- */

static void
configure_names(struct worker *wk, const struct config *conf)
{
	const struct resolver_conf *c = &conf->resolver;
	struct name_rules rules = { "", c->timeout, c->min_ttl, c->max_ttl };
	struct arena *scratch = arena_new(512);
	struct str list = STR("");
	size_t i;

	for (i = 0; i < c->n_servers; i++)
		list = arena_printf(scratch, "%.*s%s%.*s", STR_ARG(list), i > 0 ? "," : "",
		    STR_ARG(c->servers[i].text));
	if (list.len > 0)
		rules.servers = list.p;
	name_configure(&wk->world.names, &rules);
	arena_free(scratch);
}

static void
say_failed(struct worker *wk)
{
	admin_reloaded(&wk->admin, false);
	log_error("reload: failed, nothing has changed");
	service_reloaded(&wk->service, wk->why);
}

/* There is no way from one user to another. */
static void
tell_user(const struct config *old, const struct config *conf)
{
	if (!str_eq(old->user, conf->user) || !str_eq(old->group, conf->group))
		log_warn("user: and group: have changed, which takes a restart");
}

static void
adopt(struct worker *wk, struct config *conf)
{
	struct generation *g = bind_source(wk, conf);

	if (g == NULL) {
		configure_names(wk, wk->world.current->config);
		say_failed(wk);
		return;
	}
	tell_user(wk->world.current->config, conf);
	generation_adopt(&wk->world, g);
	admin_reloaded(&wk->admin, true);
	generation_certificates(g, log_certificate, NULL);
	service_reloaded(&wk->service, NULL);
	log_info("reload: ok, generation %llu", (unsigned long long)g->id);
}

static void begin_reload(struct worker *);
static void start(struct worker *);

static void
give_up_lookup(struct worker *wk)
{
	if (wk->lookup != NULL)
		lookup_free(wk->lookup);
	if (wk->next != NULL)
		config_unref(wk->next);
	wk->lookup = NULL;
	wk->next = NULL;
}

/* The names are found, or not.  A file that changed since is read instead. */
static void
on_names(void *arg)
{
	struct worker *wk = arg;
	bool again = wk->hup_again;

	wk->hup_again = false;
	if (wk->world.is_draining)
		again = false;
	else if (!wk->is_started)
		start(wk);
	else if (!again) {
		adopt(wk, wk->next);
		wk->next = NULL;
	}
	give_up_lookup(wk);
	if (!again)
		return;
	/* Those of a file that is dropped are not to be asked on, should the next one be wrong. */
	configure_names(wk, wk->world.current->config);
	begin_reload(wk);
}

/* False when there is nothing to wait for. */
static bool
look_up_names(struct worker *wk, const struct config *conf)
{
	const struct address **names;
	size_t n = 0, i, j;

	for (i = 0; i < conf->n_upstreams; i++)
		n += conf->upstreams[i].n_servers;
	names = calloc(n + 1, sizeof(*names));
	check(names != NULL);
	for (n = i = 0; i < conf->n_upstreams; i++)
		for (j = 0; j < conf->upstreams[i].n_servers; j++)
			if (conf->upstreams[i].servers[j].address.is_name)
				names[n++] = &conf->upstreams[i].servers[j].address;
	if (n > 0)
		wk->lookup = lookup_start(&wk->world.names, names, n, conf->resolver.timeout, on_names, wk);
	free(names);
	return wk->lookup != NULL;
}

static void
start_reload(struct worker *wk)
{
	struct config *conf = read_source(wk);

	if (conf == NULL) {
		say_failed(wk);
		return;
	}
	/* What the resolver reads may have changed. */
	configure_names(wk, conf);
	if (look_up_names(wk, conf))
		wk->next = conf;
	else
		adopt(wk, conf);
}

static void
begin_reload(struct worker *wk)
{
	service_reloading(&wk->service);
	start_reload(wk);
}

static void
on_hup(evutil_socket_t number, short what, void *arg)
{
	struct worker *wk = arg;

	(void)number;
	(void)what;
	clock_update();
	if (wk->world.is_draining)
		log_warn("reload: failed: stopping already");
	else if (wk->lookup != NULL)
		wk->hup_again = true;
	else
		begin_reload(wk);
}

static void
on_usr1(evutil_socket_t number, short what, void *arg)
{
	struct worker *wk = arg;
	struct err err;

	(void)number;
	(void)what;
	if (access_log_reopen(wk->world.access_log, &err))
		log_info("log files reopened");
	else
		log_error("%s; the old file is written on", err.text);
}

/* --- the end ------------------------------------------------------------------------------------------ */

static void
end_all(struct worker *wk)
{
	greet_close_all(&wk->world.greeter);
	exchange_end_all(&wk->world);
	front_h1_close_all(&wk->world.fronts);
	front_h1_close_all(&wk->world.watchers);
}

static void
on_drain_over(void *arg)
{
	struct worker *wk = arg;

	if (is_deserted(&wk->world)) {
		wk->is_done = true;
		return;
	}
	log_warn("drain_timeout is over: %zu exchanges are ended", wk->world.n_live);
	end_all(wk);
	deadline_arm(&wk->drain, LAST_WORDS);
}

static void
start_drain(struct worker *wk)
{
	struct world *w = &wk->world;
	msec limit = w->current->config->drain_timeout;

	/* Before the listeners close: those in the kernel's line come in and are told to close. */
	w->is_draining = w->env.is_draining = true;
	/* Who watches is told that it stops, unless there is another already to ask. */
	generation_retire(w->current, !w->listeners.is_handed_over);
	greet_drain(&w->greeter);
	front_h1_drain(&w->fronts);
	front_h1_drain(&w->watchers);
	deadline_arm(&wk->drain, limit > 0 ? limit : 1);
	if (!w->listeners.is_handed_over)
		service_stopping(&wk->service, limit + LAST_WORDS);
	log_info("stopping: %zu exchanges in flight have %lld ms to end", w->n_live,
	    (long long)limit);
}

static void
on_stop(evutil_socket_t number, short what, void *arg)
{
	struct worker *wk = arg;

	(void)number;
	(void)what;
	clock_update();
	if (!wk->world.is_draining) {
		upgrade_cancel(&wk->upgrade);
		start_drain(wk);
		return;
	}
	log_info("stopping at once");
	end_all(wk);
	wk->is_done = true;
}

/* --- the next program on the same sockets -------------------------------------------------------------- */

static void
on_usr2(evutil_socket_t number, short what, void *arg)
{
	struct worker *wk = arg;
	struct err err;

	(void)number;
	(void)what;
	clock_update();
	if (wk->world.is_draining)
		log_warn("upgrade: failed: stopping already");
	else if (!upgrade_start(&wk->upgrade, wk->world.loop, &wk->world.listeners,
	    tls_tickets_give(wk->world.tickets), wk->source->argv, &err))
		log_error("upgrade: failed, nothing has changed: %s", err.text);
	else
		log_info("upgrade: process %d is starting", (int)wk->upgrade.child);
}

static void
on_upgraded(void *arg)
{
	struct worker *wk = arg;

	log_info("upgrade: ok, process %d takes over", (int)wk->upgrade.child);
	/* The manager believes this of us only. */
	notify_send("MAINPID=%d", (int)wk->upgrade.child);
	service_handed_over(&wk->service);
	wk->world.listeners.is_handed_over = true;
	if (!wk->world.is_draining)
		start_drain(wk);
}

static void
on_upgrade_failed(void *arg, const char *why)
{
	(void)arg;
	log_error("upgrade: failed, nothing has changed: the new program: %s", why);
}

/* --- start ---------------------------------------------------------------------------------------------- */

static void
init_modules(void)
{
	wait_module_init();
	conn_module_init();
	coder_module_init();
	origin_module_init();
	dns_module_init();
	backend_module_init();
	health_module_init();
	limit_module_init();
	greet_module_init();
	front_h1_module_init();
	exchange_module_init();
	cached_module_init();
}

static void
fini_modules(void)
{
	cached_module_fini();
	exchange_module_fini();
	front_h1_module_fini();
	greet_module_fini();
	limit_module_fini();
	health_module_fini();
	backend_module_fini();
	dns_module_fini();
	origin_module_fini();
	coder_module_fini();
	conn_module_fini();
	wait_module_fini();
}

static void
init(struct worker *wk, const struct source *source)
{
	struct world *w = &wk->world;
	int tickets;
	size_t i;

	memset(wk, 0, sizeof(*wk));
	wk->source = source;
	wk->n_files = process_files();
	w->loop = loop_new();
	w->scratch = arena_new(SCRATCH);
	compressor_init(&w->compressor, w->loop);
	TAILQ_INIT(&w->live);
	TAILQ_INIT(&w->ended);
	TAILQ_INIT(&w->fronts);
	TAILQ_INIT(&w->watchers);
	LIST_INIT(&w->limits.zones);
	backend_registry_init(&w->backends, w->loop);
	line_registry_init(&w->lines, w->loop);
	name_registry_init(&w->names, w->loop, on_names_changed, w);
	listener_registry_init(&w->listeners, w->loop, on_accept, w);
	w->env.loop = w->loop;
	w->env.events = &ports_front_events;
	w->env.world = w;
	greeter_init(&w->greeter, &w->env, on_greeted, w);
	authority_init(&w->authority, w->loop);
	w->tickets = tls_tickets_new();
	tickets = upgrade_take_tickets();
	if (tickets >= 0 && !tls_tickets_take(w->tickets, tickets))
		log_warn("the session tickets of the program before cannot be read: clients make whole "
		    "handshakes");
	w->protocols = protocols();
	deadline_init(&wk->flush, w->loop, on_flush, wk);
	deadline_init(&wk->drain, w->loop, on_drain_over, wk);
	deadline_init(&wk->tick, w->loop, on_tick, wk);
	deadline_arm(&wk->tick, TICK);
	cache_registry_init(&w->caches, ask_for_news, w);
	task_init(&w->cache_news, on_cache_news, w);
	for (i = 0; i < N_SIGNALS; i++) {
		wk->signals[i] = evsignal_new(loop_base(w->loop), signals[i].number, signals[i].run,
		    wk);
		check(wk->signals[i] != NULL);
		event_add(wk->signals[i], NULL);
	}
	loop_set_chore(w->loop, on_chore, wk);
	metrics_init(&w->metrics);
	admin_init(&wk->admin, w);
	service_init(&wk->service, w);
	upgrade_init(&wk->upgrade, w->loop, on_upgraded, on_upgrade_failed, wk);
}

/* One that comes from here on would end the process by default, and what it says is over. */
static void
stop_signals(struct worker *wk)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < N_SIGNALS; i++)
		sigaddset(&set, signals[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < N_SIGNALS; i++)
		event_free(wk->signals[i]);
}

/* Gives everything back; false when something was not there to be given. */
static bool
fini(struct worker *wk)
{
	struct world *w = &wk->world;
	bool is_balanced;
	size_t n_files;

	give_up_lookup(wk);
	/* Those who watch are there to the end. */
	if (w->current != NULL)
		generation_retire(w->current, false);
	end_all(wk);
	exchange_reap(w);
	authority_fini(&w->authority);
	if (w->current != NULL)
		generation_unref(w->current);
	w->current = NULL;
	if (w->access_log != NULL)
		access_log_close(w->access_log);
	stop_signals(wk);
	deadline_fini(&wk->flush);
	deadline_fini(&wk->drain);
	deadline_fini(&wk->tick);
	service_fini(&wk->service);
	upgrade_fini(&wk->upgrade);
	cache_registry_reap(&w->caches);
	is_balanced = w->n_generations == 0 && w->n_live == 0 &&
	    backend_registry_count(&w->backends) == 0 && line_registry_count(&w->lines) == 0 &&
	    name_registry_count(&w->names) == 0 &&
	    limit_registry_count(&w->limits) == 0 && cache_registry_count(&w->caches) == 0 &&
	    listener_registry_count(&w->listeners) == 0;
	if (!is_balanced)
		log_error("books: %u generations, %zu exchanges, %zu servers, %zu lines, %zu names, "
		    "%zu limits, %zu listeners still live", w->n_generations, w->n_live,
		    backend_registry_count(&w->backends), line_registry_count(&w->lines),
		    name_registry_count(&w->names),
		    limit_registry_count(&w->limits), listener_registry_count(&w->listeners));
	else {
		line_registry_fini(&w->lines);
		name_registry_fini(&w->names);
		backend_registry_fini(&w->backends);
		listener_registry_fini(&w->listeners);
		cache_registry_fini(&w->caches);
	}
	compressor_fini(&w->compressor);
	loop_free(w->loop);
	tls_tickets_free(w->tickets);
	metrics_fini(&w->metrics);
	arena_free(w->scratch);
	n_files = process_files();
	if (n_files > wk->n_files) {
		log_error("books: %zu descriptors still open", n_files - wk->n_files);
		is_balanced = false;
	}
	return slab_books() == 0 && is_balanced;
}

static void
say_started(const struct generation *g)
{
	const struct config *conf = g->config;
	char list[512];
	size_t i, n = 0;

	for (i = 0; i < conf->n_listen && n < sizeof(list) - 1; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%.*s", i > 0 ? ", " : "",
		    STR_ARG(conf->listen[i].address.text));
	generation_certificates(g, log_certificate, NULL);
	log_info("started: listening on %s", list);
	for (i = 0; i < conf->admin.n_listen; i++)
		log_info("metrics and status on %.*s", STR_ARG(conf->admin.listen[i].address.text));
}

/* What only root may open is open by now. */
static bool
become_user(struct worker *wk)
{
	const struct config *conf = wk->world.current->config;
	struct identity id;
	struct err err;

	if (!privilege_find(conf->user, conf->group, &id, &err)) {
		log_error("%s", err.text);
		return false;
	}
	if (id.is_set && geteuid() == 0)
		access_log_give(wk->world.access_log, id.uid, id.gid);
	if (!privilege_drop(&id, &err)) {
		log_error("%s", err.text);
		return false;
	}
	if (geteuid() == 0)
		log_warn("running as root: name a user in user:, or let systemd do it");
	return true;
}

/* Clients who came meanwhile are let in. */
static void
start(struct worker *wk)
{
	wk->is_started = true;
	listener_registry_pause(&wk->world.listeners, false);
	say_started(wk->world.current);
	inherit_settle();
	if (upgrade_tell_ready())
		service_took_over(&wk->service);
	else
		service_ready(&wk->service);
}

int
worker_run(const struct source *source)
{
	struct worker wk;
	struct generation *g = NULL;
	struct config *conf;
	int code;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);	/* the children of an upgrade are nobody's to wait for */
	init_modules();
	init(&wk, source);
	conf = read_source(&wk);
	if (conf != NULL) {
		configure_names(&wk, conf);
		/* The first request is not to fail for a lookup that takes a millisecond. */
		wk.world.listeners.is_paused = true;
		g = bind_source(&wk, conf);
	}
	code = conf == NULL ? EXIT_CONFIG : g == NULL ? EXIT_START : 0;
	if (g != NULL) {
		generation_adopt(&wk.world, g);
		if (!become_user(&wk)) {
			code = EXIT_START;
			wk.is_done = true;
		}
	}
	if (g != NULL && !wk.is_done) {
		if (!look_up_names(&wk, wk.world.current->config))
			start(&wk);
		while (!wk.is_done)
			loop_turn(wk.world.loop);
	}
	if (!fini(&wk) && code == 0)
		code = EXIT_BOOKS;
	if (g != NULL && code == 0)
		log_info("stopped");
	fini_modules();
	return code;
}
