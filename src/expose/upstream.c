// SPDX-License-Identifier: Apache-2.0
// upstream: the one thread that waits for the sockets of instances. A socket is armed for one event at a time, by whoever
// gives its request here; the event hands the request to this thread. Four times a second it looks for requests that
// take too long, and whose clients have hung up.
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "expose/forward.h"
#include "expose/private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS = 256,
	TICK_MS = 250,
	INTERIM_MAX = 5,
	STALL_MS = 2000, // nobody reads the request: then an answer to it that is there is taken
	BLOCK = 64 << 10,
};

int upstream_open(struct expose *x, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };

	x->epoll = epoll_create1(EPOLL_CLOEXEC);
	x->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (x->epoll < 0 || x->wake < 0 || epoll_ctl(x->epoll, EPOLL_CTL_ADD, x->wake, &ev) < 0)
		return err_sys(e, ERR_IO, errno, "epoll");
	return 0;
}

void upstream_close(struct expose *x)
{
	file_close(x->epoll);
	file_close(x->wake);
}

// With the lock held, so that it is not taken before it is there.
static int arm(struct exchange *q, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = q };
	int op = q->conn.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	q->conn.known = true;
	return epoll_ctl(q->x->epoll, op, q->conn.fd, &ev);
}

void upstream_wait(struct exchange *q, enum exchange_state state)
{
	int bad;

	pthread_mutex_lock(&q->x->lock);
	exchange_park(q, state);
	bad = arm(q, state == X_WAITS_WRITE ? EPOLLOUT : EPOLLIN);
	if (bad)
		exchange_unpark(q);
	pthread_mutex_unlock(&q->x->lock);
	if (bad)
		exchange_fail(q, 503, "the server has no room to wait for the function\n", true);
}

// ---- answers -------------------------------------------------------------------------------------------

