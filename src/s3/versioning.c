// SPDX-License-Identifier: Apache-2.0
// Versioning of buckets, and version ids as clients see them.
#include "s3/request.h"

void s3_version_text(const struct store_object *o, char out[static 32])
{
	store_version_text(o->version, o->null_version, out);
}

bool s3_version_parse(struct span text, int64_t *out)
{
	uint64_t v = 0;

	*out = STORE_VERSION_NULL;
	if (span_is(text, "null"))
		return true;
	for (size_t i = 0; i < text.n; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, text.p[i]);

		if (!text.p[i] || !at || v >> 59)
			return false;
		v = v << 4 | (uint64_t)(at - digits);
	}
	*out = (int64_t)v;
	return text.n == 16 && v;
}

bool s3_param_version(struct s3_req *q, struct span text, int64_t *out)
{
	*out = STORE_VERSION_LATEST;
	return !text.n || s3_version_parse(text, out) ||
	       s3_failf(q, S3_INVALID_ARGUMENT, "Invalid version id specified");
}

void s3_version_send(struct s3_req *q, const char *header, const struct store_bucket *b,
		     const struct store_object *o)
{
	char id[32];

	if (b->versioning == STORE_UNVERSIONED)
		return;
	s3_version_text(o, id);
	http_reply_header(q->http, header, span_of(id));
}

void s3_version_made(struct s3_req *q, const struct store_object *o)
{
	if (!o->null_version)
		s3_version_send(q, "x-amz-version-id",
				&(struct store_bucket){ .versioning = STORE_VERSIONED }, o);
}

// ---- buckets -------------------------------------------------------------------------------------------

void s3_versioning_get(struct s3_req *q)
{
	auto_buf struct buf b = { 0 };

	s3_xml_begin(&b, "VersioningConfiguration");
	if (q->bucket.versioning != STORE_UNVERSIONED)
		xml_add(&b, "Status",
			q->bucket.versioning == STORE_VERSIONED ? SPAN("Enabled")
								: SPAN("Suspended"));
	s3_xml_send(q, &b, "VersioningConfiguration");
}

void s3_versioning_put(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct err e = { 0 };
	struct span status, mfa;
	bool on;

	if (!s3_body_xml(q, "VersioningConfiguration", &root))
		return;
	status = xml_text(root, "Status");
	mfa = xml_text(root, "MfaDelete");
	on = span_is(status, "Enabled");
	if ((!on && !span_is(status, "Suspended")) ||
	    (mfa.p && !span_is(mfa, "Disabled") && !span_is(mfa, "Enabled"))) {
		s3_fail(q, S3_MALFORMED_XML);
		return;
	}
	if (span_is(mfa, "Enabled") || http_header(q->http, "x-amz-mfa").p) {
		s3_failf(q, S3_NOT_IMPLEMENTED, "MFA delete is not implemented");
		return;
	}
	if (store_bucket_set_versioning(q->s3->o.store, q->bucket_name,
					on ? STORE_VERSIONED : STORE_SUSPENDED, &e) == 0)
		s3_empty(q, 200);
	else if (e.code == ERR_CONFLICT)
		s3_failf(q, S3_INVALID_BUCKET_STATE,
			 "An Object Lock configuration is present on this bucket, so the "
			 "versioning state cannot be changed.");
	else
		s3_fail_store(q, &e);
}
