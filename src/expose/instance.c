// SPDX-License-Identifier: Apache-2.0
// instance: one server from its start to its end, on a thread of its own: it starts it, waits until it is ready, makes
// connections into it, and ends it when its requests are over.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "expose/private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
	PROBE_FIRST_MS = 5,
	PROBE_LAST_MS = 250,
	HEALTH_MS = 2000,     // of one question
	END_MS = 20000,	      // from the order to end
	WELL_S = 10,	      // one that was ready for so long did not fail
	PAUSE_FIRST_MS = 500, // after a failure, doubled with each
	PAUSE_LAST_MS = 60000,
	BUSY_MS = 500, // until room is looked for again
};

// ---- what the driver says ------------------------------------------------------------------------------

// With the lock held.
static struct instance *find(struct expose *x, const char *id)
{
	for (struct outlet *o = x->outlets; o; o = o->next)
		for (struct instance *i = o->instances; i; i = i->next)
			if (strcmp(i->id, id) == 0)
				return i;
	return NULL;
}

static void on_started(void *owner, const char *id)
{
	struct expose *x = owner;
	auto_lock held = lock_hold(&x->lock);
	struct instance *i = find(x, id);

	if (!i)
		return;
	i->started = true;
	pthread_cond_signal(&i->wake);
}

static void on_ended(void *owner, const char *id, const struct exec_result *r)
{
	struct expose *x = owner;
	auto_lock held = lock_hold(&x->lock);
	struct instance *i = find(x, id);

	if (!i)
		return;
	i->ended = true;
	i->result = *r;
	pthread_cond_signal(&i->wake);
}

static void on_changed(void *owner, int64_t service unused_arg)
{
	struct expose *x = owner;
	auto_lock held = lock_hold(&x->lock);

	x->refresh = true;
	pthread_cond_signal(&x->scale);
}

void instance_dispatch_events(struct expose *x)
{
	const struct dispatch_servers s = { x, on_started, on_ended, on_changed };

	dispatch_on_servers(x->o.dispatch, &s);
}

// ---- getting ready -------------------------------------------------------------------------------------

// With the lock held: sleeps, but for news.
static void pause_ms(struct instance *i, struct expose *x, int64_t ms)
{
	if (!i->ended && !i->end)
		lock_wait(&i->wake, &x->lock, clock_mono_ns() + ms * NS_PER_MS);
}

static bool wait_socket(int fd, short events, int64_t by_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = (by_ns - clock_mono_ns()) / NS_PER_MS;

	return left > 0 && poll(&p, 1, (int)left) > 0;
}

