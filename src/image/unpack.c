// SPDX-License-Identifier: Apache-2.0
#include "image/unpack.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/ahead.h"
#include "image/whiteout.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4095, TAR_BLOCK = 512 };

struct unpack {
	int root;
	struct ahead *ahead;
	struct err err; // why there were no more bytes
	uint64_t fed;
	bool may_end; // here, by a header or a whole file's data
	struct unpack_limits limits;
	struct unpack_total *total;
	struct whiteout *over; // a layer over others; NULL = the tree is all ours
	// The folder of the file before. Only plain files come between it and the next use: whatever could change where
	// its path leads lets it go.
	int near;
	bool replaced; // … or something made way for the file: perhaps a link that the path goes through
	char near_path[PATH_BYTES_MAX + 1];
};

// ---- the stream ----------------------------------------------------------------------------------------

// Layers that end without the zeros after their last entry are about (umoci inserts such); all readers in Go take them.
static size_t padding(struct unpack *u, struct archive *a)
{
	bool plain = archive_filter_code(a, 0) == ARCHIVE_FILTER_NONE;

	return u->may_end && plain ? (TAR_BLOCK - u->fed % TAR_BLOCK) % TAR_BLOCK : 0;
}

static la_ssize_t feed(struct archive *a, void *arg, const void **out)
{
	static const char zeros[TAR_BLOCK];
	struct unpack *u = arg;
	struct span piece;

	if (ahead_next(u->ahead, &piece, &u->err) < 0)
		return -1;
	if (!piece.n)
		piece = span_make(zeros, padding(u, a));
	u->fed += piece.n;
	*out = piece.p;
	return (la_ssize_t)piece.n;
}

static int archive_fail(const struct unpack *u, struct archive *a, struct err *e)
{
	const char *text = archive_error_string(a);

	if (u->err.code) {
		*e = u->err;
		return -1;
	}
	return err_set(e, ERR_INVALID, "the archive cannot be read: %s",
		       text ? text : "unknown form");
}

// ---- names ---------------------------------------------------------------------------------------------

// "./usr//bin/" becomes "usr/bin"; ".." anywhere is refused.
static int clean(const char *raw, char out[static PATH_BYTES_MAX + 1], struct err *e)
{
	struct span rest = span_of(raw);
	size_t n = 0;

	while (rest.n) {
		struct span part = span_cut(&rest, '/');

		if (!part.n || span_is(part, "."))
			continue;
		if (span_is(part, ".."))
			return err_set(e, ERR_INVALID, "the archive names a path with ..: %.100s",
				       raw);
		if (part.n > 255 || n + part.n + 1 > PATH_BYTES_MAX)
			return err_set(e, ERR_INVALID, "the archive names a path that is too long");
		if (n)
			out[n++] = '/';
		memcpy(out + n, part.p, part.n);
		n += part.n;
	}
	out[n] = '\0';
	return 0;
}

