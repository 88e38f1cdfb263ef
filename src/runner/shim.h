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
	int alive;  // locked
	int ctl;    // FIFO of orders, open for reading and writing
	int net;    // network namespace of the job, -1 = the host's
	int notify; // pipe of the runner for struct shim_note; may have lost its reader
};

// Told to the runner when the script runs.
struct shim_note {
	char job[PROTO_JOB_MAX];
	uint32_t attempt;
	int64_t started_wall_ns;
};

// The whole life of the forked process.
no_return void shim_run(const struct shim_job *j);
