// SPDX-License-Identifier: Apache-2.0
// The child between clone and its first script: builds the root file system, then gives up every right.
// Only our own code has run up to here, with rights over nothing but its own namespaces.
#include "base/file.h"
#include "base/mem.h"
#include "runner/sandbox.h"
#include "runner/secrets.h"
#include "runner/sys.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { SHM_MAX = 64 << 20 };
static const uint64_t default_scratch = UINT64_C(64) << 20;

void inside_report(const struct sandbox *s, const struct sandbox_report *r)
{
	// Nobody reads any more: then the shim is dead and we are about to be.
	ssize_t done = write(s->report, r, sizeof(*r));

	(void)done;
}

static int attach(int tree, const char *where, struct err *e)
{
	if (move_mount(tree, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, ERR_IO, errno, "mount /%s", where);
	return 0;
}

// Shows a part of the template at `where` below the new root.
static int attach_template(const char *from, const char *where, struct err *e)
{
	auto_fd int tree =
		open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0)
		return err_sys(e, ERR_IO, errno, "take %s", from);
	return attach(tree, where, e);
}

static int mount_tmpfs(const char *where, uint64_t size, struct err *e)
{
	char options[64];

	snprintf(options, sizeof(options), "mode=1777,size=%llu", (unsigned long long)size);
	if (mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return err_sys(e, ERR_IO, errno, "mount /%s", where);
	return 0;
}

static int mask_one(const struct world_mask *m, struct err *e)
{
	char path[64];
	const unsigned long ro =
		MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int bad;

	snprintf(path, sizeof(path), "proc/%s", m->path);
	if (m->how == WORLD_READ_ONLY)
		bad = mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
		      mount(NULL, path, NULL, ro, NULL) < 0;
	else
		bad = mount(m->how == WORLD_HIDE_FILE ? "/dev/null" : "/empty", path, NULL, MS_BIND,
			    NULL) < 0;
	// Some of them are not there in every pid namespace.
	return bad && errno != ENOENT ? err_sys(e, ERR_IO, errno, "hide /%s", path) : 0;
}

static int mount_proc(const struct world *w, struct err *e)
{
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "mount /proc");
	for (unsigned i = 0; i < w->mask_count; i++)
		if (mask_one(&w->masks[i], e) < 0)
			return -1;
	return 0;
}

static int mount_oscar(const struct sandbox *s, struct err *e)
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
	return s->secrets ? secrets_mount(s->secrets, s->secrets_size, e) : 0;
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
	if (s->tree_root >= 0) // no network: an image without these files can do without them
		(void)(attach_template("/etc/hosts", "etc/hosts", &unused) +
		       attach_template("/etc/hostname", "etc/hostname", &unused));
	return 0;
}

static int build_root(const struct sandbox *s, struct err *e)
{
	const struct proto_start *m = s->start;
	const uint64_t scratch = m->scratch_bytes_max ? m->scratch_bytes_max : default_scratch;

	if (s->tree_root >= 0 ? attach(s->tree_root, "/new", e) < 0
			      : attach_template("/host", "/new", e) < 0)
		return -1;
	if (chdir("/new") < 0)
		return err_sys(e, ERR_IO, errno, "enter the new root");
	if (attach_template("/dev", "dev", e) < 0 ||
	    mount_tmpfs("dev/shm", scratch < SHM_MAX ? scratch : SHM_MAX, e) < 0 ||
	    mount_tmpfs("tmp", scratch, e) < 0 || mount_proc(s->world, e) < 0 ||
	    mount_oscar(s, e) < 0 || mount_folders(s, e) < 0 || mount_names(s, e) < 0)
		return s->tree_root < 0 ? -1 : err_wrap(e, "the image cannot be used");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, ERR_IO, errno, "change the root");
	return 0;
}

// The rights over the new namespaces stay with the process whatever its number is, until they are dropped.
static int become_user(const struct sandbox *s, struct err *e)
{
	const struct proto_start *m = s->start;
	gid_t groups[PROTO_GROUPS_MAX];
	char c;

	if (read(s->go, &c, 1) != 1)
		_exit(1); // the shim gave up or died
	if (cgroup_job_enter(s->cgroup, e) < 0)
		return -1;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, ERR_IO, errno, "make a control group namespace");
	for (unsigned i = 0; i < sandbox_groups(s); i++)
		groups[i] = m->groups[i];
	if (setresgid(m->gid, m->gid, m->gid) < 0 ||
	    (setgroups(sandbox_groups(s), groups) < 0 && !s->world->rootless) ||
	    setresuid(m->uid, m->uid, m->uid) < 0)
		return err_sys(e, ERR_IO, errno, "become user %u of the sandbox", m->uid);
	return 0;
}

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	for (int c = 0; c <= CAP_LAST_CAP || prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
			return err_sys(e, ERR_IO, errno, "drop capability %d", c);
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &h, none) < 0)
		return err_sys(e, ERR_IO, errno, "drop capabilities");
	return 0;
}

static int lock_in(const struct sandbox *s, struct err *e)
{
	struct pollfd reader = { .fd = s->report };

	if (drop_capabilities(e) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, ERR_IO, errno, "forbid new rights");
	// The kernel forgets this at each change of user, so it comes last; and a shim that died before it
	// has left a pipe without a reader.
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(e, ERR_IO, errno, "bind my life to the shim's");
	if (poll(&reader, 1, 0) > 0 && reader.revents & POLLERR)
		_exit(1);
	return filter_load(&s->world->filter, e);
}

static int prepare(const struct sandbox *s, struct err *e)
{
	if (become_user(s, e) < 0)
		return -1;
	if (sethostname("oscar", 5) < 0)
		return err_sys(e, ERR_IO, errno, "set the host name");
	return build_root(s, e) < 0 ? -1 : lock_in(s, e);
}

no_return void inside_run(const struct sandbox *s)
{
	struct err e = { 0 };

	umask(022);
	if (prctl(PR_SET_NAME, "oscar-init", 0, 0, 0) < 0 || prepare(s, &e) < 0) {
		struct sandbox_report r = { .kind = REPORT_FAILED };

		snprintf(r.text, sizeof(r.text), "%.*s", SANDBOX_TEXT_MAX - 1, e.msg);
		inside_report(s, &r);
		_exit(1);
	}
	init_run(s);
}
