// keys: day keys of version 4 signatures, derived once per secret, day and region. Private to authn.
// Threads: safe; the lock is held for a look-up only.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "authn/authn.h"
#include "base/lock.h"
#include "base/map.h"

struct authn {
	struct auth *auth;
	char *region;
	int64_t skew_ns;
	uint8_t token_key[32]; // of this process only: its tokens end with it
	pthread_mutex_t lock;  // guards the cache
	struct map keys;       // "secret NUL date NUL region NUL service" to 32 bytes
};

void keys_derive(struct authn *a, struct span secret, const struct sigv4_scope *s,
		 uint8_t out[static 32]);
void keys_release(struct authn *a);
