// SPDX-License-Identifier: Apache-2.0
// The values of condition keys of policies, as S3 documents them ("Amazon S3 condition keys").
#include "base/clock.h"
#include "codec/url.h"
#include "s3/form.h"

static size_t one(struct span value, struct span *out)
{
	*out = value;
	return value.p != NULL;
}

static size_t text(struct s3_req *q, const char *value, struct span *out)
{
	return one(arena_span(q->mem, span_of(value)), out);
}

static size_t query(struct s3_req *q, const char *name, struct span *out)
{
	return http_query(q->http, name, out);
}

static bool cut_prefix(struct span *s, struct span prefix)
{
	if (!span_starts_nocase(*s, prefix))
		return false;
	*s = span_from(*s, prefix.n);
	return true;
}

// ---- tags ----------------------------------------------------------------------------------------------

static size_t tag(struct s3_req *q, struct span tags, struct span key, struct span *out)
{
	return url_query_get(q->mem, tags, arena_strndup(q->mem, key.p, key.n), out);
}

// Of the body of PutObjectTagging, or of the header.
static struct span request_tags(struct s3_req *q)
{
	struct span v = q->request_tags.p ? q->request_tags : s3_field(q, "x-amz-tagging");

	return v.p ? v : SPAN("");
}

static size_t tag_keys(struct s3_req *q, struct span tags, struct span *out, size_t max)
{
	struct span name, value;
	size_t n = 0;

	while (n < max && url_query_next(&tags, &name, &value))
		out[n++] = url_decode(q->mem, name, URL_PLUS_BLANK);
	return n;
}

static struct span existing_tags(struct s3_context *c)
{
	struct err ignored = { 0 };

	if (!c->looked && c->key.n &&
	    store_object_get(c->q->s3->o.store, c->bucket, c->key, c->version, c->q->mem,
			     &c->object, &ignored) < 0)
		c->object.tags = SPAN("");
	c->looked = true;
	return c->object.tags;
}

// ---- keys ----------------------------------------------------------------------------------------------

static size_t global_value(struct s3_req *q, struct span key, struct span *out)
{
	char time[CLOCK_TEXT_MAX];

	if (span_eq_nocase(key, SPAN("SourceIp")))
		return text(q, http_peer(q->http), out);
	if (span_eq_nocase(key, SPAN("SecureTransport")))
		return one(http_is_tls(q->http) ? SPAN("true") : SPAN("false"), out);
	if (span_eq_nocase(key, SPAN("Referer")))
		return one(http_header(q->http, "Referer"), out);
	if (span_eq_nocase(key, SPAN("UserAgent")))
		return one(http_header(q->http, "User-Agent"), out);
	if (span_eq_nocase(key, SPAN("CurrentTime")))
		return text(q, clock_iso_s(clock_wall_ns(), time), out);
	if (span_eq_nocase(key, SPAN("EpochTime")))
		return text(q,
			    arena_printf(q->mem, "%lld", (long long)(clock_wall_ns() / NS_PER_S)),
			    out);
	if (span_eq_nocase(key, SPAN("PrincipalType")))
		return one(q->who.anonymous ? SPAN("Anonymous") : SPAN("User"), out);
	if (q->who.anonymous)
		return span_eq_nocase(key, SPAN("userid")) ? one(SPAN("anonymous"), out) : 0;
	if (span_eq_nocase(key, SPAN("username")))
		return text(q, q->who.user.name, out);
	if (span_eq_nocase(key, SPAN("userid")) || span_eq_nocase(key, SPAN("PrincipalAccount")))
		return text(q, arena_printf(q->mem, "%012lld", (long long)q->who.user.id), out);
	if (span_eq_nocase(key, SPAN("PrincipalArn")))
		return text(q,
			    arena_printf(q->mem, "arn:aws:iam::%012lld:user/%s",
					 (long long)q->who.user.id, q->who.user.name),
			    out);
	return 0;
}

// "bucket/key" as it is meant, without the first slash.
static size_t copy_source(struct s3_req *q, struct span *out)
{
	struct span v = http_header(q->http, "x-amz-copy-source");

	if (!v.p)
		return 0;
	v = url_decode(q->mem, v, URL_PLUS_KEEP);
	return one(v.n && v.p[0] == '/' ? span_from(v, 1) : v, out);
}

