// SPDX-License-Identifier: Apache-2.0
#include "app/app.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

int data_lock(const char *data, int *fd, struct err *e)
{
	auto_free char *path = mem_printf("%s/lock", data);
	char pid[16];
	int n;

	*fd = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644, e);
	if (*fd < 0)
		return -1;
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(
			e, ERR_BUSY,
			"another oscar serves %s already: stop it (oscar stop --data %s) or choose "
			"another --data",
			data, data);
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(*fd, 0) < 0)
		return err_sys(e, ERR_IO, errno, "%s", path);
	return file_pwrite_all(*fd, pid, (size_t)n, 0, e);
}