// More of the answer behind what is there: 1, 0 = nothing now, -1 = the connection has ended.
static int receive(struct exchange *q)
{
	ssize_t n;

	if (!q->in)
		q->in = mem_alloc(IN_BYTES);
	if (q->in_at) {
		memmove(q->in, q->in + q->in_at, q->in_n - q->in_at);
		q->in_n -= q->in_at;
		q->in_at = 0;
	}
	do
		n = recv(q->conn.fd, q->in + q->in_n, IN_BYTES - q->in_n, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	q->in_n += (size_t)n;
	q->moved_ns = clock_mono_ns();
	return 1;
}

// The head with its empty line at the front of what is there, or nothing.
static struct span whole_head(struct span text)
{
	for (size_t i = 0; i + 1 < text.n; i++) {
		const char *p = memchr(text.p + i, '\n', text.n - i - 1);

		if (!p)
			break;
		i = (size_t)(p - text.p);
		if (text.p[i + 1] == '\n')
			return span_head(text, i + 2);
		if (text.p[i + 1] == '\r' && i + 2 < text.n && text.p[i + 2] == '\n')
			return span_head(text, i + 3);
	}
	return SPAN("");
}

// The next piece of the body out of what is there, in q->piece.
static int take_piece(struct exchange *q, struct err *e)
{
	struct span in = span_make(q->in + q->in_at, q->in_n - q->in_at);
	int bad = http_body_next(&q->body, &in, &q->piece, e);

	q->in_at = q->in_n - in.n;
	return bad;
}

static ssize_t give_piece(struct exchange *q, char *out, size_t max)
{
	size_t n = q->piece.n < max ? q->piece.n : max;

	memcpy(out, q->piece.p, n);
	q->piece = span_from(q->piece, n);
	return (ssize_t)n;
}

// Nothing is held back: the bytes go where they are wanted at once.
static ssize_t receive_into(struct exchange *q, char *out, size_t max, struct err *e)
{
	struct span in, piece;
	ssize_t n;

	if (q->body.kind == HTTP_BODY_SIZED && q->body.left < max)
		max = (size_t)q->body.left;
	do
		n = recv(q->conn.fd, out, max, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	q->moved_ns = clock_mono_ns();
	in = span_make(out, (size_t)n);
	return http_body_next(&q->body, &in, &piece, e) < 0 ? -1 : (ssize_t)piece.n;
}

static ssize_t wait_for_more(struct exchange *q)
{
	q->deadline_ns = clock_mono_ns() + q->timeout_ms * NS_PER_MS;
	http_suspend(q->http);
	upstream_wait(q, X_WAITS_READ);
	return HTTP_STREAM_WAIT;
}

static ssize_t read_body(void *owner, struct http_req *r unused_arg, uint64_t at unused_arg,
			 char *out, size_t max)
{
	struct exchange *q = owner;
	struct err e = { 0 };

	for (;;) {
		int got;

		if (q->broken)
			return HTTP_STREAM_FAIL;
		if (q->piece.n)
			return give_piece(q, out, max);
		if (take_piece(q, &e) < 0)
			return HTTP_STREAM_FAIL;
		if (q->piece.n)
			continue;
		if (q->body.done)
			return HTTP_STREAM_END;
		if (q->body.kind != HTTP_BODY_CHUNKED && q->in_at == q->in_n) {
			ssize_t n = receive_into(q, out, max, &e);

			if (n > 0)
				return n;
			got = (int)n;
		} else {
			got = receive(q);
		}
		if (got < 0)
			return http_body_end(&q->body, &e) < 0 ? HTTP_STREAM_FAIL : HTTP_STREAM_END;
		if (!got)
			return wait_for_more(q);
	}
}

// An answer whose body is here already is one piece of memory, and its connection free for the next request.
static bool reply_whole(struct exchange *q, unsigned status, struct err *e)
{
	struct buf all;

	buf_init(&all, IN_BYTES);
	for (;;) {
		if (take_piece(q, e) < 0 || !q->piece.n)
			break;
		buf_add_span(&all, q->piece);
		q->piece = SPAN("");
	}
	if (!q->body.done) { // it goes on: what was taken stands in front of the rest
		q->piece = arena_span(http_arena(q->http), buf_span(&all));
		buf_release(&all);
		return false;
	}
	http_reply_buf(q->http, status, NULL, &all);
	return true;
}

static void reply(struct exchange *q, const struct http_head *h, struct err *e)
{
	const struct http_stream s = { .owner = q, .read = read_body, .block = BLOCK };
	const unsigned status = (unsigned)h->status;
	const bool head = http_method(q->http) == HTTP_HEAD;
	struct http_req *r = q->http;

	forward_answer(r, h);
	q->close = q->close || h->close || !q->complete;
	http_body_begin(&q->body, h, head);
	if (head && h->length >= 0)
		http_reply_length(r, status, NULL, (uint64_t)h->length);
	else if (head)
		http_reply_stream(r, status, NULL, UINT64_MAX, &s);
	else if (!reply_whole(q, status, e))
		http_reply_stream(r, status, NULL,
				  h->length >= 0 ? (uint64_t)h->length : UINT64_MAX, &s);
	if (q->body.done && !q->piece.n)
		exchange_release(q);
}

static int answer_is_bad(struct exchange *q, const char *why)
{
	exchange_fail(q, 502,
		      arena_printf(http_arena(q->http), "the function's answer is not HTTP: %s\n",
				   why),
		      false);
	return -1;
}

// Also those in front of it that are no answer yet.
static int take_heads(struct exchange *q)
{
	for (;;) {
		struct span text = whole_head(span_make(q->in + q->in_at, q->in_n - q->in_at));
		struct err e = { 0 };
		struct http_head h;

		if (!text.n)
			return q->in_at == 0 && q->in_n == IN_BYTES
				       ? answer_is_bad(q, "its head is too large")
				       : 0;
		if (http_head_parse(text, &h, &e) < 0)
			return answer_is_bad(q, e.msg);
		q->in_at += text.n;
		if (h.status >= 200) {
			reply(q, &h, &e);
			return 1;
		}
		if (h.status == 101 && q->upgrade) {
			relay_begin(q, &h);
			return 1;
		}
		if (h.status == 101 || ++q->interim > INTERIM_MAX)
			return answer_is_bad(q, "it switches to another protocol unasked");
	}
}

static bool may_repeat(const struct exchange *q)
{
	return q->reused && !q->retried && !q->has_body && !q->in_n &&
	       http_method(q->http) != HTTP_POST && http_method(q->http) != HTTP_PATCH &&
	       http_method(q->http) != HTTP_OTHER;
}

int upstream_take_answer(struct exchange *q)
{
	for (;;) {
		int got = receive(q), told;

		if (!got)
			return 0;
		if (got < 0 && may_repeat(q))
			return -2;
		if (got < 0) {
			exchange_fail(q, 502,
				      "the function closed the connection before it answered\n",
				      false);
			return -1;
		}
		told = take_heads(q);
		if (told)
			return told;
	}
}

// ---- the thread ----------------------------------------------------------------------------------------

// The server closed a connection that it had kept: nothing of the request was read, and it may be sent again.
static void repeat(struct exchange *q)
{
	struct instance *i = q->instance;

	q->retried = true;
	q->reused = false;
	q->sent = 0;
	file_close(q->conn.fd);
	q->conn = (struct conn){ -1, false };
	pthread_mutex_lock(&q->x->lock);
	if (i->state == I_READY) {
		exchange_park(q, X_WAITS_DIAL);
		instance_put_dial(i, q);
		i = NULL;
	}
	pthread_mutex_unlock(&q->x->lock);
	if (i)
		exchange_fail(q, 502, "the function ended before it answered\n", true);
}

static void go_on_reading(struct exchange *q)
{
	int got;

	if (http_replied(q->http)) { // its loop reads the body
		http_resume(q->http);
		return;
	}
	got = upstream_take_answer(q);
	if (got == -2)
		repeat(q);
	else if (got == 0)
		upstream_wait(q, X_WAITS_READ);
	else
		http_resume(q->http);
}

static void go_on_writing(struct exchange *q)
{
	int got = exchange_flush(q);

	if (got == 0)
		upstream_wait(q, X_WAITS_WRITE);
	else if (got > 0 && !q->complete)
		http_resume(q->http);
	else // all is sent, or nobody reads it: he may have said why
		go_on_reading(q);
}

// Both of a relay's sockets may be among the events of one round, so its end is left to the tick that follows at once.
static bool on_event(struct expose *x, struct exchange *q)
{
	enum exchange_state state;

	pthread_mutex_lock(&x->lock);
	state = q->state;
	if (state != X_RELAYS)
		exchange_unpark(q);
	pthread_mutex_unlock(&x->lock);
	if (state == X_RELAYS) {
		q->broken = q->broken || !relay_turn(q);
		return q->broken;
	}
	if (state == X_WAITS_WRITE)
		go_on_writing(q);
	else
		go_on_reading(q);
	return false;
}

enum why { LATE = 1, HUNG_UP, STALLED, CLOSING, RELAYED };

static enum why is_over(struct exchange *q, int64_t now)
{
	char byte;

	if (q->state == X_DIALS || q->state == X_RUNS)
		return 0;
	if (q->state == X_RELAYS)
		return q->broken || q->x->closing || now > q->deadline_ns ? RELAYED : 0;
	if (q->x->closing)
		return CLOSING;
	if (now > q->deadline_ns)
		return LATE;
	if (now < q->look_ns)
		return 0;
	q->look_ns = now + NS_PER_S;
	if (http_peer_gone(q->http))
		return HUNG_UP;
	return q->state == X_WAITS_WRITE && now - q->moved_ns > STALL_MS * NS_PER_MS &&
			       recv(q->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0
		       ? STALLED
		       : 0;
}

static void drop_dial(struct instance *i, struct exchange *q)
{
	for (struct exchange **at = &i->dials; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			if (i->dials_tail == &q->next)
				i->dials_tail = at;
			return;
		}
}

// With the lock held: one that is over is this thread's, whatever it waited for.
static struct exchange *take_over(struct expose *x, int64_t now, enum why *why)
{
	for (struct exchange *q = x->parked; q; q = q->park_next) {
		*why = is_over(q, now);
		if (!*why)
			continue;
		if (q->state == X_WAITS)
			scale_drop_waiter(q->outlet, q);
		else if (q->state == X_WAITS_DIAL)
			drop_dial(q->instance, q);
		else
			epoll_ctl(x->epoll, EPOLL_CTL_DEL, q->conn.fd, NULL);
		q->conn.known = false;
		exchange_unpark(q);
		return q;
	}
	return NULL;
}

static void end_one(struct exchange *q, enum why why, bool waited)
{
	struct arena *mem = http_arena(q->http);

	if (why == RELAYED) {
		relay_end(q);
	} else if (why == STALLED) {
		q->close = true;
		if (upstream_take_answer(q) == 0)
			exchange_fail(q, 504, "the function does not read the request\n", false);
		http_resume(q->http);
	} else if (why == CLOSING) {
		exchange_fail(q, 503, "the server is stopping\n", true);
	} else if (why == HUNG_UP) { // nobody reads it
		exchange_fail(q, 504, "the client has hung up\n", true);
	} else if (waited) {
		exchange_fail(q, 503,
			      arena_printf(mem, "no instance was ready within %lld s\n",
					   (long long)(q->timeout_ms / 1000)),
			      true);
	} else {
		exchange_fail(q, 504,
			      arena_printf(mem, "the function did not answer within %lld s\n",
					   (long long)(q->timeout_ms / 1000)),
			      true);
	}
}

static void tick(struct expose *x)
{
	int64_t now = clock_mono_ns();

	for (;;) {
		struct exchange *q;
		bool waited;
		enum why why;

		pthread_mutex_lock(&x->lock);
		q = take_over(x, now, &why);
		waited = q && !q->instance;
		pthread_mutex_unlock(&x->lock);
		if (!q)
			return;
		end_one(q, why, waited);
	}
}

void *upstream_main(void *arg)
{
	struct expose *x = arg;
	int64_t next = 0;
	bool stop = false;

	while (!stop) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(x->epoll, events, EVENTS, TICK_MS);
		uint64_t drop;

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr && on_event(x, events[i].data.ptr))
				next = 0;
			else if (!events[i].data.ptr && read(x->wake, &drop, sizeof(drop)) > 0)
				next = 0;
		if (clock_mono_ns() >= next) {
			tick(x);
			next = clock_mono_ns() + TICK_MS * NS_PER_MS;
		}
		pthread_mutex_lock(&x->lock);
		stop = x->stop && !x->parked;
		pthread_mutex_unlock(&x->lock);
	}
	return NULL;
}
