/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes the words of the PROXY protocol.
 *
 * Strict: whoever may send one is a balancer, and what is not exactly one is a mistake or an attack.
 * Knows neither a connection nor whom to believe.
 */
#include "net/proxy_header.h"

#include <string.h>

enum {
	V1_MAX = 107,			/* a line with its CRLF */
	V2_HEAD = 16,
	V2_INET = 12, V2_INET6 = 36, V2_UNIX = 216,
	TLV_HEAD = 3,
	TLV_CRC32C = 0x03, CRC32C_LEN = 4
};

static const struct str v1_begin = { "PROXY ", 6 };
static const struct str v2_begin = { "\r\n\r\n\0\r\nQUIT\n", 12 };

static enum proxy_header_verdict
bad(struct proxy_header *out, const char *why)
{
	out->why = why;
	return PROXY_HEADER_BAD;
}

/* Both have the bytes that both have. */
static bool
may_become(struct str in, struct str whole)
{
	size_t n = in.len < whole.len ? in.len : whole.len;

	return memcmp(in.p, whole.p, n) == 0;
}

/* --- version 1: a line ------------------------------------------------------------------------- */

/* The word up to the next space; the rest begins behind that. */
static struct str
take_word(struct str *rest)
{
	ptrdiff_t space = str_find(*rest, ' ');
	struct str word = space >= 0 ? str_first(*rest, (size_t)space) : *rest;

	*rest = space >= 0 ? str_from(*rest, (size_t)space + 1) : STR_NONE;
	return word;
}

static bool
take_ip(struct str *rest, bool is_v4, struct ip *ip)
{
	struct str word = take_word(rest);

	return (str_find(word, ':') < 0) == is_v4 && ip_parse(word, ip);
}

static bool
take_port(struct str *rest, uint16_t *port)
{
	struct str word = take_word(rest);
	uint64_t n;

	if (!str_to_uint(word, 65535, &n) || (word.len > 1 && word.p[0] == '0'))
		return false;
	*port = (uint16_t)n;
	return true;
}

static enum proxy_header_verdict
parse_v1(struct str in, struct proxy_header *out)
{
	ptrdiff_t end = str_find(str_first(in, in.len < V1_MAX ? in.len : V1_MAX), '\n');
	struct str line, family;
	bool is_v4;

	if (end < 0)
		return in.len < V1_MAX ? PROXY_HEADER_MORE : bad(out, "its line has no end");
	out->len = (size_t)end + 1;
	if (in.p[end - 1] != '\r')
		return bad(out, "its line does not end in CR LF");
	line = str_from(str_first(in, (size_t)end - 1), v1_begin.len);
	family = take_word(&line);
	if (str_eq(family, STR("UNKNOWN")))
		return PROXY_HEADER_DONE;
	is_v4 = str_eq(family, STR("TCP4"));
	if (!is_v4 && !str_eq(family, STR("TCP6")))
		return bad(out, "neither TCP4, TCP6 nor UNKNOWN");
	if (!take_ip(&line, is_v4, &out->source) || !take_ip(&line, is_v4, &out->dest))
		return bad(out, "an address of it is none");
	if (!take_port(&line, &out->source_port) || !take_port(&line, &out->dest_port) || line.p != NULL)
		return bad(out, "a port of it is none");
	out->is_set = true;
	return PROXY_HEADER_DONE;
}

/* --- version 2: binary ------------------------------------------------------------------------- */

static unsigned
number_at(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (unsigned)u[0] << 8 | u[1];
}

static void
take_v4(const char *p, struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	ip->bytes[10] = ip->bytes[11] = 0xff;
	memcpy(ip->bytes + 12, p, 4);
	ip->is_v4 = ip->is_set = true;
}

static void
take_v6(const char *p, struct ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(ip, 0, sizeof(*ip));
	memcpy(ip->bytes, p, 16);
	ip->is_v4 = memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
	ip->is_set = true;
}

