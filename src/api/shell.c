// SPDX-License-Identifier: Apache-2.0
#include "api/shell.h"

#include "api/req.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/shell_frame.h"
#include "dispatch/dispatch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLIENT_WAIT_MS = 10000, // for the connection to switch
	END_WAIT_MS = 5000,	// for the sandbox to be gone
	DRAIN_MS = 1000,	// for what it printed last
	SEND_MS = 5000,		// for the client to take the rest
	CONTROL_D = 4,
};

struct shell {
	struct shell *next; // of the api, under its lock
	struct api *api;
	_Atomic unsigned refs;
	char job[QUEUE_NAME_MAX], user[64], terminal[SHELL_TERMINAL_MAX];
	struct dispatch_shell *box;
	int wake; // eventfd: something below has changed
	int64_t opened_ns;

	pthread_mutex_t lock; // guards what follows
	struct http_switched *client;
	int client_fd; // http's; -1 = not there yet
	bool gone, started, ended, stop;
	struct exec_result result;

	// The thread's own.
	int in, out, err; // our ends; with a terminal the first two are one
	int door;
	bool door_tried;
	struct shell_reader reader;
	char pending[SHELL_PAYLOAD_MAX]; // input that the sandbox has not taken
	size_t pending_at, pending_n;
	bool in_end;
	char sending[SHELL_HEAD + SHELL_PAYLOAD_MAX]; // a frame that the client has not taken
	size_t sending_at, sending_n;
	uint64_t bytes_in, bytes_out;
	int64_t active_ns;
	const char *why; // we end it, NULL = it ends by itself
};

static void shell_put(struct shell *s)
{
	if (--s->refs)
		return;
	file_close(s->wake);
	file_close(s->in);
	if (s->out != s->in)
		file_close(s->out);
	file_close(s->err);
	file_close(s->door);
	pthread_mutex_destroy(&s->lock);
	mem_wipe(s->pending, sizeof(s->pending));
	mem_free(s);
}

static void wake(struct shell *s)
{
	uint64_t one = 1;
	ssize_t done = write(s->wake, &one, sizeof(one));

	(void)done; // full means awake
}

// ---- from other threads --------------------------------------------------------------------------------

static void on_started(void *owner)
{
	struct shell *s = owner;

	pthread_mutex_lock(&s->lock);
	s->started = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

static void on_ended(void *owner, const struct exec_result *r)
{
	struct shell *s = owner;

	pthread_mutex_lock(&s->lock);
	s->result = *r;
	s->ended = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	shell_put(s);
}

// On http's loop. Bytes that came early are the thread's, which has not looked at its reader before.
void shell_switched(void *shell, struct http_switched *c, int fd, struct span early)
{
	struct shell *s = shell;
	bool stop;
	size_t max;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	if (!stop) {
		char *room = shell_reader_room(&s->reader, &max);

		early = span_head(early, max);
		memcpy(room, early.p, early.n);
		shell_reader_grew(&s->reader, early.n);
		s->client = c;
		s->client_fd = fd;
	}
	pthread_mutex_unlock(&s->lock);
	if (stop)
		http_switched_end(c);
	wake(s);
}

void shell_request_gone(struct shell *s)
{
	pthread_mutex_lock(&s->lock);
	s->gone = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	shell_put(s);
}

struct stand {
	int client_fd;
	bool gone, started, ended, stop;
};

static struct stand look(struct shell *s)
{
	uint64_t drop;
	ssize_t done = read(s->wake, &drop, sizeof(drop));
	auto_lock held = lock_hold(&s->lock);

	(void)done; // nothing there: we come for another reason
	return (struct stand){ s->client_fd, s->gone, s->started, s->ended, s->stop };
}

// ---- bytes ---------------------------------------------------------------------------------------------

static void resize(const struct shell *s, unsigned rows, unsigned columns)
{
	const struct winsize size = { .ws_row = (unsigned short)rows,
				      .ws_col = (unsigned short)columns };

	if (s->terminal[0] && ioctl(s->in, TIOCSWINSZ, &size) < 0)
		log_debug("shell", "%s: size: %s", s->job, strerror(errno));
}

static void take_frame(struct shell *s, const struct shell_frame *f)
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
static void take_frames(struct shell *s)
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

static void receive(struct shell *s, int fd)
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

static void close_input(struct shell *s)
{
	s->pending_at = s->pending_n = 0;
	if (s->in >= 0 && s->in != s->out)
		close(s->in);
	s->in = -1;
}

static void feed(struct shell *s)
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
	if (!s->terminal[0]) {
		close_input(s);
		return;
	}
	s->pending[0] = CONTROL_D;
	s->pending_at = 0;
	s->pending_n = 1;
	s->in_end = false;
}

