// gzip: a layer on its way from tar to what is kept of it: packed by gzip, and counted. What comes out depends on what is
// written only: no name, no time. Tools take no other packing everywhere (crane validate).
// Owner: the caller; gzip_drop() at the end, whatever became of it. Threads: no state. Errors: those of `put`.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/digest.h"
#include "image/manifest.h"

#include <zlib.h>

struct gzip {
	bool (*put)(void *owner, struct span packed); // false: it cannot be kept
	void *owner;
	z_stream z;
	bool open; // z is
	struct digest plain;
	unsigned char *out;
};

void gzip_begin(struct gzip *g, bool (*put)(void *owner, struct span packed), void *owner);
bool gzip_write(struct gzip *g, struct span bytes);
// diff_id: the digest of what was written.
bool gzip_end(struct gzip *g, char diff_id[static REFERENCE_DIGEST_MAX]);
void gzip_drop(struct gzip *g); // accepts a zeroed one
