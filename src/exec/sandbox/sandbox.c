// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/sandbox.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "exec/sandbox/boot.h"
#include "exec/sandbox/files.h"
#include "exec/sandbox/kept.h"
#include "runner/jobdir.h"
#include "runner/proto.h"
#include "runner/runner.h"
#include "runner/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
	DEFAULT_JOBS_MAX = 4096,
	DEFAULT_CONNECT_MS = 2000,
	WELCOME_MS = 5000,
	RETRY_FIRST_MS = 20,
	RETRY_LAST_MS = 2000,
	LOOK_MS = 100, // at jobs of which no message is to be expected
	STOP_MS = 15000,
	MESSAGES_A_TURN = 64,
};

struct job {
	char id[PROTO_JOB_MAX];
	unsigned attempt;
	struct proto_start *start; // until the runner is known to have begun it
	size_t start_size;
	int *files; // that go with it; ours, proto_files() of them
	bool send_start, send_cancel;
	bool look; // its folder must be looked at once, for nobody may have told what happened
	bool doubt; // … and again until it has ended: the runner says so, but the lock is still held
	bool told_started;
	bool kept;   // a kept sandbox, which nobody outside knows
	bool called; // a call that a kept one serves: it has no folder of its own …
	bool left;   // … and was so in an earlier life, with which it ended
};

struct sandbox_driver {
	struct exec_driver base;
	char *data_dir, *node;
	int jobs_dir, wake;
	unsigned jobs_max;
	int (*respawn)(void *owner, struct err *e);
	void *respawn_owner;
	pthread_t thread;
	struct spares spares;
	struct kept_pool kept;

	pthread_mutex_t lock; // guards what follows
	pthread_cond_t changed;
	struct map jobs; // by jobdir_name; entries are removed by the thread alone
	bool welcome;	 // the runner has answered and will
	bool closing, stopping, stop_sent, work;
	char limits[PROTO_TEXT_MAX];

	// The thread's own.
	int conn;
	int64_t retry_ns, retry_ms, welcome_by_ns, look_ns;
};

static struct sandbox_driver *self(struct exec_driver *d)
{
	return (struct sandbox_driver *)d;
}

static void wake(struct sandbox_driver *d)
{
	uint64_t one = 1;
	ssize_t done = write(d->wake, &one, sizeof(one));

	(void)done; // full means awake
}

// Nobody needs to be told any more how it begins.
static void start_drop(struct job *j)
{
	for (uint32_t i = 0; j->start && i < proto_files(j->start); i++)
		close(j->files[i]);
	mem_free(j->files);
	mem_free(j->start);
	j->files = NULL;
	j->start = NULL;
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	start_drop(j);
	mem_free(j);
}

static struct job *job_new(const char *id, unsigned attempt)
{
	struct job *j = mem_zalloc(sizeof(*j));

	snprintf(j->id, sizeof(j->id), "%s", id);
	j->attempt = attempt;
	return j;
}

static int check_name(const char *id, unsigned attempt, char name[static JOBDIR_NAME_MAX],
		      struct err *e)
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

