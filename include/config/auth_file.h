/* SPDX-License-Identifier: MIT */
/*
 * Files of those who may ask: passwords as htpasswd and mkpasswd write them, API keys by their SHA-256.
 * Read when a configuration is, into its arena.
 */
#ifndef CONFIG_AUTH_FILE_H
#define CONFIG_AUTH_FILE_H

#include <stdbool.h>

#include "config/config.h"

struct arena;

/*
 * Both fill the auth section's array from its file.  False with *why in scratch, "FILE:LINE: what" where
 * a line is to blame: nothing of a secret is in it.
 */
bool auth_file_users(struct arena *, struct arena *scratch, struct auth_conf *, const char **why);
bool auth_file_keys(struct arena *, struct arena *scratch, struct auth_conf *, const char **why);

#endif
