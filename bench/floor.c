// floor: what one job costs from submit() to `ended`, on the sandbox driver with its real runner: the launcher in a
// loop, N jobs, P at a time, `sh` with an empty script.
// Usage: floor [-n JOBS] [-p PARALLEL] [-u UID]. Run as root; the driver then goes on as UID.
// Prints one line: jobs/s, p50 and p99 of the way there and back in ms, CPU ms a job (all processes of ours).
// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "exec/sandbox/sandbox.h"
#include "runner/runner.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int64_t *began, *took;
	unsigned jobs, running, ended, failed;
};

static void on_ended(void *owner, const char *job, unsigned attempt unused_arg,
		     const struct exec_result *r)
{
	struct bench *b = owner;
	auto_lock held = lock_hold(&b->lock);
	unsigned long i = strtoul(job + 1, NULL, 10);

	b->took[i] = clock_mono_ns() - b->began[i];
	b->running--;
	b->ended++;
	if (r->outcome != EXEC_EXITED || r->exit_code) {
		fprintf(stderr, "%s: %s\n", job, r->reason);
		b->failed++;
	}
	pthread_cond_broadcast(&b->changed);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double cpu_seconds(void)
{
	struct rusage own, children;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	return seconds(own.ru_utime) + seconds(own.ru_stime) + seconds(children.ru_utime) +
	       seconds(children.ru_stime);
}

static void run(struct bench *b, struct exec_driver *d, unsigned parallel)
{
	char job[32];
	struct err e = { 0 };

	for (unsigned i = 0; i < b->jobs; i++) {
		struct exec_spec s = { .job = job,
				       .attempt = 1,
				       .service = "bench",
				       .image = "host",
				       .script = SPAN("true\n"),
				       .event = SPAN("{}"),
				       .memory_bytes = UINT64_C(256) << 20,
				       .cpu_millis = 1000,
				       .pids_max = 64,
				       .output_bytes_max = UINT64_C(64) << 20,
				       .scratch_bytes_max = UINT64_C(64) << 20,
				       .log_bytes_max = UINT64_C(1) << 20,
				       .timeout_ms = 60000 };

		snprintf(job, sizeof(job), "j%u", i);
		pthread_mutex_lock(&b->lock);
		while (b->running >= parallel)
			lock_wait(&b->changed, &b->lock, 0);
		b->running++;
		b->began[i] = clock_mono_ns();
		pthread_mutex_unlock(&b->lock);
		if (d->ops->submit(d, &s, &e) < 0) {
			fprintf(stderr, "%s\n", e.msg);
			exit(1);
		}
		if (i >= 2 * parallel) { // what a real caller does, too
			snprintf(job, sizeof(job), "j%u", i - 2 * parallel);
			if (d->ops->forget(d, job, 1, &e) < 0 && e.code != ERR_CONFLICT)
				fprintf(stderr, "%s\n", e.msg);
		}
	}
	pthread_mutex_lock(&b->lock);
	while (b->running)
		lock_wait(&b->changed, &b->lock, 0);
	pthread_mutex_unlock(&b->lock);
}

int main(int argc, char **argv)
{
	char data[] = "/tmp/oscar-floor-XXXXXX";
	unsigned parallel = 8, user = geteuid() ? geteuid() : 65534;
	struct bench b = { .jobs = 1000 };
	struct exec_events ev = { .owner = &b, .ended = on_ended };
	struct exec_sandbox_options so = { .data_dir = data, .connect_ms = 10000 };
	struct exec_driver *d;
	struct err e = { 0 };
	int opt, status;
	pid_t runner;

	while ((opt = getopt(argc, argv, "n:p:u:")) != -1)
		*(opt == 'n'   ? &b.jobs
		  : opt == 'p' ? &parallel
			       : &user) = (unsigned)strtoul(optarg, NULL, 10);
	b.began = mem_zalloc((b.jobs + 1) * sizeof(*b.began));
	b.took = mem_zalloc((b.jobs + 1) * sizeof(*b.took));
	pthread_mutex_init(&b.lock, NULL);
	lock_cond_init(&b.changed);
	check(mkdtemp(data));
	if (geteuid() == 0)
		check(chown(data, user, user) == 0);
	runner = fork();
	if (runner == 0) {
		struct runner_options o = {
			.data_dir = data, .user = user, .group = user, .idle_ms = 200
		};

		_exit(runner_main(&o));
	}
	if (geteuid() == 0)
		check(setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
		      setresuid(user, user, user) == 0);
	if (exec_sandbox_open(&d, &so, &ev, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	int64_t began = clock_mono_ns();

	run(&b, d, parallel);
	double took = (double)(clock_mono_ns() - began) / 1e9;

	d->ops->close(d, true);
	waitpid(runner, &status, 0);
	qsort(b.took, b.jobs, sizeof(*b.took), compare);
	printf("%u jobs, %u at a time: %.0f jobs/s, p50 %.2f ms, p99 %.2f ms, %.2f CPU ms a job, "
	       "%u failed\n",
	       b.jobs, parallel, b.jobs / took, (double)b.took[b.jobs / 2] / 1e6,
	       (double)b.took[b.jobs * 99 / 100] / 1e6, cpu_seconds() * 1000 / b.jobs, b.failed);
	if (file_remove_tree(AT_FDCWD, data, &e) < 0)
		fprintf(stderr, "%s\n", e.msg);
	mem_free(b.began);
	mem_free(b.took);
	return b.failed != 0;
}
