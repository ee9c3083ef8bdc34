/* SPDX-License-Identifier: MIT */
/*
 * One line per exchange.
 *
 * A field is a row: name and how to get it from a record.  JSON is all rows marked for it, in order;
 * every other format is a list of literals and rows, compiled once.  Lines gather in memory and go
 * out in whole lines; a pipe that nobody empties costs lines, never time.
 */
#include "ops/access_log.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mdoc.h"
#include "base/suggest.h"
#include "base/text.h"

enum {
	FLUSH_AT = 32 * 1024,		/* bytes that make a write worth while */
	KEEP_MAX = 1024 * 1024,		/* bytes kept for a reader that does not read */
	PARTS_MAX = 128,
	SMALL = 64
};

struct value {
	enum { VALUE_NONE, VALUE_TEXT, VALUE_BARE } kind;
	struct str text;
};

struct row {
	const char   *name;
	struct value (*get)(const struct record *, char small[SMALL]);
	enum { JSON_NEVER, JSON_ALWAYS, JSON_WHEN_SET } json;
	const char   *help;		/* for the manual page */
};

struct part {
	struct str        literal;
	const struct row *row;		/* NULL: the literal */
};

struct access_log {
	enum log_format kind;
	char       *path;
	char       *format;
	struct part parts[PARTS_MAX];
	size_t      n_parts;
	int         fd;			/* -1: off */
	bool        owns_fd;
	bool        may_block;		/* a pipe, a terminal, a socket */
	struct text out;		/* lines that wait */
	uint64_t    dropped;		/* since that was last told */
	uint64_t    lost;		/* in all */
};

/* --- values ---------------------------------------------------------------------------------------- */

static struct value
text(struct str s)
{
	struct value v = { s.len > 0 ? VALUE_TEXT : VALUE_NONE, s };

	return v;
}

static struct value
bare(const char *p, size_t len)
{
	struct value v = { VALUE_BARE, { p, len } };

	return v;
}

/* Decimal digits to the end of small. */
static struct value
number(uint64_t n, char small[SMALL])
{
	char *p = small + SMALL;

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return bare(p, (size_t)(small + SMALL - p));
}

/* Microseconds as milliseconds with at most three decimals; -1 is nothing. */
static struct value
milliseconds(int64_t us, char small[SMALL])
{
	struct value none = { VALUE_NONE, STR_NONE };
	unsigned rest;
	int n;

	if (us < 0)
		return none;
	rest = (unsigned)(us % 1000);
	if (rest == 0)
		return number((uint64_t)us / 1000, small);
	n = snprintf(small, SMALL, "%lld.%03u", (long long)(us / 1000), rest);
	while (small[n - 1] == '0')
		n--;
	return bare(small, (size_t)n);
}

static struct value
get_time(const struct record *r, char small[SMALL])
{
	static char second[32];
	static int64_t made = -1;
	time_t now = (time_t)(r->wall_us / 1000000);
	struct tm tm;

	if (made != now) {
		gmtime_r(&now, &tm);
		strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &tm);
		made = now;
	}
	snprintf(small, SMALL, "%s.%03dZ", second, (int)(r->wall_us / 1000 % 1000));
	return text(str_of(small));
}

/* Of the combined format: "10/Oct/2000:13:55:36 +0000", in UTC. */
static struct value
get_time_local(const struct record *r, char small[SMALL])
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
		"Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = (time_t)(r->wall_us / 1000000);
	struct tm tm;

	gmtime_r(&now, &tm);
	snprintf(small, SMALL, "%02d/%s/%04d:%02d:%02d:%02d +0000", tm.tm_mday, months[tm.tm_mon],
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return text(str_of(small));
}

static struct value
get_protocol(const struct record *r, char small[SMALL])
{
	(void)small;
	if (r->method.len == 0)
		return text(STR_NONE);
	return text(r->minor == 0 ? STR("HTTP/1.0") : STR("HTTP/1.1"));
}

