// SPDX-License-Identifier: Apache-2.0
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
	TICK_MS = 1000,
	END_WAIT_MS = 15000, // for jobs to end when we are told to end them
	KEEP_FEED = 1000000, // entries of the event feed
};
#define OUTPUT_MAX (UINT64_C(10) << 30)
#define LOG_MAX (UINT64_C(16) << 20)
#define SCRATCH_MAX (UINT64_C(1) << 30)
#define VIEW_COPY_MAX (UINT64_C(1) << 30)

// ---- jobs in memory ------------------------------------------------------------------------------------

char *job_id_text(int64_t job, char out[static EXEC_JOB_ID_MAX])
{
	snprintf(out, EXEC_JOB_ID_MAX, "j%lld", (long long)job);
	return out;
}

int64_t job_number(const char *id)
{
	return id[0] == 'j' ? strtoll(id + 1, NULL, 10) : 0;
}

struct job *job_find(struct dispatch *d, int64_t id)
{
	uint64_t key = (uint64_t)id;

	return map_get(&d->active, map_key_u64(&key));
}

struct fair_size job_size(const struct service_def *def)
{
	const struct fdl_service *f = def->fdl;

	return (struct fair_size){ f->cpu_millis, f->memory_bytes, f->gpus };
}

void room_count(struct fair_size *sum, const struct fair_size *s, bool more)
{
	uint32_t sign = more ? 1 : UINT32_MAX;

	sum->cpu_millis += sign * s->cpu_millis;
	sum->gpus += sign * s->gpus;
	sum->memory_bytes += more ? s->memory_bytes : -s->memory_bytes;
}

void room_take(struct dispatch *d, struct fair_party *p, const struct fair_size *s)
{
	room_count(&d->used, s, true);
	fair_take(&d->fair, p, s, clock_mono_ns());
}

void room_give_back(struct dispatch *d, struct fair_party *p, const struct fair_size *s)
{
	room_count(&d->used, s, false);
	fair_give_back(&d->fair, p, s, clock_mono_ns());
}

struct job *job_add(struct dispatch *d, const struct queue_job *row, struct service_def *def)
{
	struct job *j = mem_zalloc(sizeof(*j));
	uint64_t key = (uint64_t)row->id;

	j->row = *row;
	j->row.key = arena_span(&j->mem, row->key);
	j->def = def;
	j->size = job_size(def);
	j->party = fair_party(&d->fair, row->owner, row->service, clock_mono_ns());
	job_id_text(row->id, j->id);
	map_put(&d->active, map_key_u64(&key), j);
	room_take(d, j->party, &j->size);
	return j;
}

bool dispatch_active(struct dispatch *d, int64_t job, unsigned attempt)
{
	auto_lock held = lock_hold(&d->lock);
	const struct job *j = job_find(d, job);

	return j && j->row.attempt == attempt;
}

bool job_cancelled(struct dispatch *d, const struct job *j)
{
	auto_lock held = lock_hold(&d->lock);

	return j->cancel;
}

char *job_input_name(const struct job *j, char out[static JOB_INPUT_NAME_MAX])
{
	snprintf(out, JOB_INPUT_NAME_MAX, JOB_INPUT_PREFIX "%lld.%u", (long long)j->row.id,
		 j->row.attempt);
	return out;
}

static void job_free(struct job *j)
{
	queue_call_put(j->call);
	service_def_put(j->def);
	arena_release(&j->mem);
	mem_free(j);
}

void job_release(struct dispatch *d, struct job *j)
{
	uint64_t key = (uint64_t)j->row.id;
	char input[JOB_INPUT_NAME_MAX];

	unlinkat(d->tmp_dir, job_input_name(j, input), 0);
	view_remove(d, j);
	pthread_mutex_lock(&d->lock);
	map_remove(&d->active, map_key_u64(&key));
	room_give_back(d, j->party, &j->size);
	d->look = true;
	pthread_cond_signal(&d->wake);
	pthread_cond_broadcast(&d->idle);
	pthread_mutex_unlock(&d->lock);
	if (j->call)
		queue_call_settled(d->o.queue, j->call);
	job_free(j);
}

// With the lock held.
void job_give(struct dispatch *d, struct job *j, enum job_task task)
{
	j->task = task;
	j->next = NULL;
	*d->todo_tail = j;
	d->todo_tail = &j->next;
	pthread_cond_signal(&d->work);
}

// ---- ending --------------------------------------------------------------------------------------------

