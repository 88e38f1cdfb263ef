// hot: what was read lately of buckets and objects, kept so that reading it again asks no database. Private to store.
// Nothing old is ever answered: a write throws away what it changes before its commit, and what was read before a
// commit is not kept after it (db_moment()).
// Threads: any. Functions ending in _in run inside a write, on the writer thread.
// Bounds: the bytes given at the start, counting rows and bodies; 4,096 buckets.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/engine.h"

struct hot;
struct hot *hot_new(struct db *db, uint64_t bytes_max);
void hot_free(struct hot *h); // accepts NULL

// Without the counts of objects and bytes, which change with each write.
bool hot_bucket(struct hot *h, struct span name, struct store_bucket *out);
void hot_bucket_keep(struct hot *h, uint64_t moment, const struct store_bucket *b);

// The latest version, which is no delete marker. What belongs to the object is copied into mem. `body`: the bytes of
// an inline object, copied into body_mem; NULL = not asked for.
bool hot_object(struct hot *h, const struct store_bucket *b, struct span key, struct arena *mem,
		struct store_object *o, struct content *at, struct arena *body_mem,
		struct span *body);
// body.p == NULL: not known, or in files.
void hot_object_keep(struct hot *h, uint64_t moment, const struct store_object *o,
		     struct content at, struct span body);

// Before a row of this key, or of any bucket, is changed.
void hot_object_changes_in(struct hot *h, int64_t bucket, struct span key);
void hot_buckets_change_in(struct hot *h);
