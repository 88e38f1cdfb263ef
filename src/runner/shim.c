// SPDX-License-Identifier: Apache-2.0
#include "runner/shimbox.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/bind.h"
#include "runner/door.h"
#include "runner/joblog.h"
#include "runner/output.h"
#include "runner/sys.h"
#include "runner/warm.h"

#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum {
	OUTPUT_LOOK_MS = 250,
	READ_ROUNDS = 16,
	CGROUP_TRIES = 200,
	STOP_GRACE_MS = 5000,
	CANCEL_GRACE_MS = 1500, // who cancels waits for it
	SETUP_MS = 60000
};
static const uint64_t default_log = UINT64_C(1) << 20;

enum { FD_OUT, FD_ERR, FD_REPORT, FD_INIT, FD_CTL, FD_LISTEN, FD_DAEMON, FD_PROGRESS, FD_COUNT };

static int64_t ms(int64_t n)
{
	return n * NS_PER_MS;
}

// A line of ours in the job's log. The log is there for people: failing to write it ends nothing.
void shim_say(struct shim *s, const char *text)
{
	struct err e = { 0 };

	if (joblog_append(s->log, JOBLOG_SYSTEM, text, strlen(text), &e) < 0)
		s->log_full = true;
}

static void kill_now(struct shim *s)
{
	if (!s->killed)
		sys_pidfd_signal(s->box.pidfd, SIGKILL);
	shim_thaw(s); // frozen it would not die; after the signal, so that it does nothing else
	s->killed = true;
	s->kill_ns = 0;
}

void shim_end(struct shim *s, enum jobdir_outcome why, int64_t grace_ms, const char *text)
{
	if (s->ending || s->reaped)
		return;
	s->ending = why;
	s->deadline_ns = 0;
	snprintf(s->exit.reason, sizeof(s->exit.reason), "%s", text);
	if (grace_ms <= 0) {
		kill_now(s);
		return;
	}
	sys_pidfd_signal(s->box.pidfd, SIGTERM);
	shim_thaw(s);
	s->kill_ns = clock_mono_ns() + ms(grace_ms);
}

// A server's log begins anew when it is full: what it printed last is what people look for.
static void begin_anew(struct shim *s)
{
	if (ftruncate(s->log, 0) < 0)
		return;
	shim_log_begin(s);
	shim_say(s, "the log was full: what stood here was dropped\n");
}

// Keeps what fits, counts the rest. The job never waits for the log.
static void keep(struct shim *s, enum joblog_stream stream, const char *p, size_t n)
{
	struct err e = { 0 };
	size_t fits;

	if (n > s->log_left && s->job->start->port && !s->log_full)
		begin_anew(s);
	fits = s->log_full ? 0 : n < s->log_left ? n : (size_t)s->log_left;
	if (fits && joblog_append(s->log, stream, p, fits, &e) < 0) {
		s->log_full = true; // no space: the job's outputs will tell of it too
		fits = 0;
	}
	s->log_left -= fits;
	s->exit.log_bytes_dropped += n - fits;
	if (fits < n && !s->log_full) {
		s->log_full = true;
		shim_say(s, "log limit reached, the rest is dropped\n");
	}
}

void shim_log_begin(struct shim *s)
{
	const struct proto_start *m = s->job->start;

	s->log_left = m->log_bytes_max ? m->log_bytes_max : default_log;
	s->log_full = false;
}

bool shim_drain(struct shim *s, int fd, bool is_err)
{
	const enum joblog_stream stream = is_err ? JOBLOG_STDERR : JOBLOG_STDOUT;
	char p[JOBLOG_RECORD_MAX];

	for (int i = 0; i < READ_ROUNDS; i++) {
		// Nobody will see it: the kernel moves the pages to /dev/null without a copy.
		ssize_t n = s->log_full && s->null >= 0
				    ? splice(fd, NULL, s->null, NULL, 1 << 20, SPLICE_F_NONBLOCK)
				    : read(fd, p, sizeof(p));

		if (n == 0)
			return false;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (s->log_full && s->null >= 0)
			s->exit.log_bytes_dropped += (uint64_t)n;
		else
			keep(s, stream, p, (size_t)n);
	}
	return true;
}

void shim_note(const struct shim *s, int64_t wall_ns)
{
	const struct shim_note note = { .shim = getpid(), .started_wall_ns = wall_ns };
	ssize_t done = write(s->job->notify, &note, sizeof(note));

	(void)done; // the runner may be gone
}

