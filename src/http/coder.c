/* SPDX-License-Identifier: MIT */
/*
 * Content codings: a row of functions for each, over zlib and libzstd.
 *
 * What a coding needs for one body is its state.  Making one costs more than coding a short body, so
 * a few that are done with are kept, by level, and begun anew.  Invariant: a state is a coder's or
 * idle, and the coders are bounded: who asks for one more is told no.
 */
#include "http/coder.h"

#include <limits.h>
#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

#include "base/log.h"
#include "base/slab.h"

enum {
	IDLE_MAX = 8,			/* states of each coding kept for the next body */
	GZIP_WINDOW = 15 + 16,		/* 32 KB, with the head and the tail of RFC 1952 */
	GZIP_MEMORY = 8,
	GZIP_SIZE = (1 << (15 + 2)) + (1 << (GZIP_MEMORY + 9)) + 6 * 1024,	/* as zconf.h has it */
	/* Every decoder takes 64 KB, and so do we: larger ones gain 5 % and cost twice the memory. */
	ZSTD_WINDOW = 16,
	ZSTD_TABLE = 15			/* from level 2 on; by themselves they would be larger */
};

struct codec {
	struct str name, alias;
	void  *(*open)(unsigned level);
	void   (*again)(void *state);	/* for another body */
	void   (*close)(void *state);
	size_t (*size)(const void *state);
	size_t (*step)(void *state, struct str *in, enum coder_mode, char *out, size_t room,
	    bool *is_done);
};

struct coder {
	enum encoding encoding;
	unsigned      level;
	void         *state;
};

/* --- gzip -------------------------------------------------------------------------------------- */

static void *
gzip_open(unsigned level)
{
	z_stream *z = calloc(1, sizeof(*z));

	check(z != NULL);
	check(deflateInit2(z, (int)level, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
	    Z_DEFAULT_STRATEGY) == Z_OK);
	return z;
}

static void
gzip_again(void *state)
{
	check(deflateReset(state) == Z_OK);
}

static void
gzip_close(void *state)
{
	/* In mid-body it says that data was lost; that is meant. */
	(void)deflateEnd(state);
	free(state);
}

static size_t
gzip_size(const void *state)
{
	(void)state;
	return GZIP_SIZE;
}

static size_t
gzip_step(void *state, struct str *in, enum coder_mode mode, char *out, size_t room, bool *is_done)
{
	static const int modes[] = { [CODER_MORE] = Z_NO_FLUSH, [CODER_FLUSH] = Z_SYNC_FLUSH,
		[CODER_END] = Z_FINISH };
	z_stream *z = state;
	size_t len = in->len < UINT_MAX ? in->len : UINT_MAX;
	int r;

	z->next_in = (Bytef *)(uintptr_t)in->p;
	z->avail_in = (uInt)len;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	r = deflate(z, len == in->len ? modes[mode] : Z_NO_FLUSH);
	check(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
	*in = str_from(*in, len - z->avail_in);
	/* A full output may hide that there is more. */
	*is_done = mode == CODER_END ? r == Z_STREAM_END : in->len == 0 && z->avail_out > 0;
	return room - z->avail_out;
}

/* --- zstd -------------------------------------------------------------------------------------- */

static void
zstd_set(ZSTD_CCtx *ctx, ZSTD_cParameter parameter, int value)
{
	check(!ZSTD_isError(ZSTD_CCtx_setParameter(ctx, parameter, value)));
}

static void *
zstd_open(unsigned level)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();

	check(ctx != NULL);
	zstd_set(ctx, ZSTD_c_compressionLevel, (int)level);
	zstd_set(ctx, ZSTD_c_windowLog, ZSTD_WINDOW);
	if (level > 1) {
		zstd_set(ctx, ZSTD_c_hashLog, ZSTD_TABLE);
		zstd_set(ctx, ZSTD_c_chainLog, ZSTD_TABLE);
	}
	return ctx;
}

static void
zstd_again(void *state)
{
	check(!ZSTD_isError(ZSTD_CCtx_reset(state, ZSTD_reset_session_only)));
}

