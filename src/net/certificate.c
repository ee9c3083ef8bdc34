/* SPDX-License-Identifier: MIT */
/*
 * Certificates and keys from files, and what may be wrong with them.
 *
 * Everything a handshake would stumble over later is found here, with words for who has to mend it:
 * -t, a start and a reload all come through this file.
 */
#include "net/certificate.h"

#include <sys/stat.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/log.h"

enum {
	FILE_MAX = 4 * 1024 * 1024,	/* the system's whole bundle of authorities is 200 KB */
	ISSUERS_MAX = 16,
	NAMES_MAX = 1000,
	DAY_SECONDS = 24 * 3600,
	SUBJECT_MAX = 256
};

/* --- findings ----------------------------------------------------------------------------------- */

static void
tell(struct tls_sink *sink, const char *where, bool is_warning, const char *fmt, va_list ap)
{
	char text[768];

	vsnprintf(text, sizeof(text), fmt, ap);
	sink->n_errors += !is_warning;
	sink->tell(sink->arg, where, is_warning, text);
}

void
tls_sink_error(struct tls_sink *sink, const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(sink, where, false, fmt, ap);
	va_end(ap);
}

void
tls_sink_warn(struct tls_sink *sink, const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(sink, where, true, fmt, ap);
	va_end(ap);
}

const char *
tls_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text != NULL ? text : "unknown error";
}

/* --- words ------------------------------------------------------------------------------------------ */

static int64_t
seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

static const char *
subject_of(X509 *x, char buf[SUBJECT_MAX])
{
	X509_NAME_oneline(X509_get_subject_name(x), buf, SUBJECT_MAX);
	return buf;
}

/* --- files ---------------------------------------------------------------------------------------- */

/* The file as a BIO over *text, which is to be freed after it. */
static BIO *
open_file(struct str path, const char *where, struct tls_sink *sink, char **text)
{
	char *name = strndup(path.p, path.len);
	const char *why;
	size_t len;
	BIO *bio;

	check(name != NULL);
	*text = file_read(name, FILE_MAX, &len, &why);
	free(name);
	if (*text == NULL) {
		tls_sink_error(sink, where, "%.*s: %s", STR_ARG(path), why);
		return NULL;
	}
	bio = BIO_new_mem_buf(*text, (int)len);
	check(bio != NULL);
	return bio;
}

static void
close_file(BIO *bio, char *text, size_t len)
{
	BIO_free(bio);
	OPENSSL_cleanse(text, len);
	free(text);
}

/* It is not PEM; a sequence of ASN.1 is what should have been made PEM of. */
static void
tell_no_pem(struct str path, const char *what, const char *label, const char *command, char first,
    const char *where, struct tls_sink *sink)
{
	if (first == 0x30)
		tls_sink_error(sink, where, "%.*s: this is DER, PEM is expected: openssl %s -inform DER "
		    "-in FILE -out NEWFILE", STR_ARG(path), command);
	else
		tls_sink_error(sink, where, "%.*s: no %s in it, PEM is expected (-----BEGIN %s-----)",
		    STR_ARG(path), what, label);
}

