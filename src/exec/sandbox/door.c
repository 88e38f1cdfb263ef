// SPDX-License-Identifier: Apache-2.0
// door: ways to what listens in a sandbox.
#include "runner/door.h"

#include "base/file.h"
#include "exec/sandbox/box.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int box_connect(int dir, const char *name, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(e, ERR_UNAVAILABLE, errno, "connect to a sandbox");
	return file_take(&fd);
}

int box_open_door(struct exec_driver *base, const char *id, unsigned attempt, struct err *e)
{
	char name[JOBDIR_NAME_MAX];
	auto_fd int dir = -1;
	int got;

	if (box_name(id, attempt, name, e) < 0)
		return -1;
	dir = box_open_job((struct sandbox_driver *)base, name, e);
	if (dir < 0)
		return -1;
	got = box_connect(dir, DOOR_SOCKET, e);
	if (got >= 0) // nobody else shall come; and the folder is used again
		unlinkat(dir, DOOR_SOCKET, 0);
	return got;
}

int box_freeze(struct exec_driver *base unused_arg, int door, struct err *e)
{
	return door_freeze(door, e);
}

int box_dial(struct exec_driver *base unused_arg, int door, struct err *e)
{
	return door_dial(door, e);
}
