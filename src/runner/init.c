// SPDX-License-Identifier: Apache-2.0
// pid 1 of the sandbox. It has no rights left; it starts the script, passes a request to end on to it, reaps
// whatever is orphaned, and leaves when the script has ended, which ends everything else in the namespace.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/sandbox.h"
#include "runner/sys.h"
#include "runner/warm.h"

#include <dirent.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

enum { WATCH_MS = 100, FILES_SOFT = 1024 };

static void limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return;
	l.rlim_max = hard < l.rlim_max ? hard : l.rlim_max;
	l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
	// It can only be lowered, which always succeeds.
	if (setrlimit(what, &l) < 0)
		_exit(126);
}

// A single file cannot outgrow what output and scratch may hold: that holds between two looks at the output.
static void limit_script(const struct sandbox *s)
{
	const struct proto_start *m = s->start;
	uint64_t file = m->output_bytes_max > m->scratch_bytes_max ? m->output_bytes_max
								   : m->scratch_bytes_max;

	limit(RLIMIT_CORE, 0, 0);
	limit(RLIMIT_NOFILE, FILES_SOFT, 1 << 20);
	limit(RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
	if (m->output_bytes_max)
		limit(RLIMIT_FSIZE, file + 4096, file + 4096);
}

// The first victims when the machine runs out of memory are jobs, not the daemon.
static void volunteer(void)
{
	auto_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t done = fd < 0 ? 0 : write(fd, "300", 3);

	(void)done; // lower than it is now: then it stays
}

// The root is the image's by now, so any name is one inside it. What is not there or no folder leaves /tmp.
static int enter_workdir(const struct sandbox *s)
{
	const char *dir = s->start->workdir;

	return !dir[0] || chdir(dir) == 0 || errno == ENOENT || errno == ENOTDIR ||
			       errno == EACCES || errno == ELOOP
		       ? 0
		       : -1;
}

static no_return void script_run(const struct sandbox *s, int failed)
{
	const bool shell = s->start->shell;
	char *const argv[] = {
		(char *)"/bin/sh",
		(char *)(shell ? "/oscar/shell/start.sh" : "/oscar/config/script.sh"), NULL
	};
	char **env = s->env_file < 0 ? s->env : init_read_env(s->env_file);
	sigset_t none;
	int sys;

	if (!env)
		goto fail;
	sigemptyset(&none);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	volunteer();
	limit_script(s);
	if (setsid() < 0 || dup2(s->std[0], 0) < 0 || dup2(s->std[1], 1) < 0 ||
	    dup2(s->std[2], 2) < 0 || chdir("/tmp") < 0 || enter_workdir(s) < 0 ||
	    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		goto fail;
	if (shell && isatty(0) && ioctl(0, TIOCSCTTY, 0) < 0)
		goto fail;
	sys_signals_default();
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, env);
fail:
	sys = errno;
	ssize_t done = write(failed, &sys, sizeof(sys));

	(void)done;
	_exit(127);
}

// Without a cpu control group: as many cores as the limit rounds up to, beginning anywhere, so that jobs do not
// all sit on the first.
static void limit_cores(const struct sandbox *s)
{
	unsigned want = (s->start->cpu_millis + 999) / 1000, total, skip, got = 0;
	cpu_set_t all, mine;

	CPU_ZERO(&mine);
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	total = (unsigned)CPU_COUNT(&all);
	if (want >= total)
		return;
	skip = (unsigned)(clock_mono_ns() / NS_PER_US % total);
	for (int i = 0; got < want; i = (i + 1) % CPU_SETSIZE) {
		if (!CPU_ISSET(i, &all))
			continue;
		if (skip) {
			skip--;
			continue;
		}
		CPU_SET(i, &mine);
		got++;
	}
	sched_setaffinity(0, sizeof(mine), &mine);
}

static uint64_t resident_bytes(const char *pid)
{
	char path[64], text[128];
	unsigned long long size, resident;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.16s/statm", pid);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "%llu %llu", &size, &resident) == 2
		       ? resident * (uint64_t)sysconf(_SC_PAGESIZE)
		       : 0;
}

// Where no control group counts: everything resident in this pid namespace, and what lies in /tmp.
static bool over_memory(const struct sandbox *s)
{
	DIR *list = opendir("/proc");
	struct statvfs tmp;
	struct dirent *d;
	uint64_t sum = 0;

	if (!list)
		return false;
	while ((d = readdir(list)))
		if (d->d_name[0] >= '2' && d->d_name[0] <= '9')
			sum += resident_bytes(d->d_name);
		else if (d->d_name[0] == '1' && d->d_name[1])
			sum += resident_bytes(d->d_name);
	closedir(list);
	if (statvfs("/tmp", &tmp) == 0)
		sum += (uint64_t)(tmp.f_blocks - tmp.f_bfree) * tmp.f_frsize;
	return sum > s->start->memory_bytes;
}

// True when the script was among those that ended, which is reported.
static bool reap(const struct sandbox *s, pid_t script)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == script) {
			struct sandbox_report r = { .kind = REPORT_ENDED,
						    .status = status,
						    .wall_ns = clock_wall_ns() };

			inside_report(s, &r);
			return true;
		}
	return false;
}

