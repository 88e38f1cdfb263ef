// outputs: what the script left in its output directory, and how it gets to the storages.
// Nothing in the directory is trusted to be what its name says: no link is followed, nothing but regular
// files and directories is taken. Owner: names live in the caller's arena. Threads: one.
// Errors: ERR_INVALID (a link, a device, a name that is no text), ERR_LIMIT, ERR_IO, those of storage.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "supervisor/config.h"
#include "supervisor/storage.h"

struct output {
	const char *name; // relative to the directory
	uint64_t size;
};

struct outputs {
	int dir; // borrowed
	struct output *files;
	size_t n;
};

enum { OUTPUTS_MAX = 100000, OUTPUTS_DEPTH_MAX = 64, OUTPUT_NAME_MAX = 1024 };

// All files below `dir`, sorted by name.
must_check int outputs_find(int dir, struct arena *mem, struct outputs *out, struct err *e);

// Opens one for reading; ERR_CONFLICT when it is not the file that was found.
must_check int outputs_open(const struct outputs *o, size_t i, struct err *e);

// Is this file one for this entry? *key becomes its name in the bucket: folder/name.
bool outputs_key(const struct fdl_io *io, const char *name, struct arena *mem, const char **key);

// The entry's bucket, or that of the event when users are kept apart and the list has it.
const char *outputs_bucket(const struct config *c, const struct fdl_io *io,
			   const char *event_bucket);

// Sends each file to every entry it fits. stores[i] belongs to outputs[i] of the configuration; NULL =
// leave it out. Stops at the first failure, and says how many had been sent.
must_check int outputs_send(const struct outputs *o, const struct config *c,
			    struct storage **stores, const char *event_bucket,
			    const struct report *report, struct arena *mem, struct err *e);
