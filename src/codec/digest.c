// SPDX-License-Identifier: Apache-2.0
// The plain functions are marked deprecated in OpenSSL 3.0, yet they stay in its ABI; see the header for
// what they save.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec/digest.h"

#include "base/mem.h"

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
