// box: what the parts of the sandbox driver share.
//   sandbox.c: the operations of exec.h, from any thread; submit.c: that of them which starts a job; link.c: the thread,
//   which talks with the runner; tell.c: how jobs began and ended, told to who asked for them; kept.c: sandboxes that stay; ahead.c:
//   sandboxes that wait for their job.
// Owner: the driver. Threads: functions take no lock unless they say so.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/map.h"
#include "codec/cdi_folder.h"
#include "exec/sandbox/ahead.h"
#include "exec/sandbox/kept.h"
#include "exec/sandbox/sandbox.h"
#include "exec/sandbox/spares.h"
#include "runner/jobdir.h"
#include "runner/proto.h"

#include <pthread.h>

enum {
	BOX_RETRY_FIRST_MS = 20,
	BOX_LOOK_MS = 100, // at jobs of which no message is to be expected
};

struct job {
	char id[PROTO_JOB_MAX];
	unsigned attempt;
	struct proto_start *start; // until the runner is known to have begun it
	size_t start_size;
	int *files; // that go with it; ours, proto_files() of them
	bool send_start, send_take, send_cancel;
	bool look; // its folder must be looked at once, for nobody may have told what happened
	bool doubt; // … and again until it has ended: the runner says so, but the lock is still held
	bool told_started;
	bool kept;  // a kept sandbox, which nobody outside knows
	bool ahead; // likewise one that waits for its job
	bool taken; // its sandbox was made ahead, and it is not known yet to have begun …
	char from[PROTO_JOB_MAX]; // … under this id. `start` and `files` would start it in another
	bool called;		  // a call that a kept one serves: it has no folder of its own …
	bool left;		  // … and was so in an earlier life, with which it ended
};

struct sandbox_driver {
	struct exec_driver base;
	struct exec_ops ops; // base's
	uint32_t runtime;    // enum proto_runtime, for the runner
	char *data_dir, *node;
	char *cdi[CDI_FOLDERS_MAX];
	unsigned cdi_count;
	int jobs_dir, wake;
	unsigned jobs_max;
	int (*respawn)(void *owner, struct err *e);
	void *respawn_owner;
	pthread_t thread;
	struct spares spares;
	struct kept_pool kept;
	struct ahead_pool ahead;

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t changed;
	struct map jobs; // by jobdir_name; entries are removed by the thread alone
	bool welcome;	 // the runner has answered and will
	bool closing, stopping, stop_sent, work;
	char limits[PROTO_TEXT_MAX];

	// The thread's own.
	int conn;
	int64_t retry_ns, retry_ms, welcome_by_ns, look_ns;
};

// sandbox.c
void box_wake(struct sandbox_driver *d);
struct job *box_job_new(const char *id, unsigned attempt);
void box_job_free(struct job *j);
void box_start_drop(struct job *j); // nobody needs to be told any more how it begins
must_check int box_open_job(struct sandbox_driver *d, const char *name, struct err *e);
struct job *box_find(struct sandbox_driver *d, const char *name); // takes the lock
// The name of an attempt's folder. ERR_INVALID.
must_check int box_name(const char *id, unsigned attempt, char name[static JOBDIR_NAME_MAX],
			struct err *e);

// door.c: connects to a socket in an attempt's folder; servers' doors of exec.h.
must_check int box_connect(int dir, const char *name, struct err *e);
must_check int box_open_door(struct exec_driver *base, const char *id, unsigned attempt,
			     struct err *e);
must_check int box_dial(struct exec_driver *base, int door, struct err *e);
must_check int box_freeze(struct exec_driver *base, int door, struct err *e);

// submit.c: the operation of exec.h.
must_check int box_submit(struct exec_driver *base, const struct exec_spec *s, struct err *e);

// device.c: the operation of exec.h; and what a job with devices has in its environment: *out is *s with that, in the
// arena. ERR_INVALID when there is no such device any more.
bool box_devices(struct exec_driver *base, struct arena *a, uint64_t *stamp,
		 const char *const **names, size_t *n);
must_check int box_device_env(struct sandbox_driver *d, struct arena *a, const struct exec_spec *s,
			      struct exec_spec *out, struct err *e);

// tell.c: the thread alone, without the lock, for callbacks are made.
void box_tell_started(struct sandbox_driver *d, struct job *j, int64_t wall_ns);
// The last that is heard of a job, which is freed.
void box_tell_ended(struct sandbox_driver *d, struct job *j, const struct jobdir_exit *x);
// Looks at the folder and tells what is to be told. False when nothing is known yet.
bool box_look_at(struct sandbox_driver *d, struct job *j);
void box_refused(struct sandbox_driver *d, struct job *j, const char *text);
// Without a runner nobody tells of an end, so all folders are looked at; with one, only the doubtful. True: again soon.
bool box_look_around(struct sandbox_driver *d);

// link.c: the thread's main function.
void *box_serve(void *arg);
