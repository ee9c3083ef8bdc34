/* SPDX-License-Identifier: MIT */
/* What conn.c (the socket) and conn_tls.c (TLS on it) share; nobody else includes it. */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include <sys/queue.h>
#include <sys/uio.h>

#include <netinet/in.h>

#include "base/end.h"
#include "net/conn.h"
#include "net/loop.h"

struct evbuffer;
struct tls_session;

enum {
	READ_SCRATCH = 128 * 1024,	/* one recv takes at most this */
	GATHER_MAX = 64			/* pieces in one writev */
};

struct conn {
	unsigned magic;
	int      fd;
	struct loop *loop;
	const struct conn_events *events;
	void    *owner;
	struct event event;
	struct task task;
	enum end error;			/* to be told by the task; END_OK: none */
	bool connecting;
	bool held;			/* the owner does not want to be given bytes */
	bool may_read;			/* the kernel may have more than we have read */
	bool saw_rdhup;			/* a FIN is there or on its way behind the bytes */
	bool saw_eof;			/* and was read */
	bool eof_told;
	bool kicked;
	bool wants_fin;
	bool fin_sent;
	bool over_high;
	bool gentle;			/* closing: nobody's, bytes in are dropped */
	bool is_apart;			/* from others, in what is counted of those that close */
	bool lingers;			/* gentle: all is sent, the peer's FIN is waited for */
	bool in_event;
	char    *kept;			/* unconsumed bytes that outlived their event */
	size_t   n_kept;
	struct str view;		/* unconsumed bytes now: in scratch or in kept */
	struct evbuffer *out;		/* what the kernel did not take */
	size_t   high, low;
	uint64_t bytes_in;
	msec     progress;		/* when bytes last moved */
	bool     write_dead;		/* the kernel takes no more; what came before may still be read */
	bool     was_reset;		/* not by what recv said: behind what is unread there is no FIN */
	msec     send_limit, linger;	/* of a gentle close */
	struct deadline *farewell;
	struct tls_session *tls;	/* NULL: plain */
	bool     handshaking;
	bool     open_due;		/* on_open is to be told before data */
	bool     was_cut;		/* saw_eof, but TLS did not say so */
	const char *why;		/* TLS failed */
	char    *unfed;			/* came before TLS was begun, and is its */
	size_t   n_unfed;
	union {
		struct sockaddr     sa;
		struct sockaddr_in  in;
		struct sockaddr_in6 in6;
	} peer;
	msec     heard;			/* the last event */
	unsigned turn;			/* in which it got its owner */
	bool     is_suspect;
	TAILQ_ENTRY(conn) suspect;	/* in io->suspects */
	TAILQ_ENTRY(conn) entry;	/* in io->closing */
};

TAILQ_HEAD(conn_list, conn);

struct spill {				/* write scratch beyond the block, freed after the event */
	struct spill *next;
	char bytes[];
};

struct conn_io {
	char  *read;
	char  *write;
	size_t write_used;
	struct spill *spills;
	struct conn *gather;		/* whose pieces these are */
	struct iovec pieces[GATHER_MAX];
	int    n_pieces;
	size_t n_bytes;
	/* TLS, made with the first connection that speaks it. */
	char  *opened;			/* what recv took, before it is opened into read */
	char  *plain;			/* small pieces that share a record */
	char  *sealed;			/* records on their way out */
	size_t n_sealed;
	struct conn *sealed_for;
	unsigned shaking_pass;
	int64_t  shaking;		/* us that handshakes took in this pass */
	struct conn_list closing, closing_apart;
	size_t n_closing, n_closing_apart;
	msec   warned;			/* of sockets that cannot be had */
	struct conn_list suspects;	/* a reset may stand behind what was read: see suspect() */
	struct deadline look;
};

/* --- of conn.c --------------------------------------------------------------------------------- */

/* The kernel does not take these now; they go behind what waits already. */
void conn_keep_out(struct conn *, const char *bytes, size_t n);
/* The pieces of the gather go to the kernel, sealed first where TLS is spoken (then with
 * conn_tls_send); what it does not take is kept. */
void conn_send_gather(struct conn_io *);
/* The kernel took some: time limits count from now. */
void conn_mark_progress(struct conn *);
/* The peer takes no more, says errno; the task tells the end. */
void conn_lose_write(struct conn *);
/* Remembers an end, which the task tells; the first one counts. */
void conn_fail(struct conn *, enum end);
/* One recv; what it tells of the socket is noted.  How many bytes, 0: none. */
size_t conn_recv(struct conn *, char *buf, size_t room);

/* --- of conn_tls.c, for connections with a session --------------------------------------------- */

/* The connection is made: the handshake's first step. */
void conn_tls_begin(struct conn *);
/* False when this pass has had its share of handshakes: the next one goes on. */
bool conn_tls_may_shake(struct conn *);
/* Reads and opens; true when there is something for the owner: data in view, or that it is open. */
bool conn_tls_receive(struct conn *);
/* The pieces of the gather become records, which go out with conn_tls_send. */
void conn_tls_seal_gather(struct conn_io *);
/* Records go to the kernel; what it does not take is kept. */
void conn_tls_send(struct conn_io *);
/* The connection closes: last words, when they are true. */
void conn_tls_free(struct conn *);
void conn_tls_free_io(struct conn_io *);

#endif
