// SPDX-License-Identifier: Apache-2.0
// relay: a connection that has switched to another protocol (WebSocket): bytes go both ways, at the pace of the slower
// side, until the server has ended, or nothing was said for long enough. All of it is upstream.c's thread's, but the
// beginning.
#include "base/clock.h"
#include "base/mem.h"
#include "expose/forward.h"
#include "expose/private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { HELD = 16 << 10 };

// One direction.
struct flow {
	char held[HELD];
	size_t at, n;
	bool ended;  // nothing more comes
	bool closed; // and that was passed on
};

static bool is_done(const struct flow *f)
{
	return f->ended && f->at == f->n;
}

struct relay {
	struct http_switched *client;
	int fd; // of the client; http's
	struct flow down, up;
};

static void hold(struct flow *f, struct span bytes)
{
	check(f->n + bytes.n <= HELD);
	memcpy(f->held + f->n, bytes.p, bytes.n);
	f->n += bytes.n;
}

// Takes from one socket what there is room for, and gives it to the other. False: one of them is broken.
static bool move(struct flow *f, int from, int to, struct exchange *q)
{
	for (;;) {
		ssize_t n;

		if (f->at == f->n && !f->ended) {
			f->at = f->n = 0;
			n = recv(from, f->held, HELD, MSG_DONTWAIT);
			if (n < 0)
				return errno == EAGAIN || errno == EINTR;
			f->ended = n == 0;
			f->n = (size_t)n;
			q->moved_ns = clock_mono_ns();
		}
		if (f->at == f->n)
			return true;
		n = send(to, f->held + f->at, f->n - f->at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		f->at += (size_t)n;
		q->moved_ns = clock_mono_ns();
	}
}

static uint32_t events(const struct flow *in, const struct flow *out)
{
	return (in->at == in->n && !in->ended ? EPOLLIN : 0) | (out->at < out->n ? EPOLLOUT : 0);
}

static int arm(struct exchange *q, int fd, uint32_t what, int op)
{
	struct epoll_event ev = { .events = what | EPOLLONESHOT, .data.ptr = q };

	return epoll_ctl(q->x->epoll, op, fd, &ev);
}

bool relay_turn(struct exchange *q)
{
	struct relay *l = q->relay;

	if (!move(&l->down, q->conn.fd, l->fd, q) || !move(&l->up, l->fd, q->conn.fd, q))
		return false;
	// A client that says nothing more may still listen; a server that has ended is done. Of the client's socket
	// nothing is shut down before the end: over TLS it is http's library's, which then waits for ever.
	if (is_done(&l->up) && !l->up.closed) {
		shutdown(q->conn.fd, SHUT_WR);
		l->up.closed = true;
	}
	if (is_done(&l->down))
		return false;
	q->deadline_ns = q->moved_ns + q->timeout_ms * NS_PER_MS;
	return arm(q, q->conn.fd, events(&l->down, &l->up), EPOLL_CTL_MOD) == 0 &&
	       arm(q, l->fd, events(&l->up, &l->down), EPOLL_CTL_MOD) == 0;
}

// On http's loop, when the client has our 101. The thread moves the first bytes: a socket that can be written to is an
// event.
static void on_switched(void *owner, struct http_switched *c, int fd, struct span early)
{
	struct exchange *q = owner;
	struct relay *l = q->relay;
	bool fits = early.n <= HELD;
	int bad;

	l->client = c;
	l->fd = fd;
	if (fits)
		hold(&l->up, early);
	q->moved_ns = clock_mono_ns();
	q->deadline_ns = q->moved_ns + q->timeout_ms * NS_PER_MS;
	pthread_mutex_lock(&q->x->lock);
	exchange_park(q, X_RELAYS);
	bad = !fits || arm(q, q->conn.fd, EPOLLOUT | EPOLLIN, EPOLL_CTL_MOD) < 0 ||
	      arm(q, fd, EPOLLIN, EPOLL_CTL_ADD) < 0;
	if (bad)
		exchange_unpark(q);
	pthread_mutex_unlock(&q->x->lock);
	if (bad)
		relay_end(q);
}

void relay_begin(struct exchange *q, const struct http_head *h)
{
	q->close = true;
	q->relay = mem_alloc(sizeof(*q->relay));
	q->relay->client = NULL;
	q->relay->fd = -1;
	q->relay->down = q->relay->up = (struct flow){ .n = 0 };
	if (q->in_n - q->in_at > HELD) {
		exchange_fail(q, 502, "the function sent too much behind its answer\n", false);
		return;
	}
	hold(&q->relay->down, span_make(q->in + q->in_at, q->in_n - q->in_at));
	q->in_at = q->in_n;
	forward_answer(q->http, h);
	http_reply_header(q->http, "Upgrade", http_head_get(h, "Upgrade"));
	http_reply_switch(q->http, on_switched, q);
}

// http ends the request then, which may be gone at once. It does so with a lock of its library held: nothing of ours must
// be left to do that takes one.
void relay_end(struct exchange *q)
{
	struct http_switched *c = q->relay->client;

	epoll_ctl(q->x->epoll, EPOLL_CTL_DEL, q->relay->fd, NULL);
	exchange_forget(q);
	http_switched_end(c);
}

void relay_free(struct exchange *q)
{
	mem_free(q->relay);
	q->relay = NULL;
}
