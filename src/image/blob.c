// SPDX-License-Identifier: Apache-2.0
#include "image/blob.h"

#include "base/file.h"
#include "base/rand.h"
#include "codec/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX = 7 }; // "sha256:"

// ---- writing -------------------------------------------------------------------------------------------

int blob_begin(struct blob_writer *b, int dir, uint64_t max, struct err *e)
{
	*b = (struct blob_writer){ .dir = dir, .fd = -1, .max = max };
	memcpy(b->name, "new-", 5);
	rand_hex(b->name + 4, 8);
	digest_init(&b->sum, DIGEST_SHA256);
	b->fd = file_open(dir, b->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
	return b->fd < 0 ? -1 : 0;
}

bool blob_write(struct blob_writer *b, struct span bytes)
{
	if (bytes.n > b->max - b->size) {
		err_set(&b->err, ERR_PROTOCOL, "more than the %llu bytes that were announced",
			(unsigned long long)b->max);
		return false;
	}
	if (file_write_all(b->fd, bytes.p, bytes.n, &b->err) < 0)
		return false;
	digest_update(&b->sum, bytes);
	b->size += bytes.n;
	return true;
}

int blob_restart(struct blob_writer *b, struct err *e)
{
	if (lseek(b->fd, 0, SEEK_SET) < 0 || ftruncate(b->fd, 0) < 0)
		return err_sys(e, ERR_IO, errno, "blob");
	digest_init(&b->sum, DIGEST_SHA256);
	b->size = 0;
	return 0;
}

char *blob_digest_end(struct digest *sum, char out[static REFERENCE_DIGEST_MAX])
{
	uint8_t bytes[DIGEST_MAX];

	digest_final(sum, bytes);
	memcpy(out, "sha256:", PREFIX);
	text_hex(out + PREFIX, bytes, 32);
	return out;
}

int blob_seal(struct blob_writer *b, const struct descriptor *want,
	      char digest[static REFERENCE_DIGEST_MAX], struct err *e)
{
	if (want && b->size != want->size)
		return err_set(e, ERR_PROTOCOL, "it ends after %llu of %llu bytes",
			       (unsigned long long)b->size, (unsigned long long)want->size);
	blob_digest_end(&b->sum, digest);
	if (want && strcmp(digest, want->digest) != 0)
		return err_set(e, ERR_PROTOCOL, "its bytes have the digest %.19s…, not %.19s…",
			       digest, want->digest);
	return file_datasync(b->fd, e);
}

int blob_show(struct blob_writer *b, const char *digest, struct err *e)
{
	if (renameat(b->dir, b->name, b->dir, digest + PREFIX) < 0)
		return err_sys(e, ERR_IO, errno, "blob %s", digest);
	file_close(file_take(&b->fd));
	return file_sync(b->dir, e);
}

int blob_finish(struct blob_writer *b, const struct descriptor *want,
		char digest[static REFERENCE_DIGEST_MAX], struct err *e)
{
	return blob_seal(b, want, digest, e) < 0 ? -1 : blob_show(b, digest, e);
}

int blob_put(int dir, struct span bytes, char digest[static REFERENCE_DIGEST_MAX], struct err *e)
{
	auto_blob struct blob_writer b = { .fd = -1 };

	if (blob_begin(&b, dir, bytes.n, e) < 0)
		return -1;
	if (!blob_write(&b, bytes)) {
		*e = b.err;
		return -1;
	}
	return blob_finish(&b, NULL, digest, e);
}

void blob_drop(struct blob_writer *b)
{
	if (b->fd < 0)
		return;
	file_close(file_take(&b->fd));
	unlinkat(b->dir, b->name, 0);
}

// ---- reading -------------------------------------------------------------------------------------------

bool blob_have(int dir, const struct descriptor *want)
{
	struct stat st;

	return fstatat(dir, want->digest + PREFIX, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == want->size;
}

int blob_open(int dir, const char *digest, struct err *e)
{
	return file_open(dir, digest + PREFIX, O_RDONLY | O_NOFOLLOW, 0, e);
}

char *blob_digest(struct span bytes, char out[static REFERENCE_DIGEST_MAX])
{
	struct digest sum;

	digest_init(&sum, DIGEST_SHA256);
	digest_update(&sum, bytes);
	return blob_digest_end(&sum, out);
}

int blob_read(int dir, const char *digest, struct buf *out, struct err *e)
{
	char found[REFERENCE_DIGEST_MAX];
	size_t from = out->n;

	if (file_read_path(dir, digest + PREFIX, out, e) < 0)
		return -1;
	blob_digest(span_from(buf_span(out), from), found);
	return strcmp(found, digest) == 0
		       ? 0
		       : err_set(e, ERR_CORRUPT, "blob %s changed on disk", digest);
}

json_t *blob_descriptor_json(const char *media, const struct descriptor *d)
{
	return json_pack("{s:s,s:I,s:s}", "mediaType", media, "size", (json_int_t)d->size, "digest",
			 d->digest);
}
