// SPDX-License-Identifier: Apache-2.0
#include "supervisor/stop.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

int stop_init(struct stop *s, struct err *e)
{
	sigset_t set;

	*s = (struct stop){ .fd = -1 };
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGPIPE); // a lost reader shows as EPIPE
	if (s->fd < 0 || sigprocmask(SIG_BLOCK, &set, &s->before) < 0)
		return err_sys(e, ERR_IO, errno, "signals");
	return 0;
}

void stop_poll(struct stop *s)
{
	struct signalfd_siginfo got;

	while (read(s->fd, &got, sizeof(got)) == sizeof(got))
		if (!s->signal && got.ssi_signo != SIGCHLD)
			s->signal = (int)got.ssi_signo;
}

int stop_timeout_ms(int64_t deadline_ns)
{
	int64_t left;

	if (!deadline_ns)
		return -1;
	left = (deadline_ns - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

int stop_wait(struct stop *s, int fd, short events, int64_t deadline_ns, struct err *e)
{
	struct pollfd p[2] = { { s->fd, POLLIN, 0 }, { fd, events, 0 } };

	for (;;) {
		int timeout = stop_timeout_ms(deadline_ns);
		int n = poll(p, 2, timeout);

		if (n < 0 && errno != EINTR)
			return err_sys(e, ERR_IO, errno, "poll");
		stop_poll(s);
		if (s->signal)
			return err_set(e, ERR_CANCELLED, "stopped by signal %d", s->signal);
		if (n > 0 && p[1].revents)
			return 1;
		if (n == 0 && timeout == 0)
			return 0;
	}
}

int stop_write(struct stop *s, int fd, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done;

		if (stop_wait(s, fd, POLLOUT, 0, e) < 0)
			return -1;
		done = write(fd, at, n < PIPE_BUF ? n : PIPE_BUF);
		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, ERR_IO, errno, "standard output");
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}
