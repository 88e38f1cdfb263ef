// SPDX-License-Identifier: Apache-2.0
#include "runner/secrets.h"

#include "base/file.h"
#include "base/mem.h"
#include "runner/bind.h"
#include "runner/jobdir.h"
#include "runner/sys.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define PLACE "oscar/secrets"

int secrets_take(const struct world *w, int jobdir, char **text, size_t *n, struct err *e)
{
	auto_fd int fd = -1;
	ssize_t got;

	*text = NULL;
	*n = 0;
	if (faccessat(jobdir, JOBDIR_SECRETS, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	fd = bind_open_owned(w, jobdir, JOBDIR_SECRETS, O_RDONLY, S_IFREG, e);
	if (fd < 0)
		return -1;
	*text = mem_alloc(SECRETS_BYTES_MAX + 1);
	got = file_read_full(fd, *text, SECRETS_BYTES_MAX + 1, e);
	if (got < 0)
		return -1;
	if (!got || got > SECRETS_BYTES_MAX || (*text)[got - 1])
		return err_set(e, ERR_LIMIT, "the secrets are larger than %d bytes",
			       SECRETS_BYTES_MAX);
	if (unlinkat(jobdir, JOBDIR_SECRETS, 0) < 0)
		return err_sys(e, ERR_IO, errno, "remove %s", JOBDIR_SECRETS);
	*n = (size_t)got;
	return 0;
}

// Whoever wrote the message may have meant to lead us elsewhere: a name is one part of a path.
static bool name_ok(const char *name, size_t n)
{
	return n && n <= NAME_MAX && !memchr(name, '/', n) && !(n == 1 && name[0] == '.') &&
	       !(n == 2 && name[0] == '.' && name[1] == '.');
}

static int put_one(int dir, const char *text, uid_t uid, gid_t gid, struct err *e)
{
	const char *value = strchr(text, '=');
	auto_free char *name = value ? mem_strndup(text, (size_t)(value - text)) : NULL;
	auto_fd int fd = -1;

	if (!value || !name_ok(name, (size_t)(value - text)))
		return err_set(e, ERR_INVALID, "a secret has a name that no file can have");
	fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0400, e);
	if (fd < 0 || file_write_all(fd, value + 1, strlen(value + 1), e) < 0)
		return -1;
	return fchown(fd, uid, gid) < 0 ? err_sys(e, ERR_IO, errno, "give a secret away") : 0;
}

int secrets_mount(const char *text, size_t n, uid_t uid, gid_t gid, struct err *e)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char options[64];
	auto_fd int dir = -1;

	// Each file takes a page at least.
	snprintf(options, sizeof(options), "mode=500,size=%d,nr_inodes=%d",
		 SECRETS_BYTES_MAX + SECRETS_FILES_MAX * 4096, SECRETS_FILES_MAX + 1);
	if (mount("tmpfs", PLACE, "tmpfs", flags, options) < 0)
		return err_sys(e, ERR_IO, errno, "mount /" PLACE);
	if (chmod(PLACE, 0700) < 0)
		return err_sys(e, ERR_IO, errno, "chmod /" PLACE);
	dir = file_open(AT_FDCWD, PLACE, O_RDONLY | O_DIRECTORY, 0, e);
	if (dir < 0)
		return -1;
	for (const char *p = text; p < text + n; p += strlen(p) + 1)
		if (put_one(dir, p, uid, gid, e) < 0)
			return -1;
	if (fchown(dir, uid, gid) < 0 || chmod(PLACE, 0500) < 0 ||
	    mount(NULL, PLACE, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "make /" PLACE " read-only");
	return 0;
}
