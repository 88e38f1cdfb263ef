// SPDX-License-Identifier: Apache-2.0
#include "runner/give.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static bool may_get(const struct stat *folder)
{
	return S_ISDIR(folder->st_mode) && folder->st_uid != 0 && !(folder->st_mode & S_ISVTX);
}

static bool may_be_given(const struct stat *st, uid_t daemon)
{
	if (st->st_uid != daemon)
		return false;
	return S_ISDIR(st->st_mode) ||
	       (S_ISREG(st->st_mode) && st->st_nlink == 1 && !(st->st_mode & (S_ISUID | S_ISGID)));
}

int give_to_owner(int folder, const char *name, uid_t daemon, struct err *e)
{
	// By its descriptor: what the name means may change meanwhile.
	auto_fd int fd = file_open(folder, name, O_PATH | O_NOFOLLOW, 0, e);
	struct stat in, st;

	if (fd < 0)
		return -1;
	if (fstat(folder, &in) < 0 || fstat(fd, &st) < 0)
		return err_sys(e, ERR_IO, errno, "%s", name);
	if (st.st_uid == in.st_uid)
		return 0;
	if (!may_get(&in) || !may_be_given(&st, daemon))
		return err_set(e, ERR_DENIED, "%s may not be given to user %u", name, in.st_uid);
	if (fchownat(fd, "", in.st_uid, in.st_gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, ERR_IO, errno, "give %s to user %u", name, in.st_uid);
	return 0;
}
