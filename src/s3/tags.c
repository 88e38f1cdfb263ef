// SPDX-License-Identifier: Apache-2.0
// Tags of objects and buckets. Kept as a query string, which is also the form of the header x-amz-tagging.
#include "codec/url.h"
#include "s3/request.h"

enum { OBJECT_TAGS_MAX = 10, BUCKET_TAGS_MAX = 50, TAG_KEY_MAX = 128, TAG_VALUE_MAX = 256 };

static size_t characters(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

// Adds one decoded tag; the list keeps each key once.
static bool add_tag(struct s3_req *q, struct buf *b, struct span key, struct span value)
{
	struct span known;

	if (!key.n || characters(key) > TAG_KEY_MAX || !span_is_utf8(key))
		return s3_failf(q, S3_INVALID_TAG, "The TagKey you have provided is invalid");
	if (characters(value) > TAG_VALUE_MAX || !span_is_utf8(value))
		return s3_failf(q, S3_INVALID_TAG, "The TagValue you have provided is invalid");
	if (span_starts_nocase(key, SPAN("aws:")))
		return s3_failf(q, S3_INVALID_TAG, "System tags cannot be added");
	if (url_query_get(q->mem, buf_span(b), arena_strndup(q->mem, key.p, key.n), &known))
		return s3_failf(q, S3_INVALID_TAG,
				"Cannot provide multiple Tags with the same key");
	if (b->n)
		buf_add_char(b, '&');
	url_encode(b, key, "");
	buf_add_char(b, '=');
	url_encode(b, value, "");
	return true;
}

unsigned s3_tags_count(struct span tags)
{
	struct span name, value;
	unsigned n = 0;

	while (url_query_next(&tags, &name, &value))
		n++;
	return n;
}

static bool too_many(struct s3_req *q, size_t max)
{
	return s3_failf(q, S3_INVALID_TAG, "There cannot be more than %zu tags", max);
}

bool s3_tags_take(struct s3_req *q, struct span text, struct span *out)
{
	struct span name, value;
	auto_buf struct buf b = { 0 };

	buf_init(&b, 65536);
	if (s3_tags_count(text) > OBJECT_TAGS_MAX)
		return too_many(q, OBJECT_TAGS_MAX);
	while (url_query_next(&text, &name, &value))
		if (!add_tag(q, &b, url_decode(q->mem, name, URL_PLUS_BLANK),
			     url_decode(q->mem, value, URL_PLUS_BLANK)))
			return false;
	*out = arena_span(q->mem, buf_span(&b));
	return !out->n || s3_not_denied(q, "s3:PutObjectTagging");
}

static bool take_set(struct s3_req *q, const struct xml_node *set, size_t max, struct span *out)
{
	struct xml_node *tag;
	auto_buf struct buf b = { 0 };
	size_t n = 0;

	buf_init(&b, 65536);
	for (tag = xml_child(set, "Tag"); tag; tag = xml_again(tag)) {
		struct span key = xml_text(tag, "Key"), value = xml_text(tag, "Value");

		if (++n > max)
			return too_many(q, max);
		if (!key.p || !value.p)
			return s3_fail(q, S3_MALFORMED_XML);
		if (!add_tag(q, &b, key, value))
			return false;
	}
	*out = arena_span(q->mem, buf_span(&b));
	return true;
}

bool s3_tags_parse(struct s3_req *q, size_t max, struct span *out)
{
	struct xml_node *root = NULL, *set;

	if (!s3_body_xml(q, "Tagging", &root))
		return false;
	set = xml_child(root, "TagSet");
	return set ? take_set(q, set, max, out) : s3_fail(q, S3_MALFORMED_XML);
}

bool s3_tags_of_bucket(struct s3_req *q, const struct xml_node *set, struct span *out)
{
	return take_set(q, set, BUCKET_TAGS_MAX, out);
}

void s3_tags_send(struct s3_req *q, struct span tags)
{
	struct span name, value;
	auto_buf struct buf b = { 0 };

	s3_xml_begin(&b, "Tagging");
	xml_open(&b, "TagSet");
	while (url_query_next(&tags, &name, &value)) {
		xml_open(&b, "Tag");
		xml_add(&b, "Key", url_decode(q->mem, name, URL_PLUS_KEEP));
		xml_add(&b, "Value", url_decode(q->mem, value, URL_PLUS_KEEP));
		xml_close(&b, "Tag");
	}
	xml_close(&b, "TagSet");
	s3_xml_send(q, &b, "Tagging");
}

// ---- objects -------------------------------------------------------------------------------------------

void s3_object_tags_get(struct s3_req *q)
{
	struct store_object o;
	struct err e = { 0 };
	int64_t version;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version))
		return;
	if (store_object_get(q->s3->o.store, q->bucket_name, q->key, version, q->mem, &o, &e) < 0) {
		s3_object_missing(q, &e);
		return;
	}
	if (!s3_object_admit(q, &o))
		return;
	s3_version_send(q, "x-amz-version-id", &q->bucket, &o);
	s3_tags_send(q, o.tags);
}

static void set_tags(struct s3_req *q, struct span tags, unsigned status)
{
	struct store *s = q->s3->o.store;
	struct store_object o;
	struct err e = { 0 };
	int64_t version;

	if (!s3_param_version(q, s3_param(q, "versionId"), &version))
		return;
	if (store_object_get(s, q->bucket_name, q->key, version, q->mem, &o, &e) < 0) {
		s3_object_missing(q, &e);
		return;
	}
	if (!s3_object_admit(q, &o))
		return;
	if (store_tags_set(s, q->bucket_name, q->key, version, tags, &q->cause, &o, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_version_send(q, "x-amz-version-id", &q->bucket, &o);
	s3_empty(q, status);
}

void s3_object_tags_put(struct s3_req *q)
{
	struct span tags = { 0 };

	if (!s3_tags_parse(q, OBJECT_TAGS_MAX, &tags))
		return;
	q->request_tags = tags; // which the policy may ask about
	if (s3_admit_late(q))
		set_tags(q, tags, 200);
}

void s3_object_tags_delete(struct s3_req *q)
{
	set_tags(q, SPAN(""), 204);
}

// ---- buckets -------------------------------------------------------------------------------------------

void s3_bucket_tags_get(struct s3_req *q)
{
	struct span tags = { 0 };
	struct err e = { 0 };

	if (store_config_get(q->s3->o.store, q->bucket_name, "tagging", q->mem, &tags, &e) == 0)
		s3_tags_send(q, tags);
	else if (e.code == ERR_NOT_FOUND && e.sys == STORE_NO_CONFIG)
		s3_fail(q, S3_NO_TAGS);
	else
		s3_fail_store(q, &e);
}

void s3_bucket_tags_put(struct s3_req *q)
{
	struct span tags = { 0 };
	struct err e = { 0 };

	if (!s3_tags_parse(q, BUCKET_TAGS_MAX, &tags))
		return;
	if (store_config_set(q->s3->o.store, q->bucket_name, "tagging", tags, &e) < 0)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 204);
}

void s3_bucket_tags_delete(struct s3_req *q)
{
	struct err e = { 0 };

	if (store_config_remove(q->s3->o.store, q->bucket_name, "tagging", &e) < 0 &&
	    e.sys != STORE_NO_CONFIG)
		s3_fail_store(q, &e);
	else
		s3_empty(q, 204);
}
