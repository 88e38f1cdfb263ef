// SPDX-License-Identifier: Apache-2.0
// The child between clone and its first script: builds the root file system, then gives up every right.
// Only our own code has run up to here, with rights over nothing but its own namespaces.
#include "base/file.h"
#include "runner/dev.h"
#include "runner/rootfs.h"
#include "runner/sandbox.h"
#include "runner/sys.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

void inside_report(const struct sandbox *s, const struct sandbox_report *r)
{
	// Nobody reads any more: then the shim is dead and we are about to be.
	ssize_t done = write(s->report, r, sizeof(*r));

	(void)done;
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

static int build_root(const struct sandbox *s, struct err *e)
{
	const uid_t own = (uid_t)-1;

	if (rootfs_begin(s, e) < 0)
		return -1;
	if (layer_attach(s->devices.places, s->devices.place_count, s->tree_root >= 0, e) < 0 ||
	    dev_attach(s, "dev", e) < 0 ||
	    rootfs_tmpfs("dev/shm", sandbox_shm_bytes(s), own, own, e) < 0 ||
	    rootfs_tmpfs("tmp", sandbox_scratch_bytes(s), own, own, e) < 0 ||
	    mount_proc(s->world, e) < 0 || rootfs_fill(s, own, own, e) < 0)
		return s->tree_root < 0 ? -1 : err_wrap(e, "the image cannot be used");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, ERR_IO, errno, "change the root");
	return 0;
}

// The rights over the new namespaces stay with the process whatever its number is, until they are dropped.
static int become_user(const struct sandbox *s, struct err *e)
{
	const struct proto_start *m = s->start;
	gid_t groups[PROTO_GROUPS_MAX + DEVICE_GROUPS_MAX];
	unsigned n = 0;
	char c;

	if (read(s->go, &c, 1) != 1)
		_exit(1); // the shim gave up or died
	if (cgroup_job_enter(s->cgroup, e) < 0)
		return -1;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, ERR_IO, errno, "make a control group namespace");
	for (unsigned i = 0; i < sandbox_groups(s); i++)
		groups[n++] = m->groups[i];
	for (unsigned i = 0; i < s->devices.group_count; i++)
		groups[n++] = s->devices.inside[i];
	if (setresgid(m->gid, m->gid, m->gid) < 0 ||
	    (setgroups(n, groups) < 0 && !s->world->rootless) ||
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
