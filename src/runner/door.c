// SPDX-License-Identifier: Apache-2.0
#include "runner/door.h"

#include "base/clock.h"
#include "base/file.h"
#include "runner/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { ANSWER_MS = 1000 };

static int receive(int fd, struct door_message *m, int *conn, struct err *e)
{
	struct wire_packet p;
	int got = wire_receive(fd, &p, e);

	*conn = -1;
	if (got <= 0)
		return got;
	memcpy(m, p.bytes, p.size < sizeof(*m) ? p.size : sizeof(*m));
	if (p.size != sizeof(*m) || m->magic != DOOR_MAGIC || p.file_count > 1) {
		wire_release(&p);
		return err_set(e, ERR_PROTOCOL, "not a message of a door");
	}
	if (p.file_count)
		*conn = p.files[0];
	return 1;
}

static int no_connection(int sys, struct err *e)
{
	if (sys == EAGAIN || sys == EINPROGRESS)
		return err_sys(e, ERR_BUSY, sys, "the server does not take connections");
	if (sys == ECONNREFUSED)
		return err_sys(e, ERR_UNAVAILABLE, sys, "nobody listens at the port");
	return err_sys(e, ERR_UNAVAILABLE, sys, "connect to the port");
}

// What is asked, and the answer to that: one to an earlier question may come late. The connection of a DIAL, or 0.
static int ask(int fd, enum door_kind kind, struct door_message *m, int *conn, struct err *e)
{
	const struct door_message question = { .magic = DOOR_MAGIC, .kind = kind };
	const int64_t by = clock_mono_ns() + ANSWER_MS * NS_PER_MS;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!wire_send(fd, &question, sizeof(question), NULL, 0))
		return err_sys(e, ERR_UNAVAILABLE, errno, "ask the sandbox");
	for (int64_t left; (left = by - clock_mono_ns()) > 0;) {
		if (poll(&p, 1, (int)(left / NS_PER_MS) + 1) < 0 && errno != EINTR)
			break;
		int got = receive(fd, m, conn, e);

		if (got < 0)
			return -1;
		if (got && m->kind == kind)
			return 0;
		file_close(*conn);
	}
	return err_set(e, ERR_TIMEOUT, "the sandbox does not answer");
}

int door_dial(int fd, struct err *e)
{
	struct door_message m;
	int conn;

	if (ask(fd, DOOR_DIAL, &m, &conn, e) < 0)
		return -1;
	if ((m.sys == 0) == (conn < 0)) {
		file_close(conn);
		return err_set(e, ERR_PROTOCOL, "not an answer of a door");
	}
	return m.sys ? no_connection(m.sys, e) : conn;
}

int door_freeze(int fd, struct err *e)
{
	struct door_message m;
	int conn;

	if (ask(fd, DOOR_FREEZE, &m, &conn, e) < 0)
		return -1;
	file_close(conn);
	if (m.sys == EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED, "there is no freezer control group");
	return m.sys ? err_sys(e, ERR_IO, m.sys, "freeze the sandbox") : 0;
}

int door_asked(int fd, struct err *e)
{
	struct door_message m;
	int conn, got = receive(fd, &m, &conn, e);

	if (got <= 0)
		return got;
	if (conn < 0 && !m.sys && (m.kind == DOOR_DIAL || m.kind == DOOR_FREEZE))
		return (int)m.kind;
	file_close(conn);
	return err_set(e, ERR_PROTOCOL, "not a question to a door");
}

int door_answer(int fd, enum door_kind kind, int conn, int sys, struct err *e)
{
	const struct door_message m = { .magic = DOOR_MAGIC, .kind = kind, .sys = sys };

	return wire_send(fd, &m, sizeof(m), &conn, conn >= 0)
		       ? 0
		       : err_sys(e, ERR_UNAVAILABLE, errno, "answer the daemon");
}
