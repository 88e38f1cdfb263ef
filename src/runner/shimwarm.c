// SPDX-License-Identifier: Apache-2.0
// shimwarm: a sandbox that is kept: one call after the other, each by a fork of pid 1. What goes wrong with a call, its
// limits and its cancelling end the sandbox with it; only one that ended by itself and left nothing is used again.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/shimbox.h"
#include "runner/sys.h"
#include "runner/warm.h"

#include <poll.h>
#include <stdio.h>

enum { FD_OUT, FD_ERR, FD_REPORT, FD_INIT, FD_CTL, FD_LISTEN, FD_DRIVER, FD_PROGRESS, FD_COUNT };

struct warm {
	struct shim *shim;
	struct pollfd p[FD_COUNT];
	struct cgroup_usage counted; // when the call began: nothing runs between two calls
	bool up;		     // it was ready once, which the runner was told
	bool busy;		     // a call runs
};

// The callback of struct shim has no other way to it.
static struct warm *the_warm;

static void tell(struct warm *w, enum warm_kind kind, bool reusable)
{
	struct warm_message m = {
		.magic = WARM_MAGIC, .kind = kind, .reusable = reusable, .exit = w->shim->exit
	};
	struct err ignored = { 0 };

	if (w->p[FD_DRIVER].fd >= 0 && warm_send(w->p[FD_DRIVER].fd, &m, NULL, 0, &ignored) < 0)
		shim_end(w->shim, JOBDIR_STOPPED, 0, "the daemon is gone");
}

static void started(struct shim *s unused_arg)
{
	tell(the_warm, WARM_STARTED, false);
}

static void forget_call(struct shim *s)
{
	int *fds[] = { &s->log, &s->box.out, &s->box.err };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		file_close(*fds[i]);
		*fds[i] = -1;
	}
	s->exit = (struct jobdir_exit){ 0 };
	s->reported = false;
	s->status = 0;
	s->deadline_ns = s->kill_ns = s->look_ns = 0;
}

// The call has its outcome.
static void end_call(struct warm *w)
{
	struct shim *s = w->shim;

	shim_progress_rest(s);
	w->p[FD_PROGRESS].fd = s->progress;
	shim_conclude(s, &w->counted);
	shim_progress_forget(s);
	w->busy = false;
	file_close(s->log); // before the driver hears of it, who looks whether the log is free
	s->log = -1;
	tell(w, WARM_ENDED, !s->reaped && !s->ending);
	forget_call(s);
	w->p[FD_OUT].fd = w->p[FD_ERR].fd = -1;
	if (s->ending && !s->reaped)
		sys_pidfd_signal(s->box.pidfd, SIGKILL);
}

static int begin_call(struct warm *w, const int fds[static 3], struct err *e)
{
	struct shim *s = w->shim;

	shim_thaw(s);
	forget_call(s);
	s->log = fds[2];
	shim_log_begin(s);
	if (shim_pass(s, fds[0], fds[1], e) < 0)
		return -1;
	w->p[FD_OUT].fd = s->box.out;
	w->p[FD_ERR].fd = s->box.err;
	shim_watch_output(s);
	s->ready = false;
	w->busy = true;
	return 0;
}

// Where that cannot be it stays as it is, unsaid: the runner's limits say so.
static void freeze(struct warm *w)
{
	struct err ignored = { 0 };

	if (shim_freeze(w->shim, &ignored) == 0)
		tell(w, WARM_FROZEN, true);
}

static void take_driver(struct warm *w)
{
	struct shim *s = w->shim;
	struct warm_message m;
	int fds[WARM_FDS_MAX];
	struct err e = { 0 };
	int got = warm_receive(w->p[FD_DRIVER].fd, &m, fds, 3, &e);

	if (got > 0 && m.kind == WARM_CANCEL && w->busy) {
		shim_cancel(s);
	} else if (got > 0 && m.kind == WARM_FREEZE && !w->busy && s->ready) {
		freeze(w);
	} else if (got > 0 && m.kind == WARM_CALL) {
		if (w->busy || !s->ready)
			shim_end(s, JOBDIR_STOPPED, 0, "two calls at once");
		else if (begin_call(w, fds, &e) < 0)
			shim_not_passed(s, &e);
		file_close(fds[0]);
		file_close(fds[1]);
		if (s->log != fds[2])
			file_close(fds[2]);
	} else if (got < 0) {
		shim_end(s, JOBDIR_STOPPED, 0, "the daemon is gone");
		w->p[FD_DRIVER].fd = -1;
	}
}

