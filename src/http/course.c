// SPDX-License-Identifier: Apache-2.0
// course: a request from its first line to its end, as the library's calls drive it on the connection's loop.
#include "http/server.h"

#include "base/log.h"
#include "base/mem.h"

// ---- parking -------------------------------------------------------------------------------------------

void server_park(struct http_req *r)
{
	r->server->suspended++;
	r->away = true;
	atomic_store_explicit(&r->conn->deadline_ns, 0, memory_order_relaxed);
	MHD_suspend_connection(r->mhd);
}

void server_unpark(struct http_req *r)
{
	struct http_server *s = r->server;

	r->away = false;
	MHD_resume_connection(
		r->mhd); // `r` may be gone from here on; the server is not, before the count falls
	auto_lock held = lock_hold(&s->lock);
	s->suspended--;
	if (s->closing)
		pthread_cond_broadcast(&s->calm);
}

void http_suspend(struct http_req *r)
{
	r->parked = true;
	server_park(r);
}

void http_resume(struct http_req *r)
{
	server_unpark(r);
}

void http_resume_with(struct http_req *r, void (*fn)(void *owner, struct http_req *r))
{
	r->resumed = fn;
	server_unpark(r);
}

static void run_deferred(void *owner, void *arg)
{
	struct http_req *r = arg;

	r->deferred(owner, r);
	server_unpark(r);
}

static void answer_busy(struct http_req *r)
{
	const struct http_handler *h = &r->server->o.handler;

	http_reply_header(r, "Retry-After", SPAN("1"));
	if (h->busy)
		h->busy(h->owner, r);
	if (!r->response)
		http_reply_text(r, 503, "too much to do at the moment, try again\n");
}

void http_defer(struct http_req *r, void (*fn)(void *owner, struct http_req *r))
{
	struct http_server *s = r->server;

	if (s->closing || !pool_claim(s->pool)) {
		answer_busy(r);
		return;
	}
	r->deferred = fn;
	r->parked = true;
	server_park(r);
	pool_run(s->pool, run_deferred, s->o.handler.owner, r);
}

// ---- the course of a request ---------------------------------------------------------------------------

static void set_deadline(struct http_req *r, int64_t ns)
{
	atomic_store_explicit(&r->conn->deadline_ns, ns, memory_order_relaxed);
}

static void set_body_deadline(struct http_req *r)
{
	const struct http_options *o = &r->server->o;

	set_deadline(r, r->begun_ns + o->body_grace_ms * NS_PER_MS +
				(int64_t)(r->received / o->body_rate) * NS_PER_S);
}

static enum MHD_Result send_answer(struct http_req *r)
{
	if (!r->response)
		http_reply_text(r, 500, "no answer was made\n");
	r->stage = REQ_SENT;
	set_deadline(r, 0);
	return reply_send(r) ? MHD_YES : MHD_NO;
}

// The client waits for "100 Continue", or the rest is too much to read for nothing.
static bool close_rather_than_drain(const struct http_req *r)
{
	if (r->malformed || http_header(r, "Expect").p)
		return true;
	return r->size_known && r->body_size > r->server->o.drain_max;
}

// The head is dealt with: on to the body, or to the answer. Without a body the answer waits for the library's
// last call, since one that comes earlier makes it close the connection.
static enum MHD_Result after_begin(struct http_req *r)
{
	r->stage = r->response ? REQ_DRAIN : REQ_BODY;
	if (r->malformed || (r->response && r->has_body && close_rather_than_drain(r))) {
		http_reply_header(r, "Connection", SPAN("close"));
		return send_answer(r);
	}
	if (r->has_body)
		set_body_deadline(r);
	return MHD_YES;
}

static enum MHD_Result take_head(struct http_req *r, const char *method, const char *version)
{
	const struct http_handler *h = &r->server->o.handler;

	if (!request_check(r, method, version)) {
		r->malformed = true;
		return after_begin(r);
	}
	if (r->server->closing) {
		http_reply_header(r, "Connection", SPAN("close"));
		answer_busy(r);
		return after_begin(r);
	}
	r->begun = true;
	r->parked = false;
	h->begin(h->owner, r);
	if (r->parked) {
		r->stage = REQ_BEGIN_WAIT;
		return MHD_YES;
	}
	return after_begin(r);
}

static enum MHD_Result take_body(struct http_req *r, const char *data, size_t *size)
{
	const struct http_handler *h = &r->server->o.handler;
	size_t n = *size;

