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
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
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

// System V objects stay until they are removed. The counts are those of the sandbox's own namespace (shmctl(2),
// msgctl(2), semctl(2)); a kernel without them has none.
static bool no_objects(void)
{
	struct shm_info shm = { 0 };
	struct msginfo msg = { 0 };
	struct seminfo sem = { 0 };
	union { // as semctl(2) wants its caller to say it
		int value;
		struct seminfo *info;
	} arg = { .info = &sem };

	return (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&shm) >= 0 || errno == ENOSYS) &&
	       (msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&msg) >= 0 || errno == ENOSYS) &&
	       (semctl(0, 0, SEM_INFO, arg) >= 0 || errno == ENOSYS) && !shm.used_ids &&
	       !msg.msgpool && !sem.semusz;
}

bool init_clean(void)
{
	return empty_folder("/tmp") && empty_folder("/dev/shm") && no_objects();
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
