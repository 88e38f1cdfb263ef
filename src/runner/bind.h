// runner/bind: files and folders that lie outside a sandbox become detached mounts, to be attached in it. Private to
// runner/.
// Two kinds: what the daemon names by a path below its own folders (bind_path), and what it has open and passes as a
// descriptor (bind_passed), which may lie anywhere the daemon may read and belong to anybody.
// Owner: the caller owns every descriptor that is returned. Threads: one. Errors: as said.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/proto.h"
#include "runner/world.h"

// A regular file or folder (`type`: S_IFREG, S_IFDIR) of the daemon's below `dir`, no link on the way: anything else is
// refused, also what another user owns. ERR_NOT_FOUND, ERR_INVALID.
must_check int bind_open_owned(const struct world *w, int dir, const char *path, int flags,
			       mode_t type, struct err *e);

// A detached mount of the same, seen in the sandbox as its root's own. `flags`: of mount_setattr(2), besides nosuid and
// nodev.
must_check int bind_path(const struct world *w, int dir, const char *path, mode_t type,
			 uint64_t flags, struct err *e);

// A passed file as a detached mount, read-only and for reading alone, whoever owns it: *tree. Where it cannot be mounted
// (its mount is not in the runner's mount namespace and not found there by its name; it was removed or replaced; its
// file system cannot show it to the sandbox's user), its bytes are written to the place in the job's folder where it would have been mounted,
// and *tree is -1. ERR_CONFLICT when it is no longer what `in` says, ERR_INVALID when it is no regular file or not
// open for reading.
must_check int bind_passed(const struct world *w, int file, const struct proto_input *in,
			   int jobdir, int *tree, struct err *e);

// A passed folder as a detached mount, read-only; other file systems mounted below it are not shown. The script reads what
// everybody may, and what the daemon's own user and group may where the file system can shift owners. ERR_INVALID when
// it is no folder or not open for reading, ERR_UNSUPPORTED when it cannot be mounted here.
must_check int bind_folder(const struct world *w, int folder, const char *what, struct err *e);

// The name under which the file was opened is no longer its own: then it cannot be mounted.
bool bind_nameless(int file);
// The passed file still has the size and time of change that `in` says.
bool bind_unchanged(int file, const struct proto_input *in);
