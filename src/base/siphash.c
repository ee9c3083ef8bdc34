/* SPDX-License-Identifier: MIT */
/* SipHash-2-4, as its paper has it. */
#include "base/siphash.h"

#include <sys/random.h>

#include <endian.h>
#include <string.h>

#include "base/log.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void
rounds(struct state *s, int n)
{
	for (; n > 0; n--) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static inline void
take_word(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	rounds(s, 2);
	s->v0 ^= word;
}

struct siphash_key
siphash_random_key(void)
{
	struct siphash_key key;

	check(getrandom(&key, sizeof(key), 0) == (ssize_t)sizeof(key));
	return key;
}

uint64_t
siphash(struct siphash_key key, struct str in)
{
	struct state s = { key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL,
		key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL };
	uint64_t word;
	size_t i;

	for (i = 0; i + 8 <= in.len; i += 8) {
		memcpy(&word, in.p + i, 8);
		take_word(&s, le64toh(word));
	}
	word = 0;
	if (i < in.len)
		memcpy(&word, in.p + i, in.len - i);
	take_word(&s, le64toh(word) | (uint64_t)in.len << 56);
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
