/* SPDX-License-Identifier: MIT */
/*
 * The snapshot of a configuration file: an immutable tree in one arena, counted.  Filled by the
 * schema (section_*.c), read by every layer above.  Times in milliseconds, sizes in bytes.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/address.h"
#include "base/str.h"
#include "base/tls_conf.h"

struct arena;
struct table;

/* "$client_ip" and literals, compiled: see template_vars in template.c for the names. */
enum template_var {
	TEMPLATE_LITERAL,
	TEMPLATE_CLIENT_IP,		/* the client after trusted_proxies */
	TEMPLATE_PEER_IP,		/* who opened the connection */
	TEMPLATE_HOST,			/* Host without port */
	TEMPLATE_AUTHORITY,		/* Host as sent */
	TEMPLATE_REQUEST_URI,		/* target in origin form, with query */
	TEMPLATE_PATH,
	TEMPLATE_QUERY,			/* without "?" */
	TEMPLATE_SCHEME,		/* http or https */
	TEMPLATE_METHOD,
	TEMPLATE_REQUEST_ID,
	TEMPLATE_AUTH_USER,		/* who asks, by the route's auth; empty without */
	TEMPLATE_SERVER,		/* address of the chosen server, empty before */
	TEMPLATE_STATUS,
	TEMPLATE_FIELD,			/* $http_NAME: request field, _ stands for - */
};
struct template_part {
	enum template_var var;
	struct str        text;		/* the literal, or the field name of TEMPLATE_FIELD */
};
struct template {
	struct template_part *parts;
	size_t                n;
};

struct listen_conf {
	struct address address;
	struct str     name;		/* of an inherited socket, or empty */
	unsigned       mode;		/* of a unix socket */
	bool           proxy_protocol;	/* a header comes first, from trusted_proxies */
	struct tls_server_conf *tls;	/* NULL: plain */
};

struct status_set {
	uint64_t bits[10];		/* status - 0 .. 639 */
	bool     error;
	bool     timeout;
	bool     updating;		/* of caches only */
};
static inline bool
status_set_has(const struct status_set *s, int status)
{
	return status >= 0 && status < 640 && (s->bits[status / 64] >> (status % 64) & 1);
}

/* Where the key of a hash balancer or of a limit comes from; each takes some of them. */
enum key_source { KEY_CLIENT_IP, KEY_HEADER, KEY_COOKIE, KEY_QUERY, KEY_PATH, KEY_HOST, KEY_ROUTE,
	KEY_AUTH };
struct key_conf {
	enum key_source source;
	struct str      name;		/* of the header, cookie or query argument */
};

enum balance_kind { BALANCE_ROUND_ROBIN, BALANCE_LEAST_REQUESTS, BALANCE_IP_HASH, BALANCE_HASH };

/* Of the addresses of a name each is a server, or it is one that is at the first that answers. */
enum resolve_mode { RESOLVE_ALL, RESOLVE_FIRST };

struct server_conf {
	struct address address;		/* its text begins with https:// when is_tls */
	bool           is_tls;
	unsigned       resolve;		/* enum resolve_mode; of names that are no services */
	unsigned       weight;		/* thousandths: 1.2 is 1200; 1..1000000 */
	bool           backup;
	bool           down;
	unsigned       max_inflight;	/* exchanges at a time; 0: no limit */
	unsigned       max_fails;	/* 0: never ejected; the upstream's unless set here */
	msec           fail_timeout;
};

/* How a server is asked whether it is well. */
struct check_conf {
	bool              is_on;
	bool              is_tcp;	/* a connection will do */
	bool              sends_proxy_header;	/* the upstream's */
	struct str        path, host;	/* host empty: the server's address */
	struct status_set expect;
	struct str        body;		/* that has to be in the answer; empty: none */
	msec              interval, down_interval, timeout;
	unsigned          rise, fall;
};

struct upstream_conf {
	struct str          name;
	enum balance_kind   balance;
	struct key_conf     hash;
	unsigned            bound;	/* hash: percent of the fair share, 0: no bound; 125 is 1.25 */
	unsigned            prefix4, prefix6;	/* ip_hash */
	struct server_conf *servers;
	size_t              n_servers;
	unsigned            max_fails;
	msec                fail_timeout;
	struct status_set   fail_on;
	struct {
		unsigned          tries;	/* attempts in all, 1: no retry */
		struct status_set on;
		bool              non_idempotent;
		uint64_t          keep_body;
	} retry;
	struct { unsigned size; msec timeout; } queue;	/* for when every server is at max_inflight */
	struct { unsigned idle; msec timeout; } keepalive;
	struct { msec connect, first_byte, idle, send, total; } timeouts;	/* total 0: none */
	struct tls_client_conf tls;
	bool                has_tls;	/* a server speaks it */
	struct check_conf   check;
	msec                stall_timeout, slow_start;	/* 0: none */
	bool                finish_on_abort;	/* on_client_abort: finish */
	bool                sends_proxy_header;	/* proxy_protocol: v2 */
};

