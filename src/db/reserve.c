// SPDX-License-Identifier: Apache-2.0
#include "db/reserve.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	DISK_PART = 50, // of the disk, at most
	STEPS = 16, // a step, this part of the reserve, is what a transaction finds at least, …
	STEP_MIN = 1 << 20, // … and what is given back at a time; bytes
	PLENTY = 4,	    // times the reserve must be free before it is taken again
};

void reserve_open(struct reserve *r, const char *db_path, uint64_t bytes)
{
	struct err e = { 0 };
	struct statvfs v;
	struct stat st;

	*r = (struct reserve){ .fd = -1 };
	if (!bytes)
		return;
	r->path = mem_printf("%s.reserve", db_path);
	r->fd = file_open(AT_FDCWD, r->path, O_RDWR | O_CREAT, 0600, &e);
	if (r->fd < 0 || fstat(r->fd, &st) < 0 || fstatvfs(r->fd, &v) < 0) {
		log_warn("db", "no reserve for a full disk: %s", e.msg);
		reserve_close(r);
		return;
	}
	r->full = (uint64_t)v.f_blocks * v.f_frsize / DISK_PART;
	if (r->full > bytes)
		r->full = bytes;
	r->held = (uint64_t)st.st_size;
	reserve_look(r);
}

void reserve_close(struct reserve *r)
{
	file_close(r->fd);
	r->fd = -1;
	mem_free(r->path);
	r->path = NULL;
}

static uint64_t step_of(const struct reserve *r)
{
	return r->full / STEPS > STEP_MIN ? r->full / STEPS : STEP_MIN;
}

static void give_back(struct reserve *r)
{
	uint64_t step = step_of(r), left = r->held > step ? r->held - step : 0;

	if (ftruncate(r->fd, (off_t)left) < 0)
		return;
	if (r->held >= r->full)
		log_warn("db", "the disk is full: using what was held back for deletes");
	r->held = left;
}

static void take(struct reserve *r)
{
	if (fallocate(r->fd, 0, 0, (off_t)r->full) == 0) {
		if (ftruncate(r->fd, (off_t)r->full) == 0)
			r->held = r->full;
		return;
	}
	if (errno == ENOSPC)
		return;
	log_warn("db", "no reserve for a full disk: %s", strerror(errno));
	reserve_close(r);
}

void reserve_look(struct reserve *r)
{
	struct statvfs v;
	uint64_t avail;

	if (r->fd < 0 || fstatvfs(r->fd, &v) < 0)
		return;
	avail = (uint64_t)v.f_bavail * v.f_frsize;
	if (avail < step_of(r) && r->held)
		give_back(r);
	else if (r->held != r->full && avail > r->full * PLENTY)
		take(r);
}
