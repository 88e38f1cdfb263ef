// packer: a layer that is made here, on its way into the blob store: packed by gzip, for there are tools that take no other
// (crane validate). Its bytes depend on what is written only: no name, no time.
// Owner: the caller; packer_drop() at the end, also after packer_finish(). Threads: no state.
// Errors: ERR_LIMIT (over `max`), else those of blob.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/blob.h"

#include <zlib.h>

struct packer {
	struct blob_writer blob;
	z_stream z;
	bool open; // z is
	struct digest plain;
	uint64_t size, max; // unpacked
	struct err err;	    // why packer_write() said false
	unsigned char *out;
};

// Zeroed, with blob.fd -1, is one that never began.
#define PACKER_NONE                                                                                \
	{                                                                                          \
		.blob = {.fd = -1 }                                                                \
	}

// Begins a layer of at most `max` bytes, unpacked, in the folder of blobs.
must_check int packer_begin(struct packer *p, int dir, uint64_t max, struct err *e);
// False with p->err set.
bool packer_write(struct packer *p, struct span bytes);
// The blob is visible: *out tells its digest and size, diff_id the digest of what was written.
must_check int packer_finish(struct packer *p, struct descriptor *out,
			     char diff_id[static REFERENCE_DIGEST_MAX], struct err *e);
void packer_drop(struct packer *p);
#define auto_packer at_scope_exit(packer_drop)
