// dispatch: takes jobs off the queue, has them run by a driver, and accounts what became of them.
// Purpose: admission by CPU, memory and GPUs within limits, fair shares (fair.h), staging of inputs, collecting of outputs, retries, answers to calls
//   that wait. Outputs become visible all together, in the transaction that ends their job.
// Owner: one controller thread and a few workers; each active job belongs to one of them at a time.
// Threads: every call is safe from any thread; answers are delivered on a worker and must not block.
// Errors: as said at each call. Nothing here is lost by a crash: what was active is adopted at the next start.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/span.h"
#include "codec/progress.h"
#include "exec/exec.h"

#include <stdint.h>

struct db;
struct dispatch;
struct images;
struct queue;
struct queue_call;
struct service_def;
struct services;
struct store;
struct trace_context;

// Before the names of what outputs say of their making, as metadata: "run", "job", "service", "revision", "image", "trace",
// "script-sha256", "input", "input-version" (docs/user/services.md).
#define DISPATCH_META "x-amz-meta-oscar-"

// A folder that services may have by name.
struct dispatch_mount {
	const char *name;
	const char *path; // absolute
};

struct dispatch_options {
	struct db *db;
	struct store *store;
	struct queue *queue;
	struct services *services;
	struct images *images; // NULL = no image says anything about its programs
	const char *data_dir;  // logs/ and tmp/ below it are ours
	unsigned workers;      // 0 = 4
	unsigned active_max;   // jobs at once, whatever their size; 0 = 256
	// of the machine, when less than the driver has shall be given away; 0 = all
	uint32_t cpu_millis_max;
	uint64_t memory_bytes_max;
	int64_t lease_ms;	// renewed while a job is active; 0 = 60,000
	int64_t call_young_ms;	// calls that last longer are recorded before they end; 0 = 1,000
	unsigned lost_attempts; // tries of a job whose engine lost it; 0 = 5
	// Retention of finished jobs with logs and events, and of the feed; 0 = for ever, any number, 1,000,000; of logs
	// apart from that, 0 = as long as their jobs.
	int64_t keep_jobs_s, keep_logs_s;
	uint64_t keep_jobs;
	int64_t keep_feed;
	int64_t retain_ms; // between two looks; 0 = 5,000
	// where a service says nothing:
	uint64_t output_bytes_max;  // 0 = 10 GiB
	uint64_t log_bytes_max;	    // 0 = 16 MiB
	uint64_t scratch_bytes_max; // 0 = 1 GiB, at most the job's memory
	uint32_t pids_max;	    // 0 = 1024
	int64_t timeout_ms;	    // 0 = none
	int64_t grace_ms;	    // 0 = 5,000
	unsigned outputs_max;	    // files of one job; 0 = 10,000
	const struct dispatch_mount *mounts;
	unsigned mount_count;
	// Of the driver's devices: the kind that services mean by GPU, NULL = the first whose class is "gpu"; kinds that they
	// may have besides, by name.
	const char *gpu_kind;
	const char *const *device_kinds;
	unsigned device_kind_count;
	unsigned view_objects_max; // of a bucket that a service mounts (view.h); 0 = 10,000
	uint64_t view_copy_max;	   // bytes of them that cannot be linked; 0 = 1 GiB
};

must_check int dispatch_open(struct dispatch **out, const struct dispatch_options *o,
			     struct err *e);
// To be given to the driver that dispatch_start() gets.
struct exec_events dispatch_events(struct dispatch *d);
// Adopts what an earlier life left and begins to dispatch. The driver is closed by dispatch_stop().
must_check int dispatch_start(struct dispatch *d, struct exec_driver *driver, struct err *e);
// end_jobs: running jobs are ended and go back to the queue; else they go on without us.
void dispatch_stop(struct dispatch *d, bool end_jobs);
void dispatch_close(struct dispatch *d); // after stop; NULL is fine

// Limits or pauses were changed: looks for jobs now.
void dispatch_look(struct dispatch *d);

