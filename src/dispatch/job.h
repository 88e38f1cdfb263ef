// job: an active job and what the files of this module share. Private to dispatch.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/chore.h"
#include "base/lock.h"
#include "base/map.h"
#include "dispatch/devices.h"
#include "dispatch/dispatch.h"
#include "dispatch/fair.h"
#include "queue/call.h"
#include "service/service.h"

enum { BUSY_DELAY_MS = 500 };

// What a worker does next with a job.
enum job_task { JOB_STAGE, JOB_COLLECT };
// What is tried again at the next tick, as bits.
enum job_again { AGAIN_STAGE = 1, AGAIN_ADOPT = 2, AGAIN_CANCEL = 4, AGAIN_ACCOUNT = 8 };

struct job {
	struct job *next; // in the workers' list
	enum job_task task;
	struct arena mem;
	struct queue_job row; // as it was leased; attempt is the running one
	struct service_def *def;
	char id[EXEC_JOB_ID_MAX]; // the driver's name for it
	struct fair_size size;
	struct fair_party *party;
	const char *devices;	 // that it has for itself, with blanks between
	struct queue_call *call; // of one whose row may not be written yet; NULL: it has one …
	bool row_asked;		 // … or was asked for
	int64_t leased_ns, started_ns; // of a call; 0 = not yet
	int64_t submitted_ns;	       // to the driver, in this life; 0 = not yet
	char node[EXEC_NODE_MAX];
	unsigned again; // bits of enum job_again
	bool cancel;	// asked for by somebody
	bool ended;	// the driver said so; `result` is set
	bool stopped;	// ended because the daemon stops: back to the queue, not counted
	struct exec_result result;
	// How far it says it is, when somebody follows: progress.c.
	struct progress said;
	int64_t said_ns;
	uint64_t said_number;
};

// Somebody waits for a job.
struct waiter {
	dispatch_answer_fn fn;
	void *owner;
	bool calling; // fn runs now, on another thread
};

struct dispatch {
	struct dispatch_options o;
	struct exec_driver *driver;
	int tmp_dir, logs_dir;

	pthread_mutex_t lock;	       // guards what follows
	pthread_cond_t wake;	       // for the controller
	pthread_cond_t work;	       // for the workers
	pthread_cond_t idle;	       // a job left the active ones, or a waiter was called
	struct map active;	       // job id -> struct job
	struct map servers;	       // id -> struct server
	struct map shells;	       // id -> struct dispatch_shell
	struct fair_size used, served; // by all; by servers alone
	struct fair fair;
	struct devices devices;
	struct dispatch_servers server_events;
	unsigned server_serial;
	int64_t held_job; // one that did not fit when it was its turn, and since when (monotonic)
	int64_t held_ns;
	struct job *todo, **todo_tail;
	struct map waiters; // job id -> struct waiter
	struct dispatch_figures figures;
	uint64_t said_number; // of the last news of a job's progress
	bool started, stopping, end_jobs, workers_stop, look;
	uint64_t added_seen;
	struct chore retain;
	pthread_t controller;
	pthread_t *workers;
	unsigned worker_count;
	struct exec_capacity capacity;
	struct stray *strays; // the controller's own, as is …
	bool disk_low;	      // … whether the disk was nearly full
};

// The copy of an input in tmp/ that staging may have made.
enum { JOB_INPUT_NAME_MAX = 64 };
#define JOB_INPUT_PREFIX "input-"
char *job_input_name(const struct job *j, char out[static JOB_INPUT_NAME_MAX]);

// The driver's name for a job, and back (0 when it is none).
char *job_id_text(int64_t job, char out[static EXEC_JOB_ID_MAX]);
int64_t job_number(const char *id);

// What a job of the service takes from the machine.
struct fair_size job_size(const struct service_def *def);

// ---- job.c ---------------------------------------------------------------------------------------------

// With the lock held: makes a job active and takes the definition over; finds an active one or NULL; asks the driver
// to end one (the lock is given up for the call).
struct job *job_add(struct dispatch *d, const struct queue_job *row, struct service_def *def);
struct job *job_find(struct dispatch *d, int64_t id);
void job_ask_end(struct dispatch *d, const char *job_id, unsigned attempt);
bool job_cancelled(struct dispatch *d, const struct job *j); // the lock is not held
// Asks the driver to end a job that was cancelled and has not ended; the lock is not held.
void job_end_if_cancelled(struct dispatch *d, int64_t id);
// Lets a job go: it is accounted, or back in the queue. free(): of one that is active no more.
void job_release(struct dispatch *d, struct job *j);
void job_free(struct job *j);

// With the lock held: what runs takes room and gives it back.
void room_count(struct fair_size *sum, const struct fair_size *s, bool more); // or less
void room_take(struct dispatch *d, struct fair_party *p, const struct fair_size *s);
void room_give_back(struct dispatch *d, struct fair_party *p, const struct fair_size *s);

// ---- worker.c, controller.c: the threads ---------------------------------------------------------------

void job_give(struct dispatch *d, struct job *j,
	      enum job_task task); // to the workers; with the lock held
void workers_start(struct dispatch *d);
void workers_stop(struct dispatch *d);
void controller_start(struct dispatch *d);
void controller_stop(struct dispatch *d);

// ---- the other files -----------------------------------------------------------------------------------

// choose.c: one round; *next_ns (wall) = when a delayed job becomes ready. True when there may be more to take at once.
bool choose_round(struct dispatch *d, int64_t *next_ns);

// With the lock held: is there room beside what runs; do a user's limits allow one more of this size?
bool choose_fits(const struct dispatch *d, const struct fair_size *s);
bool choose_allowed(const struct queue_limits *l, const struct fair_party *user,
		    const struct fair_size *s);