void shim_note_start(struct shim *s, int64_t wall_ns)
{
	struct err e = { 0 };

	if (jobdir_alive_write(s->job->alive, wall_ns, &e) < 0)
		log_warn("shim", "%s", e.msg);
	shim_note(s, wall_ns);
}

static void over_memory(struct shim *s)
{
	char text[JOBDIR_REASON_MAX];

	snprintf(text, sizeof(text), "killed: over the memory limit of %llu MiB",
		 (unsigned long long)(s->job->start->memory_bytes >> 20));
	shim_end(s, JOBDIR_OOM, 0, text);
}

// Text from inside goes into logs and answers: printable bytes only.
static void copy_text(char *out, size_t max, const char *in, size_t n)
{
	size_t k = 0;

	for (; k < n && k + 1 < max && in[k]; k++)
		out[k] = in[k] >= ' ' && in[k] != 0x7f ? in[k] : '?';
	out[k] = '\0';
}

bool shim_take_report(struct shim *s)
{
	const int64_t timeout_ms = s->job->start->timeout_ms;
	struct sandbox_report r;
	ssize_t n = read(s->box.report, &r, sizeof(r));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n != sizeof(r))
		return false;
	switch (r.kind) {
	case REPORT_FAILED:
		if (s->exit.started_wall_ns || s->ending)
			break;
		s->ending = JOBDIR_SETUP_FAILED;
		copy_text(s->exit.reason, sizeof(s->exit.reason), r.text, sizeof(r.text));
		break;
	case REPORT_STARTED:
		if (s->exit.started_wall_ns)
			break;
		s->exit.started_wall_ns = r.wall_ns;
		s->deadline_ns = timeout_ms ? clock_mono_ns() + ms(timeout_ms) : 0;
		s->started(s);
		break;
	case REPORT_READY:
		s->ready = true;
		break;
	case REPORT_ENDED:
		s->reported = true;
		s->status = r.status;
		s->exit.ended_wall_ns = r.wall_ns;
		break;
	case REPORT_OVER_MEMORY:
		over_memory(s);
		break;
	}
	return true;
}

void shim_cancel(struct shim *s)
{
	const int64_t grace = s->job->start->grace_ms;

	shim_end(s, JOBDIR_CANCELLED, grace < CANCEL_GRACE_MS ? grace : CANCEL_GRACE_MS,
		 "cancelled");
}

void shim_take_orders(struct shim *s)
{
	const int64_t grace = s->job->start->grace_ms;
	char c;

	while (read(s->job->ctl, &c, 1) == 1)
		if (c == JOBDIR_CANCEL)
			shim_cancel(s);
		else if (c == JOBDIR_STOP)
			shim_end(s, JOBDIR_STOPPED, grace < STOP_GRACE_MS ? grace : STOP_GRACE_MS,
				 "stopped with the daemon");
		else if (c == JOBDIR_GO)
			s->go = true;
}

// True when the output is within its allowance.
bool shim_look_at_output(struct shim *s)
{
	const uint64_t max = s->job->start->output_bytes_max;
	const int64_t began = clock_mono_ns();
	char text[JOBDIR_REASON_MAX];
	struct output_size size;
	int64_t took, pause = ms(OUTPUT_LOOK_MS);

	if (!max || s->output < 0)
		return true;
	output_measure(s->output, max, &size);
	took = clock_mono_ns() - began;
	// A great many files: looking must not become the main work.
	s->look_ns = began + took + (took * 20 > pause ? took * 20 : pause);
	if (size.bytes <= max && size.entries < OUTPUT_ENTRIES_MAX && !size.too_deep)
		return true;
	if (size.entries >= OUTPUT_ENTRIES_MAX)
		snprintf(text, sizeof(text), "killed: more than %d files in the output folder",
			 OUTPUT_ENTRIES_MAX);
	else if (size.too_deep)
		snprintf(text, sizeof(text), "killed: output folders nested more than %d deep",
			 OUTPUT_DEPTH_MAX);
	else if (max >= 1 << 20)
		snprintf(text, sizeof(text), "killed: over the output limit of %llu MiB",
			 (unsigned long long)(max >> 20));
	else
		snprintf(text, sizeof(text), "killed: over the output limit of %llu bytes",
			 (unsigned long long)max);
	if (s->reaped) { // found at the last look
		s->ending = JOBDIR_DISK;
		snprintf(s->exit.reason, sizeof(s->exit.reason), "%s", text);
	} else {
		shim_end(s, JOBDIR_DISK, 0, text);
	}
	return false;
}

