// runner/give: files that the daemon made in somebody's folder become his. Private to the runner.
// What may be given: a regular file without other names, set-uid or set-gid bits, or a folder, which the daemon's user
// owns, to whom the folder belongs that it lies in, if that is not root and the folder is not sticky. So the daemon gains
// nothing: where it may write, the owner let it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <sys/types.h>

// `name` is one path component. ERR_DENIED when it may not be given, ERR_NOT_FOUND, ERR_IO. Who has it already is success.
must_check int give_to_owner(int folder, const char *name, uid_t daemon, struct err *e);
