/* SPDX-License-Identifier: MIT */
/* Addresses and networks, text and back.  Resolves nothing. */
#include "base/address.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"

enum { IP_TEXT = INET6_ADDRSTRLEN + 1 };

/* A copy with terminator for inet_pton; false when it cannot be an address. */
static bool
terminated(struct str s, char buf[IP_TEXT])
{
	if (s.len == 0 || s.len >= IP_TEXT)
		return false;
	memcpy(buf, s.p, s.len);
	buf[s.len] = '\0';
	return memchr(buf, '\0', s.len) == NULL;
}

bool
ip_parse(struct str s, struct ip *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[IP_TEXT];

	memset(out, 0, sizeof(*out));
	if (!terminated(s, text))
		return false;
	if (inet_pton(AF_INET, text, out->bytes + 12) == 1) {
		out->bytes[10] = out->bytes[11] = 0xff;
		out->is_v4 = true;
	} else if (inet_pton(AF_INET6, text, out->bytes) != 1)
		return false;
	else
		out->is_v4 = memcmp(out->bytes, mapped, sizeof(mapped)) == 0;
	out->is_set = true;
	return true;
}

void
ip_of_sockaddr(const struct sockaddr *sa, struct ip *out)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		memcpy(out->bytes + 12, &in->sin_addr, 4);
		out->bytes[10] = out->bytes[11] = 0xff;
		out->is_v4 = out->is_set = true;
	} else if (sa->sa_family == AF_INET6) {
		memcpy(out->bytes, &in6->sin6_addr, 16);
		out->is_v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		out->is_set = true;
	}
}

size_t
ip_format(const struct ip *ip, char *buf, size_t size)
{
	buf[0] = '\0';
	if (!ip->is_set)
		return 0;
	if (ip->is_v4)
		inet_ntop(AF_INET, ip->bytes + 12, buf, (socklen_t)size);
	else
		inet_ntop(AF_INET6, ip->bytes, buf, (socklen_t)size);
	return strlen(buf);
}

static void
clear_from(uint8_t bytes[16], unsigned bit)
{
	unsigned i;

	for (i = bit; i < 128; i++)
		bytes[i / 8] &= (uint8_t)~(0x80 >> i % 8);
}

struct ip
ip_mask(const struct ip *ip, unsigned bits)
{
	struct ip out = *ip;

	clear_from(out.bytes, ip->is_v4 ? 96 + (bits < 32 ? bits : 32) : (bits < 128 ? bits : 128));
	return out;
}

bool
network_parse(struct str s, struct network *out, const char **why)
{
	ptrdiff_t slash = str_find(s, '/');
	uint64_t bits;
	struct ip masked;
	unsigned own;

	*why = "give an address or a network such as 10.0.0.0/8 or fd00::/8";
	if (!ip_parse(slash >= 0 ? str_first(s, (size_t)slash) : s, &out->ip))
		return false;
	own = out->ip.is_v4 ? 32 : 128;
	bits = own;
	if (slash >= 0 && !str_to_uint(str_from(s, (size_t)slash + 1), own, &bits)) {
		*why = out->ip.is_v4 ? "the prefix length of IPv4 is 0 to 32"
		    : "the prefix length of IPv6 is 0 to 128";
		return false;
	}
	masked = ip_mask(&out->ip, (unsigned)bits);
	if (memcmp(masked.bytes, out->ip.bytes, 16) != 0) {
		*why = "bits behind the prefix are set: write the network's first address";
		return false;
	}
	out->bits = (unsigned)bits + 128 - own;
	return true;
}

bool
network_has(const struct network *net, const struct ip *ip)
{
	uint8_t bytes[16];

	if (!ip->is_set || ip->is_v4 != net->ip.is_v4)
		return false;
	memcpy(bytes, ip->bytes, 16);
	clear_from(bytes, net->bits);
	return memcmp(bytes, net->ip.bytes, 16) == 0;
}

/* --- socket addresses ------------------------------------------------------------------------ */

static bool
set_unix(struct arena *arena, struct str path, struct address *out, const char **why)
{
	if (path.len == 0 || path.p[0] != '/') {
		*why = "give an absolute path: unix:/run/name.sock";
		return false;
	}
	if (path.len >= sizeof(out->sa.un.sun_path)) {
		*why = "the path of a unix socket has at most 107 bytes";
		return false;
	}
	out->is_unix = true;
	out->host = arena_dup(arena, path);
	out->text = arena_printf(arena, "unix:%.*s", STR_ARG(path));
	out->sa.un.sun_family = AF_UNIX;
	memcpy(out->sa.un.sun_path, path.p, path.len);
	out->len = sizeof(out->sa.un);
	return true;
}

bool
address_is_host_name(struct str s)
{
	size_t i;

	if (s.len == 0 || s.len > 253 || s.p[0] == '-' || s.p[0] == '.')
		return false;
	for (i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_') || (c == '.' && s.p[i - 1] == '.'))
			return false;
	}
	return true;
}

/* Four groups of digits that are no address are a slip, not a name. */
static bool
looks_like_ipv4(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return true;
}

