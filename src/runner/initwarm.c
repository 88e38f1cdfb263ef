// SPDX-License-Identifier: Apache-2.0
// initwarm: what pid 1 of a kept sandbox does between two calls. It has no more rights than the scripts had; what it
// cannot clean it does not serve the next call with.
#include "base/file.h"
#include "base/mem.h"
#include "runner/jobdir.h"
#include "runner/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool empty_folder(const char *path)
{
	DIR *list = opendir(path);
	struct err ignored = { 0 };
	bool good = list != NULL;
	struct dirent *d;
	struct stat st;

	while (good && (d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			good = file_remove_tree(dirfd(list), d->d_name, &ignored) == 0;
	// The folder itself, too, is the script's.
	good = good && fstat(dirfd(list), &st) == 0 && flistxattr(dirfd(list), NULL, 0) <= 0 &&
	       ((st.st_mode & 07777) == 01777 || fchmod(dirfd(list), 01777) == 0);
	if (list)
		closedir(list);
	return good;
}

// System V objects stay until they are removed; the files list them below one line of headings.
static bool no_objects(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

	return fd < 0 ? errno == ENOENT : end && end + 1 == text + n;
}

bool init_clean(void)
{
	return empty_folder("/tmp") && empty_folder("/dev/shm") &&
	       no_objects("/proc/sysvipc/shm") && no_objects("/proc/sysvipc/msg") &&
	       no_objects("/proc/sysvipc/sem");
}

char **init_read_env(int fd)
{
	char *text = mem_alloc(JOBDIR_ENV_BYTES_MAX + 1);
	struct err e = { 0 };
	ssize_t n = file_read_full(fd, text, JOBDIR_ENV_BYTES_MAX, &e);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return sandbox_env(text, (size_t)n);
}
