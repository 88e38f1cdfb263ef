// SPDX-License-Identifier: Apache-2.0
#include "runner/rootfs.h"

#include "base/file.h"
#include "base/mem.h"
#include "runner/secrets.h"
#include "runner/sys.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int attach(int tree, const char *where, struct err *e)
{
	if (move_mount(tree, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, ERR_IO, errno, "mount /%s", where);
	return 0;
}

int rootfs_show(const char *from, const char *where, struct err *e)
{
	auto_fd int tree =
		open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0)
		return err_sys(e, ERR_IO, errno, "take %s", from);
	return attach(tree, where, e);
}

static int mount_oscar(const struct sandbox *s, uid_t uid, gid_t gid, struct err *e)
{
	if (attach(s->tree_oscar, "oscar", e) < 0 || attach(s->tree_output, "oscar/output", e) < 0)
		return -1;
	for (uint32_t i = 0; i < s->start->input_count; i++) {
		char path[sizeof("oscar/input/") + PROTO_NAME_MAX];

		if (s->inputs[i].tree < 0)
			continue;
		snprintf(path, sizeof(path), "oscar/input/%s", s->inputs[i].name);
		if (attach(s->inputs[i].tree, path, e) < 0)
			return -1;
	}
	return s->secrets ? secrets_mount(s->secrets, s->secrets_size, uid, gid, e) : 0;
}

// Makes the folders on the way to a mount's place.
static int make_way(char *path, struct err *e)
{
	for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_sys(e, ERR_IO, errno, "make /%s", path);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

static int mount_folders(const struct sandbox *s, struct err *e)
{
	const struct proto_start *m = s->start;
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (!m->mount_count)
		return 0;
	if (mount("tmpfs", "mnt", "tmpfs", flags, "mode=755,size=1m,nr_inodes=8192") < 0)
		return err_sys(e, ERR_IO, errno, "its mounts need a folder /mnt");
	for (uint32_t i = 0; i < m->mount_count; i++) {
		char path[sizeof("mnt/") + PROTO_PATH_MAX];

		snprintf(path, sizeof(path), "mnt/%s", proto_mounts(m)[i].target);
		if (make_way(path, e) < 0 || attach(s->mounts[i], path, e) < 0)
			return -1;
	}
	if (mount(NULL, "mnt", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "make /mnt read-only");
	return 0;
}

// What an image's own /etc says about names is of another machine.
static int mount_names(const struct sandbox *s, struct err *e)
{
	const bool host = s->start->network == PROTO_NETWORK_HOST;
	struct err unused = { 0 };

	if (host) {
		if (s->tree_resolv >= 0 && attach(s->tree_resolv, "etc/resolv.conf", e) < 0)
			return -1;
		return s->tree_hosts >= 0 ? attach(s->tree_hosts, "etc/hosts", e) : 0;
	}
	if (s->start->network == PROTO_NETWORK_NAT &&
	    rootfs_show("/etc/resolv.nat", "etc/resolv.conf", e) < 0)
		return err_wrap(e, "network: nat");
	if (s->tree_root >= 0) // no network: an image without these files can do without them
		(void)(rootfs_show("/etc/hosts", "etc/hosts", &unused) +
		       rootfs_show("/etc/hostname", "etc/hostname", &unused));
	return 0;
}

int rootfs_tmpfs(const char *where, uint64_t size, uid_t uid, gid_t gid, struct err *e)
{
	char options[96];
	int n = snprintf(options, sizeof(options), "mode=1777,size=%llu", (unsigned long long)size);

	if (uid != (uid_t)-1)
		snprintf(options + n, sizeof(options) - (size_t)n, ",uid=%u,gid=%u", uid, gid);
	if (mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return err_sys(e, ERR_IO, errno, "mount /%s", where);
	return 0;
}

int rootfs_begin(const struct sandbox *s, struct err *e)
{
	if (s->tree_root >= 0 ? attach(s->tree_root, "/new", e) < 0
			      : rootfs_show("/host", "/new", e) < 0)
		return -1;
	return chdir("/new") < 0 ? err_sys(e, ERR_IO, errno, "enter the new root") : 0;
}

int rootfs_fill(const struct sandbox *s, uid_t uid, gid_t gid, struct err *e)
{
	return mount_oscar(s, uid, gid, e) < 0 || mount_folders(s, e) < 0 || mount_names(s, e) < 0
		       ? -1
		       : 0;
}
