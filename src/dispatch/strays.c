// SPDX-License-Identifier: Apache-2.0
// strays: attempts that the engine still keeps though no active job is theirs, since a crash came between their
// account and their removal, or the database is older than the engine. Each is taken back, ended and forgotten,
// one look a tick until none is left. Input copies in tmp/ of jobs that are not active go at the start.
// All of it belongs to the controller.
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/job.h"
#include "dispatch/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

struct stray {
	struct stray *next;
	char id[EXEC_JOB_ID_MAX];
	unsigned attempt;
	bool ours; // the driver has taken it back
};

static bool is_active(struct dispatch *d, const char *id, unsigned attempt)
{
	auto_lock held = lock_hold(&d->lock);
	struct job *j = job_find(d, job_number(id));

	return j && j->row.attempt == attempt;
}

static void found(void *owner, const char *id, unsigned attempt)
{
	struct dispatch *d = owner;
	struct stray *s;

	if (is_active(d, id, attempt))
		return;
	s = mem_zalloc(sizeof(*s));
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->attempt = attempt;
	s->next = d->strays;
	d->strays = s;
}

static void remove_copies(struct dispatch *d)
{
	int fd = openat(d->tmp_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *f;

	if (!list) {
		file_close(fd);
		return;
	}
	while ((f = readdir(list))) {
		struct span rest = span_of(f->d_name), job;
		bool view = view_name_is(rest, &rest);
		char id[EXEC_JOB_ID_MAX];
		uint64_t number, attempt;
		struct err e = { 0 };

		if (!view && !span_starts(rest, SPAN(JOB_INPUT_PREFIX)))
			continue;
		if (!view)
			rest = span_from(rest, strlen(JOB_INPUT_PREFIX));
		job = span_cut(&rest, '.');
		if (span_to_u64(job, &number) && span_to_u64(rest, &attempt) &&
		    !is_active(d, job_id_text((int64_t)number, id), (unsigned)attempt))
			if (file_remove_tree(d->tmp_dir, f->d_name, &e) < 0)
				log_warn("dispatch", "%s: %s", f->d_name, e.msg);
	}
	closedir(list);
}

void strays_find(struct dispatch *d)
{
	struct err e = { 0 };

	remove_copies(d);
	if (d->driver->ops->list(d->driver, found, d, &e) < 0)
		log_warn("dispatch", "what the engine keeps cannot be listed: %s", e.msg);
}

// True when nothing is left of it.
static bool settle(struct dispatch *d, struct stray *s)
{
	const struct exec_ops *ops = d->driver->ops;
	struct err e = { 0 };

	if (!s->ours) {
		if (ops->adopt(d->driver, s->id, s->attempt, &e) < 0)
			return e.code == ERR_NOT_FOUND;
		s->ours = true;
		log_info("dispatch", "job %s attempt %u is nobody's: it is ended and removed",
			 s->id, s->attempt);
		if (ops->cancel(d->driver, s->id, s->attempt, &e) < 0 && e.code != ERR_NOT_FOUND)
			log_warn("dispatch", "job %s: %s", s->id, e.msg);
	}
	return ops->forget(d->driver, s->id, s->attempt, &e) == 0;
}

void strays_sweep(struct dispatch *d)
{
	for (struct stray **at = &d->strays; *at;) {
		struct stray *s = *at;

		if (!settle(d, s)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		mem_free(s);
	}
}

void strays_drop(struct dispatch *d)
{
	while (d->strays) {
		struct stray *s = d->strays;

		d->strays = s->next;
		mem_free(s);
	}
}
