// SPDX-License-Identifier: Apache-2.0
// Writing objects: the body streams into the store as it arrives; a worker makes it durable and visible.
#include "s3/request.h"

void s3_put_options(struct s3_req *q, const char *event, struct store_put_options *o)
{
	*o = (struct store_put_options){ .bucket = q->bucket_name,
					 .key = q->key,
					 .owner = q->who.user.id,
					 .meta = { SPAN("") },
					 .tags = SPAN(""),
					 .size = UINT64_MAX,
					 .cause = q->cause };
	o->cause.event = event;
}

// The size of the object: of what is framed, not of the frame; UINT64_MAX when only the last chunk will tell.
static uint64_t size_said(struct s3_req *q)
{
	uint64_t size;

	if (q->body.framed)
		return q->body.chunked.o.size;
	http_has_body(q->http, &size);
	return size;
}

// A request without a body must say so: without a length it was cut off. Chunks say themselves where they end.
static bool length_given(struct s3_req *q)
{
	return q->body.framed || http_header(q->http, "Content-Length").p ||
	       http_has_body(q->http, &(uint64_t){ 0 }) || s3_fail(q, S3_MISSING_LENGTH);
}

void s3_object_put_begin(struct s3_req *q)
{
	struct store_put_options o;
	struct err e = { 0 };

	s3_put_options(q, "s3:ObjectCreated:Put", &o);
	o.size = size_said(q);
	if (!length_given(q) || !s3_headers_supported(q) || !s3_acl_of_write(q, &o) ||
	    !s3_meta_take(q, &o.meta) || !s3_write_conditions(q, &o.only_if) ||
	    !s3_lock_take(q, &o.lock) || !s3_storage_class_take(q, &o.storage_class) ||
	    !s3_tags_take(q, s3_header(q, "x-amz-tagging"), &o.tags))
		return;
	if (store_put_begin(q->s3->o.store, &o, &q->put, &e) < 0)
		s3_fail_store(q, &e);
}

static void answer_sum(struct s3_req *q, const char *type)
{
	if (q->body.sum.kind == S3_SUM_NONE)
		return;
	http_reply_header(q->http, s3_sum_header(q->body.sum.kind), span_of(q->body.sum_text));
	if (type)
		http_reply_header(q->http, "x-amz-checksum-type", span_of(type));
}

static struct store_put *take_put(struct s3_req *q)
{
	struct store_put *p = q->put;

	if (q->body.sum.kind != S3_SUM_NONE)
		store_put_set_checksum(p, span_of(arena_printf(q->mem, "%s:%s:FULL_OBJECT",
							       s3_sum_name(q->body.sum.kind),
							       q->body.sum_text)));
	q->put = NULL; // used up, whatever comes
	return p;
}

static void answer_made(struct s3_req *q, const struct store_object *o)
{
	http_reply_headerf(q->http, "ETag", "\"%s\"", o->etag);
	answer_sum(q, "FULL_OBJECT");
	s3_version_made(q, o);
	s3_expiration_send(q, o);
}

bool s3_put_finish(struct s3_req *q, struct store_object *o)
{
	struct store_put *p = take_put(q);
	struct err e = { 0 };

	if (store_put_finish(p, q->mem, o, &e) < 0)
		return s3_fail_store(q, &e);
	answer_made(q, o);
	return true;
}

static void put_committed(struct s3_req *q)
{
	struct store_object o;

	if (q->result < 0) {
		s3_fail_store(q, &q->result_err);
		return;
	}
	store_put_made(q->submitted, q->mem, &o);
	answer_made(q, &o);
	s3_empty(q, 200);
}

static void put_large(struct s3_req *q)
{
	struct store_object o;

	if (s3_put_finish(q, &o))
		s3_empty(q, 200);
}

// A small object has nothing to wait for but the commit, which needs no thread of its own.
void s3_object_put(struct s3_req *q)
{
	if (!store_put_is_quick(q->put)) {
		s3_defer(q, put_large);
		return;
	}
	q->submitted = take_put(q);
	s3_suspend(q, put_committed);
	store_put_submit(q->submitted, s3_resume, q);
}

// ---- parts ---------------------------------------------------------------------------------------------

static bool take_part_number(struct s3_req *q)
{
	uint64_t number;

	if (!span_to_u64(s3_param(q, "partNumber"), &number) || number < 1 ||
	    number > STORE_PART_MAX)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Part number must be an integer between 1 and %d, inclusive",
				STORE_PART_MAX);
	q->part = (unsigned)number;
	return true;
}