	// Of a chunked body the library hands out one chunk after the other, also to one that is suspended. What is not
	// taken comes again.
	if (r->away)
		return MHD_YES;
	*size = 0;
	r->received += n;
	set_body_deadline(r);
	if (r->response) {
		r->dropped += n;
		// A body without a known size that does not end, or one whose fault showed late.
		return r->dropped > r->server->o.drain_max + r->body_size ? MHD_NO : MHD_YES;
	}
	r->parked = false;
	if (r->collect) {
		if (!buf_add(&r->body, data, n))
			http_reply_text(r, 413, "the body is too large\n");
	} else if (h->body) {
		h->body(h->owner, r, span_make(data, n));
	}
	return MHD_YES;
}

static enum MHD_Result take_end(struct http_req *r)
{
	const struct http_handler *h = &r->server->o.handler;

	set_deadline(r, 0);
	if (!r->response) {
		r->parked = false;
		h->finish(h->owner, r);
		if (r->parked) {
			r->stage = REQ_FINISH_WAIT;
			return MHD_YES;
		}
	}
	return send_answer(r);
}

// Back from finish: with an answer, or to go on here.
static enum MHD_Result after_finish(struct http_req *r)
{
	void (*fn)(void *owner, struct http_req *r) = r->resumed;

	r->resumed = NULL;
	r->parked = false;
	if (fn)
		fn(r->server->o.handler.owner, r);
	return r->parked ? MHD_YES : send_answer(r);
}

enum MHD_Result course_request(void *arg unused_arg, struct MHD_Connection *mhd unused_arg,
			       const char *url unused_arg, const char *method, const char *version,
			       const char *data, size_t *size, void **slot)
{
	struct http_req *r = *slot;

	if (!r)
		return MHD_NO;
	switch (r->stage) {
	case REQ_HEAD:
		return take_head(r, method, version);
	case REQ_BEGIN_WAIT:
		return after_begin(r);
	case REQ_BODY:
	case REQ_DRAIN:
		return *size ? take_body(r, data, size) : take_end(r);
	case REQ_FINISH_WAIT:
		return after_finish(r);
	case REQ_IDLE:
	case REQ_SENT:
		break;
	}
	return MHD_NO;
}

// ---- connections ---------------------------------------------------------------------------------------

static void conn_add(struct http_server *s, struct http_conn *c)
{
	auto_lock held = lock_hold(&s->lock);

	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
}

static void conn_remove(struct http_server *s, struct http_conn *c)
{
	auto_lock held = lock_hold(&s->lock);

	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
}

// A connection that sends neither a request nor silence is given up: the library's own timer restarts with
// each byte.
static int64_t head_deadline(const struct http_server *s)
{
	return clock_mono_ns() + (s->o.idle_ms + s->o.head_ms) * NS_PER_MS;
}

void course_connection(void *arg, struct MHD_Connection *mhd, void **slot,
		       enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = arg;
	struct http_conn *c = *slot;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		c = mem_zalloc(sizeof(*c));
		c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		c->req = (struct http_req){ .conn = c, .server = s, .mhd = mhd };
		atomic_init(&c->deadline_ns, head_deadline(s));
		conn_add(s, c);
		s->figures.connections++;
		*slot = c;
	} else if (c) {
		conn_remove(s, c);
		s->figures.connections--;
		request_end(&c->req);
		mem_free(c);
		*slot = NULL;
	}
}

void *course_target(void *arg, const char *target, struct MHD_Connection *mhd)
{
	struct http_server *s = arg;
	struct http_conn *c =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

	if (!c)
		return NULL;
	s->active++;
	request_start(&c->req, target);
	set_deadline(&c->req, c->req.begun_ns + s->o.head_ms * NS_PER_MS);
	return &c->req;
}

// The query stays out: presigned requests carry their signature there.
static void log_access(struct http_req *r)
{
	log_debug(r->server->name, "%s " SPAN_FMT " " SPAN_FMT " %u in %lld us, id %s",
		  http_peer(r), SPAN_ARG(r->method_name), SPAN_ARG(span_head(r->path_raw, 512)),
		  r->status, (long long)((clock_mono_ns() - r->begun_ns) / NS_PER_US), r->id);
}

void course_completed(void *arg, struct MHD_Connection *mhd unused_arg, void **slot,
		      enum MHD_RequestTerminationCode why unused_arg)
{
	struct http_server *s = arg;
	struct http_req *r = *slot;

	if (!r)
		return;
	if (r->begun && s->o.handler.gone)
		s->o.handler.gone(s->o.handler.owner, r);
	if (r->method_name.p)
		log_access(r);
	s->figures.answers[r->status < 600 ? r->status / 100 : 0]++;
	histogram_add(&s->figures.took, clock_mono_ns() - r->begun_ns);
	request_end(r);
	set_deadline(r, head_deadline(s));
	*slot = NULL;
	s->active--;
	if (s->closing) {
		auto_lock held = lock_hold(&s->lock);

		pthread_cond_broadcast(&s->calm);
	}
}