/* How names are looked up. */
struct resolver_conf {
	struct address *servers; size_t n_servers;	/* none: those of resolv.conf */
	msec timeout, min_ttl, max_ttl;
};

#define LIMIT_NO_DELAY UINT_MAX

struct limit_conf {
	struct str      name;
	struct key_conf key;
	struct { unsigned count; msec per; } rate;	/* count 0: none */
	unsigned        burst;
	unsigned        delay;		/* so many of the burst pass at once, the rest waits */
	unsigned        concurrent;	/* 0: none */
	unsigned        status;		/* of a refusal */
	uint64_t        size;
	bool            dry_run;
};

/* "valid: {200: 10m, any: 1m}": how long an answer lives that does not say so itself. */
struct valid_conf {
	unsigned status;		/* 0: any that is not named */
	msec     lifetime;
};

/*
 * Not what hangs on one client, one moment or one part of an answer: such a status is never stored,
 * whatever the server or valid: says.
 */
static inline bool
status_is_storable(int status)
{
	switch (status) {
	case 206: case 304: case 401: case 407: case 408: case 411: case 412: case 413: case 416:
	case 417: case 421: case 425: case 426: case 428: case 429: case 431:
		return false;
	default:
		return status >= 200 && status < 600;
	}
}

struct cache_conf {
	struct str         name;
	uint64_t           size;	/* bytes in all, the entries' own overhead too */
	msec               inactive;	/* an entry that nobody asked for so long goes */
	uint64_t           max_object;	/* of an answer, head and body */
	uint64_t           max_body;	/* of a POST whose answer is stored */
	struct valid_conf *valid;         size_t n_valid;
	struct status_set  stale;
	struct str        *methods;       size_t n_methods;
	bool               has_get, has_head, has_post;	/* the same, for quick looks */
	bool               only_requested;	/* when: requested */
	bool               ignore_request_cache_control;
	bool               ignore_response_cache_control;
	bool               share_across_clients;
	bool               single_flight;
	unsigned           vary_max;	/* variants of one key */
	struct str        *ignore_fields; size_t n_ignore_fields;
	struct str        *key_headers;   size_t n_key_headers;
};

struct header_rule { struct str name; struct template value; };
struct header_rules {
	struct header_rule *set;    size_t n_set;
	struct header_rule *add;    size_t n_add;
	struct str         *remove; size_t n_remove;
};

struct auth_user { struct str name, hash; };		/* of crypt(3) */
struct auth_key { struct str name; uint8_t digest[32]; };	/* SHA-256 of the key */

/* Who may ask: by password or by API key, either will do. */
struct auth_conf {
	struct str realm;
	struct { struct str file; bool hide; } basic, keys;	/* no file: not that way */
	struct auth_user *users;    size_t n_users;	/* by name */
	struct auth_key  *api_keys; size_t n_api_keys;
};

/* What is encoded on its way to clients that want it. */
struct compress_conf {
	unsigned   *encodings; size_t n_encodings;	/* of enum encoding, the one liked best first */
	struct str *types;     size_t n_types;		/* lower case, at most one * in each */
	uint64_t    min_size;
	unsigned    level;
};

enum route_scheme { ROUTE_ANY_SCHEME, ROUTE_HTTP, ROUTE_HTTPS };
enum route_action { ROUTE_UPSTREAM, ROUTE_RESPOND, ROUTE_REDIRECT };
struct route_conf {
	struct str           name;	/* for log and metrics: "name:" or the path as written */
	bool                 is_exact;	/* exact: or path: (prefix on a segment boundary) */
	struct str           path;
	struct str          *hosts;    size_t n_hosts;	/* lower case; "*.x" is a wildcard; none: any */
	struct str          *methods;  size_t n_methods;	/* none: any */
	enum route_scheme    scheme;
	enum route_action    action;
	const struct upstream_conf *upstream;
	const struct limit_conf **limits; size_t n_limits;
	const struct cache_conf *cache;	/* of upstream routes; NULL: answers are not stored */
	/*
	 * What of the route changes what a server is asked, as text: part of every cache key, so that
	 * routes share an answer only where they would ask the same.  Empty without cache.
	 */
	struct str           cache_identity;
	struct {
		unsigned   status;
		struct str body, type;
		struct str files;	/* a folder, whose files are the answers; empty: none */
	} respond;
	struct { struct template to; unsigned status; } redirect;
	struct header_rules  request_headers, response_headers;
	const struct auth_conf *auth;	/* NULL: whoever may come */
	const struct compress_conf *compress;	/* NULL: answers go as they are */
	struct network      *allow; size_t n_allow;	/* none: all that are not denied */
	struct network      *deny;  size_t n_deny;
	uint64_t             max_body;
};

