// SPDX-License-Identifier: Apache-2.0
// exchange: a request on its way to an instance, as http's loops see it.
#include "authn/authn.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/prefer.h"
#include "codec/text.h"
#include "codec/url.h"
#include "expose/forward.h"
#include "expose/private.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEFORE "/system/services/"
#define BEHIND "/exposed"

// ---- whose it is ---------------------------------------------------------------------------------------

// Cuts the path at the end of ".../exposed"; *rest is what is behind it. The name as it came.
static bool split_path(struct span raw, struct span *name, struct span *rest)
{
	if (!span_starts(raw, SPAN(BEFORE)))
		return false;
	*rest = span_from(raw, sizeof(BEFORE) - 1);
	*name = span_cut(rest, '/');
	if (!name->n || !span_starts(*rest, SPAN("exposed")))
		return false;
	*rest = span_from(*rest, sizeof("exposed") - 1);
	return !rest->n || rest->p[0] == '/';
}

bool expose_path(struct span raw_path)
{
	struct span name, rest;

	return split_path(raw_path, &name, &rest);
}

static void refuse(struct http_req *r, unsigned status, const char *text)
{
	http_reply_text(r, status, text);
}

static void ask_who(struct http_req *r, const char *service)
{
	http_reply_headerf(r, "WWW-Authenticate", "Basic realm=\"%s\"", service);
	refuse(r, 401, "this service wants a name and a password, or its token\n");
}

// "SERVICE:TOKEN" as user and password.
static bool has_token(struct expose *x, struct http_req *r, struct span basic,
		      const struct service_def *def)
{
	char *plain = arena_alloc(http_arena(r), basic.n + 1);
	ptrdiff_t n = text_unbase64(plain, basic.n, basic);
	struct span token = span_make(plain, n > 0 ? (size_t)n : 0), name = span_cut(&token, ':');
	auto_service_def struct service_def *found = NULL;
	struct err e = { 0 };
	bool ok = n > 0 && span_is(name, def->fdl->name) &&
		  service_by_token(x->o.services, name, token, &found, &e) == 0;

	mem_wipe(plain, basic.n);
	return ok;
}

static bool is_let_in(struct expose *x, struct http_req *r, const struct service_def *def)
{
	struct span name = span_of(def->fdl->name), value = http_header(r, "Authorization");
	auto_service_def struct service_def *found = NULL;
	struct span scheme = span_cut(&value, ' ');
	struct err e = { 0 };
	struct authn_api who;

	value = span_trim(value);
	if (span_eq_nocase(scheme, SPAN("Basic")) && value.n <= 1024 && has_token(x, r, value, def))
		return true;
	if (authn_api_request(x->o.authn, r, &who, &e) < 0)
		return false;
	if (who.scheme == AUTHN_BEARER)
		return service_by_token(x->o.services, name, who.token, &found, &e) == 0;
	if (who.scheme != AUTHN_BASIC)
		return false;
	return service_get(x->o.services,
			   &(struct service_caller){ .user = who.user.id,
						     .admin = who.user.admin,
						     .name = who.user.name },
			   name, &found, &e) == 0;
}

static struct service_def *find(struct expose *x, struct http_req *r, struct span raw_name)
{
	static const struct service_caller anybody = { .admin = true, .name = "" };
	struct span name = url_decode(http_arena(r), raw_name, URL_PLUS_KEEP);
	auto_service_def struct service_def *def = NULL;
	struct err e = { 0 };

	if (service_get(x->o.services, &anybody, name, &def, &e) < 0) {
		refuse(r, 404, "there is no such service\n");
		return NULL;
	}
	if (!def->fdl->expose.port) {
		refuse(r, 404, "the service is not exposed: it says no expose.api_port\n");
		return NULL;
	}
	if (def->fdl->expose.set_auth && !is_let_in(x, r, def)) {
		ask_who(r, def->fdl->name);
		return NULL;
	}
	return mem_take(&def);
}

// ---- a request begins ----------------------------------------------------------------------------------

static int make_head(struct exchange *q, struct span rest, struct err *e)
{
	struct http_req *r = q->http;
	struct span path = http_path_raw(r), query = http_query_raw(r);
	const struct fdl_expose *ex = &q->def->fdl->expose;
	struct forward f = { .own_auth = ex->set_auth, .upgrade = SPAN("") };
	bool asked = path.n < http_target(r).n && query.n;

	f.has_body = q->has_body = http_has_body(r, &f.body_size);
	q->upgrade = !q->has_body && http_header(r, "Upgrade").n &&
		     http_list_has(http_header(r, "Connection"), SPAN("upgrade"));
	if (q->upgrade)
		f.upgrade = http_header(r, "Upgrade");
	q->chunks = q->has_body && f.body_size == UINT64_MAX;
	if (!ex->rewrite_target) {
		f.prefix = span_head(path, path.n - rest.n);
		path = rest.n ? rest : SPAN("/");
	} else {
		f.prefix = SPAN("");
	}
	f.target = span_of(arena_printf(http_arena(r), SPAN_FMT "%s" SPAN_FMT, SPAN_ARG(path),
					asked ? "?" : "", SPAN_ARG(query)));
	buf_init(&q->out, OUT_BYTES);
	return forward_request(r, &f, &q->out, e);
}

