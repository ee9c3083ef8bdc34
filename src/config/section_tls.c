/* SPDX-License-Identifier: MIT */
/* tls of listeners and of upstreams: certificates, whom to believe. */
#include "config/section.h"

#include <string.h>

#include "base/arena.h"
#include "config/file_note.h"
#include "config/type.h"

#define PAIR(member)	offsetof(struct tls_pair_conf, member)
static const struct row pair_rows[] = {
	{ "cert", &type_file, PAIR(cert), .required = true, .example = "/etc/weir/cert.pem",
	  .help = "name a PEM file: the own certificate, then its issuer, then the issuer's" },
	{ "key", &type_file, PAIR(key), .required = true, .example = "/etc/weir/key.pem",
	  .help = "name a PEM file: its private key, without passphrase" },
	{ "ocsp", &type_file, PAIR(ocsp), .optional = true, .example = "/etc/weir/ocsp.der",
	  .help = "a DER file: an OCSP response to staple" },
	{ .key = NULL },
};
static const struct row pair_element = { "", &type_map, 0, .rows = pair_rows, .help = "" };

/* What is wrong with a file, at the key that names it. */
struct tls_place {
	struct reading    *reading;
	const struct node *node;
};

static void
on_finding(void *arg, const char *where, bool is_warning, const char *text)
{
	struct tls_place *place = arg;
	struct reading *r = place->reading;
	const struct node *at = node_at(place->node, where);
	size_t was = path_push_key(r, str_of(where));

	if (is_warning)
		warn(r, at, "%s", text);
	else
		complain(r, at, "%s", text);
	path_pop(r, was);
}

/* Who is asked for and checked; it goes into a field of 255 bytes. */
static bool
parse_server_name(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct node whole = *n;
	struct address unused;
	const char *why;

	if (!type_want_scalar(r, n, "a host name"))
		return false;
	whole.text = arena_printf(r->scratch, str_find(n->text, ':') >= 0 ? "[%.*s]:1" : "%.*s:1",
	    STR_ARG(n->text));
	if (!address_parse(r->scratch, whole.text, NULL, &unused, &why) || unused.is_unix)
		return complain(r, n, "\"%.*s\" is no host name or address", STR_ARG(n->text));
	return type_parse_text(r, row, n, base);
}

static const struct type type_server_name = { .parse = parse_server_name, .print = type_print_text };

/* A certificate of our own: nothing is printed where there is none. */
static void
print_own_certificate(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct tls_pair_conf *)AT_CONST(base, row))->cert.len > 0)
		type_print_section(out, indent, row, base);
}

static const struct type type_own_certificate = { .parse = type_parse_section,
	.print = print_own_certificate };

static const struct row own_certificate_rows[] = {
	{ "cert", &type_file, PAIR(cert), .required = true, .example = "/etc/weir/client.pem",
	  .help = "name a PEM file: our own certificate, then its issuer, then the issuer's" },
	{ "key", &type_file, PAIR(key), .required = true, .example = "/etc/weir/client.key",
	  .help = "name a PEM file: its private key, without passphrase" },
	{ .key = NULL },
};

#define TLS_CLIENT(member)	offsetof(struct tls_client_conf, member)
const struct row tls_client_rows[] = {
	{ "verify", &type_bool, TLS_CLIENT(verify), "true",
	  .help = "a server must have a certificate that we trust, for its name" },
	{ "ca", &type_file, TLS_CLIENT(ca), .optional = true, .example = "/etc/weir/ca.pem",
	  .help = "a PEM file: whose certificates are trusted; the system's authorities without" },
	{ "server_name", &type_server_name, TLS_CLIENT(server_name), .optional = true,
	  .example = "models.example.org",
	  .help = "what the servers are called; the host in the address without" },
	{ "certificate", &type_own_certificate, TLS_CLIENT(certificate), .rows = own_certificate_rows,
	  .optional = true, .help = "shown to servers that ask who we are" },
	{ .key = NULL },
};

static bool
parse_tls_client(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct tls_client_conf *tls = AT(base, row);
	struct tls_place place = { r, n };
	size_t errors = r->n_errors;
	const struct node *at;

	if (!schema_fill(r, row->rows, n, tls))
		return false;
	at = node_find(n, "ca");
	if (at != NULL && !tls->verify)
		complain_key(r, at, STR("ca"), "has no effect with verify: false");
	else if (r->checks->check_tls_client != NULL && n->n > 0)
		r->checks->check_tls_client(tls, on_finding, &place);
	return r->n_errors == errors;
}

