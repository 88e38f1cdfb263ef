// listed: content files as the database lists them, a page at a time. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct db;

struct listed_file {
	int64_t id;
	uint64_t size;
	struct span sums; // of its blocks
	bool bad;	  // known to be damaged
};

// At most `max` files after that id, in order of ids; fewer are the last. The arena holds the sums.
must_check int listed_files(struct db *db, int64_t after, int max, struct arena *mem,
			    struct listed_file *out, int *n, struct err *e);