/* CRC-32C (RFC 3720, 12.1) with zeros for the bytes at hole, a bit at a time: they are short. */
static uint32_t
crc32c(struct str s, const char *hole)
{
	uint32_t crc = 0xffffffff;
	const char *p;
	int bit;

	for (p = s.p; p < s.p + s.len; p++) {
		if (p < hole || p >= hole + CRC32C_LEN)
			crc ^= (unsigned char)*p;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool
is_sum_right(struct str header, struct str tlv)
{
	const char *value = tlv.p + TLV_HEAD;

	return tlv.len == TLV_HEAD + CRC32C_LEN && crc32c(header, value) ==
	    ((uint32_t)number_at(value) << 16 | number_at(value + 2));
}

/* What they say is nobody's here but for a checksum; they have to fill their room exactly.  NULL or what
 * is wrong. */
static const char *
check_tlvs(struct str header, struct str s)
{
	bool has_sum = false;
	struct str tlv;

	while (s.len >= TLV_HEAD && s.len - TLV_HEAD >= number_at(s.p + 1)) {
		tlv = str_first(s, TLV_HEAD + number_at(s.p + 1));
		/* One is enough: each costs a look at the whole header. */
		if (tlv.p[0] == TLV_CRC32C && (has_sum || !is_sum_right(header, tlv)))
			return "its checksum is wrong";
		has_sum |= tlv.p[0] == TLV_CRC32C;
		s = str_from(s, tlv.len);
	}
	return s.len == 0 ? NULL : "its length and that of its parts differ";
}

/* How long addresses of that kind are; 0: not a kind that a stream has. */
static size_t
address_size(unsigned char family)
{
	switch (family) {
	case 0x11:
		return V2_INET;
	case 0x21:
		return V2_INET6;
	case 0x31:
		return V2_UNIX;
	default:
		return 0;
	}
}

static enum proxy_header_verdict
take_addresses(struct str header, unsigned char family, struct proxy_header *out)
{
	struct str body = str_from(header, V2_HEAD);
	size_t size = address_size(family);
	const char *wrong;

	if (size == 0)
		return bad(out, "not of a family that streams have");
	if (body.len < size)
		return bad(out, "its length is less than its addresses take");
	wrong = check_tlvs(header, str_from(body, size));
	if (wrong != NULL)
		return bad(out, wrong);
	if (size == V2_INET) {
		take_v4(body.p, &out->source);
		take_v4(body.p + 4, &out->dest);
	} else if (size == V2_INET6) {
		take_v6(body.p, &out->source);
		take_v6(body.p + 16, &out->dest);
	} else
		return PROXY_HEADER_DONE;
	out->source_port = (uint16_t)number_at(body.p + size - 4);
	out->dest_port = (uint16_t)number_at(body.p + size - 2);
	out->is_set = true;
	return PROXY_HEADER_DONE;
}

static enum proxy_header_verdict
parse_v2(struct str in, struct proxy_header *out)
{
	unsigned char command, family;

	if (in.len < V2_HEAD)
		return PROXY_HEADER_MORE;
	command = (unsigned char)in.p[12];
	family = (unsigned char)in.p[13];
	out->len = V2_HEAD + number_at(in.p + 14);
	if (command != 0x20 && command != 0x21)
		return bad(out, "not of version 2, or neither LOCAL nor PROXY");
	if (out->len > PROXY_HEADER_MAX)
		return bad(out, "longer than 16 KB");
	if (in.len < out->len)
		return PROXY_HEADER_MORE;
	/* LOCAL: the balancer itself asks; UNSPEC: it does not know. */
	if (command == 0x20 || family == 0x00)
		return PROXY_HEADER_DONE;
	return take_addresses(str_first(in, out->len), family, out);
}

enum proxy_header_verdict
proxy_header_parse(struct str in, struct proxy_header *out)
{
	memset(out, 0, sizeof(*out));
	if (in.len == 0)
		return PROXY_HEADER_MORE;
	if (may_become(in, v2_begin))
		return in.len < v2_begin.len ? PROXY_HEADER_MORE : parse_v2(in, out);
	if (may_become(in, v1_begin))
		return in.len < v1_begin.len ? PROXY_HEADER_MORE : parse_v1(in, out);
	return bad(out, "it does not begin like one");
}

/* --- writing ----------------------------------------------------------------------------------- */

static char *
put_number(char *p, unsigned n)
{
	*p++ = (char)(n >> 8);
	*p++ = (char)n;
	return p;
}

static char *
put_ip(char *p, const struct ip *ip, bool as_v4)
{
	size_t n = as_v4 ? 4 : 16;

	if (ip->is_set)
		memcpy(p, ip->bytes + 16 - n, n);
	else
		memset(p, 0, n);
	return p + n;
}

size_t
proxy_header_write(char *buf, const struct ip *source, uint16_t source_port, const struct ip *dest,
    uint16_t dest_port)
{
	bool as_v4 = source->is_v4 && (!dest->is_set || dest->is_v4);
	char *p = buf + v2_begin.len;

	memcpy(buf, v2_begin.p, v2_begin.len);
	*p++ = source->is_set ? 0x21 : 0x20;
	*p++ = !source->is_set ? 0x00 : as_v4 ? 0x11 : 0x21;
	p = put_number(p, !source->is_set ? 0 : as_v4 ? V2_INET : V2_INET6);
	if (!source->is_set)
		return (size_t)(p - buf);
	p = put_ip(p, source, as_v4);
	p = put_ip(p, dest, as_v4);
	p = put_number(p, source_port);
	p = put_number(p, dest_port);
	return (size_t)(p - buf);
}
