// SPDX-License-Identifier: Apache-2.0
#include "runner/loop.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "runner/give.h"
#include "runner/jobdir.h"
#include "runner/proto.h"
#include "runner/runner.h"
#include "runner/shim.h"
#include "runner/sys.h"
#include "runner/wire.h"
#include "runner/world.h"

#include <dirent.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum {
	DEFAULT_IDLE_MS = 5000,
	DEFAULT_JOBS_MAX = 4096,
	ADOPTED_LOOK_MS = 100,
	REFRESH_MS = 5000,
	SWEEP_MS = 500,
	HELLO_MS = 5000,
	MESSAGES_A_TURN = 64,
	FD_SPARE = 1024, // pools of network namespaces and control groups among them
	JOBS_LEAST = 16, // whatever the limit of open files is
	FD_A_JOB = 2 + 2 * CGROUP_KINDS,
};

struct job {
	char id[PROTO_JOB_MAX];
	uint32_t attempt;
	pid_t shim; // 0 = of an earlier runner
	int dir;
	int net;		 // given back when the shim has ended well
	struct cgroup_job group; // likewise
	int64_t started_wall_ns;
	bool tell_started, tell_ended; // not sent yet
};

struct runner {
	const struct runner_options *o;
	struct world world;
	int lock, run, listen, conn, signals, notify[2];
	bool greeted;		 // the connection has said HELLO
	struct map jobs;	 // by jobdir_name
	unsigned adopted, limit; // jobs with shim == 0; jobs at once
	bool behind;		 // something could not be sent: write before reading more
	bool held_there;
	struct proto_about held; // a refusal that could not be sent
	int64_t hello_by_ns, idle_since_ns, refresh_ns, sweep_ns;
	bool leave, stop;
};

static struct job *find(struct runner *r, const char *id, uint32_t attempt)
{
	char name[JOBDIR_NAME_MAX];

	return map_get(&r->jobs, span_of(jobdir_name(name, id, attempt)));
}

static struct job *add(struct runner *r, const char *id, uint32_t attempt, int dir, pid_t shim)
{
	struct job *j = mem_zalloc(sizeof(*j));
	char name[JOBDIR_NAME_MAX];

	memcpy(j->id, id, sizeof(j->id));
	j->attempt = attempt;
	j->dir = dir;
	j->net = -1;
	j->group = (struct cgroup_job)CGROUP_JOB_NONE;
	j->shim = shim;
	r->adopted += !shim;
	map_put(&r->jobs, span_of(jobdir_name(name, id, attempt)), j);
	return j;
}

static void drop(struct runner *r, struct job *j)
{
	char name[JOBDIR_NAME_MAX];

	map_remove(&r->jobs, span_of(jobdir_name(name, j->id, j->attempt)));
	close(j->dir);
	file_close(j->net);
	cgroup_job_close(&j->group);
	mem_free(j);
	if (!r->jobs.count)
		r->idle_since_ns = clock_mono_ns();
}

static void hang_up(struct runner *r)
{
	void *value;
	size_t at = 0;

	file_close(r->conn);
	r->conn = -1;
	if (r->greeted) // who is sent away again and again keeps nobody
		r->idle_since_ns = clock_mono_ns();
	r->greeted = r->behind = r->held_there = false;
	// Whoever comes next looks into the job directories.
	while (map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;

		j->tell_started = false;
		if (j->tell_ended)
			drop(r, j);
	}
}

