// SPDX-License-Identifier: Apache-2.0
#include "runner/sandbox.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/bind.h"
#include "runner/jobdir.h"
#include "runner/oci.h"
#include "runner/secrets.h"
#include "runner/sys.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

void sandbox_init(struct sandbox *s, const struct world *w, const struct proto_start *m,
		  const int *files, int net, const struct cgroup_job *group)
{
	*s = (struct sandbox){
		.world = w, .start = m, .go = -1, .report = -1, .net = net, .cgroup = group
	};
	s->std[0] = s->std[1] = s->std[2] = s->calls = s->env_file = -1;
	s->tree_root = s->tree_oscar = s->tree_output = s->tree_resolv = s->tree_hosts = -1;
	s->inputs = mem_zalloc((m->input_count + 1) * sizeof(*s->inputs));
	for (uint32_t i = 0; i < m->input_count; i++)
		s->inputs[i] =
			(struct sandbox_input){ .tree = -1,
						.file = m->input[i].content[0] ? -1 : *files++ };
	s->folders = files;
	s->streams = files + m->mount_count;
	for (uint32_t i = 0; i < PROTO_MOUNTS_MAX; i++)
		s->mounts[i] = -1;
	s->watch_memory = w->cgroups.at[CGROUP_MEMORY].dir < 0 && m->memory_bytes;
	s->limit_pids = w->cgroups.at[CGROUP_PIDS].dir < 0 && m->pids_max;
	s->limit_cpu = w->cgroups.at[CGROUP_CPU].dir < 0 && m->cpu_millis;
}

void sandbox_release(struct sandbox *s)
{
	int *fds[] = { &s->go,		&s->report,	 &s->calls,	&s->std[0],
		       &s->std[1],	&s->std[2],	 &s->tree_root, &s->tree_oscar,
		       &s->tree_output, &s->tree_resolv, &s->tree_hosts };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		file_close(*fds[i]);
		*fds[i] = -1;
	}
	for (uint32_t i = 0; s->inputs && i < s->start->input_count; i++)
		file_close(s->inputs[i].tree);
	for (uint32_t i = 0; i < PROTO_MOUNTS_MAX; i++) {
		file_close(s->mounts[i]);
		s->mounts[i] = -1;
	}
	devices_release(&s->devices);
	mem_free(s->inputs);
	mem_free(s->env);
	mem_free(s->env_text);
	mem_free(s->secrets);
	s->inputs = NULL;
	s->env = NULL;
	s->env_text = NULL;
	s->secrets = NULL;
}

static int open_input(const struct sandbox *s, const struct proto_input *m,
		      struct sandbox_input *in, int jobdir, struct err *e)
{
	const struct world *w = s->world;

	if (in->file >= 0)
		return bind_passed(w, in->file, m, jobdir, &in->tree, e);
	in->tree = bind_path(w, w->data, m->content, S_IFREG, MOUNT_ATTR_RDONLY, e);
	return in->tree < 0 ? -1 : 0;
}

static int open_mounts(struct sandbox *s, int jobdir, struct err *e)
{
	const struct world *w = s->world;
	const struct proto_start *m = s->start;

	if (strcmp(m->image, "host") != 0) {
		auto_free char *path = mem_printf("images/%s/rootfs", m->image);

		s->tree_root = bind_path(w, w->data, path, S_IFDIR, MOUNT_ATTR_RDONLY, e);
		if (s->tree_root < 0)
			return err_wrap(e, "image %s", m->image);
	}
	s->tree_oscar = bind_path(w, jobdir, "oscar", S_IFDIR, MOUNT_ATTR_RDONLY, e);
	if (s->tree_oscar < 0)
		return -1;
	s->tree_output = bind_path(w, jobdir, "oscar/output", S_IFDIR, 0, e);
	if (s->tree_output < 0)
		return -1;
	for (uint32_t i = 0; i < m->input_count; i++) {
		s->inputs[i].name = m->input[i].name;
		if (open_input(s, &m->input[i], &s->inputs[i], jobdir, e) < 0)
			return err_wrap(e, "input %s", m->input[i].name);
		if (s->inputs[i].tree < 0)
			s->copied |= UINT64_C(1) << i;
	}
	for (uint32_t i = 0; i < m->mount_count; i++) {
		auto_free char *what = mem_printf("mount /mnt/%s", proto_mounts(m)[i].target);

		s->mounts[i] = bind_folder(w, s->folders[i], what, e);
		if (s->mounts[i] < 0)
			return -1;
	}
	return 0;
}

