// image: root file systems by name: pulled or imported, unpacked, kept under DATA/images/ID/rootfs.
// Purpose: what a service's `image:` names becomes the id of an unpacked tree that a sandbox mounts read-only.
//   `host` is always there: the machine's own programs.
// Owner: struct images owns DATA/images. Unpacking runs without privileges: every file belongs to the daemon's
//   user; the sandbox shows them as root's.
// Threads: safe; an import takes long and belongs on a worker.
// Errors: ERR_NOT_FOUND (no such image), ERR_INVALID (not an archive, a hostile path), ERR_LIMIT (too many
//   entries, too large), ERR_UNSUPPORTED (an image for other machines), ERR_CONFLICT (in use), ERR_FULL, ERR_IO. A failed import leaves nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct db;
struct images;

enum { IMAGE_NAME_MAX = 256, IMAGE_ID_MAX = 40, IMAGE_VARIABLES_MAX = 256 };

struct image_options {
	struct db *db;
	const char *data_dir;
	uint64_t size_max;			// unpacked bytes of one image; 0 = 64 GiB
	uint64_t entries_max;			// files and folders of one image; 0 = 2,000,000
	const char *const *insecure_registries; // HOST[:PORT] to ask by plain HTTP, ends with NULL;
						// NULL = none but this machine's own; borrowed
	const char
		*docker_config; // a Docker config.json with credentials of registries; NULL = none
	int64_t keep_ms; // an upload and a blob without manifest are kept this long; 0 = 1 hour
};

must_check int images_open(struct images **out, const struct image_options *o, struct err *e);
void images_close(struct images *m);

struct image {
	char name[IMAGE_NAME_MAX]; // "repository:tag"
	char id[IMAGE_ID_MAX];	   // folder below DATA/images; "" = not unpacked yet
	char digest[80];	   // "sha256:…" of the manifest
	uint64_t size;		   // unpacked bytes, 0 = not unpacked yet
	int64_t owner, created_ns;
	// Filled by import and pull only:
	const char *source; // the reference that it was pulled from, NULL = none
	const char *config; // JSON of what is kept of the image's configuration, NULL = none
	unsigned layers;
	uint64_t transferred; // bytes that a pull fetched
	struct arena mem;     // holds `config`; released by image_release()
};

// ERR_INVALID unless it is a reference like "name", "name:tag", "host/path/name:tag". Fills in ":latest".
must_check int image_name_check(struct span name, char out[static IMAGE_NAME_MAX], struct err *e);

// What this machine's registry is called by those who push to it ("localhost:8080", …): names that begin with one of
// these mean what lies here. Ends with NULL; copied. Once.
void images_set_hosts(struct images *m, const char *const *hosts);
// The name without this machine's own in front, which is kept here under the rest. Fills in ":latest".
must_check int image_local_name(const struct images *m, const char *name,
				char out[static IMAGE_NAME_MAX], struct err *e);

// The id of an image, "host" for "host". One that was pushed and never used is unpacked now, which takes long.
// ERR_NOT_FOUND says how to import it. Fails as image_runtime() does. `progress`: as struct image_pull's.
must_check int image_resolve(struct images *m, const char *name, const char *progress, char *id,
			     size_t id_size, struct err *e);
// The digest of an unpacked image's manifest; "" for "host" and unknown ids.
must_check int image_digest(struct images *m, const char *id, char out[static 80], struct err *e);

static inline void image_release(struct image *i)
{
	arena_release(&i->mem);
}
#define auto_image at_scope_exit(image_release)

// Reads an archive from the seekable `fd` and makes it `name`: a tar of a root file system, of an OCI image layout,
// or what `docker save` wrote; plain or compressed by gzip, zstd, xz, bzip2. Which one is seen by its content. An
// existing image of that name is replaced; services that pinned the older id keep it until none names it.
// *out needs image_release().
must_check int image_import(struct images *m, const char *name, int fd, int64_t owner,
			    struct image *out, struct err *e);

// An archive of conda-pack, whose environment is put into the folder `prefix` ("/opt/env") on top of an image that is
// here. The programs in it are made to know their new place without running any of them; PATH begins with them.
struct image_conda {
	const char *name, *base, *prefix;
	int fd; // seekable
	int64_t owner;
};
must_check int image_import_conda(struct images *m, const struct image_conda *c, struct image *out,
				  struct err *e);

