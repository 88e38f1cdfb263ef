// SPDX-License-Identifier: Apache-2.0
// stop: `oscar stop` ends a daemon and its jobs.
#include "app/app.h"
#include "base/file.h"
#include "exec/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { STOP_WAIT_MS = 30000, STOP_POLL_MS = 50 };

static void nobody_started(void *owner unused_arg, const char *job unused_arg,
			   unsigned attempt unused_arg, int64_t ns unused_arg,
			   const char *node unused_arg)
{
}

static void nobody_ended(void *owner unused_arg, const char *job unused_arg,
			 unsigned attempt unused_arg, const struct exec_result *r unused_arg)
{
}

// The daemon is away: its jobs may still run. They are ended; the next daemon finds them and queues them again.
static int end_left_jobs(const char *data)
{
	struct exec_sandbox_options o = { .data_dir = data,
					  .any_runtime = true,
					  .connect_ms = 500 };
	struct exec_events ev = { NULL, nobody_started, nobody_ended };
	struct exec_driver *d;
	struct err e = { 0 };

	if (exec_sandbox_open(&d, &o, &ev, &e) < 0) {
		fprintf(stderr, "oscar stop: %s\n", e.msg);
		return 1;
	}
	d->ops->close(d, true);
	return 0;
}

int stop_options_run(int argc, char **argv)
{
	auto_arena struct arena mem = { 0 };
	const char *data = argc == 3 && strcmp(argv[1], "--data") == 0
				   ? absolute_path(&mem, argv[2])
			   : argc == 1 ? default_data_dir(&mem)
				       : NULL;
	auto_buf struct buf text;
	struct err e = { 0 };
	auto_fd int fd = -1;
	uint64_t pid;

	buf_init(&text, 64);
	if (!data) {
		fputs("Usage: oscar stop [--data DIR]\nEnds the daemon and its jobs; unfinished "
		      "jobs go "
		      "back to the queue.\n",
		      stderr);
		return 2;
	}
	fd = open(arena_printf(&mem, "%s/lock", data), O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "oscar stop: %s is no data folder of oscar\n", data);
		return 3;
	}
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return end_left_jobs(data);
	if (file_read_path(AT_FDCWD, arena_printf(&mem, "%s/lock", data), &text, &e) < 0 ||
	    !span_to_u64(span_trim(buf_span(&text)), &pid) || pid < 2 || pid > INT32_MAX) {
		fprintf(stderr, "oscar stop: %s/lock holds no process number\n", data);
		return 1;
	}
	if (kill((pid_t)pid, SIGINT) < 0) {
		fprintf(stderr, "oscar stop: process %d: %s\n", (int)pid, strerror(errno));
		return errno == EPERM ? 4 : 1;
	}
	for (int i = 0; i < STOP_WAIT_MS / STOP_POLL_MS; i++) {
		struct timespec pause = { .tv_nsec = STOP_POLL_MS * 1000000L };

		if (flock(fd, LOCK_SH | LOCK_NB) == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "oscar stop: process %d does not end\n", (int)pid);
	return 5;
}
