/* SPDX-License-Identifier: MIT */
/*
 * One socket: bytes in, bytes out, back-pressure.
 *
 * Registered once with the poller, edge-triggered, for everything: the steady state has no epoll_ctl.
 * A read that does not fill its buffer has drained the socket, so no second recv learns EAGAIN.
 * Bytes are read into one scratch block of the loop and written from where they lie; memory of its
 * own a connection has only for what an owner left unread or the kernel did not take.
 *
 * With TLS (conn_tls.c) the bytes pass a session between the socket and the views: all else, the reads,
 * the gather, the backlog and the marks, is as without.
 *
 * Invariant: owners are called from the loop only, never from inside a call they made: what such a
 * call finds out is remembered and told by a task in the second pass of the turn.
 */
#include "net/conn.h"

#include <sys/queue.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <event2/buffer.h>

#include "base/address.h"
#include "base/log.h"
#include "base/slab.h"
#include "net/conn_private.h"
#include "net/loop_private.h"
#include "net/tls_private.h"

enum {
	WRITE_SCRATCH = 128 * 1024,	/* heads and small pieces of one event */
	KEEP_MAX = 64 * 1024,		/* unconsumed bytes kept; beyond it we stop reading */
	READS_PER_EVENT = 4,		/* then others have their turn */
	WARN_EVERY = 10000,		/* ms of quiet between two lines of one kind */
	JOIN_MAX = 2048,		/* bytes of pieces that are sent as one */
	LOOK_AFTER = 300,		/* ms of silence until a suspect is looked at */
	CONN_MAGIC = 0x636f6e6e
};

static struct slab conns;

static void on_event(evutil_socket_t, short, void *);
static void on_task(void *);
static void on_look(void *);
static void read_some(struct conn *);
static void settle(struct conn *);

void
conn_module_init(void)
{
	slab_init(&conns, "conn", sizeof(struct conn));
	tls_module_init();
}

void
conn_module_fini(void)
{
	tls_module_fini();
	slab_fini(&conns);
}


size_t
conn_closing(const struct loop *loop)
{
	return loop->io->n_closing;
}

void
conn_set_apart(struct conn *c)
{
	check(!c->gentle);
	c->is_apart = true;
}

size_t
conn_closing_apart(const struct loop *loop)
{
	return loop->io->n_closing_apart;
}

bool
conn_drop_apart(struct loop *loop)
{
	struct conn *c = TAILQ_FIRST(&loop->io->closing_apart);

	if (c != NULL)
		conn_close(c);
	return c != NULL;
}

struct conn_io *
conn_io_new(struct loop *loop)
{
	struct conn_io *io = calloc(1, sizeof(*io));

	check(io != NULL);
	io->read = malloc(READ_SCRATCH);
	io->write = malloc(WRITE_SCRATCH);
	check(io->read != NULL && io->write != NULL);
	TAILQ_INIT(&io->closing);
	TAILQ_INIT(&io->closing_apart);
	TAILQ_INIT(&io->suspects);
	deadline_init(&io->look, loop, on_look, io);
	return io;
}

void
conn_io_free(struct conn_io *io)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&io->closing)) != NULL)
		conn_close(c);
	while ((c = TAILQ_FIRST(&io->closing_apart)) != NULL)
		conn_close(c);
	deadline_fini(&io->look);
	free(io->read);
	free(io->write);
	conn_tls_free_io(io);
	free(io);
}

/* --- birth ------------------------------------------------------------------------------------ */

static struct conn *
new_conn(struct loop *loop, int fd, const struct conn_events *events, void *owner)
{
	struct conn *c = slab_take(&conns);

	c->magic = CONN_MAGIC;
	c->fd = fd;
	c->loop = loop;
	c->events = events;
	c->owner = owner;
	c->high = SIZE_MAX;
	c->progress = clock_now();
	task_init(&c->task, on_task, c);
	return c;
}

