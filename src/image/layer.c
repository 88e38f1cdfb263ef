// SPDX-License-Identifier: Apache-2.0
#include "image/layer.h"

#include "base/mem.h"
#include "image/blob.h"
#include "image/gzip.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, DEPTH_MAX = 64 };

struct entry {
	char *to, *from; // `to` without the slash in front; from NULL = bytes
	struct span bytes;
	bool executable;
};

struct builder {
	struct entry *list;
	size_t n, cap;
	int fd;
	struct gzip gzip;
	struct digest packed;
	uint64_t size;
	struct err err; // of the stream below the archive
};

// ---- names ---------------------------------------------------------------------------------------------

static int add(struct builder *b, const char *to, const char *from, const struct layer_file *f,
	       struct err *e)
{
	struct span rest = span_of(to);

	while (rest.n && rest.p[0] == '/')
		rest = span_from(rest, 1);
	if (!rest.n || to[0] != '/')
		return err_set(e, ERR_INVALID, "%.100s: the place in the image begins with /", to);
	for (struct span all = rest; all.n;) {
		struct span part = span_cut(&all, '/');

		if (!part.n || span_is(part, ".") || span_is(part, "..") ||
		    span_starts(part, SPAN(".wh.")))
			return err_set(e, ERR_INVALID, "%.100s: no place in an image", to);
	}
	if (b->n == LAYER_FILES_MAX)
		return err_set(e, ERR_LIMIT, "over %d files", LAYER_FILES_MAX);
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 16;
		b->list = mem_realloc(b->list, b->cap, sizeof(*b->list));
	}
	b->list[b->n++] = (struct entry){ .to = mem_strndup(rest.p, rest.n),
					  .from = from ? mem_strdup(from) : NULL,
					  .bytes = f->bytes,
					  .executable = f->executable };
	return 0;
}

static int add_tree(struct builder *b, const char *to, const char *from, const struct layer_file *f,
		    unsigned depth, struct err *e)
{
	struct stat st;
	struct dirent *d;
	DIR *list;
	int bad = 0;

	if (lstat(from, &st) < 0)
		return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", from);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is no file, folder or link", from);
	if (add(b, to, from, f, e) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "%s: folders are over %d deep", from, DEPTH_MAX);
	list = opendir(from);
	if (!list)
		return err_sys(e, ERR_IO, errno, "%s", from);
	while (!bad && (d = readdir(list))) {
		auto_free char *below = NULL, *source = NULL;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		below = mem_printf("%s/%s", to, d->d_name);
		source = mem_printf("%s/%s", from, d->d_name);
		bad = add_tree(b, below, source, f, depth + 1, e);
	}
	closedir(list);
	return bad;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->to, y->to);
}

static int collect(struct builder *b, const struct layer_file *files, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if ((files[i].from ? add_tree(b, files[i].to, files[i].from, &files[i], 0, e)
				   : add(b, files[i].to, NULL, &files[i], e)) < 0)
			return -1;
	if (!b->n)
		return err_set(e, ERR_INVALID, "a layer without files");
	qsort(b->list, b->n, sizeof(*b->list), by_name);
	for (size_t i = 1; i < b->n; i++)
		if (strcmp(b->list[i - 1].to, b->list[i].to) == 0)
			return err_set(e, ERR_INVALID, "two files for /%s", b->list[i].to);
	return 0;
}

// ---- bytes ---------------------------------------------------------------------------------------------

static bool put(void *owner, struct span packed)
{
	struct builder *b = owner;

	digest_update(&b->packed, packed);
	b->size += packed.n;
	return file_write_all(b->fd, packed.p, packed.n, &b->err) == 0;
}

static la_ssize_t take(struct archive *a unused_arg, void *owner, const void *p, size_t n)
{
	struct builder *b = owner;

	return gzip_write(&b->gzip, span_make(p, n)) ? (la_ssize_t)n : -1;
}

static int write_file(struct builder *b, struct archive *a, const struct entry *x, uint64_t size,
		      struct err *e)
{
	auto_fd int fd = file_open(AT_FDCWD, x->from, O_RDONLY | O_NOFOLLOW, 0, e);
	auto_free char *chunk = mem_alloc(CHUNK);