// Another frame of what the sandbox prints, when the one before has gone.
static void print(struct shell *s, int *fd, enum shell_kind kind)
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
static bool send_some(struct shell *s, int fd)
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

static bool all_sent(const struct shell *s)
{
	return s->sending_at == s->sending_n;
}

// ---- the thread ----------------------------------------------------------------------------------------

// One that cannot be opened is of a sandbox that has ended, as we shall hear, or that ends because nobody came.
static void open_door(struct shell *s)
{
	struct err e = { 0 };

	if (s->door_tried)
		return;
	s->door_tried = true;
	s->door = dispatch_server_door(s->api->o.dispatch, dispatch_shell_id(s->box), &e);
	if (s->door < 0)
		log_debug("shell", "job %s: %s", s->job, e.msg);
}

// Sleeps until something can be done, for at most `ms`. `take`: also when the client has said something.
static void wait_turn(const struct shell *s, int client, bool take, int64_t ms)
{
	const bool room = s->pending_at == s->pending_n, idle = all_sent(s);
	const short in = take && room ? POLLIN : 0, out = idle ? 0 : POLLOUT;
	struct pollfd p[] = {
		{ .fd = s->wake, .events = POLLIN },
		{ .fd = in || out ? client : -1, .events = (short)(in | out) },
		{ .fd = room ? -1 : s->in, .events = POLLOUT },
		{ .fd = idle ? s->out : -1, .events = POLLIN },
		{ .fd = idle ? s->err : -1, .events = POLLIN },
	};

	poll(p, ARRAY_LEN(p), ms < 0 ? 0 : (int)ms);
}

// Until the client is there. False: it will not come.
static bool wait_client(struct shell *s, struct stand *now)
{
	int64_t deadline = clock_mono_ns() + CLIENT_WAIT_MS * NS_PER_MS;
	struct pollfd p = { .fd = s->wake, .events = POLLIN };

	while ((*now = look(s)).client_fd < 0) {
		int64_t left = deadline - clock_mono_ns();

		if (now->gone || now->stop || left <= 0)
			return false;
		poll(&p, 1, (int)(left / NS_PER_MS) + 1);
	}
	return true;
}

static int64_t idle_left_ms(const struct shell *s)
{
	return s->api->o.shell_idle_s * 1000 - (clock_mono_ns() - s->active_ns) / NS_PER_MS;
}

// Until it has ended, or is to be.
static void carry(struct shell *s, struct stand *now)
{
	while (!now->ended && !s->why) {
		wait_turn(s, now->client_fd, true, idle_left_ms(s) + 1);
		*now = look(s);
		if (now->started && !now->ended)
			open_door(s);
		if (!send_some(s, now->client_fd))
			s->why = "the client left";
		feed(s);
		if (s->pending_at == s->pending_n && !s->why)
			receive(s, now->client_fd);
		feed(s);
		print(s, &s->err, SHELL_ERRORS);
		print(s, &s->out, SHELL_OUTPUT);
		if (now->stop)
			s->why = "the server stops";
		else if (idle_left_ms(s) <= 0)
			s->why = "nothing was typed or printed for too long (--shell-idle)";
	}
}

