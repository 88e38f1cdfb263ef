// runner/secrets: what a script finds in /oscar/secrets: one file a secret, in memory, for its user's eyes alone.
// They come in the job's folder as the environment does, and are removed from there as soon as they were read.
// Private to the runner. Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

enum { SECRETS_BYTES_MAX = 1 << 20, SECRETS_FILES_MAX = 1000 };

struct world;

// *text = NUL-terminated NAME=VALUE strings, `n` bytes; NULL when there are none. The caller's.
must_check int secrets_take(const struct world *w, int jobdir, char **text, size_t *n,
			    struct err *e);
// Before the root is changed: mounts them at oscar/secrets below the working directory, as this user's; -1 = as the
// caller's own.
must_check int secrets_mount(const char *text, size_t n, uid_t uid, gid_t gid, struct err *e);
