// runner: the privileged process that makes sandboxes. Small, single-threaded, parses no text of others (in the shim of a
// job with devices, the administrator's files about them); takes fixed-form messages (runner/proto.h) from one daemon at a
// time over DATA/run/runner.sock and forks one shim per job. It lives on while the daemon is away and has jobs, and
// ends when it has had neither for a while.
// Killing it loses nothing: shims go on, and the next runner finds them by their locks.
// As root it serves a daemon of an ordinary user; as an ordinary user ("rootless") it serves a daemon of the
// same user inside a user namespace of its own. Errors: as said at each function.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUNNER_CDI_MAX = 8 };

struct runner_options {
	const char *data_dir; // made by the daemon's user; its jobs/ and run/ are made when missing
	uid_t user;	      // the daemon's; rootless: must be our own
	gid_t group;
	uint32_t id_base; // host user id that is root in a sandbox, the first of 65536; 0 = 1000000
	int64_t idle_ms; // lets pooled namespaces and groups go after this long without jobs, and ends
			 // when there is no daemon either; 0 = 5000
	unsigned jobs_max; // at once; 0 = 4096
	// An OCI runtime that makes the sandboxes: "crun", "runc" or the path of one; NULL = they are made here.
	const char *oci_runtime;
	const char *
		self; // the program that is pid 1 in its containers, linked statically; NULL = this one
	const char
		*cdi[RUNNER_CDI_MAX]; // folders of specifications of devices (codec/cdi_folder.h)
	unsigned cdi_count;
	bool supervise; // stay as a parent that starts the runner again when a signal killed it
};

// Reads the options of `oscar runner` (argv[0] is skipped): 0, or 1 when help was printed, or -1 with the usage on
// stderr. What is not said stays as it is in *o.
must_check int runner_options(int argc, char **argv, struct runner_options *o);

// Serves until idle or told to end (SIGTERM: leaves, jobs go on; SIGINT: ends the jobs first). The exit
// status for main(): 0, or 1 after it logged why. Another runner on the same directory: 0 at once.
must_check int runner_main(const struct runner_options *o);

struct runner_spawn_options {
	const char *exe; // NULL = /proc/self/exe
	const char *data_dir;
	uid_t user;
	const char *oci_runtime; // as in runner_options
	const char *const *cdi;	 // likewise; at most RUNNER_CDI_MAX
	unsigned cdi_count;
	int64_t wait_ms; // until it listens; 0 = 10000
};

// Starts `EXE runner --data DIR --user UID`, detached from this process, and returns when it listens; at once
// when one listens already. ERR_UNAVAILABLE when it does not come up (its own log says why), ERR_IO.
must_check int runner_spawn(const struct runner_spawn_options *o, struct err *e);

// A connection to the runner of a data directory, before any greeting. ERR_UNAVAILABLE when none listens.
must_check int runner_connect(const char *data_dir, struct err *e);
