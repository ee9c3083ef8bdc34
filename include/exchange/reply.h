/* SPDX-License-Identifier: MIT */
/* Answers we make ourselves: errors, redirects, fixed ones.  All of them pass the door in relay.h. */
#ifndef EXCHANGE_REPLY_H
#define EXCHANGE_REPLY_H

#include <stddef.h>

#include "base/str.h"
#include "base/text.h"
#include "http/message.h"

struct exchange;

/* A page of our own, made when it is asked for. */
struct page {
	int         status;		/* 200 unless it is set */
	struct str  type;		/* as long as the page's row */
	struct text body;
};

/* What listeners for our own pages serve, a row each; GET takes HEAD too. */
struct page_row {
	enum method method;
	struct str  path;
	void      (*make)(void *arg, struct page *);
};
struct site {
	const struct page_row *rows;
	size_t n_rows;
	void  *arg;
};

/* The row that the request asks for, or NULL with x->refusal. */
const struct page_row *reply_find_page(struct exchange *);

/* The page, what the route says (respond, redirect), or x->refusal when its status is set.  The caller ends. */
void reply_send(struct exchange *);
/* The last event of a stream that is cut: "event: error" in OpenAI's error shape. */
void reply_stream_error(struct exchange *, const char *code, const char *text);

#endif
