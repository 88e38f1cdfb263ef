// runner/jobdir: the directory of one attempt, DATA/jobs/JOB.ATTEMPT/, which is all that daemon, runner and shim
// need to find each other's traces after a crash of any of them.
//   oscar/config/script.sh  oscar/input/  oscar/output/   seen as /oscar in the sandbox
//   oscar/progress  FIFO, lines about how far the script is; the shim reads them
//   oscar/shell/start.sh, event   of a shell only: what it runs, and the job's event
//   event   standard input of the script       env    NUL-terminated NAME=VALUE strings
//   secrets the same, when there are any; removed as soon as they were read
//   log     exec/joblog.h                      alive  locked (flock) as long as the shim lives
//   ctl     FIFO, one byte an order            exit   struct jobdir_exit, written once at the end
// State, in this order: no `alive`: never began. `alive` locked: running. `exit` there: ended. Else: lost.
// `alive` appears already locked, `exit` appears whole and before the lock goes.
// Threads: safe. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { JOBDIR_NAME_MAX = 96, JOBDIR_REASON_MAX = 200, JOBDIR_ENV_BYTES_MAX = 1900000 };

#define JOBDIR_SECRETS "secrets"
#define JOBDIR_PROGRESS "oscar/progress"

// Bytes written to `ctl`.
enum jobdir_order {
	JOBDIR_CANCEL = 'C',
	JOBDIR_STOP = 'S',
	JOBDIR_GO = 'G', // to one that was made ahead of its job
};

enum jobdir_outcome {
	JOBDIR_EXITED = 1,
	JOBDIR_SIGNALED,
	JOBDIR_OOM,
	JOBDIR_TIMEOUT,
	JOBDIR_DISK,
	JOBDIR_CANCELLED,
	JOBDIR_SETUP_FAILED,
	JOBDIR_STOPPED, // ended because everything was told to stop
	JOBDIR_LOST,
	JOBDIR_CHANGED, // an input changed while the job ran
};

// The exit record, in host byte order. Changing it: raise the last byte of JOBDIR_EXIT_MAGIC, read both.
#define JOBDIR_EXIT_MAGIC 0x4f455801u
struct jobdir_exit {
	uint32_t magic;
	uint32_t outcome; // enum jobdir_outcome
	int32_t exit_code;
	int32_t signal;
	uint64_t memory_peak_bytes; // 0 = not known
	uint64_t cpu_us;
	int64_t started_wall_ns; // 0 = never
	int64_t ended_wall_ns;
	uint64_t log_bytes_dropped;
	char reason[JOBDIR_REASON_MAX];
};

// What `alive` holds once the script runs.
struct jobdir_alive {
	uint32_t magic;
	int32_t shim; // process id, for people; nothing trusts it
	int64_t started_wall_ns;
};

// Behind it: the end of what the script wrote of how far it is, as it wrote it.
enum { JOBDIR_PROGRESS_MAX = 4096 };
struct jobdir_progress {
	uint32_t size; // of `text`; 0 = nothing yet
	uint32_t sum;  // over it: who reads while it is written sees that
	int64_t wall_ns;
	char text[JOBDIR_PROGRESS_MAX];
};

enum jobdir_state { JOBDIR_NEW, JOBDIR_RUNNING, JOBDIR_ENDED, JOBDIR_GONE };

// "JOB.ATTEMPT". And back: false when `name` is none.
char *jobdir_name(char out[static JOBDIR_NAME_MAX], const char *job, unsigned attempt);
bool jobdir_parse(const char *name, char *job, size_t job_max, unsigned *attempt);

// Makes `alive`, locked, and returns its descriptor. ERR_EXISTS when the attempt began before.
must_check int jobdir_alive_make(int dir, struct err *e);
must_check int jobdir_alive_write(int alive, int64_t started_wall_ns, struct err *e);

// The caller sets size (0 takes back what was said), wall_ns and text. Not durable: no report is worth a sync.
must_check int jobdir_progress_write(int alive, struct jobdir_progress *p, struct err *e);
// ERR_NOT_FOUND: the script said nothing.
must_check int jobdir_progress_read(int alive, struct jobdir_progress *p, struct err *e);

// The state; *x is filled when it is JOBDIR_ENDED, *started_wall_ns (0 = not yet) when running or ended.
must_check int jobdir_look(int dir, enum jobdir_state *out, struct jobdir_exit *x,
			   int64_t *started_wall_ns, struct err *e);

// The exit record in two steps: its place on the disk is taken before the job begins, so that a disk which the job
// filled still takes it. finish() writes it durably under its name.
must_check int jobdir_exit_reserve(int dir, struct err *e);
must_check int jobdir_exit_finish(int dir, int fd, struct jobdir_exit *x, struct err *e);
// Both at once.
must_check int jobdir_exit_write(int dir, struct jobdir_exit *x, struct err *e);

// Gives an order to the shim without its runner. ERR_NOT_FOUND when no shim listens.
must_check int jobdir_order(int dir, enum jobdir_order order, struct err *e);