// When the upload was begun with an algorithm, each part gets its sum, whether the client sends one or not.
static bool part_sum(struct s3_req *q)
{
	enum s3_sum_kind kind = s3_sum_parse(q->upload.checksum).kind;

	if (q->body.sum.kind == S3_SUM_NONE)
		s3_sum_init(&q->body.sum, kind);
	else if (kind != S3_SUM_NONE && kind != q->body.sum.kind)
		return s3_failf(q, S3_INVALID_REQUEST,
				"Checksum Type mismatch occurred, expected checksum Type: %s, "
				"actual checksum Type: %s",
				s3_sum_name(kind), s3_sum_name(q->body.sum.kind));
	return true;
}

void s3_upload_part_begin(struct s3_req *q)
{
	struct store *s = q->s3->o.store;
	struct span upload = s3_param(q, "uploadId");
	struct err e = { 0 };

	if (!take_part_number(q) || !length_given(q) || !s3_headers_supported(q))
		return;
	if (store_upload_get(s, q->bucket_name, q->key, upload, q->mem, &q->upload, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	if (!part_sum(q))
		return;
	if (store_put_begin_part(s, q->bucket_name, q->key, upload, q->part, size_said(q), &q->put,
				 &e) < 0)
		s3_fail_store(q, &e);
}

void s3_upload_part(struct s3_req *q)
{
	struct store_put *p = q->put;
	struct store_object o;
	struct err e = { 0 };

	if (q->body.sum.kind != S3_SUM_NONE)
		store_put_set_checksum(p, span_of(arena_printf(q->mem, "%s:%s",
							       s3_sum_name(q->body.sum.kind),
							       q->body.sum_text)));
	q->put = NULL;
	if (store_put_finish(p, q->mem, &o, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	http_reply_headerf(q->http, "ETag", "\"%s\"", o.etag);
	answer_sum(q, NULL);
	s3_empty(q, 200);
}

static bool take_copy_range(struct s3_req *q, uint64_t size, uint64_t *from, uint64_t *n)
{
	struct span text = http_header(q->http, "x-amz-copy-source-range"), first;
	uint64_t a, b;

	*from = 0;
	*n = size;
	if (!text.p)
		return true;
	first = text;
	if (!span_starts(text, SPAN("bytes=")))
		first = SPAN("");
	text = span_from(first, first.n ? 6 : 0);
	first = span_cut(&text, '-');
	if (!span_to_u64(first, &a) || !span_to_u64(text, &b) || b < a)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"The x-amz-copy-source-range value must be of the form "
				"bytes=first-last");
	if (b >= size)
		return s3_fail(q, S3_INVALID_RANGE);
	*from = a;
	*n = b - a + 1;
	return true;
}

void s3_upload_part_copy(struct s3_req *q)
{
	struct s3_source src;
	struct store_source source;
	struct store_hearer hearer;
	struct s3_copy_sum sum;
	struct s3_sum_kept k;
	struct store_part part;
	struct err e = { 0 };
	uint64_t from, n;
	auto_buf struct buf b = { 0 };

	if (!take_part_number(q) || !s3_headers_supported(q) || !s3_copy_source(q, &src) ||
	    !take_copy_range(q, src.object.size, &from, &n))
		return;
	if (store_upload_get(q->s3->o.store, q->bucket_name, q->key, s3_param(q, "uploadId"),
			     q->mem, &q->upload, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	source = (struct store_source){ src.bucket, src.key, src.object.version };
	hearer = s3_copy_hearer(q, &sum, s3_sum_parse(q->upload.checksum).kind, &src.object,
				n == src.object.size, true);
	if (store_part_copy(q->s3->o.store, q->bucket_name, q->key, s3_param(q, "uploadId"),
			    q->part, &source, from, n, &hearer, &part, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_version_send(q, "x-amz-copy-source-version-id", &src.of, &src.object);
	s3_xml_begin(&b, "CopyPartResult");
	s3_xml_time(&b, "LastModified", part.mtime_ns);
	s3_xml_etag(&b, part.etag);
	k = s3_sum_parse(sum.kept);
	s3_xml_checksum(&b, k.kind, k.value);
	s3_xml_send(q, &b, "CopyPartResult");
}