// ---- servers -------------------------------------------------------------------------------------------
// A service that is exposed runs servers: they take room as jobs do, for as long as they run, and have no row. Who runs
// them (expose) says when they begin and end; they end with this process.

struct dispatch_servers {
	void *owner;
	// From the driver's thread; must not block, nor call back. `started`: its door can be opened.
	void (*started)(void *owner, const char *id);
	void (*ended)(void *owner, const char *id, const struct exec_result *r);
	void (*changed)(void *owner,
			int64_t service); // definition, pause or owner; from any thread
};
void dispatch_on_servers(struct dispatch *d, const struct dispatch_servers *s);

// An id that nothing had before.
char *dispatch_server_id(struct dispatch *d, char out[static EXEC_JOB_ID_MAX]);
// After a success `ended` follows, whatever becomes of it. ERR_BUSY: no room, or its owner's limits; ERR_UNSUPPORTED: not by this driver;
// others: it cannot run. [waits for the disk]
must_check int dispatch_server_start(struct dispatch *d, const struct service_def *def,
				     const char *id, struct err *e);
void dispatch_server_end(struct dispatch *d, const char *id);
// As open_door(), dial(), freeze() and open_log() of exec.h.
must_check int dispatch_server_door(struct dispatch *d, const char *id, struct err *e);
must_check int dispatch_server_dial(struct dispatch *d, int door, struct err *e);
must_check int dispatch_server_freeze(struct dispatch *d, int door, struct err *e);
must_check int dispatch_server_log(struct dispatch *d, const char *id, struct err *e);
// After `ended`: its log and folder go.
void dispatch_server_forget(struct dispatch *d, const char *id);

// ---- shells --------------------------------------------------------------------------------------------
// Somebody at work in the sandbox of a job that is over: the same revision of its service, image, environment, limits,
// mounts and secrets, and the same version of its input. It takes room as a server does and ends with this process;
// nothing that is made in it is kept.

struct queue_job;
struct dispatch_shell;
struct dispatch_shell_wish {
	int streams[3]; // borrowed for the start, as in struct exec_shell
	const char *
		terminal; // its type, for TERM; NULL = the streams are pipes. Lives as long as the shell
	const char *const *command; // ends with NULL; instead of /bin/bash or /bin/sh
	int64_t time_ms;	    // of the whole shell; 0 = no bound
	void *owner;
	// From the driver's thread; must not block, nor call back. `started`: its door can be opened, and must be soon.
	void (*started)(void *owner);
	void (*ended)(void *owner, const struct exec_result *r);
};
// After a success `ended` follows. ERR_CONFLICT: the job is not over; ERR_NOT_FOUND: its service, its event or the version
// of its input is gone; ERR_BUSY: no room now, or its owner's limits; ERR_UNSUPPORTED: not by this driver; others: it
// cannot run. [waits for the disk]
must_check int dispatch_shell_start(struct dispatch *d, const struct queue_job *job,
				    const struct dispatch_shell_wish *w,
				    struct dispatch_shell **out, struct err *e);
// For dispatch_server_door() and dispatch_server_end(), which kills it at once.
const char *dispatch_shell_id(const struct dispatch_shell *s);
// After `ended`: all of it goes.
void dispatch_shell_forget(struct dispatch *d, struct dispatch_shell *s);

// The service was changed, paused or is to be deleted: sandboxes that are kept for its calls end, after their calls.
void dispatch_retire(struct dispatch *d, int64_t service);

// Ends a queued or running job as cancelled. ERR_NOT_FOUND, ERR_CONFLICT (over already).
must_check int dispatch_cancel(struct dispatch *d, int64_t job, struct err *e);
// Cancels all queued and active jobs that are meant (0 = any) and waits until none is active. *count = how many.
// ERR_TIMEOUT: some do not end.
struct dispatch_scope {
	int64_t service, run, owner;
	bool queued_only;
};
must_check int dispatch_cancel_all(struct dispatch *d, const struct dispatch_scope *s,
				   uint64_t *count, struct err *e);