static void
watch(struct conn *c)
{
	event_assign(&c->event, c->loop->base, c->fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, c);
	event_add(&c->event, NULL);
}

static void
set_peer(struct conn *c, const struct sockaddr *sa, socklen_t len)
{
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)
		memcpy(&c->peer, sa, len < sizeof(c->peer) ? len : sizeof(c->peer));
	else
		c->peer.sa.sa_family = AF_UNIX;
}

struct conn *
conn_accept(struct loop *loop, int fd, const struct sockaddr *peer, socklen_t len)
{
	struct conn *c = new_conn(loop, fd, NULL, NULL);

	set_peer(c, peer, len);
	watch(c);
	return c;
}

/* errno of a failed connect to the end an owner understands. */
static enum end
connect_end(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return END_CONNECT_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		return END_NO_SOCKET;	/* ours to mend, no server's fault */
	default:
		return END_CONNECT_FAILED;
	}
}

void
conn_fail(struct conn *c, enum end why)
{
	if (c->error != END_OK)
		return;
	c->error = why;
	loop_defer(c->loop, &c->task);
}

static void
warn_of_sockets(struct conn_io *io, int error)
{
	if (io->warned == 0 || clock_now() - io->warned > WARN_EVERY)
		log_warn("cannot make a socket to a server: %s", strerror(error));
	io->warned = clock_now();
}

struct conn *
conn_connect(struct loop *loop, const struct sockaddr *sa, socklen_t len,
    const struct conn_events *events, void *owner)
{
	struct conn *c;
	int fd, error, one = 1;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	error = errno;
	c = new_conn(loop, fd, events, owner);
	c->connecting = true;
	set_peer(c, sa, len);
	if (fd < 0) {
		warn_of_sockets(loop->io, error);
		conn_fail(c, connect_end(error));
		return c;
	}
	if (sa->sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, sa, len) != 0 && errno != EINPROGRESS)
		conn_fail(c, connect_end(errno));
	else
		watch(c);
	return c;
}

void
conn_set_owner(struct conn *c, const struct conn_events *events, void *owner)
{
	check(c->magic == CONN_MAGIC);
	c->events = events;
	c->owner = owner;
	c->turn = c->loop->turn;
}

/* --- death ------------------------------------------------------------------------------------ */

static void
drop_gather(struct conn *c)
{
	struct conn_io *io = c->loop->io;

	if (io->gather != c)
		return;
	io->gather = NULL;
	io->n_pieces = 0;
	io->n_bytes = 0;
}

static void
join_closing(struct conn *c)
{
	struct conn_io *io = c->loop->io;

	if (c->is_apart)
		TAILQ_INSERT_TAIL(&io->closing_apart, c, entry);
	else
		TAILQ_INSERT_TAIL(&io->closing, c, entry);
	*(c->is_apart ? &io->n_closing_apart : &io->n_closing) += 1;
}

static void
leave_closing(struct conn *c)
{
	struct conn_io *io = c->loop->io;

	if (c->is_apart)
		TAILQ_REMOVE(&io->closing_apart, c, entry);
	else
		TAILQ_REMOVE(&io->closing, c, entry);
	*(c->is_apart ? &io->n_closing_apart : &io->n_closing) -= 1;
}

static void
clear(struct conn *c)
{
	if (c->is_suspect)
		TAILQ_REMOVE(&c->loop->io->suspects, c, suspect);
	c->is_suspect = false;
}

void
conn_close(struct conn *c)
{
	check(c->magic == CONN_MAGIC);
	if (c->gentle)
		leave_closing(c);
	clear(c);
	if (c->tls != NULL)
		conn_tls_free(c);
	drop_gather(c);
	/* What this one brought may be on its way to another. */
	if (c->kept != NULL)
		conn_send_gather(c->loop->io);
	loop_cancel(c->loop, &c->task);
	if (c->farewell != NULL) {
		deadline_fini(c->farewell);
		free(c->farewell);
	}
	if (c->fd >= 0) {
		if (event_initialized(&c->event))
			event_del(&c->event);
		close(c->fd);
	}
	if (c->out != NULL)
		evbuffer_free(c->out);
	free(c->kept);
	c->fd = -1;
	c->events = NULL;
	c->magic = 0;
	slab_give(&conns, c);
}

