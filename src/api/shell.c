// SPDX-License-Identifier: Apache-2.0
#include "api/shell.h"

#include "api/req.h"
#include "api/shellstream.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	CLIENT_WAIT_MS = 10000, // for the connection to switch
	END_WAIT_MS = 5000,	// for the sandbox to be gone
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
	struct shell_stream stream;
	int door;
	bool door_tried;
};

static void shell_put(struct shell *s)
{
	if (--s->refs)
		return;
	file_close(s->wake);
	shell_stream_release(&s->stream);
	file_close(s->door);
	pthread_mutex_destroy(&s->lock);
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
		char *room = shell_reader_room(&s->stream.reader, &max);

		early = span_head(early, max);
		memcpy(room, early.p, early.n);
		shell_reader_grew(&s->stream.reader, early.n);
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
	return s->api->o.shell_idle_s * 1000 - (clock_mono_ns() - s->stream.active_ns) / NS_PER_MS;
}

// Until it has ended, or is to be.
static void carry(struct shell *s, struct stand *now)
{
	while (!now->ended && !s->stream.why) {
		shell_stream_wait(&s->stream, s->wake, now->client_fd, idle_left_ms(s) + 1);
		*now = look(s);
		if (now->started && !now->ended)
			open_door(s);
		shell_stream_turn(&s->stream, now->client_fd);
		if (now->stop)
			s->stream.why = "the server stops";
		else if (idle_left_ms(s) <= 0)
			s->stream.why = "nothing was typed or printed for too long (--shell-idle)";
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

static void say_end(struct shell *s, int client, const struct exec_result *r)
{
	enum shell_end_how how = r->outcome == EXEC_EXITED     ? SHELL_EXITED
				 : r->outcome == EXEC_SIGNALED ? SHELL_KILLED
							       : SHELL_BROKEN;
	unsigned code = how == SHELL_EXITED ? (unsigned)r->exit_code : (unsigned)r->signal;

	if (s->stream.why)
		shell_stream_end(&s->stream, client, SHELL_BROKEN, 0, s->stream.why);
	else
		shell_stream_end(&s->stream, client, how, code, r->reason);
}

static void tell_log(const struct shell *s, const struct exec_result *r)
{
	int64_t took = clock_mono_ns() - s->opened_ns;

	log_info("shell",
		 "user %s left the shell on job %s after %lld s: %s (%llu bytes in, %llu out)",
		 s->user, s->job, (long long)(took / NS_PER_S),
		 s->stream.why		     ? s->stream.why
		 : r->outcome == EXEC_EXITED ? "it ended"
					     : r->reason,
		 (unsigned long long)s->stream.bytes_in, (unsigned long long)s->stream.bytes_out);
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
		shell_stream_begin(&s->stream);
		carry(s, &now);
	} else {
		s->stream.why = "its client did not come";
	}
	ended = end_box(s, &now);
	client = take_client(s, &r);
	tell_log(s, &r);
	if (client && now.client_fd >= 0) {
		shell_stream_drain(&s->stream, now.client_fd);
		say_end(s, now.client_fd, &r);
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
	int bad = shell_stream_open(&s->stream, w, theirs, e) < 0;

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
	shell_stream_init(&s->stream, w);
	s->door = s->client_fd = -1;
	s->opened_ns = clock_mono_ns();
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