// The host's name service files, bound as they are now. A machine may do without either.
static int open_host_files(struct sandbox *s, struct err *e)
{
	const struct {
		const char *path;
		int *out;
	} files[] = { { "/etc/resolv.conf", &s->tree_resolv }, { "/etc/hosts", &s->tree_hosts } };
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

	if (s->start->network != PROTO_NETWORK_HOST)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int tree = open_tree(AT_FDCWD, files[i].path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

		*files[i].out = tree;
		if (tree < 0 && errno == ENOENT)
			continue;
		if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
			return err_sys(e, ERR_IO, errno, "prepare the mount of %s", files[i].path);
	}
	return 0;
}

char **sandbox_env(char *text, size_t n)
{
	size_t count = 0, k = 0;
	char **env;

	for (size_t i = 0; i < n; i++)
		count += !text[i];
	env = mem_zalloc((count + 1) * sizeof(*env));
	for (char *p = text; k < count; p += strlen(p) + 1)
		env[k++] = p;
	return env;
}

// `env` holds NUL-terminated strings; it is cut at the NULs, not understood.
static int read_env(struct sandbox *s, int jobdir, struct err *e)
{
	auto_fd int fd = bind_open_owned(s->world, jobdir, "env", O_RDONLY, S_IFREG, e);
	ssize_t n;

	if (fd < 0)
		return -1;
	s->env_text = mem_alloc(JOBDIR_ENV_BYTES_MAX + 1);
	n = file_read_full(fd, s->env_text, JOBDIR_ENV_BYTES_MAX + 1, e);
	if (n < 0)
		return -1;
	if (n > JOBDIR_ENV_BYTES_MAX || (n && s->env_text[n - 1]))
		return err_set(e, ERR_LIMIT, "the environment is larger than %d bytes",
			       JOBDIR_ENV_BYTES_MAX);
	s->env_size = (size_t)n;
	s->env = sandbox_env(s->env_text, s->env_size);
	return 0;
}

int sandbox_pipe(const struct world *w, int *read_end, int *write_end, struct err *e)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	*read_end = pair[0];
	*write_end = pair[1];
	// Else a script could write to its own stdout, but not open /dev/stdout.
	if (!w->rootless && fchown(pair[1], w->base, w->base) < 0)
		return err_sys(e, ERR_IO, errno, "give a pipe to the sandbox");
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, ERR_IO, errno, "prepare a pipe");
	return 0;
}

static int open_report(struct sandbox *s, struct sandbox_parent *p, struct err *e)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	p->report = pair[0];
	s->report = pair[1];
	return 0;
}

// Whoever passes a stream gives it to the sandbox, as a pipe of ours is given: that may only be done with the daemon's own.
static int take_stream(const struct world *w, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd))) ||
	    (st.st_uid != w->owner && st.st_uid != w->base))
		return err_set(e, ERR_INVALID, "a passed stream is no pipe and no terminal");
	if (!w->rootless && fchown(fd, w->base, w->base) < 0)
		return err_sys(e, ERR_IO, errno, "give a stream to the sandbox");
	return 0;
}

// This process is a shim of its own by now, and keeps none of them: their readers are to see their end.
static int take_streams(struct sandbox *s, struct err *e)
{
	for (int i = 0; i < PROTO_STREAMS; i++) {
		s->std[i] = s->streams[i];
		if (take_stream(s->world, s->std[i], e) < 0)
			return -1;
	}
	return 0;
}

static int open_streams(struct sandbox *s, int jobdir, struct sandbox_parent *p, struct err *e)
{
	const struct world *w = s->world;
	int pair[2];

	if (sandbox_waits(s->start)) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return err_sys(e, ERR_IO, errno, "socket");
		p->calls = pair[0];
		s->calls = pair[1];
		return open_report(s, p, e);
	}
	if (s->start->shell)
		return take_streams(s, e) < 0 ? -1 : open_report(s, p, e);
	s->std[0] = bind_open_owned(w, jobdir, "event", O_RDONLY, S_IFREG, e);
	if (s->std[0] < 0)
		return -1;
	if (sandbox_pipe(w, &p->out, &s->std[1], e) < 0 ||
	    sandbox_pipe(w, &p->err, &s->std[2], e) < 0)
		return -1;
	return open_report(s, p, e);
}

