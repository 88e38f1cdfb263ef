// SPDX-License-Identifier: Apache-2.0
#include "runner/world.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/runner.h"
#include "runner/sys.h"
#include "runner/template.h"

#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { IDS = 65536, DEFAULT_BASE = 1000000 };

static const struct world_mask all_masks[] = {
	{ "acpi", WORLD_HIDE_FOLDER },	    { "asound", WORLD_HIDE_FOLDER },
	{ "scsi", WORLD_HIDE_FOLDER },	    { "kcore", WORLD_HIDE_FILE },
	{ "keys", WORLD_HIDE_FILE },	    { "latency_stats", WORLD_HIDE_FILE },
	{ "timer_list", WORLD_HIDE_FILE },  { "timer_stats", WORLD_HIDE_FILE },
	{ "sched_debug", WORLD_HIDE_FILE }, { "bus", WORLD_READ_ONLY },
	{ "fs", WORLD_READ_ONLY },	    { "irq", WORLD_READ_ONLY },
	{ "sys", WORLD_READ_ONLY },	    { "sysrq-trigger", WORLD_READ_ONLY },
};

static void add_limit(struct world *w, const char *text)
{
	size_t n = strlen(w->limits);

	snprintf(w->limits + n, sizeof(w->limits) - n, "%s%s", n ? "; " : "", text);
}

static int put_text(const char *path, const char *text, struct err *e)
{
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0, e);

	return fd < 0 || file_write_all(fd, text, strlen(text), e) < 0 ? err_wrap(e, "%s", path)
								       : 0;
}

// An ordinary user becomes the root of a user namespace, in which all that follows is the same as for the real
// one, except that there is just one user id.
static int become_root(const struct runner_options *o, struct err *e)
{
	auto_free char *uid = mem_printf("0 %u 1\n", o->user);
	auto_free char *gid = mem_printf("0 %u 1\n", getegid());

	if (o->user != geteuid())
		return err_set(e, ERR_INVALID,
			       "without root rights the runner serves only its own user");
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno,
			       "this system does not let users make user namespaces");
	if (put_text("/proc/self/setgroups", "deny", e) < 0 ||
	    put_text("/proc/self/uid_map", uid, e) < 0 ||
	    put_text("/proc/self/gid_map", gid, e) < 0)
		return -1;
	return 0;
}

