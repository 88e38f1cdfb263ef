// queue: durable jobs with leases, attempts and their history.
// Purpose: an event leads to exactly one accounted job outcome, whatever crashes between.
// Owner: no threads and no memory of its own; everything is rows. The writer thread of db runs the *_in calls
//   inside the caller's transaction, so "object stored" and "job queued" or "outputs visible" and "job
//   succeeded" are one commit.
// Threads: safe. Errors: ERR_NOT_FOUND (no such job), ERR_CONFLICT (the job is in another state), db's.
// States: queued -> staging -> running -> uploading -> succeeded | failed | cancelled | dead;
//   staging, running and uploading go back to queued when an attempt is lost or retried.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/span.h"
#include "codec/trace.h"

#include <stdint.h>

struct db;
struct db_conn;
struct queue;

enum queue_state {
	QUEUE_QUEUED,
	QUEUE_STAGING, // leased: inputs are laid out
	QUEUE_RUNNING,
	QUEUE_UPLOADING, // the script ended, outputs are collected
	QUEUE_SUCCEEDED,
	QUEUE_FAILED, // ended without success, no attempts left or not to be retried
	QUEUE_CANCELLED,
	QUEUE_DEAD, // all attempts used up: in the dead-letter list
	QUEUE_STATES,
};
const char *queue_state_name(enum queue_state s); // "queued", …
bool queue_state_parse(struct span text, enum queue_state *out);

enum { QUEUE_NAME_MAX = 80, QUEUE_REASON_MAX = 256 };

must_check int queue_open(struct queue **out, struct db *d, struct err *e);
void queue_close(struct queue *q);

// ---- adding --------------------------------------------------------------------------------------------

struct queue_new {
	int64_t service, revision, owner;
	int64_t trigger;    // 0 = called, not triggered
	const char *source; // "store", "api", "minio", …
	int64_t bucket;	    // with version: the object that caused it
	struct span key;
	int64_t version;     // 0 = no object
	struct span payload; // the event as the script shall see it
	bool sync;	     // somebody waits for the answer
	int priority;
	int64_t run;			   // chain root, 0 = starts one
	unsigned depth;			   // jobs before this one in its chain
	const struct trace_context *trace; // of who began the run, NULL or none = we begin one
	uint64_t
		queued_max; // queued jobs of the service from which on this one is refused; 0 = any number
	bool again;	    // the event made a job before and is to make one more
	bool unbounded; // taken whatever the bounds of service and user (what a job made must not be lost)
};

// Inside a write. *job = the new job's id, or 0 when this event made its job before. ERR_BUSY: the queue of the
// service or of the user is full.
must_check int queue_add_in(struct queue *q, struct db_conn *c, const struct queue_new *n,
			    int64_t *job, struct err *e);
// The same as a write of its own. [waits for the disk]
must_check int queue_add(struct queue *q, const struct queue_new *n, int64_t *job, struct err *e);

// ---- jobs ----------------------------------------------------------------------------------------------

struct queue_job {
	int64_t id;
	char name[QUEUE_NAME_MAX]; // SERVICE-UUID; long service names are cut as the clients expect
	char service_name[48];
	int64_t service, revision, owner;
	enum queue_state state;
	unsigned attempt;	  // 0 = never leased
	unsigned attempts_before; // those before it was sent again; they count no more
	unsigned logs_gone; // the logs of attempts up to this one were removed, for they were old
	bool sync;
	int priority;
	int64_t run;
	unsigned depth;
	int64_t run_after_ns, created_ns, started_ns, ended_ns; // 0 = not yet
	int exit_code;						// -1 = none
	char reason[QUEUE_REASON_MAX];
	unsigned outputs;
	// the event
	int64_t trigger, bucket, version;
	struct span key;
};

struct queue_attempt {
	unsigned number;
	char driver[16], node[64], outcome[16];
	int64_t leased_ns, started_ns, uploading_ns, ended_ns;
	int exit_code, signal;
	char reason[QUEUE_REASON_MAX];
	uint64_t memory_peak, cpu_us;
	const char *devices; // as in queue_lease_item; "" = none
};

// Queued jobs that differ in nothing that matters for their turn.
struct queue_lane {
	int64_t owner, service;
	int priority; // a higher one goes first among the lanes of its owner
	bool rows;    // there are queued jobs, perhaps only such as wait for their time
	bool calls;   // there are calls that wait (queue/call.h)
};
// The lanes that have something queued.
must_check int queue_lanes(struct queue *q, struct arena *mem, struct queue_lane **out, size_t *n,
			   struct err *e);
// Ready jobs of a lane, the oldest first, with ids from `after`+1 to `upto`, at most `limit`.
must_check int queue_ready(struct queue *q, const struct queue_lane *l, int64_t after, int64_t upto,
			   size_t limit, struct arena *mem, struct queue_job **out, size_t *n,
			   struct err *e);
// Makes jobs ready whose time has come; *next_ns = when the next one's comes, 0 = there is none.
must_check int queue_wake(struct queue *q, int64_t now_ns, int64_t *next_ns, struct err *e);
// Jobs that were leased when the last life ended.
must_check int queue_active(struct queue *q, struct arena *mem, struct queue_job **out, size_t *n,
			    struct err *e);

