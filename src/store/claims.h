// claims: keys of directories that somebody writes, or whose rename is left (placing.h). Private to store.
// Owner: struct store. Threads: safe; claims_lock is held for moments only.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "store/engine.h"

void claims_init(struct store *s);
void claims_release(struct store *s);

// `part` is where the file lies until it is renamed, below the root. False when somebody else has the key.
bool claim_take(struct store *s, int64_t bucket, struct span key, const char *part);
void claim_noted(struct store *s, int64_t bucket, struct span key); // a note may be in the database
// The end of the work; with a note the claim stays, and somebody else may take it over.
void claim_end(struct store *s, int64_t bucket, struct span key, bool noted);
bool claim_held(struct store *s, int64_t bucket, struct span key);
char *claim_part(struct store *s, int64_t bucket,
		 struct span key);			// the caller's; NULL: not claimed
bool claim_has_part(struct store *s, struct span path); // of any bucket

// Makes a claim that has a note and no owner ours. False: it has an owner, or is no more.
bool claim_over(struct store *s, int64_t bucket, struct span key);
// Those of a bucket that nobody works on, at most `max`.
struct claim_left {
	struct span key, part;
};
size_t claims_left(struct store *s, int64_t bucket, struct arena *mem, struct claim_left *out,
		   size_t max);
