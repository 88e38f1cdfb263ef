// append: one layer more on an image, from registry to registry, without a builder and without the base's bytes: the
// registry takes the base's blobs over by itself where it can ("mount"), else they are copied through this machine.
// This is how a supervisor gets into an image for engines that run images as they are.
// Owner: the caller. Threads: no state; takes long. Secrets: as image/registry.h.
// Errors: those of image/registry.h and image/layer.h, ERR_UNSUPPORTED (an image of an old or foreign form).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/layer.h"

struct image_append_step {
	const char *what;   // "base", "layer", "mount", "copy", "send", "manifest", "done"
	const char *digest; // of the blob, "" where there is none
	uint64_t bytes;
	size_t number, count; // of the base's blobs
};

struct image_append {
	const char *base, *to; // references; `to` with a tag
	const struct layer_file *files;
	size_t count;
	const char *const *
		entrypoint; // ends with NULL; NULL = the base's. With one, the base's command goes.
	const char *created_by; // for the image's history; NULL = "oscar image append"
	const char *tmp;	// folder for what must be kept for a moment; NULL = /tmp
	const char *const *
		insecure; // HOST[:PORT] to ask by plain HTTP, ends with NULL; NULL = this machine's
	int64_t idle_ms;  // 0 = 30 s

	// Who we are to a registry; NULL = nobody. The texts live as long as `mem`.
	int (*login)(void *owner, const char *registry, struct arena *mem, const char **user,
		     const char **password, struct err *e);
	void (*step)(void *owner,
		     const struct image_append_step *s); // what is done next; NULL = unheard
	bool (*cancelled)(void *owner);
	void *owner;
};

struct image_appended {
	char digest[REFERENCE_DIGEST_MAX]; // of the new manifest
	char layer[REFERENCE_DIGEST_MAX];
	unsigned mounted, copied;	   // of the base's blobs
	uint64_t copied_bytes, sent_bytes; // sent: the layer and its documents
};
must_check int image_append(const struct image_append *a, struct image_appended *out,
			    struct err *e);

// The layer that makes an image supervise itself (reference: /oscar/bin/supervisor, /oscar/config/…). `entry` makes
// the supervisor its entry point.
struct image_inject {
	const char *supervisor; // the program's file
	struct span script;	// the user's
	struct span config;	// function_config.yaml
	bool entry;
};
must_check int image_inject(const struct image_inject *i, struct image_append a,
			    struct image_appended *out, struct err *e);
