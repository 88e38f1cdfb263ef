// SPDX-License-Identifier: Apache-2.0
#include "exec/fake/fake.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "exec/joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAKE_NAME_MAX = EXEC_JOB_ID_MAX + 16 };

struct job {
	char id[EXEC_JOB_ID_MAX];
	unsigned attempt;
	struct exec_result result;
	int64_t due_ns;			  // monotonic; INT64_MAX = never
	bool silent, told_started, ended; // ended: it has, though perhaps nobody was told
	bool ours;			  // of the driver that is open now
	bool told_ended;
};

// Jobs, like in a cluster, belong to it and not to who asked for them.
struct exec_fake_world {
	pthread_mutex_t lock;
	struct map jobs; // by "ID.ATTEMPT"
	char dir[64];
	int dir_fd;
};

struct fake {
	struct exec_driver base;
	struct exec_fake_options o;
	struct exec_fake_world *world, *own; // own: to be freed
	pthread_t thread;
	pthread_cond_t changed;
	bool closing;
	uint64_t chance; // state of the sequence
	struct exec_fake_counts counts;
};

static struct fake *self(struct exec_driver *d)
{
	return (struct fake *)d;
}

// SplitMix64 (Steele, Lea, Flood 2014): a good sequence from any seed.
static uint64_t next(struct fake *f)
{
	uint64_t z = f->chance += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static bool chance(struct fake *f, unsigned per_mille)
{
	return next(f) % 1000 < per_mille;
}

static struct span name_of(char out[static FAKE_NAME_MAX], const char *id, unsigned attempt)
{
	snprintf(out, FAKE_NAME_MAX, "%s.%u", id, attempt);
	return span_of(out);
}

struct exec_fake_world *exec_fake_world_new(void)
{
	struct exec_fake_world *w = mem_zalloc(sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "/tmp/oscar-fake-XXXXXX");
	check(mkdtemp(w->dir));
	w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(w->dir_fd >= 0);
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

void exec_fake_world_free(struct exec_fake_world *w)
{
	struct err e = { 0 };
	size_t at = 0;
	void *value;

	if (!w)
		return;
	while (map_next(&w->jobs, &at, NULL, &value))
		mem_free(value);
	map_release(&w->jobs);
	close(w->dir_fd);
	if (file_remove_tree(AT_FDCWD, w->dir, &e) < 0)
		fprintf(stderr, "# %s\n", e.msg);
	pthread_mutex_destroy(&w->lock);
	mem_free(w);
}

// The next job to be told about, or the time until there is one.
static struct job *next_due(struct fake *f, int64_t now, int64_t *wake_ns)
{
	struct job *first = NULL;
	size_t at = 0;
	void *value;

	*wake_ns = INT64_MAX;
	while (map_next(&f->world->jobs, &at, NULL, &value)) {
		struct job *j = value;
		int64_t due = j->told_started ? j->due_ns : now;

		if (!j->ours || j->told_ended)
			continue;
		if (due < *wake_ns) {
			*wake_ns = due;
			first = j;
		}
	}
	return *wake_ns <= now ? first : NULL;
}

static void *serve(void *arg)
{
	struct fake *f = arg;
	const struct exec_events *ev = &f->base.events;

	pthread_mutex_lock(&f->world->lock);
	while (!f->closing) {
		int64_t now = clock_mono_ns(), wake;
		struct job *j = next_due(f, now, &wake);

		if (!j) {
			lock_wait(&f->changed, &f->world->lock, wake == INT64_MAX ? 0 : wake);
			continue;
		}
		struct job copy = *j;
		bool start = !j->told_started;

		if (start) {
			j->told_started = true;
		} else {
			if (!j->result.ended_wall_ns)
				j->result.ended_wall_ns = clock_wall_ns();
			j->ended = j->told_ended = true;
			copy = *j;
			f->counts.ended++;
			f->counts.running--;
		}
		pthread_mutex_unlock(&f->world->lock);
		if (!start)
			ev->ended(ev->owner, copy.id, copy.attempt, &copy.result);
		else if (!copy.silent && copy.result.started_wall_ns && ev->started)
			ev->started(ev->owner, copy.id, copy.attempt, copy.result.started_wall_ns,
				    copy.result.node);
		pthread_mutex_lock(&f->world->lock);
	}
	pthread_mutex_unlock(&f->world->lock);
	return NULL;
}

static int make_files(struct fake *f, const char *name, const struct exec_fake_answer *a,
		      struct err *e)
{
	auto_fd int dir = -1;
	auto_fd int log = -1;

	if (mkdirat(f->world->dir_fd, name, 0700) < 0)
		return err_set(e, ERR_EXISTS, "job %s was submitted before", name);
	dir = file_open(f->world->dir_fd, name, O_RDONLY | O_DIRECTORY, 0, e);
	if (dir < 0 || mkdirat(dir, "output", 0700) < 0)
		return err_set(e, ERR_IO, "make the output folder");
	log = file_open(dir, "log", O_WRONLY | O_CREAT, 0600, e);
	if (log < 0)
		return -1;
	if (a->log && *a->log && joblog_append(log, JOBLOG_STDOUT, a->log, strlen(a->log), e) < 0)
		return -1;
	if (a->progress) {
		auto_fd int fd = file_open(dir, "progress", O_WRONLY | O_CREAT, 0600, e);

		if (fd < 0 || file_write_all(fd, a->progress, strlen(a->progress), e) < 0)
			return -1;
	}
	if (a->output_name) {
		auto_free char *path = mem_printf("output/%s", a->output_name);
		auto_fd int fd = file_open(dir, path, O_WRONLY | O_CREAT | O_EXCL, 0644, e);

		if (fd < 0 || file_write_all(fd, a->output.p, a->output.n, e) < 0)
			return -1;
	}
	return 0;
}

static int down(struct fake *f, struct err *e)
{
	return chance(f, f->o.down_per_mille)
		       ? err_set(e, ERR_UNAVAILABLE, "the engine does not answer")
		       : 0;
}

static void plan(struct fake *f, struct job *j, const struct exec_fake_answer *a)
{
	int64_t spread = f->o.delay_max_ms - f->o.delay_min_ms, delay = a->delay_ms;

	if (delay < 0)
		delay = f->o.delay_min_ms +
			(spread > 0 ? (int64_t)(next(f) % (uint64_t)(spread + 1)) : 0);
	j->due_ns = a->never ? INT64_MAX : clock_mono_ns() + delay * NS_PER_MS;
	j->silent = chance(f, f->o.silent_per_mille);
	j->result.outcome = a->outcome;
	j->result.exit_code = a->exit_code;
	j->result.signal = a->signal;
	snprintf(j->result.reason, sizeof(j->result.reason), "%s", a->reason ? a->reason : "");
	snprintf(j->result.node, sizeof(j->result.node), "fake-%u", (unsigned)(next(f) % 4));
	if (a->outcome != EXEC_SETUP_FAILED)
		j->result.started_wall_ns = clock_wall_ns();
	if (chance(f, f->o.lost_per_mille)) {
		j->result.outcome = EXEC_LOST;
		j->result.exit_code = j->result.signal = 0;
		snprintf(j->result.reason, sizeof(j->result.reason), "lost: the node is gone");
	}
}

static int fake_submit(struct exec_driver *d, const struct exec_spec *s, struct err *e)
{
	struct fake *f = self(d);
	struct exec_fake_answer a = { .delay_ms = -1 };
	char name[FAKE_NAME_MAX];
	struct job *j;

	if (!s->job || !*s->job || strlen(s->job) >= EXEC_JOB_ID_MAX || !s->attempt)
		return err_set(e, ERR_INVALID, "wrong job id or attempt");
	if (strspn(s->job, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(s->job))
		return err_set(e, ERR_INVALID, "a job id may have a-z, 0-9 and -");
	if (f->o.rule) {
		a.delay_ms = 0;
		f->o.rule(f->o.rule_owner, s, &a);
	}
	auto_lock held = lock_hold(&f->world->lock);

	if (down(f, e) < 0)
		return -1;
	if (map_get(&f->world->jobs, name_of(name, s->job, s->attempt)))
		return err_set(e, ERR_EXISTS, "job %s was submitted before", name);
	if (chance(f, f->o.busy_per_mille) || (f->o.room && f->counts.running >= f->o.room))
		return err_set(e, ERR_BUSY, "no room now");
	if (make_files(f, name, &a, e) < 0)
		return -1;
	j = mem_zalloc(sizeof(*j));
	memcpy(j->id, s->job, strlen(s->job));
	j->attempt = s->attempt;
	j->ours = true;
	plan(f, j, &a);
	map_put(&f->world->jobs, span_of(name), j);
	f->counts.submitted++;
	f->counts.running++;
	pthread_cond_broadcast(&f->changed);
	return 0;
}

static int fake_cancel(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	struct fake *f = self(d);
	char name[FAKE_NAME_MAX];
	auto_lock held = lock_hold(&f->world->lock);
	struct job *j = map_get(&f->world->jobs, name_of(name, id, attempt));

	if (down(f, e) < 0)
		return -1;
	if (!j || j->told_ended)
		return err_set(e, ERR_NOT_FOUND, "job %s is not running", name);
	f->counts.cancelled++;
	if (clock_mono_ns() < j->due_ns) {
		j->due_ns = 0;
		j->result.outcome = EXEC_CANCELLED;
		j->result.exit_code = 0;
		j->result.signal = 0;
		snprintf(j->result.reason, sizeof(j->result.reason), "cancelled");
	}
	pthread_cond_broadcast(&f->changed);
	return 0;
}

static int fake_adopt(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	struct fake *f = self(d);
	char name[FAKE_NAME_MAX];
	auto_lock held = lock_hold(&f->world->lock);
	struct job *j = map_get(&f->world->jobs, name_of(name, id, attempt));

	if (down(f, e) < 0)
		return -1;
	if (!j)
		return err_set(e, ERR_NOT_FOUND, "job %s never began", name);
	if (j->ours && !j->told_ended)
		return 0;
	j->ours = true;
	j->told_started = j->told_ended = false;
	f->counts.running++;
	pthread_cond_broadcast(&f->changed);
	return 0;
}

static int open_below(struct fake *f, const char *id, unsigned attempt, const char *what, int flags,
		      struct err *e)
{
	char name[FAKE_NAME_MAX];

	name_of(name, id, attempt);
	auto_free char *path = mem_printf("%s/%s", name, what);

	{
		auto_lock held = lock_hold(&f->world->lock);

		if (!map_get(&f->world->jobs, span_of(name)))
			return err_set(e, ERR_NOT_FOUND, "no job %s", name);
	}
	return file_open(f->world->dir_fd, path, O_RDONLY | flags, 0, e);
}

static int fake_open_output(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	return open_below(self(d), id, attempt, "output", O_DIRECTORY, e);
}

static int fake_open_log(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	return open_below(self(d), id, attempt, "log", 0, e);
}

static ssize_t fake_progress(struct exec_driver *d, const char *id, unsigned attempt,
			     char out[static EXEC_PROGRESS_MAX], int64_t *wall_ns, struct err *e)
{
	auto_fd int fd = open_below(self(d), id, attempt, "progress", 0, e);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "progress");
	*wall_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	return file_read_full(fd, out, EXEC_PROGRESS_MAX, e);
}

static int fake_forget(struct exec_driver *d, const char *id, unsigned attempt, struct err *e)
{
	struct fake *f = self(d);
	char name[FAKE_NAME_MAX];

	name_of(name, id, attempt);
	{
		auto_lock held = lock_hold(&f->world->lock);
		struct job *j = map_get(&f->world->jobs, span_of(name));

		if (!j)
			return 0;
		if (j->ours && !j->told_ended)
			return err_set(e, ERR_CONFLICT, "job %s has not ended", name);
		map_remove(&f->world->jobs, span_of(name));
		mem_free(j);
	}
	return file_remove_tree(f->world->dir_fd, name, e);
}

static int fake_list(struct exec_driver *d,
		     void (*found)(void *owner, const char *job, unsigned attempt), void *owner,
		     struct err *e)
{
	struct fake *f = self(d);
	auto_lock held = lock_hold(&f->world->lock);
	size_t at = 0;
	void *value;

	if (down(f, e) < 0)
		return -1;
	while (map_next(&f->world->jobs, &at, NULL, &value)) {
		const struct job *j = value;

		found(owner, j->id, j->attempt);
	}
	return 0;
}

static void fake_capacity(struct exec_driver *d, struct exec_capacity *out)
{
	const struct exec_fake_options *o = &self(d)->o;

	*out = (struct exec_capacity){ .cpu_millis = o->cpu_millis ? o->cpu_millis : 4000,
				       .memory_bytes = UINT64_C(8) << 30,
				       .gpus = o->gpus };
	snprintf(out->limits, sizeof(out->limits), "nothing is really run");
}

static bool fake_devices(struct exec_driver *d, struct arena *a unused_arg, uint64_t *stamp,
			 const char *const **names, size_t *n)
{
	const struct exec_fake_options *o = &self(d)->o;

	if (*stamp || !o->devices)
		return false;
	*stamp = 1;
	*names = o->devices;
	*n = o->device_count;
	return true;
}

static void fake_close(struct exec_driver *d, bool stop_jobs)
{
	struct fake *f = self(d);
	size_t at = 0;
	void *value;

	pthread_mutex_lock(&f->world->lock);
	f->closing = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->world->lock);
	pthread_join(f->thread, NULL);
	while (map_next(&f->world->jobs, &at, NULL, &value)) {
		struct job *j = value;

		if (stop_jobs && j->ours && !j->told_ended && clock_mono_ns() < j->due_ns) {
			j->due_ns = 0;
			j->result.outcome = EXEC_LOST;
			snprintf(j->result.reason, sizeof(j->result.reason),
				 "stopped with the daemon");
		}
		j->ours = false;
	}
	pthread_cond_destroy(&f->changed);
	exec_fake_world_free(f->own);
	mem_free(f);
}

static const struct exec_ops ops = {
	.name = "fake",
	.submit = fake_submit,
	.cancel = fake_cancel,
	.adopt = fake_adopt,
	.open_output = fake_open_output,
	.open_log = fake_open_log,
	.progress = fake_progress,
	.forget = fake_forget,
	.list = fake_list,
	.capacity = fake_capacity,
	.devices = fake_devices,
	.close = fake_close,
};

int exec_fake_open(struct exec_driver **out, const struct exec_fake_options *o,
		   const struct exec_events *ev, struct err *e)
{
	struct fake *f;

	if (o->delay_max_ms < 0 || o->delay_min_ms < 0)
		return err_set(e, ERR_INVALID, "delays cannot be negative");
	f = mem_zalloc(sizeof(*f));
	f->base = (struct exec_driver){ &ops, *ev };
	f->o = *o;
	f->chance = o->seed;
	f->own = o->world ? NULL : exec_fake_world_new();
	f->world = o->world ? o->world : f->own;
	lock_cond_init(&f->changed);
	lock_thread_start(&f->thread, "exec-fake", serve, f);
	*out = &f->base;
	return 0;
}

void exec_fake_counts(struct exec_driver *d, struct exec_fake_counts *out)
{
	struct fake *f = self(d);
	auto_lock held = lock_hold(&f->world->lock);

	*out = f->counts;
}
