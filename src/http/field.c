/* SPDX-License-Identifier: MIT */
/*
 * Known fields: the rows of field.def in a small open table, made at the first look.  The hash is of
 * the length and three bytes; its factors were searched so that no two rows of field.def meet.  New
 * rows may meet: that costs a second compare, nothing else.
 */
#include "http/field.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { HOP = FIELD_HOP, FRAMING = FIELD_FRAMING, ROUTING = FIELD_ROUTING, AUTH = FIELD_AUTH };

static const struct {
	struct str name;
	unsigned   flags;
} rows[FIELD_COUNT] = {
	[FIELD_OTHER] = { { "", 0 }, 0 },
#define FIELD(symbol, name, flags) [FIELD_##symbol] = { { name, sizeof(name) - 1 }, flags },
#include "http/field.def"
#undef FIELD
};

/* --- names -------------------------------------------------------------------------------------- */

enum { SLOTS = 256 };

static uint8_t slots[SLOTS];		/* a field_id, FIELD_OTHER where free */
static bool slots_made;

static unsigned
fold(struct str s, size_t i)
{
	return (unsigned char)s.p[i] | 0x20u;
}

/* Letters in any case fold to the same slot; name is not empty. */
static unsigned
slot_of(struct str name)
{
	unsigned h = (unsigned)name.len * 245 + fold(name, 0) * 237 + fold(name, name.len - 1) * 79 +
	    fold(name, name.len * 3 / 4) * 238;

	return (h ^ h >> 8) % SLOTS;
}

static void
make_slots(void)
{
	unsigned id, slot;

	_Static_assert(FIELD_COUNT < SLOTS / 2, "the table of fields is too full");
	for (id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
		for (slot = slot_of(rows[id].name); slots[slot] != FIELD_OTHER; slot = (slot + 1) % SLOTS)
			;
		slots[slot] = (uint8_t)id;
	}
	slots_made = true;
}

enum field_id
field_lookup(struct str name)
{
	unsigned slot;

	if (name.len == 0)
		return FIELD_OTHER;
	if (!slots_made)
		make_slots();
	for (slot = slot_of(name); slots[slot] != FIELD_OTHER; slot = (slot + 1) % SLOTS)
		if (str_eq_nocase(rows[slots[slot]].name, name))
			return slots[slot];
	return FIELD_OTHER;
}

struct str
field_name(enum field_id id)
{
	check((unsigned)id < FIELD_COUNT);
	return rows[id].name;
}

unsigned
field_flags(enum field_id id)
{
	check((unsigned)id < FIELD_COUNT);
	return rows[id].flags;
}

bool
field_is_hop(enum field_id id, struct str name)
{
	if (id != FIELD_OTHER)
		return (field_flags(id) & HOP) != 0;
	return name.len > 6 && fold(name, 0) == 'p' &&
	    str_eq_nocase(str_first(name, 6), STR("proxy-"));
}

/* --- values --------------------------------------------------------------------------------------- */

bool
field_list_has(struct str list, struct str token)
{
	struct str item;

	while (str_next_item(&list, &item))
		if (str_eq_nocase(item, token))
			return true;
	return false;
}

static bool
is_token_byte(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool
field_is_token(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!is_token_byte(s.p[i]))
			return false;
	return s.len > 0;
}

/* --- dates (RFC 9110 5.6.7) ------------------------------------------------------------------------- */

struct date {
	int64_t  year;
	unsigned month;			/* 1..12 */
	unsigned day, hour, minute, second;
};

static const char *const day_names[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday",
	"Friday", "Saturday" };
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static bool
take(struct str *s, struct str want)
{
	if (!str_starts(*s, want))
		return false;
	*s = str_from(*s, want.len);
	return true;
}

/* Exactly n digits. */
static bool
take_digits(struct str *s, size_t n, unsigned *out)
{
	uint64_t value;

	if (s->len < n || !str_to_uint(str_first(*s, n), UINT32_MAX, &value))
		return false;
	*out = (unsigned)value;
	*s = str_from(*s, n);
	return true;
}

