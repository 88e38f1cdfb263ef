// SPDX-License-Identifier: Apache-2.0
// tell: how a job began and ended, from its folder or from the runner.
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/box.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static enum exec_outcome outcome_of(uint32_t o)
{
	switch ((enum jobdir_outcome)o) {
	case JOBDIR_EXITED:
		return EXEC_EXITED;
	case JOBDIR_SIGNALED:
		return EXEC_SIGNALED;
	case JOBDIR_OOM:
		return EXEC_OOM;
	case JOBDIR_TIMEOUT:
		return EXEC_TIMEOUT;
	case JOBDIR_DISK:
		return EXEC_DISK;
	case JOBDIR_CANCELLED:
		return EXEC_CANCELLED;
	case JOBDIR_SETUP_FAILED:
		return EXEC_SETUP_FAILED;
	case JOBDIR_CHANGED:
		return EXEC_CHANGED;
	case JOBDIR_STOPPED:
	case JOBDIR_LOST:
		break;
	}
	return EXEC_LOST;
}

void box_tell_started(struct sandbox_driver *d, struct job *j, int64_t wall_ns)
{
	if (j->told_started || !wall_ns)
		return;
	j->told_started = true;
	if (j->kept)
		kept_ready(&d->kept, j->id);
	else if (j->ahead)
		ahead_ready(&d->ahead, j->id);
	else if (d->base.events.started)
		d->base.events.started(d->base.events.owner, j->id, j->attempt, wall_ns, d->node);
}

// The sandbox that was to serve it was not there any more, so it never began: it is started in one of its own.
static bool start_again(struct sandbox_driver *d, struct job *j, const struct jobdir_exit *x)
{
	static const char *const traces[] = { "exit", "ctl", "alive" };
	char name[JOBDIR_NAME_MAX];
	struct err e = { 0 };

	{
		auto_lock held = lock_hold(&d->lock);
		bool again = j->taken && j->start && !d->stopping && !x->started_wall_ns;

		j->taken = false;
		if (!again)
			return false;
	}
	auto_fd int dir = box_open_job(d, jobdir_name(name, j->id, j->attempt), &e);

	for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(traces); i++)
		if (unlinkat(dir, traces[i], 0) < 0 && errno != ENOENT)
			return false;
	if (dir < 0)
		return false;
	auto_lock held = lock_hold(&d->lock);

	j->send_start = d->work = true;
	j->look = j->doubt = false;
	return true;
}

void box_tell_ended(struct sandbox_driver *d, struct job *j, const struct jobdir_exit *x)
{
	struct exec_result r = {
		.outcome = outcome_of(x->outcome),
		.exit_code = x->exit_code,
		.signal = x->signal,
		.memory_peak_bytes = x->memory_peak_bytes,
		.cpu_us = x->cpu_us,
		.started_wall_ns = x->started_wall_ns,
		.ended_wall_ns = x->ended_wall_ns,
		.log_bytes_dropped = x->log_bytes_dropped,
	};
	char name[JOBDIR_NAME_MAX];
	struct err e = { 0 };
	bool stopped = x->outcome == JOBDIR_STOPPED;

	if (start_again(d, j, x))
		return;
	snprintf(r.reason, sizeof(r.reason), "%s", x->reason);
	snprintf(r.node, sizeof(r.node), "%s", d->node);
	{
		auto_lock held = lock_hold(&d->lock);

		map_remove(&d->jobs, span_of(jobdir_name(name, j->id, j->attempt)));
		pthread_cond_broadcast(&d->changed);
		// What close() stops is told to the next life, which adopts it.
		stopped = stopped && d->stopping;
	}
	if (j->kept || j->ahead) {
		bool over = j->ahead || kept_gone(&d->kept, j->id, x);

		if (j->ahead) // the folder of one that was taken is not there under its name
			ahead_gone(&d->ahead, j->id);
		if (over && spares_give(&d->spares, name, &e) < 0)
			log_warn("exec", "%s: %s", name, e.msg);
		box_job_free(j);
		return;
	}
	box_tell_started(d, j, x->started_wall_ns);
	if (!stopped && d->base.events.ended)
		d->base.events.ended(d->base.events.owner, j->id, j->attempt, &r);
	box_job_free(j);
}

