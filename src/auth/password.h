// password: salted hashes of passwords, and a cache so that each request does not pay for one.
// Form: "scrypt$SALT$HASH" (RFC 7914, N=16384 r=8 p=1: 16 MiB, about 50 ms) for stored passwords;
// "sha256$SALT$HASH" for one that configuration gives in clear at each start. Private to auth.
// Threads: safe.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

enum { PASSWORD_HASH_MAX = 128, PASSWORD_MAX = 256 };

struct password_cache;
struct password_cache *password_cache_new(void);
void password_cache_free(struct password_cache *c);

// ERR_INVALID when empty or over PASSWORD_MAX.
must_check int password_hash(const char *password, bool fast, char out[static PASSWORD_HASH_MAX],
			     struct err *e);

// hash "" never matches, at the same price.
bool password_matches(struct password_cache *c, const char *hash, struct span password);