// Until the script has ended.
static void serve(const struct sandbox *s, pid_t script, const sigset_t *set)
{
	const struct timespec tick = { 0, WATCH_MS * NS_PER_MS };

	for (;;) {
		siginfo_t info;
		int got =
			s->watch_memory ? sigtimedwait(set, &info, &tick) : sigwaitinfo(set, &info);

		// Only a request from outside the namespace has no sender in it.
		if (got == SIGTERM && info.si_pid == 0)
			kill(-script, SIGTERM);
		if (s->watch_memory && over_memory(s)) {
			struct sandbox_report r = { .kind = REPORT_OVER_MEMORY };

			inside_report(s, &r);
			_exit(0);
		}
		if (reap(s, script))
			return;
	}
}

static no_return void fail(const struct sandbox *s, int sys)
{
	struct sandbox_report r = { .kind = REPORT_FAILED };
	struct err e = { 0 };

	if (sys == ENOENT)
		err_set(&e, ERR_NOT_FOUND, "the image has no /bin/sh");
	else if (sys == E2BIG)
		err_set(&e, ERR_LIMIT, "the environment is too large");
	else
		err_sys(&e, ERR_IO, sys, "start /bin/sh");
	snprintf(r.text, sizeof(r.text), "%.*s", SANDBOX_TEXT_MAX - 1, e.msg);
	inside_report(s, &r);
	_exit(1);
}

// Starts the script and says so; it is the child's `s`.
static pid_t start_script(const struct sandbox *s)
{
	struct sandbox_report started = { .kind = REPORT_STARTED, .wall_ns = clock_wall_ns() };
	int failed[2], sys;
	pid_t script;

	if (pipe2(failed, O_CLOEXEC) < 0)
		fail(s, errno);
	script = fork();
	if (script < 0)
		fail(s, errno);
	if (script == 0)
		script_run(s, failed[1]);
	close(failed[1]);
	if (read(failed[0], &sys, sizeof(sys)) == sizeof(sys))
		fail(s, sys);
	close(failed[0]);
	inside_report(s, &started);
	return script;
}

// ---- one that is kept, or was made ahead ----------------------------------------------------------------------------------

// Nothing of a call outlives it: the kernel kills all of the namespace but this process, at once.
static void end_others(void)
{
	do
		kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD);
}

static void serve_call(struct sandbox *s, const int fds[static WARM_FDS_MAX], const sigset_t *set)
{
	struct sandbox call = *s;
	pid_t script;

	memcpy(call.std, (const int[]){ fds[0], fds[2], fds[3] }, sizeof(call.std));
	call.env_file = fds[1];
	script = start_script(&call);
	for (int i = 0; i < WARM_FDS_MAX; i++)
		close(fds[i]);
	serve(s, script, set);
	if (s->start->warm) // else this process's end does it
		end_others();
}

static no_return void serve_calls(struct sandbox *s, const sigset_t *set)
{
	struct sandbox_report ready = { .kind = REPORT_READY };
	struct warm_message m;
	struct err e = { 0 };
	int fds[WARM_FDS_MAX];

	if (s->start->warm)
		limit(RLIMIT_MSGQUEUE, 0, 0); // message queues would outlive their call
	do {
		struct pollfd p = { .fd = s->calls, .events = POLLIN };

		inside_report(s, &ready);
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
		if (warm_receive(s->calls, &m, fds, WARM_FDS_MAX, &e) <= 0 || m.kind != WARM_CALL)
			_exit(0);
		serve_call(s, fds, set);
	} while (s->start->warm && init_clean());
	_exit(0);
}

// What the inside keeps open: the script's own streams must not be held.
static void keep_only(struct sandbox *s)
{
	// Both may be small numbers already.
	int report = fcntl(s->report, F_DUPFD_CLOEXEC, 8);
	int calls = s->calls < 0 ? -1 : fcntl(s->calls, F_DUPFD_CLOEXEC, 8);

	if (report < 0 || dup3(report, 3, O_CLOEXEC) < 0 ||
	    (calls >= 0 && dup3(calls, 4, O_CLOEXEC) < 0))
		_exit(1);
	s->report = 3;
	s->calls = calls < 0 ? -1 : 4;
	close_range(calls < 0 ? 4 : 5, ~0u, 0);
	if (calls < 0) {
		close_range(0, 2, 0);
		return;
	}
	// What comes later must not get the numbers that a script's streams will have.
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(1);
	close(null);
}

no_return void init_run(const struct sandbox *s)
{
	struct sandbox mine = *s;
	pid_t script;
	sigset_t set;

	// A script has the same user id; nobody shall look into this process or trace it.
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	if (s->limit_cpu)
		limit_cores(s);
	if (s->limit_pids)
		limit(RLIMIT_NPROC, s->start->pids_max + 1, s->start->pids_max + 1);
	if (s->calls >= 0) {
		keep_only(&mine);
		serve_calls(&mine, &set);
	}
	script = start_script(s);
	keep_only(&mine);
	serve(&mine, script, &set);
	_exit(0);
}
