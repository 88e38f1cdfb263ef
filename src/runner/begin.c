// SPDX-License-Identifier: Apache-2.0
// begin: a job's shim is started, with what it needs.
#include "base/clock.h"
#include "base/file.h"
#include "runner/shim.h"
#include "runner/state.h"
#include "runner/sys.h"

#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { REFRESH_MS = 5000 };

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

// A shim keeps only what it uses: another job's folder or the runner's own sockets must not stay open in it.
static void close_others(const struct runner *r, const struct shim_job *s)
{
	int keep[32 + PROTO_FILES_MAX] = {
		2,	   s->jobdir,	  s->alive,	  s->ctl,	 s->net,
		s->notify, r->world.data, r->world.idmap, r->world.root, r->world.oci.self
	};
	size_t n = 10;

	for (int k = 0; k < CGROUP_KINDS; k++) {
		keep[n++] = r->world.cgroups.at[k].dir;
		keep[n++] = s->group->dir[k];
		keep[n++] = s->group->enter[k];
	}
	for (uint32_t i = 0; i < proto_files(s->start); i++)
		keep[n++] = s->files[i];
	qsort(keep, n, sizeof(keep[0]), compare_fds);
	for (size_t i = 0; i < n; i++) {
		unsigned low = (unsigned)(keep[i] < 2 ? 3 : keep[i] + 1);
		unsigned high = i + 1 < n ? (unsigned)keep[i + 1] - 1 : ~0u;

		if (keep[i] >= 2 && (i + 1 == n || low <= high))
			close_range(low, high, 0);
	}
}

static int make_ctl(int dir, struct err *e)
{
	int fd;

	// Everybody may write to it who may enter the folder, which is the daemon's user.
	if (mkfifoat(dir, "ctl", 0666) < 0 && errno != EEXIST)
		return err_sys(e, ERR_IO, errno, "make ctl");
	fd = sys_open_beneath(dir, "ctl", O_RDWR | O_NONBLOCK, 0);
	return fd < 0 ? err_sys(e, ERR_IO, errno, "open ctl") : fd;
}

// What a job is given before its shim starts.
struct parts {
	int dir, net;
	struct cgroup_job group;
};

// On failure some may be taken: the folder, the network.
static int take_parts(struct runner *r, const struct proto_start *m, struct parts *p, struct err *e)
{
	// One more process for pid 1, which is ours.
	const struct cgroup_limits limits = { m->memory_bytes, m->cpu_millis,
					      m->pids_max ? m->pids_max + 1 : 0, m->freezer };
	char name[JOBDIR_NAME_MAX];

	p->dir = jobs_open_folder(r, jobdir_name(name, m->job, m->attempt), e);
	if (p->dir < 0)
		return -1;
	if (m->network != PROTO_NETWORK_HOST) {
		p->net = world_net_get(&r->world, e);
		if (p->net < 0)
			return -1;
	}
	return world_group_get(&r->world, &limits, &p->group, e);
}

// Starts the shim; the job's process id, or -1. ERR_EXISTS when the attempt began before.
static pid_t start_shim(struct runner *r, const struct proto_start *m, const int *files,
			struct parts *p, struct err *e)
{
	auto_fd int alive = jobdir_alive_make(p->dir, e);
	auto_fd int ctl = alive < 0 ? -1 : make_ctl(p->dir, e);
	struct shim_job s = { &r->world, m,	 p->dir,    files,	 alive,
			      ctl,	 p->net, &p->group, r->notify[1] };
	pid_t pid;

	if (ctl < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close_others(r, &s);
		shim_run(&s);
	}
	return pid < 0 ? err_sys(e, ERR_BUSY, errno, "fork") : pid;
}

static void refresh(struct runner *r)
{
	int64_t now = clock_mono_ns();

	if (now < r->refresh_ns)
		return;
	r->refresh_ns = now + REFRESH_MS * NS_PER_MS;
	world_refresh(&r->world);
}

static void begun(struct runner *r, const struct proto_start *m, const struct parts *p, pid_t pid)
{
	struct job *j = jobs_add(r, m->job, m->attempt, p->dir, pid);

	if (m->network == PROTO_NETWORK_NAT)
		file_close(p->net); // it has routes, so it serves once
	else
		j->net = p->net;
	j->group = p->group;
	j->ahead = m->ahead;
}

void begin_job(struct runner *r, const struct proto_start *m, const int *files)
{
	struct job *there = jobs_find(r, m->job, m->attempt);
	struct parts p = { -1, -1, CGROUP_JOB_NONE };
	struct err e = { 0 };
	pid_t pid = -1;

	if (there) { // sent again by a daemon that was not sure
		if (there->started_wall_ns)
			talk_started(r, there, there->started_wall_ns);
		return;
	}
	if (r->jobs.count >= r->limit) {
		talk_refuse(r, m, true, "too many jobs at once");
		return;
	}
	refresh(r);
	if (take_parts(r, m, &p, &e) == 0) {
		pid = start_shim(r, m, files, &p, &e);
		if (pid > 0) {
			begun(r, m, &p, pid);
			return;
		}
		world_group_put(&r->world, &p.group, true);
	}
	world_net_put(&r->world, p.net);
	if (p.dir >= 0 && e.code == ERR_EXISTS) {
		// It began and ended before; its folder tells how.
		talk_ended(r, jobs_add(r, m->job, m->attempt, p.dir, -1));
		return;
	}
	file_close(p.dir);
	talk_refuse(r, m, e.code == ERR_BUSY, e.msg);
}
