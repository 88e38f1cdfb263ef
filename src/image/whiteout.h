// whiteout: what a layer takes away from the layers below it (OCI image specification, "Whiteouts"), in one tree.
// The names that the layer brings are kept in mind, so that its own files survive its own marks.
// Owner: one layer's unpacking. Threads: one.
// Errors: ERR_INVALID (a mark without a name, a tree too deep), ERR_LIMIT (too many names), ERR_IO.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/map.h"

struct whiteout {
	struct map made; // inode of a folder and a name in it
	uint64_t bytes;
};

// The layer brought `name` in `dir`.
must_check int whiteout_keep(struct whiteout *w, int dir, const char *name, struct err *e);
// `mark` is ".wh.NAME" or ".wh..wh..opq" (all of the folder). Other marks that begin with ".wh..wh." say nothing here.
must_check int whiteout_apply(struct whiteout *w, int dir, const char *mark, struct err *e);
void whiteout_release(struct whiteout *w);