static int make_parents(int root, const char *dir, struct err *e)
{
	auto_free char *path = mem_strdup(dir);

	for (char *p = path;; p++) {
		auto_fd int above = -1;
		char was = *p, *slash;

		if (was && was != '/')
			continue;
		*p = '\0';
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
		above = file_open_in_root(root, slash ? path : "", O_RDONLY | O_DIRECTORY, e);
		if (above < 0)
			return -1;
		if (mkdirat(above, slash ? slash + 1 : path, 0755) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir %s", dir);
		if (slash)
			*slash = '/';
		*p = was;
		if (!was)
			return 0;
	}
}

// The directory that holds `path`, made when missing; *name points to the last part.
static int open_parent(int root, const char *path, const char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup("");
	int fd;

	*name = slash ? slash + 1 : path;
	fd = file_open_in_root(root, dir, O_RDONLY | O_DIRECTORY, e);
	if (fd >= 0 || e->code != ERR_NOT_FOUND)
		return fd;
	// What is missing now lies behind a link that leads nowhere.
	if (make_parents(root, dir, e) < 0 ||
	    (fd = file_open_in_root(root, dir, O_RDONLY | O_DIRECTORY, e)) < 0) {
		e->code = e->code == ERR_NOT_FOUND ? ERR_INVALID : e->code;
		return -1;
	}
	return fd;
}

static void forget_near(struct unpack *u)
{
	file_close(u->near);
	u->near = -1;
}

// As open_parent(), borrowed until the next call.
static int near_parent(struct unpack *u, const char *path, const char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	*name = slash ? slash + 1 : path;
	if (u->near >= 0 && !u->replaced && strncmp(u->near_path, path, n) == 0 && !u->near_path[n])
		return u->near;
	forget_near(u);
	u->replaced = false;
	u->near = open_parent(u->root, path, name, e);
	memcpy(u->near_path, path, n);
	u->near_path[n] = '\0';
	return u->near;
}

static int go_on(const struct unpack *u, struct err *e)
{
	return u->limits.stop && *u->limits.stop
		       ? err_set(e, ERR_CANCELLED, "the daemon is leaving")
		       : 0;
}

// ---- entries -------------------------------------------------------------------------------------------

// *end: behind the last byte that was written; a file may end in a hole.
static int write_data(struct unpack *u, struct archive *a, int fd, la_int64_t size, la_int64_t *end,
		      struct err *e)
{
	const void *block;
	size_t n;
	la_int64_t at;
	int rc;

	*end = 0;
	u->may_end = size == 0;
	while ((rc = archive_read_data_block(a, &block, &n, &at)) == ARCHIVE_OK) {
		u->total->size += n;
		if (go_on(u, e) < 0)
			return -1;
		if (u->total->size > u->limits.size_max || (uint64_t)at > u->limits.size_max)
			return err_set(e, ERR_LIMIT,
				       "the image is over %llu bytes when unpacked (oscar "
				       "serve --max-image-size)",
				       (unsigned long long)u->limits.size_max);
		if (file_pwrite_all(fd, block, n, at, e) < 0)
			return -1;
		*end = at + (la_int64_t)n;
		u->may_end = *end >= size;
	}
	u->may_end = true;
	return rc == ARCHIVE_EOF ? 0 : archive_fail(u, a, e);
}

// Makes way for an entry that is no folder.
static int clear_place(int dir, const char *name, struct err *e)
{
	if (unlinkat(dir, name, 0) == 0 || errno != EISDIR)
		return 0;
	return file_remove_tree(dir, name, e);
}

static int make_file(struct unpack *u, struct archive *a, struct archive_entry *entry, int dir,
		     const char *name, struct err *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { archive_entry_mtime(entry),
				       archive_entry_mtime_nsec(entry) } };
	mode_t mode = archive_entry_perm(entry) & 0777;
	auto_fd int fd = -1;
	la_int64_t end;

	fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
	if (fd < 0 && e->code == ERR_EXISTS) {
		*e = (struct err){ 0 };
		u->replaced = true;
		if (clear_place(dir, name, e) < 0)
			return -1;
		fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, e);
	}
	if (fd < 0 || write_data(u, a, fd, archive_entry_size(entry), &end, e) < 0)
		return -1;
	if (archive_entry_size(entry) > end && ftruncate(fd, archive_entry_size(entry)) < 0)
		return err_sys(e, ERR_IO, errno, "write %s", name);
	if (fchmod(fd, mode | S_IRUSR) < 0 || futimens(fd, times) < 0)
		return err_sys(e, ERR_IO, errno, "write %s", name);
	return 0;
}

static int make_folder(struct archive_entry *entry, int dir, const char *name, struct err *e)
{
	mode_t mode = (archive_entry_perm(entry) & 01777) | S_IRWXU;
	struct stat st;

	if (mkdirat(dir, name, mode) < 0) {
		if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, ERR_IO, errno, "mkdir %s", name);
		if (!S_ISDIR(st.st_mode) &&
		    (unlinkat(dir, name, 0) < 0 || mkdirat(dir, name, mode) < 0))
			return err_sys(e, ERR_IO, errno, "mkdir %s", name);
	}
	return fchmodat(dir, name, mode, 0) < 0 ? err_sys(e, ERR_IO, errno, "chmod %s", name) : 0;
}

static int make_hard_link(struct unpack *u, const char *target, int dir, const char *name,
			  struct err *e)
{
	char path[PATH_BYTES_MAX + 1];
	const char *from;
	auto_fd int source = -1;

	if (clean(target, path, e) < 0)
		return -1;
	source = open_parent(u->root, path, &from, e);
	if (source < 0)
		return -1;
	if (clear_place(dir, name, e) < 0)
		return -1;
	return linkat(source, from, dir, name, 0) < 0
		       ? err_sys(e, ERR_INVALID, errno, "hard link %s to %s", name, path)
		       : 0;
}

