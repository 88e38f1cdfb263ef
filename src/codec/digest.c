// SPDX-License-Identifier: Apache-2.0
// The plain functions are marked deprecated in OpenSSL 3.0, yet they stay in its ABI; see the header for
// what they save.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec/digest.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/md5_lanes.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

enum { BLOCK = 64 }; // bytes; of all three

_Static_assert(sizeof(MD5_CTX) <= DIGEST_STATE, "room");
_Static_assert(sizeof(SHA_CTX) <= DIGEST_STATE, "room");
_Static_assert(sizeof(SHA256_CTX) <= DIGEST_STATE, "room");

size_t digest_size(enum digest_kind kind)
{
	return kind == DIGEST_MD5 ? 16 : kind == DIGEST_SHA1 ? 20 : 32;
}

void digest_init(struct digest *d, enum digest_kind kind)
{
	d->kind = kind;
	if (kind == DIGEST_MD5)
		MD5_Init((MD5_CTX *)(void *)d->state);
	else if (kind == DIGEST_SHA1)
		SHA1_Init((SHA_CTX *)(void *)d->state);
	else
		SHA256_Init((SHA256_CTX *)(void *)d->state);
}

void digest_update(struct digest *d, struct span bytes)
{
	if (!bytes.n)
		return;
	if (d->kind == DIGEST_MD5)
		MD5_Update((MD5_CTX *)(void *)d->state, bytes.p, bytes.n);
	else if (d->kind == DIGEST_SHA1)
		SHA1_Update((SHA_CTX *)(void *)d->state, bytes.p, bytes.n);
	else
		SHA256_Update((SHA256_CTX *)(void *)d->state, bytes.p, bytes.n);
}

_Static_assert((int)DIGEST_SIDE_BY_SIDE == (int)MD5_LANES, "a stream a lane");

static MD5_CTX *md5_of(struct digest *d)
{
	return (MD5_CTX *)(void *)d->state;
}

static void count_md5(MD5_CTX *c, size_t size)
{
	uint64_t bits = ((uint64_t)c->Nh << 32 | c->Nl) + (uint64_t)size * 8;

	c->Nl = (MD5_LONG)bits;
	c->Nh = (MD5_LONG)(bits >> 32);
}

void digest_update_md5s(struct digest *const d[], const unsigned char *const bytes[], size_t size,
			size_t n)
{
	const unsigned char *data[MD5_LANES];
	uint32_t state[MD5_LANES][4];
	bool even = n > 1 && size % MD5_BLOCK == 0;

	check(n <= MD5_LANES);
	for (size_t i = 0; i < n; i++) {
		check(d[i]->kind == DIGEST_MD5);
		even = even && !md5_of(d[i])->num;
	}
	for (size_t i = 0; i < n && !even; i++)
		digest_update(d[i], span_make(bytes[i], size));
	if (!even)
		return;
	for (size_t i = 0; i < MD5_LANES; i++) { // lanes left over do the first one's work again
		const MD5_CTX *c = md5_of(d[i < n ? i : 0]);

		memcpy(state[i], (const uint32_t[]){ c->A, c->B, c->C, c->D }, sizeof(state[i]));
		data[i] = bytes[i < n ? i : 0];
	}
	md5_lanes(0)(state, data, size / MD5_BLOCK);
	for (size_t i = 0; i < n; i++) {
		MD5_CTX *c = md5_of(d[i]);

		c->A = state[i][0];
		c->B = state[i][1];
		c->C = state[i][2];
		c->D = state[i][3];
		count_md5(c, size);
	}
}

void digest_final(struct digest *d, uint8_t out[static DIGEST_MAX])
{
	if (d->kind == DIGEST_MD5)
		MD5_Final(out, (MD5_CTX *)(void *)d->state);
	else if (d->kind == DIGEST_SHA1)
		SHA1_Final(out, (SHA_CTX *)(void *)d->state);
	else
		SHA256_Final(out, (SHA256_CTX *)(void *)d->state);
}

void digest_once(enum digest_kind kind, struct span bytes, uint8_t out[static DIGEST_MAX])
{
	struct digest d;

	digest_init(&d, kind);
	digest_update(&d, bytes);
	digest_final(&d, out);
}

void digest_hmac(enum digest_kind kind, struct span key, struct span bytes,
		 uint8_t out[static DIGEST_MAX])
{
	uint8_t pad[BLOCK] = { 0 }, inner[DIGEST_MAX];
	struct digest d;

	if (key.n > BLOCK)
		digest_once(kind, key, pad);
	else if (key.n)
		memcpy(pad, key.p, key.n);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	digest_init(&d, kind);
	digest_update(&d, span_make(pad, BLOCK));
	digest_update(&d, bytes);
	digest_final(&d, inner);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	digest_init(&d, kind);
	digest_update(&d, span_make(pad, BLOCK));
	digest_update(&d, span_make(inner, digest_size(kind)));
	digest_final(&d, out);
	mem_wipe(pad, sizeof(pad));
	mem_wipe(&d, sizeof(d));
}