	if (fd < 0)
		return -1;
	for (uint64_t left = size; left;) {
		ssize_t k = file_read_full(fd, chunk, left < CHUNK ? (size_t)left : CHUNK, e);

		if (k <= 0)
			return k ? -1 : err_set(e, ERR_CONFLICT, "%s became shorter", x->from);
		if (archive_write_data(a, chunk, (size_t)k) != k) {
			*e = b->err;
			return -1;
		}
		left -= (uint64_t)k;
	}
	return 0;
}

static int describe(const struct entry *x, struct archive_entry *out, struct err *e)
{
	char target[PATH_MAX];
	struct stat st = { .st_mode = S_IFREG, .st_size = (off_t)x->bytes.n };
	ssize_t n;

	if (x->executable)
		st.st_mode |= S_IXUSR;
	if (x->from && lstat(x->from, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", x->from);
	archive_entry_set_pathname(out, x->to);
	archive_entry_set_uid(out, 0);
	archive_entry_set_gid(out, 0);
	archive_entry_set_mtime(out, 0, 0);
	archive_entry_set_filetype(out, st.st_mode & S_IFMT);
	archive_entry_set_perm(out, S_ISDIR(st.st_mode) || (st.st_mode & S_IXUSR) ? 0755 : 0644);
	archive_entry_set_size(out, S_ISREG(st.st_mode) ? st.st_size : 0);
	if (!S_ISLNK(st.st_mode))
		return 0;
	n = readlink(x->from, target, sizeof(target) - 1);
	if (n < 0)
		return err_sys(e, ERR_IO, errno, "%s", x->from);
	target[n] = '\0';
	archive_entry_set_perm(out, 0777);
	archive_entry_set_symlink(out, target);
	return 0;
}

static int write_entry(struct builder *b, struct archive *a, const struct entry *x, struct err *e)
{
	struct archive_entry *head = archive_entry_new();
	int bad = describe(x, head, e);

	if (!bad && archive_write_header(a, head) != ARCHIVE_OK)
		bad = b->err.code
			      ? (*e = b->err, -1)
			      : err_set(e, ERR_INVALID, "/%s: %s", x->to, archive_error_string(a));
	if (!bad && !x->from && archive_write_data(a, x->bytes.p, x->bytes.n) < 0) {
		*e = b->err;
		bad = -1;
	}
	if (!bad && x->from && archive_entry_filetype(head) == AE_IFREG)
		bad = write_file(b, a, x, (uint64_t)archive_entry_size(head), e);
	archive_entry_free(head);
	return bad;
}

static int write_all(struct builder *b, struct layer *out, struct err *e)
{
	struct archive *a = archive_write_new();
	int bad = 0;

	archive_write_set_format_pax_restricted(a);
	archive_write_set_bytes_per_block(a, 10240);
	if (archive_write_open(a, b, NULL, take, NULL) != ARCHIVE_OK)
		bad = err_set(e, ERR_BUG, "tar: %s", archive_error_string(a));
	for (size_t i = 0; i < b->n && !bad; i++)
		bad = write_entry(b, a, &b->list[i], e);
	if (!bad && (archive_write_close(a) != ARCHIVE_OK || !gzip_end(&b->gzip, out->diff_id))) {
		*e = b->err;
		bad = -1;
	}
	archive_write_free(a);
	return bad;
}

int layer_make(const struct layer_file *files, size_t n, const char *tmp, struct layer *out,
	       struct err *e)
{
	struct builder *b = mem_zalloc(sizeof(*b));
	int bad;

	*out = (struct layer){ .fd = -1, .blob = { .media = "" } };
	digest_init(&b->packed, DIGEST_SHA256);
	gzip_begin(&b->gzip, put, b);
	b->fd = file_open(AT_FDCWD, tmp ? tmp : "/tmp", O_RDWR | O_TMPFILE, 0600, e);
	bad = b->fd < 0 ? -1 : collect(b, files, n, e);
	if (!bad)
		bad = write_all(b, out, e);
	gzip_drop(&b->gzip);
	out->fd = b->fd;
	out->blob.size = b->size;
	blob_digest_end(&b->packed, out->blob.digest);
	for (size_t i = 0; i < b->n; i++) {
		mem_free(b->list[i].to);
		mem_free(b->list[i].from);
	}
	mem_free(b->list);
	mem_free(b);
	return bad;
}