static int open_job(struct sandbox_driver *d, const char *name, struct err *e)
{
	return file_open(d->jobs_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
}

// From here on: the thread. Callbacks are made without the lock.

static enum exec_outcome outcome_of(uint32_t o)
{
	switch ((enum jobdir_outcome)o) {
	case JOBDIR_EXITED:
		return EXEC_EXITED;
	case JOBDIR_SIGNALED:
		return EXEC_SIGNALED;
	case JOBDIR_OOM:
		return EXEC_OOM;
	case JOBDIR_TIMEOUT:
		return EXEC_TIMEOUT;
	case JOBDIR_DISK:
		return EXEC_DISK;
	case JOBDIR_CANCELLED:
		return EXEC_CANCELLED;
	case JOBDIR_SETUP_FAILED:
		return EXEC_SETUP_FAILED;
	case JOBDIR_CHANGED:
		return EXEC_CHANGED;
	case JOBDIR_STOPPED:
	case JOBDIR_LOST:
		break;
	}
	return EXEC_LOST;
}

static void tell_started(struct sandbox_driver *d, struct job *j, int64_t wall_ns)
{
	if (j->told_started || !wall_ns)
		return;
	j->told_started = true;
	if (j->kept)
		kept_ready(&d->kept, j->id);
	else if (d->base.events.started)
		d->base.events.started(d->base.events.owner, j->id, j->attempt, wall_ns, d->node);
}

// The last that is heard of a job.
static void tell_ended(struct sandbox_driver *d, struct job *j, const struct jobdir_exit *x)
{
	struct exec_result r = {
		.outcome = outcome_of(x->outcome),
		.exit_code = x->exit_code,
		.signal = x->signal,
		.memory_peak_bytes = x->memory_peak_bytes,
		.cpu_us = x->cpu_us,
		.started_wall_ns = x->started_wall_ns,
		.ended_wall_ns = x->ended_wall_ns,
		.log_bytes_dropped = x->log_bytes_dropped,
	};
	char name[JOBDIR_NAME_MAX];
	struct err e = { 0 };
	bool stopped = x->outcome == JOBDIR_STOPPED;

	snprintf(r.reason, sizeof(r.reason), "%s", x->reason);
	snprintf(r.node, sizeof(r.node), "%s", d->node);
	{
		auto_lock held = lock_hold(&d->lock);

		map_remove(&d->jobs, span_of(jobdir_name(name, j->id, j->attempt)));
		pthread_cond_broadcast(&d->changed);
		// What close() stops is told to the next life, which adopts it.
		stopped = stopped && d->stopping;
	}
	if (j->kept) {
		if (kept_gone(&d->kept, j->id, x) && spares_give(&d->spares, name, &e) < 0)
			log_warn("exec", "%s: %s", name, e.msg);
		job_free(j);
		return;
	}
	tell_started(d, j, x->started_wall_ns);
	if (!stopped && d->base.events.ended)
		d->base.events.ended(d->base.events.owner, j->id, j->attempt, &r);
	job_free(j);
}

// Looks at the folder and tells what is to be told. False when nothing is known yet.
static bool look_at(struct sandbox_driver *d, struct job *j)
{
	struct jobdir_exit x = { 0 };
	enum jobdir_state state;
	struct err e = { 0 };
	char name[JOBDIR_NAME_MAX];
	int64_t started;

	if (j->called && !j->left)
		return false; // its connection tells
	if (j->left) {
		x = (struct jobdir_exit){ .outcome = JOBDIR_SIGNALED,
					  .signal = SIGKILL,
					  .ended_wall_ns = clock_wall_ns(),
					  .reason = "ended with the daemon that kept its sandbox" };
		tell_ended(d, j, &x);
		return true;
	}

	auto_fd int dir = open_job(d, jobdir_name(name, j->id, j->attempt), &e);

	if (dir < 0 || jobdir_look(dir, &state, &x, &started, &e) < 0) {
		if (e.code != ERR_NOT_FOUND && e.code != ERR_CORRUPT) {
			// Out of descriptors, or the disk hiccups: the job may well be fine.
			log_warn("exec", "job %s: %s", name, e.msg);
			j->doubt = true;
			return false;
		}
		x = (struct jobdir_exit){ .outcome = JOBDIR_LOST,
					  .ended_wall_ns = clock_wall_ns() };
		snprintf(x.reason, sizeof(x.reason), "lost: %.150s", e.msg);
		tell_ended(d, j, &x);
		return true;
	}
	switch (state) {
	case JOBDIR_ENDED:
		tell_ended(d, j, &x);
		return true;
	case JOBDIR_GONE:
		x = (struct jobdir_exit){ .outcome = JOBDIR_LOST,
					  .started_wall_ns = started,
					  .ended_wall_ns = clock_wall_ns() };
		snprintf(x.reason, sizeof(x.reason),
			 "lost: the machine restarted or the job's shim was killed");
		if (jobdir_exit_write(dir, &x, &e) < 0)
			log_warn("exec", "job %s: %s", name, e.msg);
		tell_ended(d, j, &x);
		return true;
	case JOBDIR_RUNNING:
		tell_started(d, j, started);
		break;
	case JOBDIR_NEW:
		break;
	}
	return false;
}

static void refused(struct sandbox_driver *d, struct job *j, const char *text)
{
	struct jobdir_exit x = { .outcome = JOBDIR_SETUP_FAILED, .ended_wall_ns = clock_wall_ns() };
	struct err e = { 0 };
	char name[JOBDIR_NAME_MAX];
	auto_fd int dir = open_job(d, jobdir_name(name, j->id, j->attempt), &e);

	snprintf(x.reason, sizeof(x.reason), "%.*s", EXEC_REASON_MAX - 1, text);
	if (dir < 0 || jobdir_exit_write(dir, &x, &e) < 0)
		log_warn("exec", "job %s: %s", name, e.msg);
	tell_ended(d, j, &x);
}

static void disconnect(struct sandbox_driver *d)
{
	size_t at = 0;
	void *value;
	auto_lock held = lock_hold(&d->lock);

	file_close(d->conn);
	d->conn = -1;
	d->welcome = d->stop_sent = false;
	pthread_cond_broadcast(&d->changed);
	// What was sent may or may not have been read; the runner takes it twice without harm.
	while (map_next(&d->jobs, &at, NULL, &value)) {
		struct job *j = value;

		j->send_start = j->start;
		j->look = true;
	}
}

static bool send_packet(struct sandbox_driver *d, const void *p, size_t n)
{
	return wire_send(d->conn, p, n, NULL, 0);
}

// A respawn may take a while and is made without the lock.
static void try_connect(struct sandbox_driver *d)
{
	struct proto_plain hello = { .head = proto_head(PROTO_HELLO) };
	struct err e = { 0 };
	int64_t now = clock_mono_ns();

	if (now < d->retry_ns)
		return;
	d->conn = runner_connect(d->data_dir, &e);
	if (d->conn < 0 && d->respawn && d->respawn(d->respawn_owner, &e) == 0)
		d->conn = runner_connect(d->data_dir, &e);
	if (d->conn >= 0 && send_packet(d, &hello, sizeof(hello))) {
		d->welcome_by_ns = now + WELCOME_MS * NS_PER_MS;
		return;
	}
	file_close(d->conn);
	d->conn = -1;
	d->retry_ms = d->retry_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : d->retry_ms * 2;
	d->retry_ns = clock_mono_ns() + d->retry_ms * NS_PER_MS;
}

static struct job *find(struct sandbox_driver *d, const char *name)
{
	auto_lock held = lock_hold(&d->lock);

	return map_get(&d->jobs, span_of(name));
}

static int on_about(struct sandbox_driver *d, const struct proto_about *m, size_t n, struct err *e)
{
	char name[JOBDIR_NAME_MAX];
	struct job *j;

	if (proto_check_about(m, n, e) < 0)
		return -1;
	j = find(d, jobdir_name(name, m->job, m->attempt));
	if (!j)
		return 0;
	{
		auto_lock held = lock_hold(&d->lock);

		start_drop(j);
	}
	if (m->head.kind == PROTO_STARTED)
		tell_started(d, j, m->wall_ns);
	else if (m->head.kind == PROTO_REFUSED)
		refused(d, j, m->text);
	else if (!look_at(d, j))
		j->doubt = true;
	return 0;
}

static int on_message(struct sandbox_driver *d, void *packet, size_t n, struct err *e)
{
	struct proto_head *h = packet;

	if (proto_check_head(packet, n, e) < 0)
		return -1;
	switch (h->kind) {
	case PROTO_WELCOME: {
		struct proto_welcome *w = packet;

		if (proto_check_welcome(w, n, e) < 0)
			return -1;
		auto_lock held = lock_hold(&d->lock);

		memcpy(d->limits, w->limits, sizeof(d->limits));
		d->welcome = true;
		d->retry_ms = RETRY_FIRST_MS;
		d->look_ns = 0;
		pthread_cond_broadcast(&d->changed);
		return 0;
	}
	case PROTO_STARTED:
	case PROTO_ENDED:
	case PROTO_REFUSED:
		return on_about(d, packet, n, e);
	default:
		return err_set(e, ERR_PROTOCOL, "message of unknown kind %u", h->kind);
	}
}

static void on_readable(struct sandbox_driver *d)
{
	_Alignas(8) char packet[2048];
	struct err e = { 0 };

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		ssize_t n = recv(d->conn, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0 && (size_t)n > sizeof(packet))
			err_set(&e, ERR_PROTOCOL, "message of %zd bytes", n);
		else if (n > 0 && on_message(d, packet, (size_t)n, &e) == 0)
			continue;
		log_warn("exec", "runner: %s", n > 0 ? e.msg : "closed the connection");
		d->retry_ns = clock_mono_ns() + d->retry_ms * NS_PER_MS;
		disconnect(d);
		return;
	}
}