static STACK_OF(X509) *
read_all(struct str path, const char *where, struct tls_sink *sink)
{
	STACK_OF(X509) *all;
	char *text;
	BIO *bio = open_file(path, where, sink, &text);
	unsigned long error;
	char first;
	X509 *x;

	if (bio == NULL)
		return NULL;
	first = text[0];
	all = sk_X509_new_null();
	check(all != NULL);
	ERR_clear_error();
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		sk_X509_push(all, x);
	error = ERR_peek_last_error();
	close_file(bio, text, 0);
	/* "No more of them" is an error to OpenSSL. */
	if (ERR_GET_REASON(error) == PEM_R_NO_START_LINE && sk_X509_num(all) > 0) {
		ERR_clear_error();
		return all;
	}
	if (ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
		tell_no_pem(path, "certificate", "CERTIFICATE", "x509", first, where, sink);
	else
		tls_sink_error(sink, where, "%.*s: certificate %d in it cannot be read: %s",
		    STR_ARG(path), sk_X509_num(all) + 1, tls_reason());
	ERR_clear_error();
	sk_X509_pop_free(all, X509_free);
	return NULL;
}

/* Who trusts it trusts nobody by it. */
static void
warn_expired(STACK_OF(X509) *all, struct str path, const char *where, struct tls_sink *sink)
{
	char subject[SUBJECT_MAX];
	int i;

	for (i = 0; i < sk_X509_num(all); i++)
		if (seconds_of(X509_get0_notAfter(sk_X509_value(all, i))) <= (int64_t)time(NULL))
			tls_sink_warn(sink, where, "%.*s: certificate %d in it (%s) has expired, what it "
			    "issued is not believed", STR_ARG(path), i + 1,
			    subject_of(sk_X509_value(all, i), subject));
}

STACK_OF(X509) *
certificate_read_authorities(struct str path, const char *where, struct tls_sink *sink)
{
	STACK_OF(X509) *all = read_all(path, where, sink);

	warn_expired(all, path, where, sink);
	return all;
}

static int
no_passphrase(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static void
check_mode(struct str path, const char *where, struct tls_sink *sink)
{
	char *name = strndup(path.p, path.len);
	struct stat st;

	check(name != NULL);
	if (stat(name, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		tls_sink_warn(sink, where, "%.*s: everybody on this machine can read this key, "
		    "chmod 600 it", STR_ARG(path));
	free(name);
}

static EVP_PKEY *
read_key(struct str path, const char *where, struct tls_sink *sink)
{
	bool asked = false;
	char *text;
	BIO *bio = open_file(path, where, sink, &text);
	EVP_PKEY *key;
	char first;

	if (bio == NULL)
		return NULL;
	first = text[0];
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	close_file(bio, text, strlen(text));
	if (key != NULL)
		check_mode(path, where, sink);
	else if (asked)
		tls_sink_error(sink, where, "%.*s: has a passphrase, which nobody is there to enter: "
		    "openssl pkey -in FILE -out NEWFILE takes it off", STR_ARG(path));
	else
		tell_no_pem(path, "private key", "PRIVATE KEY", "pkey", first, where, sink);
	ERR_clear_error();
	return key;
}

/* --- what a certificate says ---------------------------------------------------------------------- */

static void
format_day(int64_t seconds, char buf[16])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(buf, 16, "%Y-%m-%d", &tm) == 0)
		snprintf(buf, 16, "?");
}

static void
add_name(struct certificate *c, const ASN1_STRING *s)
{
	size_t len = (size_t)ASN1_STRING_length(s), i;
	const char *p = (const char *)ASN1_STRING_get0_data(s);
	char *name;

	if (len == 0 || len > 253 || memchr(p, '\0', len) != NULL || c->n_names == NAMES_MAX)
		return;
	name = strndup(p, len);
	check(name != NULL);
	for (i = 0; i < len; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] | 0x20);
	c->names = realloc(c->names, (c->n_names + 1) * sizeof(*c->names));
	check(c->names != NULL);
	c->names[c->n_names++] = name;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* RFC 6125 6.4.4: the common name only when there are no others. */
static void
take_names(struct certificate *c)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(c->leaf);
	int i, at;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			add_name(c, n->d.dNSName);
	}
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (names == NULL && at >= 0)
		add_name(c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	GENERAL_NAMES_free(names);
	if (c->n_names > 1)
		qsort(c->names, c->n_names, sizeof(*c->names), compare_names);
}

static void
check_dates(struct certificate *c, struct str path, const char *where, struct tls_sink *sink)
{
	int64_t from = seconds_of(X509_get0_notBefore(c->leaf)), now = (int64_t)time(NULL);
	char day[16];

	c->not_after = seconds_of(X509_get0_notAfter(c->leaf));
	if (from > now) {
		format_day(from, day);
		tls_sink_error(sink, where, "%.*s: not valid before %s, look at the clock of this "
		    "machine or wait", STR_ARG(path), day);
		return;
	}
	format_day(c->not_after, day);
	if (c->not_after <= now)
		tls_sink_error(sink, where, "%.*s: expired on %s, renew it", STR_ARG(path), day);
	else if (c->not_after - now < CERTIFICATE_WARN_DAYS * DAY_SECONDS)
		tls_sink_warn(sink, where, "%.*s: expires on %s, in %d days: renew it", STR_ARG(path),
		    day, (int)((c->not_after - now) / DAY_SECONDS));
}

/* RFC 5246 7.4.2: the sender's own first, then each that certifies the one before it. */
static void
check_chain(struct certificate *c, struct str path, const char *where, struct tls_sink *sink)
{
	char issuer[SUBJECT_MAX], subject[SUBJECT_MAX];
	X509 *last = c->leaf;
	int i, n = sk_X509_num(c->issuers);

	if (n > ISSUERS_MAX) {
		tls_sink_error(sink, where, "%.*s: %d certificates in it, a chain has a handful",
		    STR_ARG(path), n + 1);
		return;
	}
	for (i = 0; i < n; i++) {
		X509 *x = sk_X509_value(c->issuers, i);

		if (X509_check_issued(x, last) != X509_V_OK) {
			tls_sink_error(sink, where, "%.*s: certificate %d in it (%s) did not issue "
			    "the one before it (%s): the server's own comes first, then its issuer, "
			    "then the issuer's", STR_ARG(path), i + 2, subject_of(x, issuer),
			    subject_of(last, subject));
			return;
		}
		if (seconds_of(X509_get0_notAfter(x)) <= (int64_t)time(NULL))
			tls_sink_warn(sink, where, "%.*s: certificate %d in it (%s) has expired",
			    STR_ARG(path), i + 2, subject_of(x, issuer));
		last = x;
	}
}

/* RFC 5280 4.2.2.1: who says where its issuer is to be fetched was issued by one that clients may not
 * have; browsers fetch it, others fail.  An authority of one's own seldom says so. */
static bool
lacks_issuer(const struct certificate *c)
{
	AUTHORITY_INFO_ACCESS *all;
	bool says = false;
	int i;

	if (sk_X509_num(c->issuers) > 0 || X509_self_signed(c->leaf, 0) == 1)
		return false;
	all = X509_get_ext_d2i(c->leaf, NID_info_access, NULL, NULL);
	for (i = 0; i < sk_ACCESS_DESCRIPTION_num(all); i++)
		says |= OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(all, i)->method) == NID_ad_ca_issuers;
	AUTHORITY_INFO_ACCESS_free(all);
	ERR_clear_error();
	return says;
}