bool box_look_at(struct sandbox_driver *d, struct job *j)
{
	struct jobdir_exit x = { 0 };
	enum jobdir_state state;
	struct err e = { 0 };
	char name[JOBDIR_NAME_MAX];
	int64_t started;

	if (j->called && !j->left)
		return false; // its connection tells
	if (j->left) {
		x = (struct jobdir_exit){ .outcome = JOBDIR_SIGNALED,
					  .signal = SIGKILL,
					  .ended_wall_ns = clock_wall_ns(),
					  .reason = "ended with the daemon that kept its sandbox" };
		box_tell_ended(d, j, &x);
		return true;
	}

	auto_fd int dir = box_open_job(d, jobdir_name(name, j->id, j->attempt), &e);

	if (dir < 0 || jobdir_look(dir, &state, &x, &started, &e) < 0) {
		if (e.code != ERR_NOT_FOUND && e.code != ERR_CORRUPT) {
			// Out of descriptors, or the disk hiccups: the job may well be fine.
			log_warn("exec", "job %s: %s", name, e.msg);
			j->doubt = true;
			return false;
		}
		x = (struct jobdir_exit){ .outcome = JOBDIR_LOST,
					  .ended_wall_ns = clock_wall_ns() };
		snprintf(x.reason, sizeof(x.reason), "lost: %.150s", e.msg);
		box_tell_ended(d, j, &x);
		return true;
	}
	switch (state) {
	case JOBDIR_ENDED:
		box_tell_ended(d, j, &x);
		return true;
	case JOBDIR_GONE:
		x = (struct jobdir_exit){ .outcome = JOBDIR_LOST,
					  .started_wall_ns = started,
					  .ended_wall_ns = clock_wall_ns() };
		snprintf(x.reason, sizeof(x.reason),
			 "lost: the machine restarted or the job's shim was killed");
		if (jobdir_exit_write(dir, &x, &e) < 0)
			log_warn("exec", "job %s: %s", name, e.msg);
		box_tell_ended(d, j, &x);
		return true;
	case JOBDIR_RUNNING:
		box_tell_started(d, j, started);
		break;
	case JOBDIR_NEW:
		break;
	}
	return false;
}

void box_refused(struct sandbox_driver *d, struct job *j, const char *text)
{
	struct jobdir_exit x = { .outcome = JOBDIR_SETUP_FAILED, .ended_wall_ns = clock_wall_ns() };
	struct err e = { 0 };
	char name[JOBDIR_NAME_MAX];
	auto_fd int dir = box_open_job(d, jobdir_name(name, j->id, j->attempt), &e);

	snprintf(x.reason, sizeof(x.reason), "%.*s", EXEC_REASON_MAX - 1, text);
	if (dir < 0 || jobdir_exit_write(dir, &x, &e) < 0)
		log_warn("exec", "job %s: %s", name, e.msg);
	box_tell_ended(d, j, &x);
}

bool box_look_around(struct sandbox_driver *d)
{
	int64_t now = clock_mono_ns();
	bool any = false, welcome;
	size_t at = 0, n = 0;
	void *value;
	auto_free struct job **list = NULL;

	if (now < d->look_ns)
		return true;
	{
		auto_lock held = lock_hold(&d->lock);

		welcome = d->welcome;
		list = mem_alloc((d->jobs.count + 1) * sizeof(struct job *));
		while (map_next(&d->jobs, &at, NULL, &value)) {
			struct job *j = value;

			if (j->look || j->doubt || !welcome)
				list[n++] = j;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct job *j = list[i];

		if (box_look_at(d, j))
			continue;
		// A runner that is there knows of every running shim and will tell of its end.
		j->look = false;
		any = any || !welcome || j->doubt;
	}
	d->look_ns = now + BOX_LOOK_MS * NS_PER_MS;
	return any;
}
