// check: a service's document checked part by part, each filling the typed fields of its keys (private to fdl).
// Owner: what is read lives in the service's arena. Threads: no shared state.
// Errors: ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED; `path` is then the field at fault.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/attr.h"
#include "fdl/fdl.h"

enum { FDL_PATH_MAX = 128 };

struct fdl_check {
	struct fdl_service *s;
	struct arena *a; // the service's
	char path[FDL_PATH_MAX];
	struct err *e;
};

// All of it.
must_check int fdl_check_service(struct fdl_check *c);

// The parts that have a file of their own.
must_check int
fdl_check_resources(struct fdl_check *c);	       // cpu, memory, storage, time, pids, devices
must_check int fdl_check_devices(struct fdl_check *c); // GPUs and other devices
must_check int fdl_check_retry(struct fdl_check *c);
must_check int fdl_check_keep(struct fdl_check *c);  // of jobs that are over
must_check int fdl_check_queue(struct fdl_check *c); // and what is kept warm, after what is exposed
must_check int fdl_check_ios(struct fdl_check *c);   // input and output
must_check int fdl_check_group(struct fdl_check *c, const json_t *group, bool is_input,
			       struct fdl_io *out);   // of one input
must_check int fdl_check_mounts(struct fdl_check *c); // mounts and mount, after the inputs
must_check int fdl_check_mount_place(struct fdl_check *c, const json_t *mount, struct fdl_io *out);
must_check int fdl_check_expose(struct fdl_check *c); // after the network
must_check int fdl_check_environment(struct fdl_check *c);

// From here on errors are about this field.
void fdl_check_at(struct fdl_check *c, const char *format, ...) format_printf(2, 3);

// The text of a key, "" when it is unset; errors are about it from here on.
const char *fdl_check_text(struct fdl_check *c, const char *key);

// A whole number of the object `part` (NULL: of the document); unset leaves *out as it is. Errors are about it from here
// on.
must_check int fdl_check_whole(struct fdl_check *c, const char *part, const char *key, int64_t min,
			       int64_t max, int64_t *out);

// The part of a path behind its bucket: names that a folder can have.
must_check int fdl_check_folder(struct span folder, struct err *e);

// A list of strings as an array in the arena.
const char *const *fdl_check_strings(struct fdl_check *c, const json_t *list, size_t *count);
