// SPDX-License-Identifier: Apache-2.0
// The course of a request: where it goes, who sends it, what it may, then its operation.
#include "s3/s3.h"

#include "base/mem.h"
#include "codec/url.h"
#include "s3/request.h"

void s3_open(struct s3 **out, const struct s3_options *o)
{
	struct s3 *s = mem_zalloc(sizeof(*s));

	s->o = *o;
	s->o.domains = o->domains ? mem_strdup(o->domains) : NULL;
	s3_needs_check();
	s->access = s3_access_cache_new();
	*out = s;
}

void s3_close(struct s3 *s)
{
	if (!s)
		return;
	s3_access_cache_free(s->access);
	mem_free((char *)(uintptr_t)s->o.domains);
	mem_free(s);
}

// ---- where ---------------------------------------------------------------------------------------------

// The bucket of "bucket.DOMAIN:port", or the empty span.
static struct span host_bucket(struct s3_req *q)
{
	struct span host = http_header(q->http, "Host"), rest = span_of(q->s3->o.domains);
	ptrdiff_t colon = host.p ? span_rfind(host, ':') : -1;

	if (colon >= 0)
		host = span_head(host, (size_t)colon);
	while (host.p && rest.n) {
		struct span domain = span_trim(span_cut(&rest, ','));

		if (domain.n && host.n > domain.n + 1 && host.p[host.n - domain.n - 1] == '.' &&
		    span_eq_nocase(span_from(host, host.n - domain.n), domain))
			return span_head(host, host.n - domain.n - 1);
	}
	return SPAN("");
}

// The raw path is cut at its first slash and each half decoded once: the key may hold slashes of both kinds.
static void locate(struct s3_req *q)
{
	struct span path = span_from(http_path_raw(q->http), 1);

	q->bucket_name = host_bucket(q);
	q->virtual_host = q->bucket_name.n > 0;
	if (!q->virtual_host)
		q->bucket_name = url_decode(q->mem, span_cut(&path, '/'), URL_PLUS_KEEP);
	q->key = url_decode(q->mem, path, URL_PLUS_KEEP);
}

// Probes of load balancers and clients, unsigned; true when it was one.
static bool health(struct s3_req *q)
{
	const struct s3_options *o = &q->s3->o;
	struct span path = http_path_raw(q->http);

	if (!span_starts(path, SPAN("/minio/health/")))
		return false;
	path = span_from(path, sizeof("/minio/health/") - 1);
	if (span_is(path, "live") || span_is(path, "cluster"))
		s3_empty(q, 200);
	else if (span_is(path, "ready"))
		s3_empty(q, o->ready && !o->ready(o->owner) ? 503 : 200);
	else
		s3_fail(q, S3_METHOD_NOT_ALLOWED);
	return true;
}

// ---- the callbacks -------------------------------------------------------------------------------------

static void take_cause(struct s3_req *q)
{
	struct span agent = s3_header(q, "User-Agent");

	q->cause = (struct store_cause){
		.principal = q->who.anonymous ? NULL : q->who.access,
		.source_ip = http_peer(q->http),
		.user_agent = arena_strndup(q->mem, agent.p, agent.n < 512 ? agent.n : 512),
		.request_id = http_id(q->http),
		.user = q->who.user.id,
		.trace = http_trace(q->http, &q->trace) ? &q->trace : NULL,
	};
}

// Whoever has an address presigned by version 2 could make another operation of it by a member of the query that is
// not signed: of a put one that locks the object. ListObjectsV2 shows no more than ListObjects.
static bool signature_covers(struct s3_req *q)
{
	const char *sub = q->op->sub;

	return !q->who.presigned || q->who.scope.date.n || !sub || strcmp(sub, "list-type") == 0 ||
	       sigv2_covers(sub) ||
	       s3_failf(q, S3_ACCESS_DENIED,
			"Version 2 does not sign the query member %s; please use "
			"AWS4-HMAC-SHA256.",
			sub);
}

static void begin(void *owner, struct http_req *r)
{
	struct s3_req *q = arena_alloc(http_arena(r), sizeof(*q));
	struct err e = { 0 };

	*q = (struct s3_req){ .s3 = owner, .http = r, .mem = http_arena(r) };
	http_app_set(r, q);
	http_reply_header(r, "x-amz-request-id", span_of(http_id(r)));
	locate(q);
	s3_cors_headers(q);
	if (http_method(r) == HTTP_OPTIONS) {
		s3_cors_preflight(q);
		return;
	}
	if (health(q))
		return;
	if (authn_s3_request(q->s3->o.authn, r, q->virtual_host ? q->bucket_name : SPAN(""),
			     &q->who, &e) < 0) {
		if (e.code == ERR_UNAVAILABLE || e.code == ERR_IO)
			s3_fail_store(q, &e);
		else
			s3_failf(q, s3_code_of_authn(&e), "%s", e.msg);
		return;
	}
	take_cause(q);
	q->op = s3_route(q);
	if (q->key.n > STORE_KEY_MAX)
		s3_fail(q, S3_KEY_TOO_LONG);
	else if (!span_is_utf8(q->key))
		s3_fail(q, S3_INVALID_URI);
	else if (signature_covers(q) && s3_admit(q) &&
		 (q->op->body == S3_BODY_NONE || s3_body_begin(q)) && q->op->begin)
		q->op->begin(q);
}

static void on_begin(void *owner, struct http_req *r)
{
	struct s3 *s3 = owner;

	store_read_begin(s3->o.store);
	begin(owner, r);
	store_read_end(s3->o.store);
}

static void on_body(void *owner unused_arg, struct http_req *r, struct span piece)
{
	struct s3_req *q = http_app(r);

	if (q->op->body != S3_BODY_NONE)
		s3_body_piece(q, piece);
}

static void run(void *owner unused_arg, struct http_req *r)
{
	struct s3_req *q = http_app(r);

	q->op->run(q);
}

static void go_on(void *owner unused_arg, struct http_req *r)
{
	struct s3_req *q = http_app(r);

	q->then(q);
}

void s3_defer(struct s3_req *q, void (*fn)(struct s3_req *q))
{
	q->then = fn;
	http_defer(q->http, go_on);
}

void s3_suspend(struct s3_req *q, void (*then)(struct s3_req *q))
{
	q->then = then;
	http_suspend(q->http);
}

// On the database's thread.
void s3_resume(void *request, int result, const struct err *e)
{
	struct s3_req *q = request;

	q->result = result;
	if (result < 0)
		q->result_err = *e;
	http_resume_with(q->http, go_on);
}

static void on_finish(void *owner, struct http_req *r)
{
	struct s3 *s3 = owner;
	struct s3_req *q = http_app(r);

	if (q->op->body != S3_BODY_NONE && !s3_body_end(q))
		return;
	if (q->op->waits) {
		http_defer(r, run);
		return;
	}
	store_read_begin(s3->o.store);
	run(owner, r);
	store_read_end(s3->o.store);
}

static void on_gone(void *owner unused_arg, struct http_req *r)
{
	struct s3_req *q = http_app(r);

	store_put_abort(q->put);
	store_put_abort(q->submitted);
	store_reader_close(q->reader);
	s3_body_release(q);
	s3_access_put(q->s3, q->access);
	mem_wipe(q->who.key, sizeof(q->who.key));
}

static void on_busy(void *owner unused_arg, struct http_req *r)
{
	struct s3_req *q = http_app(r);

	if (q)
		s3_fail(q, S3_SLOW_DOWN);
}

struct http_handler s3_handler(struct s3 *s)
{
	return (struct http_handler){ s, on_begin, on_body, on_finish, on_gone, on_busy };
}
