// SPDX-License-Identifier: Apache-2.0
// Lifecycle configuration of buckets, and the header that says when an object will go.
#include "codec/lifecycle.h"

#include "base/clock.h"
#include "base/rand.h"
#include "codec/url.h"
#include "s3/request.h"
#include "store/lifecycle.h"

enum { DOC_MAX = 4 << 20, MADE_ID = 20 };

void s3_lifecycle_get(struct s3_req *q)
{
	struct lifecycle l = { 0 };
	struct span doc = { 0 };
	struct err e = { 0 };
	auto_buf struct buf b = { 0 };

	if (!q->bucket.lifecycle) {
		s3_fail(q, S3_NO_LIFECYCLE);
		return;
	}
	if (store_lifecycle_get(q->s3->o.store, q->bucket_name, q->mem, &doc, &e) < 0 ||
	    lifecycle_parse(q->mem, doc, &l, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_xml_begin(&b, "LifecycleConfiguration");
	lifecycle_write(&l, &b);
	s3_xml_send(q, &b, "LifecycleConfiguration");
}

static bool refuse(struct s3_req *q, const struct err *e)
{
	switch (e->sys) {
	case LIFECYCLE_ARGUMENT:
		return s3_failf(q, S3_INVALID_ARGUMENT, "%s", e->msg);
	case LIFECYCLE_REQUEST:
		return s3_failf(q, S3_INVALID_REQUEST, "%s", e->msg);
	default:
		return s3_fail(q, S3_MALFORMED_XML);
	}
}

// What is kept is our own writing of it, with an id for each rule.
void s3_lifecycle_put(struct s3_req *q)
{
	struct lifecycle l = { 0 };
	struct err e = { 0 };
	auto_buf struct buf b = { 0 };

	if (lifecycle_parse(q->mem, buf_span(&q->body.small), &l, &e) < 0) {
		refuse(q, &e);
		return;
	}
	buf_init(&b, DOC_MAX);
	xml_open(&b, "LifecycleConfiguration");
	for (size_t i = 0; i < l.n; i++) {
		char id[MADE_ID + 1];

		rand_alnum(id, MADE_ID);
		if (!l.rules[i].id.n)
			l.rules[i].id = span_of(arena_strdup(q->mem, id));
	}
	lifecycle_write(&l, &b);
	xml_close(&b, "LifecycleConfiguration");
	if (b.over)
		s3_fail(q, S3_MALFORMED_XML);
	else if (store_lifecycle_set(q->s3->o.store, q->bucket_name, buf_span(&b), &e) < 0)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 200);
}

void s3_lifecycle_delete(struct s3_req *q)
{
	struct err e = { 0 };

	if (store_lifecycle_set(q->s3->o.store, q->bucket_name, span_make(NULL, 0), &e) < 0)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 204);
}

void s3_abort_date_send(struct s3_req *q, int64_t begun_ns)
{
	char text[CLOCK_TEXT_MAX];
	struct err ignored = { 0 };
	struct span rule;
	int64_t due;

	if (store_lifecycle_abort_due(q->s3->o.store, &q->bucket, q->key, begun_ns, q->mem, &due,
				      &rule, &ignored) <= 0)
		return;
	http_reply_header(q->http, "x-amz-abort-date", span_of(clock_http(due, text)));
	http_reply_header(q->http, "x-amz-abort-rule-id", rule);
}

void s3_expiration_send(struct s3_req *q, const struct store_object *o)
{
	char text[CLOCK_TEXT_MAX];
	struct err ignored = { 0 }; // an answer without the hint is as good
	struct span rule;
	int64_t due;

	if (!q->bucket.lifecycle || !o->latest ||
	    store_lifecycle_due(q->s3->o.store, &q->bucket, o, q->mem, &due, &rule, &ignored) <= 0)
		return;
	http_reply_headerf(q->http, "x-amz-expiration",
			   "expiry-date=\"%s\", rule-id=\"" SPAN_FMT "\"", clock_http(due, text),
			   SPAN_ARG(url_encode_arena(q->mem, rule, "")));
}