// The service's time, or less where the client says so (RFC 7240: Prefer: wait=SECONDS).
static int64_t timeout_of(struct exchange *q)
{
	int64_t ms = q->def->fdl->timeout_s ? q->def->fdl->timeout_s * 1000 : q->x->o.timeout_ms;

	return prefer_wait_ms(http_header(q->http, "Prefer"), ms);
}

// The time runs from the request's end, and anew whenever the server has to read.
static void set_deadline(struct exchange *q)
{
	q->deadline_ns = clock_mono_ns() + q->timeout_ms * NS_PER_MS;
}

void exchange_park(struct exchange *q, enum exchange_state state)
{
	struct expose *x = q->x;

	q->state = state;
	q->park_prev = NULL;
	q->park_next = x->parked;
	if (q->park_next)
		q->park_next->park_prev = q;
	x->parked = q;
}

void exchange_unpark(struct exchange *q)
{
	q->state = X_RUNS;
	if (q->park_next)
		q->park_next->park_prev = q->park_prev;
	if (q->park_prev)
		q->park_prev->park_next = q->park_next;
	else
		q->x->parked = q->park_next;
	q->park_next = q->park_prev = NULL;
}

// With the lock held: into a queue, suspended.
static void queue_up(struct exchange *q, struct instance *i)
{
	http_suspend(q->http);
	if (i) {
		exchange_park(q, X_WAITS_DIAL);
		instance_put_dial(i, q);
	} else {
		exchange_park(q, X_WAITS);
		scale_put_waiter(q->outlet, q);
		pthread_cond_signal(&q->x->scale);
	}
}

// 1 = it has a connection; 0 = it is suspended until it has, or failed; -1 = it was refused.
static int acquire(struct exchange *q)
{
	struct expose *x = q->x;
	struct outlet *o = q->outlet;
	const char *why = NULL;
	auto_lock held = lock_hold(&x->lock);
	struct instance *i;

	if (x->closing)
		why = "the server is stopping\n";
	else if (o->paused || o->stopped)
		why = o->paused ? "the service is paused\n" : "the service is stopped\n";
	else if (o->deleted)
		why = "the service is being deleted\n";
	else if (o->waiting >= x->o.waiting_max)
		why = "too many requests wait for this service\n";
	if (why) {
		http_reply_header(q->http, "Retry-After", SPAN("1"));
		refuse(q->http, 503, why);
		return -1;
	}
	i = scale_pick(o);
	if (!i) {
		queue_up(q, NULL);
		return 0;
	}
	q->instance = i;
	i->active++;
	q->conn = instance_take_idle(i);
	q->reused = q->conn.fd >= 0;
	if (q->reused)
		return 1;
	queue_up(q, i);
	return 0;
}

void exchange_begin(struct expose *x, struct http_req *r)
{
	struct exchange *q = arena_alloc(http_arena(r), sizeof(*q));
	struct err e = { 0 };
	struct span name, rest;

	*q = (struct exchange){ .x = x, .http = r, .conn = { -1, false } };
	http_app_set(r, q);
	if (!split_path(http_path_raw(r), &name, &rest) || !(q->def = find(x, r, name)))
		return;
	if (make_head(q, rest, &e) < 0) {
		refuse(r, e.code == ERR_LIMIT ? 431 : 400, e.msg);
		return;
	}
	q->timeout_ms = timeout_of(q);
	q->moved_ns = clock_mono_ns();
	set_deadline(q);
	q->look_ns = q->moved_ns + NS_PER_S;
	pthread_mutex_lock(&x->lock);
	q->outlet = scale_outlet_of(x, q->def);
	q->outlet->requests++;
	x->requests++;
	pthread_mutex_unlock(&x->lock);
	if (q->has_body)
		acquire(q);
}

// ---- sending -------------------------------------------------------------------------------------------

