// SPDX-License-Identifier: Apache-2.0
// loop: one thread waits for the daemon, for shims and for signals.
#include "runner/loop.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/runner.h"
#include "runner/state.h"
#include "runner/sys.h"

#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
	DEFAULT_IDLE_MS = 5000,
	DEFAULT_JOBS_MAX = 4096,
	ADOPTED_LOOK_MS = 100,
	FD_SPARE = 1024, // pools of network namespaces and control groups among them
	JOBS_LEAST = 16, // whatever the limit of open files is
	FD_A_JOB = 2 + 2 * CGROUP_KINDS,
};

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
			jobs_stop_all(r);
			break;
		default:
			break;
		}
	jobs_reap(r);
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
		jobs_read_notes(r);
	if (p[2].revents && r->behind && !(p[2].revents & (POLLHUP | POLLERR)))
		talk_catch_up(r);
	else if (p[2].revents && r->behind)
		talk_hang_up(r);
	else if (p[2].revents)
		talk_read(r);
	if (p[3].revents)
		talk_accept(r);
	jobs_look_at_adopted(r);
	if (r->conn >= 0 && !r->greeted && clock_mono_ns() >= r->hello_by_ns)
		talk_hang_up(r);
	if (r->sweep_ns && clock_mono_ns() >= r->sweep_ns) {
		r->sweep_ns = 0;
		if (!cgroup_sweep(&r->world.cgroups))
			jobs_sweep_soon(r);
	}
}

static void close_all(struct runner *r)
{
	jobs_release(r);
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
	    world_serve(&r.world, &e) < 0 || jobs_adopt(&r, &e) < 0 || listen_on(&r, &e) < 0) {
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
