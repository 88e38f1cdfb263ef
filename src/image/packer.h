// packer: a layer that is made here, packed on its way into the blob store.
// Owner: the caller; packer_drop() at the end, also after packer_finish(). Threads: no state.
// Errors: ERR_LIMIT (over `max`), else those of blob.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/blob.h"
#include "image/gzip.h"

struct packer {
	struct blob_writer blob;
	struct gzip gzip;
	uint64_t size, max; // unpacked
	struct err err;	    // why packer_write() said false
};

// Zeroed, with blob.fd -1, is one that never began.
#define PACKER_NONE                                                                                \
	{                                                                                          \
		.blob = {.fd = -1 }                                                                \
	}

// Begins a layer of at most `max` bytes, unpacked, in the folder of blobs. *p must stay where it is.
must_check int packer_begin(struct packer *p, int dir, uint64_t max, struct err *e);
// False with p->err set.
bool packer_write(struct packer *p, struct span bytes);
// The blob is visible: *out tells its digest and size, diff_id the digest of what was written.
must_check int packer_finish(struct packer *p, struct descriptor *out,
			     char diff_id[static REFERENCE_DIGEST_MAX], struct err *e);
void packer_drop(struct packer *p);
#define auto_packer at_scope_exit(packer_drop)
