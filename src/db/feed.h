// feed: one increasing sequence of everything that happened (object, job, service, node). API streams, UI,
// notifications and elasticity all read it; a reader resumes by the last number it saw.
// Threads: feed_append inside a write; feed_read on any thread. Errors: those of db.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "db/db.h"

// kind: "job", "object", "service", "node", …; owner: who may see it; doc: one JSON object.
must_check int feed_append(struct db_conn *c, const char *kind, int64_t owner, struct span doc,
			   struct err *e);

struct feed_entry {
	int64_t seq;
	int64_t time_ns;
	struct span kind, doc;
	int64_t owner;
};

// Entries after `after`, at most `limit`, in order.
must_check int feed_read(struct db *d, int64_t after, size_t limit, struct arena *mem,
			 struct feed_entry **out, size_t *n, struct err *e);

// The newest number, 0 when empty.
must_check int feed_last(struct db *d, int64_t *out, struct err *e);

// Drops the oldest entries, at most `limit`, keeping the newest `keep`. Inside a write.
must_check int feed_trim(struct db_conn *c, int64_t keep, int64_t limit, struct err *e);
