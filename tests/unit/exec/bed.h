// bed: what tests of the sandbox driver stand on: a temporary data directory, a real runner started by a helper
// process that keeps the rights the test was started with, and a driver whose events can be waited for.
// Started by root, the test itself goes on as an ordinary user, as the daemon does.
// BED_OCI=crun (or runc) has an OCI runtime make the sandboxes; BED_OCI_SELF names oscar-runner then.
// BED_CDI names a folder of specifications of devices.
// A test program's main() is: if (bed_is_runner(argc, argv)) return bed_runner(argc, argv); …
// SPDX-License-Identifier: Apache-2.0
#pragma once
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "exec/joblog.h"
#include "exec/sandbox/sandbox.h"
#include "runner/jobdir.h"
#include "runner/proto.h"
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BED_USER = 65534, BED_EVENTS = 4096, BED_WAIT_MS = 60000 };

struct bed_event {
	char job[EXEC_JOB_ID_MAX];
	unsigned attempt;
	bool ended;
	int64_t started_wall_ns;
	struct exec_result result;
};

struct bed {
	char data[64];
	uid_t user;
	int helper; // socket to the process with the rights
	pid_t helper_pid;
	bool supervised;
	bool root;	 // so was the test started, and so the runner is
	const char *cdi; // folder of specifications of devices, for the driver
	struct exec_driver *driver;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct bed_event events[BED_EVENTS];
	unsigned count;
};

static inline bool bed_is_runner(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "runner") == 0;
}

// oscar runner --data DIR --user UID, as the program will have it. An idle time that suits tests.
enum { BED_IDLE_MS = 1500 }; // of the runner

static inline int bed_runner(int argc, char **argv)
{
	struct runner_options o = { .idle_ms = BED_IDLE_MS,
				    .supervise = getenv("BED_SUPERVISE"),
				    .oci_runtime = getenv("BED_OCI"),
				    .self = getenv("BED_OCI_SELF") };

	if (argc < 6)
		return 2;
	if ((o.cdi[0] = getenv("BED_CDI")))
		o.cdi_count = 1;
	o.data_dir = argv[3];
	o.user = (uid_t)strtoul(argv[5], NULL, 10);
	o.group = (gid_t)o.user;
	return runner_main(&o);
}

