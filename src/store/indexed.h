// indexed: the rows of a directory's bucket in the order of keys, a page at a time. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/place.h"

enum { INDEXED_PAGE = 1000 };

struct indexed { // a file as its row has it
	struct span key;
	int64_t inode, mtime_ns, version;
	uint64_t size;
};

// Set its place; release mem at the end.
struct indexed_rows {
	struct place *place;
	struct arena mem;
	struct indexed at[INDEXED_PAGE];
	size_t n, next;
	bool end;
	char last[STORE_KEY_MAX + 1];
};

// The next row, without taking it; NULL at the end. It is valid until the next peek.
must_check int indexed_peek(struct indexed_rows *r, const struct indexed **out, struct err *e);
void indexed_take(struct indexed_rows *r);

// The file is still what was indexed.
bool indexed_same(const struct indexed *row, const struct stat *st);
