// SPDX-License-Identifier: Apache-2.0
#include "runner/oci.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/dev.h"
#include "runner/program.h"
#include "runner/rootfs.h"
#include "runner/sys.h"

#include <elf.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum {
	RUNTIME_MS = 30000, // a runtime that has not ended by then does not work
	CONFIG_MAX = 64 << 10,
	SAID_MAX = 512,
	FDS_MAX = OCI_FD_GROUPS - OCI_FD_SPEC + CGROUP_KINDS + 1,
	FD_ABOVE = 64, // above all numbers that pid 1 gets
};

#define CGROUPS "/sys/fs/cgroup"

static const char state_dir[] = OCI_BUNDLE "/state"; // the runtime's own
static const char pid_file[] = OCI_BUNDLE "/pid";

// ---- the runtime and what of ours goes with it ---------------------------------------------------------

// Pid 1 is this program inside of any image, so it must need nothing of one.
static int check_static(int self, const char *path, struct err *e)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;

	if (file_pread_full(self, &head, sizeof(head), 0, e) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(e, ERR_UNSUPPORTED, "%s is no program", path);
	for (unsigned i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + i * head.e_phentsize);

		if (file_pread_full(self, &part, sizeof(part), at, e) != sizeof(part))
			return err_set(e, ERR_UNSUPPORTED, "%s is no program", path);
		if (part.p_type == PT_INTERP)
			return err_set(e, ERR_UNSUPPORTED,
				       "with an OCI runtime the runner must be the static program "
				       "oscar-runner, which is missing beside oscar");
	}
	return 0;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *oci_find(const char *runtime, struct err *e)
{
	const char *name = last_part(runtime);
	char *path;

	if ((strncmp(name, "crun", 4) != 0 && strncmp(name, "runc", 4) != 0) ||
	    (name != runtime && runtime[0] != '/')) {
		(void)err_set(e, ERR_INVALID, "%s: want crun, runc or the absolute path of one",
			      runtime);
		return NULL;
	}
	path = program_find(runtime);
	if (!path)
		(void)err_set(e, ERR_NOT_FOUND, "%s is not installed, or cannot be executed",
			      runtime);
	return path;
}

int oci_open(struct oci *o, const char *runtime, const char *self, struct err *e)
{
	*o = (struct oci){ .self = -1, .path = oci_find(runtime, e) };
	if (!o->path)
		return err_wrap(e, "OCI runtime");
	o->runc = last_part(o->path)[0] == 'r';
	o->self = file_open(AT_FDCWD, self, O_RDONLY, 0, e);
	return o->self < 0 ? -1 : check_static(o->self, self, e);
}

void oci_close(struct oci *o)
{
	if (!o->path)
		return;
	mem_free(o->path);
	mem_free(o->seccomp);
	file_close(o->self);
	*o = (struct oci){ .self = -1 };
}

// ---- the bundle ----------------------------------------------------------------------------------------

