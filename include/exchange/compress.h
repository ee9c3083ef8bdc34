/* SPDX-License-Identifier: MIT */
/*
 * The one stage at the door for answers that changes their bodies: gzip and zstd for who wants it.
 * Called by relay.c between the exchange and the front; the cache keeps answers as they came, and each
 * reader has its own coder.
 */
#ifndef EXCHANGE_COMPRESS_H
#define EXCHANGE_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/encoding.h"
#include "base/str.h"
#include "net/loop.h"

struct compress;
struct exchange;
struct message;

TAILQ_HEAD(compress_list, compress);

/* What the coders of a worker share. */
struct compressor {
	struct loop *loop;
	char        *out;		/* where they write; a lap ends with a flush */
	size_t       used;
	struct compress_list tired;	/* had their share of this turn; the first is the next to go on */
	struct task  next;
	/* Since the start; of ENCODING_IDENTITY the answers that went as they are for want of a coder. */
	struct { uint64_t answers, in, out; } done[ENCODING_COUNT];
	msec         warned;
};

void compressor_init(struct compressor *, struct loop *);
void compressor_fini(struct compressor *);

/* A final head on its way: its fields say what will be; from then on x->compress is set when the body
 * is to be encoded. */
void compress_head(struct exchange *, struct message *);
/* Body bytes: what comes of them goes to the front in this turn at the latest. */
void compress_body(struct exchange *, const struct str *spans, size_t n);
/* What came so far goes to the front now; nothing without a coder, here and below. */
void compress_flush(struct exchange *);
/* The body is complete. */
void compress_finish(struct exchange *);
/* It had its share of the turn: no more until compress asks for it. */
bool compress_is_tired(const struct exchange *);
/* Gives everything back, in mid-body too; safe to call twice. */
void compress_end(struct exchange *);

#endif
