/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash for tables whose keys come from strangers.
 * Who does not know the key cannot make two inputs collide.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

#include "base/str.h"

struct siphash_key {
	uint64_t k0, k1;
};

/* A key that nobody can guess. */
struct siphash_key siphash_random_key(void);
uint64_t siphash(struct siphash_key, struct str);

#endif