void
conn_abort(struct conn *c)
{
	struct linger now = { 1, 0 };

	if (c->fd >= 0)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	c->write_dead = true;
	conn_close(c);
}

static void
on_farewell(void *arg)
{
	struct conn *c = arg;
	msec left = c->progress + c->send_limit - clock_now();

	if (!c->lingers && left > 0)
		deadline_arm(c->farewell, left);
	else
		conn_close(c);
}

void
conn_close_gently(struct conn *c, msec send_limit, msec linger)
{
	check(c->magic == CONN_MAGIC);
	if (c->error != END_OK || c->fd < 0 || c->handshaking) {
		conn_close(c);
		return;
	}
	c->events = NULL;
	c->gentle = true;
	c->send_limit = send_limit > 0 ? send_limit : 1;
	c->linger = linger;
	c->progress = clock_now();
	c->wants_fin = true;
	c->held = false;
	c->view = STR_NONE;
	join_closing(c);
	c->farewell = malloc(sizeof(*c->farewell));
	check(c->farewell != NULL);
	deadline_init(c->farewell, c->loop, on_farewell, c);
	deadline_arm(c->farewell, c->send_limit);
	loop_defer(c->loop, &c->task);
}

/* --- writing ---------------------------------------------------------------------------------- */

size_t
conn_backlog(const struct conn *c)
{
	return c->out != NULL ? evbuffer_get_length(c->out) : 0;
}

/* The kernel does not take these now. */
void
conn_keep_out(struct conn *c, const char *bytes, size_t n)
{
	if (c->out == NULL) {
		c->out = evbuffer_new();
		check(c->out != NULL);
	}
	evbuffer_add(c->out, bytes, n);
	if (evbuffer_get_length(c->out) > c->high)
		c->over_high = true;
}

/* What is left of the gather after the kernel took n bytes of it is kept. */
static void
keep_rest(struct conn *c, size_t n)
{
	struct conn_io *io = c->loop->io;
	int i;

	for (i = 0; i < io->n_pieces; i++) {
		size_t len = io->pieces[i].iov_len;

		if (n >= len) {
			n -= len;
			continue;
		}
		conn_keep_out(c, (char *)io->pieces[i].iov_base + n, len - n);
		n = 0;
	}
}

void
conn_mark_progress(struct conn *c)
{
	c->progress = clock_now();
}

static bool
is_hasty(const struct conn *c)
{
	return c->events != NULL && c->events->is_hasty;
}

/*
 * The peer is gone, says errno: with a RST, but for EPIPE, which stands for a RST after its FIN.  What
 * it sent before is read first, unless its owner is hasty; the kernel tells the error only once.
 */
static void
lose_peer(struct conn *c, int error)
{
	if (is_hasty(c))
		conn_fail(c, END_RESET);
	c->was_reset |= error != EPIPE;
	c->may_read = true;
}

/* The peer takes no more; the task tells the end. */
void
conn_lose_write(struct conn *c)
{
	lose_peer(c, errno);
	c->write_dead = true;
	if (c->out != NULL)
		evbuffer_free(c->out);
	c->out = NULL;
	loop_defer(c->loop, &c->task);
}

static void
forget_gather(struct conn_io *io)
{
	io->gather = NULL;
	io->n_pieces = 0;
	io->n_bytes = 0;
}

