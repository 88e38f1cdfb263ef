// SPDX-License-Identifier: Apache-2.0
#include "runner/wire.h"

#include "base/attr.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

union control { // aligned as the kernel wants it
	struct cmsghdr head;
	char space[CMSG_SPACE(PROTO_FILES_MAX * sizeof(int))];
};

bool wire_send(int conn, const void *packet, size_t n, const int *files, unsigned count)
{
	struct iovec v = { (void *)(uintptr_t)packet, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	union control c;

	if (count) {
		memset(&c, 0, sizeof(c));
		m.msg_control = c.space;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(count * sizeof(int)),
					   .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.head), files, count * sizeof(int));
	}
	return sendmsg(conn, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

static void take_files(struct msghdr *m, struct wire_packet *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		check(p->file_count + n <= ARRAY_LEN(p->files)); // there was no room for more
		memcpy(p->files + p->file_count, CMSG_DATA(c), n * sizeof(int));
		p->file_count += (unsigned)n;
	}
}

int wire_receive(int conn, struct wire_packet *p, struct err *e)
{
	struct iovec v = { p->bytes, sizeof(p->bytes) };
	union control c;
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = c.space,
			    .msg_controllen = sizeof(c.space) };
	ssize_t n = recvmsg(conn, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return err_set(e, ERR_UNAVAILABLE, "the connection was closed");
	p->size = (size_t)n;
	p->file_count = 0;
	take_files(&m, p);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		wire_release(p);
		return err_set(e, ERR_PROTOCOL, "a message that is too long, or too many files");
	}
	return 1;
}

void wire_release(struct wire_packet *p)
{
	for (unsigned i = 0; i < p->file_count; i++)
		file_close(p->files[i]);
	p->file_count = 0;
}
