// keeper: the thread that removes what time has made superfluous: objects by their bucket's lifecycle rules,
// uploads that nobody completes, answers to completions. It works in pages: each is read without holding a
// transaction open, and each write shares its commit with whoever else is waiting. A restart begins the walk
// again; what was due and still is will be found. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/lifecycle.h"
#include "store/engine.h"

struct keeper;
void keeper_start(struct keeper **out, struct store *s);
void keeper_stop(struct keeper *k); // accepts NULL

// One walk over everything. Returns what was changed, or -1.
must_check int64_t keeper_walk(struct store *s, const atomic_bool *stop, struct err *e);
// Of one bucket (rules.c).
must_check int64_t keeper_bucket(struct store *s, int64_t bucket, const atomic_bool *stop,
				 struct err *e);

// Parsed rules, kept while no document changes. Threads: safe.
struct rules_cache *rules_cache_new(void);
void rules_cache_free(struct rules_cache *c); // accepts NULL

// When something of that time is due by days: at the midnight after, unless a test made days shorter.
int64_t keeper_due(int64_t time_ns, unsigned days, unsigned day_s);
must_check int lifecycle_load(struct db_conn *c, int64_t bucket, struct arena *mem,
			      struct lifecycle *out,
			      struct err *e); // 1 = there are rules, 0 = none