static bool send_cancel(struct sandbox_driver *d, const struct job *j)
{
	struct proto_about m = { .head = proto_head(PROTO_CANCEL), .attempt = j->attempt };

	memcpy(m.job, j->id, sizeof(m.job));
	return send_packet(d, &m, sizeof(m));
}

// Sends what waits. True when something could not be sent yet. Sending does not block, so the lock is held.
static bool send_waiting(struct sandbox_driver *d)
{
	size_t at = 0;
	void *value;
	auto_lock held = lock_hold(&d->lock);

	if (!d->welcome || !d->work)
		return false;
	while (map_next(&d->jobs, &at, NULL, &value)) {
		struct job *j = value;

		if (j->send_start &&
		    !wire_send(d->conn, j->start, j->start_size, j->files, proto_files(j->start)))
			return true;
		j->send_start = false;
		if (j->send_cancel && !send_cancel(d, j))
			return true;
		j->send_cancel = false;
	}
	if (d->stopping && !d->stop_sent) {
		struct proto_plain m = { .head = proto_head(PROTO_STOP_ALL) };

		d->stop_sent = send_packet(d, &m, sizeof(m));
		if (!d->stop_sent)
			return true;
		pthread_cond_broadcast(&d->changed);
	}
	d->work = false;
	return false;
}

