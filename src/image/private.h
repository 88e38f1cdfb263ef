// private: what the parts of image share. Threads: `lock` guards `busy`; publishing, removing and sweeping happen
// under it, everything long happens in a folder of the work's own before. `uploads_lock` guards `uploads` and is held
// for moments only.
// Folders below DATA/images: ID/ (rootfs, and for container images manifest.json, config.json and settle.h's mark), new-…/ (work in
// progress), gone-…/ (trash), blobs/sha256/ (see blob.h; manifests are blobs as well).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/chore.h"
#include "codec/json.h"
#include "codec/reference.h"
#include "image/image.h"
#include "image/unpack.h"

#include <dirent.h>

struct db_conn;
struct image_upload;
struct descriptor;
struct manifest;
struct progress;

struct images {
	struct db *db;
	int dir;   // DATA/images
	int blobs; // DATA/images/blobs/sha256
	struct unpack_limits limits;
	const char *const *insecure; // as in struct image_options
	const char *docker_config;
	int64_t keep_ns; // how long an upload and a blob without manifest are kept
	pthread_mutex_t lock;
	atomic_bool leaving;	// images_leave()
	unsigned busy;		// works in progress; blobs are swept only when there is none
	_Atomic(char **) hosts; // what this machine's registry is called, ends with NULL

	pthread_mutex_t uploads_lock;
	struct image_upload *uploads;
	size_t upload_count;

	pthread_mutex_t progress_lock; // guards `works` and what they tell
	struct progress *works;

	struct chore sweeper;
	struct chore settler; // its lock guards `unsettled`
	bool unsettled;	      // an image with a mark was published
};

// What somebody takes away, in a folder of its own below m->dir. Zeroed = nothing yet.
struct trash {
	char name[32];
	unsigned n;
};

// An image in the making: a folder that nobody else knows.
struct image_work {
	struct images *m;
	char folder[32]; // "new-…" below m->dir; "" = published
	int dir;
	bool known; // the image is here already under its id: nothing was unpacked
	// Its manifest, whose text is among the blobs. In out->mem.
	const struct manifest *manifest;
	uint64_t manifest_size;
	struct progress *progress; // NULL = nobody looks
	struct trash trash; // what the image replaces, or the work's own folder when it failed
};

enum { IMAGE_ID_DIGITS = 24, IMAGE_CONFIG_MAX = 1 << 20, NESTED_MAX = 3 };

// work.c.
must_check int work_begin(struct images *m, struct image_work *w, struct err *e);
unsigned work_count(struct images *m);
// Notes the digest in the work's folder, for as long as the image lies unpacked.
must_check int work_digest(const struct image_work *w, const struct image *out, struct err *e);
// Makes what the work's folder holds the image out->name with out->id; the folder is then gone.
must_check int work_publish(struct image_work *w, struct image *out, struct err *e);
// Its first half: only the folder gets its place. Under the lock.
must_check int work_publish_folder(struct image_work *w, const struct image *out, struct err *e);
// Removes what is left of the work and what only it needed. `e` tells what happened before and is added to.
int work_end(struct image_work *w, int result, struct err *e);

// assemble.c: from blobs that are all here to a folder that can be published. `manifest` is the document itself.
must_check int assemble(struct image_work *w, struct span manifest, struct image *out,
			struct err *e);

// The same for an archive that has no manifest: one is made of its configuration and layers, the same each time. Takes
// the reference of `layers`.
must_check int assemble_new(struct image_work *w, const struct descriptor *config, json_t *layers,
			    struct image *out, struct err *e);

// The layers of `man`, whose blobs are all here, into the empty folder `root`. `p` may be NULL.
must_check int assemble_root(struct images *m, const struct manifest *man, int root,
			     struct progress *p, uint64_t *size, struct err *e);

// Whether the configuration, whose blob is here, is one of an image for this machine.
must_check int assemble_check(struct images *m, const struct manifest *man, struct err *e);

// archive.c: an archive on a seekable descriptor, of whatever form, to a folder that can be published.
must_check int archive_take(struct image_work *w, int fd, struct image *out, struct err *e);

int archive_too_large(const struct image_work *w, struct err *e);
// rootfs.c: the same for one that is known to be a tar of a root file system.
must_check int rootfs_take(struct image_work *w, int fd, struct image *out, struct err *e);

// pull.c: whether a registry is asked by plain HTTP, and who the daemon itself is to it (NULL = nobody).
bool image_registry_plain(const struct images *m, const struct reference *ref);
must_check int image_registry_login(const struct images *m, const struct reference *ref,
				    struct arena *mem, const char **user, const char **password,
				    struct err *e);

// image.c, inside a transaction: 1 with *out, without its config, or 0 when there is none of that name.
must_check int image_find_in(struct db_conn *c, struct span name, struct image *out, struct err *e);

// image.c: whether the name begins with what this machine's own registry is called.
bool image_is_own(const struct images *m, const char *name);

// catalog_change.c, inside a write: a manifest whose blobs are all here becomes the repository's.
must_check int catalog_record_in(struct db_conn *c, struct span repo, const char *digest,
				 uint64_t size, const struct manifest *man, int64_t owner,
				 int64_t seen_ns, struct err *e);
// Forgets a manifest, unless a tag or another manifest of the repository still names it; then its children alike.
must_check int catalog_drop_in(struct db_conn *c, struct span repo, const char *digest,
			       struct err *e);
// catalog.c: "lab/tool:1" without its tag.
struct span catalog_repo_of(struct span name);

// work.c: as trash_put() for the folder of an image, unless a name or a service needs it.
must_check int image_folder_drop(struct images *m, struct trash *t, const char *id, struct err *e);

// trash.c.
#define TRASH_PREFIX "gone-"
// A folder loses its place, under the lock; one that is missing is fine.
must_check int trash_put(struct images *m, struct trash *t, const char *folder, struct err *e);
// Removes what was put there, never under the lock. What fails is logged, and done by trash_empty_all() later.
void trash_empty(struct images *m, struct trash *t);
void trash_empty_all(struct images *m); // also what others left

// sweep.c: what is in a folder of ours; NULL with *e set.
DIR *folder_list(int dir, struct err *e);
// The next unpacked image, by its id, in the list of m->dir; NULL at the end. What is in the making is passed over.
const char *folder_next_image(DIR *list);
// Whether neither a name nor a service's revision needs the folder of an image.
must_check int folder_unused(struct db_conn *c, const char *id, bool *unused, struct err *e);
must_check int sweep_blobs(struct images *m, bool opening, struct image_pruned *out, struct err *e);
void sweeper_start(struct images *m);
void sweeper_stop(struct images *m);

// upload.c: gives up those that nobody went on with.
void uploads_expire(struct images *m, int64_t before_mono_ns);
void uploads_release(struct images *m);