void job_ask_end(struct dispatch *d, const char *job_id, unsigned attempt)
{
	char id[EXEC_JOB_ID_MAX];
	struct err e = { 0 };

	memcpy(id, job_id, sizeof(id));
	pthread_mutex_unlock(&d->lock);
	if (d->driver->ops->cancel(d->driver, id, attempt, &e) < 0 && e.code != ERR_NOT_FOUND) {
		log_warn("dispatch", "ending job %s: %s", id, e.msg);
		again_later(d, job_number(id), AGAIN_CANCEL);
	}
	pthread_mutex_lock(&d->lock);
}

void job_end_if_cancelled(struct dispatch *d, int64_t id)
{
	struct job *j;

	pthread_mutex_lock(&d->lock);
	j = job_find(d, id);
	if (j && j->cancel && !j->ended)
		job_ask_end(d, j->id, j->row.attempt);
	pthread_mutex_unlock(&d->lock);
}

// ---- workers -------------------------------------------------------------------------------------------

// The job never got to the driver: it waits for its turn again where the engine had no room, else it fails.
static void stage_failed(struct dispatch *d, struct job *j, const struct err *why)
{
	bool cancelled = job_cancelled(d, j);
	bool later = !cancelled && (why->code == ERR_BUSY || why->code == ERR_FULL);
	struct queue_result r = { .outcome = "stage", .exit_code = -1, .reason = why->msg };
	struct dispatch_answer a = { .fd = -1 };
	struct err e = { 0 };
	int bad = later ? job_give_back(d, j, clock_wall_ns() + BUSY_DELAY_MS * NS_PER_MS, &e)
			: job_end(d, j, cancelled ? QUEUE_CANCELLED : QUEUE_FAILED, &r, &e);

	if (bad < 0 && e.code != ERR_CONFLICT && e.code != ERR_NOT_FOUND) {
		log_warn("dispatch", "job %s: %s", j->row.name, e.msg);
		again_later(d, j->row.id, AGAIN_STAGE);
		return;
	}
	if (j->row.sync && !later) {
		snprintf(a.reason, sizeof(a.reason), "%s", why->msg);
		answer_deliver(d, j->row.id, &a);
	}
	job_release(d, j);
}

static void stage(struct dispatch *d, struct job *j)
{
	int64_t id = j->row.id;
	struct err e = { 0 };

	if (job_cancelled(d, j)) {
		err_set(&e, ERR_CANCELLED, "cancelled");
		stage_failed(d, j, &e);
	} else if (stage_job(d, j, &e) == 0) {
		// From the submit on the job may end, be collected and freed at any time. One that was cancelled
		// while it was being staged did not reach the driver then.
		job_end_if_cancelled(d, id);
	} else if (e.code == ERR_EXISTS || e.code == ERR_UNAVAILABLE) {
		// This submit or an earlier one may have come through without its answer.
		adopt_active(d, j);
	} else {
		stage_failed(d, j, &e);
	}
}

