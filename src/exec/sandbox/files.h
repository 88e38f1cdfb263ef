// exec/sandbox/files: writes an attempt's folder (runner/jobdir.h) from a spec. Private to exec/sandbox.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "exec/exec.h"
#include "exec/sandbox/spares.h"
#include "runner/proto.h"

#include <sys/types.h>

// The message that starts the job, owned by the caller (mem_free); *size is its length; *files are descriptors of its
// own for the files that go with it (close each, mem_free). ERR_INVALID and ERR_LIMIT say what in the spec cannot be,
// ERR_BUSY: too many files are open.
must_check int files_message(const struct exec_spec *s, struct proto_start **out, size_t *size,
			     int **files, struct err *e);

// What files_make() does for one file, and the environment as it stands in `env`.
must_check int files_put(int dir, const char *name, mode_t mode, struct span text, struct err *e);
must_check int files_env(struct buf *b, const struct exec_spec *s, struct err *e);

// All inputs are bytes that are written into the folder; none is bound there, which only a sandbox that is made then can do.
bool files_only_written(const struct exec_spec *s);
// What is one job's of a folder's files: event, environment, inputs.
must_check int files_put_job(int dir, const struct exec_spec *s, struct err *e);
// Makes and fills the folder below the spares' `jobs`. ERR_EXISTS when it is there. Leaves nothing behind on failure.
must_check int files_make(struct spares *spares, const char *name, const struct exec_spec *s,
			  struct err *e);
