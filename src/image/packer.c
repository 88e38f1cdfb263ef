// SPDX-License-Identifier: Apache-2.0
#include "image/packer.h"

enum { GROWTH = 64 << 10 };

static bool put(void *owner, struct span packed)
{
	struct packer *p = owner;

	if (blob_write(&p->blob, packed))
		return true;
	p->err = p->blob.err;
	return false;
}

int packer_begin(struct packer *p, int dir, uint64_t max, struct err *e)
{
	*p = (struct packer)PACKER_NONE;
	// What cannot be packed grows by a little.
	if (blob_begin(&p->blob, dir, max + max / 1000 + GROWTH, e) < 0)
		return -1;
	p->max = max;
	gzip_begin(&p->gzip, put, p);
	return 0;
}

bool packer_write(struct packer *p, struct span bytes)
{
	if (bytes.n > p->max - p->size) {
		err_set(&p->err, ERR_LIMIT, "the layer is over %llu bytes",
			(unsigned long long)p->max);
		return false;
	}
	p->size += bytes.n;
	return gzip_write(&p->gzip, bytes);
}

int packer_finish(struct packer *p, struct descriptor *out,
		  char diff_id[static REFERENCE_DIGEST_MAX], struct err *e)
{
	if (!gzip_end(&p->gzip, diff_id)) {
		*e = p->err;
		return -1;
	}
	out->size = p->blob.size;
	return blob_finish(&p->blob, NULL, out->digest, e);
}

void packer_drop(struct packer *p)
{
	gzip_drop(&p->gzip);
	blob_drop(&p->blob);
}
