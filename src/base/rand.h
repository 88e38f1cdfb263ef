// rand: unpredictable bytes from the kernel, and the names made of them. Threads: safe.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);

// 2*n lower-case hex characters and a NUL.
void rand_hex(char *out, size_t n);

// n characters of [A-Za-z0-9] and a NUL.
void rand_alnum(char *out, size_t n);

enum { RAND_UUID_TEXT = 37 };

// A UUID whose first 48 bits are the time in ms (RFC 9562 version 7), so that index entries arrive in
// order; the rest is random.
void rand_uuid(uint8_t out[static 16]);
char *rand_uuid_text(const uint8_t uuid[static 16], char out[static RAND_UUID_TEXT]);
