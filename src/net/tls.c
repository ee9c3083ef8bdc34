/* SPDX-License-Identifier: MIT */
/*
 * TLS contexts from configuration: versions, ciphers, certificates by name, who may come in.
 *
 * A server context is a list of sites, each an SSL_CTX with the certificates of one set of names; a
 * connection begins with the first and is moved by its SNI.  Immutable once made.
 */
#include "net/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "net/certificate.h"
#include "net/tls_private.h"

enum { NAME_SIZE = 256 };		/* of a host name, with its terminator */

struct tls_site {
	SSL_CTX *ctx;
	char   **names;			/* as the certificate has them, sorted */
	size_t   n_names;
};

/* An OCSP answer and the certificate it is about. */
struct tls_staple {
	X509          *leaf;
	unsigned char *ocsp;
	size_t         len;
	int64_t        until;
};

/* A certificate file, for monitoring. */
struct tls_file {
	char   *path, *name;
	int64_t not_after;
};

static char *
copy(struct str s)
{
	char *p = strndup(s.p != NULL ? s.p : "", s.len);

	check(p != NULL);
	return p;
}

/* --- who is asked for ----------------------------------------------------------------------------- */

static bool
site_has(const struct tls_site *site, const char *name)
{
	size_t low = 0, high = site->n_names, mid;
	int order;

	while (low < high) {
		mid = (low + high) / 2;
		order = strcmp(name, site->names[mid]);
		if (order == 0)
			return true;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

static struct tls_site *
find_name(struct tls_context *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_sites; i++)
		if (site_has(&c->sites[i], name))
			return &c->sites[i];
	return NULL;
}

/* Exact, then "*." for the first label (RFC 6125 6.4.3). */
static struct tls_site *
find_site(struct tls_context *c, const char *sni)
{
	char name[NAME_SIZE], *dot;
	struct tls_site *site;
	size_t i;

	for (i = 0; sni[i] != '\0' && i < sizeof(name) - 1; i++)
		name[i] = (char)tolower((unsigned char)sni[i]);
	name[i] = '\0';
	if (i > 0 && name[i - 1] == '.')
		name[i - 1] = '\0';
	site = find_name(c, name);
	dot = strchr(name, '.');
	if (site != NULL || dot == NULL || dot == name)
		return site;
	*--dot = '*';
	return find_name(c, dot);
}

/* A list of one: its length, the type, the name's length, the name (RFC 6066 3).  False when it is not
 * that; what is wrong with it OpenSSL tells later. */
static bool
get_asked(SSL *ssl, char name[NAME_SIZE])
{
	const unsigned char *p;
	size_t n, len;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5)
		return false;
	len = (size_t)p[3] << 8 | p[4];
	if (p[2] != TLSEXT_NAMETYPE_host_name || len != n - 5 || len >= NAME_SIZE)
		return false;
	memcpy(name, p + 5, len);
	name[len] = '\0';
	return true;
}

/* Before OpenSSL looks at the ticket: a session is for its site (RFC 6066 3), which the session
 * context tells. */
static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_site *site = NULL;
	char name[NAME_SIZE];

	(void)alert;
	if (get_asked(ssl, name))
		site = find_site(arg, name);
	if (site != NULL)
		SSL_set_SSL_CTX(ssl, site->ctx);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Whether it is said that the name counted. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	return name != NULL && find_site(arg, name) != NULL ? SSL_TLSEXT_ERR_OK
	    : SSL_TLSEXT_ERR_NOACK;
}

/* RFC 7301 3.2: a client that offers nothing we speak is told so. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
    unsigned len, void *arg)
{
	struct tls_context *c = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_len, c->protocols, c->protocols_len, offered, len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static const struct tls_staple *
find_staple(const struct tls_context *c, const X509 *leaf)
{
	size_t i;

	for (i = 0; i < c->n_staples; i++)
		if (c->staples[i].leaf == leaf)
			return &c->staples[i];
	return NULL;
}

/* RFC 6066 8: about the certificate that this client gets, of a site's two. */
static int
on_status(SSL *ssl, void *arg)
{
	const struct tls_staple *s = find_staple(arg, SSL_get_certificate(ssl));
	unsigned char *answer;

	if (s == NULL || s->until <= clock_wall_us() / 1000000)
		return SSL_TLSEXT_ERR_NOACK;
	answer = OPENSSL_memdup(s->ocsp, s->len);
	if (answer == NULL || SSL_set_tlsext_status_ocsp_resp(ssl, answer, s->len) != 1) {
		OPENSSL_free(answer);
		return SSL_TLSEXT_ERR_NOACK;
	}
	return SSL_TLSEXT_ERR_OK;
}

/* --- what both sides share ------------------------------------------------------------------------- */

