// SPDX-License-Identifier: Apache-2.0
// switch: connections that go on in another protocol behind an answer 101.
#include "http/server.h"

#include "base/clock.h"
#include "base/mem.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { END_S = 2 };

struct http_switched {
	struct http_req *req;
	void (*fn)(void *owner, struct http_switched *c, int fd, struct span early);
	void *owner;
	struct MHD_UpgradeResponseHandle *handle;
};

// The library leaves it corked, or waiting for full packets: what is said would arrive 40 ms later.
static void send_at_once(int fd)
{
	const int off = 0, on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void on_switched(void *arg, struct MHD_Connection *mhd unused_arg, void *slot unused_arg,
			const char *early, size_t n, MHD_socket fd,
			struct MHD_UpgradeResponseHandle *handle)
{
	struct http_switched *c = arg;

	c->handle = handle;
	send_at_once(c->req->conn->fd);
	c->fn(c->owner, c, fd, span_make(early, n));
}

void http_reply_switch(struct http_req *r,
		       void (*fn)(void *owner, struct http_switched *c, int fd, struct span early),
		       void *owner)
{
	struct http_switched *c;

	if (r->response) {
		http_reply_text(r, 101, ""); // logs it
		return;
	}
	c = arena_alloc(&r->arena, sizeof(*c));
	*c = (struct http_switched){ .req = r, .fn = fn, .owner = owner };
	r->response = MHD_create_response_for_upgrade(on_switched, c);
	mem_need(r->response);
	r->status = 101;
}

// Over TLS the library (0.9.75) shuts its inner socket down before it notes that we are done. Its loop may see the one
// before the other, and then waits for the client: the ticker ends that wait, unless the connection has gone by then.
void http_switched_end(struct http_switched *c)
{
	atomic_store_explicit(&c->req->conn->deadline_ns, clock_mono_ns() + END_S * NS_PER_S,
			      memory_order_relaxed);
	MHD_upgrade_action(c->handle, MHD_UPGRADE_ACTION_CLOSE);
}
