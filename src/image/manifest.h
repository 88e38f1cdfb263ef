// manifest: the JSON documents of container images: index and manifest (OCI 1.x, Docker schema 2), the image's
// configuration, the manifest.json of `docker save`. Pure: bytes to values.
// Owner: results live in the caller's arena. Threads: no state.
// Errors: ERR_INVALID (not such a document), ERR_UNSUPPORTED (understood, but no image we can run: schema 1, another
//   machine, an artefact, an encrypted layer), ERR_LIMIT (too many layers, too large an environment).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "codec/reference.h"
#include "image/image.h"

#include <jansson.h>

// This machine, as images name it.
extern const char manifest_machine[];

enum {
	MANIFEST_BYTES_MAX = 4 << 20,
	MANIFEST_LAYERS_MAX = 500,
	MANIFEST_CHILDREN_MAX = 1000,
	MANIFEST_ENV_BYTES_MAX = 128 << 10,
};

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

// One content-addressed thing that a document names.
struct descriptor {
	char digest[REFERENCE_DIGEST_MAX];
	uint64_t size;
	const char *media;			 // "" when not said
	const char *os, *architecture, *variant; // of an index's child, "" when not said
	const char *tag;  // org.opencontainers.image.ref.name, "" when not said
	const char *name; // io.containerd.image.name, "" when not said
	bool attestation; // about an image, not one
	bool elsewhere;	  // a layer that may not be handed on: no registry needs to hold it
};

struct manifest {
	bool is_index;
	const char *media;    // what it says it is, "" when it does not
	const char *artifact; // artifactType, else the configuration's media type
	struct descriptor config;
	struct descriptor subject; // what it is about; digest "" = nothing
	struct descriptor *list;   // layers from the lowest up; of an index, its children
	size_t count;
};

must_check int manifest_parse(struct span text, struct arena *mem, struct manifest *out,
			      struct err *e);
// As manifest_parse(), but any manifest that a registry may hold: artefacts as well.
must_check int manifest_read(struct span text, struct arena *mem, struct manifest *out,
			     struct err *e);
// The media type to hand it out with: its own, else the one that fits what it holds.
const char *manifest_media(const struct manifest *m);

// The child of an index for this machine. With `name` ("name:tag") the index is a layout's, which may hold different
// images: the one of that name or tag is taken, and more than one without it is ERR_INVALID. NULL = the first fits.
must_check int manifest_select(const struct manifest *index, const char *name,
			       const struct descriptor **out, struct err *e);

// What a job needs of an image's configuration.
struct image_config {
	const char **env; // "NAME=value"
	size_t env_count;
	const char *workdir, *user;
	json_t *cmd, *entrypoint; // arrays of strings or NULL, borrowed from the caller's tree
	char (*diff_ids)[REFERENCE_DIGEST_MAX];
	size_t diff_count;
};

// `config` is the parsed configuration document, which must outlive *out.
must_check int manifest_config(const json_t *config, struct arena *mem, struct image_config *out,
			       struct err *e);

// One image of a `docker save` archive: names of files in it.
struct saved_image {
	const char *config;
	const char **layers;
	size_t layer_count;
};
// `name` ("name:tag") chooses when the archive holds several.
must_check int manifest_saved(struct span text, const char *name, struct arena *mem,
			      struct saved_image *out, struct err *e);
