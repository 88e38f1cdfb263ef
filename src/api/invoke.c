// SPDX-License-Identifier: Apache-2.0
// invoke: /job queues a call, /run waits for its answer. A waiting call holds no thread: it waits in dispatch, is
// answered by one of its workers, and watched by the api's timer.
#include "api/req.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/prefer.h"
#include "dispatch/dispatch.h"
#include "queue/call.h"

// The service that is called: that of the token, else the one the caller may see.
static struct service_def *called(struct req *q)
{
	struct service_def *d = q->def;

	if (!d)
		return req_service(q);
	q->def = NULL;
	return d;
}

void api_job(struct req *q)
{
	auto_service_def struct service_def *d = called(q);
	struct trace_context trace;
	struct queue_job made;
	struct err e = { 0 };
	int64_t job = 0;

	if (!d)
		return;
	http_trace(q->http, &trace);
	if (service_call(q->api->o.services, d, q->who.user, http_body(q->http), &trace, &job, &e) <
	    0) {
		reply_call_error(q, &e);
		return;
	}
	if (queue_job_get(q->api->o.queue, job, http_arena(q->http), &made, &e) == 0)
		http_reply_headerf(q->http, "X-Oscar-Job", "%s",
				   made.name); // ours: who waits needs it
	reply_empty(q, 201);
}

// ---- waiting calls -------------------------------------------------------------------------------------

static void unlink_pending(struct api *a, struct pending *p)
{
	for (struct pending **at = &a->pending; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			return;
		}
}

// True for the one who may answer and resume; everybody else must leave the request alone.
static bool claim(struct api *a, struct pending *p)
{
	auto_lock held = lock_hold(&a->lock);
	bool mine = !p->answered;

	p->answered = true;
	unlink_pending(a, p);
	return mine;
}

static void answered(void *owner, const struct dispatch_answer *ans)
{
	struct pending *p = owner;
	struct req *q = p->req;

	if (!claim(q->api, p)) {
		file_close(ans->fd);
		return;
	}
	if (!ans->ok && ans->reason[0])
		http_reply_headerf(q->http, "X-Oscar-Reason", "%s", ans->reason);
	if (ans->encoded && ans->fd >= 0) // what was printed may look like it
		http_reply_header(q->http, "X-Oscar-Encoding", SPAN("base64"));
	if (ans->fd < 0)
		reply_text(q, ans->ok ? 200 : 500, ans->reason);
	else
		http_reply_file(q->http,
				ans->ok		 ? 200
				: ans->timed_out ? 408
						 : 500,
				ans->type ? ans->type : "text/plain; charset=utf-8", ans->fd, 0,
				ans->size);
	http_resume(q->http);
}

static struct queue_call *call_new(struct req *q, struct err *e)
{
	auto_service_def struct service_def *d = called(q);
	struct queue_call *call;
	struct trace_context trace;

	if (!d)
		return NULL;
	http_trace(q->http, &trace);
	if (dispatch_call_new(q->api->o.dispatch, d, q->who.user, http_body(q->http), &trace, &call,
			      e) < 0) {
		reply_call_error(q, e);
		return NULL;
	}
	return call;
}

// When the caller is told that it took too long: RFC 7240, Prefer: wait=SECONDS, but never later than we say.
static int64_t deadline_of(struct req *q)
{
	int64_t ms = prefer_wait_ms(http_header(q->http, "Prefer"), q->api->o.sync_timeout_ms);

	return clock_mono_ns() + ms * NS_PER_MS;
}

void api_run(struct req *q)
{
	struct err e = { 0 };
	struct queue_call *call = call_new(q, &e);
	struct pending *p;

	if (!call)
		return;
	http_reply_headerf(q->http, "X-Oscar-Job", "%s", call->row.name);
	p = arena_alloc(http_arena(q->http), sizeof(*p));
	*p = (struct pending){ .req = q, .job = call->row.id, .deadline_ns = deadline_of(q) };
	http_suspend(q->http);
	pthread_mutex_lock(&q->api->lock);
	p->next = q->api->pending;
	q->api->pending = p;
	pthread_mutex_unlock(&q->api->lock);
	if (dispatch_call(q->api->o.dispatch, call, answered, p, &e) < 0 && claim(q->api, p)) {
		reply_call_error(q, &e);
		http_resume(q->http);
	}
}

// A call whose time is over, or whose caller hung up: its job is cancelled.
static struct pending *overdue(struct api *a)
{
	auto_lock held = lock_hold(&a->lock);
	int64_t now = clock_mono_ns();

	for (struct pending *p = a->pending; p; p = p->next)
		if (!p->answered && (now > p->deadline_ns || http_peer_gone(p->req->http))) {
			p->answered = true;
			unlink_pending(a, p);
			return p;
		}
	return NULL;
}

void api_run_tick(struct api *a)
{
	struct pending *p;

	while ((p = overdue(a))) {
		dispatch_call_forget(a->o.dispatch, p->job, true);
		reply_text(p->req, 504, "the call took too long and was cancelled");
		http_resume(p->req->http);
	}
}
