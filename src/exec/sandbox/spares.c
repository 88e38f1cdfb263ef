// SPDX-License-Identifier: Apache-2.0
#include "exec/sandbox/spares.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "runner/jobdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SPARE_NAME_MAX = 32 };
#define PREFIX ".spare-"

static char *spare_name(char out[static SPARE_NAME_MAX], unsigned id)
{
	snprintf(out, SPARE_NAME_MAX, PREFIX "%u", id);
	return out;
}

static DIR *open_list(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		file_close(fd);
	return list;
}

static void remove_all(int jobs)
{
	DIR *list = open_list(jobs, ".");
	struct dirent *d;

	while (list && (d = readdir(list))) {
		struct err e = { 0 };

		if (strncmp(d->d_name, PREFIX, sizeof(PREFIX) - 1) == 0 &&
		    file_remove_tree(jobs, d->d_name, &e) < 0)
			log_warn("exec", "%s", e.msg);
	}
	if (list)
		closedir(list);
}

void spares_init(struct spares *s, int jobs)
{
	*s = (struct spares){ .jobs = jobs };
	pthread_mutex_init(&s->lock, NULL);
	remove_all(jobs);
}

void spares_release(struct spares *s)
{
	remove_all(s->jobs);
	pthread_mutex_destroy(&s->lock);
}

// ---- making one of what an attempt left ----------------------------------------------------------------

static bool not_there_or_gone(int bad)
{
	return bad == 0 || errno == ENOENT;
}

static bool dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

// One of the inputs is kept where no script sees it, to be the next one's.
static bool remove_inputs(int dir)
{
	DIR *list = open_list(dir, "oscar/input");
	struct dirent *d;
	bool good = list, kept = false;

	while (good && (d = readdir(list))) {
		if (dots(d->d_name))
			continue;
		if (!kept && renameat(dirfd(list), d->d_name, dir, SPARES_INPUT) == 0)
			kept = true;
		else
			good = unlinkat(dirfd(list), d->d_name, 0) == 0;
	}
	if (list)
		closedir(list);
	return good;
}

// The script could write there and change the folder itself.
static bool output_is_new(int dir, const char *output)
{
	DIR *list = open_list(dir, output);
	struct dirent *d;
	struct stat st;
	bool good = list && fstat(dirfd(list), &st) == 0 && st.st_uid == geteuid() &&
		    flistxattr(dirfd(list), NULL, 0) <= 0 &&
		    ((st.st_mode & 07777) == 0700 || fchmod(dirfd(list), 0700) == 0);

	while (good && (d = readdir(list)))
		good = dots(d->d_name);
	if (list)
		closedir(list);
	return good;
}

bool spares_clear(int dir, const char *output)
{
	struct err ignored = { 0 };
	struct dirent *d;
	bool good;
	DIR *list;

	if (output_is_new(dir, output))
		return true;
	list = open_list(dir, output);
	good = list;
	while (good && (d = readdir(list)))
		good = dots(d->d_name) || file_remove_tree(dirfd(list), d->d_name, &ignored) == 0;
	if (list)
		closedir(list);
	return good && output_is_new(dir, output);
}

static bool clear_output(int dir)
{
	struct err e = { 0 };

	return output_is_new(dir, "oscar/output") ||
	       (file_remove_tree(dir, "oscar/output", &e) == 0 &&
		mkdirat(dir, "oscar/output", 0755) == 0);
}

// Of an attempt whose shim was killed nobody knows when the last process of its sandbox is gone: until then it may
// write into the folder.
static bool nobody_writes(int dir)
{
	struct jobdir_exit x = { 0 };
	enum jobdir_state state;
	struct err ignored = { 0 };
	int64_t started;

	return jobdir_look(dir, &state, &x, &started, &ignored) == 0 && state == JOBDIR_ENDED &&
	       x.outcome != JOBDIR_LOST;
}

// A log may be linked to where logs are kept, and somebody may follow it: then it is never written over. The kernel
// grants a write lease (fcntl(2), F_SETLEASE) only for a file that nobody else has open.
static bool log_is_ours(int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 &&
	       fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0 &&
	       (!st.st_size || ftruncate(fd, 0) == 0);
}

// Out of the way first, so that nobody opens it between the look and its next use.
bool spares_strip_log(int dir)
{
	if (renameat(dir, "log", dir, SPARES_LOG) < 0)
		return errno == ENOENT;
	return log_is_ours(dir, SPARES_LOG) || unlinkat(dir, SPARES_LOG, 0) == 0;
}

bool spares_empty_log(int dir)
{
	return log_is_ours(dir, "log") || unlinkat(dir, "log", 0) == 0 || errno == ENOENT;
}

static bool strip(int jobs, const char *spare)
{
	auto_fd int dir = openat(jobs, spare, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return dir >= 0 && faccessat(dir, SPARES_SHELL, F_OK, 0) < 0 && nobody_writes(dir) &&
	       spares_strip_log(dir) &&
	       not_there_or_gone(renameat(dir, "alive", dir, "alive.new")) &&
	       not_there_or_gone(renameat(dir, "exit", dir, "exit.new")) && remove_inputs(dir) &&
	       clear_output(dir);
}

// ---- taking and giving ---------------------------------------------------------------------------------

int spares_take(struct spares *s, const char *name, bool *taken, struct err *e)
{
	char spare[SPARE_NAME_MAX];

	*taken = false;
	{
		auto_lock held = lock_hold(&s->lock);

		if (!s->count)
			return 0;
		spare_name(spare, s->free[--s->count]);
	}
	if (renameat2(s->jobs, spare, s->jobs, name, RENAME_NOREPLACE) < 0) {
		struct err unused = { 0 };

		if (errno == ENOENT) // somebody tidied up: then it is made new
			return 0;

		err_sys(e, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno, "make the job's folder");
		if (file_remove_tree(s->jobs, spare, &unused) < 0)
			return err_wrap(e, "%s; and then", unused.msg);
		return -1;
	}
	*taken = true;
	return 0;
}

int spares_give(struct spares *s, const char *name, struct err *e)
{
	char spare[SPARE_NAME_MAX];
	unsigned id;
	bool room;

	{
		auto_lock held = lock_hold(&s->lock);

		room = s->count < SPARES_MAX;
		id = s->next++;
	}
	if (!room)
		return file_remove_tree(s->jobs, name, e);
	spare_name(spare, id);
	if (renameat2(s->jobs, name, s->jobs, spare, RENAME_NOREPLACE) < 0)
		return errno == ENOENT ? 0 : file_remove_tree(s->jobs, name, e);
	if (!strip(s->jobs, spare))
		return file_remove_tree(s->jobs, spare, e);
	{
		auto_lock held = lock_hold(&s->lock);

		room = s->count < SPARES_MAX;
		if (room)
			s->free[s->count++] = id;
	}
	return room ? 0 : file_remove_tree(s->jobs, spare, e);
}
