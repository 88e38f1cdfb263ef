// runner/rootfs: what a sandbox's root file system is put together from, whoever makes its namespaces: runner/inside or
// an OCI runtime (runner/oci). To be called in the template's mount namespace or a copy of it. Private to runner/.
// Threads: one. Errors: ERR_IO with what could not be mounted, in words for the owner of the job.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/sandbox.h"

// The image, or the host's programs, at /new, which becomes the working directory.
must_check int rootfs_begin(const struct sandbox *s, struct err *e);
// Below the working directory: /oscar with inputs, output and secrets, the folders of /mnt, the files of /etc about names.
// The secrets become this user's; -1 = they are the caller's.
must_check int rootfs_fill(const struct sandbox *s, uid_t uid, gid_t gid, struct err *e);
// Memory that everybody may write to, at `where` below the working directory, this user's; -1 = the caller's own.
must_check int rootfs_tmpfs(const char *where, uint64_t size, uid_t uid, gid_t gid, struct err *e);
// Shows a part of the template at `where` below the working directory.
must_check int rootfs_show(const char *from, const char *where, struct err *e);
