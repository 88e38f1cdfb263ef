// SPDX-License-Identifier: Apache-2.0
#include "supervisor/script.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 << 10, STATUS_TIMEOUT = 124, STATUS_NO_SHELL = 127, DRAIN_MAX = 4096 };

struct stream {
	int from, to; // pipe of the script, descriptor of ours; -1 = closed, nowhere
	char line[LINE_MAX_BYTES];
	size_t n;
};

struct run {
	struct stop *stop;
	const struct script *s;
	struct script_end *end;
	struct stream streams[2];
	pid_t pid;
	bool ended;
	int wait_status;
	int64_t deadline_ns; // of the next step: SIGTERM, then SIGKILL; 0 = none
	bool ending;	     // SIGTERM was sent
	bool hurry;	     // nobody is waited for who does not read
	size_t kept;
};

// ---- the child ---------------------------------------------------------------------------------------

no_return static void child(const struct run *r, int out, int err)
{
	static const char missing[] = "oscar-supervisor: the image has no /bin/sh\n";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	if (dup2(r->s->input, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(STATUS_NO_SHELL);
	sigprocmask(SIG_SETMASK, &r->stop->before, NULL);
	execl("/bin/sh", "/bin/sh", r->s->path, (char *)NULL);
	ssize_t done = write(2, missing, sizeof(missing) - 1);
	(void)done;
	_exit(STATUS_NO_SHELL);
}

static int spawn(struct run *r, struct err *e)
{
	auto_fd int out = -1, err = -1;
	int pipes[2][2];

	for (int i = 0; i < 2; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			return err_sys(e, ERR_IO, errno, "pipe");
		r->streams[i].from = pipes[i][0];
		*(i ? &err : &out) = pipes[i][1];
		fcntl(pipes[i][0], F_SETFL, O_NONBLOCK); // the reading end alone
	}
	r->pid = fork();
	if (r->pid < 0)
		return err_sys(e, ERR_IO, errno, "fork");
	if (r->pid == 0)
		child(r, out, err);
	setpgid(r->pid, r->pid); // whoever of the two is first
	return 0;
}

// ---- streams -----------------------------------------------------------------------------------------

// Writes to a reader that may be slow, in pieces that a pipe takes whole, so that a signal is never
// overlooked. A reader that is gone is nobody's fault: the script goes on.
static void emit(struct run *r, int *to, const char *p, size_t n)
{
	while (n > 0 && *to >= 0) {
		struct pollfd both[2] = { { *to, POLLOUT, 0 }, { r->stop->fd, POLLIN, 0 } };
		int timeout = r->hurry ? 0 : stop_timeout_ms(r->deadline_ns);
		size_t piece = n < 4096 ? n : 4096;
		ssize_t done;

		if (poll(both, 2, timeout) == 0)
			return;
		stop_poll(r->stop);
		if (r->stop->signal && !both[0].revents)
			return;
		if (!both[0].revents)
			continue;
		done = write(*to, p, piece);
		if (done < 0 && errno != EINTR && errno != EAGAIN)
			*to = -1;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
}

static void keep(struct run *r, const char *p, size_t n)
{
	struct err ignored;
	size_t room = SCRIPT_KEPT_MAX - r->kept;

	if (r->s->kept < 0)
		return;
	r->end->cut = r->end->cut || n > room;
	n = n < room ? n : room;
	if (file_write_all(r->s->kept, p, n, &ignored) < 0)
		r->end->cut = true; // the disk is full; the script itself may do without
	r->kept += n;
}

static void flush(struct run *r, struct stream *s, size_t n)
{
	keep(r, s->line, n);
	emit(r, &s->to, s->line, n);
	memmove(s->line, s->line + n, s->n - n);
	s->n -= n;
}

// What has come, whole lines at a time. false when nothing came.
static bool pump(struct run *r, struct stream *s)
{
	ssize_t got = s->from < 0 ? -1 : read(s->from, s->line + s->n, sizeof(s->line) - s->n);
	const char *last;

	if (got <= 0) {
		if (s->from >= 0 && (got == 0 || (errno != EAGAIN && errno != EINTR))) {
			file_close(s->from);
			s->from = -1;
		}
		return false;
	}
	s->n += (size_t)got;
	last = memrchr(s->line, '\n', s->n);
	if (last)
		flush(r, s, (size_t)(last - s->line) + 1);
	else if (s->n == sizeof(s->line))
		flush(r, s, s->n); // a line of any length
	return true;
}

// ---- the end -----------------------------------------------------------------------------------------

static void end_group(struct run *r, int signal)
{
	kill(-r->pid, signal);
	if (r->ending) {
		r->deadline_ns = 0;
		return;
	}
	r->ending = true;
	r->deadline_ns = clock_mono_ns() + SCRIPT_GRACE_S * NS_PER_S;
}

// As process 1 of a container we inherit orphans, and they are buried with the rest.
static void reap(struct run *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == r->pid) {
			r->ended = true;
			r->wait_status = status;
		}
}

static void step(struct run *r)
{
	struct pollfd p[3] = { { r->stop->fd, POLLIN, 0 },
			       { r->streams[0].from, POLLIN, 0 },
			       { r->streams[1].from, POLLIN, 0 } };

	poll(p, 3, stop_timeout_ms(r->deadline_ns));
	stop_poll(r->stop);
	pump(r, &r->streams[0]);
	pump(r, &r->streams[1]);
	if (r->stop->signal && !r->end->stopped) {
		r->end->stopped = true;
		if (!r->ending)
			end_group(r, r->stop->signal);
	}
	if (r->deadline_ns && clock_mono_ns() >= r->deadline_ns) {
		r->end->timed_out = r->end->timed_out || !r->ending;
		end_group(r, r->ending ? SIGKILL : SIGTERM);
	}
	reap(r);
}

// What the script left in the pipes. Those whom it left behind may still write; they are dead already.
static void drain(struct run *r)
{
	for (int i = 0; i < 2; i++) {
		struct stream *s = &r->streams[i];

		for (unsigned k = 0; k < DRAIN_MAX && pump(r, s); k++)
			;
		flush(r, s, s->n);
	}
}

static int status_of(const struct run *r)
{
	if (r->end->stopped)
		return 128 + r->stop->signal;
	if (r->end->timed_out)
		return STATUS_TIMEOUT;
	return WIFSIGNALED(r->wait_status) ? 128 + WTERMSIG(r->wait_status)
					   : WEXITSTATUS(r->wait_status);
}

int script_run(struct stop *stop, const struct script *s, struct script_end *out, struct err *e)
{
	struct run *r = mem_zalloc(sizeof(*r));
	int bad;

	*out = (struct script_end){ 0 };
	r->stop = stop;
	r->s = s;
	r->end = out;
	r->streams[0].from = r->streams[1].from = -1;
	r->streams[0].to = s->out;
	r->streams[1].to = s->err;
	bad = spawn(r, e);
	if (!bad) {
		if (s->timeout_s)
			r->deadline_ns = clock_mono_ns() + s->timeout_s * NS_PER_S;
		while (!r->ended)
			step(r);
		kill(-r->pid, SIGKILL);
		r->hurry = r->ending;
		drain(r);
		out->status = status_of(r);
	}
	file_close(r->streams[0].from);
	file_close(r->streams[1].from);
	mem_free(r);
	return bad;
}
