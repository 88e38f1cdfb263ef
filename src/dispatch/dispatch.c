// SPDX-License-Identifier: Apache-2.0
// dispatch: opened, started with what an earlier life left, stopped and closed.
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "dispatch/job.h"
#include "dispatch/view.h"
#include "fdl/fdl.h"

#include <fcntl.h>
#include <unistd.h>

enum {
	WORKERS = 4,
	ACTIVE_MAX = 256,
	LEASE_MS = 60000,
	CALL_YOUNG_MS = 1000,
	LOST_ATTEMPTS = 5,
	PIDS_MAX = 1024,
	GRACE_MS = 5000,
	OUTPUTS_MAX = 10000,
	VIEW_OBJECTS_MAX = 10000,
	END_WAIT_MS = 15000, // for jobs to end when we are told to end them
	KEEP_FEED = 1000000, // entries of the event feed
};
#define OUTPUT_MAX (UINT64_C(10) << 30)
#define LOG_MAX (UINT64_C(16) << 20)
#define SCRATCH_MAX (UINT64_C(1) << 30)
#define VIEW_COPY_MAX (UINT64_C(1) << 30)

static int open_folder(const char *data, const char *name, struct err *e)
{
	auto_free char *path = mem_printf("%s/%s", data, name);

	if (file_mkdirs(path, 0700, e) < 0)
		return -1;
	return file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, e);
}

int dispatch_open(struct dispatch **out, const struct dispatch_options *o, struct err *e)
{
	struct dispatch *d = mem_zalloc(sizeof(*d));

	d->o = *o;
#define DEFAULT(field, value) d->o.field = o->field ? o->field : (value)
	DEFAULT(workers, WORKERS);
	DEFAULT(active_max, ACTIVE_MAX);
	DEFAULT(lease_ms, LEASE_MS);
	DEFAULT(call_young_ms, CALL_YOUNG_MS);
	DEFAULT(lost_attempts, LOST_ATTEMPTS);
	DEFAULT(output_bytes_max, OUTPUT_MAX);
	DEFAULT(log_bytes_max, LOG_MAX);
	DEFAULT(scratch_bytes_max, SCRATCH_MAX);
	DEFAULT(pids_max, PIDS_MAX);
	DEFAULT(grace_ms, GRACE_MS);
	DEFAULT(outputs_max, OUTPUTS_MAX);
	DEFAULT(view_objects_max, VIEW_OBJECTS_MAX);
	DEFAULT(view_copy_max, VIEW_COPY_MAX);
	DEFAULT(keep_feed, KEEP_FEED);
#undef DEFAULT
	d->todo_tail = &d->todo;
	pthread_mutex_init(&d->lock, NULL);
	lock_cond_init(&d->wake);
	lock_cond_init(&d->work);
	lock_cond_init(&d->idle);
	d->logs_dir = -1;
	d->tmp_dir = open_folder(o->data_dir, "tmp", e);
	if (d->tmp_dir >= 0)
		d->logs_dir = open_folder(o->data_dir, "logs", e);
	if (d->logs_dir < 0) {
		dispatch_close(d);
		return -1;
	}
	*out = d;
	return 0;
}

// Those of its attempt, which may run.
static const char *devices_of(struct dispatch *d, const struct queue_job *row, struct arena *mem)
{
	struct queue_attempt *a;
	struct err e = { 0 };
	size_t n;

	if (queue_attempts(d->o.queue, row->id, mem, &a, &n, &e) < 0) {
		log_warn("dispatch", "job %s: its devices: %s", row->name, e.msg);
		return "";
	}
	return n ? a[n - 1].devices : "";
}

static void adopt_one(struct dispatch *d, const struct queue_job *row)
{
	auto_arena struct arena mem = { 0 };
	const char *devices = devices_of(d, row, &mem);
	auto_service_def struct service_def *def = NULL;
	struct queue_result r = { .outcome = "stage", .exit_code = -1 };
	struct job *j;
	struct err e = { 0 };

	if (service_revision(d->o.services, row->service, row->revision, &def, &e) < 0) {
		r.reason = e.msg;
		if (queue_end(d->o.queue, row->id, row->attempt, QUEUE_FAILED, 0, &r, &e) < 0)
			log_warn("dispatch", "job %s: %s", row->name, e.msg);
		return;
	}
	pthread_mutex_lock(&d->lock);
	j = job_add(d, row, mem_take(&def));
	devices_retake(d, devices, j->id);
	j->devices = arena_strdup(&j->mem, devices);
	pthread_mutex_unlock(&d->lock);
	adopt_active(d, j);
}