int exchange_flush(struct exchange *q)
{
	while (q->sent < q->out.n) {
		ssize_t n = send(q->conn.fd, q->out.p + q->sent, q->out.n - q->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		q->sent += (size_t)n;
		q->moved_ns = clock_mono_ns();
	}
	if (q->has_body) { // else it may have to be sent again
		buf_clear(&q->out);
		q->sent = 0;
	}
	return 1;
}

// Nobody reads any more: it may have said why before. True when that is the answer, or there is another.
static void answer_early(struct exchange *q)
{
	q->close = true;
	if (!q->has_body || upstream_take_answer(q) == 0)
		exchange_fail(q, 502, "the function closed the connection\n", false);
}

void exchange_body(struct exchange *q, struct span piece)
{
	int got;

	if (http_replied(q->http) || !piece.n)
		return;
	if (q->chunks)
		buf_printf(&q->out, "%zx\r\n", piece.n);
	buf_add_span(&q->out, piece);
	if (q->chunks)
		buf_add_str(&q->out, "\r\n");
	if (q->out.over) { // pieces are smaller than the connection's memory, which is bounded
		exchange_fail(q, 500, "a piece of the body is too large\n", false);
		return;
	}
	got = exchange_flush(q);
	if (got < 0) {
		answer_early(q);
	} else if (got == 0) {
		set_deadline(q);
		http_suspend(q->http);
		upstream_wait(q, X_WAITS_WRITE);
	}
}

void exchange_finish(struct exchange *q)
{
	int got;

	q->complete = true;
	if (q->has_body)
		set_deadline(q);
	if (q->chunks)
		buf_add_str(&q->out, "0\r\n\r\n");
	if (!q->has_body && acquire(q) <= 0)
		return;
	got = exchange_flush(q);
	if (got < 0 && q->has_body) {
		answer_early(q);
		return;
	}
	http_suspend(q->http);
	// One that closed meanwhile is seen by who waits for the answer, and the request goes on another.
	upstream_wait(q, got ? X_WAITS_READ : X_WAITS_WRITE);
}

void exchange_given(struct exchange *q)
{
	if (!q->complete) { // it was suspended when it began
		pthread_mutex_lock(&q->x->lock);
		exchange_unpark(q);
		pthread_mutex_unlock(&q->x->lock);
		http_resume(q->http);
		return;
	}
	int got = exchange_flush(q);

	pthread_mutex_lock(&q->x->lock);
	exchange_unpark(q);
	pthread_mutex_unlock(&q->x->lock);
	upstream_wait(q, got ? X_WAITS_READ : X_WAITS_WRITE);
}

// ---- a request ends ------------------------------------------------------------------------------------

static void drop_conn(struct conn *c)
{
	file_close(c->fd);
	*c = (struct conn){ -1, false };
}

// With the lock held: the instance serves the next one that waits for any. Whom to go on with, or NULL.
static struct exchange *next_of(struct instance *i, struct conn *c)
{
	struct exchange *w;

	if (!scale_takes(i) || !(w = scale_take_waiter(i->outlet)))
		return NULL;
	w->instance = i;
	i->active++;
	if (c->fd < 0) {
		w->state = X_WAITS_DIAL;
		instance_put_dial(i, w);
		return NULL;
	}
	w->state = X_DIALS; // ours now
	w->conn = *c;
	w->reused = true;
	*c = (struct conn){ -1, false };
	return w;
}

void exchange_release(struct exchange *q)
{
	struct instance *i = q->instance;
	bool clean = q->body.done && !q->close && q->in_at == q->in_n && !q->piece.n;
	struct conn c = q->conn;
	struct exchange *next;

	q->conn = (struct conn){ -1, false };
	q->instance = NULL;
	if (!clean)
		drop_conn(&c);
	if (!i)
		return;
	pthread_mutex_lock(&q->x->lock);
	i->active--;
	i->idle_ns = clock_mono_ns();
	next = next_of(i, &c);
	if (c.fd >= 0 && i->state == I_READY && !i->end && i->idle_count < IDLE_CONNS) {
		i->idle[i->idle_count++] = c;
		c.fd = -1;
	}
	if (!i->active && i->end)
		pthread_cond_signal(&i->wake);
	pthread_mutex_unlock(&q->x->lock);
	drop_conn(&c);
	if (next)
		exchange_given(next);
}

void exchange_fail(struct exchange *q, unsigned status, const char *text, bool suspended)
{
	struct http_req *r = q->http;

	q->close = q->broken = true;
	exchange_release(q);
	if (!http_replied(r)) {
		if (status == 503)
			http_reply_header(r, "Retry-After", SPAN("1"));
		refuse(r, status, text);
	}
	if (suspended)
		http_resume(r);
}

void exchange_forget(struct exchange *q)
{
	exchange_release(q);
	if (!q->outlet)
		return;
	pthread_mutex_lock(&q->x->lock);
	q->outlet->requests--;
	pthread_mutex_unlock(&q->x->lock);
	q->outlet = NULL;
}

void exchange_gone(struct exchange *q)
{
	if (!q)
		return;
	exchange_forget(q);
	relay_free(q);
	buf_release(&q->out);
	mem_free(q->in);
	service_def_put(q->def);
}
