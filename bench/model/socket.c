/* SPDX-License-Identifier: MIT */
/* A WebSocket (RFC 6455) that sends every message back.  Messages of up to 1 MB. */
#include "model.h"

#include <stdio.h>
#include <string.h>

enum {
	MESSAGE_MAX = 1 << 20,
	SOCKET_AHEAD = (1 << 20) + 1024,	/* a whole frame has room in the input */
	OUTPUT_MAX = 4 << 20,			/* of echoes nobody reads */
	SILENCE_MS = 600000,
	CLOSE_PROTOCOL = 1002,
	CLOSE_TOO_BIG = 1009
};
enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* --- the handshake: SHA-1 and base64 ------------------------------------------------------------- */

static uint32_t
rol(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void
sha1_block(uint32_t h[5], const unsigned char *p)
{
	static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f, t;
	int i;

	for (i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (i = 0; i < 80; i++) {
		f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
		    : b ^ c ^ d;
		t = rol(a, 5) + f + e + k[i / 20] + w[i];
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* n <= 119: two blocks are enough for a key. */
static void
sha1_short(const char *text, size_t n, unsigned char out[20])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	unsigned char block[128] = { 0 };
	size_t size = n < 56 ? 64 : 128, i;

	memcpy(block, text, n);
	block[n] = 0x80;
	block[size - 2] = (unsigned char)(n * 8 >> 8);
	block[size - 1] = (unsigned char)(n * 8);
	for (i = 0; i < size; i += 64)
		sha1_block(h, block + i);
	for (i = 0; i < 20; i++)
		out[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

/* 20 bytes are 28 characters. */
static void
base64_20(const unsigned char *p, char out[29])
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char in[21] = { 0 };
	uint32_t v;
	int i;

	memcpy(in, p, 20);
	for (i = 0; i < 21; i += 3, out += 4) {
		v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
		out[0] = set[v >> 18];
		out[1] = set[v >> 12 & 63];
		out[2] = set[v >> 6 & 63];
		out[3] = set[v & 63];
	}
	out[-1] = '=';
	out[0] = '\0';
}

void
socket_open(struct client *c)
{
	const char *key = request_field(&c->req, "Sec-WebSocket-Key");
	const char *version = request_field(&c->req, "Sec-WebSocket-Version");
	struct evbuffer *none;
	unsigned char digest[20];
	char text[64], accept[29];

	if (!request_has(&c->req, "Upgrade", "websocket") ||
	    !request_has(&c->req, "Connection", "upgrade") || c->req.minor < 1 || version == NULL ||
	    strcmp(version, "13") != 0) {
		none = evbuffer_new();
		reply(c, 426, "text/plain", none, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
		evbuffer_free(none);
		return;
	}
	if (key == NULL || strlen(key) != 24) {
		reply_error(c, 400, "Sec-WebSocket-Key: 24 characters please");
		return;
	}
	snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	sha1_short(text, strlen(text), digest);
	base64_20(digest, accept);
	evbuffer_add_printf(bufferevent_get_output(c->bev), "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
	    "X-Instance: %s\r\n\r\n", accept, model.set.name);
	c->state = STATE_SOCKET;
	c->message = evbuffer_new();
	bufferevent_setwatermark(c->bev, EV_READ, 0, SOCKET_AHEAD);
	client_patience(c, SILENCE_MS);
	socket_take(c);
}

/* --- frames -------------------------------------------------------------------------------------- */

struct frame {
	bool          is_last;
	unsigned      opcode;
	size_t        head, size;
	unsigned char mask[4];
};

/* 1: read, 0: more input is needed, else the code to close with. */
static unsigned
read_head(struct evbuffer *in, struct frame *f)
{
	unsigned char p[14];
	ev_ssize_t n = evbuffer_copyout(in, p, sizeof(p));
	uint64_t size;
	size_t i, more;

	if (n < 2)
		return 0;
	f->is_last = (p[0] & 0x80) != 0;
	f->opcode = p[0] & 15;
	size = p[1] & 127;
	if ((p[0] & 0x70) != 0 || (p[1] & 0x80) == 0 || (f->opcode > OP_BINARY && f->opcode < OP_CLOSE) ||
	    f->opcode > OP_PONG || (f->opcode >= OP_CLOSE && (size > 125 || !f->is_last)))
		return CLOSE_PROTOCOL;
	more = size == 126 ? 2 : size == 127 ? 8 : 0;
	f->head = 2 + more + 4;
	if ((size_t)n < f->head)
		return 0;
	if (more > 0)
		for (size = 0, i = 0; i < more; i++)
			size = size << 8 | p[2 + i];
	if (size > MESSAGE_MAX)
		return CLOSE_TOO_BIG;
	f->size = (size_t)size;
	memcpy(f->mask, p + f->head - 4, 4);
	return evbuffer_get_length(in) >= f->head + f->size ? 1 : 0;
}

static void
send_frame(struct client *c, unsigned opcode, struct evbuffer *data)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t n = evbuffer_get_length(data);
	unsigned char head[10] = { (unsigned char)(0x80 | opcode) };
	size_t len = 2, i;

	if (n < 126) {
		head[1] = (unsigned char)n;
	} else {
		len = n < 65536 ? 4 : 10;
		head[1] = n < 65536 ? 126 : 127;
		for (i = len; i > 2; i--)
			head[i - 1] = (unsigned char)(n >> (len - i) * 8);
	}
	evbuffer_add(out, head, len);
	evbuffer_add_buffer(out, data);
}

static void
close_with(struct client *c, unsigned code)
{
	struct evbuffer *data = evbuffer_new();
	unsigned char two[2] = { (unsigned char)(code >> 8), (unsigned char)code };

	evbuffer_add(data, two, sizeof(two));
	send_frame(c, OP_CLOSE, data);
	evbuffer_free(data);
	client_cut(c, DIE_CLOSE);
}

/* A data frame joins the message; a whole message goes back. */
static void
take_data(struct client *c, const struct frame *f, struct evbuffer *data)
{
	if ((f->opcode == OP_MORE) != (c->opcode != 0)) {
		close_with(c, CLOSE_PROTOCOL);
		return;
	}
	if (f->opcode != OP_MORE)
		c->opcode = f->opcode;
	evbuffer_add_buffer(c->message, data);
	if (evbuffer_get_length(c->message) > MESSAGE_MAX) {
		close_with(c, CLOSE_TOO_BIG);
	} else if (f->is_last) {
		send_frame(c, c->opcode, c->message);
		c->opcode = 0;
	}
}

static void
take_frame(struct client *c, const struct frame *f, struct evbuffer *data)
{
	switch (f->opcode) {
	case OP_CLOSE:
		send_frame(c, OP_CLOSE, data);
		client_cut(c, DIE_CLOSE);
		break;
	case OP_PING:
		send_frame(c, OP_PONG, data);
		break;
	case OP_PONG:
		break;
	default:
		take_data(c, f, data);
	}
}

/* The output has drained: reading goes on. */
static void
go_on(struct client *c)
{
	c->pump = NULL;
	bufferevent_enable(c->bev, EV_READ);
	socket_take(c);
}

void
socket_take(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev), *data;
	struct frame f;
	unsigned code;
	unsigned char *p;
	size_t i;

	while (c->state == STATE_SOCKET && c->pump == NULL) {
		code = read_head(in, &f);
		if (code == 0)
			return;
		if (code != 1) {
			close_with(c, code);
			return;
		}
		data = evbuffer_new();
		evbuffer_drain(in, f.head);
		evbuffer_remove_buffer(in, data, f.size);
		p = evbuffer_pullup(data, -1);
		for (i = 0; i < f.size; i++)
			p[i] ^= f.mask[i & 3];
		take_frame(c, &f, data);
		evbuffer_free(data);
		if (c->state == STATE_SOCKET &&
		    evbuffer_get_length(bufferevent_get_output(c->bev)) > OUTPUT_MAX) {
			bufferevent_disable(c->bev, EV_READ);
			c->pump = go_on;
		}
	}
}