/* A few small pieces are cheaper to put together than to be told of one by one. */
static ssize_t
send_pieces(struct conn_io *io, int fd)
{
	char all[JOIN_MAX], *at = all;
	int i;

	if (io->n_pieces == 1)
		return send(fd, io->pieces[0].iov_base, io->pieces[0].iov_len, MSG_NOSIGNAL);
	if (io->n_bytes > JOIN_MAX)
		return writev(fd, io->pieces, io->n_pieces);
	for (i = 0; i < io->n_pieces; i++) {
		memcpy(at, io->pieces[i].iov_base, io->pieces[i].iov_len);
		at += io->pieces[i].iov_len;
	}
	return send(fd, all, io->n_bytes, MSG_NOSIGNAL);
}

void
conn_send_gather(struct conn_io *io)
{
	struct conn *c = io->gather;
	ssize_t n = 0;

	if (c == NULL)
		return;
	if (c->tls != NULL) {
		conn_tls_seal_gather(io);
		forget_gather(io);
		return;
	}
	if (!c->connecting) {
		n = send_pieces(io, c->fd);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			conn_lose_write(c);
			n = (ssize_t)io->n_bytes;
		} else if (n < 0)
			n = 0;
		else
			conn_mark_progress(c);
	}
	if ((size_t)n < io->n_bytes)
		keep_rest(c, (size_t)n);
	forget_gather(io);
}

void
conn_flush(struct loop *loop)
{
	struct conn_io *io = loop->io;
	struct spill *s;

	conn_send_gather(io);
	conn_tls_send(io);
	io->write_used = 0;
	while ((s = io->spills) != NULL) {
		io->spills = s->next;
		free(s);
	}
}

void
conn_write(struct conn *c, struct str bytes)
{
	struct conn_io *io = c->loop->io;

	check(c->magic == CONN_MAGIC && !c->handshaking);
	if (bytes.len == 0 || c->error != END_OK || c->write_dead)
		return;
	if (c->out != NULL && c->tls == NULL) {
		/* Behind what waits already: order matters more than a copy. */
		conn_keep_out(c, bytes.p, bytes.len);
		return;
	}
	if (io->gather != c || io->n_pieces == GATHER_MAX) {
		conn_send_gather(io);
		if ((c->out != NULL && c->tls == NULL) || c->write_dead) {
			conn_write(c, bytes);
			return;
		}
		io->gather = c;
	}
	io->pieces[io->n_pieces].iov_base = (void *)(uintptr_t)bytes.p;
	io->pieces[io->n_pieces++].iov_len = bytes.len;
	io->n_bytes += bytes.len;
}

char *
conn_scratch(struct conn *c, size_t n)
{
	struct conn_io *io = c->loop->io;
	struct spill *s;
	char *p;

	if (n <= WRITE_SCRATCH - io->write_used) {
		p = io->write + io->write_used;
		io->write_used += n;
		return p;
	}
	s = malloc(sizeof(*s) + n);
	check(s != NULL);
	s->next = io->spills;
	io->spills = s;
	return s->bytes;
}

void
conn_write_copy(struct conn *c, struct str bytes)
{
	char *p;

	if (bytes.len == 0)
		return;
	p = conn_scratch(c, bytes.len);
	memcpy(p, bytes.p, bytes.len);
	conn_write(c, str_make(p, bytes.len));
}

void
conn_set_marks(struct conn *c, size_t high, size_t low)
{
	c->high = high;
	c->low = low;
}

static void
send_fin(struct conn *c)
{
	if (!c->wants_fin || c->fin_sent || c->connecting || c->handshaking || c->error != END_OK)
		return;
	if (c->tls != NULL) {
		conn_send_gather(c->loop->io);
		tls_session_shutdown(c->tls);
	}
	conn_flush(c->loop);
	if (c->out != NULL)
		return;
	c->fin_sent = true;
	(void)shutdown(c->fd, SHUT_WR);
}

void
conn_shutdown(struct conn *c)
{
	c->wants_fin = true;
	loop_defer(c->loop, &c->task);
}

