// catalog: what the registry holds: repositories with their manifests, tags and blobs, over the same content as pulled
// and imported images. An image named "lab/tool:1" is the tag "1" of the repository "lab/tool", whoever brought it.
// Owner: struct images. Threads: safe; putting and removing wait for the database and the disk.
// Errors: ERR_INVALID (a name, a document, ERR_PROTOCOL for a wrong digest), ERR_NOT_FOUND, ERR_LIMIT, and those of db.
//   A blob or manifest is seen by nobody before its digest was found right and it is on disk.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/reference.h"
#include "image/image.h"

enum { CATALOG_MEDIA_MAX = 160 };

// A repository's name as the distribution specification has it. ERR_INVALID.
must_check int catalog_repo_check(struct span repo, struct err *e);
bool catalog_tag_ok(struct span tag);

struct catalog_manifest {
	char digest[REFERENCE_DIGEST_MAX];
	char media[CATALOG_MEDIA_MAX], artifact[CATALOG_MEDIA_MAX];
	uint64_t size;
};

// `which` is a tag or a digest.
must_check int catalog_find(struct images *m, struct span repo, struct span which,
			    struct catalog_manifest *out, struct err *e);

struct catalog_put {
	struct span repo, tag; // tag empty = by its digest only
	struct span digest;    // what it must be; empty = not said
	struct span media;     // what the sender says it is; empty = not said
	struct span text;
	int64_t owner;
	char subject[REFERENCE_DIGEST_MAX]; // filled in: what it is about, "" = nothing
};
// ERR_NOT_FOUND when the repository lacks what the manifest names (the text says which), ERR_PROTOCOL for the digest.
must_check int catalog_put(struct images *m, struct catalog_put *p, struct catalog_manifest *out,
			   struct err *e);
// A tag goes alone; a digest takes its tags along.
must_check int catalog_remove(struct images *m, struct span repo, struct span which, struct err *e);

// Names after `after` in order of their bytes, at most `max`, in the arena.
must_check int catalog_tags(struct images *m, struct arena *mem, struct span repo,
			    struct span after, size_t max, const char ***out, size_t *n,
			    struct err *e);
must_check int catalog_repos(struct images *m, struct arena *mem, struct span after, size_t max,
			     const char ***out, size_t *n, struct err *e);
// The manifests whose subject is `digest`.
must_check int catalog_referrers(struct images *m, struct arena *mem, struct span repo,
				 struct span digest, size_t max, struct catalog_manifest **out,
				 size_t *n, struct err *e);

// The size of a blob that the repository may hand out; asking keeps it for a while.
must_check int catalog_blob(struct images *m, struct span repo, struct span digest, uint64_t *size,
			    struct err *e);
// Opens any blob or manifest for reading. The caller has asked whether it may be handed out.
must_check int catalog_open(struct images *m, const char *digest, struct err *e);
// ERR_NOT_FOUND when `from` lacks it.
must_check int catalog_mount(struct images *m, struct span from, struct span to, struct span digest,
			     struct err *e);
must_check int catalog_blob_remove(struct images *m, struct span repo, struct span digest,
				   struct err *e);

// How much of an image is its own and how much others need as well, in bytes as kept (packed).
struct catalog_usage {
	uint64_t own, shared;
};
must_check int catalog_usage(struct images *m, struct span name, struct catalog_usage *out,
			     struct err *e);
