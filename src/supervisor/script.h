// script: the user's script as a child: its streams passed on line by line while it runs, its end enforced.
// Owner: the caller. Threads: one. Errors: ERR_IO (no pipe, no process); how the script ended is a result.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "supervisor/stop.h"

#include <stdbool.h>

struct script {
	const char *path;
	int input;	   // its standard input
	int64_t timeout_s; // 0 = none
	int kept; // what it prints is also kept here, both streams in the order it comes; -1 = not
	int out, err; // where its lines go while it runs; -1 = nowhere
};

enum { SCRIPT_KEPT_MAX = 256 << 20, SCRIPT_GRACE_S = 5 };

struct script_end {
	int status; // of the script, 128+signal when killed; 124 timeout; 128+signal when we were stopped
	bool timed_out, stopped;
	bool cut; // more than SCRIPT_KEPT_MAX bytes came; the rest was not kept
};

// Runs /bin/sh PATH in a process group of its own. At the timeout, or when asked to stop, the group gets
// SIGTERM (or the signal that came), and SIGKILL after a grace. Nothing of the group is left behind.
must_check int script_run(struct stop *stop, const struct script *s, struct script_end *out,
			  struct err *e);