// Has all of it killed and waits for that. False: nobody says that it has ended.
static bool end_box(struct shell *s, struct stand *now)
{
	int64_t deadline = clock_mono_ns() + END_WAIT_MS * NS_PER_MS;
	struct pollfd p = { .fd = s->wake, .events = POLLIN };

	if (!now->ended)
		dispatch_server_end(s->api->o.dispatch, dispatch_shell_id(s->box));
	while (!now->ended && clock_mono_ns() < deadline) {
		poll(&p, 1, 100);
		*now = look(s);
	}
	return now->ended;
}

// What it printed last, as long as the client takes it.
static void drain(struct shell *s, int client)
{
	int64_t now = clock_mono_ns(), quiet = now + DRAIN_MS * NS_PER_MS,
		end = now + SEND_MS * NS_PER_MS;

	s->pending_at = s->pending_n = 0;
	while (now < end && (!all_sent(s) || ((s->out >= 0 || s->err >= 0) && now < quiet))) {
		if (!send_some(s, client))
			return;
		print(s, &s->err, SHELL_ERRORS);
		print(s, &s->out, SHELL_OUTPUT);
		if (send_some(s, client) && (s->out >= 0 || s->err >= 0 || !all_sent(s)))
			wait_turn(s, client, false, 20);
		now = clock_mono_ns();
	}
}

static void say_end(struct shell *s, int client, const struct exec_result *r)
{
	int64_t end = clock_mono_ns() + SEND_MS * NS_PER_MS;
	enum shell_end_how how = r->outcome == EXEC_EXITED     ? SHELL_EXITED
				 : r->outcome == EXEC_SIGNALED ? SHELL_KILLED
							       : SHELL_BROKEN;
	unsigned code = how == SHELL_EXITED ? (unsigned)r->exit_code : (unsigned)r->signal;

	if (!all_sent(s))
		return; // the client takes nothing any more
	s->sending_at = 0;
	s->sending_n = s->why ? shell_frame_end(s->sending, SHELL_BROKEN, 0, s->why)
			      : shell_frame_end(s->sending, how, code, r->reason);
	while (send_some(s, client) && !all_sent(s) && clock_mono_ns() < end)
		wait_turn(s, client, false, 100);
}

// What the client sent meanwhile is read: to close a socket over it would take from the client what it has not read yet.
// It hangs up when it has seen the end.
static void linger(struct shell *s, int client)
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

static void tell_log(const struct shell *s, const struct exec_result *r)
{
	int64_t took = clock_mono_ns() - s->opened_ns;

	log_info("shell",
		 "user %s left the shell on job %s after %lld s: %s (%llu bytes in, %llu out)",
		 s->user, s->job, (long long)(took / NS_PER_S),
		 s->why			     ? s->why
		 : r->outcome == EXEC_EXITED ? "it ended"
					     : r->reason,
		 (unsigned long long)s->bytes_in, (unsigned long long)s->bytes_out);
}

static void leave_api(struct shell *s)
{
	struct api *a = s->api;
	struct shell **at = &a->shells;
	auto_lock held = lock_hold(&a->lock);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	a->shell_count--;
	pthread_cond_broadcast(&a->shells_gone);
}

// The client may come at the same moment.
static struct http_switched *take_client(struct shell *s, struct exec_result *r)
{
	auto_lock held = lock_hold(&s->lock);

	s->stop = true;
	*r = s->result;
	return s->client;
}

static void *shell_main(void *arg)
{
	struct shell *s = arg;
	struct http_switched *client;
	struct exec_result r;
	struct stand now;
	bool ended;

	if (wait_client(s, &now)) {
		take_frames(s);
		carry(s, &now);
	} else {
		s->why = "its client did not come";
	}
	ended = end_box(s, &now);
	client = take_client(s, &r);
	tell_log(s, &r);
	if (client && now.client_fd >= 0) {
		drain(s, now.client_fd);
		say_end(s, now.client_fd, &r);
		linger(s, now.client_fd);
	}
	if (ended)
		dispatch_shell_forget(s->api->o.dispatch, s->box);
	else
		log_warn("shell", "job %s: its shell does not end", s->job);
	if (client)
		http_switched_end(client);
	leave_api(s);
	shell_put(s);
	return NULL;
}

