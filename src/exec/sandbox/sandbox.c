// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/sandbox.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exec/sandbox/boot.h"
#include "exec/sandbox/box.h"
#include "runner/jobdir.h"
#include "runner/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
	DEFAULT_JOBS_MAX = 4096,
	DEFAULT_CONNECT_MS = 2000,
	STOP_MS = 15000,
	GIVE_TRIES = 400,
	GIVE_AGAIN_MS = 5
};

static struct sandbox_driver *self(struct exec_driver *d)
{
	return (struct sandbox_driver *)d;
}

void box_wake(struct sandbox_driver *d)
{
	uint64_t one = 1;
	ssize_t done = write(d->wake, &one, sizeof(one));

	(void)done; // full means awake
}

void box_start_drop(struct job *j)
{
	for (uint32_t i = 0; j->start && i < proto_files(j->start); i++)
		close(j->files[i]);
	mem_free(j->files);
	mem_free(j->start);
	j->files = NULL;
	j->start = NULL;
}

void box_job_free(struct job *j)
{
	if (!j)
		return;
	box_start_drop(j);
	mem_free(j);
}

struct job *box_job_new(const char *id, unsigned attempt)
{
	struct job *j = mem_zalloc(sizeof(*j));

	snprintf(j->id, sizeof(j->id), "%s", id);
	j->attempt = attempt;
	return j;
}

int box_name(const char *id, unsigned attempt, char name[static JOBDIR_NAME_MAX], struct err *e)
{
	char padded[PROTO_JOB_MAX] = "";

	if (!id || strlen(id) >= sizeof(padded) || !attempt)
		return err_set(e, ERR_INVALID, "wrong job id or attempt");
	memcpy(padded, id, strlen(id));
	if (!proto_job_ok(padded))
		return err_set(e, ERR_INVALID, "a job id may have a-z, 0-9 and -");
	jobdir_name(name, id, attempt);
	return 0;
}