static struct tls_context *
new_context(bool is_server)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	check(c != NULL);
	c->refs = 1;
	c->is_server = is_server;
	return c;
}

static SSL_CTX *
new_ctx(struct tls_context *c)
{
	SSL_CTX *ctx = SSL_CTX_new(c->is_server ? TLS_server_method() : TLS_client_method());

	check(ctx != NULL);
	SSL_CTX_set_app_data(ctx, c);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* An idle connection holds no record buffers; the chain is what the file says. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

static void
free_site(struct tls_site *site)
{
	size_t i;

	for (i = 0; i < site->n_names; i++)
		free(site->names[i]);
	free(site->names);
	SSL_CTX_free(site->ctx);
}

struct tls_context *
tls_context_ref(struct tls_context *c)
{
	c->refs++;
	return c;
}

void
tls_context_unref(struct tls_context *c)
{
	size_t i;

	check(c->refs > 0);
	if (--c->refs > 0)
		return;
	for (i = 0; i < c->n_sites; i++)
		free_site(&c->sites[i]);
	for (i = 0; i < c->n_files; i++) {
		free(c->files[i].path);
		free(c->files[i].name);
	}
	for (i = 0; i < c->n_staples; i++) {
		X509_free(c->staples[i].leaf);
		OPENSSL_free(c->staples[i].ocsp);
	}
	free(c->staples);
	free(c->sites);
	free(c->files);
	free(c->protocols);
	free(c->subject_field);
	free(c->server_name);
	free(c);
}

static void
note_file(struct tls_context *c, struct str path, const struct certificate *cert)
{
	struct tls_file *f;

	c->files = realloc(c->files, (c->n_files + 1) * sizeof(*c->files));
	check(c->files != NULL);
	f = &c->files[c->n_files++];
	f->path = copy(path);
	f->name = copy(cert->n_names > 0 ? str_of(cert->names[0]) : STR(""));
	f->not_after = cert->not_after;
}

size_t
tls_context_n_certificates(const struct tls_context *c)
{
	return c->n_files;
}

struct tls_certificate
tls_context_certificate(const struct tls_context *c, size_t i)
{
	struct tls_certificate t = { str_of(c->files[i].path), str_of(c->files[i].name),
		c->files[i].not_after };

	return t;
}

/* --- towards clients --------------------------------------------------------------------------------- */

static struct tls_site *
add_site(struct tls_context *c)
{
	struct tls_site *site;

	c->sites = realloc(c->sites, (c->n_sites + 1) * sizeof(*c->sites));
	check(c->sites != NULL);
	site = &c->sites[c->n_sites++];
	memset(site, 0, sizeof(*site));
	site->ctx = new_ctx(c);
	return site;
}

static bool
same_names(const struct tls_site *site, const struct certificate *cert)
{
	size_t i;

	if (site->n_names != cert->n_names)
		return false;
	for (i = 0; i < cert->n_names; i++)
		if (strcmp(site->names[i], cert->names[i]) != 0)
			return false;
	return cert->n_names > 0;
}

/* Two certificates of the same names and different kinds of key (ECDSA, RSA) are one site: each
 * client gets the one it can check. */
static bool
join_site(struct tls_context *c, const struct certificate *cert)
{
	size_t i;

	for (i = 0; i < c->n_sites; i++)
		if (same_names(&c->sites[i], cert) && SSL_CTX_use_cert_and_key(c->sites[i].ctx,
		    cert->leaf, cert->key, cert->issuers, 0) == 1)
			return true;
	ERR_clear_error();
	return false;
}

/* Behind a site of the same names, which it could not join. */
static bool
is_hidden(const struct tls_context *c, const struct certificate *cert)
{
	size_t i;

	for (i = 0; i < c->n_sites; i++)
		if (same_names(&c->sites[i], cert))
			return true;
	return false;
}

/* Takes the names. */
static void
make_site(struct tls_context *c, const struct tls_pair_conf *conf, struct certificate *cert,
    const char *where, struct tls_sink *sink)
{
	struct tls_site *site = add_site(c);

	if (SSL_CTX_use_cert_and_key(site->ctx, cert->leaf, cert->key, cert->issuers, 1) != 1)
		tls_sink_error(sink, where, "%.*s: not good enough: %s", STR_ARG(conf->cert),
		    tls_reason());
	site->names = cert->names;
	site->n_names = cert->n_names;
	cert->names = NULL;
	cert->n_names = 0;
}

/* Takes the answer. */
static void
add_staple(struct tls_context *c, struct certificate *cert)
{
	struct tls_staple *s;

	c->staples = realloc(c->staples, (c->n_staples + 1) * sizeof(*c->staples));
	check(c->staples != NULL);
	s = &c->staples[c->n_staples++];
	check(X509_up_ref(cert->leaf) == 1);
	s->leaf = cert->leaf;
	s->ocsp = cert->ocsp;
	s->len = cert->ocsp_len;
	s->until = cert->ocsp_until;
	cert->ocsp = NULL;
}

static void
take_pair(struct tls_context *c, const struct tls_pair_conf *conf, size_t i, struct tls_sink *sink)
{
	struct certificate cert;
	char where[64];

	snprintf(where, sizeof(where), "certificates[%zu].", i);
	if (certificate_load(&cert, conf, where, sink)) {
		note_file(c, conf->cert, &cert);
		snprintf(where, sizeof(where), "certificates[%zu].cert", i);
		if (!join_site(c, &cert)) {
			if (is_hidden(c, &cert))
				tls_sink_warn(sink, where, "%.*s: is never shown, an earlier one has the "
				    "same names and kind of key", STR_ARG(conf->cert));
			make_site(c, conf, &cert, where, sink);
		}
		if (cert.ocsp != NULL)
			add_staple(c, &cert);
	}
	certificate_free(&cert);
}

/* A session is taken up only where the same is asked of a client: else one that was let in without a
 * certificate would come in here.  And only where the same names are served; a renewed certificate
 * is no other site. */
static void
set_session_context(struct tls_site *site, const struct tls_server_conf *conf,
    STACK_OF(X509) *authorities)
{
	unsigned char digest[EVP_MAX_MD_SIZE], print[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned len;
	size_t n;
	int i;

	check(md != NULL && EVP_DigestInit_ex2(md, EVP_sha256(), NULL) == 1);
	EVP_DigestUpdate(md, &conf->verify_client, sizeof(conf->verify_client));
	for (i = 0; i < sk_X509_num(authorities); i++) {
		X509_digest(sk_X509_value(authorities, i), EVP_sha256(), print, &len);
		EVP_DigestUpdate(md, print, len);
	}
	for (n = 0; n < site->n_names; n++)
		EVP_DigestUpdate(md, site->names[n], strlen(site->names[n]) + 1);
	EVP_DigestFinal_ex(md, digest, &len);
	EVP_MD_CTX_free(md);
	check(SSL_CTX_set_session_id_context(site->ctx, digest, len) == 1);
}

/* What a file names is believed, be it a root or not. */
static void
trust(SSL_CTX *ctx, STACK_OF(X509) *authorities)
{
	int i;

	for (i = 0; i < sk_X509_num(authorities); i++)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(authorities, i));
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
}

static void
set_authorities(SSL_CTX *ctx, const struct tls_server_conf *conf, STACK_OF(X509) *authorities)
{
	int i, mode = SSL_VERIFY_PEER;

	if (conf->verify_client == TLS_CLIENT_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	trust(ctx, authorities);
	for (i = 0; i < sk_X509_num(authorities); i++)
		SSL_CTX_add_client_CA(ctx, sk_X509_value(authorities, i));
	SSL_CTX_set_verify(ctx, mode, NULL);
}

static void
set_words(SSL_CTX *ctx, const struct tls_server_conf *conf, struct tls_sink *sink)
{
	char *ciphers = copy(conf->ciphers), *suites = copy(conf->ciphersuites),
	    *groups = copy(conf->groups);

	if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
		tls_sink_error(sink, "ciphers", "OpenSSL knows none of them: openssl ciphers -v lists "
		    "what there is");
	if (SSL_CTX_set_ciphersuites(ctx, suites) != 1)
		tls_sink_error(sink, "ciphersuites", "OpenSSL does not know all of them: openssl ciphers "
		    "-v -tls1_3 lists what there is");
	if (SSL_CTX_set1_groups_list(ctx, groups) != 1)
		tls_sink_error(sink, "groups", "OpenSSL does not know all of them: X25519, P-256 and "
		    "P-384 are usual");
	ERR_clear_error();
	free(ciphers);
	free(suites);
	free(groups);
}

static void
set_server(struct tls_context *c, struct tls_site *site, const struct tls_server_conf *conf,
    STACK_OF(X509) *authorities)
{
	SSL_CTX *ctx = site->ctx;

	SSL_CTX_set_min_proto_version(ctx, conf->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION
	    : TLS1_2_VERSION);
	/* Our order, but who has no AES in hardware and says so gets ChaCha20. */
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_timeout(ctx, TLS_SESSION_SECONDS);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_tickets_on_key);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, c);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, c);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, c);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	SSL_CTX_set_tlsext_status_arg(ctx, c);
	set_session_context(site, conf, authorities);
	if (authorities != NULL)
		set_authorities(ctx, conf, authorities);
}

