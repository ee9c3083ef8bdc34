/* SPDX-License-Identifier: MIT */
/* Head and framing -> bytes.  Writes into the caller's buffer; what it writes is one unambiguous message. */
#ifndef HTTP_H1_WRITER_H
#define HTTP_H1_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "http/message.h"

/* Bytes h1_write_head needs at most for this message. */
size_t h1_head_size(const struct message *);
/*
 * Writes start line ("METHOD target HTTP/1.1" or "HTTP/1.1 status reason"), all fields in order, the
 * framing (Content-Length / Transfer-Encoding: chunked, by message->framing and ->has_length; such
 * fields among message->fields are skipped) and the empty line.  A response to an HTTP/1.0 client is
 * still written as HTTP/1.1 (RFC 9110 2.5... as nginx does).  Connection fields are the caller's.
 * Returns the bytes written.
 */
size_t h1_write_head(const struct message *, char *buf, size_t size);
/* "1f4\r\n" for a chunk of n bytes (n > 0); at most 18 bytes; returns the length. */
size_t h1_write_chunk_line(uint64_t n, char *buf);
/* "0\r\n" trailers "\r\n"; returns the length, 0 when it does not fit. */
size_t h1_write_last_chunk(const struct field *trailers, size_t n, char *buf, size_t size);

#endif
