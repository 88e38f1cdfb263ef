// SPDX-License-Identifier: Apache-2.0
#include "codec/adler.h"

// So many bytes can be added before a sum of 32 bits may overflow.
enum { PRIME = 65521, RUN = 5552 };

uint32_t adler_update(uint32_t sum, struct span bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	uint32_t a = sum & 0xffff, b = sum >> 16;

	for (size_t left = bytes.n; left;) {
		size_t n = left < RUN ? left : RUN;

		left -= n;
		while (n--) {
			a += *p++;
			b += a;
		}
		a %= PRIME;
		b %= PRIME;
	}
	return b << 16 | a;
}
