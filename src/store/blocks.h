// blocks: the checksums kept beside a content file: CRC32C of each MiB, four bytes each, low byte first.
// Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "store/engine.h"

enum { BLOCK_SIZE = 1 << 20 };

// While a file is written.
struct blocks {
	struct buf sums; // of the full blocks
	uint32_t crc;
	uint32_t fill; // bytes of the block at hand
};
void blocks_init(struct blocks *b, uint64_t size_max);
void blocks_add(struct blocks *b, struct span bytes);
struct span blocks_end(struct blocks *b); // valid until blocks_release()
void blocks_release(struct blocks *b);

// Reads a content file and compares. 1 = right, 0 = not, with the reason in *e; -1 when stopped. `pace`, when not
// NULL, is called after each block and ends the reading by returning false.
must_check int blocks_verify(struct store *s, int64_t file, uint64_t size, struct span sums,
			     bool (*pace)(void *owner), void *owner, struct err *e);

// One block of an open file, by its sums: as blocks_verify(). Without sums it is right.
must_check int blocks_verify_one(int fd, uint64_t block, uint64_t size, struct span sums,
				 struct err *e);

// One block in memory. Without sums it is right.
bool blocks_right(struct span block, uint64_t number, struct span sums);

// Files whose bytes were written or found right since the start: they need no second look. A few may be taken
// for others (the set is of a fixed size); those are left to the scrubber.
struct seen;
struct seen *seen_new(void);
void seen_free(struct seen *s); // accepts NULL
bool seen_has(const struct seen *s, int64_t file);
void seen_add(struct seen *s, int64_t file);

// Remembers that a file is damaged (or right again) and names the objects that consist of it in the log.
must_check int blocks_mark(struct store *s, int64_t file, bool bad, struct err *e);
