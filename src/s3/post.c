// SPDX-License-Identifier: Apache-2.0
// PostObject: who signed the form, whether it is according to its policy, and the object it makes.
#include "base/clock.h"
#include "codec/text.h"
#include "codec/url.h"
#include "s3/form.h"

enum { OBJECT_TAGS_MAX = 10 };

static struct span field(struct s3_req *q, const char *name)
{
	struct span v = s3_form_field(q->form, name);

	return v.p ? v : SPAN("");
}

// ---- who -----------------------------------------------------------------------------------------------

static bool take_sender(struct s3_req *q)
{
	struct authn_form f = { .policy = field(q, "policy"),
				.algorithm = field(q, "x-amz-algorithm"),
				.credential = field(q, "x-amz-credential"),
				.date = field(q, "x-amz-date"),
				.signature = field(q, "x-amz-signature"),
				.access = field(q, "AWSAccessKeyId"),
				.old_signature = field(q, "signature") };
	struct err e = { 0 };

	if (authn_s3_form(q->s3->o.authn, q->http, &f, &q->who, &e) < 0)
		return e.code == ERR_UNAVAILABLE || e.code == ERR_IO
			       ? s3_fail_store(q, &e)
			       : s3_failf(q, s3_code_of_authn(&e), "%s", e.msg);
	q->cause.principal = q->who.anonymous ? NULL : q->who.access;
	q->cause.user = q->who.user.id;
	return true;
}

// ---- what ----------------------------------------------------------------------------------------------

// ${filename} stands for the name of the file on the sender's machine.
static bool take_key(struct s3_req *q)
{
	struct span key = s3_form_field(q->form, "key"), rest;
	auto_buf struct buf b = { 0 };

	if (!key.n)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"Bucket POST must contain a field named 'key'.  If it is "
				"specified, please check the order of the fields.");
	buf_init(&b, S3_FORM_BYTES_MAX + FORM_HEAD_MAX);
	for (rest = key; rest.n; rest = span_from(rest, 1))
		if (span_starts(rest, SPAN("${filename}"))) {
			buf_add_span(&b, q->form->filename);
			rest = span_from(rest, sizeof("${filename}") - 2);
		} else {
			buf_add_char(&b, rest.p[0]);
		}
	q->key = arena_span(q->mem, buf_span(&b));
	for (size_t i = 0; i < q->form->n; i++)
		if (span_eq_nocase(q->form->fields[i].name, SPAN("key")))
			q->form->fields[i].value = q->key; // as the policy sees it
	if (q->key.n > STORE_KEY_MAX)
		return s3_fail(q, S3_KEY_TOO_LONG);
	return (q->key.n && span_is_utf8(q->key)) ||
	       s3_failf(q, S3_INVALID_ARGUMENT, "The key is empty or not UTF-8 text");
}

static bool check_policy(struct s3_req *q)
{
	struct s3_form *f = q->form;
	struct span text = field(q, "policy");
	struct err e = { 0 };
	char *json;
	ptrdiff_t n;

	if (!text.n)
		return true;
	json = arena_alloc(q->mem, text.n + 1);
	n = text_unbase64(json, text.n, text);
	if (n < 0)
		return s3_failf(q, S3_INVALID_POLICY_DOCUMENT,
				"Invalid Policy: it is not base64-encoded");
	f->fields[f->n] = (struct post_field){ SPAN("bucket"), q->bucket_name };
	if (post_policy_check(span_make(json, (size_t)n), clock_wall_ns(), f->fields, f->n + 1,
			      &f->range, &e) == 0)
		return true;
	return s3_failf(q, e.code == ERR_DENIED ? S3_ACCESS_DENIED : S3_INVALID_POLICY_DOCUMENT,
			"%s", e.msg);
}

static bool take_tags(struct s3_req *q, struct span *out)
{
	struct span xml = field(q, "tagging");
	bool good;

	*out = SPAN("");
	if (!xml.n)
		return true;
	buf_add_span(&q->body.small, xml);
	good = s3_tags_parse(q, OBJECT_TAGS_MAX, out);
	buf_clear(&q->body.small);
	q->request_tags = *out;
	return good && s3_not_denied(q, "s3:PutObjectTagging");
}

bool s3_post_begin(struct s3_req *q)
{
	struct store_put_options o;
	struct span tags;
	struct err e = { 0 };

	if (!take_key(q) || !take_sender(q) || !check_policy(q) || !take_tags(q, &tags) ||
	    !s3_admit_late(q))
		return false;
	s3_put_options(q, "s3:ObjectCreated:Post", &o);
	o.tags = tags;
	if (!s3_headers_supported(q) || !s3_acl_of_write(q, &o) || !s3_meta_take(q, &o.meta) ||
	    !s3_lock_take(q, &o.lock) || !s3_storage_class_take(q, &o.storage_class) ||
	    !s3_body_sums(q))
		return false;
	return store_put_begin(q->s3->o.store, &o, &q->put, &e) == 0 || s3_fail_store(q, &e);
}

// ---- the answer ----------------------------------------------------------------------------------------

static const char *location(struct s3_req *q)
{
	return arena_printf(q->mem, "%s://" SPAN_FMT "/%s" SPAN_FMT SPAN_FMT,
			    http_is_tls(q->http) ? "https" : "http", SPAN_ARG(s3_header(q, "Host")),
			    q->virtual_host ? "" : q->bucket.name,
			    SPAN_ARG(q->virtual_host ? SPAN("") : SPAN("/")),
			    SPAN_ARG(url_encode_arena(q->mem, q->key, "/")));
}

// To the address that the form names, with what was made in its query.
static bool redirect(struct s3_req *q, const struct store_object *o)
{
	struct span to = field(q, "success_action_redirect");

	if (!to.n)
		to = field(q, "redirect");
	if (!span_starts_nocase(to, SPAN("http://")) && !span_starts_nocase(to, SPAN("https://")))
		return false;
	http_reply_header(q->http, "Location",
			  span_of(arena_printf(
				  q->mem, SPAN_FMT "%cbucket=%s&key=" SPAN_FMT "&etag=%%22%s%%22",
				  SPAN_ARG(to), span_find(to, '?') < 0 ? '?' : '&', q->bucket.name,
				  SPAN_ARG(url_encode_arena(q->mem, q->key, "/")), o->etag)));
	s3_empty(q, 303);
	return true;
}

static void answer_created(struct s3_req *q, const struct store_object *o)
{
	auto_buf struct buf b = { 0 };

	buf_init(&b, 65536);
	buf_add_str(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
	xml_add(&b, "Location", span_of(location(q)));
	xml_add(&b, "Bucket", span_of(q->bucket.name));
	xml_add(&b, "Key", q->key);
	s3_xml_etag(&b, o->etag);
	buf_add_str(&b, "</PostResponse>");
	http_reply_buf(q->http, 201, "application/xml", &b);
}

void s3_post_object(struct s3_req *q)
{
	struct span status = field(q, "success_action_status");
	struct store_object o;

	if (!s3_put_finish(q, &o))
		return;
	if (redirect(q, &o))
		return;
	http_reply_header(q->http, "Location", span_of(location(q)));
	if (span_is(status, "201"))
		answer_created(q, &o);
	else
		s3_empty(q, span_is(status, "200") ? 200 : 204);
}
