// SPDX-License-Identifier: Apache-2.0
// joblogs: logs of attempts that are over. Small ones are rows of the database, written with the job's outcome; larger
// ones are files, DATA/logs/HH/JOB.ATTEMPT, linked there before the driver forgets.
#include "base/file.h"
#include "base/mem.h"
#include "dispatch/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_NAME_MAX = 64, LOG_ROW_MAX = 16 << 10 };

static char *log_name(int64_t job, unsigned attempt, char out[static LOG_NAME_MAX])
{
	snprintf(out, LOG_NAME_MAX, "%02x/%lld.%u", (unsigned)(job & 0xff), (long long)job,
		 attempt);
	return out;
}

static int copy(struct dispatch *d, int from, const char *name, struct err *e)
{
	auto_fd int to = file_open(d->logs_dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600, e);
	off_t at = 0;
	ssize_t k;

	if (to < 0)
		return -1;
	while ((k = sendfile(to, from, &at, 1 << 20)) > 0)
		;
	return k < 0 ? err_sys(e, ERR_IO, errno, "copy log") : 0;
}

// A log that goes on growing (something outlived its job) is taken as far as it was.
static int read_small(int fd, size_t size, struct arena *mem, struct span *small, struct err *e)
{
	char *p = arena_alloc(mem, size + 1);
	ssize_t got = pread(fd, p, size, 0);

	if (got < 0)
		return err_sys(e, ERR_IO, errno, "read log");
	*small = span_make(p, (size_t)got);
	return 0;
}

int joblog_keep(struct dispatch *d, const struct job *j, struct arena *mem, struct span *small,
		struct err *e)
{
	char name[LOG_NAME_MAX], proc[32];
	auto_fd int fd = -1;
	struct stat st;

	*small = span_make("", 0);
	fd = d->driver->ops->open_log(d->driver, j->id, j->row.attempt, e);
	if (fd < 0)
		return e->code == ERR_UNSUPPORTED || e->code == ERR_NOT_FOUND ? 0 : -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "log");
	if (st.st_size <= LOG_ROW_MAX)
		return read_small(fd, (size_t)st.st_size, mem, small, e);
	log_name(j->row.id, j->row.attempt, name);
	name[2] = '\0';
	if (mkdirat(d->logs_dir, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "mkdir logs/%s", name);
	log_name(j->row.id, j->row.attempt, name);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, d->logs_dir, name, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST)
		return 0;
	return copy(d, fd, name, e);
}

// A descriptor for bytes that are in memory.
static int as_file(struct span bytes, struct err *e)
{
	auto_fd int fd = memfd_create("log", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "log");
	return file_write_all(fd, bytes.p, bytes.n, e) < 0 ? -1 : file_take(&fd);
}

int dispatch_log(struct dispatch *d, int64_t job, unsigned attempt, struct err *e)
{
	auto_arena struct arena mem = { 0 };
	char name[LOG_NAME_MAX], id[EXEC_JOB_ID_MAX];
	struct exec_driver *drv = d->driver;
	struct span small;
	int fd = openat(d->logs_dir, log_name(job, attempt, name), O_RDONLY | O_CLOEXEC);

	// The driver before the row, which is there before the driver forgets.
	if (fd < 0 && drv && drv->ops->open_log)
		fd = drv->ops->open_log(drv, job_id_text(job, id), attempt, e);
	if (fd >= 0)
		return fd;
	if (queue_log_get(d->o.queue, job, attempt, &mem, &small, e) == 0)
		return as_file(small, e);
	if (e->code != ERR_NOT_FOUND)
		return -1;
	// A large one may have been put in its place between the first two looks.
	fd = openat(d->logs_dir, name, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set(e, ERR_NOT_FOUND, "no log of this attempt");
}

void dispatch_log_remove(struct dispatch *d, int64_t job, unsigned attempts)
{
	char name[LOG_NAME_MAX];

	for (unsigned i = 1; i <= attempts; i++)
		unlinkat(d->logs_dir, log_name(job, i, name), 0);
}