/* The kernel takes bytes again. */
static void
write_backlog(struct conn *c)
{
	int n;

	if (c->out == NULL)
		return;
	n = evbuffer_write(c->out, c->fd);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_lose_write(c);
		return;
	}
	if (n > 0)
		conn_mark_progress(c);
	if (evbuffer_get_length(c->out) == 0) {
		evbuffer_free(c->out);
		c->out = NULL;
	}
}

/* --- reading ---------------------------------------------------------------------------------- */

struct str
conn_in(struct conn *c)
{
	check(c->magic == CONN_MAGIC);
	return c->view;
}

void
conn_consume(struct conn *c, size_t n)
{
	check(n <= c->view.len);
	c->view = str_from(c->view, n);
	if (!c->in_event && c->may_read && !c->held)
		loop_defer(c->loop, &c->task);
}

void
conn_hold(struct conn *c, bool hold)
{
	if (c->held == hold)
		return;
	c->held = hold;
	if (!hold) {
		c->kicked = true;
		loop_defer(c->loop, &c->task);
	}
}

void
conn_kick(struct conn *c)
{
	c->kicked = true;
	loop_defer(c->loop, &c->task);
}

/* After an event: what the owner left is kept, in the connection's own memory. */
static void
keep_unread(struct conn *c)
{
	char *p;

	if (c->view.len == 0) {
		free(c->kept);
		c->kept = NULL;
		c->n_kept = 0;
		c->view = STR_NONE;
		return;
	}
	if (c->kept != NULL && c->view.p == c->kept && c->view.len == c->n_kept)
		return;
	p = malloc(c->view.len);
	check(p != NULL);
	memcpy(p, c->view.p, c->view.len);
	free(c->kept);
	c->kept = p;
	c->n_kept = c->view.len;
	c->view = str_make(p, c->n_kept);
}

static bool
is_alive(const struct conn *c)
{
	return c->magic == CONN_MAGIC && c->error == END_OK;
}

/* False when the connection was closed meanwhile. */
static bool
tell_open(struct conn *c)
{
	c->open_due = false;
	if (c->events != NULL && c->events->on_open != NULL)
		c->events->on_open(c->owner);
	return c->magic == CONN_MAGIC;
}

static void
give_data(struct conn *c)
{
	const struct conn_events *was = c->events;

	c->events->on_data(c->owner);
	/* A new owner has not seen what the old one left, and shall before it hears of an end. */
	if (c->magic == CONN_MAGIC && c->events != NULL && c->events != was && c->view.len > 0 &&
	    !c->held)
		c->events->on_data(c->owner);
}

/* Calls the owner with what is in view; false when the connection was closed meanwhile. */
static bool
deliver(struct conn *c)
{
	c->kicked = false;
	if (c->open_due && !tell_open(c))
		return false;
	if (c->events == NULL)
		c->view = STR_NONE;
	else if (c->view.len > 0 && !c->held)
		give_data(c);
	conn_flush(c->loop);
	return c->magic == CONN_MAGIC;
}

/* One recv; what it tells of the socket is noted.  How many bytes, 0: none. */
size_t
conn_recv(struct conn *c, char *buf, size_t room)
{
	ssize_t n = recv(c->fd, buf, room, 0);

	if (n > 0) {
		c->bytes_in += (size_t)n;
		c->progress = clock_now();
		/* With both directions shut libevent tells of no FIN (it reports EPOLLHUP alone). */
		c->may_read = (size_t)n == room || c->saw_rdhup || c->fin_sent;
		return (size_t)n;
	}
	c->may_read = false;
	if (n == 0 && c->was_reset)
		conn_fail(c, END_RESET);
	else if (n == 0)
		c->saw_eof = true;
	else if (errno == EINTR)
		c->may_read = true;
	else if (errno != EAGAIN)
		conn_fail(c, END_RESET);
	return 0;
}

