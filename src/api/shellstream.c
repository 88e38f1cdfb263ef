// SPDX-License-Identifier: Apache-2.0
#include "api/shellstream.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	DRAIN_MS = 1000, // for what the sandbox printed last
	SEND_MS = 5000,	 // for the client to take the rest
	CONTROL_D = 4,
};

void shell_stream_init(struct shell_stream *s, const struct shell_wish *w)
{
	s->terminal = w->terminal[0];
	s->in = s->out = s->err = -1;
	s->active_ns = clock_mono_ns();
}

static void resize(const struct shell_stream *s, unsigned rows, unsigned columns)
{
	const struct winsize size = { .ws_row = (unsigned short)rows,
				      .ws_col = (unsigned short)columns };

	if (s->terminal && ioctl(s->in, TIOCSWINSZ, &size) < 0)
		log_debug("shell", "size: %s", strerror(errno));
}

static int open_terminal(struct shell_stream *s, const struct shell_wish *w, int *slave,
			 struct err *e)
{
	auto_fd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return err_sys(e, ERR_IO, errno, "this server has no terminal to give");
	// By the master: the name may be another's in a container.
	*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		return err_sys(e, ERR_IO, errno, "this server has no terminal to give");
	s->in = s->out = file_take(&master);
	resize(s, w->rows, w->columns);
	return 0;
}

// Our end does not block; the sandbox's does.
static int open_pipe(int *ours, int *theirs, bool we_write, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, ERR_IO, errno, "pipe");
	*ours = ends[we_write];
	*theirs = ends[!we_write];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? err_sys(e, ERR_IO, errno, "pipe") : 0;
}

int shell_stream_open(struct shell_stream *s, const struct shell_wish *w, int theirs[static 3],
		      struct err *e)
{
	if (s->terminal)
		return open_terminal(s, w, &theirs[0], e);
	return open_pipe(&s->in, &theirs[0], true, e) < 0 ||
			       open_pipe(&s->out, &theirs[1], false, e) < 0 ||
			       open_pipe(&s->err, &theirs[2], false, e) < 0
		       ? -1
		       : 0;
}

void shell_stream_release(struct shell_stream *s)
{
	file_close(s->in);
	if (s->out != s->in)
		file_close(s->out);
	file_close(s->err);
	mem_wipe(s->pending, sizeof(s->pending));
}

// ---- bytes ---------------------------------------------------------------------------------------------

static void take_frame(struct shell_stream *s, const struct shell_frame *f)
{
	switch (f->kind) {
	case SHELL_INPUT:
		memcpy(s->pending, f->payload.p, f->payload.n);
		s->pending_at = 0;
		s->pending_n = s->in < 0 || s->in_end ? 0 : f->payload.n;
		s->bytes_in += f->payload.n;
		break;
	case SHELL_INPUT_END:
		s->in_end = true;
		break;
	case SHELL_SIZE:
		resize(s, f->rows, f->columns);
		break;
	case SHELL_OUTPUT:
	case SHELL_ERRORS:
	case SHELL_END:
		break; // the reader refuses them
	}
}

// What the client sent, as far as the sandbox takes it.
static void take_frames(struct shell_stream *s)
{
	struct shell_frame f;
	struct err e = { 0 };
	int got = 0;

	while (s->pending_at == s->pending_n &&
	       (got = shell_reader_next(&s->reader, true, &f, &e)) > 0)
		take_frame(s, &f);
	if (got < 0)
		s->why = "the client does not keep to the protocol";
}

static void receive(struct shell_stream *s, int fd)
{
	size_t max;
	char *room = shell_reader_room(&s->reader, &max);
	ssize_t n = recv(fd, room, max, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		s->why = "the client left";
		return;
	}
	shell_reader_grew(&s->reader, (size_t)n);
	s->active_ns = clock_mono_ns();
	take_frames(s);
}

static void close_input(struct shell_stream *s)
{
	s->pending_at = s->pending_n = 0;
	if (s->in >= 0 && s->in != s->out)
		close(s->in);
	s->in = -1;
}

static void feed(struct shell_stream *s)
{
	while (s->in >= 0 && s->pending_at < s->pending_n) {
		ssize_t n = write(s->in, s->pending + s->pending_at, s->pending_n - s->pending_at);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			close_input(s); // nobody reads it any more
			return;
		}
		s->pending_at += (size_t)n;
	}
	take_frames(s);
	if (s->pending_at < s->pending_n || !s->in_end || s->in < 0)
		return;
	if (!s->terminal) {
		close_input(s);
		return;
	}
	s->pending[0] = CONTROL_D;
	s->pending_at = 0;
	s->pending_n = 1;
	s->in_end = false;
}

