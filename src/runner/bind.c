// SPDX-License-Identifier: Apache-2.0
#include "runner/bind.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/sys.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { COPY_CHUNK = 1 << 30 };

int bind_open_owned(const struct world *w, int dir, const char *path, int flags, mode_t type,
		    struct err *e)
{
	auto_fd int fd = sys_open_beneath(dir, path, flags | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return err_sys(e, ERR_NOT_FOUND, errno, "open %s", path);
	if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != type || st.st_uid != w->owner)
		return err_set(e, ERR_INVALID, "%s is not a %s of the daemon's user", path,
			       S_ISDIR(type) ? "folder" : "file");
	return file_take(&fd);
}

static int clone_mount(int fd)
{
	return open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

// idmap: -1 = owners stay as they are.
static int set_attributes(int tree, uint64_t flags, int idmap)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | flags };

	if (idmap >= 0) {
		a.attr_set |= MOUNT_ATTR_IDMAP;
		a.userns_fd = (uint64_t)idmap;
	}
	return mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a));
}

int bind_path(const struct world *w, int dir, const char *path, mode_t type, uint64_t flags,
	      struct err *e)
{
	auto_fd int fd = bind_open_owned(w, dir, path, O_RDONLY, type, e);
	auto_fd int tree = fd < 0 ? -1 : clone_mount(fd);

	if (fd < 0)
		return -1;
	if (tree < 0 || set_attributes(tree, flags, w->idmap) < 0)
		return err_sys(e, ERR_IO, errno, "prepare the mount of %s", path);
	return file_take(&tree);
}

// ---- passed files --------------------------------------------------------------------------------------

bool bind_unchanged(int file, const struct proto_input *in)
{
	struct stat st;

	return fstat(file, &st) == 0 && (uint64_t)st.st_size == in->size &&
	       st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec == in->mtime_ns;
}

// What the daemon could open to read, it may show. A descriptor can be had without the right to read, too.
static int check_passed(int file, mode_t type, struct stat *st, struct err *e)
{
	const int flags = fcntl(file, F_GETFL);

	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) != O_RDONLY || fstat(file, st) < 0 ||
	    (st->st_mode & S_IFMT) != type)
		return err_set(e, ERR_INVALID, "it is no %s that is open for reading",
			       type == S_IFDIR ? "folder" : "regular file");
	return 0;
}

// Under which the file was opened, "" when it cannot be told.
static void read_name(int file, char path[static PATH_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	n = readlink(link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
}

bool bind_nameless(int file)
{
	static const char mark[] = " (deleted)"; // proc(5)
	char path[PATH_MAX];
	size_t n;

	read_name(file, path);
	n = strlen(path);
	return n >= sizeof(mark) && strcmp(path + n - (sizeof(mark) - 1), mark) == 0;
}

// The same file by its name in our own mount namespace: a mount of another one cannot be cloned.
static int find_here(int file, const struct stat *st)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				      .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	char path[PATH_MAX];
	auto_fd int fd = -1;
	struct stat here;

	read_name(file, path);
	if (path[0] != '/')
		return -1;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &here) < 0 || here.st_dev != st->st_dev ||
	    here.st_ino != st->st_ino)
		return -1;
	return file_take(&fd);
}

// The user namespace that lets the sandbox read the file, -1 when none is needed. False when there is no way.
static bool find_idmap(const struct world *w, const struct stat *st, int *idmap)
{
	struct err unused = { 0 };

	*idmap = -1;
	if (st->st_mode & S_IROTH || w->rootless) // rootless: a script reads as the daemon does
		return true;
	if (w->idmap < 0)
		return st->st_uid == w->owner && st->st_mode & S_IRUSR;
	*idmap = st->st_mode & S_IRUSR ? world_idmap(w, st->st_uid, st->st_gid, &unused) : -1;
	return *idmap >= 0;
}

static int clone_passed(int file, const struct stat *st)
{
	int tree = bind_nameless(file) ? -1 : clone_mount(file);

	if (tree < 0) {
		auto_fd int here = find_here(file, st);

		tree = here < 0 ? -1 : clone_mount(here);
	}
	return tree;
}

static int mount_passed(const struct world *w, int file, const struct stat *st)
{
	const uint64_t flags = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC;
	auto_fd int idmap = -1;
	auto_fd int tree = clone_passed(file, st);

	if (tree < 0 || !find_idmap(w, st, &idmap) || set_attributes(tree, flags, idmap) < 0)
		return -1;
	return file_take(&tree);
}

// The kernel moves the bytes, sharing them on disk where it can.
static int copy_passed(int file, const struct proto_input *in, int out, struct err *e)
{
	off_t at = 0;

	while ((uint64_t)at < in->size) {
		ssize_t n = copy_file_range(file, &at, out, NULL, COPY_CHUNK, 0);

		if (n < 0 && errno != ENOSPC && errno != EIO)
			n = sendfile(out, file, &at, COPY_CHUNK);
		if (n < 0)
			return err_sys(e, ERR_IO, errno, "copy");
		if (n == 0)
			break;
	}
	return 0;
}

int bind_passed(const struct world *w, int file, const struct proto_input *in, int jobdir,
		int *tree, struct err *e)
{
	auto_free char *place = mem_printf("oscar/input/%s", in->name);
	struct stat st;

	*tree = -1;
	if (check_passed(file, S_IFREG, &st, e) < 0)
		return -1;
	*tree = mount_passed(w, file, &st);
	if (*tree < 0) {
		auto_fd int out = bind_open_owned(w, jobdir, place, O_WRONLY, S_IFREG, e);

		if (out < 0 || copy_passed(file, in, out, e) < 0)
			return -1;
	}
	// After a copy, so that it is of one piece.
	return bind_unchanged(file, in) ? 0 : err_set(e, ERR_CONFLICT, "it changed");
}

int bind_folder(const struct world *w, int folder, const char *what, struct err *e)
{
	auto_fd int tree = -1;
	struct stat st;

	if (check_passed(folder, S_IFDIR, &st, e) < 0)
		return err_wrap(e, "%s", what);
	tree = clone_passed(folder, &st);
	if (tree < 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s: its folder cannot be mounted: it was removed, or the runner "
			       "has no root rights and other file systems are mounted below it",
			       what);
	// Not every file system can shift owners.
	if ((w->idmap < 0 || set_attributes(tree, MOUNT_ATTR_RDONLY, w->idmap) < 0) &&
	    set_attributes(tree, MOUNT_ATTR_RDONLY, -1) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno, "%s: make it read-only", what);
	return file_take(&tree);
}
