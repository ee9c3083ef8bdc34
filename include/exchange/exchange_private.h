/* SPDX-License-Identifier: MIT */
/* What the files of an exchange share: exchange.c, steps.c, ports.c. */
#ifndef EXCHANGE_EXCHANGE_PRIVATE_H
#define EXCHANGE_EXCHANGE_PRIVATE_H

#include "exchange/exchange.h"

enum { EXCHANGE_MAGIC = 0x65786368 };

/* A new one, which is in no step yet; the message's arena is its own now. */
struct exchange *exchange_new(struct world *, struct front_stream *, struct message *);
/* It is at that step now, which is entered when it runs. */
void exchange_go_to(struct exchange *, enum step);
/* What the client will be told of it; status 0: that of the end. */
void exchange_refuse(struct exchange *, enum end, int status, const char *rule);
/* The server is done with, whatever of its answer the client still lacks. */
void exchange_leave_server(struct exchange *);
/* The same, and nothing of the answer counts. */
void exchange_drop_attempt(struct exchange *);
/* What every retry needs, whatever the reason; and whether the method may be repeated. */
bool exchange_may_try_again(const struct exchange *);
bool exchange_method_allows(const struct exchange *);
/* A server, or the log, may still be to be told of the client, by texts that go with its connection. */
void exchange_keep_peer(struct exchange *);
/* The client is gone: ends, or goes on where others or the upstream want it. */
void exchange_lose_client(struct exchange *, enum end why);

#endif
