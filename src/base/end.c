/* SPDX-License-Identifier: MIT */
/* The rows of end.def as a table. */
#include "base/end.h"

#include "base/log.h"

static const struct end_info infos[END_COUNT] = {
#define END(symbol, status, blame, retry, name, text) \
	[END_##symbol] = { status, END_BLAME_##blame, END_RETRY_##retry, name, text },
#include "base/end.def"
#undef END
};

const struct end_info *
end_info(enum end end)
{
	check((unsigned)end < END_COUNT);
	return &infos[end];
}
