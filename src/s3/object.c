// SPDX-License-Identifier: Apache-2.0
// Reading objects.
#include "base/clock.h"
#include "codec/range.h"
#include "s3/request.h"

// ---- reading -------------------------------------------------------------------------------------------

static void send_checksum(struct s3_req *q, const struct store_object *o)
{
	struct s3_sum_kept k = s3_sum_parse(o->checksum);

	if (!span_eq_nocase(s3_header(q, "x-amz-checksum-mode"), SPAN("ENABLED")) ||
	    k.kind == S3_SUM_NONE)
		return;
	http_reply_header(q->http, s3_sum_header(k.kind), k.value);
	http_reply_header(q->http, "x-amz-checksum-type", k.type);
}

// Members that change the answer's headers are for those who sign.
static bool overrides_allowed(struct s3_req *q)
{
	struct span rest = http_query_raw(q->http);

	while (q->who.anonymous && rest.n)
		if (span_starts(span_cut(&rest, '&'), SPAN("response-")))
			return s3_failf(q, S3_INVALID_REQUEST,
					"Request specific response headers cannot be used for "
					"anonymous GET requests.");
	return true;
}

// If-Range (RFC 9110 13.1.5): the range counts only for the version that the client has.
static struct span range_header(struct s3_req *q, const struct store_object *o)
{
	struct span range = s3_header(q, "Range"), if_range = http_header(q->http, "If-Range");

	if (if_range.p && !span_eq(if_range, span_of(arena_printf(q->mem, "\"%s\"", o->etag))))
		return SPAN("");
	return range;
}

// partNumber=1 of a plain object is the object.
static bool check_part_number(struct s3_req *q, const struct store_object *o, bool *part)
{
	uint64_t number;

	*part = s3_param(q, "partNumber").n > 0;
	if (!s3_param_number(q, "partNumber", 0, UINT64_MAX, &number) || !*part)
		return !q->failed;
	if (o->parts)
		return s3_failf(q, S3_NOT_IMPLEMENTED,
				"Parts of a completed upload cannot be read");
	return number == 1 || s3_failf(q, S3_INVALID_RANGE, "The requested part does not exist");
}

// What of the object is asked for; false when answered.
static bool choose_range(struct s3_req *q, const struct store_object *o, uint64_t *from,
			 uint64_t *n, unsigned *status)
{
	enum s3_code condition = s3_conditions(q, "", o);
	bool part;

	*from = 0;
	*n = o->size;
	*status = 200;
	if (condition == S3_NOT_MODIFIED)
		s3_meta_send(q, o);
	if (condition != S3_OK)
		return s3_fail(q, condition);
	if (!check_part_number(q, o, &part))
		return false;
	switch (range_parse(range_header(q, o), o->size, from, n)) {
	case RANGE_NOT:
		http_reply_headerf(q->http, "Content-Range", "bytes */%llu",
				   (unsigned long long)o->size);
		return s3_fail(q, S3_INVALID_RANGE);
	case RANGE_PART:
		part = true;
		break;
	case RANGE_WHOLE:
		break;
	}
	if (part)
		*status = 206;
	if (part && *n)
		http_reply_headerf(q->http, "Content-Range", "bytes %llu-%llu/%llu",
				   (unsigned long long)*from, (unsigned long long)(*from + *n - 1),
				   (unsigned long long)o->size);
	return true;
}

static ssize_t read_more(void *owner, struct http_req *r unused_arg, uint64_t at, char *buf,
			 size_t max)
{
	struct s3_req *q = owner;
	uint64_t left = q->read_end - q->read_at - at;
	struct err e = { 0 };
	ssize_t got;

	if (!left)
		return HTTP_STREAM_END;
	got = store_reader_pread(q->reader, q->read_at + at, buf, left < max ? (size_t)left : max,
				 &e);
	return got > 0 ? got : HTTP_STREAM_FAIL;
}

static void send_body(struct s3_req *q, unsigned status, const char *type, uint64_t from,
		      uint64_t n)
{
	struct http_stream stream = { .owner = q, .read = read_more, .block = 256 << 10 };
	struct span bytes;
	uint64_t offset;
	int fd;

	if (store_reader_inline(q->reader, &bytes)) {
		http_reply_kept(q->http, status, type,
				span_head(span_from(bytes, (size_t)from), (size_t)n));
	} else if (!n) {
		http_reply_kept(q->http, status, type, SPAN(""));
	} else if (store_reader_file(q->reader, from, n, &fd, &offset)) {
		http_reply_file(q->http, status, type, fd, offset, n);
	} else {
		q->read_at = from;
		q->read_end = from + n;
		http_reply_stream(q->http, status, type, n, &stream);
	}
}