must_check int queue_job_get(struct queue *q, int64_t id, struct arena *mem, struct queue_job *out,
			     struct err *e);
must_check int queue_job_find(struct queue *q, struct span name, struct arena *mem,
			      struct queue_job *out, struct err *e);
must_check int queue_payload(struct queue *q, int64_t job, struct arena *mem, struct span *out,
			     struct err *e);
must_check int queue_attempts(struct queue *q, int64_t job, struct arena *mem,
			      struct queue_attempt **out, size_t *n, struct err *e);

struct queue_filter {
	int64_t service; // 0 = any
	int64_t run;	 // 0 = any
	int64_t owner;	 // 0 = any
	int state;	 // -1 = any
	int64_t before;	 // ids below this; 0 = from the newest
	size_t limit;
};
// Newest first.
must_check int queue_list(struct queue *q, const struct queue_filter *f, struct arena *mem,
			  struct queue_job **out, size_t *n, struct err *e);
// Of a run: the first job above `after` that is not over, in *active, 0 = there is none. What was passed is over, and
// stays so until something is redriven.
must_check int queue_run_active(struct db_conn *c, int64_t run, int64_t *after, int64_t *active,
				struct err *e);
// Jobs of a run that failed, are dead or were cancelled: how many, and the first of them.
struct queue_failed {
	char name[QUEUE_NAME_MAX];
	char service_name[48];
	enum queue_state state;
	struct span key;
};
must_check int queue_run_failed(struct db_conn *c, int64_t run, size_t max, struct arena *mem,
				struct queue_failed **out, size_t *n, uint64_t *all, struct err *e);
// Jobs by state; service 0 = all services; run 0 = all runs (counted from rows, not for large runs).
must_check int queue_counts(struct queue *q, int64_t service, int64_t run,
			    uint64_t out[static QUEUE_STATES], struct err *e);

// What the last thousand jobs of a service that succeeded, and as many that failed, really took.
struct queue_spread {
	uint64_t p50, p95, max; // 0 = not known
};
struct queue_usage {
	uint64_t jobs, oom; // looked at; ended over their memory
	struct queue_spread memory_bytes, cpu_millis, run_ms;
};
must_check int queue_usage(struct queue *q, int64_t service, struct queue_usage *out,
			   struct err *e);

// The oldest queued job of a service, 0 when there is none.
must_check int queue_oldest(struct queue *q, int64_t service, int64_t *job, struct err *e);
// When the oldest queued job was made; 0 when none is queued.
must_check int queue_head(struct queue *q, int64_t *created_ns, struct err *e);

// ---- traces --------------------------------------------------------------------------------------------
// A run and a trace are one and the same: the trace that the caller named who began it, else one of ours.
must_check int queue_trace(struct queue *q, int64_t run, struct trace_context *out, struct err *e);
// Makes the job's attempt the parent of what is called from it.
void queue_trace_job(const struct queue *q, const struct queue_job *j, struct trace_context *t);
// Inside the write that begins a run, unless it has a trace already; t may be NULL or none. (queue_add_in() does so.)
must_check int queue_trace_begin_in(struct db_conn *c, int64_t run, const struct trace_context *t,
				    struct err *e);
// The runs that are of this trace, at most `max`; a trace that began elsewhere may have several.
must_check int queue_trace_runs(struct queue *q, const uint8_t id[static TRACE_ID], int64_t *runs,
				size_t max, size_t *n, struct err *e);

// ---- limits of users -----------------------------------------------------------------------------------

// Of the jobs that belong to a user, whatever service they run. 0 = no bound.
struct queue_limits {
	uint32_t running;      // jobs at once
	uint32_t cpu_millis;   // requested by the running ones
	uint64_t memory_bytes; // likewise
	uint64_t queued;       // from so many on, new ones are refused
	uint32_t weight;       // share beside other users, 1 to QUEUE_WEIGHT_MAX; 0 = 1
};
enum { QUEUE_WEIGHT_MAX = 1000 };
// What holds for a user; zeroed when nothing was set.
struct queue_limits queue_limits_get(struct queue *q, int64_t user);
must_check int queue_limits_set(struct queue *q, int64_t user, const struct queue_limits *l,
				struct err *e);

// ---- the life of a job ---------------------------------------------------------------------------------

// queued -> staging under a lease, for several jobs in one write: attempt+1. An item that is not queued any more
// keeps attempt 0. [waits for the disk]
struct queue_lease_item {
	int64_t job;
	unsigned attempt;    // out
	const char *devices; // that it has for itself, with blanks between; NULL = none
};
must_check int queue_lease(struct queue *q, struct queue_lease_item *items, size_t n,
			   const char *driver, int64_t lease_ms, struct err *e);

// These ride the next commit: nobody waits, and a crash before it only means the step is told again. Steps of
// an attempt that is over are ignored.
void queue_renew(struct queue *q, int64_t job, int64_t lease_ms);
void queue_started(struct queue *q, int64_t job, unsigned attempt, int64_t started_ns,
		   const char *node);