static inline void bed_pause_ms(int n)
{
	struct timespec t = { n / 1000, n % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

// Orders to the helper: 'S' start a runner, 'D' run a second one beside it until it goes, 'K' kill -9 it, 'T' ask it to leave, 'P'+pid kill -9 a process, 'U' be
// a stranger to it.

static inline pid_t bed_runner_pid(const char *data)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_free char *path = mem_printf("%s/run/runner.lock", data);
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? l.l_pid : 0;
}

// A process of some other user says hello. Needs root.
static inline bool bed_stranger_is_served(const struct bed *b)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		struct proto_hello hello = { .head = proto_head(PROTO_HELLO) };
		struct err e = { 0 };
		char answer[1024];
		int fd;

		if (setresgid(4242, 4242, 4242) < 0 || setresuid(4242, 4242, 4242) < 0)
			_exit(3);
		fd = runner_connect(b->data, &e);
		if (fd < 0)
			_exit(2);
		fcntl(fd, F_SETFL, 0);
		_exit(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) > 0 &&
		      recv(fd, answer, sizeof(answer), 0) > 0);
	}
	waitpid(pid, &status, 0);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static inline bool bed_second_runner(const struct bed *b)
{
	struct runner_options o = { .data_dir = b->data,
				    .user = b->user,
				    .group = (gid_t)b->user,
				    .oci_runtime = getenv("BED_OCI"),
				    .self = getenv("BED_OCI_SELF") };
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(runner_main(&o));
	for (int i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
		if (i == 500)
			kill(pid, SIGKILL);
		bed_pause_ms(10);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void bed_helper(const struct bed *b, int sock)
{
	struct runner_spawn_options o = { .exe = getenv("BED_RUNNER"),
					  .data_dir = b->data,
					  .user = b->user,
					  .oci_runtime = getenv("BED_OCI") };
	char order[16];
	ssize_t n;

	if (b->supervised)
		setenv("BED_SUPERVISE", "1", 1);
	else
		unsetenv("BED_SUPERVISE");
	while ((n = read(sock, order, sizeof(order) - 1)) > 0) {
		struct err e = { 0 };
		char answer = 'y';
		pid_t pid;

		order[n] = '\0';
		switch (order[0]) {
		case 'S':
			if (runner_spawn(&o, &e) < 0) {
				fprintf(stderr, "# %s\n", e.msg);
				answer = 'n';
			}
			break;
		case 'K':
		case 'T':
			pid = bed_runner_pid(b->data);
			if (!pid || kill(pid, order[0] == 'K' ? SIGKILL : SIGTERM) < 0)
				answer = 'n';
			while (pid && kill(pid, 0) == 0 && bed_runner_pid(b->data) == pid)
				bed_pause_ms(2);
			// The lock goes before the socket: who connected now would take it for alive.
			for (int fd; !b->supervised && (fd = runner_connect(b->data, &e)) >= 0;
			     close(fd))
				bed_pause_ms(2);
			break;
		case 'D':
			answer = bed_second_runner(b) ? 'y' : 'n';
			break;
		case 'U':
			answer = bed_stranger_is_served(b) ? 'y' : 'n';
			break;
		default:
			pid = (pid_t)strtol(order + 1, NULL, 10);
			if (pid < 2 || kill(pid, SIGKILL) < 0)
				answer = 'n';
			break;
		}
		if (write(sock, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

static inline bool bed_order(struct bed *b, const char *order)
{
	char answer = 0;

	assert_true(write(b->helper, order, strlen(order)) > 0);
	assert_int_equal(read(b->helper, &answer, 1), 1);
	return answer == 'y';
}

static inline void bed_started(void *owner, const char *job, unsigned attempt, int64_t wall_ns,
			       const char *node unused_arg)
{
	struct bed *b = owner;
	auto_lock held = lock_hold(&b->lock);
	struct bed_event *ev = &b->events[b->count++ % BED_EVENTS];

	*ev = (struct bed_event){ .attempt = attempt, .started_wall_ns = wall_ns };
	snprintf(ev->job, sizeof(ev->job), "%s", job);
	pthread_cond_broadcast(&b->changed);
}

static inline void bed_ended(void *owner, const char *job, unsigned attempt,
			     const struct exec_result *r)
{
	struct bed *b = owner;
	auto_lock held = lock_hold(&b->lock);
	struct bed_event *ev = &b->events[b->count++ % BED_EVENTS];

	*ev = (struct bed_event){ .attempt = attempt, .ended = true, .result = *r };
	snprintf(ev->job, sizeof(ev->job), "%s", job);
	pthread_cond_broadcast(&b->changed);
}

static inline struct exec_events bed_events(struct bed *b)
{
	return (struct exec_events){ b, bed_started, bed_ended };
}

static inline void bed_open_driver(struct bed *b)
{
	struct exec_sandbox_options o = { .data_dir = b->data,
					  .connect_ms = 5000,
					  .oci = getenv("BED_OCI"),
					  .cdi = &b->cdi,
					  .cdi_count = b->cdi != NULL };
	struct exec_events ev = bed_events(b);
	struct err e = { 0 };

	if (exec_sandbox_open(&b->driver, &o, &ev, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline void bed_close_driver(struct bed *b, bool stop)
{
	if (b->driver)
		b->driver->ops->close(b->driver, stop);
	b->driver = NULL;
}

// The thread sanitizer's own thread forbids what the runner does. With it, BED_RUNNER names the same test built
// without it, to be the runner.
#if defined(__SANITIZE_THREAD__)
#define BED_NEEDS_RUNNER true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BED_NEEDS_RUNNER true
#endif
#endif
#ifndef BED_NEEDS_RUNNER
#define BED_NEEDS_RUNNER false
#endif

// NULL with a printed reason where no sandbox can be made. Root's helper keeps root; the caller becomes `user`.
static inline struct bed *bed_open(bool supervised)
{
	struct bed *b = mem_zalloc(sizeof(*b));
	int pair[2];

	if (BED_NEEDS_RUNNER && !getenv("BED_RUNNER")) {
		printf("# no sandbox under the thread sanitizer without BED_RUNNER\n");
		mem_free(b);
		return NULL;
	}
	snprintf(b->data, sizeof(b->data), "/tmp/oscar-bed-XXXXXX");
	check(mkdtemp(b->data));
	b->supervised = supervised;
	b->root = geteuid() == 0;
	b->cdi = getenv("BED_CDI");
	b->user = geteuid() ? geteuid() : BED_USER;
	if (geteuid() == 0)
		check(chown(b->data, BED_USER, BED_USER) == 0);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	fflush(NULL);
	b->helper_pid = fork();
	check(b->helper_pid >= 0);
	if (b->helper_pid == 0) {
		close(pair[1]);
		bed_helper(b, pair[0]);
	}
	close(pair[0]);
	b->helper = pair[1];
	if (geteuid() == 0) {
		check(setgroups(0, NULL) == 0 && setresgid(BED_USER, BED_USER, BED_USER) == 0 &&
		      setresuid(BED_USER, BED_USER, BED_USER) == 0);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	pthread_mutex_init(&b->lock, NULL);
	lock_cond_init(&b->changed);
	if (!bed_order(b, "S")) {
		printf("# no sandbox can be made here\n");
		return NULL;
	}
	bed_open_driver(b);
	return b;
}

static inline void bed_close(struct bed *b)
{
	struct err e = { 0 };
	int status;

	if (!b)
		return;
	bed_close_driver(b, true);
	for (int i = 0; i < 1000 && bed_runner_pid(b->data); i++)
		bed_pause_ms(10);
	close(b->helper);
	waitpid(b->helper_pid, &status, 0);
	if (file_remove_tree(AT_FDCWD, b->data, &e) < 0)
		printf("# %s\n", e.msg);
	mem_free(b);
}

static inline struct exec_spec bed_spec(const char *job, const char *script)
{
	return (struct exec_spec){
		.job = job,
		.attempt = 1,
		.service = "test",
		.image = "host",
		.script = span_of(script),
		.event = SPAN("{}"),
		.memory_bytes = UINT64_C(256) << 20,
		.cpu_millis = 2000,
		.pids_max = 100,
		.output_bytes_max = UINT64_C(64) << 20,
		.scratch_bytes_max = UINT64_C(64) << 20,
		.log_bytes_max = UINT64_C(1) << 20,
		.timeout_ms = 50000,
		.grace_ms = 1000,
	};
}

static inline void bed_submit(struct bed *b, const struct exec_spec *s)
{
	int64_t by = clock_mono_ns() + 10 * NS_PER_S;
	struct err e = { 0 };

	// A driver whose runner was killed needs a moment until it has the next one.
	while (b->driver->ops->submit(b->driver, s, &e) < 0) {
		if (e.code != ERR_UNAVAILABLE || clock_mono_ns() > by)
			fail_msg("submit %s: %s", s->job, e.msg);
		bed_pause_ms(5);
	}
}

// Counts the events of a kind and copies the last one.
static inline unsigned bed_find_held(struct bed *b, const char *job, unsigned attempt, bool ended,
				     struct bed_event *out)
{
	unsigned n = 0;

	*out = (struct bed_event){ .attempt = attempt };
	for (unsigned i = 0; i < b->count && i < BED_EVENTS; i++)
		if (b->events[i].ended == ended && b->events[i].attempt == attempt &&
		    strcmp(b->events[i].job, job) == 0) {
			*out = b->events[i];
			n++;
		}
	return n;
}

static inline unsigned bed_find(struct bed *b, const char *job, unsigned attempt, bool ended,
				struct bed_event *out)
{
	auto_lock held = lock_hold(&b->lock);

	return bed_find_held(b, job, attempt, ended, out);
}

static inline void bed_wait(struct bed *b, const char *job, unsigned attempt, bool ended,
			    struct bed_event *out)
{
	int64_t by = clock_mono_ns() + BED_WAIT_MS * NS_PER_MS;
	bool late = false;

	pthread_mutex_lock(&b->lock);
	while (!bed_find_held(b, job, attempt, ended, out) && !late)
		late = !lock_wait(&b->changed, &b->lock, by);
	pthread_mutex_unlock(&b->lock);
	if (late)
		fail_msg("job %s.%u: no event in time", job, attempt);
}

static inline struct exec_result bed_run(struct bed *b, const struct exec_spec *s)
{
	struct bed_event ev;

	bed_submit(b, s);
	bed_wait(b, s->job, s->attempt, true, &ev);
	return ev.result;
}

// Everything one stream of the log holds so far. The caller frees it.
static inline char *bed_log(struct bed *b, const char *job, enum joblog_stream stream)
{
	struct err e = { 0 };
	auto_fd int fd = b->driver->ops->open_log(b->driver, job, 1, &e);
	auto_free char *data = mem_alloc(JOBLOG_RECORD_MAX);
	auto_buf struct buf all;
	struct joblog_record r;
	off_t at = 0;
	int got;

	if (fd < 0)
		fail_msg("%s", e.msg);
	buf_init(&all, 64 << 20);
	while ((got = joblog_read(fd, &at, &r, data, &e)) > 0)
		if (r.stream == stream)
			buf_add(&all, data, r.size);
	assert_int_equal(got, 0);
	return buf_take(&all);
}

// The content of an output file, or NULL. The caller frees it.
static inline char *bed_output(struct bed *b, const char *job, const char *name)
{
	struct err e = { 0 };
	auto_fd int dir = b->driver->ops->open_output(b->driver, job, 1, &e);
	auto_buf struct buf all;

	buf_init(&all, 64 << 20);
	if (dir < 0 || file_read_path(dir, name, &all, &e) < 0)
		return NULL;
	return buf_take(&all);
}

static inline void bed_forget(struct bed *b, const char *job)
{
	struct err e = { 0 };

	if (b->driver->ops->forget(b->driver, job, 1, &e) < 0)
		fail_msg("forget %s: %s", job, e.msg);
}

#define assert_outcome(r, want)                                                                    \
	do {                                                                                       \
		if ((r).outcome != (want))                                                         \
			fail_msg("outcome %d instead of %d: %s", (r).outcome, want, (r).reason);   \
	} while (0)