// server.c: what the driver says of servers; false: it is none of them. The lock is not held.
bool server_started(struct dispatch *d, const char *id);
bool server_ended(struct dispatch *d, const char *id, const struct exec_result *r);
void servers_changed(struct dispatch *d, int64_t service); // tells who runs them
void servers_drop(struct dispatch *d);
// A new id; the room of one with this id, as its errors say in dispatch.h; false: it has none.
void server_id(struct dispatch *d, char prefix, char out[static EXEC_JOB_ID_MAX]);
must_check int server_room_take(struct dispatch *d, const struct service_def *def, const char *id,
				struct err *e);
bool server_room_give_back(struct dispatch *d, const char *id);

// shell.c: likewise what the driver says of shells.
bool shell_started(struct dispatch *d, const char *id);
bool shell_ended(struct dispatch *d, const char *id, const struct exec_result *r);

// again.c: marks an active job, and does what jobs are marked for. again_sweep() belongs to the controller.
void again_later(struct dispatch *d, int64_t id, unsigned what);
void again_sweep(struct dispatch *d);
// Has the driver take back an active job that it may know. The job is the driver's afterwards, or marked, or
// back in the queue and gone.
void adopt_active(struct dispatch *d, struct job *j);

// figures.c: a job that ran and was accounted; the lock is not held.
void figures_take(struct dispatch *d, const struct job *j);

// strays.c: what an engine keeps of jobs that are not active; find() once after the active ones were adopted.
void strays_find(struct dispatch *d);
void strays_sweep(struct dispatch *d);
void strays_drop(struct dispatch *d);

// stage.c: lays the inputs out and hands the job to the driver. 0 when the driver has it; else ERR_BUSY or
// ERR_UNAVAILABLE (try later), anything else: the job cannot run.
must_check int stage_job(struct dispatch *d, struct job *j, struct err *e);
// Without the driver: a spec that borrows from the draft and the inputs, both zeroed before.
struct exec_spec;
struct inputs;
struct spec_draft;
must_check int stage_spec(struct dispatch *d, const struct job *j, struct spec_draft *draft,
			  struct inputs *inputs, struct exec_spec *out, struct err *e);

// collect.c: accounts a job that the driver ended: outputs and final state in one commit. *again when it went
// back to the queue.
void collect_job(struct dispatch *d, struct job *j);

// call.c: the event that the script reads; does the job have a row, or will it soon?
must_check int job_payload(struct dispatch *d, const struct job *j, struct arena *mem,
			   struct span *out, struct err *e);
bool job_has_row(struct dispatch *d, const struct job *j);
// How an attempt ends in the database, with or without a row before, as queue_end_in(), queue_end() and
// queue_release(). Who calls job_end_in() has called job_settle() before its write was asked for.
void job_settle(struct dispatch *d, struct job *j);
must_check int job_end_in(struct dispatch *d, struct db_conn *c, const struct job *j,
			  enum queue_state to, int64_t run_after_ns, const struct queue_result *r,
			  struct err *e);
must_check int job_end(struct dispatch *d, struct job *j, enum queue_state to,
		       const struct queue_result *r, struct err *e);
must_check int job_give_back(struct dispatch *d, struct job *j, int64_t run_after_ns,
			     struct err *e);
// Ends a call that was taken out and never began: as failed in its first attempt, or cancelled without one.
void call_end(struct dispatch *d, struct queue_call *call, enum queue_state to,
	      const struct queue_result *r);
// Has the calls that last written; when (monotonic) the next one is due, 0 = none. stop(): all, and waits for it.
int64_t calls_record(struct dispatch *d, bool all);
void calls_stop(struct dispatch *d);

// answer.c: what a waiting call gets; made before the outputs are moved away.
void answer_make(struct dispatch *d, struct job *j, int output_dir, struct dispatch_answer *a);
void answer_deliver(struct dispatch *d, int64_t job, struct dispatch_answer *a);
// Takes the answer's descriptor over; nobody may wait for it (any more).
void waiter_add(struct dispatch *d, int64_t job, dispatch_answer_fn fn,
		void *owner); // with the lock
bool answer_wanted(struct dispatch *d, int64_t job);
void answers_drop(struct dispatch *d);

// output.c: the files below a job's output directory.
struct output_file {
	struct output_file *next;
	const char *name; // relative
	uint64_t size;
};
// Every regular file, in order of names. ERR_INVALID when there is anything else (a link, a device), a name
// that cannot be a key, or more files than allowed.
must_check int output_walk(int dir, unsigned max, struct arena *mem, struct output_file **out,
			   size_t *n, struct err *e);

// joblogs.c: keeps the log of a job that ended: as a file, or in *small, to be written with its outcome; "" = none.
must_check int joblog_keep(struct dispatch *d, const struct job *j, struct arena *mem,
			   struct span *small, struct err *e);

// stage.c: the trace that the job is of; its parent is who began the run.
must_check int job_trace(struct dispatch *d, const struct job *j, struct trace_context *out,
			 struct err *e);

// provenance.c: adds what a job's outputs say of their making to their packed metadata.
struct buf;
void provenance_add(struct dispatch *d, const struct job *j, struct buf *b);

// retain.c: deletes what is older or more than shall be kept, on a thread of its own.
void retain_start(struct dispatch *d);
void retain_stop(struct dispatch *d);

// retry.c: where a job goes after a failure, and when it may run again.
enum queue_state job_after_failure(struct dispatch *d, struct job *j, enum exec_outcome outcome,
				   int64_t *run_after_ns);
const char *outcome_name(enum exec_outcome o);
