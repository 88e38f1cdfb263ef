// SPDX-License-Identifier: Apache-2.0
// shimend: from what a shim saw of its job to the outcome in the exit record.
#include "base/clock.h"
#include "runner/shimbox.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void set_outcome(struct shim *s, const struct cgroup_usage *u)
{
	struct jobdir_exit *x = &s->exit;
	bool clean = s->reported && WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0;

	if (s->reported && WIFEXITED(s->status))
		x->exit_code = WEXITSTATUS(s->status);
	if (s->reported && WIFSIGNALED(s->status))
		x->signal = WTERMSIG(s->status);
	x->outcome = s->ending;
	if (s->ending && s->ending != JOBDIR_SETUP_FAILED)
		return;
	if (u->oom_kills && !clean) {
		x->outcome = JOBDIR_OOM;
		snprintf(x->reason, sizeof(x->reason), "killed: over the memory limit of %llu MiB",
			 (unsigned long long)(s->job->start->memory_bytes >> 20));
	} else if (s->ending) {
		return;
	} else if (!s->reported && !x->started_wall_ns && s->job->start->warm) {
		x->outcome = JOBDIR_LOST; // it may run in the next one
		snprintf(x->reason, sizeof(x->reason), "lost: the kept sandbox ended");
	} else if (!s->reported && !x->started_wall_ns) {
		x->outcome = JOBDIR_SETUP_FAILED;
		snprintf(x->reason, sizeof(x->reason), "the sandbox ended before the script began");
	} else if (!s->reported) {
		x->outcome = JOBDIR_SIGNALED;
		x->signal = SIGKILL;
		snprintf(x->reason, sizeof(x->reason), "the sandbox was killed from outside");
	} else if (x->signal) {
		x->outcome = JOBDIR_SIGNALED;
		snprintf(x->reason, sizeof(x->reason), "killed by signal %d (%s)", x->signal,
			 strsignal(x->signal));
	} else {
		x->outcome = JOBDIR_EXITED;
		if (x->exit_code)
			snprintf(x->reason, sizeof(x->reason), "ended with exit code %d",
				 x->exit_code);
		else if (u->oom_kills)
			snprintf(x->reason, sizeof(x->reason),
				 "a part of it was killed: over the memory limit");
	}
}

static uint64_t micros(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void measure(struct shim *s, struct cgroup_usage *before, struct cgroup_usage *u)
{
	struct cgroup_usage now;

	cgroup_job_usage(&s->job->world->cgroups, s->job->group, &now);
	*u = now;
	u->cpu_us -= before->cpu_us < u->cpu_us ? before->cpu_us : u->cpu_us;
	u->oom_kills -= before->oom_kills < u->oom_kills ? before->oom_kills : u->oom_kills;
	s->exit.memory_peak_bytes = u->memory_peak_bytes;
	s->exit.cpu_us = u->cpu_us;
	if (!u->cpu_us)
		s->exit.cpu_us = micros(s->used.ru_utime) + micros(s->used.ru_stime);
	if (!u->memory_peak_bytes)
		s->exit.memory_peak_bytes = (uint64_t)s->used.ru_maxrss * 1024;
	*before = now;
}

void shim_conclude(struct shim *s, struct cgroup_usage *counted)
{
	struct cgroup_usage used = { 0 };

	measure(s, counted, &used);
	if (!s->ending)
		shim_look_at_output(s);
	set_outcome(s, &used);
	if (!s->exit.ended_wall_ns)
		s->exit.ended_wall_ns = clock_wall_ns();
	if (s->exit.outcome != JOBDIR_EXITED && s->log >= 0 && s->exit.reason[0]) {
		char text[JOBDIR_REASON_MAX + 1];

		snprintf(text, sizeof(text), "%s\n", s->exit.reason);
		shim_say(s, text);
	}
	if (s->log >= 0 && (s->exit.outcome != JOBDIR_EXITED || s->exit.exit_code))
		shim_progress_log(s);
}
