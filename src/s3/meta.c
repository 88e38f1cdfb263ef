// SPDX-License-Identifier: Apache-2.0
// Metadata: what headers of a write are kept with the object, and how they go out again.
#include "base/clock.h"
#include "s3/request.h"

enum { USER_META_MAX = 2048 };

// Kept under the lower-case name and answered under the usual one.
static const struct {
	const char *name, *header, *override;
} kept[] = {
	{ "content-type", "Content-Type", "response-content-type" },
	{ "cache-control", "Cache-Control", "response-cache-control" },
	{ "content-disposition", "Content-Disposition", "response-content-disposition" },
	{ "content-encoding", "Content-Encoding", "response-content-encoding" },
	{ "content-language", "Content-Language", "response-content-language" },
	{ "expires", "Expires", "response-expires" },
	{ "x-amz-website-redirect-location", "x-amz-website-redirect-location", NULL },
};

static const char content_type_default[] = "binary/octet-stream";

static bool is_later(struct span name)
{
	static const char *const later[] = {
		"x-amz-copy-source-server-side-encryption",
		"x-amz-object-lock-event-hold",
		"x-amz-server-side-encryption",
		"x-amz-write-offset-bytes",
	};

	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (span_starts_nocase(name, span_of(later[i])))
			return true;
	return false;
}

bool s3_headers_supported(struct s3_req *q)
{
	struct span name, value;
	size_t at = 0;

	while (s3_field_next(q, &at, &name, &value))
		if (is_later(name))
			return s3_failf(q, S3_NOT_IMPLEMENTED,
					"The header " SPAN_FMT
					" asks for something that is not implemented",
					SPAN_ARG(span_head(name, 64)));
	return true;
}

// A storage class is a label here: it is kept and shown, and all are stored alike.
bool s3_storage_class_take(struct s3_req *q, struct span *out)
{
	static const char *const known[] = { "REDUCED_REDUNDANCY",  "STANDARD_IA", "ONEZONE_IA",
					     "INTELLIGENT_TIERING", "GLACIER",	   "GLACIER_IR",
					     "DEEP_ARCHIVE" };
	struct span class = s3_field(q, "x-amz-storage-class");

	*out = SPAN("");
	if (!class.n || span_is(class, "STANDARD"))
		return true;
	*out = class;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(class, known[i]))
			return true;
	return s3_fail(q, S3_INVALID_STORAGE_CLASS);
}

// Objects of version 0.1 have theirs among the metadata.
struct span s3_storage_class(const struct store_object *o)
{
	struct span class = o->storage_class.n ? o->storage_class
					       : store_meta_get(o->meta, "x-amz-storage-class");

	return class.n ? class : SPAN("STANDARD");
}

// aws-chunked is the framing of this one body, not a property of the object. The rest stays as it was written.
static struct span without_framing(struct s3_req *q, struct span list)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, list.n + 1);
	while (list.n) {
		struct span one = span_cut(&list, ',');

		if (span_eq_nocase(span_trim(one), SPAN("aws-chunked")))
			continue;
		if (b.n)
			buf_add_char(&b, ',');
		buf_add_span(&b, one);
	}
	return span_trim(arena_span(q->mem, buf_span(&b)));
}

static void lower(struct s3_req *q, struct span *s)
{
	char *p = arena_strndup(q->mem, s->p, s->n);

	for (size_t i = 0; i < s->n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 32);
	s->p = p;
}

// All headers of that name joined, if `first` is the first of them; p == NULL otherwise.
static struct span joined(struct s3_req *q, struct span name, size_t first)
{
	struct span n, v, all = { 0 };
	size_t at = 0;

	while (s3_field_next(q, &at, &n, &v)) {
		if (!span_eq_nocase(n, name))
			continue;
		if (at < first)
			return span_make(NULL, 0);
		all = all.p ? span_of(arena_printf(q->mem, SPAN_FMT "," SPAN_FMT, SPAN_ARG(all),
						   SPAN_ARG(v)))
			    : v;
	}
	return all;
}

static bool take_user_meta(struct s3_req *q, struct buf *b)
{
	struct span name, value;
	size_t at = 0, total = 0;

	while (s3_field_next(q, &at, &name, &value)) {
		if (!span_starts_nocase(name, SPAN("x-amz-meta-")))
			continue;
		value = joined(q, name, at);
		if (!value.p)
			continue; // taken with the first of its name
		total += name.n - (sizeof("x-amz-meta-") - 1) + value.n;
		if (total > USER_META_MAX)
			return s3_fail(q, S3_METADATA_TOO_LARGE);
		lower(q, &name);
		store_meta_add(b, name, value);
	}
	return true;
}

bool s3_meta_take(struct s3_req *q, struct store_meta *out)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, STORE_META_MAX);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct span v = s3_field(q, kept[i].header);

		if (v.p && span_is(span_of(kept[i].name), "content-encoding"))
			v = without_framing(q, v);
		if (i == 0 && !v.n)
			v = span_of(content_type_default);
		if (v.n)
			store_meta_add(&b, span_of(kept[i].name), v);
	}
	if (!take_user_meta(q, &b))
		return false;
	if (b.over)
		return s3_fail(q, S3_METADATA_TOO_LARGE);
	out->packed = arena_span(q->mem, buf_span(&b));
	return true;
}

const char *s3_content_type(struct s3_req *q, const struct store_object *o)
{
	struct span v = s3_param(q, "response-content-type");

	if (!v.n)
		v = store_meta_get(o->meta, "content-type");
	return v.n ? arena_strndup(q->mem, v.p, v.n) : content_type_default;
}

static void send_kept(struct s3_req *q, struct span name, struct span value)
{
	for (size_t i = 1; i < ARRAY_LEN(kept); i++) // the type goes with the body
		if (span_is(name, kept[i].name) &&
		    !(kept[i].override && s3_param(q, kept[i].override).n))
			http_reply_header(q->http, kept[i].header, value);
}

void s3_meta_send(struct s3_req *q, const struct store_object *o)
{
	struct span rest = o->meta.packed, name, value;
	char text[CLOCK_TEXT_MAX];

	http_reply_headerf(q->http, "ETag", "\"%s\"", o->etag);
	http_reply_header(q->http, "Last-Modified", span_of(clock_http(o->mtime_ns, text)));
	http_reply_header(q->http, "Accept-Ranges", SPAN("bytes"));
	while (store_meta_next(&rest, &name, &value)) {
		if (span_starts(name, SPAN("x-amz-meta-")))
			http_reply_header(q->http, arena_strndup(q->mem, name.p, name.n), value);
		else
			send_kept(q, name, value);
	}
	for (size_t i = 1; i < ARRAY_LEN(kept); i++) {
		value = kept[i].override ? s3_param(q, kept[i].override) : SPAN("");
		if (value.n)
			http_reply_header(q->http, kept[i].header, value);
	}
	if (o->tags.n)
		http_reply_headerf(q->http, "x-amz-tagging-count", "%u", s3_tags_count(o->tags));
	if (!span_is(s3_storage_class(o), "STANDARD"))
		http_reply_header(q->http, "x-amz-storage-class", s3_storage_class(o));
	s3_lock_send(q, o);
	s3_expiration_send(q, o);
	s3_version_send(q, "x-amz-version-id", &q->bucket, o);
}
