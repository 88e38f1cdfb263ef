// SPDX-License-Identifier: Apache-2.0
// Reading objects.
#include "base/clock.h"
#include "codec/range.h"
#include "s3/request.h"

// ---- reading -------------------------------------------------------------------------------------------

struct chosen {
	uint64_t from, n;
	unsigned status;
	struct span checksum; // of just that, "" = none
};

static void send_checksum(struct s3_req *q, struct span checksum)
{
	struct s3_sum_kept k = s3_sum_parse(checksum);

	if (!span_eq_nocase(s3_header(q, "x-amz-checksum-mode"), SPAN("ENABLED")) ||
	    k.kind == S3_SUM_NONE)
		return;
	http_reply_header(q->http, s3_sum_header(k.kind), k.value);
	if (k.type.n)
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

// partNumber: the range of that part, and its own checksum. A plain object is its own part 1.
static bool choose_part(struct s3_req *q, const struct store_object *o, struct chosen *c)
{
	struct store_part *parts;
	struct err e = { 0 };
	uint64_t number, at = 0;
	size_t n;

	if (!s3_param_number(q, "partNumber", 0, UINT64_MAX, &number))
		return false;
	if (http_header(q->http, "Range").p)
		return s3_failf(q, S3_INVALID_REQUEST,
				"Cannot specify both Range header and partNumber query parameter");
	if (!number || number > STORE_PART_MAX)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Part number must be an integer between 1 and %d, inclusive",
				STORE_PART_MAX);
	if (!o->parts)
		return number == 1 || s3_fail(q, S3_INVALID_PART);
	if (store_object_parts(q->s3->o.store, o, q->mem, &parts, &n, &e) < 0)
		return s3_fail_store(q, &e);
	for (size_t i = 0; i < n; at += parts[i++].size)
		if (parts[i].number == number) {
			c->from = at;
			c->n = parts[i].size;
			c->checksum = parts[i].checksum;
			http_reply_headerf(q->http, "x-amz-mp-parts-count", "%u", o->parts);
			return true;
		}
	return s3_fail(q, S3_INVALID_PART);
}

// What of the object is asked for; false when answered.
static bool choose(struct s3_req *q, const struct store_object *o, struct chosen *c)
{
	enum s3_code condition = s3_conditions(q, "", o);
	bool part = s3_param(q, "partNumber").n > 0;

	*c = (struct chosen){ .n = o->size, .status = 200, .checksum = o->checksum };
	if (condition == S3_NOT_MODIFIED)
		s3_meta_send(q, o);
	if (condition != S3_OK)
		return s3_fail(q, condition);
	if (part && !choose_part(q, o, c))
		return false;
	switch (part ? RANGE_PART : range_parse(range_header(q, o), o->size, &c->from, &c->n)) {
	case RANGE_NOT:
		http_reply_headerf(q->http, "Content-Range", "bytes */%llu",
				   (unsigned long long)o->size);
		return s3_fail(q, S3_INVALID_RANGE);
	case RANGE_PART:
		c->status = 206;
		if (!part)
			c->checksum = SPAN("");
		break;
	case RANGE_WHOLE:
		break;
	}
	if (c->status == 206 && c->n)
		http_reply_headerf(q->http, "Content-Range", "bytes %llu-%llu/%llu",
				   (unsigned long long)c->from,
				   (unsigned long long)(c->from + c->n - 1),
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
	struct err e = { 0 };
	uint64_t offset;
	char first;
	int fd;

	if (store_reader_inline(q->reader, &bytes)) {
		http_reply_kept(q->http, status, type,
				span_head(span_from(bytes, (size_t)from), (size_t)n));
	} else if (!n) {
		http_reply_kept(q->http, status, type, SPAN(""));
	} else if (store_reader_file(q->reader, from, n, &fd, &offset)) {
		http_reply_file(q->http, status, type, fd, offset, n);
	} else {
		// What is found damaged at once is an error; later the connection breaks.
		if (store_reader_pread(q->reader, from, &first, 1, &e) < 0) {
			s3_fail_store(q, &e);
			return;
		}
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

bool s3_object_find(struct s3_req *q, struct store_object *o, bool open)
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
	struct chosen c;

	if (!overrides_allowed(q) || !s3_object_find(q, &o, true) || !choose(q, &o, &c))
		return;
	s3_meta_send(q, &o);
	send_checksum(q, c.checksum);
	send_body(q, c.status, s3_content_type(q, &o), c.from, c.n);
	s3_accessed(q, &o, false);
}

void s3_object_head(struct s3_req *q)
{
	struct store_object o = { 0 };
	struct chosen c;

	if (!overrides_allowed(q) || !s3_object_find(q, &o, false) || !choose(q, &o, &c))
		return;
	s3_meta_send(q, &o);
	send_checksum(q, c.checksum);
	http_reply_length(q->http, c.status, s3_content_type(q, &o), c.n);
	s3_accessed(q, &o, true);
}