// Another frame of what the sandbox prints, when the one before has gone.
static void print(struct shell_stream *s, int *fd, enum shell_kind kind)
{
	ssize_t n;

	if (*fd < 0 || s->sending_at < s->sending_n)
		return;
	n = read(*fd, s->sending + SHELL_HEAD, SHELL_PAYLOAD_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { // a terminal that nobody has open any more says EIO
		if (*fd != s->in)
			close(*fd);
		*fd = -1;
		return;
	}
	s->sending_at = 0;
	s->sending_n = shell_frame_seal(s->sending, kind, (size_t)n);
	s->bytes_out += (uint64_t)n;
	s->active_ns = clock_mono_ns();
}

// False: the client has left.
static bool send_some(struct shell_stream *s, int fd)
{
	while (s->sending_at < s->sending_n) {
		ssize_t n = send(fd, s->sending + s->sending_at, s->sending_n - s->sending_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		s->sending_at += (size_t)n;
	}
	return true;
}

static bool all_sent(const struct shell_stream *s)
{
	return s->sending_at == s->sending_n;
}

// `take`: also when the client has said something.
static void wait_turn(const struct shell_stream *s, int wake, int client, bool take, int64_t ms)
{
	const bool room = s->pending_at == s->pending_n, idle = all_sent(s);
	const short in = take && room ? POLLIN : 0, out = idle ? 0 : POLLOUT;
	struct pollfd p[] = {
		{ .fd = wake, .events = POLLIN },
		{ .fd = in || out ? client : -1, .events = (short)(in | out) },
		{ .fd = room ? -1 : s->in, .events = POLLOUT },
		{ .fd = idle ? s->out : -1, .events = POLLIN },
		{ .fd = idle ? s->err : -1, .events = POLLIN },
	};

	poll(p, ARRAY_LEN(p), ms < 0 ? 0 : (int)ms);
}

void shell_stream_wait(const struct shell_stream *s, int wake, int client, int64_t ms)
{
	wait_turn(s, wake, client, true, ms);
}

void shell_stream_begin(struct shell_stream *s)
{
	take_frames(s);
}

static void print_both(struct shell_stream *s)
{
	print(s, &s->err, SHELL_ERRORS);
	print(s, &s->out, SHELL_OUTPUT);
}

void shell_stream_turn(struct shell_stream *s, int client)
{
	if (!send_some(s, client))
		s->why = "the client left";
	feed(s);
	if (s->pending_at == s->pending_n && !s->why)
		receive(s, client);
	feed(s);
	print_both(s);
}

// ---- the end -------------------------------------------------------------------------------------------

void shell_stream_drain(struct shell_stream *s, int client)
{
	int64_t now = clock_mono_ns(), quiet = now + DRAIN_MS * NS_PER_MS,
		end = now + SEND_MS * NS_PER_MS;

	s->pending_at = s->pending_n = 0;
	while (now < end && (!all_sent(s) || ((s->out >= 0 || s->err >= 0) && now < quiet))) {
		if (!send_some(s, client))
			return;
		print_both(s);
		if (send_some(s, client) && (s->out >= 0 || s->err >= 0 || !all_sent(s)))
			wait_turn(s, -1, client, false, 20);
		now = clock_mono_ns();
	}
}

// What the client sent meanwhile is read: to close a socket over it would take from the client what it has not read yet.
// It hangs up when it has seen the end.
static void linger(struct shell_stream *s, int client)
{
	int64_t end = clock_mono_ns() + DRAIN_MS * NS_PER_MS;
	struct pollfd p = { .fd = client, .events = POLLIN };

	while (clock_mono_ns() < end) {
		ssize_t n;

		poll(&p, 1, 100);
		n = recv(client, s->reader.bytes, sizeof(s->reader.bytes), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}

void shell_stream_end(struct shell_stream *s, int client, enum shell_end_how how, unsigned code,
		      const char *reason)
{
	int64_t end = clock_mono_ns() + SEND_MS * NS_PER_MS;

	if (all_sent(s)) { // else the client takes nothing any more
		s->sending_at = 0;
		s->sending_n = shell_frame_end(s->sending, how, code, reason);
		while (send_some(s, client) && !all_sent(s) && clock_mono_ns() < end)
			wait_turn(s, -1, client, false, 100);
	}
	linger(s, client);
}
