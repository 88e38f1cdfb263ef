// registry: a client of the OCI distribution protocol: manifests and blobs of one repository, down and up, with
// whatever credentials the registry asks for.
// Owner: the caller. Threads: one. Errors: ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UNAUTH, ERR_DENIED, ERR_NOT_FOUND, ERR_BUSY
//   (the registry limits how often it is asked), ERR_PROTOCOL (wrong bytes, no registry), ERR_CANCELLED, ERR_LIMIT,
//   ERR_FULL, ERR_IO. Secrets never appear in an error text; they go to the registry and the place it names for
//   tokens only, never along with a redirect to another host.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/blob.h"

struct registry;

struct registry_options {
	const struct reference *ref;
	bool plain;		     // HTTP without TLS
	const char *user, *password; // NULL = anonymous; borrowed
	int64_t idle_ms;	     // 0 = 30 s
	bool (*cancelled)(void *owner);
	void *owner;
	void (*moved)(void *owner, uint64_t bytes); // of blobs, either way; NULL = unheard
	void *moved_owner;
	bool push;	  // asks for the right to write as well
	const char *from; // and to read this repository of the same registry; NULL = none; borrowed
};

must_check int registry_open(struct registry **out, const struct registry_options *o,
			     struct err *e);
void registry_close(struct registry *r);
static inline void registry_close_ptr(struct registry **r)
{
	registry_close(*r);
}
#define auto_registry at_scope_exit(registry_close_ptr)

// Appends the document of a tag or digest, checked against the digest.
must_check int registry_manifest(struct registry *r, const char *which, struct buf *out,
				 struct err *e);
// Fetches a blob into the folder of blobs; after a broken connection it goes on where it was.
must_check int registry_blob(struct registry *r, const struct descriptor *d, int dir,
			     struct err *e);

// ---- up (registry_push.c) --------------------------------------------------------------------------------

must_check int registry_blob_have(struct registry *r, const char *digest, bool *have,
				  struct err *e);
// Asks the registry to take the blob from options.from without a transfer. *mounted false: it does not.
must_check int registry_blob_mount(struct registry *r, const char *digest, bool *mounted,
				   struct err *e);
// Sends what `fd` holds from its beginning: in one piece, or in several where the registry wants that.
must_check int registry_blob_push(struct registry *r, const struct descriptor *d, int fd,
				  struct err *e);
must_check int registry_manifest_push(struct registry *r, const char *which, const char *media,
				      struct span text, struct err *e);
