// SPDX-License-Identifier: Apache-2.0
#include "auth/password.h"

#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

enum {
	SALT = 16,
	HASH = 32,
	SCRYPT_N = 16384,
	SCRYPT_R = 8,
	SCRYPT_P = 1,
	SCRYPT_MEMORY = 64 << 20,
	CACHE = 64,
};

// Which (hash, password) pairs were found right lately, as a keyed digest of both. One derivation runs at a
// time, so a flood of wrong passwords costs one core and 16 MiB, not all.
struct password_cache {
	pthread_mutex_t lock;
	unsigned char key[HASH];
	unsigned char right[CACHE][HASH];
	unsigned next;
	pthread_mutex_t derive;
};

struct password_cache *password_cache_new(void)
{
	struct password_cache *c = mem_zalloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->derive, NULL);
	rand_bytes(c->key, sizeof(c->key));
	rand_bytes(c->right, sizeof(c->right));
	return c;
}

void password_cache_free(struct password_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->derive);
	mem_wipe(c, sizeof(*c));
	mem_free(c);
}

static void to_hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static bool from_hex(struct span s, unsigned char *out, size_t n)
{
	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned v;
		char pair[3] = { s.p[2 * i], s.p[2 * i + 1], '\0' };

		if (sscanf(pair, "%2x", &v) != 1)
			return false;
		out[i] = (unsigned char)v;
	}
	return true;
}

static bool derive(bool fast, struct span password, const unsigned char salt[static SALT],
		   unsigned char out[static HASH])
{
	unsigned n = HASH;

	if (fast)
		return HMAC(EVP_sha256(), salt, SALT, (const unsigned char *)password.p, password.n,
			    out, &n);
	return EVP_PBE_scrypt(password.p, password.n, salt, SALT, SCRYPT_N, SCRYPT_R, SCRYPT_P,
			      SCRYPT_MEMORY, out, HASH) == 1;
}

int password_hash(const char *password, bool fast, char out[static PASSWORD_HASH_MAX],
		  struct err *e)
{
	unsigned char salt[SALT], hash[HASH];
	char salt_hex[2 * SALT + 1], hash_hex[2 * HASH + 1];

	if (!password || !*password || strlen(password) > PASSWORD_MAX)
		return err_set(e, ERR_INVALID, "a password has 1 to %d characters", PASSWORD_MAX);
	rand_bytes(salt, sizeof(salt));
	if (!derive(fast, span_of(password), salt, hash))
		return err_set(e, ERR_BUG, "cannot derive a password hash");
	to_hex(salt, SALT, salt_hex);
	to_hex(hash, HASH, hash_hex);
	snprintf(out, PASSWORD_HASH_MAX, "%s$%s$%s", fast ? "sha256" : "scrypt", salt_hex,
		 hash_hex);
	mem_wipe(hash, sizeof(hash));
	return 0;
}

static void digest_of(struct password_cache *c, const char *hash, struct span password,
		      unsigned char out[static HASH])
{
	auto_free char *both = mem_printf("%s|" SPAN_FMT, hash, SPAN_ARG(password));
	unsigned n = HASH;

	HMAC(EVP_sha256(), c->key, sizeof(c->key), (unsigned char *)both, strlen(both), out, &n);
	mem_wipe(both, strlen(both));
}

static bool known(struct password_cache *c, const unsigned char digest[static HASH])
{
	auto_lock held = lock_hold(&c->lock);
	bool found = false;

	for (unsigned i = 0; i < CACHE; i++)
		found |= mem_equal_secret(c->right[i], digest, HASH);
	return found;
}

bool password_matches(struct password_cache *c, const char *hash, struct span password)
{
	unsigned char salt[SALT] = { 0 }, want[HASH], got[HASH], digest[HASH];
	struct span rest = span_of(hash), kind = span_cut(&rest, '$');
	bool fast = span_is(kind, "sha256"), ok;

	if (password.n > PASSWORD_MAX)
		return false;
	digest_of(c, hash, password, digest);
	if (known(c, digest))
		return true;
	ok = from_hex(span_cut(&rest, '$'), salt, SALT) && from_hex(rest, want, HASH);
	if (fast) {
		ok &= derive(true, password, salt, got);
	} else {
		auto_lock held = lock_hold(&c->derive);

		ok &= derive(false, password, salt, got);
	}
	ok = ok && mem_equal_secret(want, got, HASH);
	mem_wipe(got, sizeof(got));
	if (ok) {
		auto_lock held = lock_hold(&c->lock);

		memcpy(c->right[c->next++ % CACHE], digest, HASH);
	}
	return ok;
}