// What the runtime mounts upon; it would complain in its own words.
static int check_folders(struct err *e)
{
	static const char *const names[] = { "dev", "proc" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (lstat(names[i], &st) < 0 || !S_ISDIR(st.st_mode))
			return err_set(e, ERR_IO, "mount /%s: it is not there, or no folder",
				       names[i]);
	return 0;
}

// The whole root file system and /dev as detached mounts, made in a copy of the template, which must not change.
static int make_trees(const struct sandbox *s, int *root, int *dev, struct err *e)
{
	const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
	const struct world *w = s->world;
	const uint32_t group = w->idmap < 0 ? w->group : w->base;
	const bool own = s->start->device_count > 0;

	if (setns(w->root, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
		return err_sys(e, ERR_IO, errno, "enter the sandbox's root");
	if (rootfs_begin(s, e) < 0)
		return -1;
	if (check_folders(e) < 0 ||
	    layer_attach(s->devices.places, s->devices.place_count, s->tree_root >= 0, e) < 0 ||
	    (own && dev_attach(s, "dev", e) < 0) ||
	    rootfs_tmpfs(own ? "dev/shm" : "/dev/shm", sandbox_shm_bytes(s), w->base, group, e) <
		    0 ||
	    rootfs_tmpfs("tmp", sandbox_scratch_bytes(s), w->base, group, e) < 0 ||
	    rootfs_fill(s, w->base, group, e) < 0)
		return s->tree_root < 0 ? -1 : err_wrap(e, "the image cannot be used");
	*root = open_tree(AT_FDCWD, "/new", flags);
	*dev = open_tree(AT_FDCWD, own ? "dev" : "/dev", flags);
	return *root < 0 || *dev < 0 ? err_sys(e, ERR_IO, errno, "take the sandbox's root") : 0;
}

// One folder for each hierarchy, as a runtime expects them where it finds no control groups' file system.
static int make_hierarchies(struct err *e)
{
	auto_buf struct buf text;
	struct span all;

	buf_init(&text, 1 << 16);
	if (file_read_path(AT_FDCWD, "/proc/self/cgroup", &text, e) < 0)
		return -1;
	all = buf_span(&text);
	while (all.n) {
		struct span line = span_cut(&all, '\n'), list;

		span_cut(&line, ':');
		list = span_cut(&line, ':');
		while (list.n) {
			struct span name = span_cut(&list, ',');
			auto_free char *path = mem_printf(CGROUPS "/" SPAN_FMT, SPAN_ARG(name));

			if (span_find(name, '=') < 0 && mkdir(path, 0555) < 0 && errno != EEXIST)
				return err_sys(e, ERR_IO, errno, "mkdir %s", path);
		}
	}
	return 0;
}

// A runtime that cannot write to control groups leaves them to us: crun is told so, runc takes it for the lack of
// rights of an ordinary user. On a machine with both versions crun refuses to run at all unless it sees none.
static int hide_groups(struct err *e)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	struct statfs st;

	if (statfs(CGROUPS, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "look at " CGROUPS);
	if (st.f_type != CGROUP2_SUPER_MAGIC) {
		if (mount("none", CGROUPS, "tmpfs", flags, "mode=755,size=1m") < 0)
			return err_sys(e, ERR_IO, errno, "hide " CGROUPS);
		if (make_hierarchies(e) < 0)
			return -1;
	}
	return mount(NULL, CGROUPS, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0
		       ? err_sys(e, ERR_IO, errno, "make " CGROUPS " read-only")
		       : 0;
}

static int write_config(const struct sandbox *s, struct err *e)
{
	auto_buf struct buf text;
	auto_fd int fd = -1;

	buf_init(&text, CONFIG_MAX);
	if (oci_config(s, &text, e) < 0)
		return -1;
	fd = file_open(AT_FDCWD, OCI_BUNDLE "/config.json", O_WRONLY | O_CREAT | O_EXCL, 0600, e);
	return fd < 0 ? -1 : file_write_all(fd, text.p, text.n, e);
}

// In a mount namespace of our own, that nobody else sees: a runtime wants the host's file system around it.
static int make_bundle(const struct sandbox *s, int host, int root, int dev, struct err *e)
{
	const unsigned move = MOVE_MOUNT_F_EMPTY_PATH;

	// As a slave, what the host unmounts does not stay mounted here.
	if (setns(host, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "make a mount namespace for the OCI runtime");
	if (mount("oscar", OCI_BUNDLE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=8m") < 0 ||
	    mkdir(OCI_BUNDLE "/rootfs", 0755) < 0 || mkdir(OCI_BUNDLE "/dev", 0755) < 0 ||
	    mkdir(state_dir, 0700) < 0 ||
	    move_mount(root, "", AT_FDCWD, OCI_BUNDLE "/rootfs", move) < 0 ||
	    move_mount(dev, "", AT_FDCWD, OCI_BUNDLE "/dev", move) < 0)
		return err_sys(e, ERR_IO, errno, "make the container's bundle");
	return hide_groups(e) < 0 ? -1 : write_config(s, e);
}

// ---- running it ----------------------------------------------------------------------------------------

struct handed {
	int fds[FDS_MAX];
	unsigned count, groups;
	int spec, procs; // ours
};

static void handed_release(struct handed *h)
{
	file_close(h->spec);
	file_close(h->procs);
}

// In the order of enum oci_fd.
static int hand_over(const struct sandbox *s, struct handed *h, int null, struct err *e)
{
	const bool kept = sandbox_waits(s->start);

	for (int k = 0; k < CGROUP_KINDS; k++)
		if (s->cgroup->enter[k] >= 0)
			h->fds[OCI_FD_GROUPS - OCI_FD_SPEC + h->groups++] = s->cgroup->enter[k];
	if (s->cgroup->unified >= 0) {
		h->procs = file_open(s->cgroup->unified, "cgroup.procs", O_WRONLY, 0, e);
		if (h->procs < 0)
			return -1;
		h->fds[OCI_FD_GROUPS - OCI_FD_SPEC + h->groups++] = h->procs;
	}
	h->spec = oci_spec_write(s, h->groups, e);
	if (h->spec < 0)
		return -1;
	h->fds[0] = h->spec;
	h->fds[OCI_FD_GO - OCI_FD_SPEC] = s->go;
	h->fds[OCI_FD_REPORT - OCI_FD_SPEC] = s->report;
	h->fds[OCI_FD_SELF - OCI_FD_SPEC] = s->world->oci.self;
	for (int i = 0; i < 3; i++)
		h->fds[OCI_FD_STD - OCI_FD_SPEC + i] = kept ? null : s->std[i];
	if (kept)
		h->fds[OCI_FD_STD - OCI_FD_SPEC] = s->calls;
	h->count = OCI_FD_GROUPS - OCI_FD_SPEC + h->groups;
	return 0;
}

// The child: nothing of the shim's goes with it but what it is handed.
static no_return void become_runtime(const struct oci *o, int program, const struct handed *h,
				     int null, int said)
{
	char count[16];
	const char *const argv[] = { o->runc ? "runc" : "crun",
				     "--root",
				     state_dir,
				     o->runc ? "--rootless=true" : "--cgroup-manager=disabled",
				     "run",
				     "--detach",
				     "--preserve-fds",
				     count,
				     "--pid-file",
				     pid_file,
				     "--bundle",
				     OCI_BUNDLE,
				     "job",
				     NULL };
	static char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	int high[FDS_MAX];
	sigset_t none;

	snprintf(count, sizeof(count), "%u", h->count);
	sigemptyset(&none);
	sys_signals_default();
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	umask(022);
	program = fcntl(program, F_DUPFD_CLOEXEC, FD_ABOVE);
	for (unsigned i = 0; i < h->count; i++)
		high[i] = fcntl(h->fds[i], F_DUPFD_CLOEXEC, FD_ABOVE);
	if (dup2(null, 0) < 0 || dup2(said, 1) < 0 || dup2(said, 2) < 0)
		_exit(126);
	for (unsigned i = 0; i < h->count; i++)
		if (dup2(high[i], OCI_FD_SPEC + (int)i) < 0)
			_exit(126);
	if (close_range(OCI_FD_SPEC + h->count, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
	_exit(127);
}

static int wait_runtime(const struct oci *o, pid_t pid, int said, struct err *e)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	const int64_t by = clock_mono_ns() + RUNTIME_MS * NS_PER_MS;
	char text[SAID_MAX];
	int status = -1, left;

	while ((left = (int)((by - clock_mono_ns()) / NS_PER_MS)) > 0 && pidfd >= 0 &&
	       poll(&ended, 1, left) < 0 && errno == EINTR)
		;
	if (!(ended.revents & POLLIN))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!(ended.revents & POLLIN))
		return err_set(e, ERR_TIMEOUT, "%s did not make a container within %d s", o->path,
			       RUNTIME_MS / 1000);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	program_said(said, text, sizeof(text));
	return err_set(e, ERR_IO, "%s: %.200s", o->path,
		       text[0] ? text : "it failed without a word");
}

// Whose parent we are since the runtime has ended.
static int adopt(struct sandbox_parent *p, struct err *e)
{
	auto_buf struct buf text;
	uint64_t pid;

	buf_init(&text, 32);
	if (file_read_path(AT_FDCWD, pid_file, &text, e) < 0)
		return -1;
	if (!span_to_u64(span_trim(buf_span(&text)), &pid) || pid < 2 || pid > INT32_MAX)
		return err_set(e, ERR_IO, "the OCI runtime did not say which process it started");
	p->pid = (pid_t)pid;
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	return p->pidfd < 0 ? err_sys(e, ERR_IO, errno, "find the container's process") : 0;
}

static int run_runtime(const struct sandbox *s, int program, struct sandbox_parent *out,
		       struct err *e)
{
	const struct oci *o = &s->world->oci;
	struct handed h = { .spec = -1, .procs = -1 };
	auto_fd int null = file_open(AT_FDCWD, "/dev/null", O_RDWR, 0, e);
	auto_fd int said = -1;
	int pair[2], bad = null < 0 ? -1 : hand_over(s, &h, null, e);
	pid_t pid;

	if (bad || pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0) {
		handed_release(&h);
		return bad ? bad : err_sys(e, ERR_IO, errno, "pipe");
	}
	said = pair[0];
	pid = fork();
	if (pid == 0)
		become_runtime(o, program, &h, null, pair[1]);
	close(pair[1]);
	handed_release(&h);
	if (pid < 0)
		return err_sys(e, ERR_BUSY, errno, "fork");
	return wait_runtime(o, pid, said, e) < 0 ? -1 : adopt(out, e);
}

int oci_launch(struct sandbox *s, struct sandbox_parent *out, struct err *e)
{
	const struct world *w = s->world;
	auto_fd int program = file_open(AT_FDCWD, w->oci.path, O_PATH, 0, e);
	auto_fd int host = file_open(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0, e);
	auto_fd int root = -1, dev = -1;
	int bad;

	if (program < 0 || host < 0 || make_trees(s, &root, &dev, e) < 0 ||
	    make_bundle(s, host, root, dev, e) < 0)
		return -1;
	if (s->net >= 0 && setns(s->net, CLONE_NEWNET) < 0)
		return err_sys(e, ERR_IO, errno, "enter the sandbox's network");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(e, ERR_IO, errno, "become the parent of the container's processes");
	bad = run_runtime(s, program, out, e);
	// Bundle and records go, and with them the copy of the host's mounts.
	if (setns(w->root, CLONE_NEWNS) < 0 && !bad)
		bad = err_sys(e, ERR_IO, errno, "leave the OCI runtime's mounts");
	return bad;
}
