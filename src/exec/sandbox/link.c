// SPDX-License-Identifier: Apache-2.0
// link: the driver's thread, which talks with the runner and starts one when none answers.
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "exec/sandbox/box.h"
#include "runner/runner.h"
#include "runner/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WELCOME_MS = 5000, RETRY_LAST_MS = 2000, MESSAGES_A_TURN = 64 };

static void disconnect(struct sandbox_driver *d)
{
	size_t at = 0;
	void *value;
	auto_lock held = lock_hold(&d->lock);

	file_close(d->conn);
	d->conn = -1;
	d->welcome = d->stop_sent = false;
	d->work = true; // what follows must be sent to the next one
	pthread_cond_broadcast(&d->changed);
	// What was sent may or may not have been read; the runner takes it twice without harm.
	while (map_next(&d->jobs, &at, NULL, &value)) {
		struct job *j = value;

		j->send_start = j->start;
		j->send_take = false;
		j->look = true;
	}
	ahead_retire(&d->ahead, 0); // they end with the runner
}

static bool send_packet(struct sandbox_driver *d, const void *p, size_t n)
{
	return wire_send(d->conn, p, n, NULL, 0);
}

// A respawn may take a while and is made without the lock.
static void try_connect(struct sandbox_driver *d)
{
	struct proto_hello hello = { .head = proto_head(PROTO_HELLO), .runtime = d->runtime };
	struct err e = { 0 };
	int64_t now = clock_mono_ns();

	if (now < d->retry_ns)
		return;
	d->conn = runner_connect(d->data_dir, &e);
	if (d->conn < 0 && d->respawn && d->respawn(d->respawn_owner, &e) == 0)
		d->conn = runner_connect(d->data_dir, &e);
	if (d->conn >= 0 && send_packet(d, &hello, sizeof(hello))) {
		d->welcome_by_ns = now + WELCOME_MS * NS_PER_MS;
		return;
	}
	file_close(d->conn);
	d->conn = -1;
	d->retry_ms = d->retry_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : d->retry_ms * 2;
	d->retry_ns = clock_mono_ns() + d->retry_ms * NS_PER_MS;
}

static int on_about(struct sandbox_driver *d, const struct proto_about *m, size_t n, struct err *e)
{
	char name[JOBDIR_NAME_MAX];
	struct job *j;

	if (proto_check_about(m, n, e) < 0)
		return -1;
	j = box_find(d, jobdir_name(name, m->job, m->attempt));
	if (!j)
		return 0;
	{
		auto_lock held = lock_hold(&d->lock);

		if (m->head.kind != PROTO_ENDED || !j->taken)
			box_start_drop(j);
		j->taken = j->taken && m->head.kind == PROTO_ENDED;
	}
	if (m->head.kind == PROTO_STARTED)
		box_tell_started(d, j, m->wall_ns);
	else if (m->head.kind == PROTO_REFUSED)
		box_refused(d, j, m->text);
	else if (!box_look_at(d, j))
		j->doubt = true;
	return 0;
}

static int on_message(struct sandbox_driver *d, void *packet, size_t n, struct err *e)
{
	struct proto_head *h = packet;

	if (proto_check_head(packet, n, e) < 0)
		return -1;
	switch (h->kind) {
	case PROTO_WELCOME: {
		struct proto_welcome *w = packet;

		if (proto_check_welcome(w, n, e) < 0)
			return -1;
		auto_lock held = lock_hold(&d->lock);

		memcpy(d->limits, w->limits, sizeof(d->limits));
		d->welcome = true;
		d->retry_ms = BOX_RETRY_FIRST_MS;
		d->look_ns = 0;
		pthread_cond_broadcast(&d->changed);
		return 0;
	}
	case PROTO_STARTED:
	case PROTO_ENDED:
	case PROTO_REFUSED:
		return on_about(d, packet, n, e);
	default:
		return err_set(e, ERR_PROTOCOL, "message of unknown kind %u", h->kind);
	}
}

static void on_readable(struct sandbox_driver *d)
{
	_Alignas(8) char packet[2048];
	struct err e = { 0 };

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		ssize_t n = recv(d->conn, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0 && (size_t)n > sizeof(packet))
			err_set(&e, ERR_PROTOCOL, "message of %zd bytes", n);
		else if (n > 0 && on_message(d, packet, (size_t)n, &e) == 0)
			continue;
		log_warn("exec", "runner: %s", n > 0 ? e.msg : "closed the connection");
		d->retry_ns = clock_mono_ns() + d->retry_ms * NS_PER_MS;
		disconnect(d);
		return;
	}
}

