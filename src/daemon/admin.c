/* SPDX-License-Identifier: MIT */
/* Our own pages: the rows. */
#include "daemon/admin.h"

#include <string.h>

#include "base/clock.h"
#include "exchange/world.h"
#include "ops/exposition.h"

static void
make_metrics(void *arg, struct page *page)
{
	page->type = STR(EXPOSITION_TYPE);
	scrape_write(arg, &page->body);
}

static void
make_status(void *arg, struct page *page)
{
	page->type = STR("application/json");
	status_write(arg, &page->body);
}

/*
 * For who sends clients here, or not: while it drains it serves, but nobody new should come.  Where
 * another process has the sockets already, who comes finds that one.
 */
static void
make_health(void *arg, struct page *page)
{
	const struct world *w = ((const struct admin *)arg)->world;
	bool is_leaving = w->is_draining && !w->listeners.is_handed_over;

	page->type = STR("text/plain; charset=utf-8");
	page->status = is_leaving ? 503 : 200;
	text_add(&page->body, is_leaving ? STR("draining\n") : STR("OK\n"));
}

static const struct page_row rows[] = {
	{ METHOD_GET, { "/metrics", 8 }, make_metrics },
	{ METHOD_GET, { "/status", 7 }, make_status },
	{ METHOD_GET, { "/healthz", 8 }, make_health },
};

void
admin_init(struct admin *a, struct world *w)
{
	memset(a, 0, sizeof(*a));
	a->world = w;
	a->started = a->taken = clock_wall_us();
	a->site.rows = rows;
	a->site.n_rows = sizeof(rows) / sizeof(rows[0]);
	a->site.arg = a;
	w->site = &a->site;
}

void
admin_reloaded(struct admin *a, bool ok)
{
	a->last_failed = !ok;
	if (!ok) {
		a->n_failed++;
		return;
	}
	a->n_reloads++;
	a->taken = clock_wall_us();
}
