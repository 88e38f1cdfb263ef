// shimbox: what a shim knows of its sandbox, shared by its ways of life: one job (shim.c), which may
// come later than its sandbox (shimahead.c), or many calls (shimwarm.c). Private to them. Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runner/jobdir.h"
#include "runner/nat.h"
#include "runner/sandbox.h"
#include "runner/shim.h"

#include <poll.h>
#include <sys/resource.h>

struct shim {
	const struct shim_job *job;
	struct sandbox_parent box;
	struct sandbox sandbox;
	struct nat nat;
	int log, output, null, record;
	uint64_t log_left;
	bool log_full;
	int64_t deadline_ns, kill_ns, look_ns, door_ns; // monotonic, 0 = none
	uint32_t ending; // enum jobdir_outcome of our own will, 0 = none yet
	bool killed, reaped, reported, ready, frozen, go;
	int status;	    // of the script, as wait() gives it
	struct rusage used; // of the sandbox, without control groups
	struct jobdir_exit exit;
	void (*started)(struct shim *s); // after exit.started_wall_ns was set
	int progress;			 // FIFO that the script writes to
	int64_t progress_ns; // looked at again then, monotonic; 0 = as soon as something comes
	struct jobdir_progress said; // the end of what came
};

// Both are as long as the job's log may be.
void shim_log_begin(struct shim *s);
// Reads what a stream has now. False at its end.
bool shim_drain(struct shim *s, int fd, bool is_err);
// False when nothing more comes from inside.
bool shim_take_report(struct shim *s);
void shim_cancel(struct shim *s);
void shim_take_orders(struct shim *s);
// Ends the job for the first reason that comes. grace < 0: at once.
void shim_end(struct shim *s, enum jobdir_outcome why, int64_t grace_ms, const char *text);
int shim_wait_ms(const struct shim *s);
void shim_keep_time(struct shim *s);
void shim_watch_output(struct shim *s); // from now on
bool shim_look_at_output(
	struct shim *s); // now; false: it is over its allowance, which ends the job
void shim_say(struct shim *s, const char *text); // a line of ours in the job's log
void shim_reap(struct shim *s);
// shimend.c: from what is known to the outcome; `counted`: what the control groups had counted when it began, then what
// they have.
void shim_conclude(struct shim *s, struct cgroup_usage *counted);
void shim_note(const struct shim *s, int64_t wall_ns); // tells the runner
void shim_note_start(struct shim *s,
		     int64_t wall_ns); // likewise, and whoever looks into the folder

// shimdoor.c: a socket in the job's folder for the daemon; who comes there, if that is the daemon, else -1.
int shim_listen(const struct shim *s, const char *name, struct err *e);
int shim_accept(const struct shim *s, int listener);
// What came at a door (runner/door.h): `daemon` becomes who was let in.
void shim_door_turn(struct shim *s, struct pollfd *listener, struct pollfd *daemon);

// shimprogress.c: what the script says of how far it is.
must_check int shim_progress_open(struct shim *s, struct err *e);
// What came is passed on to who looks into the job's folder; no more than every PROGRESS_PAUSE_MS, for which time
// nothing is read: a script that says more waits. `p` is the FIFO's.
void shim_progress_turn(struct shim *s, struct pollfd *p);
void shim_progress_rest(struct shim *s);   // all that is left, now
void shim_progress_log(struct shim *s);	   // its last words, as a line in the log
void shim_progress_forget(struct shim *s); // the next call begins without

// shimfreeze.c: nothing of the sandbox runs until it is thawed, which ending it does, too. ERR_UNSUPPORTED: there is no
// freezer; ERR_CONFLICT: it ends; ERR_IO.
must_check int shim_freeze(struct shim *s, struct err *e);
void shim_thaw(struct shim *s);

// Pid 1, which waits for it, gets what it shall run: a standard input and an environment, borrowed, and pipes to print to.
must_check int shim_pass(struct shim *s, int event, int env, struct err *e);
// Ends a sandbox that did not get its job: where pid 1 is gone, that may run in another one.
void shim_not_passed(struct shim *s, const struct err *e);

// shimahead.c: waits until the job has come that this sandbox was made for, and passes it on. False: it ended before.
bool shim_await_job(struct shim *s);

// shimwarm.c: until pid 1 is dead.
void warm_serve(struct shim *s, int listener);