must_check int dispatch_cancel_service(struct dispatch *d, int64_t service, struct err *e);

// What a waiting call gets (supervisor contract: base64 of one output file, of a zip of several, else what the
// script printed).
struct dispatch_answer {
	bool ok; // the script ended with 0
	int fd;	 // the body, size bytes from its start; the receiver's
	uint64_t size;
	const char *type; // Content-Type; static
	bool encoded;	  // the body is base64
	char reason[256]; // when not ok
	bool timed_out;	  // the job ran into its time limit
};
typedef void (*dispatch_answer_fn)(void *owner, const struct dispatch_answer *a);

// A call of the service by a user who waits for the answer: takes a job's number and name (queue/call.h), then begins to
// wait for its turn; the second takes the call over, whether it succeeds or not, and fn is called once when it has
// ended. The payload is copied. ERR_BUSY: the queue of the service or of the user is full; ERR_UNAVAILABLE: the service
// is paused, the server is stopping, or the database takes no writes. trace: NULL = none yet.
must_check int dispatch_call_new(struct dispatch *d, const struct service_def *def, int64_t user,
				 struct span payload, const struct trace_context *trace,
				 struct queue_call **out, struct err *e);
must_check int dispatch_call(struct dispatch *d, struct queue_call *call, dispatch_answer_fn fn,
			     void *owner, struct err *e);
// The caller went away: fn will not be called any more (it may be running on another thread: then this waits
// for it). The job is cancelled when `cancel` says so.
void dispatch_call_forget(struct dispatch *d, int64_t job, bool cancel);

// Is this attempt being staged, run or collected now?
bool dispatch_active(struct dispatch *d, int64_t job, unsigned attempt);

// The log of an attempt, running or over: a descriptor of records of exec/joblog.h. ERR_NOT_FOUND.
must_check int dispatch_log(struct dispatch *d, int64_t job, unsigned attempt, struct err *e);
void dispatch_log_remove(struct dispatch *d, int64_t job, unsigned attempts);

// How far a running attempt says it is, and when it said so. ERR_NOT_FOUND: it did not.
must_check int dispatch_progress(struct dispatch *d, int64_t job, unsigned attempt,
				 struct progress *out, int64_t *wall_ns, struct err *e);
// For followers: looks at what all running jobs say; true when there is news.
bool dispatch_progress_look(struct dispatch *d);
// What came after *number, which becomes that of the newest; owner 0 = of everybody. From 0 on: all that is known.
struct dispatch_progress {
	const char *job, *service;
	unsigned attempt;
	int64_t run, wall_ns;
	struct progress said;
};
size_t dispatch_progress_since(struct dispatch *d, int64_t owner, uint64_t *number,
			       struct arena *mem, struct dispatch_progress **out);

struct dispatch_usage {
	unsigned active;
	uint32_t cpu_millis_used, cpu_millis_total;
	uint64_t memory_used, memory_total;
	uint32_t gpus_used, gpus_total;
	char limits[256];      // what the driver cannot limit, "" = nothing
	struct exec_kept kept; // sandboxes that stay for the next calls
	const char *driver;
};
void dispatch_usage(struct dispatch *d, struct dispatch_usage *out);

struct dispatch_device {
	const char *name, *kind; // "vendor.com/class=name", "vendor.com/class"
	bool gpu, offered;	 // of the kind that services mean by GPU; services may have it
	bool there;		 // else it is gone, and still somebody's
	bool held;
	int64_t job; // whose it is; 0 = nobody's, a server's or a shell's
};
// All that the driver tells of, in its order; in the arena.
size_t dispatch_devices(struct dispatch *d, struct arena *mem, struct dispatch_device **out);

// What was observed since dispatch_open().
struct dispatch_figures {
	struct histogram wait;	// from a job's event to its script's first instruction
	struct histogram start; // from the driver's taking it to that
	struct histogram run;
};
const struct dispatch_figures *dispatch_figures(const struct dispatch *d);