static int put_map(pid_t pid, const char *file, struct span text, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0, e);

	return fd < 0 || file_write_all(fd, text.p, text.n, e) < 0 ? err_wrap(e, "%s", path) : 0;
}

// Whoever the script is inside, outside it is always the same: the first of the sandbox's ids, as whose the mounts show
// the daemon's files. So a script that is root has all ids of the sandbox, and any other just its own, and its files.
static int put_maps(const struct sandbox *s, pid_t pid, struct err *e)
{
	const struct world *w = s->world;
	const struct proto_start *m = s->start;
	const uint32_t group = w->idmap < 0 ? w->group : w->base;
	auto_buf struct buf users, groups;

	buf_init(&users, 64);
	buf_init(&groups, 64 * (1 + PROTO_GROUPS_MAX + DEVICE_GROUPS_MAX));
	if (!buf_printf(&users, "%u %u %u\n", m->uid, w->base, m->uid ? 1 : w->count) ||
	    !buf_printf(&groups, "%u %u %u\n", m->gid, group,
			m->gid || sandbox_groups(s) ? 1 : w->count))
		return err_set(e, ERR_BUG, "the maps of ids are too long");
	for (unsigned i = 0; i < sandbox_groups(s); i++)
		if (!buf_printf(&groups, "%u %u 1\n", m->groups[i], group + 1 + i))
			return err_set(e, ERR_BUG, "the map of groups is too long");
	for (unsigned i = 0; i < s->devices.group_count; i++)
		if (!buf_printf(&groups, "%u %u 1\n", s->devices.inside[i], s->devices.groups[i]))
			return err_set(e, ERR_BUG, "the map of groups is too long");
	return put_map(pid, "uid_map", buf_span(&users), e) < 0
		       ? -1
		       : put_map(pid, "gid_map", buf_span(&groups), e);
}

static pid_t clone_child(struct sandbox *s, int *pidfd, struct err *e)
{
	struct sys_clone_args a = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid;

	if (s->cgroup->unified >= 0) {
		a.flags |= SYS_CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)s->cgroup->unified;
	}
	pid = sys_clone3(&a);
	if (pid < 0)
		return err_sys(e, ERR_IO, errno, "make the sandbox's namespaces");
	return pid;
}

// `gate`: the end of s->go that is written to.
static int make_inside(struct sandbox *s, int gate, struct sandbox_parent *p, struct err *e)
{
	if (setns(s->world->root, CLONE_NEWNS) < 0)
		return err_sys(e, ERR_IO, errno, "enter the sandbox's root");
	if (s->net >= 0 && setns(s->net, CLONE_NEWNET) < 0)
		return err_sys(e, ERR_IO, errno, "enter the sandbox's network");
	p->pid = clone_child(s, &p->pidfd, e);
	if (p->pid == 0) {
		// Else the child would hold its own gate open when the shim dies.
		close(gate);
		inside_run(s);
	}
	return p->pid < 0 ? -1 : put_maps(s, p->pid, e);
}

static int launch(struct sandbox *s, struct sandbox_parent *p, struct err *e)
{
	int gate[2], bad;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	s->go = gate[0];
	bad = s->world->oci.path ? oci_launch(s, p, e) : make_inside(s, gate[1], p, e);
	// The child's death closes its ends, and then the reads here end, only without copies of our own.
	for (int i = 0; i < 3; i++) {
		file_close(s->std[i]);
		s->std[i] = -1;
	}
	file_close(s->report);
	file_close(s->calls);
	s->report = s->calls = -1;
	if (!bad)
		bad = file_write_all(gate[1], "g", 1, e);
	close(gate[1]);
	return bad;
}

int sandbox_start(struct sandbox *s, int jobdir, struct sandbox_parent *p, struct err *e)
{
	*p = (struct sandbox_parent){ -1, -1, -1, -1, -1, -1 };
	if (devices_open(&s->devices, s->world, s->start, e) < 0 || open_mounts(s, jobdir, e) < 0 ||
	    open_host_files(s, e) < 0 || read_env(s, jobdir, e) < 0 ||
	    secrets_take(s->world, jobdir, &s->secrets, &s->secrets_size, e) < 0 ||
	    open_streams(s, jobdir, p, e) < 0)
		return -1;
	return launch(s, p, e);
}