int box_open_job(struct sandbox_driver *d, const char *name, struct err *e)
{
	return file_open(d->jobs_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
}

struct job *box_find(struct sandbox_driver *d, const char *name)
{
	auto_lock held = lock_hold(&d->lock);

	return map_get(&d->jobs, span_of(name));
}

// ---- kept sandboxes tell ------------------------------------------------------------------------------

static void kept_started(void *owner, const char *name, int64_t wall_ns)
{
	struct job *j = box_find(owner, name);

	if (j)
		box_tell_started(owner, j, wall_ns);
}

static void kept_ended(void *owner, const char *name, const struct jobdir_exit *x)
{
	struct job *j = box_find(owner, name);

	if (j)
		box_tell_ended(owner, j, x);
}

// ---- operations, from any thread -----------------------------------------------------------------------

static void sandbox_retire(struct exec_driver *base, int64_t service)
{
	struct sandbox_driver *d = self(base);

	kept_retire(&d->kept, service);
	ahead_retire(&d->ahead, service);
	box_wake(d);
}

static void sandbox_count_kept(struct exec_driver *base, struct exec_kept *out)
{
	kept_count(&self(base)->kept, out);
	out->ahead = ahead_count(&self(base)->ahead);
}

static int sandbox_cancel(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	struct sandbox_driver *d = self(base);
	char name[JOBDIR_NAME_MAX];
	struct err unused = { 0 };
	bool welcome;

	if (box_name(id, attempt, name, e) < 0)
		return -1;
	{
		auto_lock held = lock_hold(&d->lock);
		struct job *j = map_get(&d->jobs, span_of(name));

		if (!j)
			return err_set(e, ERR_NOT_FOUND, "job %s is not running", name);
		if (j->called)
			kept_cancel(&d->kept, name);
		else
			j->send_cancel = d->work = true;
		j->taken = false; // whatever becomes of its sandbox, it is not started in another
		welcome = d->welcome || j->called;
	}
	box_wake(d);
	if (!welcome) { // the shim listens also without its runner
		auto_fd int dir = box_open_job(d, name, &unused);

		if (dir >= 0 && jobdir_order(dir, JOBDIR_CANCEL, &unused) < 0)
			return 0; // it will be sent when the runner is back
	}
	return 0;
}

static int sandbox_adopt(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	struct sandbox_driver *d = self(base);
	char name[JOBDIR_NAME_MAX];
	enum jobdir_state state;
	struct jobdir_exit x;
	int64_t started;
	bool welcome;
	auto_fd int dir = -1;

	if (box_name(id, attempt, name, e) < 0)
		return -1;
	{
		auto_lock held = lock_hold(&d->lock);

		welcome = d->welcome;
		if (map_get(&d->jobs, span_of(name)))
			return 0;
	}
	dir = box_open_job(d, name, e);
	if (dir < 0 && e->code == ERR_NOT_FOUND && kept_served(&d->kept, name)) {
		auto_lock held = lock_hold(&d->lock);
		struct job *j = box_job_new(id, attempt);

		j->called = j->left = j->look = true;
		map_put(&d->jobs, span_of(name), j);
		box_wake(d);
		return 0;
	}
	if (dir < 0)
		return -1;
	if (jobdir_look(dir, &state, &x, &started, e) < 0)
		return -1;
	if (state == JOBDIR_NEW) {
		// A runner that has welcomed us has worked off all that was sent in an earlier life, so
		// what has not begun will not begin.
		if (!welcome)
			return err_set(e, ERR_UNAVAILABLE, "the runner does not answer");
		if (file_remove_tree(d->jobs_dir, name, e) < 0)
			return -1;
		return err_set(e, ERR_NOT_FOUND, "job %s never began", name);
	}
	{
		auto_lock held = lock_hold(&d->lock);
		struct job *j = box_job_new(id, attempt);

		j->look = true;
		if (map_get(&d->jobs, span_of(name)))
			box_job_free(j);
		else
			map_put(&d->jobs, span_of(name), j);
	}
	box_wake(d);
	return 0;
}

static int open_below(struct exec_driver *base, const char *id, unsigned attempt, const char *path,
		      int flags, struct err *e)
{
	char name[JOBDIR_NAME_MAX];
	auto_fd int dir = -1;
	int got;

	if (box_name(id, attempt, name, e) < 0)
		return -1;
	got = kept_open(&self(base)->kept, name, path, flags);
	if (got >= 0)
		return got;
	dir = box_open_job(self(base), name, e);
	return dir < 0 ? -1 : file_open(dir, path, O_RDONLY | O_NOFOLLOW | flags, 0, e);
}

static int sandbox_open_output(struct exec_driver *d, const char *id, unsigned attempt,
			       struct err *e)
{
	return open_below(d, id, attempt, "oscar/output", O_DIRECTORY, e);
}

static int sandbox_open_log(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	return open_below(d, id, attempt, "log", 0, e);
}

_Static_assert((int)EXEC_PROGRESS_MAX == (int)JOBDIR_PROGRESS_MAX, "what a script says fits");

static ssize_t sandbox_progress(struct exec_driver *d, const char *id, unsigned attempt,
				char out[static EXEC_PROGRESS_MAX], int64_t *wall_ns, struct err *e)
{
	auto_fd int fd = open_below(d, id, attempt, "alive", 0, e);
	struct jobdir_progress p;

	if (fd < 0 || jobdir_progress_read(fd, &p, e) < 0)
		return -1;
	memcpy(out, p.text, p.size);
	*wall_ns = p.wall_ns;
	return (ssize_t)p.size;
}

static int sandbox_forget(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	struct sandbox_driver *d = self(base);
	char name[JOBDIR_NAME_MAX], folder[JOBDIR_NAME_MAX];

	if (box_name(id, attempt, name, e) < 0)
		return -1;
	{
		auto_lock held = lock_hold(&d->lock);

		if (map_get(&d->jobs, span_of(name)))
			return err_set(e, ERR_CONFLICT, "job %s has not ended", name);
	}
	if (kept_forget(&d->kept, name, folder)) {
		box_wake(d); // it may have to end
		return folder[0] ? spares_give(&d->spares, folder, e) : 0;
	}
	return spares_give(&d->spares, name, e);
}

static int sandbox_list(struct exec_driver *base,
			void (*found)(void *owner, const char *job, unsigned attempt), void *owner,
			struct err *e)
{
	struct sandbox_driver *d = self(base);
	int fd = openat(d->jobs_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *f;

	if (!list) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "list the jobs' folders");
	}
	while ((f = readdir(list))) {
		char id[PROTO_JOB_MAX];
		unsigned attempt;

		if (jobdir_parse(f->d_name, id, sizeof(id), &attempt))
			found(owner, id, attempt);
	}
	closedir(list);
	return 0;
}

