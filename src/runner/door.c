// SPDX-License-Identifier: Apache-2.0
#include "runner/door.h"

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

int door_dial(int fd, struct err *e)
{
	const struct door_message ask = { .magic = DOOR_MAGIC };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct door_message m;
	int got, conn;

	if (!wire_send(fd, &ask, sizeof(ask), NULL, 0))
		return err_sys(e, ERR_UNAVAILABLE, errno, "ask the sandbox for a connection");
	while ((got = poll(&p, 1, ANSWER_MS)) < 0 && errno == EINTR)
		;
	if (got <= 0)
		return err_set(e, ERR_TIMEOUT, "the sandbox does not answer");
	got = receive(fd, &m, &conn, e);
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_TIMEOUT, "the sandbox does not answer");
	if ((m.sys == 0) == (conn < 0)) {
		file_close(conn);
		return err_set(e, ERR_PROTOCOL, "not an answer of a door");
	}
	return m.sys ? no_connection(m.sys, e) : conn;
}

int door_asked(int fd, struct err *e)
{
	struct door_message m;
	int conn, got = receive(fd, &m, &conn, e);

	if (got <= 0)
		return got;
	if (conn < 0 && !m.sys)
		return 1;
	file_close(conn);
	return err_set(e, ERR_PROTOCOL, "not a question to a door");
}

int door_answer(int fd, int conn, int sys, struct err *e)
{
	const struct door_message m = { .magic = DOOR_MAGIC, .sys = conn < 0 ? sys : 0 };

	return wire_send(fd, &m, sizeof(m), &conn, conn >= 0)
		       ? 0
		       : err_sys(e, ERR_UNAVAILABLE, errno, "answer the daemon");
}