static int open_dir(int at, const char *name, const struct world *w, struct err *e)
{
	int fd;
	struct stat st;

	if (mkdirat(at, name, 0700) == 0 && fchownat(at, name, w->owner, w->group, 0) < 0)
		return err_sys(e, ERR_IO, errno, "give %s to its owner", name);
	fd = sys_open_beneath(at, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(e, ERR_IO, errno, "open %s of the data directory", name);
	if (fstat(fd, &st) < 0 || st.st_uid != w->owner) {
		close(fd);
		return err_set(e, ERR_INVALID, "%s of the data directory has a wrong owner", name);
	}
	return fd;
}

static int open_data(struct world *w, const struct runner_options *o, struct err *e)
{
	struct stat st;

	w->data = file_open(AT_FDCWD, o->data_dir, O_RDONLY | O_DIRECTORY, 0, e);
	if (w->data < 0)
		return -1;
	if (fstat(w->data, &st) < 0 || st.st_uid != w->owner)
		return err_set(e, ERR_INVALID, "%s does not belong to user %u", o->data_dir,
			       o->user);
	w->jobs = open_dir(w->data, "jobs", w, e);
	return w->jobs < 0 ? -1 : 0;
}

// Held by nothing but its descriptor, with the one mapping that mounts need.
int world_idmap(const struct world *w, uid_t owner, gid_t group, struct err *e)
{
	auto_free char *uid = mem_printf("%u %u 1\n", owner, w->base);
	auto_free char *gid = mem_printf("%u %u 1\n", group, w->base);
	int gate[2], fd = -1, status;
	char path[64];
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	struct sys_clone_args a = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };

	pid = sys_clone3(&a);
	if (pid == 0) {
		char c;

		close(gate[1]);
		_exit(read(gate[0], &c, 1) == 0 ? 0 : 1);
	}
	close(gate[0]);
	if (pid < 0) {
		err_sys(e, ERR_UNSUPPORTED, errno, "make a user namespace");
	} else {
		snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
		if (put_text(path, uid, e) == 0) {
			snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
			if (put_text(path, gid, e) == 0) {
				snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
				fd = file_open(AT_FDCWD, path, O_RDONLY, 0, e);
			}
		}
	}
	close(gate[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return fd;
}

// Whether the file system of the data directory can show its files under other owners.
static int try_idmap(struct world *w, struct err *e)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP };
	auto_fd int tree = -1;

	w->idmap = world_idmap(w, w->owner, w->group, e);
	if (w->idmap < 0)
		return -1;
	a.userns_fd = (uint64_t)w->idmap;
	tree = open_tree(w->jobs, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return err_sys(e, ERR_UNSUPPORTED, errno, "shift owners of files");
	return 0;
}

static void choose_ids(struct world *w, const struct runner_options *o)
{
	struct err e = { 0 };

	w->idmap = -1;
	if (w->rootless) {
		w->base = 0;
		w->count = 1;
		return;
	}
	w->base = o->id_base ? o->id_base : DEFAULT_BASE;
	w->count = IDS;
	if (try_idmap(w, &e) == 0)
		return;
	log_warn("runner", "%s: jobs run under the daemon's own user id", e.msg);
	file_close(w->idmap);
	w->idmap = -1;
	w->base = w->owner;
	w->count = 1;
	add_limit(w, "jobs share the daemon's user id: the file system cannot shift owners");
}

static void name_limits(struct world *w)
{
	if (w->cgroups.at[CGROUP_MEMORY].dir < 0)
		add_limit(w, "memory is watched ten times a second, not held: no control group");
	if (w->cgroups.at[CGROUP_CPU].dir < 0)
		add_limit(w, "cpu is limited to whole cores");
	if (w->cgroups.at[CGROUP_FREEZER].dir < 0)
		add_limit(w, "idle sandboxes are not frozen: no control group");
	add_limit(w, "output is checked four times a second");
}

static void find_masks(struct world *w)
{
	for (size_t i = 0; i < ARRAY_LEN(all_masks); i++) {
		char path[64];
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%s", all_masks[i].path);
		if (lstat(path, &st) == 0)
			w->masks[w->mask_count++] = all_masks[i];
	}
}

static int open_oci(struct world *w, const struct runner_options *o, struct err *e)
{
	const char *self = o->self ? o->self : "/proc/self/exe";
	auto_buf struct buf seccomp;

	buf_init(&seccomp, 64 << 10);
	if (!o->oci_runtime)
		return 0;
	if (oci_open(&w->oci, o->oci_runtime, self, e) < 0 || filter_json(&seccomp, e) < 0)
		return -1;
	w->oci.seccomp = buf_take(&seccomp);
	w->setup_id = (o->id_base ? o->id_base : DEFAULT_BASE) + IDS - 1;
	return 0;
}

int world_open(struct world *w, const struct runner_options *o, struct err *e)
{
	auto_free char *real = realpath(o->data_dir, NULL);

	*w = (struct world){ .data = -1, .jobs = -1, .idmap = -1, .root = -1, .oci.self = -1 };
	for (int k = 0; k < CGROUP_KINDS; k++)
		w->cgroups.at[k].dir = -1;
	if (!real)
		return err_sys(e, ERR_IO, errno, "find %s", o->data_dir);
	w->cdi = o->cdi;
	w->cdi_count = o->cdi_count;
	w->rootless = geteuid() != 0;
	if (w->rootless && become_root(o, e) < 0)
		return -1;
	w->owner = w->rootless ? 0 : o->user;
	w->group = w->rootless ? 0 : o->group;
	if (open_data(w, o, e) < 0)
		return -1;
	choose_ids(w, o);
	template_stamps(w->stamps);
	w->root = template_make(real, !w->rootless, e);
	if (w->root < 0 || filter_build(&w->filter, e) < 0 || open_oci(w, o, e) < 0)
		return -1;
	find_masks(w);
	return 0;
}

int world_serve(struct world *w, struct err *e)
{
	char group[40];
	struct stat st;

	if (fstat(w->data, &st) < 0)
		return err_sys(e, ERR_IO, errno, "look at the data directory");
	snprintf(group, sizeof(group), "oscar-%llx-%llx", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	cgroup_open_self(&w->cgroups, group);
	name_limits(w);
	return 0;
}

static int loopback_up(struct err *e)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };

	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		return err_sys(e, ERR_IO, errno, "bring up the loopback network");
	return 0;
}