static void
set_protocols(struct tls_context *c, const char *const *protocols)
{
	size_t i, len, total = 0;

	for (i = 0; protocols[i] != NULL; i++)
		total += strlen(protocols[i]) + 1;
	c->protocols = malloc(total + 1);
	check(c->protocols != NULL);
	for (i = 0; protocols[i] != NULL; i++) {
		len = strlen(protocols[i]);
		c->protocols[c->protocols_len++] = (unsigned char)len;
		memcpy(c->protocols + c->protocols_len, protocols[i], len);
		c->protocols_len += (unsigned)len;
	}
}

struct tls_context *
tls_context_new_server(const struct tls_server_conf *conf, struct tls_tickets *tickets,
    const char *const *protocols, tls_tell *tell, void *arg)
{
	struct tls_sink sink = { tell, arg, 0 };
	struct tls_context *c = new_context(true);
	STACK_OF(X509) *authorities = NULL;
	size_t i;

	c->tickets = tickets;
	set_protocols(c, protocols);
	for (i = 0; i < conf->n_certificates; i++)
		take_pair(c, &conf->certificates[i], i, &sink);
	if (conf->client_ca.len > 0) {
		authorities = certificate_read_authorities(conf->client_ca, "client_ca", &sink);
		c->subject_field = copy(conf->subject_field);
		c->verify = true;
	}
	if (c->n_sites == 0)
		(void)add_site(c);	/* to look at the words all the same */
	set_words(c->sites[0].ctx, conf, &sink);
	for (i = 0; i < c->n_sites && sink.n_errors == 0; i++) {
		set_server(c, &c->sites[i], conf, authorities);
		if (i > 0)
			set_words(c->sites[i].ctx, conf, &sink);
	}
	sk_X509_pop_free(authorities, X509_free);
	c->ctx = c->sites[0].ctx;
	if (sink.n_errors == 0)
		return c;
	tls_context_unref(c);
	return NULL;
}

