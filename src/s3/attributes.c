// SPDX-License-Identifier: Apache-2.0
// GetObjectAttributes.
#include "base/clock.h"
#include "s3/request.h"

enum { NAMES = 5 };
static const char *const names[NAMES] = { "ETag", "Checksum", "ObjectParts", "StorageClass",
					  "ObjectSize" };

struct wanted {
	bool etag, checksum, parts, storage_class, size;
	uint64_t max, marker; // of the parts
};

static bool number_header(struct s3_req *q, const char *name, uint64_t missing, uint64_t *out)
{
	struct span v = s3_header(q, name);

	*out = missing;
	return !v.n || span_to_u64(v, out) ||
	       s3_failf(q, S3_INVALID_ARGUMENT, "%s must be a number", name);
}

static bool take_names(struct s3_req *q, struct span list, struct wanted *w)
{
	bool *const flags[NAMES] = { &w->etag, &w->checksum, &w->parts, &w->storage_class,
				     &w->size };

	while (list.n) {
		struct span one = span_trim(span_cut(&list, ','));
		int i = 0;

		while (i < NAMES && !span_is(one, names[i]))
			i++;
		if (i == NAMES)
			return s3_failf(q, S3_INVALID_ARGUMENT,
					"Invalid attribute name specified.");
		*flags[i] = true;
	}
	return true;
}

// Some clients send one header of that name for each attribute.
static bool take_wanted(struct s3_req *q, struct wanted *w)
{
	struct span name, value;
	bool any = false;
	size_t at = 0;

	*w = (struct wanted){ 0 };
	while (http_header_next(q->http, &at, &name, &value)) {
		if (!span_eq_nocase(name, SPAN("x-amz-object-attributes")))
			continue;
		if (!take_names(q, value, w))
			return false;
		any |= value.n > 0;
	}
	if (!any)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"The x-amz-object-attributes header specifying the attributes to "
				"be retrieved is either missing or empty");
	if (!number_header(q, "x-amz-max-parts", STORE_PAGE_MAX, &w->max) ||
	    !number_header(q, "x-amz-part-number-marker", 0, &w->marker))
		return false;
	if (w->max > STORE_PAGE_MAX)
		w->max = STORE_PAGE_MAX;
	return true;
}

static void add_checksum(struct buf *b, const struct store_object *o)
{
	struct s3_sum_kept k = s3_sum_parse(o->checksum);

	if (k.kind == S3_SUM_NONE)
		return;
	xml_open(b, "Checksum");
	s3_xml_checksum(b, k.kind, k.value);
	xml_add(b, "ChecksumType", k.type);
	xml_close(b, "Checksum");
}

static bool add_parts(struct s3_req *q, struct buf *b, const struct wanted *w,
		      const struct store_object *o)
{
	struct store_part *parts;
	struct err e = { 0 };
	uint64_t shown = 0, last = 0;
	bool more = false;
	auto_buf struct buf list = { 0 };
	size_t n;

	if (store_object_parts(q->s3->o.store, o, q->mem, &parts, &n, &e) < 0)
		return s3_fail_store(q, &e);
	buf_init(&list, 1 << 20);
	for (size_t i = 0; i < n && !more; i++) {
		struct s3_sum_kept k = s3_sum_parse(parts[i].checksum);

		if (parts[i].number <= w->marker)
			continue;
		more = shown == w->max;
		if (more)
			break;
		xml_open(&list, "Part");
		xml_add_u64(&list, "PartNumber", parts[i].number);
		xml_add_u64(&list, "Size", parts[i].size);
		s3_xml_checksum(&list, k.kind, k.value);
		xml_close(&list, "Part");
		last = parts[i].number;
		shown++;
	}
	xml_open(b, "ObjectParts");
	xml_add_u64(b, "PartsCount", n); // TotalPartsCount of the clients' models
	xml_add_u64(b, "PartNumberMarker", w->marker);
	xml_add_u64(b, "NextPartNumberMarker", last);
	xml_add_u64(b, "MaxParts", w->max);
	xml_add_bool(b, "IsTruncated", more);
	buf_add_span(b, buf_span(&list));
	xml_close(b, "ObjectParts");
	return true;
}

void s3_object_attributes(struct s3_req *q)
{
	struct store_object o = { 0 };
	struct wanted w;
	char time[CLOCK_TEXT_MAX];
	auto_buf struct buf b = { 0 };

	if (!take_wanted(q, &w) ||
	    !s3_not_denied(q, s3_param(q, "versionId").n ? "s3:GetObjectVersionAttributes"
							 : "s3:GetObjectAttributes") ||
	    !s3_object_find(q, &o, false))
		return;
	http_reply_header(q->http, "Last-Modified", span_of(clock_http(o.mtime_ns, time)));
	s3_version_send(q, "x-amz-version-id", &q->bucket, &o);
	s3_xml_begin(&b, "GetObjectAttributesResponse");
	if (w.etag)
		xml_add(&b, "ETag", span_of(o.etag));
	if (w.checksum)
		add_checksum(&b, &o);
	if (w.parts && o.parts && !add_parts(q, &b, &w, &o))
		return;
	if (w.storage_class)
		xml_add(&b, "StorageClass", s3_storage_class(&o));
	if (w.size)
		xml_add_u64(&b, "ObjectSize", o.size);
	s3_xml_send(q, &b, "GetObjectAttributesResponse");
}