// Without a runner nobody tells of an end, so all folders are looked at; with one, only the doubtful.
static bool look_around(struct sandbox_driver *d)
{
	int64_t now = clock_mono_ns();
	bool any = false, welcome;
	size_t at = 0, n = 0;
	void *value;
	auto_free struct job **list = NULL;

	if (now < d->look_ns)
		return true;
	{
		auto_lock held = lock_hold(&d->lock);

		welcome = d->welcome;
		list = mem_alloc((d->jobs.count + 1) * sizeof(struct job *));
		while (map_next(&d->jobs, &at, NULL, &value)) {
			struct job *j = value;

			if (j->look || j->doubt || !welcome)
				list[n++] = j;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct job *j = list[i];

		if (look_at(d, j))
			continue;
		// A runner that is there knows of every running shim and will tell of its end.
		j->look = false;
		any = any || !welcome || j->doubt;
	}
	d->look_ns = now + LOOK_MS * NS_PER_MS;
	return any;
}

static void kept_started(void *owner, const char *name, int64_t wall_ns)
{
	struct job *j = find(owner, name);

	if (j)
		tell_started(owner, j, wall_ns);
}

static void kept_ended(void *owner, const char *name, const struct jobdir_exit *x)
{
	struct job *j = find(owner, name);

	if (j)
		tell_ended(owner, j, x);
}

// Those that were idle for long enough, or shall serve no more.
static void end_kept(struct sandbox_driver *d)
{
	char id[PROTO_JOB_MAX], name[JOBDIR_NAME_MAX];

	while (kept_ending(&d->kept, id)) {
		auto_lock held = lock_hold(&d->lock);
		struct job *j = map_get(&d->jobs, span_of(jobdir_name(name, id, 1)));

		if (j)
			j->send_cancel = d->work = true;
	}
}

static int wait_ms(struct sandbox_driver *d, bool watching)
{
	int64_t now = clock_mono_ns(), least = INT64_C(60) * NS_PER_S, due = kept_due(&d->kept);

	if (due && due - now < least)
		least = due - now;
	if (d->conn < 0 && d->retry_ns - now < least)
		least = d->retry_ns - now;
	if (watching && d->look_ns - now < least)
		least = d->look_ns - now;
	return least <= 0 ? 0 : (int)(least / NS_PER_MS) + 1;
}

static void *serve(void *arg)
{
	struct sandbox_driver *d = arg;

	for (;;) {
		struct pollfd p[2 + KEPT_MAX] = { { d->wake, POLLIN, 0 } };
		bool behind, watching;
		uint64_t drop;
		size_t n;

		{
			auto_lock held = lock_hold(&d->lock);

			if (d->closing)
				return NULL;
		}
		if (d->conn < 0)
			try_connect(d);
		if (d->conn >= 0 && !d->welcome && clock_mono_ns() > d->welcome_by_ns)
			disconnect(d);
		end_kept(d);
		behind = d->conn >= 0 && send_waiting(d);
		watching = look_around(d);
		p[1] = (struct pollfd){ d->conn, (short)(POLLIN | (behind ? POLLOUT : 0)), 0 };
		n = kept_poll(&d->kept, p + 2);
		poll(p, 2 + n, d->conn >= 0 && !d->welcome ? LOOK_MS : wait_ms(d, watching));
		if (p[0].revents && read(d->wake, &drop, sizeof(drop)) < 0 && errno != EAGAIN)
			return NULL;
		if (p[1].revents & (POLLIN | POLLHUP | POLLERR))
			on_readable(d);
		kept_turn(&d->kept, p + 2, n);
	}
}

// From here on: operations, from any thread.

static int submit(struct sandbox_driver *d, const struct exec_spec *s, const char *name,
		  struct err *e)
{
	struct proto_start *start;
	struct job *j;
	size_t size;
	int *files;

	if (files_message(s, &start, &size, &files, e) < 0)
		return -1;
	j = job_new(s->job, s->attempt);
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
			job_free(j);
			return -1;
		}
	}
	if (files_make(&d->spares, name, s, e) < 0) {
		job_free(j);
		return -1;
	}
	{
		auto_lock held = lock_hold(&d->lock);

		j->send_start = d->work = true;
		map_put(&d->jobs, span_of(name), j);
	}
	wake(d);
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
	j = job_new(s->job, s->attempt);
	j->called = true;
	pthread_mutex_lock(&d->lock);
	map_put(&d->jobs, span_of(name), j);
	served = kept_send(&d->kept, name);
	if (!served) // its end was not told, for nobody had known of it
		map_remove(&d->jobs, span_of(name));
	pthread_mutex_unlock(&d->lock);
	if (!served) {
		job_free(j);
		drop_kept(d, name);
	}
	wake(d);
	return served;
}