/* --- towards servers --------------------------------------------------------------------------------- */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	tls_session_keep(tls_session_of(ssl), session);
	return 1;
}

/* The file of all of them was read, the folder is looked into when one is needed. */
static bool
has_authorities(SSL_CTX *ctx)
{
	const char *path = getenv(X509_get_default_cert_dir_env());
	struct dirent *entry = NULL;
	DIR *dir;

	if (sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx))) > 0)
		return true;
	dir = opendir(path != NULL ? path : X509_get_default_cert_dir());
	while (dir != NULL && (entry = readdir(dir)) != NULL && entry->d_name[0] == '.')
		;
	if (dir != NULL)
		closedir(dir);
	return entry != NULL;
}

static void
trust_system(SSL_CTX *ctx, struct tls_sink *sink)
{
	if (SSL_CTX_set_default_verify_paths(ctx) != 1)
		tls_sink_error(sink, "ca", "the system's certificates cannot be found: %s, install "
		    "ca-certificates or name a file", tls_reason());
	else if (!has_authorities(ctx))
		tls_sink_warn(sink, "ca", "this machine knows no authorities, so no server will be "
		    "believed: install ca-certificates or name a file");
	ERR_clear_error();
}

static void
set_trust(SSL_CTX *ctx, const struct tls_client_conf *conf, struct tls_sink *sink)
{
	STACK_OF(X509) *authorities;

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (conf->ca.len == 0) {
		trust_system(ctx, sink);
		return;
	}
	authorities = certificate_read_authorities(conf->ca, "ca", sink);
	trust(ctx, authorities);
	sk_X509_pop_free(authorities, X509_free);
}

static void
set_own_certificate(struct tls_context *c, SSL_CTX *ctx, const struct tls_pair_conf *conf,
    struct tls_sink *sink)
{
	struct certificate cert;

	if (certificate_load(&cert, conf, "certificate.", sink)) {
		note_file(c, conf->cert, &cert);
		if (SSL_CTX_use_cert_and_key(ctx, cert.leaf, cert.key, cert.issuers, 1) != 1)
			tls_sink_error(sink, "certificate.cert", "%.*s: not good enough: %s",
			    STR_ARG(conf->cert), tls_reason());
	}
	certificate_free(&cert);
}

struct tls_context *
tls_context_new_client(const struct tls_client_conf *conf, tls_tell *tell, void *arg)
{
	static const unsigned char http1[] = "\x08http/1.1";
	struct tls_sink sink = { tell, arg, 0 };
	struct tls_context *c = new_context(false);

	c->ctx = add_site(c)->ctx;
	c->verify = conf->verify;
	if (conf->server_name.len > 0)
		c->server_name = copy(conf->server_name);
	SSL_CTX_set_alpn_protos(c->ctx, http1, sizeof(http1) - 1);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	if (conf->verify)
		set_trust(c->ctx, conf, &sink);
	if (conf->certificate.cert.len > 0)
		set_own_certificate(c, c->ctx, &conf->certificate, &sink);
	if (sink.n_errors == 0)
		return c;
	tls_context_unref(c);
	return NULL;
}
