// writing: a content file while its bytes come in. They are gathered, because the kernel takes few large pieces at half the
// price of many small ones, summed block by block, and the disk is asked to begin with what is there, so that the
// sync at the end has little to wait for. Private to store.
// Owner: the put. Threads: one at a time.
// Bounds: one piece of the hasher's a file.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/blocks.h"
#include "store/hasher.h"

struct writing {
	int fd; // the file, this is its owner; -1 before writing_begin()
	struct hasher *hasher;
	bool followed;		     // by the hasher
	struct hash_job hash;	     // then
	struct hash_piece *gathered; // bytes that the kernel does not have yet, or NULL
	struct blocks blocks;	     // of all bytes that it has
	uint64_t written;	     // how many
	uint64_t begun;		     // of these, what the disk was asked to begin with
};

void writing_init(struct writing *w, struct hasher *hasher, uint64_t size_max);
void writing_begin(struct writing *w, int fd,
		   bool followed); // the descriptor of an empty file is taken over
must_check int writing_add(struct writing *w, struct span bytes, struct err *e);
must_check int writing_flush(struct writing *w, struct err *e); // all that was added is in the file
void writing_release(struct writing *w);			// also when it was never begun