static void sandbox_capacity(struct exec_driver *base, struct exec_capacity *out)
{
	struct sandbox_driver *d = self(base);
	cpu_set_t cpus;

	*out = (struct exec_capacity){ 0 };
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		out->cpu_millis = (uint32_t)CPU_COUNT(&cpus) * 1000;
	out->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	auto_lock held = lock_hold(&d->lock);

	snprintf(out->limits, sizeof(out->limits), "%s",
		 d->welcome ? d->limits : "the runner does not answer: nothing can run");
}

// Shims listen also while no runner does.
static void stop_without_runner(struct sandbox_driver *d)
{
	char(*names)[JOBDIR_NAME_MAX] = NULL;
	size_t at = 0, n = 0;
	void *value;

	{
		auto_lock held = lock_hold(&d->lock);

		d->stopping = true;
		if (d->welcome)
			return;
		names = mem_alloc((d->jobs.count + 1) * sizeof(*names));
		while (map_next(&d->jobs, &at, NULL, &value)) {
			struct job *j = value;

			jobdir_name(names[n++], j->id, j->attempt);
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };
		auto_fd int dir = box_open_job(d, names[i], &e);

		if (dir >= 0 && jobdir_order(dir, JOBDIR_STOP, &e) < 0)
			log_warn("exec", "job %s: %s", names[i], e.msg);
	}
	mem_free(names);
}

static void sandbox_close(struct exec_driver *base, bool stop_jobs)
{
	struct sandbox_driver *d = self(base);
	int64_t by = clock_mono_ns() + STOP_MS * NS_PER_MS;
	size_t at = 0;
	void *value;

	if (stop_jobs)
		stop_without_runner(d);
	pthread_mutex_lock(&d->lock);
	if (stop_jobs) {
		d->stopping = d->work = true;
		box_wake(d);
		// With a runner the order goes out in any case: it also stops jobs that this life never
		// heard of.
		while ((d->jobs.count || (d->welcome && !d->stop_sent)) &&
		       lock_wait(&d->changed, &d->lock, by))
			;
	}
	d->closing = true;
	pthread_mutex_unlock(&d->lock);
	box_wake(d);
	pthread_join(d->thread, NULL);
	while (map_next(&d->jobs, &at, NULL, &value))
		box_job_free(value);
	map_release(&d->jobs);
	file_close(d->conn);
	file_close(d->wake);
	kept_release(&d->kept);
	ahead_release(&d->ahead);
	spares_release(&d->spares);
	file_close(d->jobs_dir);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	for (unsigned i = 0; i < d->cdi_count; i++)
		mem_free(d->cdi[i]);
	mem_free(d->data_dir);
	mem_free(d->node);
	mem_free(d);
}