void
section_tls_check_default(struct reading *r, const struct node *n, const struct tls_client_conf *tls)
{
	struct tls_place place = { r, n };
	size_t was = path_push_key(r, STR("tls"));

	if (r->checks->check_tls_client != NULL)
		r->checks->check_tls_client(tls, on_finding, &place);
	path_pop(r, was);
}

static void
print_tls_client(FILE *out, int indent, const struct row *row, const void *base)
{
	if (((const struct upstream_conf *)base)->has_tls)
		type_print_section(out, indent, row, base);
}

const struct type type_tls_client = { .parse = parse_tls_client, .print = print_tls_client };

static const struct word version_words[] = { { "1.2", TLS_VERSION_1_2 }, { "1.3", TLS_VERSION_1_3 },
	{ NULL, 0 } };
static const struct word verify_client_words[] = { { "required", TLS_CLIENT_REQUIRED },
	{ "optional", TLS_CLIENT_OPTIONAL }, { NULL, 0 } };

/* Mozilla's intermediate profile, version 5.7, without its DHE ciphers: they cost a server ten times
 * what they cost who asks for them. */
#define CIPHERS										\
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"			\
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"			\
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERSUITES	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#define SERVER(member)	offsetof(struct tls_server_conf, member)
const struct row tls_server_rows[] = {
	{ "certificates", &type_list, SERVER(certificates), NULL, 1, 1000, .required = true,
	  .element = &pair_element, .size = sizeof(struct tls_pair_conf),
	  .help = "give some, chosen by the name a client asks for: exact, then *.x, else the first" },
	{ "min_version", &type_enum, SERVER(min_version), "1.2", .words = version_words,
	  .help = "of TLS" },
	{ "ciphers", &type_plain, SERVER(ciphers), CIPHERS, .help = "of TLS 1.2, best first" },
	{ "ciphersuites", &type_plain, SERVER(ciphersuites), CIPHERSUITES,
	  .help = "of TLS 1.3, best first" },
	{ "groups", &type_plain, SERVER(groups), "X25519:P-256:P-384", .help = "for the key exchange" },
	{ "client_ca", &type_file, SERVER(client_ca), .optional = true,
	  .example = "/etc/weir/clients.pem",
	  .help = "a PEM file: clients show a certificate that one of these issued" },
	{ "verify_client", &type_enum, SERVER(verify_client), "required",
	  .words = verify_client_words,
	  .help = "optional: a client may come without certificate, but not with a bad one" },
	{ "subject_field", &type_field_name, SERVER(subject_field), "X-Client-Subject",
	  .help = "the request field that gets the subject of a client's certificate; it is never "
	  "taken from a client" },
	{ .key = NULL },
};

static bool
parse_tls_server(struct reading *r, const struct row *row, const struct node *n, void *base)
{
	struct tls_server_conf *tls = arena_zalloc(r->arena, sizeof(*tls));
	struct tls_place place = { r, n };
	size_t errors = r->n_errors;
	const struct node *at;

	if (!schema_fill(r, row->rows, n, tls))
		return false;
	*(struct tls_server_conf **)AT(base, row) = tls;
	at = node_find(n, "verify_client");
	if (at != NULL && tls->client_ca.len == 0)
		complain_key(r, at, STR("verify_client"), "has no effect without client_ca");
	if (r->checks->check_tls_server != NULL)
		r->checks->check_tls_server(tls, on_finding, &place);
	return r->n_errors == errors;
}

static void
print_tls_server(FILE *out, int indent, const struct row *row, const void *base)
{
	const struct tls_server_conf *tls = *(struct tls_server_conf *const *)AT_CONST(base, row);

	if (tls == NULL)
		return;
	schema_print_head(out, indent, row);
	for (row = row->rows; row->key != NULL; row++)
		if (strcmp(row->key, "verify_client") != 0 || tls->client_ca.len > 0)
			row->type->print(out, indent + 2, row, tls);
}

const struct type type_tls_server = { .parse = parse_tls_server, .print = print_tls_server };
