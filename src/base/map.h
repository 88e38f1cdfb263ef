// map: hash table from byte-string keys to pointers. Keys are copied; values belong to the caller.
// Threads: none of its own; the owner locks. Hashing is seeded at start (SipHash-2-4), so keys chosen by
// a peer cannot pile up.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

struct map_slot;
struct map {
	struct map_slot *slots; // zeroed is an empty map
	size_t cap, count, dead;
};

void map_release(struct map *m);

void *map_get(const struct map *m, struct span key);	    // NULL when absent
void *map_put(struct map *m, struct span key, void *value); // the value that was there, or NULL
void *map_remove(struct map *m, struct span key);	    // the value that was there, or NULL

// Visits every entry: start with *at = 0; false at the end. Removing the entry just visited is fine.
bool map_next(const struct map *m, size_t *at, struct span *key, void **value);

// The hash of this process, for tables of other kinds.
uint64_t map_hash(struct span s);

static inline struct span map_key_u64(const uint64_t *k)
{
	return span_make(k, sizeof(*k));
}
