// runner/cgroup: limits and measurements of one job by control groups: version 1, version 2, both at once
// (each controller where it is), or none.
// Below the runner's own group in each hierarchy stands one group per data directory, in it one per job at a time:
// making and removing them costs more than a small job, so those of a finished one can serve the next.
// Owns: the groups it makes. Threads: one. Works on descriptors, so it also works after a change of root.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { CGROUP_NAME_MAX = 48 };
enum cgroup_kind {
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_PIDS,
	CGROUP_FREEZER, // for the jobs that want it
	CGROUP_KINDS
};

// Zeroed with dir = -1 everywhere is "none".
struct cgroup_base {
	struct {
		int dir; // our group in this controller's hierarchy, -1 = no such controller
		bool v2; // in the unified hierarchy
		int alias; // the kind whose directory this is too (mounted together), or its own number
	} at[CGROUP_KINDS];
};

struct cgroup_limits {
	uint64_t memory_bytes; // 0 = none
	uint32_t cpu_millis;
	uint32_t pids_max;
	bool freezer; // it may be frozen, where that can be
};

struct cgroup_usage {
	uint64_t memory_peak_bytes, cpu_us, oom_kills; // 0 = none or not known
};

// Locked (flock) by its descriptors: it is in use as long as any process has them.
struct cgroup_job {
	char name[CGROUP_NAME_MAX];
	struct cgroup_limits limits;
	int dir[CGROUP_KINDS];	 // -1 = none; aliases have none of their own
	int enter[CGROUP_KINDS]; // v1: `tasks`, opened for writing, for the child to write "0" to
	int unified;		 // v2 directory for CLONE_INTO_CGROUP, or -1 (borrowed from dir)
};
#define CGROUP_JOB_NONE                                                                            \
	{                                                                                          \
		.dir = { -1, -1, -1, -1, -1 }, .enter = { -1, -1, -1, -1, -1 }, .unified = -1      \
	}

// Finds the hierarchies from the texts of /proc/self/mountinfo and /proc/self/cgroup and makes the group
// `name` in each. What cannot be had (no rights, no controller) is left out; never fails.
void cgroup_open(struct cgroup_base *b, const char *name, struct span mountinfo, struct span self);
void cgroup_open_self(struct cgroup_base *b, const char *name);
void cgroup_close(struct cgroup_base *b); // also removes the groups when they are empty

// Makes the groups `name` with their limits. ERR_BUSY when they are in use. On failure nothing stays.
must_check int cgroup_job_make(const struct cgroup_base *b, const char *name,
			       const struct cgroup_limits *l, struct cgroup_job *out,
			       struct err *e);
// For the child: moves the calling process in (v1; with v2 it was born there).
must_check int cgroup_job_enter(const struct cgroup_job *j, struct err *e);
void cgroup_job_usage(const struct cgroup_base *b, const struct cgroup_job *j,
		      struct cgroup_usage *out);
// Nothing in it runs until it is thawed. With version 1 a signal that kills waits for that, too. ERR_UNSUPPORTED: there
// is no freezer here, or the groups were made without; ERR_IO.
must_check int cgroup_job_freeze(const struct cgroup_base *b, const struct cgroup_job *j,
				 struct err *e);
void cgroup_job_thaw(const struct cgroup_base *b, const struct cgroup_job *j);
// After the end: makes the groups as if new, for another job with the same limits. False when they cannot be:
// version 2 keeps its counts, and memory that the job left in the page cache would be the next one's.
bool cgroup_job_reset(const struct cgroup_base *b, const struct cgroup_job *j);
void cgroup_job_close(struct cgroup_job *j);

// Removes the groups of that name, and thaws what is left in them. False while something in them is still dying: try
// again soon.
bool cgroup_remove(const struct cgroup_base *b, const char *name);

// Removes all groups that nobody has in use. False while something in them is still dying.
bool cgroup_sweep(const struct cgroup_base *b);
