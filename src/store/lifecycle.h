// lifecycle: the rules by which objects leave a bucket of their own accord.
// The document is XML as codec/lifecycle.h reads it; it must have been checked by lifecycle_parse(). The store's
// keeper, a thread of its own, acts on it (store_options: day_s, upload_days).
// Threads: safe. Errors: as in store/store.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/store.h"

// p == NULL removes the rules. [sync]
must_check int store_lifecycle_set(struct store *s, struct span bucket, struct span xml,
				   struct err *e);
// ERR_NOT_FOUND with STORE_NO_CONFIG when the bucket has none.
must_check int store_lifecycle_get(struct store *s, struct span bucket, struct arena *mem,
				   struct span *xml, struct err *e);

// When the bucket's rules will remove this latest version: 1 with the earliest time and the rule, 0 when none
// does, -1 on failure.
must_check int store_lifecycle_due(struct store *s, const struct store_bucket *b,
				   const struct store_object *o, struct arena *mem, int64_t *due_ns,
				   struct span *rule, struct err *e);
// The same of an upload that nobody completes.
must_check int store_lifecycle_abort_due(struct store *s, const struct store_bucket *b,
					 struct span key, int64_t begun_ns, struct arena *mem,
					 int64_t *due_ns, struct span *rule, struct err *e);