// False when it must be tried again later, or there is nobody.
static bool send_packet(struct runner *r, const void *p, size_t n)
{
	if (r->conn < 0)
		return false;
	if (send(r->conn, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		r->behind = true;
	else
		shutdown(r->conn, SHUT_RDWR); // read as its end in the next turn
	return false;
}

static bool send_about(struct runner *r, enum proto_kind kind, const struct job *j)
{
	struct proto_about m = { .head = proto_head(kind),
				 .attempt = j->attempt,
				 .wall_ns = j->started_wall_ns };

	memcpy(m.job, j->id, sizeof(m.job));
	return send_packet(r, &m, sizeof(m));
}

static void refuse(struct runner *r, const struct proto_start *s, bool busy, const char *text)
{
	struct proto_about m = { .head = proto_head(PROTO_REFUSED),
				 .attempt = s->attempt,
				 .busy = busy };

	memcpy(m.job, s->job, sizeof(m.job));
	snprintf(m.text, sizeof(m.text), "%s", text);
	if (!send_packet(r, &m, sizeof(m)) && r->behind) {
		r->held = m;
		r->held_there = true;
	}
}

static void job_started(struct runner *r, struct job *j, int64_t wall_ns)
{
	j->started_wall_ns = wall_ns;
	j->tell_started = r->conn >= 0 && !send_about(r, PROTO_STARTED, j);
}

static void job_ended(struct runner *r, struct job *j)
{
	if (j->shim == 0 && r->adopted)
		r->adopted--;
	j->shim = -1;
	if (j->tell_started || r->behind)
		j->tell_ended = r->conn >= 0; // in its order
	else
		j->tell_ended = r->conn >= 0 && !send_about(r, PROTO_ENDED, j);
	if (!j->tell_ended)
		drop(r, j);
}

// Sends what could not be sent before.
static void catch_up(struct runner *r)
{
	void *value;
	size_t at = 0;

	r->behind = false;
	if (r->held_there) {
		if (!send_packet(r, &r->held, sizeof(r->held)))
			return;
		r->held_there = false;
	}
	while (!r->behind && map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;

		if (j->tell_started)
			j->tell_started = !send_about(r, PROTO_STARTED, j);
		if (j->tell_ended && !j->tell_started && send_about(r, PROTO_ENDED, j))
			drop(r, j);
	}
}

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

static int open_jobdir(struct runner *r, const char *name, struct err *e)
{
	int fd = sys_open_beneath(r->world.jobs, name, O_RDONLY | O_DIRECTORY, 0);
	struct stat st;

	if (fd < 0)
		return err_sys(e, ERR_NOT_FOUND, errno, "open the job's folder");
	if (fstat(fd, &st) == 0 && st.st_uid == r->world.owner)
		return fd;
	close(fd);
	return err_set(e, ERR_INVALID, "the job's folder has a wrong owner");
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

// Starts the shim; the job's process id, or -1. ERR_EXISTS when the attempt began before.
static pid_t start_shim(struct runner *r, const struct proto_start *m, const int *files, int dir,
			int net, struct cgroup_job *group, struct err *e)
{
	auto_fd int alive = jobdir_alive_make(dir, e);
	auto_fd int ctl = alive < 0 ? -1 : make_ctl(dir, e);
	struct shim_job s = { &r->world, m, dir, files, alive, ctl, net, group, r->notify[1] };
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

static void on_start(struct runner *r, const struct proto_start *m, const int *files)
{
	struct job *j = find(r, m->job, m->attempt);
	struct err e = { 0 };
	// One more process for pid 1, which is ours.
	const struct cgroup_limits limits = { m->memory_bytes, m->cpu_millis,
					      m->pids_max ? m->pids_max + 1 : 0, m->freezer };
	struct cgroup_job group = CGROUP_JOB_NONE;
	char name[JOBDIR_NAME_MAX];
	int dir, net = -1;
	pid_t pid = -1;

	if (j) { // sent again by a daemon that was not sure
		if (j->started_wall_ns)
			job_started(r, j, j->started_wall_ns);
		return;
	}
	if (r->jobs.count >= r->limit) {
		refuse(r, m, true, "too many jobs at once");
		return;
	}
	refresh(r);
	dir = open_jobdir(r, jobdir_name(name, m->job, m->attempt), &e);
	if (dir >= 0 && m->network != PROTO_NETWORK_HOST)
		net = world_net_get(&r->world, &e);
	if (dir >= 0 && (net >= 0 || m->network == PROTO_NETWORK_HOST) &&
	    world_group_get(&r->world, &limits, &group, &e) == 0) {
		pid = start_shim(r, m, files, dir, net, &group, &e);
		if (pid <= 0)
			world_group_put(&r->world, &group, true);
	}
	if (pid > 0) {
		j = add(r, m->job, m->attempt, dir, pid);
		if (m->network == PROTO_NETWORK_NAT)
			file_close(net); // it has routes, so it serves once
		else
			j->net = net;
		j->group = group;
		return;
	}
	world_net_put(&r->world, net);
	if (dir >= 0 && e.code == ERR_EXISTS) {
		// It began and ended before; its folder tells how.
		job_ended(r, add(r, m->job, m->attempt, dir, -1));
		return;
	}
	file_close(dir);
	refuse(r, m, e.code == ERR_BUSY, e.msg);
}

static void order(struct job *j, enum jobdir_order what)
{
	struct err e = { 0 };

	if (j->shim >= 0 && jobdir_order(j->dir, what, &e) < 0)
		log_warn("runner", "job %s.%u: %s", j->id, j->attempt, e.msg);
}

static void stop_all(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (map_next(&r->jobs, &at, NULL, &value))
		order(value, JOBDIR_STOP);
}

static int on_hello(struct runner *r, const struct proto_hello *m, size_t n, struct err *e)
{
	struct proto_welcome w = { .head = proto_head(PROTO_WELCOME) };

	if (m->head.kind != PROTO_HELLO)
		return err_set(e, ERR_PROTOCOL, "message before hello");
	if (proto_check_hello(m, n, e) < 0)
		return -1;
	if (m->runtime != PROTO_RUNTIME_ANY &&
	    (m->runtime == PROTO_RUNTIME_OCI) != (r->world.oci.path != NULL)) {
		r->leave = !r->jobs.count;
		return err_set(e, ERR_UNSUPPORTED, "it wants sandboxes made by %s, this runner %s",
			       m->runtime == PROTO_RUNTIME_OCI ? "an OCI runtime" : "the runner",
			       r->leave ? "leaves" : "still has jobs in others");
	}
	snprintf(w.limits, sizeof(w.limits), "%s", r->world.limits);
	r->greeted = true;
	return send_packet(r, &w, sizeof(w)) ? 0 : err_set(e, ERR_IO, "the daemon left at once");
}

static int on_give(struct runner *r, const struct wire_packet *p, struct err *e)
{
	const struct proto_give *m = (const void *)p->bytes;
	struct err why = { 0 };

	if (proto_check_give(m, p->size, e) < 0)
		return -1;
	if (p->file_count != 1)
		return err_set(e, ERR_PROTOCOL, "message with a wrong number of files");
	if (give_to_owner(p->files[0], m->name, r->world.owner, &why) < 0 &&
	    (why.code != ERR_NOT_FOUND || !m->later[0] ||
	     give_to_owner(p->files[0], m->later, r->world.owner, &why) < 0))
		log_debug("runner", "%s", why.msg);
	return 0;
}

static int on_message(struct runner *r, const struct wire_packet *p, struct err *e)
{
	const void *packet = p->bytes;
	const size_t n = p->size;
	const struct proto_head *h = packet;
	const struct proto_about *about = packet;
	struct job *j;

	if (proto_check_head(packet, n, e) < 0)
		return -1;
	if (!r->greeted)
		return on_hello(r, packet, n, e);
	switch (h->kind) {
	case PROTO_START:
		if (proto_check_start(packet, n, e) < 0)
			return -1;
		if (proto_files(packet) != p->file_count)
			return err_set(e, ERR_PROTOCOL, "message with a wrong number of files");
		on_start(r, packet, p->files);
		return 0;
	case PROTO_CANCEL:
		if (proto_check_about(about, n, e) < 0)
			return -1;
		j = find(r, about->job, about->attempt);
		if (j)
			order(j, JOBDIR_CANCEL);
		return 0;
	case PROTO_STOP_ALL:
		stop_all(r);
		return 0;
	case PROTO_GIVE:
		return on_give(r, p, e);
	default:
		return err_set(e, ERR_PROTOCOL, "message of unknown kind %u", h->kind);
	}
}

static void on_readable(struct runner *r)
{
	struct wire_packet p;
	struct err e = { 0 };

	for (int i = 0; i < MESSAGES_A_TURN && !r->behind; i++) {
		int got = wire_receive(r->conn, &p, &e);

		if (!got)
			return;
		if (got > 0) {
			got = on_message(r, &p, &e);
			wire_release(&p);
		}
		if (got == 0)
			continue;
		if (e.code != ERR_UNAVAILABLE)
			log_warn("runner", "daemon sent away: %s", e.msg);
		hang_up(r);
		return;
	}
}

static void on_caller(struct runner *r)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	int fd = accept4(r->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 ||
	    (who.uid != r->world.owner && who.uid != 0)) {
		log_warn("runner", "a process of user %u was sent away", who.uid);
		close(fd);
		return;
	}
	r->conn = fd;
	r->hello_by_ns = clock_mono_ns() + HELLO_MS * NS_PER_MS;
}

static void on_note(struct runner *r)
{
	struct shim_note note;

	while (read(r->notify[0], &note, sizeof(note)) == sizeof(note)) {
		struct job *j = proto_job_ok(note.job) ? find(r, note.job, note.attempt) : NULL;

		if (j)
			job_started(r, j, note.started_wall_ns);
	}
}

static void sweep_soon(struct runner *r)
{
	r->sweep_ns = clock_mono_ns() + SWEEP_MS * NS_PER_MS;
}

static void shim_ended(struct runner *r, struct job *j, int status)
{
	if (status == SHIM_CLEAN || status == SHIM_GROUP_REMOVED) {
		world_net_put(&r->world, j->net);
		j->net = -1;
	} else {
		cgroup_job_thaw(&r->world.cgroups, &j->group); // else what is frozen never dies
		sweep_soon(r);
	}
	world_group_put(&r->world, &j->group, status == SHIM_CLEAN);
}

static void reap(struct runner *r)
{
	int status;
	pid_t pid;

	on_note(r); // what a shim said comes before its end
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		void *value;
		size_t at = 0;

		while (map_next(&r->jobs, &at, NULL, &value)) {
			struct job *j = value;

			if (j->shim != pid)
				continue;
			shim_ended(r, j, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
			job_ended(r, j);
			break;
		}
	}
}

static void on_signal(struct runner *r)
{
	struct signalfd_siginfo s;

	while (read(r->signals, &s, sizeof(s)) == sizeof(s))
		switch (s.ssi_signo) {
		case SIGTERM:
			r->leave = true;
			break;
		case SIGINT:
			r->stop = true;
			stop_all(r);
			break;
		default:
			break;
		}
	reap(r);
}

// Jobs of an earlier runner are nobody's children here: their locks are looked at.
static void look_at_adopted(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (r->adopted && map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;
		enum jobdir_state state;
		struct jobdir_exit x;
		struct err e = { 0 };
		int64_t started;

		if (j->shim != 0)
			continue;
		if (jobdir_look(j->dir, &state, &x, &started, &e) == 0 && state == JOBDIR_RUNNING) {
			if (started && !j->started_wall_ns)
				job_started(r, j, started);
			continue;
		}
		sweep_soon(r);
		job_ended(r, j);
	}
}

// Finds the shims that an earlier runner left, and sweeps what dead ones left.
static int adopt_all(struct runner *r, struct err *e)
{
	int fd = openat(r->world.jobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list) {
		file_close(fd);
		return err_sys(e, ERR_IO, errno, "list the jobs");
	}
	while ((d = readdir(list)) && r->jobs.count < r->limit) {
		struct err unused = { 0 };
		enum jobdir_state state;
		struct jobdir_exit x;
		char id[PROTO_JOB_MAX];
		unsigned attempt;
		int64_t started;
		int dir;

		if (!jobdir_parse(d->d_name, id, sizeof(id), &attempt))
			continue;
		dir = open_jobdir(r, d->d_name, &unused);
		if (dir < 0)
			continue;
		if (jobdir_look(dir, &state, &x, &started, &unused) == 0 && state == JOBDIR_RUNNING)
			add(r, id, attempt, dir, 0)->started_wall_ns = started;
		else
			close(dir);
	}
	closedir(list);
	if (!cgroup_sweep(&r->world.cgroups))
		sweep_soon(r);
	if (r->jobs.count)
		log_info("runner", "found %zu running jobs", r->jobs.count);
	return 0;
}

static int listen_on(struct runner *r, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	// Through the descriptor: a socket's path may have 108 bytes, a data directory's more.
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/runner.sock", r->run);
	r->listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->listen < 0)
		return err_sys(e, ERR_IO, errno, "socket");
	if (unlinkat(r->run, "runner.sock", 0) < 0 && errno != ENOENT)
		return err_sys(e, ERR_IO, errno, "remove runner.sock");
	// Open to all who may enter run/, which is the daemon's user; each caller's is checked, too.
	if (bind(r->listen, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(r->listen, 16) < 0)
		return err_sys(e, ERR_IO, errno, "listen on runner.sock");
	return 0;
}

static int open_run(struct runner *r, struct err *e)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	if (mkdirat(r->world.data, "run", 0700) == 0 &&
	    fchownat(r->world.data, "run", r->world.owner, r->world.group, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, ERR_IO, errno, "give run to its owner");
	r->run = sys_open_beneath(r->world.data, "run", O_RDONLY | O_DIRECTORY, 0);
	if (r->run < 0 || fstat(r->run, &st) < 0)
		return err_sys(e, ERR_IO, errno, "open run of the data directory");
	if (st.st_uid != r->world.owner)
		return err_set(e, ERR_INVALID, "run of the data directory has a wrong owner");
	r->lock = sys_open_beneath(r->run, "runner.lock", O_RDWR | O_CREAT, 0600);
	if (r->lock < 0)
		return err_sys(e, ERR_IO, errno, "open runner.lock");
	// A record lock: unlike flock it is not inherited by shims, who outlive us.
	if (fcntl(r->lock, F_SETLK, &l) < 0)
		return err_set(e, ERR_EXISTS, "another runner serves this data directory");
	return 0;
}

static int open_signals(struct runner *r, struct err *e)
{
	struct rlimit files;
	sigset_t all;

	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return err_sys(e, ERR_IO, errno, "block signals");
	r->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signals < 0 || pipe2(r->notify, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(e, ERR_IO, errno, "make pipes");
	r->limit = r->o->jobs_max ? r->o->jobs_max : DEFAULT_JOBS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			return err_sys(e, ERR_IO, errno, "raise the limit of open files");
		rlim_t room =
			files.rlim_cur > FD_SPARE ? (files.rlim_cur - FD_SPARE) / FD_A_JOB : 0;

		room = room < JOBS_LEAST ? JOBS_LEAST : room;
		r->limit = r->limit > room ? (unsigned)room : r->limit;
	}
	return 0;
}

static int wait_ms(struct runner *r)
{
	int64_t now = clock_mono_ns(), least = INT64_C(3600) * NS_PER_S;
	int64_t idle = (r->o->idle_ms ? r->o->idle_ms : DEFAULT_IDLE_MS) * NS_PER_MS;

	if (r->adopted)
		least = ADOPTED_LOOK_MS * NS_PER_MS;
	if (r->sweep_ns && r->sweep_ns - now < least)
		least = r->sweep_ns - now;
	if (r->conn >= 0 && !r->greeted && r->hello_by_ns - now < least)
		least = r->hello_by_ns - now;
	if (r->stop && !r->jobs.count)
		r->leave = true;
	if (!r->jobs.count && r->idle_since_ns + idle <= now) {
		world_pools_drop(&r->world);
		r->leave = r->leave || r->conn < 0;
	} else if (!r->jobs.count && (r->conn < 0 || r->world.group_count || r->world.net_count) &&
		   r->idle_since_ns + idle - now < least) {
		least = r->idle_since_ns + idle - now;
	}
	return least <= 0 ? 0 : (int)(least / NS_PER_MS) + 1;
}

static void turn(struct runner *r)
{
	struct pollfd p[] = {
		{ r->signals, POLLIN, 0 },
		{ r->notify[0], POLLIN, 0 },
		{ r->conn, (short)(r->behind ? POLLOUT : POLLIN), 0 },
		{ r->conn < 0 ? r->listen : -1, POLLIN, 0 },
	};
	int wait = wait_ms(r);

	if (r->leave || poll(p, ARRAY_LEN(p), wait) < 0)
		return;
	if (p[0].revents)
		on_signal(r);
	if (p[1].revents)
		on_note(r);
	if (p[2].revents && r->behind && !(p[2].revents & (POLLHUP | POLLERR)))
		catch_up(r);
	else if (p[2].revents && r->behind)
		hang_up(r);
	else if (p[2].revents)
		on_readable(r);
	if (p[3].revents)
		on_caller(r);
	look_at_adopted(r);
	if (r->conn >= 0 && !r->greeted && clock_mono_ns() >= r->hello_by_ns)
		hang_up(r);
	if (r->sweep_ns && clock_mono_ns() >= r->sweep_ns) {
		r->sweep_ns = 0;
		if (!cgroup_sweep(&r->world.cgroups))
			sweep_soon(r);
	}
}

static void close_all(struct runner *r)
{
	void *value;
	size_t at = 0;

	while (map_next(&r->jobs, &at, NULL, &value)) {
		struct job *j = value;

		close(j->dir);
		file_close(j->net);
		cgroup_job_close(&j->group);
		mem_free(j);
	}
	map_release(&r->jobs);
	file_close(r->conn);
	file_close(r->listen);
	file_close(r->run);
	file_close(r->signals);
	file_close(r->notify[0]);
	file_close(r->notify[1]);
	world_close(&r->world);
	file_close(r->lock); // last: from here on another may begin
}

int loop_run(const struct runner_options *o)
{
	struct runner r = { .o = o,
			    .lock = -1,
			    .run = -1,
			    .listen = -1,
			    .conn = -1,
			    .signals = -1,
			    .notify = { -1, -1 },
			    .idle_since_ns = clock_mono_ns() };
	struct err e = { 0 };
	int status = 0;

	umask(0); // modes are said where things are made
	if (open_signals(&r, &e) < 0 || world_open(&r.world, o, &e) < 0 || open_run(&r, &e) < 0 ||
	    world_serve(&r.world, &e) < 0 || adopt_all(&r, &e) < 0 || listen_on(&r, &e) < 0) {
		status = e.code == ERR_EXISTS ? 0 : 1;
		log_at(status ? LOG_ERROR : LOG_INFO, "runner", "%s", e.msg);
	} else {
		log_info("runner", "ready%s%s%s%s%s", r.world.rootless ? ", rootless" : "",
			 r.world.oci.path ? ", sandboxes by " : "",
			 r.world.oci.path ? r.world.oci.path : "", r.world.limits[0] ? "; " : "",
			 r.world.limits);
		while (!r.leave)
			turn(&r);
	}
	close_all(&r);
	return status;
}