/* The name of a day, whole or its first three letters.  That it fits the date is not looked at. */
static bool
take_day_name(struct str *s, bool whole)
{
	size_t i;

	for (i = 0; i < sizeof(day_names) / sizeof(day_names[0]); i++) {
		struct str name = str_of(day_names[i]);

		if (take(s, whole ? name : str_first(name, 3)))
			return true;
	}
	return false;
}

static bool
take_month(struct str *s, unsigned *out)
{
	unsigned i;

	for (i = 0; i < 12; i++)
		if (take(s, str_make(months + 3 * i, 3))) {
			*out = i + 1;
			return true;
		}
	return false;
}

static bool
take_clock(struct str *s, struct date *d)
{
	return take_digits(s, 2, &d->hour) && take(s, STR(":")) && take_digits(s, 2, &d->minute) &&
	    take(s, STR(":")) && take_digits(s, 2, &d->second);
}

/* Days since 1970-01-01 in the Gregorian calendar, years from March on so that leap days are last. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t
seconds_of(const struct date *d)
{
	return days_of(d->year, d->month, d->day) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool
is_valid(const struct date *d)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned last = days[d->month - 1] + (d->month == 2 && is_leap(d->year));

	/* 60 is a leap second. */
	return d->day >= 1 && d->day <= last && d->hour <= 23 && d->minute <= 59 && d->second <= 60;
}

/* The latest year with these two digits that is not more than 50 years from now. */
static int64_t
full_year(const struct date *d, unsigned digits)
{
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct date limit, candidate = *d;
	struct tm tm;

	gmtime_r(&now, &tm);
	limit.year = tm.tm_year + 1900 + 50;
	limit.month = (unsigned)tm.tm_mon + 1;
	limit.day = (unsigned)tm.tm_mday;
	limit.hour = (unsigned)tm.tm_hour;
	limit.minute = (unsigned)tm.tm_min;
	limit.second = (unsigned)tm.tm_sec;
	candidate.year = (limit.year / 100 + 1) * 100 + digits;
	while (seconds_of(&candidate) > seconds_of(&limit))
		candidate.year -= 100;
	return candidate.year;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool
read_fixdate(struct str s, struct date *d)
{
	unsigned year;

	if (!take_day_name(&s, false) || !take(&s, STR(", ")) || !take_digits(&s, 2, &d->day) ||
	    !take(&s, STR(" ")) || !take_month(&s, &d->month) || !take(&s, STR(" ")) ||
	    !take_digits(&s, 4, &year) || !take(&s, STR(" ")) || !take_clock(&s, d))
		return false;
	d->year = year;
	return str_eq(s, STR(" GMT"));
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool
read_rfc850(struct str s, struct date *d)
{
	unsigned digits;

	if (!take_day_name(&s, true) || !take(&s, STR(", ")) || !take_digits(&s, 2, &d->day) ||
	    !take(&s, STR("-")) || !take_month(&s, &d->month) || !take(&s, STR("-")) ||
	    !take_digits(&s, 2, &digits) || !take(&s, STR(" ")) || !take_clock(&s, d) ||
	    !str_eq(s, STR(" GMT")))
		return false;
	d->year = full_year(d, digits);
	return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool
read_asctime(struct str s, struct date *d)
{
	unsigned year;
	bool padded;

	if (!take_day_name(&s, false) || !take(&s, STR(" ")) || !take_month(&s, &d->month) ||
	    !take(&s, STR(" ")))
		return false;
	padded = take(&s, STR(" "));
	if (!take_digits(&s, padded ? 1 : 2, &d->day) || !take(&s, STR(" ")) || !take_clock(&s, d) ||
	    !take(&s, STR(" ")) || !take_digits(&s, 4, &year) || s.len > 0)
		return false;
	d->year = year;
	return true;
}

bool
field_parse_date(struct str s, int64_t *seconds)
{
	struct date d;

	if (!read_fixdate(s, &d) && !read_rfc850(s, &d) && !read_asctime(s, &d))
		return false;
	if (!is_valid(&d))
		return false;
	*seconds = seconds_of(&d);
	return true;
}
