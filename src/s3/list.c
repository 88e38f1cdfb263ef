// SPDX-License-Identifier: Apache-2.0
// Listing objects: versions 1 and 2 of the call, and the listing of versions.
#include "codec/text.h"
#include "codec/url.h"
#include "s3/request.h"

enum { TOKEN_MAX = 2 * STORE_KEY_MAX };

struct listing {
	struct store_list_options o;
	struct store_list page;
	bool url; // encoding-type
	uint64_t max;
};

static void add_text(struct buf *b, const struct listing *l, const char *name, struct span text)
{
	xml_open(b, name);
	if (l->url)
		url_encode(b, text, "/");
	else
		xml_escape(b, text);
	xml_close(b, name);
}

static bool take_common(struct s3_req *q, struct listing *l)
{
	*l = (struct listing){ .o = { .bucket = q->bucket_name,
				      .prefix = s3_param(q, "prefix"),
				      .delimiter = s3_param(q, "delimiter"),
				      .after = SPAN("") } };
	if (!s3_param_number(q, "max-keys", STORE_PAGE_MAX, STORE_PAGE_MAX, &l->max) ||
	    !s3_param_encoding(q, &l->url))
		return false;
	l->o.limit = (size_t)l->max;
	if (l->o.prefix.n > STORE_KEY_MAX || l->o.delimiter.n > STORE_KEY_MAX)
		return s3_fail(q, S3_KEY_TOO_LONG);
	return true;
}

// A page of zero keys is empty and complete, whatever there is.
static bool read_page(struct s3_req *q, struct listing *l)
{
	struct err e = { 0 };

	if (!l->max)
		return true;
	if (store_list(q->s3->o.store, &l->o, q->mem, &l->page, &e) < 0)
		return s3_fail_store(q, &e);
	return true;
}

static void add_checksum(struct buf *b, const struct store_object *o)
{
	struct s3_sum_kept k = s3_sum_parse(o->checksum);

	if (k.kind == S3_SUM_NONE)
		return;
	xml_add(b, "ChecksumAlgorithm", span_of(s3_sum_name(k.kind)));
	xml_add(b, "ChecksumType", k.type);
}

static void add_object(struct s3_req *q, struct buf *b, const struct listing *l,
		       const struct store_object *o, bool owner)
{
	xml_open(b, "Contents");
	add_text(b, l, "Key", o->key);
	s3_xml_time(b, "LastModified", o->mtime_ns);
	s3_xml_etag(b, o->etag);
	add_checksum(b, o);
	xml_add_u64(b, "Size", o->size);
	if (owner)
		s3_xml_owner(q, b, "Owner", o->owner);
	xml_add(b, "StorageClass", s3_storage_class(o));
	xml_close(b, "Contents");
}

static void add_entries(struct s3_req *q, struct buf *b, const struct listing *l, bool owner)
{
	for (size_t i = 0; i < l->page.n; i++)
		if (!l->page.entries[i].is_prefix)
			add_object(q, b, l, &l->page.entries[i].object, owner);
}

static void add_prefixes(struct buf *b, const struct listing *l)
{
	for (size_t i = 0; i < l->page.n; i++)
		if (l->page.entries[i].is_prefix) {
			xml_open(b, "CommonPrefixes");
			add_text(b, l, "Prefix", l->page.entries[i].object.key);
			xml_close(b, "CommonPrefixes");
		}
}

static void add_common(struct buf *b, const struct listing *l)
{
	add_text(b, l, "Prefix", l->o.prefix);
	if (l->o.delimiter.n)
		add_text(b, l, "Delimiter", l->o.delimiter);
	xml_add_u64(b, "MaxKeys", l->max);
	if (l->url)
		xml_add(b, "EncodingType", SPAN("url"));
	xml_add_bool(b, "IsTruncated", l->page.truncated);
}

void s3_list_v1(struct s3_req *q)
{
	struct listing l;
	auto_buf struct buf b = { 0 };

	if (!take_common(q, &l))
		return;
	l.o.after = s3_param(q, "marker");
	if (!read_page(q, &l))
		return;
	s3_xml_begin(&b, "ListBucketResult");
	xml_add(&b, "Name", q->bucket_name);
	add_text(&b, &l, "Marker", l.o.after);
	if (l.page.truncated)
		add_text(&b, &l, "NextMarker", l.page.next);
	add_common(&b, &l);
	add_entries(q, &b, &l, true);
	add_prefixes(&b, &l);
	s3_xml_send(q, &b, "ListBucketResult");
}

