// differences: files that differ from their rows, written to the index some at a time. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/place.h"

enum { DIFFERENCES_MAX = 256 }; // in one transaction

struct difference {
	struct span key;
	int64_t version; // of the row that it was compared with; 0 = none
	bool gone;
	int64_t inode;
	uint64_t size;
	int64_t mtime_ns;
};

// Set its place; release mem at the end.
struct differences {
	struct place *place;
	struct arena mem;
	struct difference changes[DIFFERENCES_MAX];
	size_t n;
};

// The file of this key is not as its row (`version`, 0 = there is none) says; st NULL: it is gone. Writes when full.
must_check int differences_note(struct differences *w, struct span key, int64_t version,
				const struct stat *st, struct err *e);
must_check int differences_flush(struct differences *w, struct err *e);