// How far a pull or push is.
struct image_progress {
	char id[64];
	char step[16];		// "manifest", "layer", "unpack", "send"
	unsigned number, count; // which of how many; 0 = not of several
	uint64_t done, total;	// bytes; total 0 = not known
};
// ERR_NOT_FOUND when no work has that id (see below).
must_check int image_progress(struct images *m, struct span id, struct image_progress *out,
			      struct err *e);

struct image_pull {
	const char *reference; // "alpine:3.19", "ghcr.io/lab/tool@sha256:…", "localhost:5000/x"
	const char *name;      // NULL = as the reference says
	const char *user, *password; // NULL = what the Docker configuration says, else anonymous
	int64_t idle_ms;	     // a registry that is silent for so long is given up; 0 = 30 s
	bool (*cancelled)(void *owner); // NULL = never; asked now and then
	void *owner;
	int64_t user_id;      // owner of the image
	const char *progress; // an id to look at its progress by, NULL = none
};
// Fetches an image from a registry. Blobs that are here are not fetched again. Also fails with ERR_UNAVAILABLE,
// ERR_TIMEOUT, ERR_UNAUTH, ERR_DENIED, ERR_PROTOCOL (a registry that breaks its protocol or sends wrong bytes) and
// ERR_BUSY (too many pulls at once). *out needs image_release().
must_check int image_pull(struct images *m, const struct image_pull *p, struct image *out,
			  struct err *e);

// Brings an image that was pulled before up to what its registry has under that tag now; one that is not here is
// pulled. p->reference is its name here. What came by a file or a push stays as it is, for no registry is known to
// have it; so does what was pulled by a digest. Fails as image_pull().
must_check int image_refresh(struct images *m, const struct image_pull *p, struct err *e);

// Pulls that are on their way end soon, with ERR_CANCELLED; new ones do not begin.
void images_leave(struct images *m);

struct image_push {
	const char *name;      // of an image here that was pulled, pushed or imported as an image
	const char *reference; // where to: "ghcr.io/lab/tool:2"
	const char *user, *password; // as struct image_pull's
	int64_t idle_ms;
	bool (*cancelled)(void *owner);
	void *owner;
	const char *progress;
};
struct image_pushed {
	char digest[80];
	unsigned blobs;
	uint64_t transferred;
};
// Sends it to a registry, with all its children when it is an index. Fails as image_pull(), and with ERR_NOT_FOUND.
must_check int image_push(struct images *m, const struct image_push *p, struct image_pushed *out,
			  struct err *e);

// The ids behind the USER of an image; zeros are root.
enum { IMAGE_GROUPS_MAX = 32 };
struct image_user {
	uint32_t uid, gid;
	uint32_t groups[IMAGE_GROUPS_MAX]; // further ones
	unsigned group_count;
};

// What an image says about how its programs run. The arena holds it.
struct image_runtime {
	struct image_variable {
		const char *name, *value;
	} * env;
	size_t env_count;
	const char *workdir; // "" = not said
	const char *const
		*command; // entry point and its arguments, which end with NULL; none = not said
	struct image_user user;
};
// ERR_INVALID when the image runs as a user whom it does not have itself.
must_check int image_runtime(struct images *m, const char *id, struct arena *mem,
			     struct image_runtime *out, struct err *e);

// All images in order of their names, "host" first.
must_check int image_list(struct images *m, struct arena *mem, struct image **out, size_t *n,
			  struct err *e);
// One of them with its configuration, which the arena holds (nothing in it needs image_release()).
must_check int image_get(struct images *m, struct span name, struct arena *mem, struct image *out,
			 struct err *e);
// ERR_CONFLICT when a service uses it.
must_check int image_remove(struct images *m, struct span name, struct err *e);

struct image_pruned {
	unsigned manifests, blobs;
	uint64_t bytes;
};
// Removes what nothing needs: blobs that no manifest names and that nobody asked for in the last hour (`now`: at all,
// also what a client is about to name), uploads that were left alone; with `untagged` also manifests without a tag.
// ERR_BUSY while images are on their way. The same is done by itself every ten minutes, but for the two options.
must_check int image_prune(struct images *m, bool untagged, bool now, struct image_pruned *out,
			   struct err *e);
