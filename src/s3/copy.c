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
	if (store_bucket_look(s, out->bucket, &out->of, &e) < 0)
		return s3_fail_store(q, &e);
	if (store_object_get(s, out->bucket, out->key, out->version, q->mem, &out->object, &e) < 0)
		return e.sys == STORE_DELETE_MARKER
			       ? s3_failf(q, S3_INVALID_REQUEST,
					  "The source of a copy request may not specifically refer "
					  "to a delete marker by version id.")
			       : s3_source_missing(q, &out->of, &e);
	if (!s3_source_admit(q, &out->of, &out->object, out->version != STORE_VERSION_LATEST))
		return false;
	code = s3_conditions(q, "x-amz-copy-source-", &out->object);
	return code == S3_OK || s3_fail(q, code);
}

// ---- checksums -----------------------------------------------------------------------------------------

static void hear(void *owner, struct span piece)
{
	struct s3_copy_sum *c = owner;

	s3_sum_update(&c->sum, piece);
}

static struct span kept(void *owner)
{
	struct s3_copy_sum *c = owner;
	char text[S3_SUM_TEXT];

	if (!c->kept.n) {
		s3_sum_final(&c->sum, text);
		c->kept = span_of(arena_printf(c->mem, "%s:%s%s", s3_sum_name(c->sum.kind), text,
					       c->part ? "" : ":FULL_OBJECT"));
	}
	return c->kept;
}

struct store_hearer s3_copy_hearer(struct s3_req *q, struct s3_copy_sum *c, enum s3_sum_kind kind,
				   const struct store_object *source, bool whole, bool part)
{
	struct s3_sum_kept k = s3_sum_parse(source->checksum);
	struct store_hearer h = { .owner = c };

	*c = (struct s3_copy_sum){ .mem = q->mem, .kept = SPAN(""), .part = part };
	if (kind == S3_SUM_NONE)
		return h;
	h.checksum = kept;
	s3_sum_init(&c->sum, kind);
	if (whole && k.kind == kind && span_is(k.type, "FULL_OBJECT"))
		c->kept = span_of(arena_printf(q->mem, "%s:" SPAN_FMT "%s", s3_sum_name(kind),
					       SPAN_ARG(k.value), part ? "" : ":FULL_OBJECT"));
	else
		h.bytes = hear;
	return h;
}

// The checksum that the copy shall have: the one asked for, else the source's kind.
static bool take_kind(struct s3_req *q, const struct store_object *source, enum s3_sum_kind *out)
{
	struct span name = s3_header(q, "x-amz-checksum-algorithm");

	*out = name.n ? s3_sum_named(name) : s3_sum_parse(source->checksum).kind;
	return !name.n || *out != S3_SUM_NONE ||
	       s3_failf(q, S3_INVALID_REQUEST, "Checksum algorithm provided is unsupported.");
}

// ---- the operation -------------------------------------------------------------------------------------

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
	struct store_source from;
	struct store_hearer hearer;
	struct s3_copy_sum sum;
	struct s3_sum_kept k;
	enum s3_sum_kind kind;
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
	if (!take_kind(q, &src.object, &kind))
		return;
	from = (struct store_source){ src.bucket, src.key, src.object.version };
	hearer = s3_copy_hearer(q, &sum, kind, &src.object, true, false);
	if (store_copy(q->s3->o.store, &from, &o, meta, tags, &hearer, q->mem, &made, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_version_send(q, "x-amz-copy-source-version-id", &src.of, &src.object);
	s3_version_made(q, &made);
	s3_expiration_send(q, &made);
	s3_xml_begin(&b, "CopyObjectResult");
	s3_xml_time(&b, "LastModified", made.mtime_ns);
	s3_xml_etag(&b, made.etag);
	k = s3_sum_parse(made.checksum);
	s3_xml_checksum(&b, k.kind, k.value);
	if (k.kind != S3_SUM_NONE)
		xml_add(&b, "ChecksumType", k.type);
	s3_xml_send(q, &b, "CopyObjectResult");
}
