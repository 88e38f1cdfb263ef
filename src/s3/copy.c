// SPDX-License-Identifier: Apache-2.0
// CopyObject, and the source that it shares with UploadPartCopy.
#include "codec/url.h"
#include "s3/request.h"

// "/bucket/key?versionId=…", with or without the first slash, percent-encoded. What stands behind a question
// mark is a version only when it says so: keys may hold one.
static bool parse_source(struct s3_req *q, struct s3_source *out)
{
	struct span text = s3_header(q, "x-amz-copy-source"), version = SPAN("");
	static const char mark[] = "?versionId=";

	for (size_t i = 0; i < text.n; i++)
		if (span_starts(span_from(text, i), SPAN("?versionId="))) {
			version = span_from(text, i + sizeof(mark) - 1);
			text = span_head(text, i);
		}
	text = url_decode(q->mem, text, URL_PLUS_KEEP);
	if (text.n && text.p[0] == '/')
		text = span_from(text, 1);
	out->bucket = span_cut(&text, '/');
	out->key = text;
	if (!out->bucket.n || !out->key.n)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Copy Source must mention the source bucket "
				"and key: sourcebucket/sourcekey");
	return s3_param_version(q, version, &out->version);
}

bool s3_copy_source(struct s3_req *q, struct s3_source *out)
{
	struct store *s = q->s3->o.store;
	struct err e = { 0 };
	enum s3_code code;

	if (!parse_source(q, out))
		return false;
	if (store_bucket_get(s, out->bucket, &out->of, &e) < 0)
		return s3_fail_store(q, &e);
	if (store_object_get(s, out->bucket, out->key, out->version, q->mem, &out->object, &e) < 0)
		return e.sys == STORE_DELETE_MARKER
			       ? s3_failf(q, S3_INVALID_REQUEST,
					  "The source of a copy request may not specifically refer "
					  "to a delete marker by version id.")
			       : s3_source_missing(q, &out->of, &e);
	if (!s3_source_admit(q, &out->of, &out->object))
		return false;
	code = s3_conditions(q, "x-amz-copy-source-", &out->object);
	return code == S3_OK || s3_fail(q, code);
}

// COPY or REPLACE; COPY when nothing is said.
static bool directive(struct s3_req *q, const char *name, bool *replace)
{
	struct span v = s3_header(q, name);

	*replace = span_is(v, "REPLACE");
	return !v.n || *replace || span_is(v, "COPY") ||
	       s3_failf(q, S3_INVALID_ARGUMENT, "Unknown %s", name);
}

void s3_object_copy(struct s3_req *q)
{
	struct store_put_options o;
	struct s3_source src;
	struct store_object made;
	struct err e = { 0 };
	bool meta, tags;
	auto_buf struct buf b = { 0 };

	s3_put_options(q, "s3:ObjectCreated:Copy", &o);
	if (!s3_headers_supported(q) || !directive(q, "x-amz-metadata-directive", &meta) ||
	    !directive(q, "x-amz-tagging-directive", &tags) || !s3_copy_source(q, &src) ||
	    !s3_write_conditions(q, &o.only_if) || !s3_acl_of_write(q, &o) ||
	    !s3_lock_take(q, &o.lock) || !s3_storage_class_take(q, &o.storage_class))
		return;
	if (!meta && !tags && !http_header(q->http, "x-amz-storage-class").p &&
	    span_eq(src.bucket, q->bucket_name) && span_eq(src.key, q->key) && !src.version) {
		s3_failf(q, S3_INVALID_REQUEST,
			 "This copy request is illegal because it is trying to copy an object to "
			 "itself without changing the object's metadata, storage class, website "
			 "redirect location or encryption attributes.");
		return;
	}
	if ((meta && !s3_meta_take(q, &o.meta)) ||
	    (tags && !s3_tags_take(q, s3_header(q, "x-amz-tagging"), &o.tags)))
		return;
	if (store_copy(q->s3->o.store, src.bucket, src.key, src.object.version, &o, meta, tags,
		       q->mem, &made, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_version_send(q, "x-amz-copy-source-version-id", &src.of, &src.object);
	s3_version_made(q, &made);
	s3_expiration_send(q, &made);
	s3_xml_begin(&b, "CopyObjectResult");
	s3_xml_time(&b, "LastModified", made.mtime_ns);
	s3_xml_etag(&b, made.etag);
	s3_xml_send(q, &b, "CopyObjectResult");
}
