/* SPDX-License-Identifier: MIT */
/* Why things end: one enum for connections, attempts and exchanges.  The rows are in end.def. */
#ifndef BASE_END_H
#define BASE_END_H

enum end {
#define END(symbol, status, blame, retry, name, text) END_##symbol,
#include "base/end.def"
#undef END
	END_COUNT
};

enum end_blame { END_BLAME_NOBODY, END_BLAME_CLIENT, END_BLAME_UPSTREAM, END_BLAME_OURSELF };
enum end_retry { END_RETRY_NEVER, END_RETRY_CONNECT, END_RETRY_STALE, END_RETRY_ERROR, END_RETRY_TIMEOUT };

struct end_info {
	int            status;		/* for the client when no head was sent; 0: none */
	enum end_blame blame;
	enum end_retry retry;
	const char    *name;		/* the log word and metric label */
	const char    *text;		/* for people */
};
/* The row of an end; never NULL. */
const struct end_info *end_info(enum end);

#endif