// What the engine has, or less where the administrator says so.
static void read_capacity(struct dispatch *d)
{
	struct exec_capacity *c = &d->capacity;
	struct fair_size all;

	d->driver->ops->capacity(d->driver, c);
	if (d->o.cpu_millis_max && (!c->cpu_millis || c->cpu_millis > d->o.cpu_millis_max))
		c->cpu_millis = d->o.cpu_millis_max;
	if (d->o.memory_bytes_max && (!c->memory_bytes || c->memory_bytes > d->o.memory_bytes_max))
		c->memory_bytes = d->o.memory_bytes_max;
	all = (struct fair_size){ c->cpu_millis, c->memory_bytes, c->gpus };
	fair_init(&d->fair, &all, d->o.active_max);
}

int dispatch_start(struct dispatch *d, struct exec_driver *driver, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	struct queue_job *rows;
	size_t n;

	d->driver = driver;
	read_capacity(d);
	devices_look(d);
	if (queue_active(d->o.queue, &mem, &rows, &n, e) < 0)
		return -1;
	workers_start(d);
	for (size_t i = 0; i < n; i++)
		adopt_one(d, &rows[i]);
	strays_find(d);
	controller_start(d);
	retain_start(d);
	d->started = true;
	return 0;
}

static void end_all(struct dispatch *d)
{
	int64_t deadline = clock_mono_ns() + END_WAIT_MS * NS_PER_MS;
	auto_arena struct arena mem = { 0 };
	struct span key;
	size_t at = 0, n = 0;
	void *value;

	pthread_mutex_lock(&d->lock);
	d->end_jobs = true;
	int64_t *ids = arena_alloc(&mem, (d->active.count + 1) * sizeof(*ids));

	while (map_next(&d->active, &at, &key, &value))
		ids[n++] = ((struct job *)value)->row.id;
	for (size_t i = 0; i < n; i++) {
		struct job *j = job_find(d, ids[i]);

		if (j && !j->ended)
			job_ask_end(d, j->id, j->row.attempt);
	}
	while (d->active.count && lock_wait(&d->idle, &d->lock, deadline))
		;
	pthread_mutex_unlock(&d->lock);
}

void dispatch_stop(struct dispatch *d, bool end_jobs)
{
	if (!d->started)
		return;
	retain_stop(d);
	controller_stop(d);
	if (end_jobs)
		end_all(d);
	workers_stop(d);
	calls_stop(d);
	db_off_commit(d->o.db, d);
	d->driver->ops->close(d->driver, end_jobs);
	d->driver = NULL;
	d->started = false;
}

void dispatch_close(struct dispatch *d)
{
	size_t at = 0;
	void *value;

	if (!d)
		return;
	check(!d->started);
	while (map_next(&d->active, &at, NULL, &value))
		job_free(value); // it goes on without us, or waits to be collected by the next life
	map_release(&d->active);
	servers_drop(d);
	map_release(&d->shells);
	fair_release(&d->fair);
	devices_drop(&d->devices);
	answers_drop(d);
	strays_drop(d);
	mem_free(d->workers);
	file_close(d->tmp_dir);
	file_close(d->logs_dir);
	pthread_mutex_destroy(&d->lock);
	mem_free(d);
}

void dispatch_usage(struct dispatch *d, struct dispatch_usage *out)
{
	struct exec_kept kept = { 0 };

	if (d->driver && d->driver->ops->count_kept)
		d->driver->ops->count_kept(d->driver, &kept);
	auto_lock held = lock_hold(&d->lock);

	*out = (struct dispatch_usage){ .active = (unsigned)d->active.count,
					.cpu_millis_used = d->used.cpu_millis,
					.cpu_millis_total = d->capacity.cpu_millis,
					.memory_used = d->used.memory_bytes,
					.memory_total = d->capacity.memory_bytes,
					.gpus_used = d->used.gpus,
					.gpus_total = d->devices.told ? d->devices.gpus
								      : d->capacity.gpus,
					.kept = kept,
					.driver = d->driver ? d->driver->ops->name : "none" };
	memcpy(out->limits, d->capacity.limits, sizeof(out->limits));
}
