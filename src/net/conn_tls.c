/* SPDX-License-Identifier: MIT */
/*
 * TLS on a connection: records between the socket and what its owner reads and writes.
 *
 * What recv took is fed to the session and opened behind the view; what an event gathered is sealed and
 * sent with one call, small pieces in one record.  Knows sockets no more than conn.c lets it, and no
 * OpenSSL.  Invariant: sealed records of one connection at a time wait to be sent, in one block; what
 * the kernel does not take is the connection's backlog, in its order.
 */
#include "net/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop_private.h"
#include "net/tls_private.h"

enum {
	SEALED_SCRATCH = 160 * 1024,	/* records of one event, sent with one call */
	SEALED_READ = 48 * 1024,	/* records of one recv: with what is kept they fit READ_SCRATCH */
	SHAKING_PER_PASS = 3000		/* us for handshakes, of which each may cost some ms: others have
					 * their turn */
};

/* --- writing: pieces to records, records to the kernel ------------------------------------------- */

/* Records go out with one call; what the kernel does not take is kept. */
void
conn_tls_send(struct conn_io *io)
{
	struct conn *c = io->sealed_for;
	ssize_t n = 0;

	if (c == NULL)
		return;
	if (!c->connecting && c->out == NULL && !c->write_dead) {
		n = write(c->fd, io->sealed, io->n_sealed);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			conn_lose_write(c);
		else if (n < 0)
			n = 0;
		else
			conn_mark_progress(c);
	}
	if ((size_t)n < io->n_sealed && !c->write_dead)
		conn_keep_out(c, io->sealed + n, io->n_sealed - (size_t)n);
	io->sealed_for = NULL;
	io->n_sealed = 0;
}

/* A session has bytes for the peer. */
static void
on_emit(void *arg, const char *bytes, size_t n)
{
	struct conn *c = arg;
	struct conn_io *io = c->loop->io;

	if (c->write_dead)
		return;
	if (io->sealed_for != NULL && (io->sealed_for != c || io->n_sealed + n > SEALED_SCRATCH))
		conn_tls_send(io);
	if (c->write_dead)
		return;
	if (c->out != NULL || n > SEALED_SCRATCH) {
		/* Behind what waits already: order matters more than a copy. */
		conn_keep_out(c, bytes, n);
		return;
	}
	io->sealed_for = c;
	memcpy(io->sealed + io->n_sealed, bytes, n);
	io->n_sealed += n;
}

static void
seal(struct conn *c, const char *bytes, size_t n)
{
	if (n == 0 || c->write_dead || tls_session_write(c->tls, bytes, n))
		return;
	errno = EPIPE;
	conn_lose_write(c);
}

/* Small pieces share a record; what fills records of its own is not copied before it is sealed. */
void
conn_tls_seal_gather(struct conn_io *io)
{
	struct conn *c = io->gather;
	size_t n = 0, take;
	int i;

	for (i = 0; i < io->n_pieces; i++) {
		struct str rest = str_make(io->pieces[i].iov_base, io->pieces[i].iov_len);

		while (rest.len > 0) {
			if (n == 0 && rest.len >= TLS_RECORD) {
				take = rest.len - rest.len % TLS_RECORD;
				seal(c, rest.p, take);
			} else {
				take = rest.len < TLS_RECORD - n ? rest.len : TLS_RECORD - n;
				memcpy(io->plain + n, rest.p, take);
				n += take;
			}
			rest = str_from(rest, take);
			if (n == TLS_RECORD) {
				seal(c, io->plain, n);
				n = 0;
			}
		}
	}
	seal(c, io->plain, n);
}

/* --- reading: the handshake, then records to what is in view -------------------------------------- */

/* The session is of no use: the reason is kept, the task tells the end. */
static void
fail_tls(struct conn *c, enum end why)
{
	c->why = tls_session_why(c->tls);
	c->may_read = false;
	conn_fail(c, why);
}

/* It was no TLS after all: what came is handed on as it is. */
static void
go_plain(struct conn *c, const char *bytes, size_t n)
{
	char *base = c->loop->io->read;

	tls_session_free(c->tls);
	c->tls = NULL;
	memcpy(base, bytes, n);
	c->view = str_make(base, n);
}

/* The real time, which the turn's does not tell apart. */
static int64_t
microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One step; true when the handshake is over and went well (or is not needed). */
static bool
shake(struct conn *c, const char *bytes, size_t n)
{
	enum tls_result result;
	int64_t begin = microseconds();

	if (n > 0)
		tls_session_feed(c->tls, str_make(bytes, n));
	result = tls_session_handshake(c->tls);
	c->loop->io->shaking += microseconds() - begin;
	if (result == TLS_FAILED || result == TLS_END) {
		fail_tls(c, tls_session_end(c->tls));
		return false;
	}
	if (result == TLS_MORE)
		return false;
	c->handshaking = false;
	c->open_due = true;
	if (result == TLS_PLAIN)
		go_plain(c, bytes, n);
	return true;
}