void shim_watch_output(struct shim *s)
{
	s->look_ns = s->job->start->output_bytes_max ? clock_mono_ns() + ms(OUTPUT_LOOK_MS) : 0;
}

int shim_wait_ms(const struct shim *s)
{
	const int64_t now = clock_mono_ns();
	const int64_t at[] = { s->deadline_ns, s->kill_ns, s->look_ns, s->door_ns, s->progress_ns };
	int64_t least = INT64_C(3600000000000);

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		if (at[i] && at[i] - now < least)
			least = at[i] - now;
	return least <= 0 ? 0 : (int)(least / NS_PER_MS) + 1;
}

void shim_keep_time(struct shim *s)
{
	const int64_t now = clock_mono_ns();
	const struct proto_start *m = s->job->start;
	char text[JOBDIR_REASON_MAX];

	if (s->deadline_ns && now >= s->deadline_ns && !s->exit.started_wall_ns) {
		shim_end(s, JOBDIR_SETUP_FAILED, 0, "the sandbox took too long to be made");
	} else if (s->deadline_ns && now >= s->deadline_ns) {
		snprintf(text, sizeof(text), "killed: over the time limit of %lld.%03lld s",
			 (long long)(m->timeout_ms / 1000), (long long)(m->timeout_ms % 1000));
		shim_end(s, JOBDIR_TIMEOUT, m->grace_ms, text);
	}
	if (s->kill_ns && now >= s->kill_ns)
		kill_now(s);
	if (s->look_ns && now >= s->look_ns && !s->ending)
		shim_look_at_output(s);
}

void shim_reap(struct shim *s)
{
	int status;

	if (wait4(s->box.pid, &status, 0, &s->used) == s->box.pid)
		s->reaped = true;
}

// Until pid 1 is dead, which means that everything in the sandbox is, and every stream was read to its end.
static void serve(struct shim *s, int listener)
{
	struct pollfd p[FD_COUNT] = {
		[FD_OUT] = { s->box.out, POLLIN, 0 },
		[FD_ERR] = { s->box.err, POLLIN, 0 },
		[FD_REPORT] = { s->box.report, POLLIN, 0 },
		[FD_INIT] = { s->box.pidfd, POLLIN, 0 },
		[FD_CTL] = { s->job->ctl, POLLIN, 0 },
		[FD_LISTEN] = { listener, POLLIN, 0 },
		[FD_DAEMON] = { -1, POLLIN, 0 },
		[FD_PROGRESS] = { s->progress, POLLIN, 0 },
	};

	while (!s->reaped || p[FD_OUT].fd >= 0 || p[FD_ERR].fd >= 0 || p[FD_REPORT].fd >= 0) {
		if (s->reaped)
			s->look_ns = s->kill_ns = s->deadline_ns = s->door_ns = s->progress_ns = 0;
		if (poll(p, FD_COUNT, shim_wait_ms(s)) < 0 && errno != EINTR)
			break;
		if (p[FD_REPORT].revents && !shim_take_report(s))
			p[FD_REPORT].fd = -1;
		if (p[FD_OUT].revents && !shim_drain(s, s->box.out, false))
			p[FD_OUT].fd = -1;
		if (p[FD_ERR].revents && !shim_drain(s, s->box.err, true))
			p[FD_ERR].fd = -1;
		if (p[FD_CTL].revents)
			shim_take_orders(s);
		shim_progress_turn(s, &p[FD_PROGRESS]);
		if (p[FD_INIT].revents) {
			shim_reap(s);
			p[FD_INIT].fd = -1;
		}
		if (!s->reaped)
			shim_keep_time(s);
		if (!s->reaped)
			shim_door_turn(s, &p[FD_LISTEN], &p[FD_DAEMON]);
	}
	shim_progress_rest(s);
}

// What a script made of a file that changed under it is made of neither version.
static void look_at_inputs(struct shim *s)
{
	const struct proto_start *m = s->job->start;
	const int *file = s->job->files;
	const bool ran = s->exit.started_wall_ns;

	if (ran ? s->exit.outcome != JOBDIR_EXITED && s->exit.outcome != JOBDIR_SIGNALED
		: s->exit.outcome != JOBDIR_SETUP_FAILED)
		return;
	for (uint32_t i = 0; i < m->input_count; i++) {
		const struct proto_input *in = &m->input[i];

		if (in->content[0])
			continue;
		if (s->sandbox.copied >> i & 1 ||
		    (ran ? bind_unchanged(*file, in) : !bind_nameless(*file))) {
			file++;
			continue;
		}
		s->exit.outcome = JOBDIR_CHANGED;
		snprintf(s->exit.reason, sizeof(s->exit.reason), "the input %.120s %s", in->name,
			 ran ? "changed while the job ran" : "was removed before the job began");
		return;
	}
}