/* Which of the file's certificates the key belongs to, from 1; 0: none. */
static int
owner_of(const struct certificate *c)
{
	int i;

	if (X509_check_private_key(c->leaf, c->key) == 1)
		return 1;
	for (i = 0; i < sk_X509_num(c->issuers); i++)
		if (X509_check_private_key(sk_X509_value(c->issuers, i), c->key) == 1)
			return i + 2;
	return 0;
}

/* --- stapling ------------------------------------------------------------------------------------- */

/* By serial number and issuer's name: the issuer itself need not be in the file. */
static bool
speaks_of(const struct certificate *c, const OCSP_SINGLERESP *single)
{
	OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
	unsigned char digest[EVP_MAX_MD_SIZE];
	ASN1_OCTET_STRING *name;
	ASN1_INTEGER *serial;
	ASN1_OBJECT *algorithm;
	const EVP_MD *md;
	unsigned len;

	OCSP_id_get0_info(&name, &algorithm, NULL, &serial, id);
	md = EVP_get_digestbyobj(algorithm);
	if (md == NULL || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(c->leaf)) != 0)
		return false;
	X509_NAME_digest(X509_get_issuer_name(c->leaf), md, digest, &len);
	return ASN1_STRING_length(name) == (int)len &&
	    memcmp(ASN1_STRING_get0_data(name), digest, len) == 0;
}

static OCSP_SINGLERESP *
find_single(const struct certificate *c, OCSP_BASICRESP *basic)
{
	int i;

	for (i = 0; i < OCSP_resp_count(basic); i++)
		if (speaks_of(c, OCSP_resp_get0(basic, i)))
			return OCSP_resp_get0(basic, i);
	return NULL;
}

