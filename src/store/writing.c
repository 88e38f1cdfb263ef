// SPDX-License-Identifier: Apache-2.0
#include "store/writing.h"

#include "base/file.h"

#include <string.h>

enum { BEGIN_BYTES = 1 << 20 };

void writing_init(struct writing *w, struct hasher *hasher, uint64_t size_max)
{
	*w = (struct writing){ .fd = -1, .hasher = hasher };
	blocks_init(&w->blocks, size_max);
}

void writing_begin(struct writing *w, int fd, bool followed)
{
	w->fd = fd;
	w->followed = followed;
	if (followed)
		hasher_begin(w->hasher, &w->hash, fd);
}

int writing_flush(struct writing *w, struct err *e)
{
	struct hash_piece *p = w->gathered;

	if (!p || !p->n)
		return 0;
	if (file_write_all(w->fd, p->bytes, p->n, e) < 0)
		return -1;
	blocks_add(&w->blocks, span_make(p->bytes, p->n));
	w->written += p->n;
	if (w->followed && hasher_wrote(w->hasher, &w->hash, p))
		w->gathered = NULL;
	else
		p->n = 0;
	if (w->written - w->begun >= BEGIN_BYTES) {
		file_begin_writing(w->fd, (off_t)w->begun, (off_t)(w->written - w->begun));
		w->begun = w->written;
	}
	return 0;
}

int writing_add(struct writing *w, struct span bytes, struct err *e)
{
	while (bytes.n) {
		struct hash_piece *p = w->gathered ? w->gathered : hasher_piece(w->hasher);
		struct span part = span_head(bytes, HASH_PIECE_BYTES - p->n);

		w->gathered = p;
		memcpy(p->bytes + p->n, part.p, part.n);
		p->n += part.n;
		bytes = span_from(bytes, part.n);
		if (p->n == HASH_PIECE_BYTES && writing_flush(w, e) < 0)
			return -1;
	}
	return 0;
}

void writing_release(struct writing *w)
{
	if (w->followed)
		hasher_drop(w->hasher, &w->hash);
	hasher_piece_free(w->hasher, w->gathered);
	file_close(w->fd);
	blocks_release(&w->blocks);
}