#define GET_TEXT(field)						\
static struct value						\
get_##field(const struct record *r, char small[SMALL])		\
{								\
	(void)small;						\
	return text(r->field);					\
}
#define GET_WORD(field, expression)				\
static struct value						\
get_##field(const struct record *r, char small[SMALL])		\
{								\
	(void)small;						\
	return text(str_of(expression));			\
}
#define GET_NUMBER(field)					\
static struct value						\
get_##field(const struct record *r, char small[SMALL])		\
{								\
	return number((uint64_t)r->field, small);		\
}
#define GET_TIME(field)						\
static struct value						\
get_##field(const struct record *r, char small[SMALL])		\
{								\
	return milliseconds(r->field##_us, small);		\
}

GET_TEXT(request_id)
GET_TEXT(client)
GET_TEXT(user)
GET_TEXT(method)
GET_TEXT(target)
GET_TEXT(host)
GET_NUMBER(status)
GET_NUMBER(bytes_in)
GET_NUMBER(bytes_out)
GET_WORD(end, end_info(r->end)->name)
GET_WORD(rule, r->rule)
GET_WORD(limit, r->limit)
GET_TEXT(limit_name)
GET_TEXT(route)
GET_TEXT(upstream)
GET_TEXT(server)
GET_NUMBER(tries)
GET_WORD(cache, r->cache)
GET_TEXT(encoding)
GET_TIME(queue)
GET_TIME(connect)
GET_TIME(first_byte)
GET_TIME(total)
GET_TEXT(user_agent)
GET_TEXT(referer)

static const struct row rows[] = {
	{ "time", get_time, JSON_ALWAYS,
	  "when it began, in UTC" },
	{ "request_id", get_request_id, JSON_ALWAYS,
	  "what X-Request-Id says to the server" },
	{ "client", get_client, JSON_ALWAYS,
	  "the client's address, trusted proxies left out" },
	{ "user", get_user, JSON_WHEN_SET,
	  "who asked, by the route's auth" },
	{ "method", get_method, JSON_ALWAYS,
	  "the method" },
	{ "target", get_target, JSON_ALWAYS,
	  "the target, as sent" },
	{ "host", get_host, JSON_ALWAYS,
	  "the Host field, as sent" },
	{ "protocol", get_protocol, JSON_ALWAYS,
	  "HTTP/1.1 or HTTP/1.0" },
	{ "status", get_status, JSON_ALWAYS,
	  "the status that the client was sent, or would have been" },
	{ "bytes_in", get_bytes_in, JSON_ALWAYS,
	  "body bytes from the client" },
	{ "bytes_out", get_bytes_out, JSON_ALWAYS,
	  "body bytes to the client" },
	{ "end", get_end, JSON_ALWAYS,
	  "why it ended, see below" },
	{ "rule", get_rule, JSON_WHEN_SET,
	  "which rule a refused request broke" },
	{ "limit", get_limit, JSON_ALWAYS,
	  "what the route's limits said: passed, delayed, refused or dry_run" },
	{ "limit_name", get_limit_name, JSON_WHEN_SET,
	  "the limit that decided that" },
	{ "route", get_route, JSON_ALWAYS,
	  "the name of the route, or its path" },
	{ "upstream", get_upstream, JSON_ALWAYS,
	  "the name of the upstream" },
	{ "server", get_server, JSON_ALWAYS,
	  "the address of the last server asked" },
	{ "tries", get_tries, JSON_ALWAYS,
	  "how many servers were asked" },
	{ "cache", get_cache, JSON_WHEN_SET,
	  "what the cache did: hit, stale, collapsed (followed another's fetch), revalidated, miss "
	  "(stored), pass (not storable), bypass, refresh (nobody's request); null without one" },
	{ "encoding", get_encoding, JSON_WHEN_SET,
	  "what weir encoded the answer in: gzip or zstd; null when it went as it came" },
	{ "queue_ms", get_queue, JSON_ALWAYS,
	  "milliseconds in line for a server" },
	{ "connect_ms", get_connect, JSON_ALWAYS,
	  "milliseconds until the server accepted" },
	{ "first_byte_ms", get_first_byte, JSON_ALWAYS,
	  "milliseconds from the request to the head of the answer" },
	{ "total_ms", get_total, JSON_ALWAYS,
	  "milliseconds in all" },
	{ "user_agent", get_user_agent, JSON_ALWAYS,
	  "the User-Agent field" },
	{ "referer", get_referer, JSON_ALWAYS,
	  "the Referer field" },
	{ "time_local", get_time_local, JSON_NEVER,
	  "the time in the way of the combined format" },
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char combined[] =
    "$client - $user [$time_local] \"$method $target $protocol\" $status $bytes_out \"$referer\" "
    "\"$user_agent\"";

/* --- formats ----------------------------------------------------------------------------------------- */

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static const struct row *
find_row(struct str name)
{
	size_t i;

	for (i = 0; i < N_ROWS; i++)
		if (str_eq(name, str_of(rows[i].name)))
			return &rows[i];
	return NULL;
}

/* "$name", "${name}" or "$$" at the head of f: its length, 0 when it is none; no name: a dollar. */
static size_t
take_name(struct str f, struct str *name)
{
	bool braced = f.len > 1 && f.p[1] == '{';
	size_t from = braced ? 2 : 1, i = from;

	*name = STR_NONE;
	if (f.len > 1 && f.p[1] == '$')
		return 2;
	while (i < f.len && is_name_byte(f.p[i]))
		i++;
	*name = str_make(f.p + from, i - from);
	if (name->len == 0 || (braced && (i == f.len || f.p[i] != '}')))
		return 0;
	return i + braced;
}

static const char *
unknown(struct arena *arena, struct str name)
{
	struct str names[N_ROWS];
	size_t i;

	for (i = 0; i < N_ROWS; i++)
		names[i] = str_of(rows[i].name);
	return arena_printf(arena, "unknown field $%.*s, %.*s", STR_ARG(name),
	    STR_ARG(suggest_name(arena, name, names, N_ROWS))).p;
}

/* One part off the head of a format; 0 with *why when there is none. */
static size_t
compile_part(struct arena *arena, struct str f, struct part *p, const char **why)
{
	ptrdiff_t next = str_find(f, '$');
	struct str name;
	size_t len;

	p->row = NULL;
	if (next != 0) {
		p->literal = str_first(f, next < 0 ? f.len : (size_t)next);
		return p->literal.len;
	}
	len = take_name(f, &name);
	if (len == 0) {
		*why = "a $ without a name: write $name or ${name}, and $$ for a dollar sign";
		return 0;
	}
	p->literal = str_first(f, 1);
	if (name.len == 0)
		return len;
	p->row = find_row(name);
	if (p->row != NULL)
		return len;
	*why = unknown(arena, name);
	return 0;
}

/* Splits a format at its $fields; false with *why when one is unknown or there are too many parts. */
static bool
compile(struct arena *arena, struct str f, struct part *parts, size_t *n, const char **why)
{
	size_t len;

	for (*n = 0; f.len > 0; ++*n, f = str_from(f, len)) {
		if (*n == PARTS_MAX) {
			*why = "the format has too many parts";
			return false;
		}
		len = compile_part(arena, f, &parts[*n], why);
		if (len == 0)
			return false;
	}
	return true;
}

bool
access_log_check_format(struct arena *arena, struct str format, const char **why)
{
	struct part parts[PARTS_MAX];
	size_t n;

	return compile(arena, format, parts, &n, why);
}

void
access_log_print_fields(FILE *out)
{
	size_t i;

	for (i = 0; i < N_ROWS; i++)
		mdoc_item(out, rows[i].name, rows[i].help);
}

bool
access_log_conf_equal(const struct access_log_conf *a, const struct access_log_conf *b)
{
	return str_eq(a->path, b->path) && a->kind == b->kind && str_eq(a->format, b->format);
}

/* --- lines --------------------------------------------------------------------------------------------- */

static void
put(struct access_log *l, const char *p, size_t n)
{
	text_add(&l->out, str_make(p, n));
}

/* A backslash, x, then c in two digits of the base of 16. */
static char *
put_escape(char *out, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	*out++ = '\\';
	*out++ = 'x';
	*out++ = digits[c >> 4];
	*out++ = digits[c & 15];
	return out;
}

/* nginx's way: what could end a quoted field or a line is \xHH. */
static void
put_plain_text(struct access_log *l, struct str s)
{
	char *start = text_room(&l->out, s.len * 4), *out = start;
	size_t i;

	for (i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
			out = put_escape(out, c);
		else
			*out++ = (char)c;
	}
	text_took(&l->out, (size_t)(out - start));
}

static void
put_json(struct access_log *l, const struct record *r)
{
	char small[SMALL], lead = '{';
	size_t i;

	for (i = 0; i < N_ROWS; i++) {
		struct value v;

		if (rows[i].json == JSON_NEVER)
			continue;
		v = rows[i].get(r, small);
		if (v.kind == VALUE_NONE && rows[i].json == JSON_WHEN_SET)
			continue;
		put(l, &lead, 1);
		lead = ',';
		put(l, "\"", 1);
		put(l, rows[i].name, strlen(rows[i].name));
		put(l, "\":", 2);
		if (v.kind == VALUE_NONE)
			put(l, "null", 4);
		else if (v.kind == VALUE_BARE)
			put(l, v.text.p, v.text.len);
		else
			text_add_json(&l->out, v.text);
	}
	put(l, "}", 1);
}

static void
put_parts(struct access_log *l, const struct record *r)
{
	char small[SMALL];
	size_t i;

	for (i = 0; i < l->n_parts; i++) {
		struct value v;

		if (l->parts[i].row == NULL) {
			put(l, l->parts[i].literal.p, l->parts[i].literal.len);
			continue;
		}
		v = l->parts[i].row->get(r, small);
		if (v.kind == VALUE_NONE)
			put(l, "-", 1);
		else
			put_plain_text(l, v.text);
	}
}

void
access_log_write(struct access_log *l, const struct record *r)
{
	if (l->fd < 0)
		return;
	if (l->out.len > KEEP_MAX) {
		l->dropped++;
		l->lost++;
		return;
	}
	if (l->kind == LOG_JSON)
		put_json(l, r);
	else
		put_parts(l, r);
	put(l, "\n", 1);
	if (l->out.len >= FLUSH_AT && !l->may_block)
		access_log_flush(l);
}

uint64_t
access_log_lost(const struct access_log *l)
{
	return l->lost;
}

bool
access_log_is_dirty(const struct access_log *l)
{
	return l->out.len > 0;
}

/* --- the way out --------------------------------------------------------------------------------------- */

/* How much of the buffer one write may take: all of it, or what a pipe that is ready takes at once. */
static size_t
piece(const struct access_log *l)
{
	struct pollfd p = { l->fd, POLLOUT, 0 };

	if (!l->may_block)
		return l->out.len;
	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return 0;
	return l->out.len < PIPE_BUF ? l->out.len : PIPE_BUF;
}

void
access_log_flush(struct access_log *l)
{
	size_t done = 0, n;
	ssize_t wrote;

	while (l->out.len > 0 && (n = piece(l)) > 0) {
		wrote = write(l->fd, l->out.p + done, n);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == EAGAIN)
			break;
		if (wrote < 0) {
			/* A full disk, a reader that is gone: these lines are lost, the next may not be. */
			log_warn("access log %s: %s", l->path, strerror(errno));
			l->out.len = 0;
			break;
		}
		done += (size_t)wrote;
		l->out.len -= (size_t)wrote;
	}
	if (l->out.len > 0 && done > 0)
		memmove(l->out.p, l->out.p + done, l->out.len);
	if (l->dropped > 0 && l->out.len <= KEEP_MAX / 2) {
		log_warn("access log %s: nobody read it in time, %llu lines were dropped", l->path,
		    (unsigned long long)l->dropped);
		l->dropped = 0;
	}
}

/* Paths that are not opened: those of /dev cannot be where they lead to a socket, the journal's. */
static bool
is_standing(const char *path, int *fd)
{
	static const struct { const char *path; int fd; } standing[] = {
		{ "off", -1 }, { "stdout", STDOUT_FILENO }, { "/dev/stdout", STDOUT_FILENO },
		{ "stderr", STDERR_FILENO }, { "/dev/stderr", STDERR_FILENO },
	};
	size_t i;

	for (i = 0; i < sizeof(standing) / sizeof(standing[0]); i++)
		if (strcmp(path, standing[i].path) == 0) {
			*fd = standing[i].fd;
			return true;
		}
	return false;
}

static bool
open_path(struct access_log *l, struct err *err)
{
	struct stat st;

	l->owns_fd = !is_standing(l->path, &l->fd);
	if (l->owns_fd) {
		l->fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
		if (l->fd < 0)
			return err_set(err, "access log %s: cannot open: %s", l->path, strerror(errno));
	}
	l->may_block = l->fd >= 0 && (fstat(l->fd, &st) != 0 || !S_ISREG(st.st_mode));
	return true;
}

static char *
copy(struct str s)
{
	char *p = strndup(s.len > 0 ? s.p : "", s.len);

	check(p != NULL);
	return p;
}

struct access_log *
access_log_open(const struct access_log_conf *conf, struct err *err)
{
	struct access_log *l = calloc(1, sizeof(*l));
	struct arena *scratch = arena_new(256);
	const char *why;
	bool ok;

	check(l != NULL);
	l->fd = -1;
	l->kind = conf->kind;
	l->path = copy(conf->path);
	l->format = copy(conf->kind == LOG_COMBINED ? str_of(combined) : conf->format);
	ok = compile(scratch, str_of(l->format), l->parts, &l->n_parts, &why);
	if (!ok)
		err_set(err, "access_log.format: %s", why);
	arena_free(scratch);
	if (ok && open_path(l, err))
		return l;
	access_log_close(l);
	return NULL;
}

void
access_log_close(struct access_log *l)
{
	access_log_flush(l);
	if (l->owns_fd && l->fd >= 0)
		close(l->fd);
	text_fini(&l->out);
	free(l->format);
	free(l->path);
	free(l);
}

void
access_log_give(const struct access_log *l, uid_t uid, gid_t gid)
{
	if (l->fd > STDERR_FILENO && fchown(l->fd, uid, gid) != 0)
		log_warn("access log %s: cannot be given to its user: %s", l->path, strerror(errno));
}

bool
access_log_reopen(struct access_log *l, struct err *err)
{
	int old = l->fd;
	bool owned = l->owns_fd;

	access_log_flush(l);
	if (!open_path(l, err)) {
		l->fd = old;
		l->owns_fd = owned;
		return false;
	}
	if (owned)
		close(old);
	return true;
}
