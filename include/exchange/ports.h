/* SPDX-License-Identifier: MIT */
/* The two ports of an exchange: what it hears of who asked and of who answers. */
#ifndef EXCHANGE_PORTS_H
#define EXCHANGE_PORTS_H

#include "edge/front.h"
#include "upstream/origin.h"

extern const struct front_events ports_front_events;
extern const struct origin_events ports_origin_events;

#endif
