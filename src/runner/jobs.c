// SPDX-License-Identifier: Apache-2.0
// jobs: the jobs there are, and what becomes of their shims.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/shim.h"
#include "runner/state.h"
#include "runner/sys.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SWEEP_MS = 500 };

struct job *jobs_find(struct runner *r, const char *id, uint32_t attempt)
{
	char name[JOBDIR_NAME_MAX];

	return map_get(&r->jobs, span_of(jobdir_name(name, id, attempt)));
}

struct job *jobs_add(struct runner *r, const char *id, uint32_t attempt, int dir, pid_t shim)
{
	struct job *j = mem_zalloc(sizeof(*j));
	char name[JOBDIR_NAME_MAX];

	memcpy(j->id, id, sizeof(j->id));
	j->attempt = attempt;
	j->dir = dir;
	j->net = -1;
	j->group = (struct cgroup_job)CGROUP_JOB_NONE;
	j->shim = shim;
	r->adopted += !shim;
	map_put(&r->jobs, span_of(jobdir_name(name, id, attempt)), j);
	return j;
}

bool jobs_take(struct runner *r, const struct proto_take *m)
{
	struct job *j = jobs_find(r, m->from, 1);
	char name[JOBDIR_NAME_MAX];

	if (!j || !j->ahead || j->shim <= 0 || jobs_find(r, m->job, m->attempt))
		return false;
	map_remove(&r->jobs, span_of(jobdir_name(name, j->id, j->attempt)));
	memcpy(j->id, m->job, sizeof(j->id));
	j->attempt = m->attempt;
	j->started_wall_ns = 0;
	j->ahead = j->tell_started = false;
	map_put(&r->jobs, span_of(jobdir_name(name, j->id, j->attempt)), j);
	jobs_order(j, JOBDIR_GO);
	return true;
}

static void job_free(struct job *j)
{
	close(j->dir);
	file_close(j->net);
	cgroup_job_close(&j->group);
	mem_free(j);
}

void jobs_drop(struct runner *r, struct job *j)
{
	char name[JOBDIR_NAME_MAX];

	map_remove(&r->jobs, span_of(jobdir_name(name, j->id, j->attempt)));
	job_free(j);
	if (!r->jobs.count)
		r->idle_since_ns = clock_mono_ns();
}

void jobs_release(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (map_next(&r->jobs, &at, NULL, &value))
		job_free(value);
	map_release(&r->jobs);
}

int jobs_open_folder(struct runner *r, const char *name, struct err *e)
{
	int fd = sys_open_beneath(r->world.jobs, name, O_RDONLY | O_DIRECTORY, 0);
	struct stat st;

	if (fd < 0)
		return err_sys(e, ERR_NOT_FOUND, errno, "open the job's folder");
	if (fstat(fd, &st) == 0 && st.st_uid == r->world.owner)
		return fd;
	close(fd);
	return err_set(e, ERR_INVALID, "the job's folder has a wrong owner");
}

void jobs_order(struct job *j, enum jobdir_order what)
{
	struct err e = { 0 };

	if (j->shim >= 0 && jobdir_order(j->dir, what, &e) < 0)
		log_warn("runner", "job %s.%u: %s", j->id, j->attempt, e.msg);
}

void jobs_stop_all(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (map_next(&r->jobs, &at, NULL, &value))
		jobs_order(value, JOBDIR_STOP);
}

static struct job *of_shim(const struct runner *r, pid_t shim)
{
	void *value;
	size_t at = 0;

	while (map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;

		if (j->shim == shim)
			return j;
	}
	return NULL;
}

void jobs_read_notes(struct runner *r)
{
	struct shim_note note;

	while (read(r->notify[0], &note, sizeof(note)) == sizeof(note)) {
		struct job *j = note.shim > 0 ? of_shim(r, note.shim) : NULL;

		if (j)
			talk_started(r, j, note.started_wall_ns);
	}
}

void jobs_sweep_soon(struct runner *r)
{
	r->sweep_ns = clock_mono_ns() + SWEEP_MS * NS_PER_MS;
}

static void shim_ended(struct runner *r, struct job *j, int status)
{
	if (status == SHIM_CLEAN || status == SHIM_GROUP_REMOVED) {
		world_net_put(&r->world, j->net);
		j->net = -1;
	} else {
		cgroup_job_thaw(&r->world.cgroups, &j->group); // else what is frozen never dies
		jobs_sweep_soon(r);
	}
	world_group_put(&r->world, &j->group, status == SHIM_CLEAN);
}

void jobs_reap(struct runner *r)
{
	int status;
	pid_t pid;

	jobs_read_notes(r); // what a shim said comes before its end
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct job *j = of_shim(r, pid);

		if (!j)
			continue;
		shim_ended(r, j, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		talk_ended(r, j);
	}
}

// Jobs of an earlier runner are nobody's children here: their locks are looked at.
void jobs_look_at_adopted(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (r->adopted && map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;
		enum jobdir_state state;
		struct jobdir_exit x;
		struct err e = { 0 };
		int64_t started;

		if (j->shim != 0)
			continue;
		if (jobdir_look(j->dir, &state, &x, &started, &e) == 0 && state == JOBDIR_RUNNING) {
			if (started && !j->started_wall_ns)
				talk_started(r, j, started);
			continue;
		}
		jobs_sweep_soon(r);
		talk_ended(r, j);
	}
}

// The job of this folder, when its shim lives.
static void adopt_one(struct runner *r, const char *name)
{
	struct err unused = { 0 };
	enum jobdir_state state;
	struct jobdir_exit x;
	char id[PROTO_JOB_MAX];
	unsigned attempt;
	int64_t started;
	int dir;

	if (!jobdir_parse(name, id, sizeof(id), &attempt))
		return;
	dir = jobs_open_folder(r, name, &unused);
	if (dir < 0)
		return;
	if (jobdir_look(dir, &state, &x, &started, &unused) == 0 && state == JOBDIR_RUNNING)
		jobs_add(r, id, attempt, dir, 0)->started_wall_ns = started;
	else
		close(dir);
}

int jobs_adopt(struct runner *r, struct err *e)
{
	int fd = openat(r->world.jobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "list the jobs");
	}
	while ((d = readdir(list)) && r->jobs.count < r->limit)
		adopt_one(r, d->d_name);
	closedir(list);
	if (!cgroup_sweep(&r->world.cgroups)) // what dead ones left
		jobs_sweep_soon(r);
	if (r->jobs.count)
		log_info("runner", "found %zu running jobs", r->jobs.count);
	return 0;
}