static int sandbox_submit(struct exec_driver *base, const struct exec_spec *s, struct err *e)
{
	struct sandbox_driver *d = self(base);
	struct exec_spec single = *s;
	char name[JOBDIR_NAME_MAX];

	if (check_name(s->job, s->attempt, name, e) < 0)
		return -1;
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

static void sandbox_retire(struct exec_driver *base, int64_t service)
{
	struct sandbox_driver *d = self(base);

	kept_retire(&d->kept, service);
	wake(d);
}

static int sandbox_cancel(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	struct sandbox_driver *d = self(base);
	char name[JOBDIR_NAME_MAX];
	struct err unused = { 0 };
	bool welcome;

	if (check_name(id, attempt, name, e) < 0)
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
		welcome = d->welcome || j->called;
	}
	wake(d);
	if (!welcome) { // the shim listens also without its runner
		auto_fd int dir = open_job(d, name, &unused);

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

	if (check_name(id, attempt, name, e) < 0)
		return -1;
	{
		auto_lock held = lock_hold(&d->lock);

		welcome = d->welcome;
		if (map_get(&d->jobs, span_of(name)))
			return 0;
	}
	dir = open_job(d, name, e);
	if (dir < 0 && e->code == ERR_NOT_FOUND && kept_served(&d->kept, name)) {
		auto_lock held = lock_hold(&d->lock);
		struct job *j = job_new(id, attempt);

		j->called = j->left = j->look = true;
		map_put(&d->jobs, span_of(name), j);
		wake(d);
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
		struct job *j = job_new(id, attempt);

		j->look = true;
		if (map_get(&d->jobs, span_of(name)))
			job_free(j);
		else
			map_put(&d->jobs, span_of(name), j);
	}
	wake(d);
	return 0;
}

static int open_below(struct exec_driver *base, const char *id, unsigned attempt, const char *path,
		      int flags, struct err *e)
{
	char name[JOBDIR_NAME_MAX];
	auto_fd int dir = -1;
	int got;

	if (check_name(id, attempt, name, e) < 0)
		return -1;
	got = kept_open(&self(base)->kept, name, path, flags);
	if (got >= 0)
		return got;
	dir = open_job(self(base), name, e);
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

static int sandbox_forget(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	struct sandbox_driver *d = self(base);
	char name[JOBDIR_NAME_MAX], folder[JOBDIR_NAME_MAX];

	if (check_name(id, attempt, name, e) < 0)
		return -1;
	{
		auto_lock held = lock_hold(&d->lock);

		if (map_get(&d->jobs, span_of(name)))
			return err_set(e, ERR_CONFLICT, "job %s has not ended", name);
	}
	if (kept_forget(&d->kept, name, folder)) {
		wake(d); // it may have to end
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
		auto_fd int dir = open_job(d, names[i], &e);

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
		wake(d);
		// With a runner the order goes out in any case: it also stops jobs that this life never
		// heard of.
		while ((d->jobs.count || (d->welcome && !d->stop_sent)) &&
		       lock_wait(&d->changed, &d->lock, by))
			;
	}
	d->closing = true;
	pthread_mutex_unlock(&d->lock);
	wake(d);
	pthread_join(d->thread, NULL);
	while (map_next(&d->jobs, &at, NULL, &value))
		job_free(value);
	map_release(&d->jobs);
	file_close(d->conn);
	file_close(d->wake);
	kept_release(&d->kept);
	spares_release(&d->spares);
	file_close(d->jobs_dir);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	mem_free(d->data_dir);
	mem_free(d->node);
	mem_free(d);
}

static const struct exec_ops ops = {
	.name = "sandbox",
	.submit = sandbox_submit,
	.cancel = sandbox_cancel,
	.adopt = sandbox_adopt,
	.open_output = sandbox_open_output,
	.open_log = sandbox_open_log,
	.forget = sandbox_forget,
	.list = sandbox_list,
	.retire = sandbox_retire,
	.capacity = sandbox_capacity,
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
	d->base = (struct exec_driver){ &ops, *ev };
	d->data_dir = mem_strdup(o->data_dir);
	if (uname(&host) < 0)
		host.nodename[0] = '\0';
	d->node = mem_strndup(host.nodename, strnlen(host.nodename, EXEC_NODE_MAX - 1));
	d->jobs_dir = file_take(&jobs);
	spares_init(&d->spares, d->jobs_dir);
	d->kept = (struct kept_pool){ .owner = d, .started = kept_started, .ended = kept_ended };
	kept_init(&d->kept, d->jobs_dir);
	d->wake = file_take(&event);
	d->jobs_max = o->jobs_max ? o->jobs_max : DEFAULT_JOBS_MAX;
	d->respawn = o->respawn;
	d->respawn_owner = o->respawn_owner;
	d->conn = -1;
	d->retry_ms = RETRY_FIRST_MS;
	pthread_mutex_init(&d->lock, NULL);
	lock_cond_init(&d->changed);
	lock_thread_start(&d->thread, "exec-sandbox", serve, d);
	pthread_mutex_lock(&d->lock);
	while (!d->welcome && lock_wait(&d->changed, &d->lock, by))
		;
	pthread_mutex_unlock(&d->lock);
	*out = &d->base;
	return 0;
}
