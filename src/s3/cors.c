// SPDX-License-Identifier: Apache-2.0
// CORS: what pages of other origins are told, by the rules of the bucket. A bucket without rules answers every
// origin, as MinIO does: requests are signed, not carried by cookies.
#include "s3/cors.h"
#include "s3/request.h"

// ---- headers -------------------------------------------------------------------------------------------

static struct span join(struct s3_req *q, const struct s3_cors_list *l)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, S3_CORS_BYTES_MAX);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add_str(&b, ", ");
		buf_add_span(&b, l->items[i]);
	}
	return arena_span(q->mem, buf_span(&b));
}

static void send_rule(struct s3_req *q, const struct s3_cors_rule *r, struct span origin)
{
	struct http_req *h = q->http;

	http_reply_header(h, "Access-Control-Allow-Origin", origin);
	if (!span_is(origin, "*"))
		http_reply_header(h, "Access-Control-Allow-Credentials", SPAN("true"));
	http_reply_header(h, "Access-Control-Allow-Methods", join(q, &r->methods));
	if (r->expose.n)
		http_reply_header(h, "Access-Control-Expose-Headers", join(q, &r->expose));
	if (r->has_age)
		http_reply_headerf(h, "Access-Control-Max-Age", "%llu",
				   (unsigned long long)r->age_s);
	http_reply_header(h, "Vary",
			  SPAN("Origin, Access-Control-Request-Headers, "
			       "Access-Control-Request-Method"));
}

static void send_to_all(struct s3_req *q, struct span origin)
{
	http_reply_header(q->http, "Access-Control-Allow-Origin", origin);
	http_reply_header(q->http, "Access-Control-Allow-Credentials", SPAN("true"));
	http_reply_header(q->http, "Access-Control-Expose-Headers",
			  SPAN("ETag, Content-Length, Content-Range, Accept-Ranges, "
			       "Last-Modified, x-amz-*, *"));
	http_reply_header(q->http, "Vary", SPAN("Origin"));
}

// The bucket's record, when there is such a bucket and it has rules.
static struct s3_access *record_with_rules(struct s3_req *q)
{
	struct store_bucket b;
	struct s3_access *a;
	struct err ignored = { 0 };

	if (!q->bucket_name.n ||
	    store_bucket_look(q->s3->o.store, q->bucket_name, &b, &ignored) < 0 ||
	    s3_access_get(q->s3, &b, &a, &ignored) < 0)
		return NULL;
	if (a->cors.n)
		return a;
	s3_access_put(q->s3, a);
	return NULL;
}

void s3_cors_headers(struct s3_req *q)
{
	struct span origin = http_header(q->http, "Origin"), allowed;
	struct span method = http_header(q->http, "Access-Control-Request-Method");
	const struct s3_cors_rule *r;
	struct s3_access *a;

	if (!origin.n || http_method(q->http) == HTTP_OPTIONS)
		return;
	a = record_with_rules(q);
	if (!a) {
		send_to_all(q, origin);
		return;
	}
	r = s3_cors_find(&a->cors, origin, method.n ? method : http_method_name(q->http), SPAN(""),
			 &allowed);
	if (r)
		send_rule(q, r, allowed);
	s3_access_put(q->s3, a);
}

// ---- asking before -------------------------------------------------------------------------------------

void s3_cors_preflight(struct s3_req *q)
{
	struct span origin = http_header(q->http, "Origin"), allowed;
	struct span method = http_header(q->http, "Access-Control-Request-Method");
	struct span headers = s3_header(q, "Access-Control-Request-Headers");
	const struct s3_cors_rule *r;
	struct s3_access *a;

	if (!origin.n || !method.n) {
		s3_failf(q, S3_BAD_REQUEST, "Insufficient information. %s request header needed.",
			 origin.n ? "Access-Control-Request-Method" : "Origin");
		return;
	}
	a = record_with_rules(q);
	if (!a) {
		send_to_all(q, origin);
		http_reply_header(q->http, "Access-Control-Allow-Methods", method);
		http_reply_header(q->http, "Access-Control-Max-Age", SPAN("3600"));
	} else {
		r = s3_cors_find(&a->cors, origin, method, headers, &allowed);
		if (r)
			send_rule(q, r, allowed);
		s3_access_put(q->s3, a);
		if (!r) {
			s3_fail(q, S3_ACCESS_FORBIDDEN);
			return;
		}
	}
	if (headers.n)
		http_reply_header(q->http, "Access-Control-Allow-Headers", headers);
	s3_empty(q, 200);
}

// ---- operations ----------------------------------------------------------------------------------------

void s3_bucket_cors_get(struct s3_req *q)
{
	auto_buf struct buf b = { 0 };

	if (!q->access->cors.n) {
		s3_fail(q, S3_NO_CORS);
		return;
	}
	s3_xml_begin(&b, "CORSConfiguration");
	s3_cors_print(&b, &q->access->cors);
	s3_xml_send(q, &b, "CORSConfiguration");
}

void s3_bucket_cors_put(struct s3_req *q)
{
	struct s3_cors c;
	struct err e = { 0 };

	if (s3_cors_parse(q->mem, buf_span(&q->body.small), &c, &e) == 0)
		s3_doc_set(q, S3_DOC_CORS, buf_span(&q->body.small), 200);
	else if (e.code == ERR_UNSUPPORTED)
		s3_failf(q, S3_INVALID_REQUEST, "%s", e.msg);
	else
		s3_fail(q, S3_MALFORMED_XML);
}

void s3_bucket_cors_delete(struct s3_req *q)
{
	s3_doc_set(q, S3_DOC_CORS, span_make(NULL, 0), 204);
}
