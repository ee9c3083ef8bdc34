/* SPDX-License-Identifier: MIT */
/*
 * Addresses as text and as sockaddr: of listeners, servers, clients; networks in prefix notation.
 * Knows no name service: a host name stays a name.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/str.h"

struct arena;

/* Big enough for any address we speak to; smaller than sockaddr_storage for the common ones. */
union sockaddr_any {
	struct sockaddr     sa;
	struct sockaddr_in  in;
	struct sockaddr_in6 in6;
	struct sockaddr_un  un;
};

struct socket_address {
	union sockaddr_any sa;
	socklen_t          len;		/* 0: none */
};

struct address {
	struct str text;		/* canonical: "127.0.0.1:80", "[::1]:80", "unix:/p", "name:80" */
	struct str host;		/* without brackets; the path for unix */
	uint16_t   port;		/* of a service 0 */
	bool       is_name;		/* host is to be resolved; sa not valid */
	bool       is_service;		/* "srv:_http._tcp.name": ports too are to be looked up */
	bool       is_unix;
	socklen_t  len;			/* of sa */
	union sockaddr_any sa;
};

/*
 * Parses "1.2.3.4:80", "[::1]:80", "unix:/path", "name:80"; with default_host not NULL also a bare
 * port "80" (for listeners).  Texts are allocated from the arena.  False when it is none of these;
 * *why then says what would be right.
 */
bool address_parse(struct arena *, struct str text, const char *default_host, struct address *out,
    const char **why);
/*
 * The same for a server, before which http:// or https:// may stand; they have a port of their own
 * when none is given.  With https *is_tls is set and the text keeps it: "https://name:443".  "srv:NAME"
 * is a service.
 */
bool address_parse_server(struct arena *, struct str text, struct address *out, bool *is_tls,
    const char **why);
/* Letters, digits, "-", "_" and dots, at most 253 bytes, neither "-" nor "." first. */
bool address_is_host_name(struct str);
/* "1.2.3.4" / "::1" / "unix": the host part only, at most 46 bytes with terminator; returns length.
 * An IPv4-mapped IPv6 address is written as IPv4. */
size_t address_format_host(const struct sockaddr *, char *buf, size_t size);
/* "1.2.3.4:80" / "[::1]:80" / "unix:/p". */
size_t address_format(const struct sockaddr *, char *buf, size_t size);
uint16_t address_port(const struct sockaddr *);

/* An IP address as 16 bytes; IPv4 is mapped (::ffff:a.b.c.d), so one comparison serves both. */
struct ip {
	uint8_t bytes[16];
	bool    is_v4;
	bool    is_set;			/* false for a unix peer */
};
bool ip_parse(struct str, struct ip *out);		/* literal, no port, no brackets, no zone */
void ip_of_sockaddr(const struct sockaddr *, struct ip *out);
size_t ip_format(const struct ip *, char *buf, size_t size);	/* "" when not set */
/* Clears all but the first bits (counted in its own family). */
struct ip ip_mask(const struct ip *, unsigned bits);

struct network {
	struct ip ip;
	unsigned  bits;			/* of 128 */
};
/* "10.0.0.0/8", "::1", "1.2.3.4"; host bits set are refused with *why. */
bool network_parse(struct str, struct network *out, const char **why);
bool network_has(const struct network *, const struct ip *);

#endif
