// SPDX-License-Identifier: Apache-2.0
// Listing the parts of an upload, and the uploads of a bucket.
#include "codec/url.h"
#include "s3/request.h"

static struct span class_of(const struct store_upload *up)
{
	return up->storage_class.n ? up->storage_class : SPAN("STANDARD");
}

static void add_part(struct buf *b, const struct store_part *p)
{
	struct s3_sum_kept k = s3_sum_parse(p->checksum);

	xml_open(b, "Part");
	xml_add_u64(b, "PartNumber", p->number);
	s3_xml_time(b, "LastModified", p->mtime_ns);
	s3_xml_etag(b, p->etag);
	xml_add_u64(b, "Size", p->size);
	s3_xml_checksum(b, k.kind, k.value);
	xml_close(b, "Part");
}

void s3_upload_parts(struct s3_req *q)
{
	struct store *s = q->s3->o.store;
	struct span id = s3_param(q, "uploadId");
	struct store_upload up;
	struct store_part *parts;
	struct s3_sum_kept k;
	struct err e = { 0 };
	uint64_t max, after;
	bool truncated, url;
	size_t n;
	auto_buf struct buf b = { 0 };

	if (!s3_param_number(q, "max-parts", STORE_PAGE_MAX, STORE_PAGE_MAX, &max) ||
	    !s3_param_number(q, "part-number-marker", 0, STORE_PART_MAX, &after) ||
	    !s3_param_encoding(q, &url))
		return;
	if (store_upload_get(s, q->bucket_name, q->key, id, q->mem, &up, &e) < 0 ||
	    store_part_list(s, q->bucket_name, q->key, id, (unsigned)after, (size_t)max, q->mem,
			    &parts, &n, &truncated, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_abort_date_send(q, up.created_ns);
	s3_xml_begin(&b, "ListPartsResult");
	xml_add(&b, "Bucket", q->bucket_name);
	xml_add(&b, "Key", url ? url_encode_arena(q->mem, q->key, "/") : q->key);
	xml_add(&b, "UploadId", id);
	s3_xml_owner(q, &b, "Initiator", up.owner);
	s3_xml_owner(q, &b, "Owner", up.owner);
	xml_add(&b, "StorageClass", class_of(&up));
	k = s3_sum_parse(up.checksum);
	if (k.kind != S3_SUM_NONE) {
		xml_add(&b, "ChecksumAlgorithm", span_of(s3_sum_name(k.kind)));
		xml_add(&b, "ChecksumType", k.type);
	}
	xml_add_u64(&b, "PartNumberMarker", after);
	xml_add_u64(&b, "NextPartNumberMarker", n ? parts[n - 1].number : after);
	xml_add_u64(&b, "MaxParts", max);
	xml_add_bool(&b, "IsTruncated", truncated);
	for (size_t i = 0; i < n; i++)
		add_part(&b, &parts[i]);
	s3_xml_send(q, &b, "ListPartsResult");
}

// ---- uploads -------------------------------------------------------------------------------------------

struct uploads {
	struct span prefix, delimiter, key_marker, id_marker;
	struct span next_key, next_id; // the last one shown
	uint64_t max, shown;
	bool url, truncated;
	struct span group; // the common prefix shown last
};

static void add_text(struct s3_req *q, struct buf *b, const struct uploads *u, const char *name,
		     struct span text)
{
	xml_add(b, name, u->url ? url_encode_arena(q->mem, text, "/") : text);
}

// The common prefix that this key falls under, or the empty span.
static struct span group_of(const struct uploads *u, struct span key)
{
	struct span rest = span_from(key, u->prefix.n);

	for (size_t i = 0; u->delimiter.n && i < rest.n; i++)
		if (span_starts(span_from(rest, i), u->delimiter))
			return span_head(key, u->prefix.n + i + u->delimiter.n);
	return SPAN("");
}

static void add_upload(struct s3_req *q, struct buf *b, const struct uploads *u,
		       const struct store_upload *up)
{
	struct s3_sum_kept k = s3_sum_parse(up->checksum);

	xml_open(b, "Upload");
	add_text(q, b, u, "Key", up->key);
	xml_add(b, "UploadId", span_of(up->id));
	s3_xml_owner(q, b, "Initiator", up->owner);
	s3_xml_owner(q, b, "Owner", up->owner);
	xml_add(b, "StorageClass", class_of(up));
	s3_xml_time(b, "Initiated", up->created_ns);
	if (k.kind != S3_SUM_NONE) {
		xml_add(b, "ChecksumAlgorithm", span_of(s3_sum_name(k.kind)));
		xml_add(b, "ChecksumType", k.type);
	}
	xml_close(b, "Upload");
}

// Shows one upload or its group; false when the page is full.
static bool show(struct s3_req *q, struct uploads *u, const struct store_upload *up,
		 struct buf *uploads, struct buf *groups)
{
	struct span group = group_of(u, up->key);

	if (group.n && (span_eq(group, u->group) || span_starts(u->key_marker, group)))
		return true; // shown on this page or on one before
	if (u->shown == u->max) {
		u->truncated = true;
		return false;
	}
	u->shown++;
	u->next_key = group.n ? group : up->key;
	u->next_id = group.n ? SPAN("") : span_of(up->id);
	if (group.n) {
		u->group = group;
		xml_open(groups, "CommonPrefixes");
		add_text(q, groups, u, "Prefix", group);
		xml_close(groups, "CommonPrefixes");
	} else {
		add_upload(q, uploads, u, up);
	}
	return true;
}

static bool walk(struct s3_req *q, struct uploads *u, struct buf *uploads, struct buf *groups)
{
	struct span key = u->key_marker, id = u->id_marker;
	struct err e = { 0 };
	bool more = u->max > 0;

	while (more) {
		struct store_upload *page;
		size_t n;

		if (store_upload_list(q->s3->o.store, q->bucket_name, u->prefix, key, id,
				      STORE_PAGE_MAX, q->mem, &page, &n, &more, &e) < 0)
			return s3_fail_store(q, &e);
		for (size_t i = 0; i < n; i++)
			if (!show(q, u, &page[i], uploads, groups))
				return true;
		if (!n)
			break;
		key = page[n - 1].key;
		id = span_of(page[n - 1].id);
	}
	return true;
}

void s3_upload_list(struct s3_req *q)
{
	struct uploads u = { .prefix = s3_param(q, "prefix"),
			     .delimiter = s3_param(q, "delimiter"),
			     .key_marker = s3_param(q, "key-marker"),
			     .id_marker = s3_param(q, "upload-id-marker"),
			     .next_key = SPAN(""),
			     .next_id = SPAN(""),
			     .group = SPAN("") };
	auto_buf struct buf b = { 0 };
	auto_buf struct buf uploads = { 0 };
	auto_buf struct buf groups = { 0 };

	buf_init(&uploads, 16 << 20);
	buf_init(&groups, 16 << 20);
	if (!s3_param_number(q, "max-uploads", STORE_PAGE_MAX, STORE_PAGE_MAX, &u.max) ||
	    !s3_param_encoding(q, &u.url))
		return;
	if (!u.key_marker.n)
		u.id_marker = SPAN("");
	if (!walk(q, &u, &uploads, &groups))
		return;
	s3_xml_begin(&b, "ListMultipartUploadsResult");
	xml_add(&b, "Bucket", q->bucket_name);
	add_text(q, &b, &u, "KeyMarker", u.key_marker);
	xml_add(&b, "UploadIdMarker", u.id_marker);
	add_text(q, &b, &u, "NextKeyMarker", u.truncated ? u.next_key : SPAN(""));
	xml_add(&b, "NextUploadIdMarker", u.truncated ? u.next_id : SPAN(""));
	add_text(q, &b, &u, "Prefix", u.prefix);
	if (u.delimiter.n)
		add_text(q, &b, &u, "Delimiter", u.delimiter);
	xml_add_u64(&b, "MaxUploads", u.max);
	if (u.url)
		xml_add(&b, "EncodingType", SPAN("url"));
	xml_add_bool(&b, "IsTruncated", u.truncated);
	buf_add_span(&b, buf_span(&uploads));
	buf_add_span(&b, buf_span(&groups));
	s3_xml_send(q, &b, "ListMultipartUploadsResult");
}
