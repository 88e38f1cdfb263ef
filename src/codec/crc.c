// SPDX-License-Identifier: Apache-2.0
#include "codec/crc.h"

// All three are "reflected": bit 0 of a byte is the highest power. `fold` holds x^(n-1) mod P for
// n = 512+64, 512, 128+64, 128, reflected in 64 bits: a carry-less product of two reflected words comes out
// one power too high, hence n-1. `nibble[i]` is i times x^4 mod P.
struct kind {
	uint64_t poly, ones;
	uint64_t fold[4];
	uint64_t nibble[16];
};

static const struct kind kinds[] = {
	[CRC_32] = { 0xedb88320,
		     0xffffffff,
		     { 0x653d982200000000, 0xcad38e8f00000000, 0x65673b4600000000,
		       0x9ba54c6f00000000 },
		     { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c } },
	[CRC_32C] = { 0x82f63b78,
		      0xffffffff,
		      { 0x1c19243b00000000, 0x75bba45b00000000, 0x3743f7bd00000000,
			0x3171d43000000000 },
		      { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
			0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
			0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 } },
	[CRC_64NVME] = { 0x9a6c9329ac4bc9b5,
			 0xffffffffffffffff,
			 { 0x0c32cdb31e18a84a, 0x62242240ace5045a, 0xeadc41fd2ba3d420,
			   0x21e9761e252621ac },
			 { 0x0000000000000000, 0x78e0ff3b88be6f81, 0xf1c1fe77117cdf02,
			   0x8921014c99c2b083, 0xd75adabd7a6e2d6f, 0xafba2586f2d042ee,
			   0x269b24ca6b12f26d, 0x5e7bdbf1e3ac9dec, 0x9a6c9329ac4bc9b5,
			   0xe28c6c1224f5a634, 0x6bad6d5ebd3716b7, 0x134d926535897936,
			   0x4d364994d625e4da, 0x35d6b6af5e9b8b5b, 0xbcf7b7e3c7593bd8,
			   0xc41748d84fe75459 } },
};

// Takes bytes into the bare remainder, without the inversion at both ends.
static uint64_t plain(const struct kind *k, uint64_t rest, const char *p, size_t n)
{
	while (n--) {
		rest ^= (unsigned char)*p++;
		rest = (rest >> 4) ^ k->nibble[rest & 15];
		rest = (rest >> 4) ^ k->nibble[rest & 15];
	}
	return rest;
}

#if defined(__x86_64__)
#define CLMUL __attribute__((target("pclmul,sse2")))

typedef long long block __attribute__((vector_size(16)));

// The block x moved up by as many bits as the constants say, onto the block that lies there.
CLMUL static inline block fold(block x, block by, block onto)
{
	return __builtin_ia32_pclmulqdq128(x, by, 0x00) ^ __builtin_ia32_pclmulqdq128(x, by, 0x11) ^
	       onto;
}

CLMUL static inline block load(const char *p)
{
	block b;

	memcpy(&b, p, sizeof(b));
	return b;
}

// Folds all blocks of 16 bytes, at least four, into one block with the same remainder.
CLMUL static uint64_t folded(const struct kind *k, uint64_t rest, const char *p, size_t n)
{
	block by512 = { (long long)k->fold[0], (long long)k->fold[1] };
	block by128 = { (long long)k->fold[2], (long long)k->fold[3] };
	block start = { (long long)rest, 0 };
	block a = load(p) ^ start, b = load(p + 16), c = load(p + 32), d = load(p + 48);
	char last[sizeof(block)];

	for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
		a = fold(a, by512, load(p));
		b = fold(b, by512, load(p + 16));
		c = fold(c, by512, load(p + 32));
		d = fold(d, by512, load(p + 48));
	}
	a = fold(fold(fold(a, by128, b), by128, c), by128, d);
	for (; n >= 16; p += 16, n -= 16)
		a = fold(a, by128, load(p));
	memcpy(last, &a, sizeof(last));
	return plain(k, plain(k, 0, last, sizeof(last)), p, n);
}
#endif

uint64_t crc_update_plain(enum crc_kind kind, uint64_t crc, struct span bytes)
{
	const struct kind *k = &kinds[kind];

	return plain(k, crc ^ k->ones, bytes.p, bytes.n) ^ k->ones;
}

uint64_t crc_update(enum crc_kind kind, uint64_t crc, struct span bytes)
{
#if defined(__x86_64__)
	const struct kind *k = &kinds[kind];

	if (bytes.n >= 64 && __builtin_cpu_supports("pclmul"))
		return folded(k, crc ^ k->ones, bytes.p, bytes.n) ^ k->ones;
#endif
	return crc_update_plain(kind, crc, bytes);
}

// a * b mod P; the highest bit of the width is x^0.
static uint64_t multiply(const struct kind *k, uint64_t a, uint64_t b)
{
	uint64_t one = k->ones ^ (k->ones >> 1), product = 0;

	for (uint64_t bit = one; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = (b >> 1) ^ (b & 1 ? k->poly : 0);
	}
	return product;
}

uint64_t crc_combine(enum crc_kind kind, uint64_t a, uint64_t b, uint64_t b_size)
{
	const struct kind *k = &kinds[kind];
	uint64_t one = k->ones ^ (k->ones >> 1);
	uint64_t power = one >> 8; // x^8: one byte further

	for (; b_size; b_size >>= 1) {
		if (b_size & 1)
			a = multiply(k, a, power);
		power = multiply(k, power, power);
	}
	return a ^ b;
}