static const char *
look_at_answer(struct certificate *c, OCSP_RESPONSE *answer)
{
	ASN1_GENERALIZEDTIME *next = NULL;
	OCSP_BASICRESP *basic;
	OCSP_SINGLERESP *single;
	const char *why = "it does not speak of this certificate";
	int status;

	if (OCSP_response_status(answer) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return "it is no successful answer";
	basic = OCSP_response_get1_basic(answer);
	if (basic == NULL)
		return "it is no basic answer";
	single = find_single(c, basic);
	if (single != NULL) {
		why = NULL;
		status = OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
		c->ocsp_until = next != NULL ? seconds_of(next) : INT64_MAX;
		if (status == V_OCSP_CERTSTATUS_REVOKED)
			why = "it says that the certificate was revoked";
		else if (status != V_OCSP_CERTSTATUS_GOOD)
			why = "it does not know the certificate";
	}
	OCSP_BASICRESP_free(basic);
	return why;
}

static void
load_ocsp(struct certificate *c, struct str path, const char *where, struct tls_sink *sink)
{
	char *name = strndup(path.p, path.len), *bytes;
	const unsigned char *p;
	OCSP_RESPONSE *answer;
	const char *why;
	size_t len;

	check(name != NULL);
	bytes = file_read(name, FILE_MAX, &len, &why);
	free(name);
	if (bytes == NULL) {
		tls_sink_error(sink, where, "%.*s: %s", STR_ARG(path), why);
		return;
	}
	p = (unsigned char *)bytes;
	answer = d2i_OCSP_RESPONSE(NULL, &p, (long)len);
	why = answer != NULL ? look_at_answer(c, answer)
	    : "it is no OCSP answer, DER is expected: openssl ocsp -respout FILE writes it";
	OCSP_RESPONSE_free(answer);
	ERR_clear_error();
	c->ocsp = OPENSSL_memdup(bytes, len);
	c->ocsp_len = len;
	free(bytes);
	if (why != NULL)
		tls_sink_error(sink, where, "%.*s: %s", STR_ARG(path), why);
	else if (c->ocsp_until <= (int64_t)time(NULL))
		tls_sink_warn(sink, where, "%.*s: is too old to be stapled, fetch it anew",
		    STR_ARG(path));
}

/* --- the whole ------------------------------------------------------------------------------------ */

static bool
take_files(struct certificate *c, const struct tls_pair_conf *conf, const char *at_cert,
    const char *at_key, struct tls_sink *sink)
{
	STACK_OF(X509) *all = read_all(conf->cert, at_cert, sink);

	c->key = read_key(conf->key, at_key, sink);
	if (all == NULL)
		return false;
	c->leaf = sk_X509_shift(all);
	c->issuers = all;
	take_names(c);
	return c->key != NULL;
}

bool
certificate_load(struct certificate *c, const struct tls_pair_conf *conf, const char *prefix,
    struct tls_sink *sink)
{
	char at_cert[64], at_key[64], at_ocsp[64];
	size_t errors = sink->n_errors;
	int owner;

	memset(c, 0, sizeof(*c));
	snprintf(at_cert, sizeof(at_cert), "%scert", prefix);
	snprintf(at_key, sizeof(at_key), "%skey", prefix);
	snprintf(at_ocsp, sizeof(at_ocsp), "%socsp", prefix);
	if (!take_files(c, conf, at_cert, at_key, sink)) {
		if (c->leaf != NULL)
			check_dates(c, conf->cert, at_cert, sink);
		return false;
	}
	check_dates(c, conf->cert, at_cert, sink);
	owner = owner_of(c);
	ERR_clear_error();
	if (owner == 0)
		tls_sink_error(sink, at_key, "%.*s: does not belong to the certificate in %.*s",
		    STR_ARG(conf->key), STR_ARG(conf->cert));
	else if (owner > 1)
		tls_sink_error(sink, at_cert, "%.*s: the key belongs to certificate %d in it, which "
		    "has to come first, then its issuer, then the issuer's", STR_ARG(conf->cert), owner);
	else
		check_chain(c, conf->cert, at_cert, sink);
	if (owner == 1 && lacks_issuer(c))
		tls_sink_warn(sink, at_cert, "%.*s: its issuer is not in it, without which many clients "
		    "do not believe it: append it, or name fullchain.pem", STR_ARG(conf->cert));
	if (conf->ocsp.len > 0)
		load_ocsp(c, conf->ocsp, at_ocsp, sink);
	return sink->n_errors == errors;
}

void
certificate_free(struct certificate *c)
{
	size_t i;

	X509_free(c->leaf);
	sk_X509_pop_free(c->issuers, X509_free);
	EVP_PKEY_free(c->key);
	for (i = 0; i < c->n_names; i++)
		free(c->names[i]);
	free(c->names);
	OPENSSL_free(c->ocsp);
	memset(c, 0, sizeof(*c));
}
