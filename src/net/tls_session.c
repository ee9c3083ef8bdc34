/* SPDX-License-Identifier: MIT */
/*
 * TLS of one connection, without its socket: bytes in, bytes out.
 *
 * OpenSSL reads from the slice it is fed and writes to a function, through a BIO of two functions:
 * so conn.c keeps its descriptor, its one recv a read and its one write an event, and a session
 * never waits to write.  Invariant: what was fed is taken whole before the next feed; a piece of a
 * record that is left is kept by OpenSSL.
 */
#include "net/tls_private.h"

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "base/slab.h"
#include "net/certificate.h"

enum {
	SUBJECT_MAX = 1024,
	CHATTER_MAX = 64 * 1024,	/* bytes a peer may make us send by what is no data */
	HOST_MAX = 254
};

struct tls_resume {
	unsigned     refs;
	SSL_SESSION *last;
};

struct tls_session {
	SSL *ssl;
	struct tls_context *context;
	struct tls_resume  *resume;
	struct str in;			/* fed and not taken */
	tls_emit  *emit;
	void      *arg;
	struct tls_info info;
	char      *subject;
	const char *why;
	bool       has_begun;		/* the peer's first byte was looked at */
	bool       is_done;		/* the handshake */
	bool       is_broken;
	bool       is_shut;		/* close_notify was sent */
	size_t     chatter;
};

static struct slab sessions;
static BIO_METHOD *bio_method;

/* --- the BIO -------------------------------------------------------------------------------------- */

static int
on_bio_read(BIO *bio, char *buf, int size)
{
	struct tls_session *s = BIO_get_data(bio);
	size_t n = s->in.len < (size_t)size ? s->in.len : (size_t)size;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(buf, s->in.p, n);
	s->in = str_from(s->in, n);
	return (int)n;
}

static int
on_bio_write(BIO *bio, const char *bytes, int n)
{
	struct tls_session *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	s->chatter += (size_t)n;
	s->emit(s->arg, bytes, (size_t)n);
	return n;
}

static long
on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

void
tls_module_init(void)
{
	slab_init(&sessions, "tls_session", sizeof(struct tls_session));
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
	check(bio_method != NULL);
	BIO_meth_set_read(bio_method, on_bio_read);
	BIO_meth_set_write(bio_method, on_bio_write);
	BIO_meth_set_ctrl(bio_method, on_bio_ctrl);
}

void
tls_module_fini(void)
{
	BIO_meth_free(bio_method);
	bio_method = NULL;
	slab_fini(&sessions);
}

/* --- sessions to take up again ---------------------------------------------------------------------- */

struct tls_resume *
tls_resume_new(void)
{
	struct tls_resume *r = calloc(1, sizeof(*r));

	check(r != NULL);
	r->refs = 1;
	return r;
}

struct tls_resume *
tls_resume_ref(struct tls_resume *r)
{
	r->refs++;
	return r;
}

void
tls_resume_unref(struct tls_resume *r)
{
	check(r->refs > 0);
	if (--r->refs > 0)
		return;
	SSL_SESSION_free(r->last);
	free(r);
}

void
tls_session_keep(struct tls_session *s, SSL_SESSION *session)
{
	if (s->resume == NULL) {
		SSL_SESSION_free(session);
		return;
	}
	SSL_SESSION_free(s->resume->last);
	s->resume->last = session;
}

/* --- birth and death ---------------------------------------------------------------------------------- */

/* Who is asked for, and who has to be there (RFC 6125, RFC 9110 4.3.4). */
static void
set_host(struct tls_session *s, struct str host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
	unsigned char unused[16];
	char name[HOST_MAX];
	bool ok;

	if (s->context->server_name != NULL)
		host = str_of(s->context->server_name);
	if (str_ends(host, STR(".")))
		host = str_first(host, host.len - 1);
	check(host.len > 0 && host.len < sizeof(name));
	memcpy(name, host.p, host.len);
	name[host.len] = '\0';
	if (inet_pton(AF_INET, name, unused) == 1 || inet_pton(AF_INET6, name, unused) == 1)
		ok = X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	else {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
		    SSL_set_tlsext_host_name(s->ssl, name) == 1;
	}
	check(ok);
}

/* A copy: OpenSSL takes one that was used once for spent, but several connections may open before
 * another ticket comes.  A server that wants each ticket once asks for a whole handshake then. */
static void
offer_session(struct tls_session *s, struct tls_resume *resume)
{
	SSL_SESSION *copy;

	s->resume = tls_resume_ref(resume);
	if (resume->last == NULL)
		return;
	copy = SSL_SESSION_dup(resume->last);
	if (copy != NULL)
		(void)SSL_set_session(s->ssl, copy);
	SSL_SESSION_free(copy);
}

struct tls_session *
tls_session_new(struct tls_context *context, struct str host, struct tls_resume *resume,
    tls_emit *emit, void *arg)
{
	struct tls_session *s = slab_take(&sessions);
	BIO *bio = BIO_new(bio_method);

	s->context = tls_context_ref(context);
	s->emit = emit;
	s->arg = arg;
	s->ssl = SSL_new(context->ctx);
	check(s->ssl != NULL && bio != NULL);
	SSL_set_app_data(s->ssl, s);
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	if (context->is_server) {
		SSL_set_accept_state(s->ssl);
		return s;
	}
	SSL_set_connect_state(s->ssl);
	set_host(s, host);
	if (resume != NULL)
		offer_session(s, resume);
	return s;
}

