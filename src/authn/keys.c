// SPDX-License-Identifier: Apache-2.0
#include "authn/keys.h"

#include "base/mem.h"

enum { CACHE_MAX = 1024, NAME_MAX_BYTES = 512 };

static void forget(struct authn *a)
{
	size_t at = 0;
	struct span name;
	void *key;

	while (map_next(&a->keys, &at, &name, &key)) {
		mem_wipe(key, 32);
		mem_free(key);
	}
	map_release(&a->keys);
	a->keys = (struct map){ 0 };
}

void keys_release(struct authn *a)
{
	forget(a);
}

static bool find(struct authn *a, struct span name, uint8_t out[static 32])
{
	auto_lock held = lock_hold(&a->lock);
	const void *key = map_get(&a->keys, name);

	if (key)
		memcpy(out, key, 32);
	return key != NULL;
}

// Days and secrets change; a full cache is simply begun anew.
static void keep(struct authn *a, struct span name, const uint8_t key[static 32])
{
	auto_lock held = lock_hold(&a->lock);
	void *copy;

	if (a->keys.count >= CACHE_MAX)
		forget(a);
	copy = mem_alloc(32);
	memcpy(copy, key, 32);
	mem_free(map_put(&a->keys, name, copy));
}

void keys_derive(struct authn *a, struct span secret, const struct sigv4_scope *s,
		 uint8_t out[static 32])
{
	char name[NAME_MAX_BYTES];
	int n = snprintf(name, sizeof(name), SPAN_FMT "%c" SPAN_FMT "%c" SPAN_FMT "%c" SPAN_FMT,
			 SPAN_ARG(secret), 0, SPAN_ARG(s->date), 0, SPAN_ARG(s->region), 0,
			 SPAN_ARG(s->service));

	if (n < 0 || (size_t)n >= sizeof(name)) {
		sigv4_key(secret, s, out);
	} else if (!find(a, span_make(name, (size_t)n), out)) {
		sigv4_key(secret, s, out);
		keep(a, span_make(name, (size_t)n), out);
	}
	mem_wipe(name, sizeof(name));
}
