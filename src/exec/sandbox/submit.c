// SPDX-License-Identifier: Apache-2.0
// submit: a job goes to the runner, or into a kept sandbox.
#include "base/arena.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/box.h"
#include "exec/sandbox/files.h"

#include <stdio.h>

static int submit(struct sandbox_driver *d, const struct exec_spec *s, const char *name,
		  struct err *e)
{
	struct proto_start *start;
	struct job *j;
	size_t size;
	int *files;

	if (files_message(s, &start, &size, &files, e) < 0)
		return -1;
	j = box_job_new(s->job, s->attempt);
	j->kept = s->keep;
	j->start = start;
	j->start_size = size;
	j->files = files;
	{
		auto_lock held = lock_hold(&d->lock);
		int bad = 0;

		if (map_get(&d->jobs, span_of(name)))
			bad = err_set(e, ERR_EXISTS, "job %s was submitted before", name);
		else if (!d->welcome || d->stopping)
			bad = err_set(e, ERR_UNAVAILABLE, "the runner does not answer");
		else if (d->jobs.count >= d->jobs_max)
			bad = err_set(e, ERR_BUSY, "too many jobs at once");
		if (bad) {
			box_job_free(j);
			return -1;
		}
	}
	if (files_make(&d->spares, name, s, e) < 0) {
		box_job_free(j);
		return -1;
	}
	{
		auto_lock held = lock_hold(&d->lock);

		j->send_start = d->work = true;
		map_put(&d->jobs, span_of(name), j);
	}
	box_wake(d);
	return 0;
}

static void drop_kept(struct sandbox_driver *d, const char *name)
{
	char folder[JOBDIR_NAME_MAX];
	struct err e = { 0 };

	kept_drop(&d->kept, name, folder);
	if (folder[0] && spares_give(&d->spares, folder, &e) < 0)
		log_warn("exec", "%s: %s", folder, e.msg);
}

// The sandbox for it and those after it: as a job of our own, which begins with nothing to do.
static int start_kept(struct sandbox_driver *d, const struct exec_spec *s, const char *id,
		      struct err *e)
{
	struct exec_spec own = *s;
	char name[JOBDIR_NAME_MAX];

	own.job = id;
	own.attempt = 1;
	own.input_count = 0;
	own.event = SPAN("");
	return submit(d, &own, jobdir_name(name, id, 1), e);
}

// False: it is to be run in a sandbox of its own.
static bool submit_call(struct sandbox_driver *d, const struct exec_spec *s, const char *name)
{
	char id[PROTO_JOB_MAX];
	struct err e = { 0 };
	bool fresh, served;
	struct job *j;

	if (!kept_take(&d->kept, s, name, id, &fresh))
		return false;
	if ((fresh && start_kept(d, s, id, &e) < 0) || kept_prepare(&d->kept, s, name, &e) < 0) {
		log_warn("exec", "job %s: %s", name, e.msg);
		drop_kept(d, name);
		return false;
	}
	j = box_job_new(s->job, s->attempt);
	j->called = true;
	pthread_mutex_lock(&d->lock);
	map_put(&d->jobs, span_of(name), j);
	served = kept_send(&d->kept, name);
	if (!served) // its end was not told, for nobody had known of it
		map_remove(&d->jobs, span_of(name));
	pthread_mutex_unlock(&d->lock);
	if (!served) {
		box_job_free(j);
		drop_kept(d, name);
	}
	box_wake(d);
	return served;
}

int box_submit(struct exec_driver *base, const struct exec_spec *s, struct err *e)
{
	struct sandbox_driver *d = (struct sandbox_driver *)base;
	struct exec_spec single = *s;
	auto_arena struct arena mem = { 0 };
	char name[JOBDIR_NAME_MAX];

	if (box_name(s->job, s->attempt, name, e) < 0)
		return -1;
	if (s->device_count) {
		if (box_device_env(d, &mem, s, &single, e) < 0)
			return -1;
		single.keep = NULL;
		return submit(d, &single, name, e);
	}
	if (s->keep) {
		auto_lock held = lock_hold(&d->lock);

		if (map_get(&d->jobs, span_of(name)))
			return err_set(e, ERR_EXISTS, "job %s was submitted before", name);
		if (!d->welcome || d->stopping)
			return err_set(e, ERR_UNAVAILABLE, "the runner does not answer");
	}
	if (s->keep && submit_call(d, s, name))
		return 0;
	single.keep = NULL;
	return submit(d, &single, name, e);
}