// A process that shares our descriptors makes it: we ourselves could not come back from there without the rights
// of real root.
int world_net_get(struct world *w, struct err *e)
{
	struct sys_clone_args a = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };
	auto_fd int fd = -1;
	int status = -1;
	pid_t pid;

	if (w->net_count)
		return w->nets[--w->net_count];
	fd = file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, e); // keeps the number
	if (fd < 0)
		return -1;
	pid = sys_clone3(&a);
	if (pid == 0) {
		struct err unused = { 0 };
		int ns;

		if (unshare(CLONE_NEWNET) < 0 || loopback_up(&unused) < 0)
			_exit(1);
		ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		status = ns < 0 || dup3(ns, fd, O_CLOEXEC) < 0;
		close(ns);
		_exit(status);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || status)
		return err_set(e, ERR_IO, "cannot make a network namespace");
	return file_take(&fd);
}

void world_net_put(struct world *w, int net)
{
	if (net >= 0 && w->net_count < WORLD_NETS_MAX)
		w->nets[w->net_count++] = net;
	else
		file_close(net);
}

static void remove_group(struct world *w, struct cgroup_job *g)
{
	cgroup_job_close(g);
	cgroup_remove(&w->cgroups, g->name);
}

int world_group_get(struct world *w, const struct cgroup_limits *l, struct cgroup_job *out,
		    struct err *e)
{
	char name[CGROUP_NAME_MAX];

	for (unsigned i = w->group_count; i-- > 0;) {
		const struct cgroup_limits *has = &w->groups[i].limits;

		if (has->memory_bytes != l->memory_bytes || has->cpu_millis != l->cpu_millis ||
		    has->pids_max != l->pids_max || has->freezer != l->freezer)
			continue;
		*out = w->groups[i];
		memmove(&w->groups[i], &w->groups[i + 1],
			(--w->group_count - i) * sizeof(w->groups[0]));
		return 0;
	}
	snprintf(name, sizeof(name), "g%d-%u", (int)getpid(), w->group_serial++);
	return cgroup_job_make(&w->cgroups, name, l, out, e);
}

void world_group_put(struct world *w, struct cgroup_job *g, bool clean)
{
	if (!clean) {
		cgroup_job_close(g);
		return;
	}
	if (w->group_count ==
	    WORLD_GROUPS_MAX) { // the one that waited longest has limits of the past
		remove_group(w, &w->groups[0]);
		memmove(&w->groups[0], &w->groups[1], --w->group_count * sizeof(w->groups[0]));
	}
	w->groups[w->group_count++] = *g;
	*g = (struct cgroup_job)CGROUP_JOB_NONE;
}

void world_pools_drop(struct world *w)
{
	while (w->group_count)
		remove_group(w, &w->groups[--w->group_count]);
	while (w->net_count)
		close(w->nets[--w->net_count]);
}

void world_close(struct world *w)
{
	world_pools_drop(w);
	cgroup_close(&w->cgroups);
	oci_close(&w->oci);
	filter_release(&w->filter);
	file_close(w->root);
	file_close(w->idmap);
	file_close(w->jobs);
	file_close(w->data);
	*w = (struct world){ .data = -1, .jobs = -1, .idmap = -1, .root = -1 };
}

void world_refresh(struct world *w)
{
	int64_t now[WORLD_STAMPS];
	char path[PATH_MAX], link[40];
	struct err e = { 0 };
	ssize_t n;
	int fd;

	template_stamps(now);
	if (memcmp(now, w->stamps, sizeof(now)) == 0)
		return;
	memcpy(w->stamps, now, sizeof(now));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", w->data);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	fd = template_make(path, !w->rootless, &e);
	if (fd < 0) {
		log_warn("runner", "the host's root file system stays as it was: %s", e.msg);
		return;
	}
	close(w->root);
	w->root = fd;
}
