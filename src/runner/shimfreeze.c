// SPDX-License-Identifier: Apache-2.0
// shimfreeze: a sandbox that is idle does not run at all, until it is asked for something or shall end.
#include "runner/shimbox.h"

int shim_freeze(struct shim *s, struct err *e)
{
	const struct cgroup_base *base = &s->job->world->cgroups;

	if (s->ending || s->reaped)
		return err_set(e, ERR_CONFLICT, "the sandbox ends");
	if (cgroup_job_freeze(base, s->job->group, e) < 0) {
		cgroup_job_thaw(base, s->job->group); // all of it or none
		return -1;
	}
	s->frozen = true;
	s->look_ns = 0; // nothing is written
	return 0;
}

void shim_thaw(struct shim *s)
{
	if (!s->frozen)
		return;
	s->frozen = false;
	cgroup_job_thaw(&s->job->world->cgroups, s->job->group);
	if (!s->job->start->warm) // a call begins to look by itself
		shim_watch_output(s);
}
