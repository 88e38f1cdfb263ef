// image: root file systems by name: imported, unpacked, kept under DATA/images/ID/rootfs.
// Purpose: what a service's `image:` names becomes the id of an unpacked tree that a sandbox mounts read-only.
//   `host` is always there: the machine's own programs.
// Owner: struct images owns DATA/images. Unpacking runs without privileges: every file belongs to the daemon's
//   user; the sandbox shows them as root's.
// Threads: safe; an import takes long and belongs on a worker.
// Errors: ERR_NOT_FOUND (no such image), ERR_INVALID (not an archive, a hostile path), ERR_LIMIT (too many
//   entries, too large), ERR_CONFLICT (in use), ERR_FULL, ERR_IO. A failed import leaves nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct db;
struct images;

enum { IMAGE_NAME_MAX = 256, IMAGE_ID_MAX = 40 };

struct image_options {
	struct db *db;
	const char *data_dir;
	uint64_t size_max;    // unpacked bytes of one image; 0 = 64 GiB
	uint64_t entries_max; // files and folders of one image; 0 = 2,000,000
};

must_check int images_open(struct images **out, const struct image_options *o, struct err *e);
void images_close(struct images *m);

struct image {
	char name[IMAGE_NAME_MAX]; // "repository:tag"
	char id[IMAGE_ID_MAX];	   // folder below DATA/images
	char digest[80];	   // "sha256:…" of the archive as it came
	uint64_t size;		   // unpacked bytes
	int64_t owner, created_ns;
};

// ERR_INVALID unless it is a reference like "name", "name:tag", "host/path/name:tag". Fills in ":latest".
must_check int image_name_check(struct span name, char out[static IMAGE_NAME_MAX], struct err *e);

// The id of an image, "host" for "host". ERR_NOT_FOUND says how to import it.
must_check int image_resolve(struct images *m, const char *name, char *id, size_t id_size,
			     struct err *e);

// Reads a tar (plain, gzip, zstd, xz, bzip2) of a root file system from `fd` to its end and makes it `name`. An
// existing image of that name is replaced; services that pinned the older id keep it until none names it.
must_check int image_import_tar(struct images *m, const char *name, int fd, int64_t owner,
				struct image *out, struct err *e);

// All images in order of their names, "host" first.
must_check int image_list(struct images *m, struct arena *mem, struct image **out, size_t *n,
			  struct err *e);
// ERR_CONFLICT when a service uses it.
must_check int image_remove(struct images *m, struct span name, struct err *e);
