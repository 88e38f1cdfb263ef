// SPDX-License-Identifier: Apache-2.0
#include "codec/md5_lanes.h"

#include "base/span.h"

#include <string.h>

// The compiler makes of these what the machine has: two registers of SSE2 or NEON, or one of AVX.
typedef uint32_t lanes __attribute__((vector_size(4 * MD5_LANES)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// floor(2^32 * abs(sin(i + 1)))
static const uint32_t sines[MD5_BLOCK] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
	0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
	0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
	0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
	0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391,
};

// w[j] = word j of each stream, of eight words: a transposition in three steps.
ALWAYS_INLINE void words(lanes w[static MD5_LANES],
			 const unsigned char *const data[static MD5_LANES], size_t at)
{
	lanes r[MD5_LANES], s[MD5_LANES];

	for (int i = 0; i < MD5_LANES; i++)
		memcpy(&r[i], data[i] + at, sizeof(r[i]));
	for (int i = 0; i < MD5_LANES; i += 2) {
		s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
		s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
	}
	for (int i = 0; i < MD5_LANES; i += 4)
		for (int k = 0; k < 2; k++) {
			r[i + k] = __builtin_shufflevector(s[i + k], s[i + k + 2], 0, 1, 8, 9, 4, 5,
							   12, 13);
			r[i + k + 2] = __builtin_shufflevector(s[i + k], s[i + k + 2], 2, 3, 10, 11,
							       6, 7, 14, 15);
		}
	for (int k = 0; k < 4; k++) {
		w[k] = __builtin_shufflevector(r[k], r[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
		w[k + 4] = __builtin_shufflevector(r[k], r[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

#define STEP(f, a, b, m, i, shift)                                                                 \
	do {                                                                                       \
		lanes t = (a) + (f) + w[m] + sines[i];                                             \
		(a) = (b) + ((t << (shift)) | (t >> (32 - (shift))));                              \
	} while (0)
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))
// Four steps of a round: step i uses word (MUL * i + ADD) mod 16.
#define FOUR(f, i, mul, add, s0, s1, s2, s3)                                                       \
	do {                                                                                       \
		STEP(f(b, c, d), a, b, ((mul) * (i) + (add)) % 16, i, s0);                         \
		STEP(f(a, b, c), d, a, ((mul) * ((i) + 1) + (add)) % 16, (i) + 1, s1);             \
		STEP(f(d, a, b), c, d, ((mul) * ((i) + 2) + (add)) % 16, (i) + 2, s2);             \
		STEP(f(c, d, a), b, c, ((mul) * ((i) + 3) + (add)) % 16, (i) + 3, s3);             \
	} while (0)
#define ROUND(f, i, mul, add, s0, s1, s2, s3)                                                      \
	do {                                                                                       \
		FOUR(f, i, mul, add, s0, s1, s2, s3);                                              \
		FOUR(f, (i) + 4, mul, add, s0, s1, s2, s3);                                        \
		FOUR(f, (i) + 8, mul, add, s0, s1, s2, s3);                                        \
		FOUR(f, (i) + 12, mul, add, s0, s1, s2, s3);                                       \
	} while (0)

ALWAYS_INLINE void all(uint32_t state[static MD5_LANES][4],
		       const unsigned char *const data[static MD5_LANES], size_t blocks)
{
	lanes a = { 0 }, b = a, c = a, d = a, w[16];

	for (int i = 0; i < MD5_LANES; i++) {
		a[i] = state[i][0];
		b[i] = state[i][1];
		c[i] = state[i][2];
		d[i] = state[i][3];
	}
	for (size_t at = 0; at < blocks * MD5_BLOCK; at += MD5_BLOCK) {
		lanes a0 = a, b0 = b, c0 = c, d0 = d;

		words(w, data, at);
		words(w + 8, data, at + MD5_BLOCK / 2);
		ROUND(F, 0, 1, 0, 7, 12, 17, 22);
		ROUND(G, 16, 5, 1, 5, 9, 14, 20);
		ROUND(H, 32, 3, 5, 4, 11, 16, 23);
		ROUND(I, 48, 7, 0, 6, 10, 15, 21);
		a += a0;
		b += b0;
		c += c0;
		d += d0;
	}
	for (int i = 0; i < MD5_LANES; i++) {
		state[i][0] = a[i];
		state[i][1] = b[i];
		state[i][2] = c[i];
		state[i][3] = d[i];
	}
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "MD5 reads its words little-endian");

#ifdef __x86_64__
__attribute__((target("avx2,avx512f,avx512vl"))) static void
with_avx512(uint32_t state[static MD5_LANES][4], const unsigned char *const data[static MD5_LANES],
	    size_t blocks)
{
	all(state, data, blocks);
}

__attribute__((target("avx2"))) static void
with_avx2(uint32_t state[static MD5_LANES][4], const unsigned char *const data[static MD5_LANES],
	  size_t blocks)
{
	all(state, data, blocks);
}
#endif

static void plain(uint32_t state[static MD5_LANES][4],
		  const unsigned char *const data[static MD5_LANES], size_t blocks)
{
	all(state, data, blocks);
}

md5_lanes_fn *md5_lanes(unsigned i)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512vl") && i-- == 0)
		return with_avx512;
	if (__builtin_cpu_supports("avx2") && i-- == 0)
		return with_avx2;
#endif
	return i == 0 ? plain : NULL;
}
