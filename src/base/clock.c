/* SPDX-License-Identifier: MIT */
/* The time of this turn. */
#include "base/clock.h"

#include <stdio.h>

static int64_t mono_us, wall_us;

static int64_t
microseconds(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
clock_update(void)
{
	mono_us = microseconds(CLOCK_MONOTONIC);
	wall_us = microseconds(CLOCK_REALTIME);
}

void
clock_set(int64_t mono, int64_t wall)
{
	mono_us = mono;
	wall_us = wall;
}

msec
clock_now(void)
{
	return mono_us / 1000;
}

int64_t
clock_now_us(void)
{
	return mono_us;
}

int64_t
clock_wall_us(void)
{
	return wall_us;
}

/* By hand: strftime would take the names from the locale. */
struct str
clock_http_date(void)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
		"Aug", "Sep", "Oct", "Nov", "Dec" };
	static char text[64];
	static time_t made;
	static size_t len;
	time_t now = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (len == 0 || now != made) {
		gmtime_r(&now, &tm);
		len = (size_t)snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
		    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		    tm.tm_min, tm.tm_sec);
		made = now;
	}
	return str_make(text, len);
}