static bool send_cancel(struct sandbox_driver *d, const struct job *j)
{
	struct proto_about m = { .head = proto_head(PROTO_CANCEL), .attempt = j->attempt };

	memcpy(m.job, j->id, sizeof(m.job));
	return send_packet(d, &m, sizeof(m));
}

// Of the sandbox nobody speaks any more: it is the job's.
static bool send_take(struct sandbox_driver *d, const struct job *j)
{
	struct proto_take m = { .head = proto_head(PROTO_TAKE), .attempt = j->attempt };
	char name[JOBDIR_NAME_MAX];

	memcpy(m.from, j->from, sizeof(m.from));
	memcpy(m.job, j->id, sizeof(m.job));
	if (!send_packet(d, &m, sizeof(m)))
		return false;
	box_job_free(map_remove(&d->jobs, span_of(jobdir_name(name, j->from, 1))));
	return true;
}

// Sends what waits. True when something could not be sent yet. Sending does not block, so the lock is held.
static bool send_waiting(struct sandbox_driver *d)
{
	size_t at = 0;
	void *value;
	auto_lock held = lock_hold(&d->lock);

	if (!d->welcome || !d->work)
		return false;
	while (map_next(&d->jobs, &at, NULL, &value)) {
		struct job *j = value;

		if (j->send_start &&
		    !wire_send(d->conn, j->start, j->start_size, j->files, proto_files(j->start)))
			return true;
		j->send_start = false;
		if (j->send_take && !send_take(d, j))
			return true;
		j->send_take = false;
		if (j->send_cancel && !send_cancel(d, j))
			return true;
		j->send_cancel = false;
	}
	if (d->stopping && !d->stop_sent) {
		struct proto_plain m = { .head = proto_head(PROTO_STOP_ALL) };

		d->stop_sent = send_packet(d, &m, sizeof(m));
		if (!d->stop_sent)
			return true;
		pthread_cond_broadcast(&d->changed);
	}
	d->work = false;
	return false;
}

// Those that were idle for long enough, or shall serve no more.
static void end_idle(struct sandbox_driver *d)
{
	char id[PROTO_JOB_MAX], name[JOBDIR_NAME_MAX];

	while (kept_ending(&d->kept, id) || ahead_ending(&d->ahead, id)) {
		auto_lock held = lock_hold(&d->lock);
		struct job *j = map_get(&d->jobs, span_of(jobdir_name(name, id, 1)));

		if (j)
			j->send_cancel = d->work = true;
	}
}

static int wait_ms(struct sandbox_driver *d, bool watching)
{
	const int64_t now = clock_mono_ns(), due[] = { kept_due(&d->kept), ahead_due(&d->ahead) };
	int64_t least = INT64_C(60) * NS_PER_S;

	for (size_t i = 0; i < ARRAY_LEN(due); i++)
		if (due[i] && due[i] - now < least)
			least = due[i] - now;
	if (d->conn < 0 && d->retry_ns - now < least)
		least = d->retry_ns - now;
	if (watching && d->look_ns - now < least)
		least = d->look_ns - now;
	return least <= 0 ? 0 : (int)(least / NS_PER_MS) + 1;
}

void *box_serve(void *arg)
{
	struct sandbox_driver *d = arg;

	for (;;) {
		struct pollfd p[2 + KEPT_MAX] = { { d->wake, POLLIN, 0 } };
		bool behind, watching;
		uint64_t drop;
		size_t n;

		{
			auto_lock held = lock_hold(&d->lock);

			if (d->closing)
				return NULL;
		}
		if (d->conn < 0)
			try_connect(d);
		if (d->conn >= 0 && !d->welcome && clock_mono_ns() > d->welcome_by_ns)
			disconnect(d);
		end_idle(d);
		behind = d->conn >= 0 && send_waiting(d);
		watching = box_look_around(d);
		p[1] = (struct pollfd){ d->conn, (short)(POLLIN | (behind ? POLLOUT : 0)), 0 };
		n = kept_poll(&d->kept, p + 2);
		poll(p, 2 + n, d->conn >= 0 && !d->welcome ? BOX_LOOK_MS : wait_ms(d, watching));
		if (p[0].revents && read(d->wake, &drop, sizeof(drop)) < 0 && errno != EAGAIN)
			return NULL;
		if (p[1].revents & (POLLIN | POLLHUP | POLLERR))
			on_readable(d);
		kept_turn(&d->kept, p + 2, n);
	}
}
