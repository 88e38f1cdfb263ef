// SPDX-License-Identifier: Apache-2.0
#include "runner/jobdir.h"

#include "base/file.h"
#include "base/span.h"
#include "runner/proto.h"
#include "runner/sys.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ALIVE_MAGIC 0x4f414c01u

// Of struct jobdir_progress in `alive`.
enum {
	PROGRESS_AT = sizeof(struct jobdir_alive),
	PROGRESS_HEAD = offsetof(struct jobdir_progress, text),
	PROGRESS_TRIES = 4
};

char *jobdir_name(char out[static JOBDIR_NAME_MAX], const char *job, unsigned attempt)
{
	snprintf(out, JOBDIR_NAME_MAX, "%.80s.%u", job, attempt);
	return out;
}

bool jobdir_parse(const char *name, char *job, size_t job_max, unsigned *attempt)
{
	const char *dot = strrchr(name, '.');
	uint64_t n;
	size_t len = dot ? (size_t)(dot - name) : 0;
	char padded[PROTO_JOB_MAX] = "";

	if (!dot || !len || len >= job_max || len >= sizeof(padded) || dot[1] == '0' ||
	    !span_to_u64(span_of(dot + 1), &n) || n > UINT32_MAX)
		return false;
	memcpy(padded, name, len);
	if (!proto_job_ok(padded))
		return false;
	memset(job, 0, job_max);
	memcpy(job, padded, len);
	*attempt = (unsigned)n;
	return true;
}

// A file of ours that waits to get its name: made new, or that of an attempt before, whose folder this was. One that
// is not ours (the folder belongs to the daemon's user) or that somebody else may write to is replaced.
static int open_waiting(int dir, const char *name, struct err *e)
{
	auto_fd int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    st.st_uid == geteuid() && (st.st_mode & 07777) == 0644)
		return file_take(&fd);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove %s", name);
	return file_open(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0644, e);
}

int jobdir_alive_make(int dir, struct err *e)
{
	static const char none[PROGRESS_AT + PROGRESS_HEAD];
	auto_fd int fd = open_waiting(dir, "alive.new", e);

	if (fd < 0 || file_pwrite_all(fd, &none, sizeof(none), 0, e) < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, ERR_IO, errno, "lock alive");
	if (renameat2(dir, "alive.new", dir, "alive", RENAME_NOREPLACE) == 0)
		return file_take(&fd);
	err_sys(e, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno, "make alive");
	unlinkat(dir, "alive.new", 0);
	return -1;
}

int jobdir_alive_write(int alive, int64_t started_wall_ns, struct err *e)
{
	struct jobdir_alive a = { ALIVE_MAGIC, (int32_t)getpid(), started_wall_ns };

	return file_pwrite_all(alive, &a, sizeof(a), 0, e);
}

// FNV-1a
static uint32_t sum_of(const char *p, size_t n)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ (unsigned char)p[i]) * 16777619u;
	return sum;
}

int jobdir_progress_write(int alive, struct jobdir_progress *p, struct err *e)
{
	p->sum = sum_of(p->text, p->size);
	return file_pwrite_all(alive, p, PROGRESS_HEAD + p->size, PROGRESS_AT, e);
}

int jobdir_progress_read(int alive, struct jobdir_progress *p, struct err *e)
{
	for (int i = 0; i < PROGRESS_TRIES; i++) {
		ssize_t n = file_pread_full(alive, p, sizeof(*p), PROGRESS_AT, e);

		if (n < 0)
			return -1;
		if (n < PROGRESS_HEAD || !p->size)
			break;
		if (p->size <= sizeof(p->text) && (size_t)n >= PROGRESS_HEAD + p->size &&
		    p->sum == sum_of(p->text, p->size))
			return 0;
	}
	return err_set(e, ERR_NOT_FOUND, "the script has not said how far it is");
}

static int exit_read(int dir, bool *there, struct jobdir_exit *x, struct err *e)
{
	auto_fd int fd = openat(dir, "exit", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	*there = false;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "open the exit record");
	n = file_read_full(fd, x, sizeof(*x), e);
	if (n < 0)
		return -1;
	if (n != sizeof(*x) || x->magic != JOBDIR_EXIT_MAGIC || x->outcome < JOBDIR_EXITED ||
	    x->outcome > JOBDIR_CHANGED)
		return err_set(e, ERR_CORRUPT, "the exit record is damaged");
	x->reason[sizeof(x->reason) - 1] = '\0';
	*there = true;
	return 0;
}

int jobdir_look(int dir, enum jobdir_state *out, struct jobdir_exit *x, int64_t *started_wall_ns,
		struct err *e)
{
	auto_fd int fd = openat(dir, "alive", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct jobdir_alive a;
	bool there, locked;
	int sys = fd < 0 ? errno : 0;

	*started_wall_ns = 0;
	if (fd < 0 && sys != ENOENT)
		return err_sys(e, ERR_IO, sys, "open alive");
	// A shared lock, for a moment: two who look do not hinder each other.
	locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
	if (fd >= 0 && pread(fd, &a, sizeof(a), 0) == sizeof(a) && a.magic == ALIVE_MAGIC)
		*started_wall_ns = a.started_wall_ns;
	if (locked) {
		*out = JOBDIR_RUNNING;
		return 0;
	}
	// Read only after the lock was seen free: a shim writes the record before it lets go. Without
	// `alive` there may still be a record, of a job that was refused.
	if (exit_read(dir, &there, x, e) < 0)
		return -1;
	if (there)
		*started_wall_ns = x->started_wall_ns;
	*out = there ? JOBDIR_ENDED : fd < 0 ? JOBDIR_NEW : JOBDIR_GONE;
	return 0;
}

int jobdir_exit_reserve(int dir, struct err *e)
{
	static const struct jobdir_exit empty;
	auto_fd int fd = open_waiting(dir, "exit.new", e);

	if (fd < 0 || file_pwrite_all(fd, &empty, sizeof(empty), 0, e) < 0)
		return -1;
	return file_take(&fd);
}

int jobdir_exit_finish(int dir, int fd, struct jobdir_exit *x, struct err *e)
{
	x->magic = JOBDIR_EXIT_MAGIC;
	x->reason[sizeof(x->reason) - 1] = '\0';
	if (file_pwrite_all(fd, x, sizeof(*x), 0, e) < 0 || file_datasync(fd, e) < 0)
		return -1;
	// The rename is not synced: after a power loss the record is whole or absent, and a job without
	// one is lost and runs again, which is allowed.
	if (renameat(dir, "exit.new", dir, "exit") < 0)
		return err_sys(e, ERR_IO, errno, "rename exit.new");
	return 0;
}

int jobdir_exit_write(int dir, struct jobdir_exit *x, struct err *e)
{
	auto_fd int fd = jobdir_exit_reserve(dir, e);

	return fd < 0 ? -1 : jobdir_exit_finish(dir, fd, x, e);
}

int jobdir_order(int dir, enum jobdir_order order, struct err *e)
{
	auto_fd int fd = openat(dir, "ctl", O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	char c = (char)order;

	if (fd < 0)
		return err_sys(e, errno == ENXIO || errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
			       "open ctl");
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return err_set(e, ERR_IO, "ctl is no fifo");
	// A full pipe holds orders enough.
	if (write(fd, &c, 1) < 0 && errno != EAGAIN)
		return err_sys(e, ERR_IO, errno, "write ctl");
	return 0;
}