// ---- beginning -----------------------------------------------------------------------------------------

static int open_terminal(struct shell *s, const struct shell_wish *w, int *slave, struct err *e)
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

static int start_box(struct shell *s, const struct shell_wish *w, const int theirs[static 3],
		     struct err *e)
{
	const bool terminal = w->terminal[0];
	struct dispatch_shell_wish wish = { .terminal = terminal ? s->terminal : NULL,
					    .command = w->command_count ? w->command : NULL,
					    .time_ms = s->api->o.shell_time_s * 1000,
					    .owner = s,
					    .started = on_started,
					    .ended = on_ended };

	for (int i = 0; i < 3; i++)
		wish.streams[i] = theirs[terminal ? 0 : i];
	return dispatch_shell_start(s->api->o.dispatch, w->job, &wish, &s->box, e);
}

// Streams for the sandbox, and the sandbox.
static int begin(struct shell *s, const struct shell_wish *w, struct err *e)
{
	int theirs[3] = { -1, -1, -1 };
	int bad = w->terminal[0] ? open_terminal(s, w, &theirs[0], e) < 0
				 : open_pipe(&s->in, &theirs[0], true, e) < 0 ||
					   open_pipe(&s->out, &theirs[1], false, e) < 0 ||
					   open_pipe(&s->err, &theirs[2], false, e) < 0;

	bad = bad || start_box(s, w, theirs, e) < 0;
	for (int i = 0; i < 3; i++)
		file_close(theirs[i]);
	return bad ? -1 : 0;
}

static int enter_api(struct shell *s, struct err *e)
{
	struct api *a = s->api;
	auto_lock held = lock_hold(&a->lock);

	if (a->shells_ending)
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	if (a->shell_count >= a->o.shells_max)
		return a->o.shells_max ? err_set(e, ERR_BUSY,
						 "%u shells are open, which are as many as may be",
						 a->shell_count)
				       : err_set(e, ERR_UNSUPPORTED,
						 "this server opens no shells (--max-shells)");
	a->shell_count++;
	s->next = a->shells;
	a->shells = s;
	return 0;
}

int shell_open(struct api *a, const struct shell_wish *w, struct shell **out, struct err *e)
{
	struct shell *s = mem_zalloc(sizeof(*s));
	pthread_t thread;

	s->api = a;
	s->refs = 1;
	s->in = s->out = s->err = s->door = s->client_fd = -1;
	s->opened_ns = s->active_ns = clock_mono_ns();
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&s->lock, NULL);
	snprintf(s->job, sizeof(s->job), "%s", w->job->name);
	snprintf(s->user, sizeof(s->user), "%s", w->user);
	snprintf(s->terminal, sizeof(s->terminal), "%s", w->terminal);
	if (s->wake < 0 || enter_api(s, e) < 0) {
		if (s->wake < 0)
			err_sys(e, ERR_IO, errno, "eventfd");
		shell_put(s);
		return -1;
	}
	s->refs = 3; // the thread, the request, dispatch
	if (begin(s, w, e) < 0) {
		leave_api(s);
		s->refs = 1;
		shell_put(s);
		return -1;
	}
	log_info("shell", "user %s opens a shell on job %s of service %s", s->user, s->job,
		 w->job->service_name);
	lock_thread_start(&thread, "shell", shell_main, s);
	pthread_detach(thread);
	*out = s;
	return 0;
}

void shells_end(struct api *a)
{
	auto_lock held = lock_hold(&a->lock);

	a->shells_ending = true;
	for (struct shell *s = a->shells; s; s = s->next) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_mutex_unlock(&s->lock);
		wake(s);
	}
	while (a->shell_count)
		lock_wait(&a->shells_gone, &a->lock, 0);
}
