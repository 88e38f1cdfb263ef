// blob: the content-addressed files of container images, shared by all images, below DATA/images/blobs/sha256.
// A blob appears under its digest's name only when all its bytes were seen and the digest is right; unfinished ones
// are named "new-…".
// Owner: the caller, one writer at a time each. Threads: two writers of one digest are fine: both bring the same.
// Errors: ERR_PROTOCOL (wrong digest or length), ERR_LIMIT, ERR_FULL, ERR_IO, ERR_NOT_FOUND.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "codec/digest.h"
#include "image/manifest.h"

struct blob_writer {
	int dir, fd; // fd -1 = not open
	char name[32];
	struct digest sum;
	uint64_t size, max;
	struct err err; // why blob_write() said false
};

// Begins a blob of at most `max` bytes in the folder `dir`.
must_check int blob_begin(struct blob_writer *b, int dir, uint64_t max, struct err *e);
// False with b->err set when the bytes are too many or cannot be kept.
bool blob_write(struct blob_writer *b, struct span bytes);
// Back to the first byte.
must_check int blob_restart(struct blob_writer *b, struct err *e);
// On disk and visible, or nothing: the bytes must have the digest and the size of `want`; NULL = they may be any.
must_check int blob_finish(struct blob_writer *b, const struct descriptor *want,
			   char digest[static REFERENCE_DIGEST_MAX], struct err *e);
// The two halves of blob_finish(): checked and on disk; then visible.
must_check int blob_seal(struct blob_writer *b, const struct descriptor *want,
			 char digest[static REFERENCE_DIGEST_MAX], struct err *e);
must_check int blob_show(struct blob_writer *b, const char *digest, struct err *e);
// Writes a whole one.
must_check int blob_put(int dir, struct span bytes, char digest[static REFERENCE_DIGEST_MAX],
			struct err *e);
// Drops what was not finished; accepts one that never began with fd -1.
void blob_drop(struct blob_writer *b);
#define auto_blob at_scope_exit(blob_drop)

// Whether it is here with that size.
bool blob_have(int dir, const struct descriptor *want);
// Opens it for reading.
must_check int blob_open(int dir, const char *digest, struct err *e);
// Appends all of it to `out`, with its digest checked once more. ERR_CORRUPT when it changed on disk.
must_check int blob_read(int dir, const char *digest, struct buf *out, struct err *e);
// As documents name it. New reference.
json_t *blob_descriptor_json(const char *media, const struct descriptor *d);
// The digest of what `sum` was given, a SHA-256, as text.
char *blob_digest_end(struct digest *sum, char out[static REFERENCE_DIGEST_MAX]);
// The digest of some bytes as text.
char *blob_digest(struct span bytes, char out[static REFERENCE_DIGEST_MAX]);
