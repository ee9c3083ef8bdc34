/* SPDX-License-Identifier: MIT */
/*
 * THE table, by section: what every key means, its default, its bounds, a sentence of help.  What rows
 * cannot say (two servers of one address, a route with two actions) stands in one check per section,
 * behind its rows.  Private to config/.
 */
#ifndef CONFIG_SECTION_H
#define CONFIG_SECTION_H

#include "config/schema.h"

/* section_listen.c, section_tls.c */
extern const struct type type_listens, type_mode, type_tls_server, type_tls_client;
extern const struct row listen_element, tls_server_rows[], tls_client_rows[];
/* After the walk: PROXY headers are taken only from peers that are named. */
void section_listen_finish(struct reading *, const struct node *root);
/* An upstream whose servers speak TLS and that says nothing of it. */
void section_tls_check_default(struct reading *, const struct node *upstream,
    const struct tls_client_conf *);

/* section_admin.c */
extern const struct type type_admin;
extern const struct row admin_rows[];
/* After the walk: who comes for our own pages cannot come where clients do. */
void section_admin_finish(struct reading *, const struct node *root);

/* section_upstream.c, section_health.c */
extern const struct type type_upstreams, type_check;
extern const struct row upstream_rows[], check_rows[];
/* After the walk: warns where two upstreams check one server differently. */
void section_upstream_finish(struct reading *, const struct node *upstreams);

/* section_resolver.c */
extern const struct type type_resolver;
extern const struct row resolver_rows[];

/* section_limit.c, section_cache.c */
extern const struct type type_limits, type_caches;
extern const struct row limit_rows[], cache_rows[];

/* section_route.c, section_auth.c, section_compress.c */
extern const struct type type_auth, type_compress, type_field_name;
extern const struct row route_element, auth_rows[], compress_rows[];

/* section_root.c: the rows of the whole file, and what follows from all of it (the default route). */
const struct row *section_root(void);
bool section_finish(struct reading *, const struct node *root);

#endif
