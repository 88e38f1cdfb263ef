// SPDX-License-Identifier: Apache-2.0
#include "image/blob.h"

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/text.h"

#include <dirent.h>
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

static char *digest_text(struct digest *sum, char out[static REFERENCE_DIGEST_MAX])
{
	uint8_t bytes[DIGEST_MAX];

	digest_final(sum, bytes);
	memcpy(out, "sha256:", PREFIX);
	text_hex(out + PREFIX, bytes, 32);
	return out;
}

int blob_finish(struct blob_writer *b, const struct descriptor *want,
		char digest[static REFERENCE_DIGEST_MAX], struct err *e)
{
	if (want && b->size != want->size)
		return err_set(e, ERR_PROTOCOL, "it ends after %llu of %llu bytes",
			       (unsigned long long)b->size, (unsigned long long)want->size);
	digest_text(&b->sum, digest);
	if (want && strcmp(digest, want->digest) != 0)
		return err_set(e, ERR_PROTOCOL, "its bytes have the digest %.19s…, not %.19s…",
			       digest, want->digest);
	if (file_datasync(b->fd, e) < 0)
		return -1;
	if (renameat(b->dir, b->name, b->dir, digest + PREFIX) < 0)
		return err_sys(e, ERR_IO, errno, "blob %s", digest);
	file_close(file_take(&b->fd));
	return file_sync(b->dir, e);
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
	return digest_text(&sum, out);
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

// ---- sweeping ------------------------------------------------------------------------------------------

static void mark(struct map *used, const struct descriptor *d)
{
	map_put(used, span_of(d->digest + PREFIX), used);
}

// An image of a plain root file system has no manifest and needs no blob.
static int mark_image(int images, const char *folder, struct map *used, struct err *e)
{
	auto_free char *path = mem_printf("%s/manifest.json", folder);
	auto_arena struct arena mem = { 0 };
	struct manifest m;
	auto_buf struct buf text;
	struct err missing = { 0 };

	buf_init(&text, MANIFEST_BYTES_MAX);
	if (file_read_path(images, path, &text, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		*e = missing;
		return -1;
	}
	if (manifest_parse(buf_span(&text), &mem, &m, e) < 0)
		return err_wrap(e, "images/%s", folder);
	mark(used, &m.config);
	for (size_t i = 0; i < m.count; i++)
		mark(used, &m.list[i]);
	return 0;
}

static DIR *list_folder(int dir, struct err *e)
{
	auto_fd int fd = file_open(dir, ".", O_RDONLY | O_DIRECTORY, 0, e);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (list)
		file_take(&fd);
	else if (fd >= 0)
		err_sys(e, ERR_IO, errno, "images");
	return list;
}

static int mark_all(int images, struct map *used, struct err *e)
{
	DIR *list = list_folder(images, e);
	struct dirent *d;
	int bad = list ? 0 : -1;

	while (!bad && (d = readdir(list)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "blobs") != 0)
			bad = mark_image(images, d->d_name, used, e);
	if (list)
		closedir(list);
	return bad;
}

int blob_sweep(int images, int dir, struct err *e)
{
	struct map used = { 0 };
	struct dirent *d;
	DIR *list = NULL;
	int bad = mark_all(images, &used, e);

	if (!bad && !(list = list_folder(dir, e)))
		bad = -1;
	while (!bad && (d = readdir(list)))
		if (d->d_name[0] != '.' && !map_get(&used, span_of(d->d_name)) &&
		    unlinkat(dir, d->d_name, 0) < 0)
			bad = err_sys(e, ERR_IO, errno, "blob %s", d->d_name);
	if (list)
		closedir(list);
	map_release(&used);
	return bad;
}
