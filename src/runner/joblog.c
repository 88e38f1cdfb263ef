// SPDX-License-Identifier: Apache-2.0
#include "runner/joblog.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <sys/uio.h>

int joblog_append(int fd, enum joblog_stream stream, const void *p, size_t n, struct err *e)
{
	struct joblog_record r = { .magic = JOBLOG_MAGIC, .stream = (uint16_t)stream };
	struct iovec part[2] = { { &r, sizeof(r) }, { (void *)p, n } };
	ssize_t want = (ssize_t)(sizeof(r) + n), done;

	if (!n || n > JOBLOG_RECORD_MAX)
		return err_set(e, ERR_INVALID, "a log record of %zu bytes", n);
	r.size = (uint16_t)n;
	r.wall_ns = clock_wall_ns();
	do
		done = writev(fd, part, 2);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return err_sys(e, ERR_IO, errno, "write the log");
	// A short write means a full disk; the cut record stays the last one, so readers wait at it.
	return done == want ? 0 : err_sys(e, ERR_IO, ENOSPC, "write the log");
}

static bool whole(const struct joblog_record *r)
{
	return r->magic == JOBLOG_MAGIC && r->size && r->size <= JOBLOG_RECORD_MAX &&
	       r->stream >= JOBLOG_STDOUT && r->stream <= JOBLOG_SYSTEM;
}

int joblog_read(int fd, off_t *at, struct joblog_record *r, char data[static JOBLOG_RECORD_MAX],
		struct err *e)
{
	ssize_t n = file_pread_full(fd, r, sizeof(*r), *at, e);

	if (n < 0)
		return -1;
	if ((size_t)n < sizeof(*r))
		return 0;
	if (!whole(r))
		return err_set(e, ERR_CORRUPT, "no log record at byte %lld", (long long)*at);
	n = file_pread_full(fd, data, r->size, *at + (off_t)sizeof(*r), e);
	if (n < 0)
		return -1;
	if (n < r->size)
		return 0;
	*at += (off_t)sizeof(*r) + r->size;
	return 1;
}
