// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct file_ops file_ops = { .write = write, .fsync = fsync, .fdatasync = fdatasync };

void file_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static enum err_code code_of(int sys)
{
	if (sys == ENOENT)
		return ERR_NOT_FOUND;
	return sys == EEXIST ? ERR_EXISTS : ERR_IO;
}

int file_open(int dir, const char *path, int flags, mode_t mode, struct err *e)
{
	int fd = openat(dir, path, flags | O_CLOEXEC, mode);

	if (fd < 0)
		return err_sys(e, code_of(errno), errno, "open %s", path);
	return fd;
}

int file_open_in_root(int root, const char *path, int flags, struct err *e)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));

	return fd < 0 ? err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, errno, "%s", path)
		      : (int)fd;
}

int file_open_beneath(int dir, const char *path, int flags, struct err *e)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd >= 0)
		return (int)fd;
	return err_sys(e,
		       errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
		       : errno == ELOOP || errno == EXDEV  ? ERR_DENIED
							   : ERR_IO,
		       errno, "%s", path);
}

int file_write_all(int fd, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	while (n) {
		ssize_t k = file_ops.write(fd, at, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_sys(e, ERR_IO, k < 0 ? errno : EIO, "write");
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

int file_pwrite_all(int fd, const void *p, size_t n, off_t at, struct err *e)
{
	const char *from = p;

	while (n) {
		ssize_t k = pwrite(fd, from, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_sys(e, ERR_IO, k < 0 ? errno : EIO, "write");
		from += k;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

ssize_t file_read_full(int fd, void *p, size_t n, struct err *e)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = read(fd, (char *)p + got, n - got);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, ERR_IO, errno, "read");
		if (k == 0)
			break;
		got += (size_t)k;
	}
	return (ssize_t)got;
}

ssize_t file_pread_full(int fd, void *p, size_t n, off_t at, struct err *e)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = pread(fd, (char *)p + got, n - got, at + (off_t)got);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, ERR_IO, errno, "read");
		if (k == 0)
			break;
		got += (size_t)k;
	}
	return (ssize_t)got;
}

int file_sync(int fd, struct err *e)
{
	return file_ops.fsync(fd) < 0 ? err_sys(e, ERR_IO, errno, "fsync") : 0;
}

int file_datasync(int fd, struct err *e)
{
	return file_ops.fdatasync(fd) < 0 ? err_sys(e, ERR_IO, errno, "fdatasync") : 0;
}

void file_begin_writing(int fd, off_t at, off_t n)
{
	sync_file_range(fd, at, n, SYNC_FILE_RANGE_WRITE);
}

int file_read_all(int fd, struct buf *b, struct err *e)
{
	char chunk[16384];
	ssize_t k;

	while ((k = file_read_full(fd, chunk, sizeof(chunk), e)) > 0)
		if (!buf_add(b, chunk, (size_t)k))
			return err_set(e, ERR_LIMIT, "it is larger than %zu bytes", b->max);
	return k < 0 ? -1 : 0;
}

int file_read_path(int dir, const char *path, struct buf *b, struct err *e)
{
	auto_fd int fd = file_open(dir, path, O_RDONLY, 0, e);

	if (fd < 0)
		return -1;
	return file_read_all(fd, b, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

static int sync_folder_of(int dir, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *folder =
		slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path))
		      : mem_strdup(".");
	auto_fd int fd = file_open(dir, folder, O_RDONLY | O_DIRECTORY, 0, e);

	return fd < 0 ? -1 : file_sync(fd, e);
}

int file_replace(int dir, const char *path, mode_t mode, const void *p, size_t n, struct err *e)
{
	auto_free char *tmp = mem_printf("%s.new", path);
	auto_fd int fd = file_open(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode, e);

	if (fd < 0)
		return -1;
	if (file_write_all(fd, p, n, e) < 0 || file_sync(fd, e) < 0) {
		unlinkat(dir, tmp, 0);
		return err_wrap(e, "%s", tmp);
	}
	if (renameat(dir, tmp, dir, path) < 0)
		return err_sys(e, ERR_IO, errno, "rename %s", tmp);
	return sync_folder_of(dir, path, e);
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	auto_free char *part = mem_strdup(path);

	for (char *p = part + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "mkdir %s", part);
		*p = was;
		if (!was)
			return 0;
	}
}

bool file_path_is_plain(struct span path)
{
	while (path.n) {
		struct span part = span_cut(&path, '/');

		if (!part.n || part.n > NAME_MAX || span_is(part, ".") || span_is(part, ".."))
			return false;
	}
	return true;
}

static int remove_children(int dir, const char *path, const atomic_bool *stop, struct err *e)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *d;
	DIR *list;
	int bad = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "open %s", path);
	list = fdopendir(fd);
	if (!list) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "open %s", path);
	}
	while (!bad && (d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			bad = file_remove_tree_unless(dirfd(list), d->d_name, stop, e);
	closedir(list);
	return bad;
}

int file_remove_tree_unless(int dir, const char *path, const atomic_bool *stop, struct err *e)
{
	struct stat st;

	if (stop && *stop)
		return err_set(e, ERR_CANCELLED, "remove %s: given up", path);
	if (unlinkat(dir, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(e, ERR_IO, errno, "remove %s", path);
	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(dir, path, S_IRWXU, 0) < 0)
		return err_sys(e, ERR_IO, errno, "open %s", path);
	if (remove_children(dir, path, stop, e) < 0)
		return -1;
	if (unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove %s", path);
	return 0;
}

int file_remove_tree(int dir, const char *path, struct err *e)
{
	return file_remove_tree_unless(dir, path, NULL, e);
}
