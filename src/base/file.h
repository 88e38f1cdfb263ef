// file: descriptors and files with errors as values. All descriptors are close-on-exec.
// Threads: safe. Errors: ERR_IO, ERR_FULL (no space), ERR_NOT_FOUND, ERR_EXISTS, ERR_LIMIT where said.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>
#include <sys/types.h>

// Replaceable, so that tests can fail the n-th call or drop unsynced writes.
struct file_ops {
	ssize_t (*write)(int fd, const void *p, size_t n);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
};
extern struct file_ops file_ops;

void file_close(int fd); // ignores -1, keeps errno
static inline void file_close_ptr(int *fd)
{
	file_close(*fd);
}
#define auto_fd at_scope_exit(file_close_ptr)

// Moves a descriptor out of a scope-exit variable.
static inline int file_take(int *fd)
{
	int got = *fd;

	*fd = -1;
	return got;
}

// open() relative to `dir` (or AT_FDCWD) with O_CLOEXEC; the descriptor, or -1.
must_check int file_open(int dir, const char *path, int flags, mode_t mode, struct err *e);

// The same inside the tree `root`: links and ".." in the path lead to places in it, as for a program whose root it is
// (openat2(2) RESOLVE_IN_ROOT). "" is the root itself. ERR_INVALID for what cannot be opened so, but for what is missing.
must_check int file_open_in_root(int root, const char *path, int flags, struct err *e);

// Opens what lies below `dir`: no link, no "..", no other file system on the way or at the end (openat2(2)). ERR_DENIED
// for those, ERR_NOT_FOUND for what is missing.
must_check int file_open_beneath(int dir, const char *path, int flags, struct err *e);

must_check int file_write_all(int fd, const void *p, size_t n, struct err *e);
must_check int file_pwrite_all(int fd, const void *p, size_t n, off_t at, struct err *e);

// Reads up to n bytes, fewer only at the end of the file; the count, or -1.
must_check ssize_t file_read_full(int fd, void *p, size_t n, struct err *e);
must_check ssize_t file_pread_full(int fd, void *p, size_t n, off_t at, struct err *e);

must_check int file_sync(int fd, struct err *e);     // fsync
must_check int file_datasync(int fd, struct err *e); // fdatasync
// Asks the disk to begin with these bytes, so that a later sync has less to wait for. Only a hint.
void file_begin_writing(int fd, off_t at, off_t n);

// Appends the rest of the file to b; ERR_LIMIT when it is larger than b allows.
must_check int file_read_all(int fd, struct buf *b, struct err *e);
// Appends the whole file to b; ERR_LIMIT when it is larger than b allows.
must_check int file_read_path(int dir, const char *path, struct buf *b, struct err *e);

// Replaces the file atomically and durably (temporary name beside it, fsync, rename, fsync of the folder).
must_check int file_replace(int dir, const char *path, mode_t mode, const void *p, size_t n,
			    struct err *e);

// mkdir -p for every part of the path that is missing.
must_check int file_mkdirs(const char *path, mode_t mode, struct err *e);

// Whether every part of a relative path is a name that a file can have there and nowhere else: not empty, "." or "..",
// no longer than a name may be. A path that ends in "/" is one of a folder.
bool file_path_is_plain(struct span path);

// Removes a tree below `dir` without following links; missing is success.
must_check int file_remove_tree(int dir, const char *path, struct err *e);
// The same, given up with ERR_CANCELLED soon after *stop is set. Two may remove the same tree.
must_check int file_remove_tree_unless(int dir, const char *path, const atomic_bool *stop,
				       struct err *e);