/* What is in the records that were fed, behind what is in view; true when that grew. */
static bool
open_records(struct conn *c)
{
	char *base = c->loop->io->read;
	size_t len = c->view.len, had = len, n;
	enum tls_result result;

	if (len > 0 && c->view.p != base)
		memmove(base, c->view.p, len);
	while ((result = tls_session_read(c->tls, base + len, READ_SCRATCH - len, &n)) == TLS_OK)
		len += n;
	c->view = str_make(base, len);
	if (result == TLS_END) {
		c->saw_eof = true;
		c->may_read = false;
	} else if (result == TLS_FAILED)
		fail_tls(c, END_RESET);
	return len > had;
}

/* The end of the socket is the end of the session only when that has said so. */
static void
meet_end(struct conn *c, bool had_eof)
{
	if (!c->saw_eof || had_eof)
		return;
	if (c->handshaking)
		conn_fail(c, END_RESET);
	c->was_cut = true;
}

static bool
take_records(struct conn *c, const char *bytes, size_t n)
{
	if (c->handshaking && !shake(c, bytes, n))
		return false;
	if (c->tls == NULL)
		return true;
	return open_records(c) || c->open_due;
}

/* Handshakes cost far more than other events: when their time is over the next turn goes on, first
 * with those that were put off.  Always one. */
bool
conn_tls_may_shake(struct conn *c)
{
	struct conn_io *io = c->loop->io;

	if (io->shaking_pass != c->loop->pass) {
		io->shaking_pass = c->loop->pass;
		io->shaking = 0;
	}
	return io->shaking < SHAKING_PER_PASS;
}

static bool
take_unfed(struct conn *c)
{
	char *p = c->unfed;
	bool grew;

	c->unfed = NULL;
	grew = take_records(c, p, c->n_unfed);
	free(p);
	return grew;
}

bool
conn_tls_receive(struct conn *c)
{
	struct conn_io *io = c->loop->io;
	bool had_eof = c->saw_eof;
	size_t n;

	if (c->unfed != NULL)
		return take_unfed(c);
	n = conn_recv(c, io->opened, SEALED_READ);
	if (n == 0) {
		meet_end(c, had_eof);
		return false;
	}
	if (had_eof)
		return false;		/* behind close_notify there is nothing */
	if (!c->handshaking)
		tls_session_feed(c->tls, str_make(io->opened, n));
	return take_records(c, io->opened, n);
}

/* --- the beginning --------------------------------------------------------------------------------- */

void
conn_tls_begin(struct conn *c)
{
	(void)shake(c, NULL, 0);
}

static void
start_tls(struct conn *c, struct tls_context *context, struct str host, struct tls_resume *resume)
{
	struct conn_io *io = c->loop->io;
	char *p;

	check(c->tls == NULL);
	if (io->opened == NULL) {
		io->opened = malloc(SEALED_READ);
		io->plain = malloc(TLS_RECORD);
		io->sealed = malloc(SEALED_SCRATCH);
		check(io->opened != NULL && io->plain != NULL && io->sealed != NULL);
	}
	/* What was written before is not its. */
	if (io->gather == c)
		conn_send_gather(io);
	c->tls = tls_session_new(context, host, resume, on_emit, c);
	c->handshaking = true;
	if (c->view.len == 0)
		return;
	/* It belongs to the session, and is fed before anything else. */
	p = malloc(c->view.len);
	check(p != NULL);
	memcpy(p, c->view.p, c->view.len);
	c->unfed = p;
	c->n_unfed = c->view.len;
	c->view = STR_NONE;
	c->may_read = true;
	loop_defer(c->loop, &c->task);
}

void
conn_start_tls_server(struct conn *c, struct tls_context *context)
{
	start_tls(c, context, STR_NONE, NULL);
}

void
conn_start_tls_client(struct conn *c, struct tls_context *context, struct str host,
    struct tls_resume *resume)
{
	start_tls(c, context, host, resume);
}

const struct tls_info *
conn_tls(const struct conn *c)
{
	return c->tls != NULL && !c->handshaking ? tls_session_info(c->tls) : NULL;
}

const char *
conn_why(const struct conn *c)
{
	return c->why;
}

bool
conn_was_cut(const struct conn *c)
{
	return c->was_cut;
}

/* --- the end --------------------------------------------------------------------------------------- */

/* The last words of TLS, when they are true: not behind bytes that are lost. */
static void
say_goodbye(struct conn *c)
{
	struct conn_io *io = c->loop->io;
	bool is_whole = io->gather != c && c->out == NULL && c->error == END_OK && !c->write_dead;

	if (is_whole && !c->handshaking)
		tls_session_shutdown(c->tls);
	if (io->sealed_for != c)
		return;
	if (c->out == NULL && !c->write_dead && write(c->fd, io->sealed, io->n_sealed) < 0)
		c->write_dead = true;
	io->sealed_for = NULL;
	io->n_sealed = 0;
}

void
conn_tls_free(struct conn *c)
{
	say_goodbye(c);
	tls_session_free(c->tls);
	free(c->unfed);
	c->tls = NULL;
	c->unfed = NULL;
}

void
conn_tls_free_io(struct conn_io *io)
{
	free(io->opened);
	free(io->plain);
	free(io->sealed);
}