static void
zstd_close(void *state)
{
	ZSTD_freeCCtx(state);
}

static size_t
zstd_size(const void *state)
{
	return ZSTD_sizeof_CCtx(state);
}

static size_t
zstd_step(void *state, struct str *in, enum coder_mode mode, char *out, size_t room, bool *is_done)
{
	static const ZSTD_EndDirective modes[] = { [CODER_MORE] = ZSTD_e_continue,
		[CODER_FLUSH] = ZSTD_e_flush, [CODER_END] = ZSTD_e_end };
	ZSTD_inBuffer from = { in->p, in->len, 0 };
	ZSTD_outBuffer to = { out, room, 0 };
	size_t left = ZSTD_compressStream2(state, &to, &from, modes[mode]);

	/* There is no error but that of memory. */
	check(!ZSTD_isError(left));
	*in = str_from(*in, from.pos);
	*is_done = in->len == 0 && (mode == CODER_MORE || left == 0);
	return to.pos;
}

/* --- the rows ---------------------------------------------------------------------------------- */

static const struct codec codecs[ENCODING_COUNT] = {
	[ENCODING_IDENTITY] = { { "identity", 8 }, { "", 0 }, NULL, NULL, NULL, NULL, NULL },
	[ENCODING_GZIP] = { { "gzip", 4 }, { "x-gzip", 6 }, gzip_open, gzip_again, gzip_close, gzip_size,
	    gzip_step },
	[ENCODING_ZSTD] = { { "zstd", 4 }, { "", 0 }, zstd_open, zstd_again, zstd_close, zstd_size,
	    zstd_step },
};

struct idle {
	unsigned level;
	void    *state;
};

static struct slab coders;
static struct idle idle[ENCODING_COUNT][IDLE_MAX];
static size_t n_idle[ENCODING_COUNT];

void
coder_module_init(void)
{
	slab_init(&coders, "coder", sizeof(struct coder));
}

void
coder_module_fini(void)
{
	size_t e;

	for (e = 0; e < ENCODING_COUNT; e++)
		while (n_idle[e] > 0)
			codecs[e].close(idle[e][--n_idle[e]].state);
	slab_fini(&coders);
}

struct str
coder_name(enum encoding e)
{
	return codecs[e].name;
}

struct str
coder_alias(enum encoding e)
{
	return codecs[e].alias;
}

size_t
coder_count(void)
{
	return coders.live;
}

/* One that was kept, the warmest first; NULL when there is none of that level. */
static void *
take_idle(enum encoding e, unsigned level)
{
	size_t i;
	void *state;

	for (i = n_idle[e]; i > 0; i--)
		if (idle[e][i - 1].level == level) {
			state = idle[e][i - 1].state;
			idle[e][i - 1] = idle[e][--n_idle[e]];
			return state;
		}
	return NULL;
}

struct coder *
coder_new(enum encoding e, unsigned level)
{
	struct coder *c;

	check(codecs[e].open != NULL);
	if (coders.live >= CODERS_MAX)
		return NULL;
	c = slab_take(&coders);
	c->encoding = e;
	c->level = level;
	c->state = take_idle(e, level);
	if (c->state == NULL)
		c->state = codecs[e].open(level);
	return c;
}

void
coder_free(struct coder *c)
{
	enum encoding e;

	if (c == NULL)
		return;
	e = c->encoding;
	if (n_idle[e] == IDLE_MAX) {
		/* The oldest goes: its level may be one that no route has any more. */
		codecs[e].close(idle[e][0].state);
		idle[e][0] = idle[e][--n_idle[e]];
	}
	codecs[e].again(c->state);
	idle[e][n_idle[e]++] = (struct idle){ c->level, c->state };
	c->state = NULL;
	slab_give(&coders, c);
}

size_t
coder_step(struct coder *c, struct str *in, enum coder_mode mode, char *out, size_t room,
    bool *is_done)
{
	check(c->state != NULL && room >= 64);
	return codecs[c->encoding].step(c->state, in, mode, out, room, is_done);
}

size_t
coder_size(const struct coder *c)
{
	return codecs[c->encoding].size(c->state);
}
