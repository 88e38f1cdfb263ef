// SPDX-License-Identifier: Apache-2.0
#include "runner/warm.h"

#include "runner/wire.h"

#include <errno.h>
#include <string.h>

int warm_send(int fd, const struct warm_message *m, const int *fds, unsigned n, struct err *e)
{
	return wire_send(fd, m, sizeof(*m), fds, n)
		       ? 0
		       : err_sys(e, ERR_UNAVAILABLE, errno, "send to a kept sandbox");
}

int warm_receive(int fd, struct warm_message *m, int *fds, unsigned n, struct err *e)
{
	struct wire_packet p;
	int got = wire_receive(fd, &p, e);

	if (got <= 0)
		return got;
	memcpy(m, p.bytes, p.size < sizeof(*m) ? p.size : sizeof(*m));
	if (p.size != sizeof(*m) || m->magic != WARM_MAGIC ||
	    p.file_count != (m->kind == WARM_CALL ? n : 0)) {
		wire_release(&p);
		return err_set(e, ERR_PROTOCOL, "not a message of a kept sandbox");
	}
	if (p.file_count)
		memcpy(fds, p.files, p.file_count * sizeof(int));
	m->exit.reason[JOBDIR_REASON_MAX - 1] = '\0';
	return 1;
}
