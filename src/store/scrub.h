// scrub: the thread that reads every content file again from time to time and compares it with its checksums.
// Slowly, so that nobody notices; where it was is kept in the database, so that a restart goes on. What differs
// is marked: its versions answer with an error from then on, never with wrong bytes. Private to store.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/engine.h"

struct scrub;
void scrub_start(struct scrub **out, struct store *s);
void scrub_stop(struct scrub *k); // accepts NULL

// Has a file looked at soon, because a reader found it damaged. Never blocks. When many are, some are left to the
// ordinary round.
void scrub_suspect(struct scrub *k, int64_t file);

// Files after *at, until all are read or `pace` (may be NULL) says no: then *at is where to go on. The number of
// files found damaged, or -1.
must_check int64_t scrub_files(struct store *s, int64_t *at, bool (*pace)(void *owner), void *owner,
			       struct err *e);
