// SPDX-License-Identifier: Apache-2.0
// Streamed answers, and the ticker: the one thread that resumes parked streams and shuts down connections
// that are over their deadline. A wake marks a topic; all topics of a tick are resumed together, so that
// thousands of streams cost one pass, however many events there were.
#include "base/mem.h"
#include "http/server.h"

#include <sys/socket.h>

enum { BLOCK = 32 * 1024 };

struct req_stream {
	struct http_stream s;
};

static void park_remove(struct http_server *s, struct http_conn *c)
{
	if (c->park_next)
		c->park_next->park_prev = c->park_prev;
	if (c->park_prev)
		c->park_prev->park_next = c->park_next;
	else
		s->parked = c->park_next;
	c->park_next = c->park_prev = NULL;
}

// A wake that came after the reader looked must not be lost: then the stream is due at the next tick.
static void park(struct http_req *r, uint64_t seq_before)
{
	struct http_server *s = r->server;
	struct http_conn *c = r->conn;
	auto_lock held = lock_hold(&s->lock);

	server_park(r);
	c->park_topic = r->stream->s.topic;
	c->park_due = s->wake_seq != seq_before || s->closing;
	c->park_ns = clock_mono_ns();
	c->park_prev = NULL;
	c->park_next = s->parked;
	if (c->park_next)
		c->park_next->park_prev = c;
	s->parked = c;
	if (c->park_due) {
		s->pending = true;
		pthread_cond_signal(&s->wake);
	}
}

static ssize_t read_stream(void *arg, uint64_t at, char *buf, size_t max)
{
	struct http_req *r = arg;
	uint64_t seq = r->server->wake_seq;
	ssize_t n;

	if (r->server->closing)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = r->stream->s.read(r->stream->s.owner, r, at, buf, max);
	if (n > 0)
		return n;
	if (n == HTTP_STREAM_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == HTTP_STREAM_WAIT)
		return 0;
	if (n != HTTP_STREAM_PARK || http_peer_gone(r))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	park(r, seq);
	return 0;
}

void http_reply_stream(struct http_req *r, unsigned status, const char *type, uint64_t size,
		       const struct http_stream *stream)
{
	if (r->response) {
		http_reply(r, status, type, SPAN("")); // logs it
		if (stream->close)
			stream->close(stream->owner);
		return;
	}
	r->stream = arena_alloc(&r->arena, sizeof(*r->stream));
	r->stream->s = *stream;
	r->status = status;
	r->response =
		MHD_create_response_from_callback(size == UINT64_MAX ? MHD_SIZE_UNKNOWN : size,
						  stream->block ? stream->block : BLOCK,
						  read_stream, r, NULL);
	mem_need(r->response);
	if (type)
		http_reply_header(r, "Content-Type", span_of(type));
}

size_t http_text_take(const struct buf *b, size_t *sent, char *out, size_t max)
{
	size_t k = b->n - *sent < max ? b->n - *sent : max;

	memcpy(out, b->p + *sent, k);
	*sent += k;
	return k;
}

struct http_server *http_server_of(const struct http_req *r)
{
	return r->server;
}

void stream_end(struct http_req *r)
{
	if (r->stream && r->stream->s.close)
		r->stream->s.close(r->stream->s.owner);
	r->stream = NULL;
}

void http_stream_wake(struct http_server *s, uint64_t topic)
{
	auto_lock held = lock_hold(&s->lock);

	s->wake_seq++;
	if (!s->parked || s->topic_count > WAKE_TOPICS)
		return;
	for (unsigned i = 0; i < s->topic_count; i++)
		if (s->topics[i] == topic)
			return;
	if (s->topic_count < WAKE_TOPICS)
		s->topics[s->topic_count] = topic;
	s->topic_count++;
	s->pending = true;
	pthread_cond_signal(&s->wake);
}

static bool woken(const struct http_server *s, const struct http_conn *c, int64_t now)
{
	if (c->park_due || s->closing || s->topic_count > WAKE_TOPICS ||
	    now - c->park_ns >= s->o.stream_idle_ms * NS_PER_MS)
		return true;
	for (unsigned i = 0; i < s->topic_count; i++)
		if (s->topics[i] == c->park_topic)
			return true;
	return false;
}

static void resume_woken(struct http_server *s, int64_t now)
{
	struct http_conn *next;

	for (struct http_conn *c = s->parked; c; c = next) {
		next = c->park_next;
		if (!woken(s, c, now))
			continue;
		park_remove(s, c);
		c->req.away = false;
		MHD_resume_connection(c->req.mhd);
		s->suspended--;
	}
	s->topic_count = 0;
	if (s->closing)
		pthread_cond_broadcast(&s->calm);
}

// Its end came together with its last bytes, which the library misses: it waits for more. Seen at two sweeps without a
// byte in between, so that none is cut off whose request has just become complete.
static bool left_in_the_middle(struct http_conn *c, int64_t deadline)
{
	bool gone = conn_peer_gone(c), before = c->gone_ns == deadline;

	c->gone_ns = gone ? deadline : 0;
	return gone && before;
}

// The descriptor is open as long as the connection is in the list. Shutting it down lets the library notice.
static void shut_late(struct http_server *s, int64_t now)
{
	for (struct http_conn *c = s->conns; c; c = c->next) {
		int64_t deadline = atomic_load_explicit(&c->deadline_ns, memory_order_relaxed);

		if (deadline && (now > deadline || left_in_the_middle(c, deadline)))
			shutdown(c->fd, SHUT_RDWR);
	}
}

void *stream_ticker(void *arg)
{
	struct http_server *s = arg;
	int64_t sweep = 0, tick_ns = s->o.stream_tick_ms * NS_PER_MS;
	struct timespec tick = { tick_ns / NS_PER_S, tick_ns % NS_PER_S };
	auto_lock held = lock_hold(&s->lock);

	while (!s->stopping) {
		int64_t now = clock_mono_ns();

		resume_woken(s, now);
		if (now >= sweep) {
			shut_late(s, now);
			sweep = now + s->sweep_ns;
		}
		while (!s->pending && !s->stopping && lock_wait(&s->wake, &s->lock, sweep))
			;
		if (!s->pending || s->stopping)
			continue;
		s->pending = false;
		// More wakes may gather until the tick is over.
		pthread_mutex_unlock(&s->lock);
		nanosleep(&tick, NULL);
		pthread_mutex_lock(&s->lock);
	}
	return NULL;
}