/* One recv behind what is kept; true when there is more for the owner. */
static bool
receive(struct conn *c)
{
	char *base = c->loop->io->read;
	size_t had = c->view.len, n;

	if (c->tls != NULL)
		return conn_tls_receive(c);
	if (had > 0) {
		/* The view moves with them, also when nothing comes behind. */
		memmove(base, c->view.p, had);
		c->view = str_make(base, had);
	}
	n = conn_recv(c, base + had, READ_SCRATCH - had);
	if (n > 0)
		c->view = str_make(base, had + n);
	return n > 0;
}

static void
read_some(struct conn *c)
{
	int i;

	if (c->handshaking && !conn_tls_may_shake(c)) {
		loop_defer(c->loop, &c->task);
		return;
	}
	c->in_event = true;
	for (i = 0; i < READS_PER_EVENT && c->may_read && !c->held && is_alive(c); i++) {
		if (c->view.len >= KEEP_MAX && c->events != NULL)
			break;
		if (receive(c) && !deliver(c))
			return;
	}
	c->in_event = false;
	keep_unread(c);
	if (c->may_read && !c->held && is_alive(c) && c->view.len < KEEP_MAX)
		loop_defer(c->loop, &c->task);
}

/* --- events ----------------------------------------------------------------------------------- */

/* Of one that is held: asks without reading. */
static void
probe(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0)
		lose_peer(c, error);
}

/*
 * libevent gives EPOLLERR and EPOLLHUP as readable and writable, which is also what an edge of plain
 * bytes looks like.  A reset right behind bytes would so be missed when the read was short, and to
 * ask each time would cost a call a read: those in question are asked when they have been silent for
 * a while.  They stand in a line, the longest silent first.
 */
static void
suspect(struct conn *c)
{
	struct conn_io *io = c->loop->io;

	if (c->is_suspect)
		TAILQ_REMOVE(&io->suspects, c, suspect);
	c->is_suspect = true;
	TAILQ_INSERT_TAIL(&io->suspects, c, suspect);
	if (io->look.at == 0)
		deadline_arm(&io->look, LOOK_AFTER);
}

static void
look_at(struct conn *c)
{
	clear(c);
	if (c->error != END_OK || c->connecting)
		return;
	if (c->held) {
		probe(c);
		return;
	}
	/* By reading: what stands before the reset is not lost. */
	c->may_read = true;
	loop_defer(c->loop, &c->task);
}

static void
on_look(void *arg)
{
	struct conn_io *io = arg;
	msec now = clock_now();
	struct conn *c;

	while ((c = TAILQ_FIRST(&io->suspects)) != NULL && now - c->heard >= LOOK_AFTER)
		look_at(c);
	if (c != NULL)
		deadline_arm(&io->look, c->heard + LOOK_AFTER - now);
}

static void
finish_connect(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		conn_fail(c, connect_end(error));
		return;
	}
	c->connecting = false;
	if (c->handshaking)
		conn_tls_begin(c);
	else if (!tell_open(c))
		return;
	conn_flush(c->loop);
	write_backlog(c);
}

/* A gentle close is over when all is sent and the peer is done, if that is waited for. */
static void
settle_gentle(struct conn *c)
{
	if (c->error != END_OK || c->write_dead ||
	    (c->fin_sent && (c->saw_eof || c->linger <= 0))) {
		conn_close(c);
		return;
	}
	if (!c->fin_sent || c->lingers)
		return;
	c->lingers = true;
	deadline_arm(c->farewell, c->linger);
}

