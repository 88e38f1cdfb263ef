// inputs: what a script finds of the store: one file, several files that make one job together, or a folder.
// Private to dispatch. Threads: the worker that stages the job.
// Errors: ERR_NOT_FOUND (an input is gone), ERR_CONFLICT (it changed), ERR_UNSUPPORTED, those of store and view.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/exec.h"
#include "fdl/fdl.h"

struct arena;
struct dispatch;
struct fdl_event;
struct job;

struct inputs {
	struct exec_input at[FDL_GROUP_MAX];
	size_t n;
	const char *file; // for INPUT_FILE_PATH: a name, "" = their folder, NULL = there is none …
	struct exec_mount folder; // … but this one, when its target is set
	size_t run_files;	  // of a whole run: how many, 0 = it is not of one; …
	uint64_t run_failed;	  // … and how many of its jobs failed
	const char *manifest;	  // where it stands, below /mnt; NULL = there is none
	int files[FDL_GROUP_MAX]; // descriptors that the inputs borrow; 0 = none
};

// *out is zeroed. To be closed when the driver has the job, also after a failure.
must_check int inputs_build(struct dispatch *d, const struct job *j, const struct fdl_event *ev,
			    struct span payload, struct arena *mem, struct inputs *out,
			    struct err *e);
void inputs_close(struct inputs *in);
// The folder, whose descriptor is the caller's from now on.
struct exec_mount inputs_folder(struct inputs *in);
#define auto_inputs at_scope_exit(inputs_close)

// The input of the service that an object started the job by; NULL when none did.
const struct fdl_io *inputs_io(const struct job *j);