// The one who comes first stays.
static void take_caller(struct warm *w)
{
	auto_fd int fd = shim_accept(w->shim, w->p[FD_LISTEN].fd);

	if (w->p[FD_DRIVER].fd < 0)
		w->p[FD_DRIVER].fd = file_take(&fd);
}

static void take_orders(struct warm *w)
{
	shim_take_orders(w->shim);
	// Nobody waits for an idle one's end.
	if (w->shim->ending && !w->busy)
		sys_pidfd_signal(w->shim->box.pidfd, SIGKILL);
}

static void turn(struct warm *w)
{
	struct shim *s = w->shim;

	if (w->p[FD_REPORT].revents && !shim_take_report(s))
		w->p[FD_REPORT].fd = -1;
	if (w->p[FD_OUT].revents && !shim_drain(s, s->box.out, false))
		w->p[FD_OUT].fd = -1;
	if (w->p[FD_ERR].revents && !shim_drain(s, s->box.err, true))
		w->p[FD_ERR].fd = -1;
	if (w->p[FD_CTL].revents)
		take_orders(w);
	shim_progress_turn(s, &w->p[FD_PROGRESS]);
	if (w->p[FD_LISTEN].revents)
		take_caller(w);
	if (w->p[FD_DRIVER].revents)
		take_driver(w);
	if (w->p[FD_INIT].revents) {
		shim_reap(s);
		w->p[FD_INIT].fd = -1;
	}
	if (!s->reaped)
		shim_keep_time(s);
	if (s->ready && !w->up) { // it may take calls now
		w->up = true;
		cgroup_job_usage(&s->job->world->cgroups, s->job->group, &w->counted);
		s->deadline_ns = 0;
		shim_note_start(s, clock_wall_ns());
	}
}

// pid 1 says that it is ready when all others are dead, so the streams have ended.
static bool call_is_over(const struct warm *w)
{
	const struct shim *s = w->shim;

	return w->busy && w->p[FD_OUT].fd < 0 && w->p[FD_ERR].fd < 0 &&
	       (s->reaped ? w->p[FD_REPORT].fd < 0 : s->ready && s->reported);
}

void warm_serve(struct shim *s, int listener)
{
	struct warm w = { .shim = s,
			  .p = {
				  [FD_OUT] = { -1, POLLIN, 0 },
				  [FD_ERR] = { -1, POLLIN, 0 },
				  [FD_REPORT] = { s->box.report, POLLIN, 0 },
				  [FD_INIT] = { s->box.pidfd, POLLIN, 0 },
				  [FD_CTL] = { s->job->ctl, POLLIN, 0 },
				  [FD_LISTEN] = { listener, POLLIN, 0 },
				  [FD_DRIVER] = { -1, POLLIN, 0 },
				  [FD_PROGRESS] = { s->progress, POLLIN, 0 },
			  } };

	the_warm = &w;
	s->started = started;
	while (!s->reaped || w.busy) {
		if (poll(w.p, FD_COUNT, shim_wait_ms(s)) < 0 && errno != EINTR)
			break;
		turn(&w);
		if (call_is_over(&w))
			end_call(&w);
	}
	if (!s->ending) {
		s->exit.outcome = w.up ? JOBDIR_STOPPED : JOBDIR_SETUP_FAILED;
		snprintf(s->exit.reason, sizeof(s->exit.reason),
			 w.up ? "it was not used again" : "the sandbox could not be made ready");
	} else {
		s->exit.outcome = s->ending;
	}
	s->exit.ended_wall_ns = clock_wall_ns();
}
