// digest: MD5, SHA-1, SHA-256 as streams, and HMAC. Nothing is allocated.
// Threads: a digest belongs to one thread at a time. Errors: none.
// Speed [M], one core: MD5 0.77, SHA-1 1.9, SHA-256 1.8 GB/s with libcrypto against 0.68, 1.75 and 1.6 with
// nettle. A digest of 64 bytes costs 60-80 ns by the plain functions of both, 300-500 ns by libcrypto's
// EVP layer, which is why that one is not used here.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

enum digest_kind { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256 };
enum { DIGEST_MAX = 32, DIGEST_STATE = 128 };

struct digest {
	enum digest_kind kind;
	_Alignas(16) unsigned char state[DIGEST_STATE];
};

size_t digest_size(enum digest_kind kind); // 16, 20, 32
void digest_init(struct digest *d, enum digest_kind kind);
void digest_update(struct digest *d, struct span bytes);
// The same for up to DIGEST_SIDE_BY_SIDE MD5 streams at once, each with its own bytes, `size` of them. From two streams
// on faster than one after the other where the streams so far and `size` are multiples of 64 bytes [M: one 0.75, eight
// together 3.0 GB/s].
enum { DIGEST_SIDE_BY_SIDE = 8 };
void digest_update_md5s(struct digest *const d[], const unsigned char *const bytes[], size_t size,
			size_t n);
void digest_final(struct digest *d, uint8_t out[static DIGEST_MAX]);
void digest_once(enum digest_kind kind, struct span bytes, uint8_t out[static DIGEST_MAX]);

// RFC 2104.
void digest_hmac(enum digest_kind kind, struct span key, struct span bytes,
		 uint8_t out[static DIGEST_MAX]);
