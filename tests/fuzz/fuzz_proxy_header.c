/* SPDX-License-Identifier: MIT */
/*
 * Bytes as the begin of a connection: the verdict on them must not depend on where they were cut, and
 * what was understood, written anew, must be understood as the same.
 */
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct proxy_header *a, const struct proxy_header *b)
{
	check(a->is_set == b->is_set);
	check(memcmp(a->source.bytes, b->source.bytes, sizeof(a->source.bytes)) == 0);
	check(memcmp(a->dest.bytes, b->dest.bytes, sizeof(a->dest.bytes)) == 0);
	check(a->source_port == b->source_port && a->dest_port == b->dest_port);
}

static void
check_written(const struct proxy_header *h)
{
	char buf[PROXY_HEADER_ROOM];
	struct proxy_header again;
	size_t n = proxy_header_write(buf, &h->source, h->source_port, &h->dest, h->dest_port);

	check(n <= sizeof(buf));
	check(proxy_header_parse(str_make(buf, n), &again) == PROXY_HEADER_DONE);
	check(again.len == n);
	check_same(h, &again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_make((const char *)data, size);
	struct proxy_header whole, part;
	enum proxy_header_verdict verdict = proxy_header_parse(in, &whole), first;
	size_t i;

	if (verdict == PROXY_HEADER_MORE)
		check(size < PROXY_HEADER_MAX);
	if (verdict == PROXY_HEADER_DONE) {
		check(whole.len <= size && whole.len <= PROXY_HEADER_MAX);
		check_written(&whole);
	} else if (verdict == PROXY_HEADER_BAD)
		check(whole.why != NULL);
	for (i = 0; i < size && i < 300; i++) {
		first = proxy_header_parse(str_first(in, i), &part);
		if (first == PROXY_HEADER_MORE)
			continue;
		check(first == verdict);
		if (first == PROXY_HEADER_DONE) {
			check(part.len == whole.len && part.len <= i);
			check_same(&part, &whole);
		}
	}
	return 0;
}
