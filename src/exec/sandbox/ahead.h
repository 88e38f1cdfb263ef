// exec/sandbox/ahead: sandboxes made ahead of the jobs that they serve, each for one. Private to exec/sandbox.
// Purpose: who waits for a call waits for a fork, not for namespaces and mounts. One that waits has a folder like a
//   job's, with the script and nothing of a job; the job's files are put there, the folder gets the job's name, and
//   from then on it is a job like others.
// Owner: struct ahead_pool knows those that wait; folders and lives are the driver's, which starts and ends them as jobs
//   of its own with ids that begin with AHEAD_PREFIX. Threads: safe.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "exec/exec.h"
#include "runner/proto.h"

#include <pthread.h>

enum { AHEAD_MAX = 64 };
#define AHEAD_PREFIX "a"

struct ahead;
struct ahead_pool {
	pthread_mutex_t lock;
	struct ahead *first;
	unsigned count, serial;
};

void ahead_init(struct ahead_pool *p);
void ahead_release(struct ahead_pool *p);

// `m`, of `size` bytes, starts it: what differs in anything but the job's name is no use to a job.
// The oldest that is ready, which is the caller's then.
bool ahead_take(struct ahead_pool *p, const struct exec_keep *keep, const struct proto_start *m,
		size_t size, char id[static PROTO_JOB_MAX]);
// A new one that the driver shall start under the id; false when enough of them wait.
bool ahead_add(struct ahead_pool *p, const struct exec_keep *keep, const struct proto_start *m,
	       size_t size, char id[static PROTO_JOB_MAX]);
void ahead_ready(struct ahead_pool *p, const char *id);
// It has ended, or could not be started.
void ahead_gone(struct ahead_pool *p, const char *id);
void ahead_retire(struct ahead_pool *p, int64_t service); // 0 = all

// One that shall be ended, told once; when (monotonic) the next one is, 0 = none; how many are ready.
bool ahead_ending(struct ahead_pool *p, char id[static PROTO_JOB_MAX]);
int64_t ahead_due(struct ahead_pool *p);
unsigned ahead_count(struct ahead_pool *p);
