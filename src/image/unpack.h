// unpack: layers of an image into a directory, without privileges and without trust.
// No name leaves the directory, whatever links the archive makes; devices and sockets are left out; set-user-id
// bits are dropped; everything belongs to the caller.
// Threads: no state. Errors: ERR_INVALID (not an archive, a name that climbs out), ERR_LIMIT, ERR_FULL, ERR_IO,
//   ERR_CANCELLED.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct unpack_limits {
	uint64_t size_max, entries_max;
	const atomic_bool *stop; // ERR_CANCELLED soon after it is set; NULL = never
};

// Of all layers of one image.
struct unpack_total {
	uint64_t size, entries;
};

// Applies one layer of a container image to the tree of those below it: an entry replaces what it meets, and what
// the layer marks as gone (whiteouts) goes, but never what the layer itself brings, in whatever order. Reads `fd` to its end; digest = SHA-256 of the bytes as they
// came, hexadecimal.
must_check int unpack_layer(int fd, int root, bool lowest, const struct unpack_limits *limits,
			    struct unpack_total *total, char digest[static 65], struct err *e);

// Adds the folders and files that a sandbox mounts over, where the image lacks them.
must_check int unpack_mount_points(int root, struct err *e);
