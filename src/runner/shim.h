// runner/shim: the process that stays with one job: it starts the sandbox, writes the log, keeps the limits that
// nobody else keeps, and leaves the exit record. It needs neither runner nor daemon.
// Its life: forked by the runner, setsid, holds the lock on `alive` until it ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/proto.h"
#include "runner/world.h"

struct shim_job {
	const struct world *world;
	const struct proto_start *start;
	int jobdir;
	const int *files; // passed with `start`, proto_files() of them
	int alive;	  // locked
	int ctl;	  // FIFO of orders, open for reading and writing
	int net;	  // network namespace of the job, -1 = the host's
	struct cgroup_job *group;
	int notify; // pipe of the runner for struct shim_note; may have lost its reader
};

// Told to the runner when the script runs, or when one that was made ahead is ready for its job.
struct shim_note {
	pid_t shim; // which job it has may have changed
	int64_t started_wall_ns;
};

// How it exits when all went well: the network namespace can be used again, and the control groups can, too, or
// were removed. With any other status neither can.
enum shim_status { SHIM_CLEAN = 0, SHIM_GROUP_REMOVED = 3 };

// The whole life of the forked process.
no_return void shim_run(const struct shim_job *j);
