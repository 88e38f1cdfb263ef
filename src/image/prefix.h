// prefix: the places where an environment made by conda-pack names the folder that it was built in. Its own program for
// that, bin/conda-unpack, is a Python script that holds a list of them; we read the list and run nothing.
// Pure: bytes of strangers to bytes. Owner: results live in the caller's arena or buffer. Threads: no state.
// Errors: ERR_INVALID (not such a list, no room for the new name), ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum { PREFIX_RECORDS_MAX = 500000, PREFIX_NAME_MAX = 64 };

struct prefix_record {
	struct span path;	 // of a file below the environment
	struct span placeholder; // what stands in it for the environment's folder
	bool binary;		 // between NULs, whose number must stay
};

// The list in the text of bin/conda-unpack.
must_check int prefix_records(struct span script, struct arena *mem, struct prefix_record **out,
			      size_t *n, struct err *e);

// Appends `data` to `out` with `prefix` for the placeholder, as conda does it: in a text wherever it stands; in a binary
// the string that it is in is moved up and filled with NULs, so that the file keeps its size.
must_check int prefix_fix(const struct prefix_record *r, struct span data, struct span prefix,
			  struct buf *out, struct err *e);