static int make_entry(struct unpack *u, struct archive *a, struct archive_entry *entry, int dir,
		      const char *name, struct err *e)
{
	const char *link = archive_entry_hardlink(entry);

	if (link)
		return make_hard_link(u, link, dir, name, e);
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return make_file(u, a, entry, dir, name, e);
	case AE_IFDIR:
		return make_folder(entry, dir, name, e);
	case AE_IFLNK:
		link = archive_entry_symlink(entry);
		if (!link)
			return 0;
		if (clear_place(dir, name, e) < 0)
			return -1;
		return symlinkat(link, dir, name) < 0 && errno != EEXIST
			       ? err_sys(e, ERR_IO, errno, "symbolic link")
			       : 0;
	default:
		return 0; // devices and pipes: a sandbox has its own
	}
}

static int take_entry(struct unpack *u, struct archive *a, struct archive_entry *entry,
		      struct err *e)
{
	const char *raw = archive_entry_pathname(entry), *name;
	char path[PATH_BYTES_MAX + 1];
	int dir;

	if (go_on(u, e) < 0)
		return -1;
	if (++u->total->entries > u->limits.entries_max)
		return err_set(e, ERR_LIMIT,
			       "the image has over %llu entries (oscar serve "
			       "--max-image-files)",
			       (unsigned long long)u->limits.entries_max);
	if (!raw)
		return err_set(e, ERR_INVALID, "an entry of the archive has no readable name");
	if (clean(raw, path, e) < 0)
		return -1;
	if (!path[0])
		return 0; // the root itself
	dir = near_parent(u, path, &name, e);
	if (dir < 0)
		return -1;
	if (span_starts(span_of(name), SPAN(".wh.")))
		return u->over ? whiteout_apply(u->over, dir, name, e) : 0;
	if (make_entry(u, a, entry, dir, name, e) < 0)
		return err_wrap(e, "%.100s", path);
	return u->over ? whiteout_keep(u->over, dir, name, e) : 0;
}

// Whether the entry can have changed nothing but the one file of its name: no path leads elsewhere after it.
static bool is_plain_file(struct archive_entry *entry)
{
	const char *raw = archive_entry_pathname(entry), *slash = raw ? strrchr(raw, '/') : NULL;

	return raw && archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry) &&
	       !span_starts(span_of(slash ? slash + 1 : raw), SPAN(".wh."));
}

static int read_all(struct unpack *u, struct archive *a, struct err *e)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		u->may_end = true;
		if (take_entry(u, a, entry, e) < 0)
			return -1;
		if (!is_plain_file(entry))
			forget_near(u);
	}
	return rc == ARCHIVE_EOF ? 0 : archive_fail(u, a, e);
}

static int unpack_any(struct unpack *u, int fd, char digest[static 65], struct err *e)
{
	auto_ahead struct ahead *ahead = u->ahead = ahead_open(fd);
	struct archive *a = archive_read_new();
	int bad;

	// Of gzip, `ahead` leaves nothing to do.
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_empty(a);
	bad = archive_read_open(a, u, NULL, feed, NULL) != ARCHIVE_OK ? archive_fail(u, a, e)
								      : read_all(u, a, e);
	archive_read_free(a);
	forget_near(u);
	// What follows the end marks belongs to the digest.
	return bad < 0 ? -1 : ahead_finish(ahead, digest, e);
}

int unpack_layer(int fd, int root, bool lowest, const struct unpack_limits *limits,
		 struct unpack_total *total, char digest[static 65], struct err *e)
{
	struct whiteout over = { 0 };
	struct unpack u = { .root = root,
			    .limits = *limits,
			    .total = total,
			    .over = lowest ? NULL : &over,
			    .near = -1 };
	int bad = unpack_any(&u, fd, digest, e);

	whiteout_release(&over);
	return bad;
}

int unpack_mount_points(int root, struct err *e)
{
	static const char *const folders[] = { "proc", "dev", "sys", "tmp", "oscar", "etc", "mnt" };
	static const char *const files[] = { "etc/hosts", "etc/resolv.conf", "etc/hostname" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdirat(root, folders[i], 0755) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir /%s", folders[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *name;
		auto_fd int dir = open_parent(root, files[i], &name, e), fd = -1;
		struct stat st;

		if (dir < 0)
			return -1;
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			continue;
		unlinkat(dir, name, 0); // a link to the builder's own, for instance
		fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644, e);
		if (fd < 0)
			return -1;
	}
	return 0;
}
