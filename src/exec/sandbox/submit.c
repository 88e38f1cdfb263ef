// SPDX-License-Identifier: Apache-2.0
// submit: a job goes to the runner, into a kept sandbox, or into one that was made ahead of it.
#include "base/arena.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/box.h"
#include "exec/sandbox/files.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

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
	j->kept = s->keep && !s->keep->once;
	j->ahead = s->keep && s->keep->once;
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

// A sandbox for calls that come: a job of our own, which begins with nothing to do.
static struct exec_spec empty(const struct exec_spec *s, const char *id)
{
	struct exec_spec own = *s;

	own.job = id;
	own.attempt = 1;
	own.input_count = 0;
	own.event = SPAN("");
	return own;
}

static int start_empty(struct sandbox_driver *d, const struct exec_spec *s, const char *id,
		       struct err *e)
{
	const struct exec_spec own = empty(s, id);
	char name[JOBDIR_NAME_MAX];

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
	if ((fresh && start_empty(d, s, id, &e) < 0) || kept_prepare(&d->kept, s, name, &e) < 0) {
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

// ---- made ahead ----------------------------------------------------------------------------------------

// The folder of the sandbox becomes the job's.
static int move_in(struct sandbox_driver *d, const struct exec_spec *s, const char *from,
		   const char *name, struct err *e)
{
	char folder[JOBDIR_NAME_MAX];
	auto_fd int dir = box_open_job(d, jobdir_name(folder, from, 1), e);

	if (dir < 0 || files_put_job(dir, s, e) < 0)
		return -1;
	return renameat(d->jobs_dir, folder, d->jobs_dir, name) < 0
		       ? err_sys(e, ERR_IO, errno, "rename %s", folder)
		       : 0;
}

static void cancel_empty(struct sandbox_driver *d, const char *id)
{
	char name[JOBDIR_NAME_MAX];
	auto_lock held = lock_hold(&d->lock);
	struct job *j = map_get(&d->jobs, span_of(jobdir_name(name, id, 1)));

	if (j)
		j->send_cancel = d->work = true;
}

// j->start is of an empty one, and would start the job in a sandbox of its own afterwards.
static bool take_ahead(struct sandbox_driver *d, const struct exec_spec *s, struct job *j,
		       const char *name)
{
	struct err e = { 0 };

	if (!ahead_take(&d->ahead, s->keep, j->start, j->start_size, j->from))
		return false;
	if (move_in(d, s, j->from, name, &e) < 0) {
		log_warn("exec", "job %s: %s", name, e.msg);
		cancel_empty(d, j->from);
		return false;
	}
	memset(j->start->job, 0, sizeof(j->start->job));
	memcpy(j->start->job, j->id, strlen(j->id));
	j->start->attempt = j->attempt;
	j->start->ahead = 0;
	auto_lock held = lock_hold(&d->lock);

	j->taken = j->send_take = d->work = true;
	map_put(&d->jobs, span_of(name), j);
	return true;
}

// For the next calls: one in the place of the one that was taken, and one more until there are enough.
static void make_ahead(struct sandbox_driver *d, const struct exec_spec *s,
		       const struct proto_start *m, size_t size)
{
	char id[PROTO_JOB_MAX];
	struct err e = { 0 };

	for (int i = 0; i < 2 && ahead_add(&d->ahead, s->keep, m, size, id); i++)
		if (start_empty(d, s, id, &e) < 0) {
			log_debug("exec", "%s: %s", id, e.msg);
			ahead_gone(&d->ahead, id);
			return;
		}
}

static int submit_ahead(struct sandbox_driver *d, const struct exec_spec *s, const char *name,
			struct err *e)
{
	const struct exec_spec own = empty(s, AHEAD_PREFIX);
	struct exec_spec single = *s;
	auto_free struct proto_start *m = NULL;
	struct job *j = box_job_new(s->job, s->attempt);
	size_t size;
	int done = 0;

	single.keep = NULL;
	if (files_message(&own, &j->start, &j->start_size, &j->files, e) < 0) {
		box_job_free(j);
		return -1;
	}
	size = j->start_size;
	m = mem_alloc(size);
	memcpy(m, j->start, size);
	if (take_ahead(d, s, j, name)) {
		box_wake(d);
	} else {
		box_job_free(j);
		done = submit(d, &single, name, e);
	}
	if (done == 0)
		make_ahead(d, s, m, size);
	return done;
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
	if (s->keep && s->keep->once && files_only_written(s))
		return submit_ahead(d, s, name, e);
	if (s->keep && !s->keep->once && submit_call(d, s, name))
		return 0;
	single.keep = NULL;
	return submit(d, &single, name, e);
}