/* Tells what is to be told after reading and writing: errors, the end, room to write. */
static void
settle(struct conn *c)
{
	send_fin(c);
	if (c->gentle) {
		settle_gentle(c);
		return;
	}
	if (c->error != END_OK) {
		if (c->events != NULL)
			c->events->on_close(c->owner, c->error);
		return;
	}
	if (c->over_high && conn_backlog(c) <= c->low) {
		c->over_high = false;
		if (c->events->on_drain != NULL)
			c->events->on_drain(c->owner);
		if (!is_alive(c))
			return;
	}
	if (c->saw_eof && !c->eof_told && !c->held) {
		c->eof_told = true;
		c->events->on_eof(c->owner);
		if (!is_alive(c))
			return;
	}
	if (c->write_dead && !c->may_read) {
		c->error = END_RESET;
		c->events->on_close(c->owner, END_RESET);
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	loop_wake(c->loop);
	c->heard = clock_now();
	if (c->connecting) {
		/* A refused connection comes as readable and writable. */
		finish_connect(c);
		if (c->magic != CONN_MAGIC)
			return;
		if (c->error != END_OK)
			return;
	} else if (what & EV_WRITE)
		write_backlog(c);
	if (what & EV_CLOSED)
		c->saw_rdhup = true;
	if (what & (EV_READ | EV_CLOSED))
		c->may_read = true;
	if (c->held && c->may_read)
		probe(c);
	else if (c->may_read)
		read_some(c);
	if (c->magic == CONN_MAGIC) {
		if ((what & EV_READ) && (what & EV_WRITE) && !c->may_read && !c->saw_eof)
			suspect(c);
		settle(c);
		conn_flush(c->loop);
	}
}

static void
on_task(void *arg)
{
	struct conn *c = arg;

	if (c->error == END_OK && c->fd >= 0) {
		if (c->kicked && !c->held && c->view.len > 0) {
			c->in_event = true;
			if (!deliver(c))
				return;
			c->in_event = false;
			keep_unread(c);
		}
		if (c->may_read && !c->held && !c->connecting)
			read_some(c);
		if (c->magic != CONN_MAGIC)
			return;
	}
	settle(c);
	conn_flush(c->loop);
}

/* --- small things ------------------------------------------------------------------------------ */

uint64_t
conn_bytes_in(const struct conn *c)
{
	return c->bytes_in;
}

bool
conn_is_at_eof(const struct conn *c)
{
	return c->saw_eof;
}

bool
conn_saw_eof(const struct conn *c)
{
	return c->saw_eof || c->saw_rdhup || c->write_dead || c->error != END_OK;
}

/* libevent has an event of it in its line. */
static bool
is_due(const struct conn *c)
{
	return (c->event.ev_evcallback.evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) != 0;
}

bool
conn_is_quiet(const struct conn *c)
{
	char byte;

	if (c->view.len > 0 || conn_saw_eof(c))
		return false;
	/* The poller has looked since, and has nothing to tell of it that is not told yet. */
	if (c->turn != c->loop->turn && !is_due(c))
		return true;
	return recv(c->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

msec
conn_progress(const struct conn *c)
{
	return c->progress;
}

const struct sockaddr *
conn_peer(const struct conn *c)
{
	return &c->peer.sa;
}

void
conn_set_peer(struct conn *c, const struct ip *ip, uint16_t port)
{
	memset(&c->peer, 0, sizeof(c->peer));
	if (ip->is_v4) {
		c->peer.in.sin_family = AF_INET;
		c->peer.in.sin_port = htons(port);
		memcpy(&c->peer.in.sin_addr, ip->bytes + 12, 4);
	} else {
		c->peer.in6.sin6_family = AF_INET6;
		c->peer.in6.sin6_port = htons(port);
		memcpy(&c->peer.in6.sin6_addr, ip->bytes, 16);
	}
}

void
conn_local(const struct conn *c, struct ip *ip)
{
	union sockaddr_any sa;
	socklen_t len = sizeof(sa);

	memset(&sa, 0, sizeof(sa));
	if (getsockname(c->fd, &sa.sa, &len) != 0)
		sa.sa.sa_family = AF_UNSPEC;
	ip_of_sockaddr(&sa.sa, ip);
}