// A token is the place to go on from, in base64 so that clients do not try to read it.
static bool take_token(struct s3_req *q, struct span token, struct span *after)
{
	char *place;
	ptrdiff_t n;

	if (token.n > TOKEN_MAX)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"The continuation token provided is incorrect");
	place = arena_alloc(q->mem, token.n + 1);
	n = text_unbase64(place, token.n, token);
	if (n < 0)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"The continuation token provided is incorrect");
	*after = span_make(place, (size_t)n);
	return true;
}

void s3_list_v2(struct s3_req *q)
{
	struct span token = { 0 }, start = s3_param(q, "start-after");
	struct listing l;
	auto_buf struct buf b = { 0 };

	if (!span_is(s3_param(q, "list-type"), "2")) {
		s3_failf(q, S3_INVALID_ARGUMENT, "list-type must be 2");
		return;
	}
	if (!take_common(q, &l))
		return;
	l.o.after = start;
	if (http_query(q->http, "continuation-token", &token) && token.n &&
	    !take_token(q, token, &l.o.after))
		return;
	if (!read_page(q, &l))
		return;
	s3_xml_begin(&b, "ListBucketResult");
	xml_add(&b, "Name", q->bucket_name);
	add_common(&b, &l);
	xml_add_u64(&b, "KeyCount", l.page.n);
	if (start.n)
		add_text(&b, &l, "StartAfter", start);
	if (token.p)
		xml_add(&b, "ContinuationToken", token);
	if (l.page.truncated) {
		char *text = arena_alloc(q->mem, TEXT_BASE64_SIZE(l.page.next.n));

		xml_add(&b, "NextContinuationToken",
			span_of(text_base64(text, l.page.next.p, l.page.next.n)));
	}
	add_entries(q, &b, &l, span_is(s3_param(q, "fetch-owner"), "true"));
	add_prefixes(&b, &l);
	s3_xml_send(q, &b, "ListBucketResult");
}

// ---- versions ------------------------------------------------------------------------------------------

static void add_version(struct s3_req *q, struct buf *b, const struct listing *l,
			const struct store_object *o)
{
	const char *kind = o->delete_marker ? "DeleteMarker" : "Version";
	char id[32];

	s3_version_text(o, id);
	xml_open(b, kind);
	add_text(b, l, "Key", o->key);
	xml_add(b, "VersionId", span_of(id));
	xml_add_bool(b, "IsLatest", o->latest);
	s3_xml_time(b, "LastModified", o->mtime_ns);
	if (!o->delete_marker) {
		s3_xml_etag(b, o->etag);
		add_checksum(b, o);
		xml_add_u64(b, "Size", o->size);
		xml_add(b, "StorageClass", s3_storage_class(o));
	}
	s3_xml_owner(q, b, "Owner", o->owner);
	xml_close(b, kind);
}

static void add_next_version(struct buf *b, const struct listing *l)
{
	const struct store_list_entry *last;
	char id[32];

	if (!l->page.truncated)
		return;
	last = &l->page.entries[l->page.n - 1];
	add_text(b, l, "NextKeyMarker", l->page.next);
	if (!last->is_prefix) {
		s3_version_text(&last->object, id);
		xml_add(b, "NextVersionIdMarker", span_of(id));
	}
}

void s3_list_versions(struct s3_req *q)
{
	struct span id = s3_param(q, "version-id-marker");
	struct listing l;
	auto_buf struct buf b = { 0 };

	if (!take_common(q, &l))
		return;
	l.o.versions = true;
	l.o.after = s3_param(q, "key-marker");
	if (id.n && !l.o.after.n) {
		s3_failf(q, S3_INVALID_ARGUMENT,
			 "A version-id marker cannot be specified without a key marker.");
		return;
	}
	if (!s3_param_version(q, id, &l.o.after_version) || !read_page(q, &l))
		return;
	s3_xml_begin(&b, "ListVersionsResult");
	xml_add(&b, "Name", q->bucket_name);
	add_text(&b, &l, "KeyMarker", l.o.after);
	xml_add(&b, "VersionIdMarker", id);
	add_next_version(&b, &l);
	add_common(&b, &l);
	for (size_t i = 0; i < l.page.n; i++)
		if (!l.page.entries[i].is_prefix)
			add_version(q, &b, &l, &l.page.entries[i].object);
	add_prefixes(&b, &l);
	s3_xml_send(q, &b, "ListVersionsResult");
}