void queue_uploading(struct queue *q, int64_t job, unsigned attempt);

// Grows with every job that becomes ready by queue_add, redrive or a retry; for waking the dispatcher after a
// commit.
uint64_t queue_added(struct queue *q);

// Grows with every job that was over and is queued again (by redrive); changed inside the write.
uint64_t queue_redriven(struct queue *q);

struct queue_result {
	const char *outcome; // "exited", "oom", …
	int exit_code;	     // -1 = none
	int signal;
	const char *reason; // "" = none
	uint64_t memory_peak, cpu_us;
	unsigned outputs;
};
// Inside a write. `to` is a final state, or QUEUE_QUEUED to try again after run_after_ns. ERR_CONFLICT when
// the attempt is not the job's current one (it was accounted before): then nothing of the write may stand.
must_check int queue_end_in(struct queue *q, struct db_conn *c, int64_t job, unsigned attempt,
			    enum queue_state to, int64_t run_after_ns, const struct queue_result *r,
			    struct err *e);
must_check int queue_end(struct queue *q, int64_t job, unsigned attempt, enum queue_state to,
			 int64_t run_after_ns, const struct queue_result *r, struct err *e);

// Gives a lease back that came to nothing (the engine had no room): the attempt did not happen, the job is ready
// again at run_after_ns. ERR_CONFLICT as above. [waits for the disk]
must_check int queue_release(struct queue *q, int64_t job, unsigned attempt, int64_t run_after_ns,
			     struct err *e);

// A queued job ends at once as cancelled: 1. One that is leased: 0, the caller stops it. [waits for the disk]
must_check int queue_cancel(struct queue *q, int64_t job, struct err *e);
// As queue_cancel for queued jobs that the filter means, the oldest first, at most its limit (`before` and `state` are
// not looked at). The caller goes on while *n is the limit. [waits for the disk]
must_check int queue_cancel_some(struct queue *q, const struct queue_filter *f, int64_t *ids,
				 size_t *n, struct err *e);
// As queue_redrive for jobs with ids above *after in the filter's state, the oldest first; *after becomes the last
// one's, so that going on from it meets none twice. ERR_INVALID: not such a state. [waits for the disk]
must_check int queue_redrive_some(struct queue *q, const struct queue_filter *f, int64_t *after,
				  size_t *n, struct err *e);
// A new job with the revision, the event and the input version of one that is over, in a run of its own, under the
// bounds of its service (queued_max as in queue_new) and user. ERR_CONFLICT: that one is not over. ERR_BUSY: the queue
// is full. [waits for the disk]
must_check int queue_rerun(struct queue *q, int64_t job, uint64_t queued_max, int64_t *made,
			   struct err *e);
// A failed, dead or cancelled job is queued again with fresh attempts.
must_check int queue_redrive(struct queue *q, int64_t job, struct err *e);

// Deletes finished jobs of a service, at most `limit`; only_succeeded or all final states. Inside a write.
// *deleted counts; the caller removes their logs first from `ids` (at most limit).
must_check int queue_purge_in(struct queue *q, struct db_conn *c, int64_t service,
			      bool only_succeeded, size_t limit, int64_t *ids, size_t *deleted,
			      struct err *e);
must_check int queue_delete(struct queue *q, int64_t job, struct err *e); // a finished job

// Retention. The oldest finished jobs (of a service; 0 = of all) that ended before `before_ns`, or are more than `keep` (0 = any number), at most
// QUEUE_OLD_MAX; *n = 0: nothing is due. A job that ended late though it began early is met in its turn.
enum { QUEUE_OLD_MAX = 250 };
struct queue_old {
	int64_t job;
	unsigned attempts;
	int64_t ended_ns;
};
must_check int queue_old(struct queue *q, int64_t service, int64_t before_ns, uint64_t keep,
			 struct queue_old *out, size_t *n, struct err *e);
// Deletes them with all that is kept of them; those that run again are left. The caller removed their log files.
must_check int queue_forget(struct queue *q, const struct queue_old *jobs, size_t n, struct err *e);

// The log of an attempt that is over, when it is kept as a row. put inside a write. ERR_NOT_FOUND.
must_check int queue_log_put_in(struct db_conn *c, int64_t job, unsigned attempt, struct span log,
				struct err *e);
must_check int queue_log_get(struct queue *q, int64_t job, unsigned attempt, struct arena *mem,
			     struct span *out, struct err *e);

// Retention of logs alone: jobs (of a service; 0 = of all) that ended before `before_ns` and whose logs were not removed
// yet, the oldest first of each service; *n = 0: nothing is due.
must_check int queue_log_old(struct queue *q, int64_t service, int64_t before_ns,
			     struct queue_old out[static QUEUE_OLD_MAX], size_t *n, struct err *e);
// Their jobs stay and say so (logs_gone). The caller removed the files.
must_check int queue_log_forget(struct queue *q, const struct queue_old *jobs, size_t n,
				struct err *e);
