// SPDX-License-Identifier: Apache-2.0
// shimahead: a sandbox that was made ahead of its job waits for it. From then on it is a job like others.
#include "base/clock.h"
#include "base/file.h"
#include "runner/bind.h"
#include "runner/shimbox.h"
#include "runner/sys.h"
#include "runner/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

enum { FD_REPORT, FD_INIT, FD_CTL, FD_RUNNER, FD_COUNT };

int shim_pass(struct shim *s, int event, int env, struct err *e)
{
	const struct warm_message m = { .magic = WARM_MAGIC, .kind = WARM_CALL };
	const struct world *w = s->job->world;
	auto_fd int out = -1, err = -1;

	if (sandbox_pipe(w, &s->box.out, &out, e) < 0 || sandbox_pipe(w, &s->box.err, &err, e) < 0)
		return -1;
	return warm_send(s->box.calls, &m, (const int[]){ event, env, out, err }, 4, e);
}

void shim_not_passed(struct shim *s, const struct err *e)
{
	if (e->sys == EPIPE || e->sys == ECONNRESET)
		shim_end(s, JOBDIR_LOST, 0, "lost: the sandbox ended before the script began");
	else
		shim_end(s, JOBDIR_SETUP_FAILED, 0, e->msg);
}

// What it needs lies in the folder as for any job.
static int pass_job(struct shim *s, struct err *e)
{
	const struct shim_job *j = s->job;
	auto_fd int event = bind_open_owned(j->world, j->jobdir, "event", O_RDONLY, S_IFREG, e);
	auto_fd int env =
		event < 0 ? -1 : bind_open_owned(j->world, j->jobdir, "env", O_RDONLY, S_IFREG, e);

	return env < 0 ? -1 : shim_pass(s, event, env, e);
}

// A runner that is gone knows nobody who could have this sandbox.
static void turn(struct shim *s, struct pollfd p[static FD_COUNT])
{
	if (p[FD_REPORT].revents && !shim_take_report(s))
		p[FD_REPORT].fd = -1;
	if (p[FD_CTL].revents)
		shim_take_orders(s);
	if (p[FD_RUNNER].revents) {
		shim_end(s, JOBDIR_STOPPED, 0, "the runner is gone");
		p[FD_RUNNER].fd = -1;
	}
	if (s->ending) // nothing runs that could end by itself
		sys_pidfd_signal(s->box.pidfd, SIGKILL);
	if (p[FD_INIT].revents)
		shim_reap(s);
	if (s->ready && s->deadline_ns) {
		s->deadline_ns = 0;
		shim_note(s, clock_wall_ns());
	}
	if (!s->reaped)
		shim_keep_time(s);
}

bool shim_await_job(struct shim *s)
{
	const int64_t setup_ns = s->deadline_ns - clock_mono_ns();
	struct pollfd p[FD_COUNT] = {
		[FD_REPORT] = { s->box.report, POLLIN, 0 },
		[FD_INIT] = { s->box.pidfd, POLLIN, 0 },
		[FD_CTL] = { s->job->ctl, POLLIN, 0 },
		[FD_RUNNER] = { s->job->notify, 0, 0 },
	};
	struct err e = { 0 };

	while (!s->reaped && (s->ending || !s->go)) {
		if (poll(p, FD_COUNT, shim_wait_ms(s)) < 0 && errno != EINTR)
			break;
		turn(s, p);
	}
	if (s->reaped || s->ending)
		return false;
	s->deadline_ns = clock_mono_ns() + setup_ns;
	if (pass_job(s, &e) == 0)
		return true;
	shim_not_passed(s, &e);
	return true; // its end is waited for
}