static size_t auth_type(struct s3_req *q, struct span *out)
{
	if (q->form)
		return one(SPAN("POST"), out);
	if (q->who.anonymous)
		return 0;
	return one(q->who.presigned ? SPAN("REST-QUERY-STRING") : SPAN("REST-HEADER"), out);
}

// Of version 4, in milliseconds: of the others the time is not signed, or is that of the end.
static size_t signature_age(struct s3_req *q, struct span *out)
{
	int64_t then =
		q->who.time.n
			? clock_parse_basic(arena_strndup(q->mem, q->who.time.p, q->who.time.n))
			: -1;

	return then < 0 ? 0
			: text(q,
			       arena_printf(q->mem, "%lld",
					    (long long)((clock_wall_ns() - then) / NS_PER_MS)),
			       out);
}

static size_t signature_version(struct s3_req *q, struct span *out)
{
	if (q->who.anonymous)
		return 0;
	return one(q->who.scope.date.n ? SPAN("AWS4-HMAC-SHA256") : SPAN("AWS"), out);
}

static size_t s3_value(struct s3_context *c, struct span key, struct span *out, size_t max)
{
	static const char *const members[][2] = { { "prefix", "prefix" },
						  { "delimiter", "delimiter" },
						  { "max-keys", "max-keys" },
						  { "VersionId", "versionId" } };
	struct s3_req *q = c->q;

	if (cut_prefix(&key, SPAN("ExistingObjectTag/")))
		return tag(q, existing_tags(c), key, out);
	if (cut_prefix(&key, SPAN("RequestObjectTag/")))
		return tag(q, request_tags(q), key, out);
	if (span_eq_nocase(key, SPAN("RequestObjectTagKeys")))
		return tag_keys(q, request_tags(q), out, max);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (span_eq_nocase(key, span_of(members[i][0])))
			return query(q, members[i][1], out);
	if (span_eq_nocase(key, SPAN("x-amz-copy-source")))
		return copy_source(q, out);
	if (span_eq_nocase(key, SPAN("authType")))
		return auth_type(q, out);
	if (span_eq_nocase(key, SPAN("signatureAge")))
		return signature_age(q, out);
	if (span_eq_nocase(key, SPAN("signatureversion")))
		return signature_version(q, out);
	if (span_eq_nocase(key, SPAN("LocationConstraint")))
		return text(q, authn_region(q->s3->o.authn), out);
	if (q->form && span_eq_nocase(key, SPAN("x-amz-acl"))) // which forms call otherwise
		return one(s3_form_field(q->form, "acl"), out);
	if (span_starts_nocase(key, SPAN("x-amz-")))
		return one(s3_field(q, arena_strndup(q->mem, key.p, key.n)), out);
	if (cut_prefix(&key, SPAN("object-lock-")))
		return s3_lock_value(q, key, out);
	if (span_eq_nocase(key, SPAN("if-match")) || span_eq_nocase(key, SPAN("if-none-match")))
		return one(http_header(q->http, arena_strndup(q->mem, key.p, key.n)), out);
	return 0;
}

bool s3_context_known(struct span key)
{
	static const char *const names[] = {
		"authType",	      "delimiter", "if-match",	       "if-none-match",
		"LocationConstraint", "max-keys",  "prefix",	       "RequestObjectTagKeys",
		"signatureAge",	      "VersionId", "signatureversion",
	};
	static const char *const families[] = { "ExistingObjectTag/", "RequestObjectTag/", "x-amz-",
						"object-lock-" };

	if (!cut_prefix(&key, SPAN("s3:")))
		return true; // those of other services may be absent from any request
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_eq_nocase(key, span_of(names[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (span_starts_nocase(key, span_of(families[i])))
			return true;
	return false;
}

size_t s3_context_values(void *owner, struct span key, struct span *out, size_t max)
{
	struct s3_context *c = owner;

	if (cut_prefix(&key, SPAN("aws:")))
		return global_value(c->q, key, out);
	if (cut_prefix(&key, SPAN("s3:")))
		return s3_value(c, key, out, max);
	return 0;
}