struct client_conf {
	msec     header_timeout, body_timeout, keepalive_timeout, send_timeout;
	uint64_t max_head;
	unsigned max_connections;
	bool     keep_underscore;	/* underscores_in_headers: fields with "_" pass */
};

enum log_format { LOG_JSON, LOG_COMBINED, LOG_CUSTOM };
struct access_log_conf {
	struct str      path;		/* "stdout", "stderr", "off" or a file */
	enum log_format kind;
	struct str      format;		/* of LOG_CUSTOM, as written */
};

struct config {
	unsigned               refs;
	struct arena          *arena;
	struct listen_conf    *listen;          size_t n_listen;
	/* Fields that tell who a client is, of any listener: never taken from a client. */
	struct str            *subject_fields;  size_t n_subject_fields;
	struct network        *trusted_proxies; size_t n_trusted;
	bool                   sends_proxy_headers;	/* one of the upstreams does */
	struct upstream_conf  *upstreams;       size_t n_upstreams;
	struct resolver_conf   resolver;
	struct limit_conf     *limits;          size_t n_limits;
	struct cache_conf     *caches;          size_t n_caches;
	struct route_conf     *routes;          size_t n_routes;
	struct client_conf     client;
	struct access_log_conf access_log;
	/* Where our own pages are: /metrics, /status, /healthz. */
	struct { struct listen_conf *listen; size_t n_listen; unsigned mode; } admin;
	struct str             user, group;	/* whom to become; empty: stay */
	msec                   drain_timeout;
};

/* Complete: "FILE:LINE:COLUMN: path: what, what would be right". */
struct report_line {
	struct str text;
	bool       is_warning;
};

/* What a file that is named is for: read at start and reload; a folder whose files are answers; written. */
enum file_use { FILE_USE_READ, FILE_USE_SEARCH, FILE_USE_LOG };

/* What was found in a file.  The checks are of layers that config/ does not know; NULL: not made. */
struct report {
	struct arena *arena;
	/* Knows the $fields of a log format (ops/access_log.h); NULL: they are not looked at. */
	bool        (*check_format)(struct arena *, struct str format, const char **why);
	/* Read the files that a tls section names (net/tls.h). */
	void        (*check_tls_server)(const struct tls_server_conf *, tls_tell *, void *arg);
	void        (*check_tls_client)(const struct tls_client_conf *, tls_tell *, void *arg);
	/* False: who weir becomes by user: and group:, and is not yet, may not; of a log: its folder. */
	bool        (*may_use)(const struct config *, const char *path, enum file_use);
	struct report_line *lines;
	size_t        n, cap;		/* n counts all, also warnings */
	size_t        n_errors;
};
void report_init(struct report *);
void report_fini(struct report *);
/* Adds an error of somebody else's. */
void report_error(struct report *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes every line to out. */
void report_print(const struct report *, FILE *out);

/*
 * Reads, checks and seals a file.  NULL when anything is wrong; every error found (not just the
 * first) is then in the report.  The caller owns one reference.
 */
struct config *config_load(const char *path, struct report *);
/* The same from text; name stands for the file in messages. */
struct config *config_parse(struct str text, const char *name, struct report *);
/* The configuration of "weir --listen L --to A,B": builds text and parses it. */
struct config *config_from_arguments(const char *listen, const char *to, struct report *);
void config_unref(struct config *);
/* The whole effective configuration as YAML (weir -T); what is printed parses to the same tree. */
void config_print(const struct config *, FILE *out);
/* What is made from the tables: every key, its default, bounds and help (conf/reference.yaml) ... */
void config_print_reference(FILE *out);
/* ... the same for the manual page (mdoc), and the names that templates know. */
void config_print_keys(FILE *out);
void config_print_variables(FILE *out);

/* Compiles "$name" / "${name}" / "$$"; false with *why when a name is unknown. */
bool template_compile(struct arena *, struct str text, struct template *out, const char **why);

#endif
