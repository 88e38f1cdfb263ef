// state: what the files of the runner's loop share. Private to runner.
// Owner: loop_run() has the struct runner on its stack. Threads: one. Errors: those of the calls; what concerns one job
// is told to the daemon.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/map.h"
#include "runner/jobdir.h"
#include "runner/proto.h"
#include "runner/world.h"

struct job {
	char id[PROTO_JOB_MAX];
	uint32_t attempt;
	pid_t shim; // 0 = of an earlier runner
	int dir;
	int net;		 // given back when the shim has ended well
	struct cgroup_job group; // likewise
	int64_t started_wall_ns;
	bool tell_started, tell_ended; // not sent yet
	bool ahead;		       // has no job yet
};

struct runner {
	const struct runner_options *o;
	struct world world;
	int lock, run, listen, conn, signals, notify[2];
	bool greeted;		 // the connection has said HELLO
	struct map jobs;	 // by jobdir_name
	unsigned adopted, limit; // jobs with shim == 0; jobs at once
	bool behind;		 // something could not be sent: write before reading more
	bool held_there;
	struct proto_about held; // an answer that could not be sent
	int64_t hello_by_ns, idle_since_ns, refresh_ns, sweep_ns;
	bool leave, stop;
};

// ---- jobs.c: the jobs there are ------------------------------------------------------------------------

struct job *jobs_find(struct runner *r, const char *id, uint32_t attempt); // or NULL
// Takes the folder over. shim: its process, 0 when an earlier runner started it, -1 when it has ended.
struct job *jobs_add(struct runner *r, const char *id, uint32_t attempt, int dir, pid_t shim);
// One that was made ahead of its job becomes that job's. False: there is none, or the job is there.
bool jobs_take(struct runner *r, const struct proto_take *m);
void jobs_drop(struct runner *r, struct job *j);
void jobs_release(struct runner *r);
// The folder of a job below jobs/: its owner is the daemon's user.
must_check int jobs_open_folder(struct runner *r, const char *name, struct err *e);

void jobs_order(struct job *j, enum jobdir_order what); // through its folder; not when it has ended
void jobs_stop_all(struct runner *r);

// Shims that an earlier runner left: found at the start, and their ends.
must_check int jobs_adopt(struct runner *r, struct err *e);
void jobs_look_at_adopted(struct runner *r);

void jobs_read_notes(struct runner *r); // of shims: they have begun
void jobs_reap(struct runner *r);
void jobs_sweep_soon(struct runner *r); // control groups of dead jobs

// ---- begin.c -------------------------------------------------------------------------------------------

// Starts a job's shim, or tells the daemon why not.
void begin_job(struct runner *r, const struct proto_start *m, const int *files);

// ---- talk.c: the daemon --------------------------------------------------------------------------------

void talk_accept(struct runner *r);
void talk_read(struct runner *r);
void talk_catch_up(struct runner *r); // sends what could not be sent before
void talk_hang_up(struct runner *r);

void talk_refuse(struct runner *r, const struct proto_start *s, bool busy, const char *text);
void talk_started(struct runner *r, struct job *j, int64_t wall_ns);
void talk_ended(struct runner *r, struct job *j); // the job may be gone afterwards