static void marker_headers(struct s3_req *q, const struct store_object *o, bool by_version)
{
	char text[CLOCK_TEXT_MAX];

	http_reply_header(q->http, "x-amz-delete-marker", SPAN("true"));
	s3_version_send(q, "x-amz-version-id", &q->bucket, o);
	if (!by_version)
		return;
	http_reply_header(q->http, "Last-Modified", span_of(clock_http(o->mtime_ns, text)));
	http_reply_header(q->http, "Allow", SPAN("DELETE"));
}

static bool find(struct s3_req *q, struct store_object *o, bool open)
{
	struct store *s = q->s3->o.store;
	struct err e = { 0 };
	int64_t version;
	int found;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version))
		return false;
	found = open ? store_reader_open(s, q->bucket_name, q->key, version, q->mem, o, &q->reader,
					 &e)
		     : store_object_get(s, q->bucket_name, q->key, version, q->mem, o, &e);
	if (found == 0)
		return s3_object_admit(q, o);
	if (e.code == ERR_NOT_FOUND && o->delete_marker)
		marker_headers(q, o, e.sys == STORE_DELETE_MARKER);
	return s3_object_missing(q, &e);
}

void s3_object_get(struct s3_req *q)
{
	struct store_object o = { 0 };
	uint64_t from, n;
	unsigned status;

	if (!overrides_allowed(q) || !find(q, &o, true) || !choose_range(q, &o, &from, &n, &status))
		return;
	s3_meta_send(q, &o);
	if (status == 200)
		send_checksum(q, &o);
	send_body(q, status, s3_content_type(q, &o), from, n);
}

void s3_object_head(struct s3_req *q)
{
	struct store_object o = { 0 };
	uint64_t from, n;
	unsigned status;

	if (!overrides_allowed(q) || !find(q, &o, false) ||
	    !choose_range(q, &o, &from, &n, &status))
		return;
	s3_meta_send(q, &o);
	if (status == 200)
		send_checksum(q, &o);
	http_reply_length(q->http, status, s3_content_type(q, &o), n);
}

// ---- attributes ----------------------------------------------------------------------------------------

static bool listed(struct span list, const char *name)
{
	while (list.n)
		if (span_eq_nocase(span_trim(span_cut(&list, ',')), span_of(name)))
			return true;
	return false;
}

static void add_checksum(struct buf *b, const struct store_object *o)
{
	struct s3_sum_kept k = s3_sum_parse(o->checksum);

	if (k.kind == S3_SUM_NONE)
		return;
	xml_open(b, "Checksum");
	buf_printf(b, "<Checksum%s>" SPAN_FMT "</Checksum%s>", s3_sum_name(k.kind),
		   SPAN_ARG(k.value), s3_sum_name(k.kind));
	xml_add(b, "ChecksumType", k.type);
	xml_close(b, "Checksum");
}

void s3_object_attributes(struct s3_req *q)
{
	struct span wanted = s3_header(q, "x-amz-object-attributes");
	struct store_object o = { 0 };
	auto_buf struct buf b = { 0 };

	if (!wanted.n) {
		s3_failf(q, S3_INVALID_ARGUMENT,
			 "The x-amz-object-attributes header is missing or empty");
		return;
	}
	if (!find(q, &o, false))
		return;
	s3_meta_send(q, &o);
	s3_xml_begin(&b, "GetObjectAttributesResponse");
	if (listed(wanted, "ETag"))
		xml_add(&b, "ETag", span_of(o.etag));
	if (listed(wanted, "Checksum"))
		add_checksum(&b, &o);
	if (listed(wanted, "ObjectParts") && o.parts) {
		xml_open(&b, "ObjectParts");
		xml_add_u64(&b, "TotalPartsCount", o.parts);
		xml_close(&b, "ObjectParts");
	}
	if (listed(wanted, "StorageClass"))
		xml_add(&b, "StorageClass", s3_storage_class(&o));
	if (listed(wanted, "ObjectSize"))
		xml_add_u64(&b, "ObjectSize", o.size);
	s3_xml_send(q, &b, "GetObjectAttributesResponse");
}