static bool
set_ip(struct arena *arena, const struct ip *ip, bool bracketed, struct address *out, const char **why)
{
	char text[IP_TEXT];

	inet_ntop(bracketed ? AF_INET6 : AF_INET, bracketed ? ip->bytes : ip->bytes + 12, text,
	    sizeof(text));
	out->host = arena_dup(arena, str_of(text));
	if (bracketed) {
		out->sa.in6.sin6_family = AF_INET6;
		out->sa.in6.sin6_port = htons(out->port);
		memcpy(&out->sa.in6.sin6_addr, ip->bytes, 16);
		out->len = sizeof(out->sa.in6);
		out->text = arena_printf(arena, "[%s]:%u", text, out->port);
		return true;
	}
	if (!ip->is_v4) {
		*why = "write an IPv6 address in brackets: [::1]:80";
		return false;
	}
	out->sa.in.sin_family = AF_INET;
	out->sa.in.sin_port = htons(out->port);
	memcpy(&out->sa.in.sin_addr, ip->bytes + 12, 4);
	out->len = sizeof(out->sa.in);
	out->text = arena_printf(arena, "%s:%u", text, out->port);
	return true;
}

bool
address_parse(struct arena *arena, struct str s, const char *default_host, struct address *out,
    const char **why)
{
	struct str host = str_of(default_host), port = s;
	bool bracketed = false;
	uint64_t number;
	struct ip ip;
	size_t i;

	memset(out, 0, sizeof(*out));
	*why = default_host != NULL
	    ? "give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path"
	    : "give ADDRESS:PORT, [IPV6]:PORT, NAME:PORT, srv:NAME or unix:/path";
	if (str_starts(s, STR("unix:")))
		return set_unix(arena, str_from(s, 5), out, why);
	if (str_starts(s, STR("http://")) || str_starts(s, STR("https://"))) {
		*why = "write the address alone, without http:// before it";
		return false;
	}
	for (i = s.len; i > 0 && s.p[i - 1] != ':'; i--)
		;
	if (i > 0) {
		host = str_first(s, i - 1);
		port = str_from(s, i);
	}
	if (host.len == 0 || str_ends(s, STR("]")))
		return false;
	if (!str_to_uint(port, 65535, &number) || number == 0) {
		if (i > 0 || str_to_uint(port, UINT64_MAX, &number))
			*why = "a port is a number from 1 to 65535";
		return false;
	}
	out->port = (uint16_t)number;
	if (host.p[0] == '[' && host.p[host.len - 1] == ']') {
		bracketed = true;
		host = str_make(host.p + 1, host.len - 2);
	}
	if (ip_parse(host, &ip)) {
		if (bracketed && str_find(host, ':') < 0)
			return false;
		return set_ip(arena, &ip, bracketed, out, why);
	}
	if (bracketed || !address_is_host_name(host) || looks_like_ipv4(host))
		return false;
	out->is_name = true;
	out->host = arena_dup(arena, host);
	out->text = arena_printf(arena, "%.*s:%u", STR_ARG(host), out->port);
	return true;
}

/* "name", "1.2.3.4" or "[::1]": without a port. */
static bool
lacks_port(struct str s)
{
	size_t i;

	for (i = s.len; i > 0 && s.p[i - 1] != ']'; i--)
		if (s.p[i - 1] == ':')
			return false;
	return s.len > 0;
}

/* What offers the service: who its servers have to be over TLS. */
static bool
has_domain(struct str service)
{
	while (service.len > 0 && service.p[0] == '_' && str_find(service, '.') >= 0)
		service = str_from(service, (size_t)str_find(service, '.') + 1);
	return service.len > 0;
}

/* RFC 2782: "_service._protocol.domain". */
static bool
set_service(struct arena *arena, struct str name, struct address *out, const char **why)
{
	memset(out, 0, sizeof(*out));
	*why = "give a service as srv:_http._tcp.NAME, without a port";
	if (!address_is_host_name(name) || name.p[0] != '_' || str_find(name, '.') < 0 ||
	    !has_domain(name))
		return false;
	out->is_name = out->is_service = true;
	out->host = arena_dup(arena, name);
	out->text = arena_printf(arena, "srv:%.*s", STR_ARG(name));
	return true;
}

bool
address_parse_server(struct arena *arena, struct str s, struct address *out, bool *is_tls,
    const char **why)
{
	bool is_http = str_starts(s, STR("http://")), is_service;

	*is_tls = str_starts(s, STR("https://"));
	if (is_http || *is_tls) {
		s = str_from(s, is_http ? 7 : 8);
		if (str_find(s, '/') >= 0) {
			*why = "a server is a host and a port, without a path";
			return false;
		}
	}
	is_service = str_starts(s, STR("srv:"));
	if ((is_http || *is_tls) && !is_service && lacks_port(s))
		s = arena_printf(arena, "%.*s:%s", STR_ARG(s), is_http ? "80" : "443");
	if (is_service ? !set_service(arena, str_from(s, 4), out, why)
	    : !address_parse(arena, s, NULL, out, why))
		return false;
	if (*is_tls)
		out->text = arena_printf(arena, "https://%.*s", STR_ARG(out->text));
	return true;
}

size_t
address_format_host(const struct sockaddr *sa, char *buf, size_t size)
{
	struct ip ip;

	ip_of_sockaddr(sa, &ip);
	if (ip.is_set)
		return ip_format(&ip, buf, size);
	return (size_t)snprintf(buf, size, "unix");
}

uint16_t
address_port(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
	if (sa->sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
	return 0;
}

size_t
address_format(const struct sockaddr *sa, char *buf, size_t size)
{
	char host[IP_TEXT];
	int n;

	if (sa->sa_family == AF_UNIX)
		n = snprintf(buf, size, "unix:%s", ((const struct sockaddr_un *)(const void *)sa)->sun_path);
	else {
		address_format_host(sa, host, sizeof(host));
		n = snprintf(buf, size, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
		    address_port(sa));
	}
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}
