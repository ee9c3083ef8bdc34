/* SPDX-License-Identifier: MIT */
/*
 * Meters of servers.  A list will do: an upstream has few servers, and they are looked up when a
 * generation is made, never per request.
 */
#include "upstream/server_meter.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct server_meter *
server_meter_get(struct server_meter_list *list, struct str name)
{
	struct server_meter *m;
	char *copy;

	LIST_FOREACH(m, list, entry)
		if (str_eq(m->name, name)) {
			m->refs++;
			return m;
		}
	m = calloc(1, sizeof(*m));
	copy = strndup(name.p, name.len);
	check(m != NULL && copy != NULL);
	m->refs = 1;
	m->name = str_make(copy, name.len);
	LIST_INSERT_HEAD(list, m, entry);
	return m;
}

void
server_meter_unref(struct server_meter *m)
{
	if (--m->refs > 0)
		return;
	check(m->inflight == 0);
	LIST_REMOVE(m, entry);
	free((char *)(uintptr_t)m->name.p);
	free(m);
}
