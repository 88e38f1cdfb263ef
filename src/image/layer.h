// layer: one layer of an image made of a few files, the same bytes each time: names in order, everything root's, times
// at 1970, nothing of this machine.
// Owner: the caller releases. Threads: no state.
// Errors: ERR_INVALID (a name, two files of one name, a thing that is no file, folder or link), ERR_LIMIT, ERR_NOT_FOUND,
//   ERR_FULL, ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/file.h"
#include "image/manifest.h"

enum { LAYER_FILES_MAX = 100000 };

struct layer_file {
	const char *to;	  // absolute, as the image shall show it
	const char *from; // a file, or a folder with all that is in it; NULL = `bytes`
	struct span bytes;
	bool executable; // of `bytes`; a file keeps its own
};

struct layer {
	int fd;			// the packed layer, from its beginning
	struct descriptor blob; // digest and size; the media type is the manifest's affair
	char diff_id[REFERENCE_DIGEST_MAX];
};
// The packed bytes lie in an unnamed file in `tmp` (NULL = /tmp). *out needs layer_release(), also after a failure.
must_check int layer_make(const struct layer_file *files, size_t n, const char *tmp,
			  struct layer *out, struct err *e);
static inline void layer_release(struct layer *l)
{
	file_close(l->fd);
	l->fd = -1;
}
#define auto_layer at_scope_exit(layer_release)