// Asks for the health path: 2xx and 3xx are well. The rest of the answer is of no interest.
static bool is_healthy(int fd, const struct service_def *def)
{
	auto_free char *ask =
		mem_printf("GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: oscar\r\n"
			   "Connection: close\r\n\r\n",
			   def->fdl->expose.health_path);
	int64_t by = clock_mono_ns() + HEALTH_MS * NS_PER_MS;
	char line[16];
	size_t n = 0, size = strlen(ask);

	// A new connection takes a few hundred bytes at once.
	if (send(fd, ask, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
		return false;
	while (n < 12 && wait_socket(fd, POLLIN, by)) {
		ssize_t k = recv(fd, line + n, 12 - n, MSG_DONTWAIT);

		if (k <= 0 && !(k < 0 && errno == EINTR))
			return false;
		n += k > 0 ? (size_t)k : 0;
	}
	return n == 12 && memcmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ' &&
	       (line[9] == '2' || line[9] == '3');
}

static bool is_ready(struct instance *i, struct expose *x, struct err *e)
{
	auto_fd int fd = dispatch_server_dial(x->o.dispatch, i->door, e);

	if (fd < 0)
		return false;
	if (!i->def->fdl->expose.health_path[0] || is_healthy(fd, i->def))
		return true;
	err_set(e, ERR_UNAVAILABLE, "%.100s does not answer well", i->def->fdl->expose.health_path);
	return false;
}

// With the lock held, as all that follows but for what says otherwise; it is given up for what takes long.
static int wait_until_started(struct instance *i, struct expose *x, struct err *e)
{
	pthread_mutex_unlock(&x->lock);
	int bad = dispatch_server_start(x->o.dispatch, i->def, i->id, e);

	pthread_mutex_lock(&x->lock);
	if (bad)
		return -1;
	i->submitted = true;
	while (!i->started && !i->ended && !i->end)
		lock_wait(&i->wake, &x->lock, 0);
	if (!i->started || i->ended || i->end)
		return err_set(e, ERR_CANCELLED, "ended before it began");
	pthread_mutex_unlock(&x->lock);
	i->door = dispatch_server_door(x->o.dispatch, i->id, e);
	pthread_mutex_lock(&x->lock);
	return i->door < 0 ? -1 : 0;
}

static int wait_until_ready(struct instance *i, struct expose *x, struct err *e)
{
	int64_t by = clock_mono_ns() + x->o.start_ms * NS_PER_MS, pause = PROBE_FIRST_MS;
	struct err why = { 0 };

	for (;;) {
		if (i->ended || i->end)
			return err_set(e, ERR_CANCELLED, "ended before it was ready");
		pthread_mutex_unlock(&x->lock);
		bool ready = is_ready(i, x, &why);

		pthread_mutex_lock(&x->lock);
		if (ready)
			return 0;
		if (clock_mono_ns() > by)
			return err_set(e, ERR_TIMEOUT, "it was not ready within %lld s: %.150s",
				       (long long)(x->o.start_ms / 1000), why.msg);
		pause_ms(i, x, pause);
		pause = pause * 2 < PROBE_LAST_MS ? pause * 2 : PROBE_LAST_MS;
	}
}

// ---- serving -------------------------------------------------------------------------------------------

static void note(struct outlet *o, const char *reason)
{
	if (reason)
		snprintf(o->told.reason, sizeof(o->told.reason), "%s", reason);
	o->told.changed_ns = clock_wall_ns();
}

void instance_put_dial(struct instance *i, struct exchange *q)
{
	q->next = NULL;
	*i->dials_tail = q;
	i->dials_tail = &q->next;
	pthread_cond_signal(&i->wake);
}

static struct exchange *take_dial(struct instance *i)
{
	struct exchange *q = i->dials;

	if (!q)
		return NULL;
	i->dials = q->next;
	if (!i->dials)
		i->dials_tail = &i->dials;
	q->state = X_DIALS;
	return q;
}

static void dial_for(struct instance *i, struct expose *x, struct exchange *q)
{
	struct err e = { 0 };

	i->frozen = false;
	pthread_mutex_unlock(&x->lock);
	q->conn = (struct conn){ dispatch_server_dial(x->o.dispatch, i->door, &e), false };
	if (q->conn.fd >= 0) {
		exchange_given(q);
		pthread_mutex_lock(&x->lock);
		return;
	}
	pthread_mutex_lock(&x->lock);
	exchange_unpark(q);
	pthread_mutex_unlock(&x->lock);
	exchange_fail(q, e.code == ERR_BUSY || e.code == ERR_TIMEOUT ? 503 : 502,
		      arena_printf(http_arena(q->http), "the function cannot be reached: %s\n",
				   e.msg),
		      true);
	pthread_mutex_lock(&x->lock);
}

// Those that waited for any.
static void invite(struct instance *i)
{
	struct exchange *q;

	while (scale_takes(i) && (q = scale_take_waiter(i->outlet))) {
		q->instance = i;
		i->active++;
		q->state = X_WAITS_DIAL;
		instance_put_dial(i, q);
	}
}

static void close_idle(struct instance *i)
{
	while (i->idle_count)
		file_close(i->idle[--i->idle_count].fd);
}

// Without a connection to it every request asks for one, and the shim thaws it before it makes one.
static void rest(struct instance *i, struct expose *x)
{
	struct err e = { 0 };
	int bad;

	i->freeze = false;
	if (i->active || i->end)
		return;
	close_idle(i);
	i->frozen = true;
	pthread_mutex_unlock(&x->lock);
	bad = dispatch_server_freeze(x->o.dispatch, i->door, &e);
	if (bad)
		log_warn("expose", "%s: instance %s is not frozen: %s", i->def->fdl->name, i->id,
			 e.msg);
	pthread_mutex_lock(&x->lock);
	i->unfreezable = bad;
	i->frozen = i->frozen && !bad;
}

static void serve(struct instance *i, struct expose *x)
{
	struct outlet *o = i->outlet;

	i->state = I_READY;
	i->ready_ns = i->idle_ns = clock_mono_ns();
	note(o, NULL);
	pthread_mutex_unlock(&x->lock);
	log_info("expose", "%s: instance %s is ready", i->def->fdl->name, i->id);
	pthread_mutex_lock(&x->lock);
	for (;;) {
		struct exchange *q;

		invite(i);
		q = take_dial(i);
		if (q)
			dial_for(i, x, q);
		else if (i->ended || (i->end && (!i->active || clock_mono_ns() >= i->drain_by_ns)))
			return;
		else if (i->freeze)
			rest(i, x);
		else
			lock_wait(&i->wake, &x->lock, i->end ? i->drain_by_ns : 0);
	}
}

// ---- ending --------------------------------------------------------------------------------------------

struct conn instance_take_idle(struct instance *i)
{
	while (i->idle_count) {
		struct conn c = i->idle[--i->idle_count];
		char byte;

		// One that the server closed, or in which it speaks unasked, serves no more.
		if (recv(c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
			return c;
		file_close(c.fd);
	}
	return (struct conn){ -1, false };
}

// Its requests go to others, or begin to wait for one.
static void send_away(struct instance *i)
{
	struct exchange *q;

	while ((q = take_dial(i))) {
		q->state = X_WAITS;
		q->instance = NULL;
		i->active--;
		scale_put_waiter(i->outlet, q);
	}
}

static void end_server(struct instance *i, struct expose *x)
{
	int64_t by = clock_mono_ns() + END_MS * NS_PER_MS;

	if (!i->submitted)
		return;
	if (!i->ended) {
		pthread_mutex_unlock(&x->lock);
		dispatch_server_end(x->o.dispatch, i->id);
		pthread_mutex_lock(&x->lock);
	}
	while (!i->ended && lock_wait(&i->wake, &x->lock, by))
		;
}

// Why it ended though nobody wanted that; "" when somebody did.
static void take_account(struct instance *i, bool wanted, const struct err *e)
{
	struct outlet *o = i->outlet;
	int64_t now = clock_mono_ns(), pause = PAUSE_FIRST_MS;

	if (e->code == ERR_BUSY && !i->submitted) {
		note(o, e->msg);
		o->retry_ns = now + BUSY_MS * NS_PER_MS;
		return;
	}
	note(o, wanted ? NULL
		: i->ended && e->code != ERR_TIMEOUT
			? (i->result.reason[0] ? i->result.reason : "it ended by itself")
			: e->msg);
	if (wanted)
		return;
	if (i->ready_ns && now - i->ready_ns > WELL_S * NS_PER_S)
		o->failures = 0;
	for (unsigned n = 0; n < o->failures && pause < PAUSE_LAST_MS; n++)
		pause *= 2;
	o->failures++;
	o->retry_ns = now + (pause < PAUSE_LAST_MS ? pause : PAUSE_LAST_MS) * NS_PER_MS;
}

static void *instance_main(void *arg)
{
	struct instance *i = arg;
	struct outlet *o = i->outlet;
	struct expose *x = o->x;
	char forget[EXEC_JOB_ID_MAX] = "", why[sizeof(o->told.reason)];
	struct err e = { 0 };
	bool wanted;

	pthread_mutex_lock(&x->lock);
	if (wait_until_started(i, x, &e) == 0 && wait_until_ready(i, x, &e) == 0)
		serve(i, x);
	i->state = I_LEAVES;
	wanted = i->end;
	send_away(i);
	close_idle(i);
	end_server(i, x);
	take_account(i, wanted, &e);
	memcpy(why, o->told.reason, sizeof(why));
	if (i->submitted && i->ended) { // its log stays until the next one has ended
		memcpy(forget, o->last, sizeof(forget));
		memcpy(o->last, i->id, sizeof(o->last));
	}
	i->state = I_GONE;
	pthread_cond_signal(&x->scale);
	pthread_mutex_unlock(&x->lock);
	if (!wanted && e.code != ERR_BUSY) // `i` stays until this thread is joined
		log_warn("expose", "%s: instance %s: %s", i->def->fdl->name, i->id, why);
	file_close(i->door);
	if (forget[0])
		dispatch_server_forget(x->o.dispatch, forget);
	return NULL;
}

void instance_start(struct outlet *o, struct expose *x)
{
	struct instance *i = mem_zalloc(sizeof(*i));

	i->outlet = o;
	i->def = service_def_ref(o->def);
	i->began_ns = clock_mono_ns();
	i->door = -1;
	i->dials_tail = &i->dials;
	dispatch_server_id(x->o.dispatch, i->id);
	lock_cond_init(&i->wake);
	i->next = o->instances;
	o->instances = i;
	o->count++;
	x->instances++;
	note(o, NULL);
	lock_thread_start(&i->thread, "expose-server", instance_main, i);
}

void instance_freeze(struct instance *i)
{
	i->freeze = true;
	pthread_cond_signal(&i->wake);
}

void instance_end(struct instance *i, struct expose *x, bool at_once)
{
	int64_t by = at_once ? clock_mono_ns() : clock_mono_ns() + x->o.drain_ms * NS_PER_MS;

	if (!i->end || i->drain_by_ns > by)
		i->drain_by_ns = by;
	i->end = true;
	pthread_cond_signal(&i->wake);
}

void instance_free(struct instance *i)
{
	pthread_join(i->thread, NULL);
	pthread_cond_destroy(&i->wake);
	service_def_put(i->def);
	mem_free(i);
}