// The runner may be behind for a moment. What it does not take stays the daemon's.
static void sandbox_give(struct exec_driver *base, int folder, const char *name, const char *later)
{
	struct sandbox_driver *d = (struct sandbox_driver *)base;
	struct proto_give m = { .head = proto_head(PROTO_GIVE) };

	snprintf(m.name, sizeof(m.name), "%s", name);
	snprintf(m.later, sizeof(m.later), "%s", later ? later : "");
	for (int i = 0; i < GIVE_TRIES; i++) {
		{
			auto_lock held = lock_hold(&d->lock);

			if (!d->welcome || wire_send(d->conn, &m, sizeof(m), &folder, 1) ||
			    errno != EAGAIN)
				return;
		}
		poll(NULL, 0, GIVE_AGAIN_MS);
	}
	log_debug("exec", "%s stays the server's: the runner does not answer", name);
}

static const struct exec_ops ops = {
	.name = "sandbox",
	.submit = box_submit,
	.cancel = sandbox_cancel,
	.adopt = sandbox_adopt,
	.open_output = sandbox_open_output,
	.open_log = sandbox_open_log,
	.progress = sandbox_progress,
	.forget = sandbox_forget,
	.list = sandbox_list,
	.give = sandbox_give,
	.retire = sandbox_retire,
	.open_door = box_open_door,
	.dial = box_dial,
	.freeze = box_freeze,
	.count_kept = sandbox_count_kept,
	.capacity = sandbox_capacity,
	.devices = box_devices,
	.close = sandbox_close,
};

static int open_jobs_dir(const char *data_dir, struct err *e)
{
	auto_free char *path = mem_printf("%s/jobs", data_dir);

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir %s", path);
	return file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, e);
}

int exec_sandbox_open(struct exec_driver **out, const struct exec_sandbox_options *o,
		      const struct exec_events *ev, struct err *e)
{
	auto_fd int jobs = open_jobs_dir(o->data_dir, e);
	auto_fd int event = -1;
	struct sandbox_driver *d;
	struct utsname host;
	int64_t by =
		clock_mono_ns() + (o->connect_ms ? o->connect_ms : DEFAULT_CONNECT_MS) * NS_PER_MS;

	if (jobs < 0 || boot_check(jobs, e) < 0)
		return -1;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return err_sys(e, ERR_IO, errno, "eventfd");
	d = mem_zalloc(sizeof(*d));
	d->runtime = o->any_runtime ? PROTO_RUNTIME_ANY
		     : o->oci	    ? PROTO_RUNTIME_OCI
				    : PROTO_RUNTIME_OWN;
	d->ops = ops;
	if (o->oci)
		d->ops.name = "oci";
	d->base = (struct exec_driver){ &d->ops, *ev };
	d->data_dir = mem_strdup(o->data_dir);
	if (uname(&host) < 0)
		host.nodename[0] = '\0';
	d->node = mem_strndup(host.nodename, strnlen(host.nodename, EXEC_NODE_MAX - 1));
	for (; d->cdi_count < o->cdi_count && d->cdi_count < CDI_FOLDERS_MAX; d->cdi_count++)
		d->cdi[d->cdi_count] = mem_strdup(o->cdi[d->cdi_count]);
	d->jobs_dir = file_take(&jobs);
	spares_init(&d->spares, d->jobs_dir);
	d->kept = (struct kept_pool){ .owner = d, .started = kept_started, .ended = kept_ended };
	kept_init(&d->kept, d->jobs_dir);
	ahead_init(&d->ahead);
	d->wake = file_take(&event);
	d->jobs_max = o->jobs_max ? o->jobs_max : DEFAULT_JOBS_MAX;
	d->respawn = o->respawn;
	d->respawn_owner = o->respawn_owner;
	d->conn = -1;
	d->retry_ms = BOX_RETRY_FIRST_MS;
	pthread_mutex_init(&d->lock, NULL);
	lock_cond_init(&d->changed);
	lock_thread_start(&d->thread, "exec-sandbox", box_serve, d);
	pthread_mutex_lock(&d->lock);
	while (!d->welcome && lock_wait(&d->changed, &d->lock, by))
		;
	pthread_mutex_unlock(&d->lock);
	*out = &d->base;
	return 0;
}
