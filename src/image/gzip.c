// SPDX-License-Identifier: Apache-2.0
#include "image/gzip.h"

#include "base/mem.h"
#include "image/blob.h"

// Level 1 packs the supervisor of 6.1 MB to 2.8 MB; 6 makes that 2.6 MB in three times the time.
enum { CHUNK = 64 << 10, LEVEL = 1, GZIP_WINDOW = 15 + 16 };

void gzip_begin(struct gzip *g, bool (*put)(void *owner, struct span packed), void *owner)
{
	*g = (struct gzip){ .put = put, .owner = owner, .open = true };
	// zlib writes no name and no time of its own accord.
	check(deflateInit2(&g->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	g->out = mem_alloc(CHUNK);
	digest_init(&g->plain, DIGEST_SHA256);
}

static bool squeeze(struct gzip *g, int flush)
{
	do {
		g->z.next_out = g->out;
		g->z.avail_out = CHUNK;
		deflate(&g->z, flush);
		if (!g->put(g->owner, span_make(g->out, CHUNK - g->z.avail_out)))
			return false;
	} while (g->z.avail_out == 0);
	return true;
}

bool gzip_write(struct gzip *g, struct span bytes)
{
	digest_update(&g->plain, bytes);
	while (bytes.n) { // zlib counts in 32 bits
		struct span piece = span_head(bytes, 1 << 30);

		g->z.next_in = (z_const Bytef *)(uintptr_t)piece.p;
		g->z.avail_in = (uInt)piece.n;
		if (!squeeze(g, Z_NO_FLUSH))
			return false;
		bytes = span_from(bytes, piece.n);
	}
	return true;
}

bool gzip_end(struct gzip *g, char diff_id[static REFERENCE_DIGEST_MAX])
{
	g->z.avail_in = 0;
	blob_digest_end(&g->plain, diff_id);
	return squeeze(g, Z_FINISH);
}

void gzip_drop(struct gzip *g)
{
	if (g->open)
		deflateEnd(&g->z);
	g->open = false;
	mem_free(g->out);
	g->out = NULL;
}
