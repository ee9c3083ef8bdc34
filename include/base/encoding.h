/* SPDX-License-Identifier: MIT */
/* Content codings (RFC 9110 8.4.1) by number: configuration names them, http/coder.h makes them. */
#ifndef BASE_ENCODING_H
#define BASE_ENCODING_H

enum encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_ZSTD, ENCODING_COUNT };

#endif