// Groups that cannot serve again go once the kernel has let go of the dead; the runner or the next one sweeps what
// stays.
static enum shim_status leave_group(struct shim *s)
{
	const struct timespec pause = { 0, 2 * NS_PER_MS };
	const struct cgroup_base *base = &s->job->world->cgroups;

	if (cgroup_job_reset(base, s->job->group))
		return SHIM_CLEAN;
	for (int i = 0; i < CGROUP_TRIES && !cgroup_remove(base, s->job->group->name); i++)
		nanosleep(&pause, NULL);
	return SHIM_GROUP_REMOVED;
}

static int open_files(struct shim *s, struct err *e)
{
	const struct shim_job *j = s->job;
	struct stat st;

	s->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	s->record = jobdir_exit_reserve(j->jobdir, e);
	if (s->record < 0)
		return -1;
	s->log = sys_open_beneath(j->jobdir, "log", O_WRONLY | O_APPEND | O_NONBLOCK, 0);
	if (s->log < 0 || fstat(s->log, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != j->world->owner)
		return err_set(e, ERR_INVALID, "the job's log cannot be opened");
	s->output = sys_open_beneath(j->jobdir, "oscar/output", O_RDONLY | O_DIRECTORY, 0);
	if (s->output < 0)
		return err_sys(e, ERR_IO, errno, "open the output folder");
	return shim_progress_open(s, e);
}

static void run(struct shim *s)
{
	struct cgroup_usage counted = { 0 };
	const struct proto_start *m = s->job->start;
	struct err e = { 0 };
	auto_fd int listener = -1;

	if (open_files(s, &e) < 0 ||
	    ((m->warm || m->port || m->shell) &&
	     (listener = shim_listen(s, m->warm ? WARM_SOCKET : DOOR_SOCKET, &e)) < 0) ||
	    (m->network == PROTO_NETWORK_NAT && nat_start(&s->nat, s->job->net, &e) < 0) ||
	    sandbox_start(&s->sandbox, s->job->jobdir, &s->box, &e) < 0) {
		if (s->box.pidfd >= 0) {
			kill_now(s);
			shim_reap(s);
		}
		s->exit.outcome = e.code == ERR_CONFLICT ? JOBDIR_CHANGED : JOBDIR_SETUP_FAILED;
		snprintf(s->exit.reason, sizeof(s->exit.reason), "%.*s", JOBDIR_REASON_MAX - 1,
			 e.msg);
		return;
	}
	sandbox_release(&s->sandbox);
	s->deadline_ns = clock_mono_ns() + ms(SETUP_MS);
	if (m->warm) {
		warm_serve(s, listener);
		return;
	}
	if (m->port || m->shell)
		s->door_ns = s->deadline_ns;
	if (!m->ahead || shim_await_job(s)) {
		shim_watch_output(s);
		serve(s, listener);
	}
	shim_conclude(s, &counted);
	look_at_inputs(s);
}

static void job_started(struct shim *s)
{
	shim_note_start(s, s->exit.started_wall_ns);
}

no_return void shim_run(const struct shim_job *j)
{
	static const struct sandbox_parent none = { -1, -1, -1, -1, -1, -1 };
	struct shim s = { .job = j,
			  .box = none,
			  .log = -1,
			  .output = -1,
			  .null = -1,
			  .record = -1,
			  .progress = -1 };
	enum shim_status status;
	struct err e = { 0 };

	prctl(PR_SET_NAME, "oscar-shim", 0, 0, 0);
	setsid();
	s.started = job_started;
	shim_log_begin(&s);
	sandbox_init(&s.sandbox, j->world, j->start, j->files, j->net, j->group);
	run(&s);
	nat_stop(&s.nat);
	status = leave_group(&s);
	if (!s.exit.ended_wall_ns)
		s.exit.ended_wall_ns = clock_wall_ns();
	if (s.record < 0 ? jobdir_exit_write(j->jobdir, &s.exit, &e) < 0
			 : jobdir_exit_finish(j->jobdir, s.record, &s.exit, &e) < 0)
		log_error("shim", "job %s.%u: %s", j->start->job, j->start->attempt, e.msg);
	_exit(status);
}
