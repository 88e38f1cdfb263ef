// SPDX-License-Identifier: Apache-2.0
// Multipart uploads: begin, complete, abort.
#include "base/clock.h"
#include "base/mem.h"
#include "s3/request.h"

enum { ETAG_SHOWN = 64 };

// Which checksum the whole will have: "CRC32::COMPOSITE", as objects keep it but without a value.
static bool take_algorithm(struct s3_req *q, struct span *out)
{
	struct span name = s3_header(q, "x-amz-checksum-algorithm");
	struct span type = s3_header(q, "x-amz-checksum-type");
	enum s3_sum_kind kind = s3_sum_named(name);
	bool full = span_is(type, "FULL_OBJECT");

	*out = SPAN("");
	if (name.n && kind == S3_SUM_NONE)
		return s3_failf(q, S3_INVALID_REQUEST,
				"Checksum algorithm provided is unsupported. "
				"Please try again with any of the valid types: "
				"[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
	if (type.n && !full && !span_is(type, "COMPOSITE"))
		return s3_failf(q, S3_INVALID_REQUEST,
				"Value for x-amz-checksum-type header is "
				"invalid.");
	if (kind == S3_SUM_NONE)
		return !type.n ||
		       s3_failf(q, S3_INVALID_REQUEST,
				"The x-amz-checksum-type header can only be used with the "
				"x-amz-checksum-algorithm header.");
	if ((full && (kind == S3_SUM_SHA1 || kind == S3_SUM_SHA256)) ||
	    (type.n && !full && kind == S3_SUM_CRC64NVME))
		return s3_failf(q, S3_INVALID_REQUEST,
				"The " SPAN_FMT
				" checksum type cannot be used with the %s checksum "
				"algorithm.",
				SPAN_ARG(type), s3_sum_name(kind));
	*out = span_of(
		arena_printf(q->mem, "%s::%s", s3_sum_name(kind),
			     full || kind == S3_SUM_CRC64NVME ? "FULL_OBJECT" : "COMPOSITE"));
	return true;
}

void s3_upload_create(struct s3_req *q)
{
	struct store_put_options o;
	char id[STORE_UPLOAD_ID_MAX];
	struct s3_sum_kept k;
	struct span checksum;
	struct err e = { 0 };
	auto_buf struct buf b = { 0 };

	s3_put_options(q, NULL, &o);
	if (!s3_headers_supported(q) || !s3_acl_of_write(q, &o) || !s3_meta_take(q, &o.meta) ||
	    !s3_tags_take(q, s3_header(q, "x-amz-tagging"), &o.tags) || !s3_lock_take(q, &o.lock) ||
	    !s3_storage_class_take(q, &o.storage_class) || !take_algorithm(q, &checksum))
		return;
	if (store_upload_create(q->s3->o.store, &o, checksum, id, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_abort_date_send(q, clock_wall_ns());
	k = s3_sum_parse(checksum);
	if (k.kind != S3_SUM_NONE) {
		http_reply_header(q->http, "x-amz-checksum-algorithm",
				  span_of(s3_sum_name(k.kind)));
		http_reply_header(q->http, "x-amz-checksum-type", k.type);
	}
	s3_xml_begin(&b, "InitiateMultipartUploadResult");
	xml_add(&b, "Bucket", q->bucket_name);
	xml_add(&b, "Key", q->key);
	xml_add(&b, "UploadId", span_of(id));
	s3_xml_send(q, &b, "InitiateMultipartUploadResult");
}

void s3_upload_abort(struct s3_req *q)
{
	struct err e = { 0 };

	if (!s3_condition_absent(q, "x-amz-if-match-initiated-time"))
		return;
	if (store_upload_abort(q->s3->o.store, q->bucket_name, q->key, s3_param(q, "uploadId"),
			       &e) < 0)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 204);
}

// ---- completing ----------------------------------------------------------------------------------------

struct completion {
	struct store_complete_part *parts;
	struct span *sums; // per part, from the XML, p == NULL without
	size_t n;
	struct s3_sum_kept sum; // of the upload: kind and type
	char text[S3_SUM_TEXT]; // of the whole
};

static struct span unquoted(struct span s)
{
	s = span_trim(s);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return span_make(s.p + 1, s.n - 2);
	return s;
}

static bool take_parts(struct s3_req *q, struct completion *c)
{
	struct xml_node *root = NULL, *p;
	char name[32];
	size_t n = 0;

	if (!s3_body_xml(q, "CompleteMultipartUpload", &root))
		return false;
	for (p = xml_child(root, "Part"); p; p = xml_again(p))
		n++;
	if (!n || n > STORE_PART_MAX)
		return s3_fail(q, S3_MALFORMED_XML);
	c->parts = arena_alloc(q->mem, n * sizeof(*c->parts));
	c->sums = arena_alloc(q->mem, n * sizeof(*c->sums));
	snprintf(name, sizeof(name), "Checksum%s", s3_sum_name(c->sum.kind));
	for (p = xml_child(root, "Part"); p; p = xml_again(p)) {
		struct span etag = xml_text(p, "ETag");
		uint64_t number;

		if (!etag.p || !span_to_u64(span_trim(xml_text(p, "PartNumber")), &number))
			return s3_fail(q, S3_MALFORMED_XML);
		if (number < 1 || number > STORE_PART_MAX)
			return s3_failf(q, S3_INVALID_ARGUMENT,
					"PartNumber must be between 1 and %d", STORE_PART_MAX);
		if (c->n && number <= c->parts[c->n - 1].number)
			return s3_fail(q, S3_INVALID_PART_ORDER);
		c->parts[c->n].number = (unsigned)number;
		c->parts[c->n].etag = unquoted(etag);
		c->sums[c->n++] = xml_text(p, name);
	}
	return true;
}

// The kept sums of the chosen parts. False (answered) when the client's list says otherwise; *have tells
// whether every part has one.
static bool collect_sums(struct s3_req *q, struct completion *c, struct s3_sum_part *sums,
			 bool *have)
{
	struct store_part *page;
	unsigned after = 0;
	size_t n, at = 0;
	bool more = true;
	struct err e = { 0 };

	*have = true;
	while (more && at < c->n) {
		if (store_part_list(q->s3->o.store, q->bucket_name, q->key, s3_param(q, "uploadId"),
				    after, STORE_PAGE_MAX, q->mem, &page, &n, &more, &e) < 0)
			return s3_fail_store(q, &e);
		for (size_t i = 0; i < n && at < c->n; i++) {
			struct s3_sum_kept k;

			after = page[i].number;
			if (page[i].number != c->parts[at].number)
				continue;
			k = s3_sum_parse(page[i].checksum);
			if (c->sums[at].p && !span_eq(c->sums[at], k.value))
				return s3_fail(q, S3_INVALID_PART);
			*have = *have && k.kind == c->sum.kind;
			sums[at++] = (struct s3_sum_part){ k.value, page[i].size };
		}
	}
	*have = *have && at == c->n; // what is missing the store will name
	return true;
}

// The checksum of the whole from those of its parts, compared with the one the client may send.
static bool whole_sum(struct s3_req *q, struct completion *c)
{
	struct s3_sum_part *sums = arena_alloc(q->mem, c->n * sizeof(*sums));
	struct span wanted;
	bool have;

	c->text[0] = 0;
	if (c->sum.kind == S3_SUM_NONE)
		return true;
	if (!collect_sums(q, c, sums, &have))
		return false;
	if (have &&
	    !(span_is(c->sum.type, "COMPOSITE") ? s3_sum_composite(c->sum.kind, sums, c->n, c->text)
						: s3_sum_full(c->sum.kind, sums, c->n, c->text)))
		c->text[0] = 0;
	wanted = http_header(q->http, s3_sum_header(c->sum.kind));
	if (wanted.p && c->text[0] && !span_is(wanted, c->text) &&
	    !(span_is(c->sum.type, "COMPOSITE") &&
	      span_eq(wanted, span_cut(&(struct span){ c->text, strlen(c->text) }, '-'))))
		return s3_fail(q, S3_BAD_DIGEST);
	return true;
}

// The type that the client says must be the upload's.
static bool check_type(struct s3_req *q, const struct completion *c)
{
	struct span type = s3_header(q, "x-amz-checksum-type");

	return !type.n || c->sum.kind == S3_SUM_NONE || span_eq(type, c->sum.type) ||
	       s3_failf(q, S3_INVALID_REQUEST,
			"The upload was created using the " SPAN_FMT
			" checksum mode. The complete request must use the same checksum mode.",
			SPAN_ARG(c->sum.type));
}

// Digests cannot be told from each other's parts, so S3 wants them repeated. CRCs are sent unasked by clients
// that do not know about them.
static bool check_sums_given(struct s3_req *q, const struct completion *c)
{
	if (c->sum.kind != S3_SUM_SHA1 && c->sum.kind != S3_SUM_SHA256)
		return true;
	for (size_t i = 0; i < c->n; i++)
		if (!c->sums[i].p)
			return s3_failf(q, S3_INVALID_REQUEST,
					"The upload was created using a %s checksum. The complete "
					"request must include the checksum for each part. It was "
					"missing for part %u in the request.",
					s3_sum_name(c->sum.kind), c->parts[i].number);
	return true;
}

// x-amz-mp-object-size: what the client has sent in all.
static bool check_size(struct s3_req *q, const struct completion *c)
{
	struct span text = s3_header(q, "x-amz-mp-object-size");
	uint64_t wanted, sum = 0;
	struct store_part *page;
	struct err e = { 0 };
	size_t n, at = 0;
	unsigned after = 0;
	bool more = true;

	if (!text.n)
		return true;
	if (!span_to_u64(text, &wanted))
		return s3_failf(q, S3_INVALID_REQUEST,
				"Value for x-amz-mp-object-size header is invalid.");
	while (more) {
		if (store_part_list(q->s3->o.store, q->bucket_name, q->key, s3_param(q, "uploadId"),
				    after, STORE_PAGE_MAX, q->mem, &page, &n, &more, &e) < 0)
			return s3_fail_store(q, &e);
		for (size_t i = 0; i < n; i++) {
			after = page[i].number;
			if (at == c->n || page[i].number != c->parts[at].number)
				continue;
			sum += page[i].size;
			at++;
		}
	}
	return at < c->n || sum == wanted ||
	       s3_failf(q, S3_INVALID_REQUEST,
			"The provided 'x-amz-mp-object-size' header value %llu does not match what "
			"was computed: %llu",
			(unsigned long long)wanted, (unsigned long long)sum);
}

static void answer(struct s3_req *q, const struct store_object *o)
{
	struct s3_sum_kept k = s3_sum_parse(o->checksum);
	struct span host = s3_header(q, "Host");
	auto_buf struct buf b = { 0 };

	s3_version_made(q, o);
	s3_expiration_send(q, o);
	s3_xml_begin(&b, "CompleteMultipartUploadResult");
	xml_add(&b, "Location",
		span_of(arena_printf(q->mem, "%s://" SPAN_FMT SPAN_FMT,
				     http_is_tls(q->http) ? "https" : "http", SPAN_ARG(host),
				     SPAN_ARG(http_path_raw(q->http)))));
	xml_add(&b, "Bucket", q->bucket_name);
	xml_add(&b, "Key", q->key);
	s3_xml_etag(&b, o->etag);
	s3_xml_checksum(&b, k.kind, k.value);
	if (k.kind != S3_SUM_NONE)
		xml_add(&b, "ChecksumType", k.type);
	s3_xml_send(q, &b, "CompleteMultipartUploadResult");
}

void s3_upload_complete(struct s3_req *q)
{
	struct store *s = q->s3->o.store;
	struct span upload = s3_param(q, "uploadId"), checksum = SPAN("");
	struct completion c = { 0 };
	struct store_put_options o;
	struct store_object made;
	struct err e = { 0 };
	bool live;

	s3_put_options(q, "s3:ObjectCreated:CompleteMultipartUpload", &o);
	// An upload that is gone may have been completed before: the store remembers.
	live = store_upload_get(s, q->bucket_name, q->key, upload, q->mem, &q->upload, &e) == 0;
	if (!live && e.sys != STORE_NO_UPLOAD) {
		s3_fail_store(q, &e);
		return;
	}
	c.sum = s3_sum_parse(q->upload.checksum);
	if (!s3_write_conditions(q, &o.only_if) || !take_parts(q, &c))
		return;
	if (live && (!check_type(q, &c) || !check_sums_given(q, &c) || !check_size(q, &c) ||
		     !whole_sum(q, &c)))
		return;
	if (c.text[0])
		checksum = span_of(arena_printf(q->mem, "%s:%s:" SPAN_FMT, s3_sum_name(c.sum.kind),
						c.text, SPAN_ARG(c.sum.type)));
	if (store_upload_complete(s, &o, upload, c.parts, c.n, checksum, q->mem, &made, &e) < 0)
		s3_fail_store(q, &e);
	else
		answer(q, &made);
}
