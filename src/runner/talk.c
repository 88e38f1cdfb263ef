// SPDX-License-Identifier: Apache-2.0
// talk: the connection to the daemon: its messages, and what it is told.
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/give.h"
#include "runner/state.h"
#include "runner/sys.h"
#include "runner/wire.h"

#include <stdio.h>
#include <sys/socket.h>

enum { HELLO_MS = 5000, MESSAGES_A_TURN = 64 };

void talk_hang_up(struct runner *r)
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
		if (j->ahead)
			jobs_order(j, JOBDIR_STOP);
		if (j->tell_ended)
			jobs_drop(r, j);
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

// About what is no job here.
static void answer(struct runner *r, const struct proto_about *m)
{
	if (!send_packet(r, m, sizeof(*m)) && r->behind) {
		r->held = *m;
		r->held_there = true;
	}
}

void talk_refuse(struct runner *r, const struct proto_start *s, bool busy, const char *text)
{
	struct proto_about m = { .head = proto_head(PROTO_REFUSED),
				 .attempt = s->attempt,
				 .busy = busy };

	memcpy(m.job, s->job, sizeof(m.job));
	snprintf(m.text, sizeof(m.text), "%s", text);
	answer(r, &m);
}

void talk_started(struct runner *r, struct job *j, int64_t wall_ns)
{
	j->started_wall_ns = wall_ns;
	j->tell_started = r->conn >= 0 && !send_about(r, PROTO_STARTED, j);
}

void talk_ended(struct runner *r, struct job *j)
{
	if (j->shim == 0 && r->adopted)
		r->adopted--;
	j->shim = -1;
	if (j->tell_started || r->behind)
		j->tell_ended = r->conn >= 0; // in its order
	else
		j->tell_ended = r->conn >= 0 && !send_about(r, PROTO_ENDED, j);
	if (!j->tell_ended)
		jobs_drop(r, j);
}

void talk_catch_up(struct runner *r)
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
			jobs_drop(r, j);
	}
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

static void on_take(struct runner *r, const struct proto_take *m)
{
	struct proto_about none = { .head = proto_head(PROTO_ENDED), .attempt = m->attempt };

	if (jobs_take(r, m))
		return;
	memcpy(none.job, m->job, sizeof(none.job));
	answer(r, &none);
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
		begin_job(r, packet, p->files);
		return 0;
	case PROTO_CANCEL:
		if (proto_check_about(about, n, e) < 0)
			return -1;
		j = jobs_find(r, about->job, about->attempt);
		if (j)
			jobs_order(j, JOBDIR_CANCEL);
		return 0;
	case PROTO_STOP_ALL:
		jobs_stop_all(r);
		return 0;
	case PROTO_TAKE:
		if (proto_check_take(packet, n, e) < 0)
			return -1;
		on_take(r, packet);
		return 0;
	case PROTO_GIVE:
		return on_give(r, p, e);
	default:
		return err_set(e, ERR_PROTOCOL, "message of unknown kind %u", h->kind);
	}
}

void talk_read(struct runner *r)
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
		talk_hang_up(r);
		return;
	}
}

void talk_accept(struct runner *r)
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
