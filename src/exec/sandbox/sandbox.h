// exec/sandbox: the driver that runs jobs in sandboxes of this machine, by way of the runner (runner/runner.h),
// which must be there or be started by `respawn`. Nothing is lost when driver, runner or both die: adopt().
// Owns: DATA/jobs/, one thread. An attempt's folder stays until forget().
// Threads, errors: as exec/exec.h says of drivers.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/exec.h"

#include <stdbool.h>

struct exec_sandbox_options {
	const char *data_dir; // absolute; ours to write
	bool oci; // an OCI runtime makes the sandboxes; the runner was started for that, too
	bool any_runtime; // only to end jobs, whoever made their sandboxes
	const char *const
		*cdi; // folders of specifications of devices, of which the runner was told, too
	unsigned cdi_count;
	unsigned jobs_max;  // submitted and not ended, at once; 0 = 4096. Above: ERR_BUSY
	int64_t connect_ms; // open waits so long for the runner; 0 = 2000
	// Called from the driver's thread while no runner answers, at growing pauses; may be NULL. For instance
	// runner_spawn() where the daemon has the right to.
	int (*respawn)(void *owner, struct err *e);
	void *respawn_owner;
};

// Succeeds also when no runner answers yet; operations then say ERR_UNAVAILABLE until one does.
must_check int exec_sandbox_open(struct exec_driver **out, const struct exec_sandbox_options *o,
				 const struct exec_events *ev, struct err *e);
