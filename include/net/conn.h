/* SPDX-License-Identifier: MIT */
/*
 * One socket, as bytes in and bytes out with back-pressure.  Nobody above net/ sees a descriptor.
 *
 * Reading goes into the loop's scratch block; only what the owner leaves unconsumed is kept in the
 * connection.  Writing is gathered during an event and goes out with one writev at its end; only
 * what the kernel refuses is kept.  Events come from the loop only, never from inside a call.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/end.h"
#include "base/str.h"

struct address;
struct conn;
struct ip;
struct loop;
struct tls_context;
struct tls_info;
struct tls_resume;

struct conn_events {
	/* Connected, and past the handshake with TLS; for accepted ones only with TLS. */
	void (*on_open)(void *owner);
	void (*on_data)(void *owner);		/* conn_in() grew */
	void (*on_eof)(void *owner);		/* the peer sends no more; what it sent was delivered */
	void (*on_drain)(void *owner);		/* conn_backlog() fell under the low mark */
	void (*on_close)(void *owner, enum end);/* dead: END_RESET, END_CONNECT_FAILED; conn_close it */
	/* A reset, or a write that failed, is told at once, even while reading is held; else what the
	 * peer sent before it is delivered first, for it may be a whole answer (RFC 9112 9.5). */
	bool is_hasty;
};

void conn_module_init(void);
void conn_module_fini(void);

/* Takes over an accepted, non-blocking descriptor of the peer.  Nobody's until conn_set_owner, which
 * has to come in the same event. */
struct conn *conn_accept(struct loop *, int fd, const struct sockaddr *peer, socklen_t len);
/* Starts to connect; on_open or on_close follows, from the loop.  Never NULL. */
struct conn *conn_connect(struct loop *, const struct sockaddr *, socklen_t,
    const struct conn_events *, void *owner);
/* Hands the connection to another owner. */
void conn_set_owner(struct conn *, const struct conn_events *, void *owner);

/*
 * From here on the connection speaks TLS: bytes that were received and not consumed belong to it,
 * bytes written before are sent as they are.  Nothing may be written until on_open has told that the
 * handshake is done.  When it fails on_close tells END_TLS_VERIFY or END_TLS_FAILED (END_RESET when
 * the peer just left).  The owner's time limit applies: there is none here.
 */
void conn_start_tls_server(struct conn *, struct tls_context *);
/* host is the server's name or address, to be asked for and checked; resume may be NULL. */
void conn_start_tls_client(struct conn *, struct tls_context *, struct str host, struct tls_resume *);
/* What the handshake agreed on; NULL before, and without TLS.  A client that does not speak TLS but
 * something in letters, such as HTTP, is open without it: its bytes are there to be read. */
const struct tls_info *conn_tls(const struct conn *);
/* Why TLS failed, in words that last; NULL when it did not. */
const char *conn_why(const struct conn *);

/* The bytes received and not consumed; valid until the event ends. */
struct str conn_in(struct conn *);
void conn_consume(struct conn *, size_t n);
/* Stops (resumes) reading.  Resuming delivers what is there, from the loop. */
void conn_hold(struct conn *, bool);
/* Has on_data called again, from the loop, when unconsumed bytes are there. */
void conn_kick(struct conn *);

/*
 * Sends the bytes.  They must stay valid until the current event ends (scratch, arena, static): the
 * connection copies only what the kernel does not take then.
 */
void conn_write(struct conn *, struct str);
/* The same for bytes that go away sooner. */
void conn_write_copy(struct conn *, struct str);
/* Room for n bytes that stay valid until the current event ends, for conn_write. */
char *conn_scratch(struct conn *, size_t n);
/* Bytes the kernel did not take so far (what this event wrote is not among them yet). */
size_t conn_backlog(const struct conn *);
/* on_drain comes when the backlog, once over high, falls to low. */
void conn_set_marks(struct conn *, size_t high, size_t low);
/* What still waits in the gather of this event goes to the kernel now. */
void conn_flush(struct loop *);

/* FIN after what is written. */
void conn_shutdown(struct conn *);
/* Silence now, descriptor closed now (backlog lost), memory at the end of the turn. */
void conn_close(struct conn *);
/* The same with RST, so that the peer can tell it from an end. */
void conn_abort(struct conn *);
/*
 * Silence now; what is written is still sent, as long as the peer takes a byte every send_limit
 * milliseconds, then FIN, then the descriptor is closed.  With linger what the peer sends is read and
 * dropped until its FIN, at most so many milliseconds longer, so that an answer given before the
 * request was read is not lost to a RST (RFC 9112 9.6).
 */
void conn_close_gently(struct conn *, msec send_limit, msec linger);

uint64_t conn_bytes_in(const struct conn *);
/* Monotonic time when bytes last came or were taken by the kernel. */
msec conn_progress(const struct conn *);
/* The peer's FIN was read: nothing will come but what conn_in has. */
bool conn_is_at_eof(const struct conn *);
/* The end came without TLS' own word for it: bytes before it may be missing (RFC 8446 6.1). */
bool conn_was_cut(const struct conn *);
/* The peer sent its FIN, or is gone. */
bool conn_saw_eof(const struct conn *);
/*
 * Not a byte, no FIN and no error came from the peer that its owner has not dealt with, the kernel's
 * queue included (one call): what came while nobody had asked is no answer to who asks next.
 */
bool conn_is_quiet(const struct conn *);
/* Who is at the other end; only the family is kept of a unix address. */
const struct sockaddr *conn_peer(const struct conn *);
/* Somebody who is believed says that it is this one (the PROXY protocol). */
void conn_set_peer(struct conn *, const struct ip *, uint16_t port);
/* Our end of it; not set when it has none. */
void conn_local(const struct conn *, struct ip *);
/* How many are still being closed gently. */
size_t conn_closing(const struct loop *);
/* For those with a bound of their own: not among the above. */
void conn_set_apart(struct conn *);
size_t conn_closing_apart(const struct loop *);
/* Closes at once the one of these that has been closing for longest; false: there is none. */
bool conn_drop_apart(struct loop *);

#endif
