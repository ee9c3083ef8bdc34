/* SPDX-License-Identifier: MIT */
/* The limits of a route applied to an exchange: charged, told, given back. */
#ifndef EXCHANGE_ADMIT_H
#define EXCHANGE_ADMIT_H

struct exchange;
struct message;

/* Charges the exchange to its route's limits: sets x->refusal, or when its turn is. */
void admit_enter(struct exchange *);
/* The fields of an answer that tell its client of its limits. */
void admit_fields(struct exchange *, struct message *);
/* In flight no more; what was charged to a rate stays. */
void admit_end(struct exchange *);

#endif