void
tls_session_free(struct tls_session *s)
{
	/* Else OpenSSL holds the session for broken and does not offer it again. */
	if (s->is_done && !s->is_broken)
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	if (s->resume != NULL)
		tls_resume_unref(s->resume);
	tls_context_unref(s->context);
	free(s->subject);
	slab_give(&sessions, s);
}

struct tls_session *
tls_session_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

/* --- what went wrong ------------------------------------------------------------------------------------ */

static bool
is_certificate_trouble(const struct tls_session *s)
{
	return s->context->verify && SSL_get_verify_result(s->ssl) != X509_V_OK;
}

static enum tls_result
break_off(struct tls_session *s)
{
	unsigned long error = ERR_peek_last_error();

	s->is_broken = true;
	if (is_certificate_trouble(s))
		s->why = X509_verify_cert_error_string(SSL_get_verify_result(s->ssl));
	else if (ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER && !s->context->is_server)
		s->why = "wrong version number (does the server speak plain HTTP here?)";
	else if (s->why == NULL)
		s->why = tls_reason();
	ERR_clear_error();
	return TLS_FAILED;
}

/* What a call that did not succeed means. */
static enum tls_result
result_of(struct tls_session *s, int got)
{
	switch (SSL_get_error(s->ssl, got)) {
	case SSL_ERROR_WANT_READ:
		return TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_END;
	default:
		return break_off(s);
	}
}

const char *
tls_session_why(const struct tls_session *s)
{
	return s->why;
}

enum end
tls_session_end(const struct tls_session *s)
{
	return is_certificate_trouble(s) ? END_TLS_VERIFY : END_TLS_FAILED;
}

/* --- the handshake -------------------------------------------------------------------------------------- */

/* RFC 4514, with everything escaped that is not printable ASCII: it will stand in a field. */
static bool
take_subject(struct tls_session *s)
{
	X509 *peer = SSL_get1_peer_certificate(s->ssl);
	BIO *bio;
	char *text;
	long len;
	bool ok;

	if (peer == NULL)
		return true;
	bio = BIO_new(BIO_s_mem());
	check(bio != NULL);
	X509_NAME_print_ex(bio, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253);
	len = BIO_get_mem_data(bio, &text);
	ok = len > 0 && len <= SUBJECT_MAX && memchr(text, '\n', (size_t)len) == NULL &&
	    memchr(text, '\0', (size_t)len) == NULL;
	if (ok) {
		s->subject = strndup(text, (size_t)len);
		check(s->subject != NULL);
		s->info.subject = str_of(s->subject);
	} else
		s->why = "the subject of the client's certificate is empty or too long";
	BIO_free(bio);
	X509_free(peer);
	return ok;
}

static bool
take_info(struct tls_session *s)
{
	const unsigned char *protocol;
	unsigned len;

	SSL_get0_alpn_selected(s->ssl, &protocol, &len);
	s->info.protocol = str_make((const char *)protocol, len);
	s->info.version = SSL_get_version(s->ssl);
	s->info.cipher = SSL_get_cipher_name(s->ssl);
	s->info.is_resumed = SSL_session_reused(s->ssl) == 1;
	if (!s->context->is_server || s->context->subject_field == NULL)
		return true;
	s->info.subject_field = str_of(s->context->subject_field);
	return take_subject(s);
}

const struct tls_info *
tls_session_info(const struct tls_session *s)
{
	return &s->info;
}

void
tls_session_feed(struct tls_session *s, struct str bytes)
{
	check(s->in.len == 0);
	s->in = bytes;
}

/* Methods are written in letters; a record of TLS begins with 22, a hello of SSLv2 with the high bit. */
static bool
speaks_letters(struct tls_session *s)
{
	if (s->has_begun || s->in.len == 0 || !s->context->is_server)
		return false;
	s->has_begun = true;
	return s->in.p[0] >= 'A' && s->in.p[0] <= 'Z';
}

enum tls_result
tls_session_handshake(struct tls_session *s)
{
	int got;

	if (speaks_letters(s))
		return TLS_PLAIN;
	ERR_clear_error();
	got = SSL_do_handshake(s->ssl);
	if (got != 1)
		return result_of(s, got);
	if (!take_info(s))
		return break_off(s);
	s->is_done = true;
	s->chatter = 0;
	return TLS_OK;
}

/* --- data --------------------------------------------------------------------------------------------- */

enum tls_result
tls_session_read(struct tls_session *s, char *buf, size_t room, size_t *n)
{
	size_t chatter = s->chatter;
	enum tls_result result;

	*n = 0;
	if (s->is_broken)
		return TLS_FAILED;
	ERR_clear_error();
	if (SSL_read_ex(s->ssl, buf, room, n) == 1)
		return TLS_OK;
	result = result_of(s, 0);
	if (s->chatter > chatter && s->chatter > CHATTER_MAX && result != TLS_FAILED) {
		s->why = "the peer keeps asking for what is no data";
		result = break_off(s);
	}
	return result;
}

bool
tls_session_write(struct tls_session *s, const char *bytes, size_t n)
{
	size_t chatter = s->chatter, written;
	bool ok;

	if (s->is_broken)
		return false;
	ERR_clear_error();
	ok = SSL_write_ex(s->ssl, bytes, n, &written) == 1 && written == n;
	s->chatter = chatter;
	if (!ok)
		break_off(s);
	return ok;
}

void
tls_session_shutdown(struct tls_session *s)
{
	if (s->is_shut || s->is_broken || !s->is_done)
		return;
	s->is_shut = true;
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
}
