// private: what the parts of image share. Threads: `lock` guards `busy`; publishing, removing and sweeping happen
// under it, everything long happens in a folder of the work's own before.
// Folders below DATA/images: ID/ (rootfs, and for container images manifest.json and config.json), new-…/ (work in
// progress), blobs/sha256/ (see blob.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/lock.h"
#include "image/image.h"
#include "image/unpack.h"

struct manifest;

struct images {
	struct db *db;
	int dir;   // DATA/images
	int blobs; // DATA/images/blobs/sha256
	struct unpack_limits limits;
	const char *const *insecure; // as in struct image_options
	const char *docker_config;
	pthread_mutex_t lock;
	unsigned busy; // works in progress; blobs are swept only when there is none
};

// An image in the making: a folder that nobody else knows.
struct image_work {
	struct images *m;
	char folder[32]; // "new-…" below m->dir; "" = published
	int dir;
	bool known; // the image is here already under its id: nothing was unpacked
};

enum { IMAGE_ID_DIGITS = 24, IMAGE_CONFIG_MAX = 1 << 20 };

must_check int work_begin(struct images *m, struct image_work *w, struct err *e);
unsigned work_count(struct images *m);
// Makes what the work's folder holds the image out->name with out->id; the folder is then gone.
must_check int work_publish(struct image_work *w, struct image *out, struct err *e);
// Removes what is left of the work and what only it needed. `e` tells what happened before and is added to.
int work_end(struct image_work *w, int result, struct err *e);

// assemble.c: from blobs that are all here to a folder that can be published. `manifest` is the document itself.
must_check int assemble(struct image_work *w, struct span manifest, struct image *out,
			struct err *e);

// Whether the configuration, whose blob is here, is one of an image for this machine.
must_check int assemble_check(struct images *m, const struct manifest *man, struct err *e);

// archive.c: an archive on a seekable descriptor, of whatever form, to a folder that can be published.
must_check int archive_take(struct image_work *w, int fd, struct image *out, struct err *e);
