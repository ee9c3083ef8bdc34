/* SPDX-License-Identifier: MIT */
/*
 * The time of this turn.  Read once a turn by the loop, so that a turn has one "now"; tests set it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "base/str.h"

/* Reads the system clocks; called by the loop when it wakes. */
void clock_update(void);
/* Monotonic milliseconds / microseconds of this turn. */
msec clock_now(void);
int64_t clock_now_us(void);
/* Wall time of this turn, in microseconds since 1970. */
int64_t clock_wall_us(void);
/* IMF-fixdate of this turn ("Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 5.6.7); kept a second long. */
struct str clock_http_date(void);
/* Tests only: freezes the clock at these values until the next call of clock_update. */
void clock_set(int64_t mono_us, int64_t wall_us);

#endif
