// SPDX-License-Identifier: Apache-2.0
#include "base/rand.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

void rand_bytes(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t k = getrandom(at, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		check(k > 0);
		at += k;
		n -= (size_t)k;
	}
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

void rand_hex(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		uint8_t b;

		rand_bytes(&b, 1);
		out[2 * i] = digits[b >> 4];
		out[2 * i + 1] = digits[b & 15];
	}
	out[2 * n] = '\0';
}

void rand_alnum(char *out, size_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	for (size_t i = 0; i < n;) {
		uint8_t b;

		rand_bytes(&b, 1);
		if (b < 248) // 4 * 62: no bias
			out[i++] = set[b % 62];
	}
	out[n] = '\0';
}

void rand_uuid(uint8_t out[static 16])
{
	uint64_t ms = (uint64_t)(clock_wall_ns() / NS_PER_MS);

	rand_bytes(out, 16);
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)(ms >> (40 - 8 * i));
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x70);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

char *rand_uuid_text(const uint8_t u[static 16], char out[static RAND_UUID_TEXT])
{
	snprintf(out, RAND_UUID_TEXT,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
	return out;
}