static void *worker_main(void *arg)
{
	struct dispatch *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct job *j = d->todo;

		if (d->workers_stop)
			break;
		if (!j) {
			pthread_cond_wait(&d->work, &d->lock);
			continue;
		}
		d->todo = j->next;
		if (!d->todo)
			d->todo_tail = &d->todo;
		pthread_mutex_unlock(&d->lock);
		if (j->task == JOB_STAGE)
			stage(d, j);
		else
			collect_job(d, j);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

// ---- what the driver says ------------------------------------------------------------------------------

static void on_started(void *owner, const char *id, unsigned attempt, int64_t started_ns,
		       const char *node)
{
	struct dispatch *d = owner;
	struct job *j;
	bool row = true;

	if (server_started(d, id) || shell_started(d, id))
		return;
	pthread_mutex_lock(&d->lock);
	j = job_find(d, job_number(id));
	if (j && j->call && j->row.attempt == attempt) {
		j->started_ns = started_ns;
		snprintf(j->node, sizeof(j->node), "%s", node);
		row = j->row_asked;
	}
	pthread_mutex_unlock(&d->lock);
	if (row)
		queue_started(d->o.queue, job_number(id), attempt, started_ns, node);
}

static void on_ended(void *owner, const char *id, unsigned attempt, const struct exec_result *r)
{
	struct dispatch *d = owner;
	struct job *j;

	if (server_ended(d, id, r) || shell_ended(d, id, r))
		return;
	pthread_mutex_lock(&d->lock);
	j = job_find(d, job_number(id));
	if (j && j->row.attempt == attempt && !j->ended) {
		j->ended = true;
		j->result = *r;
		j->stopped = d->end_jobs && !j->cancel &&
			     (r->outcome == EXEC_CANCELLED || r->outcome == EXEC_LOST);
		job_give(d, j, JOB_COLLECT);
	} else {
		log_warn("dispatch", "an end of job %s attempt %u that is not active is ignored",
			 id, attempt);
	}
	pthread_mutex_unlock(&d->lock);
}

struct exec_events dispatch_events(struct dispatch *d)
{
	return (struct exec_events){ d, on_started, on_ended };
}

// ---- the controller ------------------------------------------------------------------------------------

static void renew_leases(struct dispatch *d)
{
	size_t at = 0;
	void *value;

	pthread_mutex_lock(&d->lock);
	while (map_next(&d->active, &at, NULL, &value)) {
		const struct job *j = value;

		if (!j->call || j->row_asked)
			queue_renew(d->o.queue, j->row.id, d->o.lease_ms);
	}
	pthread_mutex_unlock(&d->lock);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void *controller_main(void *arg)
{
	struct dispatch *d = arg;
	int64_t renewed = clock_mono_ns(), swept = renewed;

	pthread_mutex_lock(&d->lock);
	while (!d->stopping) {
		int64_t next, due, tick = clock_mono_ns() + TICK_MS * NS_PER_MS, now;
		bool more;

		d->look = false;
		pthread_mutex_unlock(&d->lock);
		more = choose_round(d, &next);
		if (clock_mono_ns() - swept >= TICK_MS * NS_PER_MS) {
			again_sweep(d);
			strays_sweep(d);
			swept = clock_mono_ns();
		}
		if (clock_mono_ns() - renewed > d->o.lease_ms * NS_PER_MS / 3) {
			renew_leases(d);
			renewed = clock_mono_ns();
		}
		due = calls_record(d, false);
		if (due)
			tick = earlier(tick, due);
		now = clock_wall_ns();
		if (next && next - now < TICK_MS * NS_PER_MS)
			tick = earlier(tick, clock_mono_ns() + (next > now ? next - now : 0));
		pthread_mutex_lock(&d->lock);
		while (!more && !d->stopping && !d->look && lock_wait(&d->wake, &d->lock, tick))
			;
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

void dispatch_look(struct dispatch *d)
{
	auto_lock held = lock_hold(&d->lock);

	d->look = true;
	pthread_cond_signal(&d->wake);
}

void dispatch_retire(struct dispatch *d, int64_t service)
{
	if (d->driver && d->driver->ops->retire)
		d->driver->ops->retire(d->driver, service);
	servers_changed(d, service);
}

// After each commit, on the writer thread.
static void on_commit(void *owner)
{
	struct dispatch *d = owner;

	pthread_mutex_lock(&d->lock);
	if (queue_added(d->o.queue) != d->added_seen && !d->look) {
		d->look = true;
		pthread_cond_signal(&d->wake);
	}
	pthread_mutex_unlock(&d->lock);
}

// ---- starting and stopping -----------------------------------------------------------------------------

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

static void adopt_one(struct dispatch *d, const struct queue_job *row)
{
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
	if (queue_active(d->o.queue, &mem, &rows, &n, e) < 0)
		return -1;
	d->worker_count = d->o.workers;
	d->workers = mem_zalloc(d->worker_count * sizeof(*d->workers));
	for (unsigned i = 0; i < d->worker_count; i++)
		lock_thread_start(&d->workers[i], "dispatch-work", worker_main, d);
	for (size_t i = 0; i < n; i++)
		adopt_one(d, &rows[i]);
	strays_find(d);
	db_on_commit(d->o.db, on_commit, d);
	lock_thread_start(&d->controller, "dispatch", controller_main, d);
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
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	pthread_cond_broadcast(&d->wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->controller, NULL);
	if (end_jobs)
		end_all(d);
	pthread_mutex_lock(&d->lock);
	d->workers_stop = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < d->worker_count; i++)
		pthread_join(d->workers[i], NULL);
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
	while (map_next(&d->active, &at, NULL, &value)) {
		struct job *j =
			value; // goes on without us, or waits to be collected by the next life

		job_free(j);
	}
	map_release(&d->active);
	servers_drop(d);
	map_release(&d->shells);
	fair_release(&d->fair);
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
					.kept = kept,
					.driver = d->driver ? d->driver->ops->name : "none" };
	memcpy(out->limits, d->capacity.limits, sizeof(out->limits));
}
