// SPDX-License-Identifier: Apache-2.0
// progress: how far running jobs say they are. Nothing of it is written down: the driver is asked when somebody wants to
// know, and what changed is numbered for those who follow.
#include "dispatch/job.h"
#include "fdl/fdl.h"

int dispatch_progress(struct dispatch *d, int64_t job, unsigned attempt, struct progress *out,
		      int64_t *wall_ns, struct err *e)
{
	char id[EXEC_JOB_ID_MAX], tail[EXEC_PROGRESS_MAX];
	struct exec_driver *drv = d->driver;
	ssize_t n;

	if (!drv || !drv->ops->progress)
		return err_set(e, ERR_NOT_FOUND, "no progress is known of jobs there");
	n = drv->ops->progress(drv, job_id_text(job, id), attempt, tail, wall_ns, e);
	if (n < 0)
		return -1;
	if (!progress_last(span_make(tail, (size_t)n), out))
		return err_set(e, ERR_NOT_FOUND, "none of its lines is of the form");
	return 0;
}

struct running {
	int64_t job;
	unsigned attempt;
};

static size_t find_running(struct dispatch *d, struct arena *mem, struct running **out)
{
	auto_lock held = lock_hold(&d->lock);
	size_t at = 0, n = 0;
	void *value;

	*out = arena_alloc(mem, (d->active.count + 1) * sizeof(**out));
	while (map_next(&d->active, &at, NULL, &value)) {
		const struct job *j = value;

		if (j->submitted_ns && !j->ended)
			(*out)[n++] = (struct running){ j->row.id, j->row.attempt };
	}
	return n;
}

bool dispatch_progress_look(struct dispatch *d)
{
	auto_arena struct arena mem = { 0 };
	struct running *list;
	size_t n = find_running(d, &mem, &list);
	bool news = false;

	for (size_t i = 0; i < n; i++) {
		struct err ignored = { 0 };
		struct progress p;
		int64_t wall_ns;
		struct job *j;

		if (dispatch_progress(d, list[i].job, list[i].attempt, &p, &wall_ns, &ignored) < 0)
			continue;
		auto_lock held = lock_hold(&d->lock);

		j = job_find(d, list[i].job);
		if (!j || j->row.attempt != list[i].attempt || j->said_ns == wall_ns)
			continue;
		j->said = p;
		j->said_ns = wall_ns;
		j->said_number = ++d->said_number;
		news = true;
	}
	return news;
}

size_t dispatch_progress_since(struct dispatch *d, int64_t owner, uint64_t *number,
			       struct arena *mem, struct dispatch_progress **out)
{
	auto_lock held = lock_hold(&d->lock);
	size_t at = 0, n = 0;
	void *value;

	*out = NULL;
	if (*number == d->said_number)
		return 0;
	*out = arena_alloc(mem, (d->active.count + 1) * sizeof(**out));
	while (map_next(&d->active, &at, NULL, &value)) {
		const struct job *j = value;

		if (j->said_number <= *number || j->ended || (owner && j->row.owner != owner))
			continue;
		(*out)[n++] =
			(struct dispatch_progress){ .job = arena_strdup(mem, j->row.name),
						    .service = arena_strdup(mem, j->def->fdl->name),
						    .attempt = j->row.attempt,
						    .run = j->row.run,
						    .wall_ns = j->said_ns,
						    .said = j->said };
	}
	*number = d->said_number;
	return n;
}
