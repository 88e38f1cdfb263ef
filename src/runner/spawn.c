// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/loop.h"
#include "runner/proto.h"
#include "runner/runner.h"
#include "runner/sys.h"

#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum {
	DEFAULT_WAIT_MS = 10000,
	GREET_MS = 1000,
	TRY_MS = 5,
	RESTART_FIRST_MS = 100,
	RESTART_LAST_MS = 5000
};

static void pause_ms(int64_t n)
{
	struct timespec t = { n / 1000, n % 1000 * NS_PER_MS };

	nanosleep(&t, NULL);
}

int runner_connect(const char *data_dir, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_free char *path = mem_printf("%s/run", data_dir);
	auto_fd int run = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, e);
	auto_fd int fd = -1;

	if (run < 0) {
		e->code = ERR_UNAVAILABLE;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "socket");
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/runner.sock", run);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, ERR_UNAVAILABLE, errno, "no runner answers");
	return file_take(&fd);
}

// Grandchild: nothing of the caller but stderr stays with it.
static no_return void become_runner(const struct runner_spawn_options *o, int failed)
{
	const char *exe = o->exe ? o->exe : "/proc/self/exe";
	char user[16];
	char *argv[8 + 2 * RUNNER_CDI_MAX + 1] = { (char *)"oscar",  (char *)"runner",
						   (char *)"--data", (char *)o->data_dir,
						   (char *)"--user", user };
	size_t n = 6;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), sys;
	sigset_t none;

	if (o->oci_runtime) {
		argv[n++] = (char *)"--oci-runtime";
		argv[n++] = (char *)o->oci_runtime;
	}
	for (unsigned i = 0; i < o->cdi_count && i < RUNNER_CDI_MAX; i++) {
		argv[n++] = (char *)"--cdi-dir";
		argv[n++] = (char *)o->cdi[i];
	}
	sigemptyset(&none);
	snprintf(user, sizeof(user), "%u", o->user);
	sys_signals_default();
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0) {
		if (close_range(3, ~0u, 1 << 2) == 0) // CLOSE_RANGE_CLOEXEC
			execv(exe, argv);
	}
	sys = errno;
	ssize_t done = write(failed, &sys, sizeof(sys));

	(void)done;
	_exit(127);
}

static int start(const struct runner_spawn_options *o, struct err *e)
{
	int failed[2], status, sys = 0;
	pid_t pid;

	if (pipe2(failed, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	// Twice: the runner is to outlive its caller and not to be waited for.
	pid = fork();
	if (pid == 0) {
		pid_t again = fork();

		if (again == 0)
			become_runner(o, failed[1]);
		_exit(again < 0 ? 1 : 0);
	}
	close(failed[1]);
	if (pid < 0) {
		close(failed[0]);
		return err_sys(e, ERR_IO, errno, "fork");
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ssize_t n = read(failed[0], &sys, sizeof(sys));

	close(failed[0]);
	return n == sizeof(sys) ? err_sys(e, ERR_IO, sys, "start the runner") : 0;
}

// 1: a runner listens, and takes daemons of our kind as far as it says; 0: none listens; -1: it does not take us, and may leave.
static int serves(const struct runner_spawn_options *o)
{
	struct proto_hello hello = { .head = proto_head(PROTO_HELLO),
				     .runtime = o->oci_runtime ? PROTO_RUNTIME_OCI
							       : PROTO_RUNTIME_OWN };
	struct err ignored = { 0 };
	auto_fd int fd = runner_connect(o->data_dir, &ignored);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct proto_welcome answer;

	if (fd < 0)
		return 0;
	if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
		return -1;
	// It takes one daemon at a time: one that has another answers nobody, but it is there.
	if (poll(&p, 1, GREET_MS) <= 0)
		return 1;
	return recv(fd, &answer, sizeof(answer), 0) > 0 ? 1 : -1;
}

int runner_spawn(const struct runner_spawn_options *o, struct err *e)
{
	int64_t wait = o->wait_ms ? o->wait_ms : DEFAULT_WAIT_MS;
	int64_t by = clock_mono_ns() + wait * NS_PER_MS;
	bool started = false;
	int got;

	while ((got = serves(o)) <= 0) {
		if (clock_mono_ns() > by)
			return got < 0 ? err_set(e, ERR_BUSY,
						 "a runner of another version or with another "
						 "runtime still has jobs: let them end, or "
						 "end them by `oscar stop`")
				       : err_set(e, ERR_UNAVAILABLE,
						 "the runner did not begin to listen within %lld "
						 "ms",
						 (long long)wait);
		if (got < 0)
			started = false;
		else if (!started && start(o, e) < 0)
			return -1;
		else
			started = true;
		pause_ms(TRY_MS);
	}
	return 0;
}

// The parent of a runner: all it does is wait and begin again.
static int supervise(const struct runner_options *o)
{
	int64_t pause = RESTART_FIRST_MS;
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	prctl(PR_SET_NAME, "oscar-keeper", 0, 0, 0);
	for (;;) {
		int64_t began = clock_mono_ns();
		pid_t pid = fork(), got;
		int status = 0;

		if (pid == 0) {
			prctl(PR_SET_NAME, "oscar-runner", 0, 0, 0);
			_exit(loop_run(o));
		}
		if (pid < 0) {
			log_error("runner", "cannot fork");
			return 1;
		}
		while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
			siginfo_t info;
			int s = sigwaitinfo(&set, &info);

			if (s == SIGTERM || s == SIGINT)
				kill(pid, s);
		}
		if (got < 0)
			return 1;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		log_error("runner", "killed by signal %d; starting it again", WTERMSIG(status));
		pause = clock_mono_ns() - began > 10 * NS_PER_S ? RESTART_FIRST_MS : pause * 2;
		pause_ms(pause > RESTART_LAST_MS ? (pause = RESTART_LAST_MS) : pause);
	}
}

int runner_main(const struct runner_options *o)
{
	return o->supervise ? supervise(o) : loop_run(o);
}
