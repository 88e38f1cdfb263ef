// SPDX-License-Identifier: Apache-2.0
// shimdoor: the sockets at which a shim serves its daemon, and connections into the sandbox's network, which the shim is
// in since it made the sandbox (runner/sandbox.c).
#include "base/clock.h"
#include "base/file.h"
#include "runner/door.h"
#include "runner/shimbox.h"
#include "runner/sys.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int shim_listen(const struct shim *s, const char *name, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	// By the descriptor: a socket's path may have 108 bytes. The folder is the daemon's alone.
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", s->job->jobdir, name);
	if (fd < 0 || (unlinkat(s->job->jobdir, name, 0) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(a.sun_path, 0666) < 0 ||
	    listen(fd, 1) < 0)
		return err_sys(e, ERR_IO, errno, "listen for the daemon");
	return file_take(&fd);
}

int shim_accept(const struct shim *s, int listener)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 ||
	    (who.uid != s->job->world->owner && who.uid != 0))
		return -1;
	return file_take(&fd);
}

// Waits a little, so that a refusal is seen; a server whose queue is full is not waited for, since the log must be read.
static int connect_to(const struct sockaddr *a, socklen_t n)
{
	const struct timeval patience = { .tv_usec = DOOR_CONNECT_MS * 1000 };
	int on = 1;
	auto_fd int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    connect(fd, a, n) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return file_take(&fd);
}

static int connect_inside(uint32_t port)
{
	const struct sockaddr_in four = { .sin_family = AF_INET,
					  .sin_port = htons((uint16_t)port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 six = { .sin6_family = AF_INET6,
					  .sin6_port = htons((uint16_t)port),
					  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = connect_to((const struct sockaddr *)&four, sizeof(four)), sys;

	if (fd >= 0 || errno != ECONNREFUSED)
		return fd;
	fd = connect_to((const struct sockaddr *)&six, sizeof(six));
	sys = errno;
	if (fd < 0 && (sys == EADDRNOTAVAIL || sys == EAFNOSUPPORT || sys == ENETUNREACH))
		errno = ECONNREFUSED; // a machine without IPv6
	return fd;
}

static void daemon_gone(struct shim *s, struct pollfd *daemon)
{
	shim_end(s, JOBDIR_STOPPED, 0, "the daemon is gone");
	file_close(daemon->fd);
	daemon->fd = -1;
}

static void serve_daemon(struct shim *s, struct pollfd *daemon)
{
	struct err e = { 0 }, why = { 0 };
	int asked = door_asked(daemon->fd, &e), bad = 0;

	if (asked == DOOR_DIAL) {
		shim_thaw(s);
		auto_fd int fd = connect_inside(s->job->start->port);

		bad = door_answer(daemon->fd, DOOR_DIAL, fd, fd < 0 ? errno : 0, &e);
	} else if (asked == DOOR_FREEZE) {
		int sys = shim_freeze(s, &why) == 0	? 0
			  : why.code == ERR_UNSUPPORTED ? EOPNOTSUPP
			  : why.sys			? why.sys
							: EBUSY;

		bad = door_answer(daemon->fd, DOOR_FREEZE, -1, sys, &e);
	}
	if (asked < 0 || bad < 0)
		daemon_gone(s, daemon);
}

void shim_door_turn(struct shim *s, struct pollfd *listener, struct pollfd *daemon)
{
	if (listener->revents && daemon->fd < 0) {
		daemon->fd = shim_accept(s, listener->fd);
		daemon->revents = 0;
		if (daemon->fd >= 0)
			s->door_ns = 0;
	}
	if (daemon->revents && daemon->fd >= 0)
		serve_daemon(s, daemon);
	if (s->door_ns && clock_mono_ns() >= s->door_ns) {
		s->door_ns = 0;
		shim_end(s, JOBDIR_STOPPED, 0, "no daemon came");
	}
}
