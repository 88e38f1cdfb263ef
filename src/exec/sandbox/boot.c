// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/boot.h"

#include "base/boot.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/jobdir.h"
#include "runner/proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define KEPT ".boot"

// What runs now is of this boot, whatever the file says.
static bool is_running(int dir)
{
	enum jobdir_state state;
	struct jobdir_exit x;
	struct err ignored = { 0 };
	int64_t started;

	return jobdir_look(dir, &state, &x, &started, &ignored) == 0 && state == JOBDIR_RUNNING;
}

static int remove_one(int jobs, const char *name, struct err *e)
{
	char id[PROTO_JOB_MAX];
	unsigned attempt;
	auto_fd int dir = -1;

	if (!jobdir_parse(name, id, sizeof(id), &attempt))
		return 0;
	dir = file_open(jobs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, e);
	if (dir < 0)
		return -1;
	if (is_running(dir))
		return 0;
	log_info("exec", "attempt %s began before the machine went down: it runs again", name);
	return file_remove_tree(jobs, name, e);
}

static int remove_all(int jobs, struct err *e)
{
	auto_fd int fd = file_open(jobs, ".", O_RDONLY | O_DIRECTORY, 0, e);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	int bad = 0;

	if (!list)
		return fd < 0 ? -1 : err_sys(e, ERR_IO, errno, "list the jobs' folders");
	file_take(&fd);
	for (struct dirent *x; !bad && (x = readdir(list));)
		bad = remove_one(jobs, x->d_name, e);
	closedir(list);
	return bad;
}

int boot_check(int jobs, struct err *e)
{
	char now[BOOT_ID_MAX];
	auto_buf struct buf was;
	struct err why = { 0 };

	buf_init(&was, BOOT_ID_MAX);
	if (!boot_id(now))
		return 0; // a machine that does not say: as before there was such a check
	if (file_read_path(jobs, KEPT, &was, &why) == 0 && span_is(span_trim(buf_span(&was)), now))
		return 0;
	if (was.n && remove_all(jobs, e) < 0)
		return -1;
	return file_replace(jobs, KEPT, 0600, now, strlen(now), e);
}
