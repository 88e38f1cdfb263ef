// SPDX-License-Identifier: Apache-2.0
// Deleting objects and versions, one or many.
#include "base/clock.h"
#include "s3/request.h"

// What a deletion makes sure of first: the headers of one, the elements of many.
static bool take_conditions(struct s3_req *q, struct span etag, struct span size, struct span time,
			    struct store_conditions *out)
{
	const char *text = arena_strndup(q->mem, time.p, time.n);
	int64_t ns = -1;

	*out = (struct store_conditions){ .if_match = s3_etag_bare(etag) };
	if (size.n) {
		if (!span_to_u64(span_trim(size), &out->size))
			return s3_failf(q, S3_INVALID_ARGUMENT, "The size must be a number");
		out->check_size = true;
	}
	if (!time.n)
		return true;
	ns = clock_parse_http(text);
	if (ns < 0)
		ns = clock_parse_iso(text);
	if (ns < 0)
		return s3_failf(q, S3_INVALID_ARGUMENT, "The last modified time is not a time");
	out->mtime_s = ns / NS_PER_S;
	return true;
}

static void send_version(struct s3_req *q, const struct store_deleted *done, struct span asked)
{
	struct store_object made = { .version = done->version, .null_version = done->null_version };
	char id[32];

	if (done->delete_marker)
		http_reply_header(q->http, "x-amz-delete-marker", SPAN("true"));
	if (asked.n) {
		http_reply_header(q->http, "x-amz-version-id", asked);
	} else if (done->delete_marker) {
		s3_version_text(&made, id);
		http_reply_header(q->http, "x-amz-version-id", span_of(id));
	}
}

static void delete_committed(struct s3_req *q)
{
	if (q->result < 0) {
		s3_fail_store(q, &q->result_err);
		return;
	}
	send_version(q, &q->deleted.done, s3_param(q, "versionId"));
	s3_empty(q, 204);
}

void s3_object_delete(struct s3_req *q)
{
	struct store_delete_item *it = &q->deleted;

	*it = (struct store_delete_item){ .key = q->key };
	if (!s3_param_version(q, s3_param(q, "versionId"), &it->version) ||
	    !s3_condition_absent(q, "If-None-Match") ||
	    !s3_condition_absent(q, "If-Modified-Since") ||
	    !s3_condition_absent(q, "If-Unmodified-Since") ||
	    !take_conditions(q, s3_header(q, "If-Match"), s3_header(q, "x-amz-if-match-size"),
			     s3_header(q, "x-amz-if-match-last-modified-time"), &it->only_if))
		return;
	it->bypass = s3_lock_bypass(q, q->key);
	s3_suspend(q, delete_committed);
	store_delete_submit(q->s3->o.store, q->bucket_name, it, &q->cause, s3_resume, q);
}

// ---- many ----------------------------------------------------------------------------------------------

struct victim {
	struct span key, version_text;
	const struct s3_error *error; // why it was not tried, or NULL
	size_t item;
};

static void add_error(struct buf *b, const struct victim *v, const struct s3_error *f)
{
	xml_open(b, "Error");
	xml_add(b, "Key", v->key);
	if (v->version_text.n)
		xml_add(b, "VersionId", v->version_text);
	xml_add(b, "Code", span_of(f->code));
	xml_add(b, "Message", span_of(f->text));
	xml_close(b, "Error");
}

static void add_deleted(struct buf *b, const struct victim *v, const struct store_deleted *done)
{
	struct store_object marker = { .version = done->version,
				       .null_version = done->null_version };
	char id[32];

	xml_open(b, "Deleted");
	xml_add(b, "Key", v->key);
	if (v->version_text.n)
		xml_add(b, "VersionId", v->version_text);
	if (done->delete_marker) {
		s3_version_text(&marker, id);
		xml_add_bool(b, "DeleteMarker", true);
		xml_add(b, "DeleteMarkerVersionId", span_of(id));
	}
	xml_close(b, "Deleted");
}

// One object of the list; what is wrong with it alone is its own error.
static bool take_victim(struct s3_req *q, const struct xml_node *o, struct victim *v,
			struct store_delete_item *it)
{
	v->key = xml_text(o, "Key");
	v->version_text = xml_text(o, "VersionId");
	*it = (struct store_delete_item){ .key = v->key };
	if (!v->key.n)
		return s3_fail(q, S3_MALFORMED_XML);
	if (!take_conditions(q, xml_text(o, "ETag"), xml_text(o, "Size"),
			     xml_text(o, "LastModifiedTime"), &it->only_if))
		return false;
	if (v->key.n > STORE_KEY_MAX)
		v->error = s3_error(S3_KEY_TOO_LONG);
	else if (v->version_text.n && !s3_version_parse(v->version_text, &it->version))
		v->error = s3_error(S3_NO_VERSION);
	else if (!s3_allowed(q, it->version ? "s3:DeleteObjectVersion" : "s3:DeleteObject", v->key,
			     it->version))
		v->error = s3_error(S3_ACCESS_DENIED);
	return true;
}

static bool take_victims(struct s3_req *q, const struct xml_node *root, struct victim *all,
			 size_t *count, struct store_delete_item *items, size_t *n)
{
	*count = *n = 0;
	for (struct xml_node *o = xml_child(root, "Object"); o; o = xml_again(o)) {
		struct victim *v = &all[*count];

		if (*count == STORE_PAGE_MAX)
			return s3_fail(q, S3_MALFORMED_XML);
		if (!take_victim(q, o, v, &items[*n]))
			return false;
		++*count;
		items[*n].bypass = s3_lock_bypass(q, v->key);
		v->item = *n;
		*n += !v->error;
	}
	return *count > 0 || s3_fail(q, S3_MALFORMED_XML);
}

void s3_object_delete_many(struct s3_req *q)
{
	struct store_delete_item *items = arena_alloc(q->mem, STORE_PAGE_MAX * sizeof(*items));
	struct victim *all = arena_alloc(q->mem, STORE_PAGE_MAX * sizeof(*all));
	struct xml_node *root = NULL;
	struct err e = { 0 };
	auto_buf struct buf b = { 0 };
	size_t count, n;
	bool quiet;

	if (!s3_body_xml(q, "Delete", &root) || !take_victims(q, root, all, &count, items, &n))
		return;
	quiet = span_eq_nocase(xml_text(root, "Quiet"), SPAN("true"));
	if (n && store_delete_many(q->s3->o.store, q->bucket_name, items, n, &q->cause, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	s3_xml_begin(&b, "DeleteResult");
	for (size_t i = 0; i < count; i++) {
		const struct store_delete_item *it = &items[all[i].item];

		if (all[i].error)
			add_error(&b, &all[i], all[i].error);
		else if (it->result < 0)
			add_error(&b, &all[i], s3_error(s3_code_of_store(&it->err)));
		else if (!quiet)
			add_deleted(&b, &all[i], &it->done);
	}
	s3_xml_send(q, &b, "DeleteResult");
}
