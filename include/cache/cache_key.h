/* SPDX-License-Identifier: MIT */
/*
 * THE rules of the key: two requests share a stored answer only when everything below is the same.
 * A wrong hit is the worst this program can do, so what is not named here must not change an
 * answer unless the server says so by Vary.
 *
 * A key is a SHA-256 over parts, each with a tag and its length before it:
 *
 *  1. The method class: GET (HEAD looks up what GET stored) or POST.
 *  2. The route's cache_identity: the upstream's name, the path it matches, and its rules for the
 *     request (request_headers as written, and whatever key a route gains later).
 *  3. What those rules put in: the value of each variable in a request_headers rule, for this
 *     request, so that "set: {X-Tenant: $http_x_tenant}" parts tenants.  Left out: $request_id,
 *     $server and $status, which name this one request; and rules for X-Real-IP, X-Forwarded-For,
 *     -Proto, -Host, -Port, X-Request-Id, Forwarded and Via, which weir sends of every client: an
 *     answer that depends on them says so by Vary (13).
 *  4. The outside scheme: that of the client's connection and, from a trusted proxy,
 *     X-Forwarded-Proto.  (A redirect to https is not for those who came by https.)
 *  5. The host: as sent, in lower case, without the scheme's default port; from a trusted proxy
 *     X-Forwarded-Host, X-Forwarded-Port and Forwarded without its for= and by=; from anybody the
 *     other X-Forwarded-* and their like (X-Host, X-Scheme, ...), which weir passes on.  An
 *     untrusted client's X-Forwarded-Host goes no further, so it does not count.
 *  6. The target: path and query byte for byte.  No decoding, no sorting: /a and /%61 are two.
 *  7. The fields of key_headers:, present or not, each line.
 *
 * and of POST also
 *
 *  8. Every Content-* field but Content-Length: how the body is to be read.
 *  9. Accept; for JSON bodies absent, any type and application/json are one.  And fields whose
 *     name begins with "openai-" or "anthropic-": which API is meant.
 * 10. Who asks, unless share_across_clients: Authorization, Cookie, the subject of a client's
 *     certificate, the field that the upstream's balancer hashes by, and every field that looks like a credential or an identity (its name
 *     holds auth, account, cookie, credential, key, organization, password, project, secret,
 *     session, tenant, token or user; User-Agent is not meant).  A server does not expect its
 *     POST answers to be stored and says no Vary: what it would have to say is taken for granted.
 * 11. The rules themselves: share_across_clients and ignore_fields.
 * 12. The body: for application/json and +json (not compressed, in UTF-8) its canonical text
 *     (cache_json.h) without ignore_fields; for the rest its bytes.  JSON that has no canonical
 *     text has no key: it passes uncached.
 *
 * Not in a key, but also the same:
 *
 * 13. Vary: the variant, a second SHA-256 over the request fields the answer's Vary names.  An
 *     answer with Content-Encoding counts as one with Vary: Accept-Encoding, said or not.  What
 *     weir itself writes to the server (3) is taken as the server sees it; what it makes anew
 *     for each request (X-Request-Id, rules with $request_id) makes an answer nobody else's.
 * 14. Authorization of GET: RFC 9111 3.5, by cache_policy, and a certificate's subject counts as
 *     one.  Cookie of GET: as in every other shared
 *     cache it does not count unless Vary or key_headers name it; answers with Set-Cookie are not
 *     stored.
 *
 * Requests that would reach the server other than as they look have no key, cache_policy_lookup
 * refuses them: Connection names end-to-end fields, X-HTTP-Method-Override, X-Original-URL and
 * their like, a GET with a body.
 *
 * The rules are in the digest, so a reload that changes them strands the old entries, never mixes.
 */
#ifndef CACHE_CACHE_KEY_H
#define CACHE_CACHE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/cache_policy.h"
#include "config/config.h"
#include "http/message.h"

struct arena;

struct cache_key {
	uint8_t  digest[32];		/* compared in full */
	uint64_t uri;			/* cache_key_uri: what PUT and DELETE undo */
};

struct cache_variant {
	uint8_t digest[32];		/* compared in full */
};

/* What is known of a request beside itself (compare struct forward_facts). */
struct cache_key_facts {
	const struct route_conf *route;	/* with its cache */
	const struct message    *request;	/* as the client sent it */
	struct str scheme;		/* "http" | "https": of the client's connection */
	struct str client_ip, peer_ip;
	bool       peer_is_trusted;
	uint16_t   local_port;
	/*
	 * The value of a template for this request (template_expand); never asked for $request_id,
	 * $server, $status.  The text must live until the call that asked returns.
	 */
	struct str (*expand)(void *arg, const struct template *);
	void       *arg;
};

/* Once, before the first key and after the last one: OpenSSL is asked for its SHA-256 once. */
void cache_key_init(void);
void cache_key_fini(void);

/*
 * The key of a request whose plan may be served or stored.  body: the whole body of a POST in one
 * piece, else STR_NONE.  CACHE_WHY_NONE, or why it has none: pass it uncached.
 */
enum cache_why cache_key_make(const struct cache_key_facts *, struct str body, struct cache_key *);
bool cache_key_eq(const struct cache_key *, const struct cache_key *);
/* For tables; SHA-256 spreads well enough as it is. */
uint64_t cache_key_hash(const struct cache_key *);
/*
 * The number of a host (whatever scheme and port) and an origin-form target.  Two may have the same
 * one: then both are invalidated, which costs a fetch.
 */
uint64_t cache_key_uri(struct str authority, struct str target);

/*
 * The names an answer varies by: lower case, sorted, each once, with commas, in the arena; empty:
 * by nothing.  Keep it with the entry.  False: by *, or by what cannot be compared, or by too much;
 * then it must not be stored (CACHE_WHY_VARY).
 */
bool cache_key_vary(struct arena *, const struct route_conf *, const struct message *response,
    struct str *vary);
/*
 * The variant of a request for such a list; one fixed digest for the empty list.  A stored answer
 * matches when this, for its own list, gives the digest that was made with the request it came
 * from (RFC 9111 4.1); of several that match take the one with the latest Date.
 */
void cache_key_variant(const struct cache_key_facts *, struct str vary, struct cache_variant *);
bool cache_variant_eq(const struct cache_variant *, const struct cache_variant *);

#endif
