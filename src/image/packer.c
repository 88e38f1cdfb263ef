// SPDX-License-Identifier: Apache-2.0
#include "image/packer.h"

#include "base/mem.h"

enum { CHUNK = 64 << 10, LEVEL = 1, GZIP_WINDOW = 15 + 16 }; // quick: it lies on our own disk first

int packer_begin(struct packer *p, int dir, uint64_t max, struct err *e)
{
	*p = (struct packer)PACKER_NONE;
	// What cannot be packed grows by a little.
	if (blob_begin(&p->blob, dir, max + max / 1000 + CHUNK, e) < 0)
		return -1;
	check(deflateInit2(&p->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	p->open = true;
	p->max = max;
	p->out = mem_alloc(CHUNK);
	digest_init(&p->plain, DIGEST_SHA256);
	return 0;
}

static bool squeeze(struct packer *p, int flush)
{
	do {
		p->z.next_out = p->out;
		p->z.avail_out = CHUNK;
		deflate(&p->z, flush);
		if (!blob_write(&p->blob, span_make(p->out, CHUNK - p->z.avail_out))) {
			p->err = p->blob.err;
			return false;
		}
	} while (p->z.avail_out == 0);
	return true;
}

bool packer_write(struct packer *p, struct span bytes)
{
	if (bytes.n > p->max - p->size) {
		err_set(&p->err, ERR_LIMIT, "the layer is over %llu bytes",
			(unsigned long long)p->max);
		return false;
	}
	p->size += bytes.n;
	digest_update(&p->plain, bytes);
	for (struct span rest = bytes; rest.n;) { // zlib counts in 32 bits
		struct span piece = span_head(rest, 1 << 30);

		p->z.next_in = (z_const Bytef *)(uintptr_t)piece.p;
		p->z.avail_in = (uInt)piece.n;
		if (!squeeze(p, Z_NO_FLUSH))
			return false;
		rest = span_from(rest, piece.n);
	}
	return true;
}

int packer_finish(struct packer *p, struct descriptor *out,
		  char diff_id[static REFERENCE_DIGEST_MAX], struct err *e)
{
	p->z.avail_in = 0;
	if (!squeeze(p, Z_FINISH)) {
		*e = p->err;
		return -1;
	}
	blob_digest_end(&p->plain, diff_id);
	out->size = p->blob.size;
	return blob_finish(&p->blob, NULL, out->digest, e);
}

void packer_drop(struct packer *p)
{
	if (p->open)
		deflateEnd(&p->z);
	p->open = false;
	mem_free(p->out);
	p->out = NULL;
	blob_drop(&p->blob);
}
