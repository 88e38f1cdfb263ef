// SPDX-License-Identifier: Apache-2.0
#include "s3/sealed.h"

#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <argon2.h>
#include <openssl/evp.h>

enum {
	SALT = 32,
	NONCE = 8,
	KEY = 32,
	TAG = 16,
	FRAGMENT = 16384,
	ARGON_KIB = 64 * 1024,
	ARGON_LANES = 4,
	PBKDF2_ROUNDS = 8192,
};

static pthread_mutex_t argon_lock = PTHREAD_MUTEX_INITIALIZER; // one derivation at a time

struct cipher {
	EVP_CIPHER_CTX *ctx;
	const EVP_CIPHER *kind;
	uint8_t key[KEY];
	uint8_t nonce[NONCE + 4]; // and the fragment's number, little endian
	uint8_t bound
		[1 +
		 TAG]; // authenticated with every fragment: whether it is the last one, and a tag
	uint32_t number;
};

static void cipher_release(struct cipher *c)
{
	EVP_CIPHER_CTX_free(c->ctx);
	mem_wipe(c, sizeof(*c));
}

static int derive(struct span secret, const uint8_t *salt, unsigned kind, uint8_t key[static KEY],
		  struct err *e)
{
	argon2_context ctx = { .out = key,
			       .outlen = KEY,
			       .pwd = (uint8_t *)(uintptr_t)secret.p,
			       .pwdlen = (uint32_t)secret.n,
			       .salt = (uint8_t *)(uintptr_t)salt,
			       .saltlen = SALT,
			       .t_cost = 1,
			       .m_cost = ARGON_KIB,
			       .lanes = ARGON_LANES,
			       .threads = 1,
			       .version = ARGON2_VERSION_13 };
	int bad;

	if (kind == SEALED_PBKDF2_AES)
		return PKCS5_PBKDF2_HMAC(secret.p, (int)secret.n, salt, SALT, PBKDF2_ROUNDS,
					 EVP_sha256(), KEY, key) == 1
			       ? 0
			       : err_set(e, ERR_BUG, "PBKDF2 failed");
	auto_lock held = lock_hold(&argon_lock);

	bad = argon2id_ctx(&ctx);
	return bad ? err_set(e, ERR_UNAVAILABLE, "Argon2id: %s", argon2_error_message(bad)) : 0;
}

// One fragment, either way; the tag follows what is sealed. False when it is not authentic.
static bool fragment(struct cipher *c, bool seal, struct span in, struct span bound, uint8_t *out)
{
	uint8_t tag[TAG];
	int n = 0, k = 0;
	bool good;

	for (int i = 0; i < 4; i++)
		c->nonce[NONCE + i] = (uint8_t)(c->number >> (8 * i));
	c->number++;
	if (!seal) {
		in.n -= TAG;
		memcpy(tag, in.p + in.n, TAG);
	}
	good = EVP_CipherInit_ex(c->ctx, c->kind, NULL, c->key, c->nonce, seal) == 1 &&
	       (!bound.n ||
		EVP_CipherUpdate(c->ctx, NULL, &k, (const uint8_t *)bound.p, (int)bound.n) == 1) &&
	       (!in.n ||
		EVP_CipherUpdate(c->ctx, out, &n, (const uint8_t *)in.p, (int)in.n) == 1) &&
	       (seal || EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1) &&
	       EVP_CipherFinal_ex(c->ctx, out + n, &k) == 1;
	if (good && seal)
		good = EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out + in.n) == 1;
	return good;
}

// Fragment 0 is empty: its tag is bound to all others.
static int cipher_init(struct cipher *c, struct span secret, struct span head, struct err *e)
{
	const uint8_t *p = (const uint8_t *)head.p;

	*c = (struct cipher){ .ctx = EVP_CIPHER_CTX_new() };
	if (!c->ctx || p[SALT] > SEALED_PBKDF2_AES)
		return err_set(e, ERR_INVALID, "the body is sealed in no known way");
	c->kind = p[SALT] == SEALED_ARGON_CHACHA ? EVP_chacha20_poly1305() : EVP_aes_256_gcm();
	memcpy(c->nonce, p + SALT + 1, NONCE);
	if (derive(secret, p, p[SALT], c->key, e) < 0)
		return -1;
	return fragment(c, true, SPAN(""), SPAN(""), c->bound + 1)
		       ? 0
		       : err_set(e, ERR_BUG, "the cipher does not work");
}

static int open_all(struct cipher *c, struct span rest, struct buf *out, struct err *e)
{
	bool last = false;

	while (!last) {
		struct span piece = span_head(rest, FRAGMENT + TAG);
		char *room;

		last = rest.n <= FRAGMENT + TAG;
		rest = span_from(rest, piece.n);
		if (piece.n < TAG)
			return err_set(e, ERR_INVALID, "the sealed body is too short");
		room = buf_room(out, piece.n - TAG + 1);
		if (!room)
			return err_set(e, ERR_LIMIT, "the sealed body is too large");
		c->bound[0] = last ? 0x80 : 0;
		if (!fragment(c, false, piece, span_make(c->bound, sizeof(c->bound)),
			      (uint8_t *)room))
			return err_set(e, ERR_UNAUTH,
				       "the body was not sealed with the caller's secret key");
		buf_grown(out, piece.n - TAG);
	}
	return 0;
}

int sealed_open(struct span secret, struct span body, struct buf *out, struct err *e)
{
	struct cipher c;
	int bad;

	if (body.n < SEALED_HEAD + TAG)
		return err_set(e, ERR_INVALID, "the sealed body is too short");
	bad = cipher_init(&c, secret, body, e) < 0 ||
	      open_all(&c, span_from(body, SEALED_HEAD), out, e) < 0;
	cipher_release(&c);
	return bad ? -1 : 0;
}

int sealed_make(struct span secret, enum sealed_kind kind, struct span plain, struct buf *out,
		struct err *e)
{
	uint8_t head[SEALED_HEAD];
	struct cipher c;
	bool last = false;
	int bad;

	rand_bytes(head, sizeof(head));
	head[SALT] = (uint8_t)kind;
	buf_add(out, head, sizeof(head));
	bad = cipher_init(&c, secret, span_make(head, sizeof(head)), e);
	while (!bad && !last) {
		struct span piece = span_head(plain, FRAGMENT);
		char *room = buf_room(out, piece.n + TAG);

		last = plain.n <= FRAGMENT;
		plain = span_from(plain, piece.n);
		c.bound[0] = last ? 0x80 : 0;
		if (!room)
			bad = err_set(e, ERR_LIMIT, "the body is too large");
		else if (!fragment(&c, true, piece, span_make(c.bound, sizeof(c.bound)),
				   (uint8_t *)room))
			bad = err_set(e, ERR_BUG, "the cipher does not work");
		else
			buf_grown(out, piece.n + TAG);
	}
	cipher_release(&c);
	return bad;
}
