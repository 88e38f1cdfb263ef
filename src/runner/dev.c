// SPDX-License-Identifier: Apache-2.0
#include "runner/dev.h"

#include "base/file.h"
#include "base/mem.h"
#include "runner/device.h"
#include "runner/layer.h"
#include "runner/rootfs.h"
#include "runner/sys.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const struct {
	const char *name;
	unsigned minor;
	unsigned major;
} nodes[] = {
	{ "null", 3, 1 },   { "zero", 5, 1 },	 { "full", 7, 1 },
	{ "random", 8, 1 }, { "urandom", 9, 1 }, { "tty", 0, 5 },
};

// chmod, for the umask takes away what everybody needs.
static int make_node(int dir, const char *name, mode_t mode, dev_t number, struct err *e)
{
	return mknodat(dir, name, mode, number) < 0 || fchmodat(dir, name, mode & 07777, 0) < 0
		       ? err_sys(e, ERR_IO, errno, "make /dev/%s", name)
		       : 0;
}

static int make_place(int dir, const char *name, struct err *e)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "make /dev/%s", name);
	close(fd);
	return 0;
}

static int bind_host(int dir, const char *name, struct err *e)
{
	auto_free char *from = mem_printf("/dev/%s", name);
	auto_free char *to = mem_printf("/proc/self/fd/%d/%s", dir, name);

	if (make_place(dir, name, e) < 0)
		return -1;
	return mount(from, to, NULL, MS_BIND, NULL) < 0 ? err_sys(e, ERR_IO, errno, "bind %s", from)
							: 0;
}

int dev_fill(int dir, bool real, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
		if (real ? make_node(dir, nodes[i].name, S_IFCHR | 0666,
				     makedev(nodes[i].major, nodes[i].minor), e) < 0
			 : bind_host(dir, nodes[i].name, e) < 0)
			return -1;
	return symlinkat("/proc/self/fd", dir, "fd") < 0 ||
			       symlinkat("/proc/self/fd/0", dir, "stdin") < 0 ||
			       symlinkat("/proc/self/fd/1", dir, "stdout") < 0 ||
			       symlinkat("/proc/self/fd/2", dir, "stderr") < 0 ||
			       mkdirat(dir, "shm", 01777) < 0 || mkdirat(dir, "pts", 0755) < 0
		       ? err_sys(e, ERR_IO, errno, "fill /dev")
		       : 0;
}

static int open_tmpfs(struct err *e)
{
	auto_fd int fs = (int)syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */);
	int fd = -1;

	if (fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "mode", "755", 0) == 0 &&
	    fsconfig(fs, FSCONFIG_SET_STRING, "size", "1m", 0) == 0 &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
	return fd < 0 ? err_sys(e, ERR_IO, errno, "make a /dev") : fd;
}

static int own_node(int dev, const struct device_node *n, const struct world *w, struct err *e)
{
	const char *name;
	auto_fd int dir = layer_parent(dev, n->name, &name, e);

	if (dir < 0 || make_node(dir, name, n->mode, n->number, e) < 0)
		return -1;
	return fchownat(dir, name, w->base, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0
		       ? err_sys(e, ERR_IO, errno, "give /dev/%s to the sandbox", n->name)
		       : 0;
}

int dev_make(struct devices *d, const struct world *w, struct err *e)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	auto_fd int dev = open_tmpfs(e);
	const mode_t mask = umask(022);
	int bad = dev < 0 ? -1 : dev_fill(dev, true, e);

	for (size_t i = 0; i < d->node_count && !bad; i++)
		bad = own_node(dev, &d->nodes[i], w, e);
	umask(mask);
	if (bad)
		return -1;
	if (mount_setattr(dev, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
		return err_sys(e, ERR_IO, errno, "make /dev read-only");
	d->dev = file_take(&dev);
	return 0;
}

static int attach_node(int dev, const struct device_node *n, struct err *e)
{
	const char *name;
	auto_fd int dir = layer_parent(dev, n->name, &name, e);

	if (dir < 0 || make_place(dir, name, e) < 0)
		return -1;
	return move_mount(n->tree, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) < 0
		       ? err_sys(e, ERR_IO, errno, "mount /dev/%s", n->name)
		       : 0;
}

// Without root rights nodes cannot be made, only shown.
static int attach_bound(const struct devices *d, const char *where, struct err *e)
{
	const unsigned long flags = MS_NOSUID;
	auto_fd int dev = -1;

	if (mount("tmpfs", where, "tmpfs", flags, "mode=755,size=1m") < 0)
		return err_sys(e, ERR_IO, errno, "mount a /dev");
	dev = file_open(AT_FDCWD, where, O_RDONLY | O_DIRECTORY, 0, e);
	if (dev < 0 || dev_fill(dev, false, e) < 0)
		return -1;
	for (size_t i = 0; i < d->node_count; i++)
		if (attach_node(dev, &d->nodes[i], e) < 0)
			return -1;
	return mount(NULL, where, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0
		       ? err_sys(e, ERR_IO, errno, "make /dev read-only")
		       : 0;
}

int dev_attach(const struct sandbox *s, const char *where, struct err *e)
{
	const struct devices *d = &s->devices;

	if (!s->start->device_count)
		return rootfs_show("/dev", where, e);
	if (!d->dev)
		return attach_bound(d, where, e);
	return move_mount(d->dev, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0
		       ? err_sys(e, ERR_IO, errno, "mount /%s", where)
		       : 0;
}
