// SPDX-License-Identifier: Apache-2.0
// Buckets, and those of their documents that cannot be set yet.
#include "codec/url.h"
#include "s3/request.h"

enum { OWN_BUCKETS_PAGE = 1000 };

static bool visible(struct s3_req *q, const struct store_bucket *b)
{
	return s3_may(q, b, AUTH_LIST);
}

static void add_bucket(struct s3_req *q, struct buf *x, const struct store_bucket *b)
{
	xml_open(x, "Bucket");
	xml_add(x, "Name", span_of(b->name));
	s3_xml_time(x, "CreationDate", b->created_ns);
	xml_add(x, "BucketRegion", span_of(authn_region(q->s3->o.authn)));
	xml_close(x, "Bucket");
}

// Pages by max-buckets and continuation-token (the last name); without them all are listed.
void s3_service_list(struct s3_req *q)
{
	struct span prefix = s3_param(q, "prefix"), after = s3_param(q, "continuation-token");
	uint64_t max, sent = 0;
	bool more = false, full = false;
	struct store_bucket *b;
	struct err e = { 0 };
	auto_buf struct buf x = { 0 };
	size_t n;

	if (!s3_param_number(q, "max-buckets", UINT64_MAX, 10000, &max))
		return;
	s3_xml_begin(&x, "ListAllMyBucketsResult");
	s3_xml_owner(q, &x, "Owner", q->who.user.id);
	xml_open(&x, "Buckets");
	do {
		if (store_bucket_list(q->s3->o.store, q->mem, 0, after, OWN_BUCKETS_PAGE, &b, &n,
				      &e) < 0) {
			s3_fail_store(q, &e);
			return;
		}
		more = n == OWN_BUCKETS_PAGE;
		for (size_t i = 0; i < n && !full; i++) {
			if (!span_starts(span_of(b[i].name), prefix) || !visible(q, &b[i]))
				continue;
			full = sent == max;
			if (full)
				break;
			add_bucket(q, &x, &b[i]);
			after = span_of(b[i].name);
			sent++;
		}
		if (n && !full)
			after = span_of(b[n - 1].name);
	} while (more && !full);
	xml_close(&x, "Buckets");
	if (full)
		xml_add(&x, "ContinuationToken", after);
	if (prefix.n)
		xml_add(&x, "Prefix", prefix);
	s3_xml_send(q, &x, "ListAllMyBucketsResult");
}

// The body may name a region, which must be ours.
static bool check_location(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct span where;

	if (!q->body.small.n)
		return true;
	if (!s3_body_xml(q, "CreateBucketConfiguration", &root))
		return false;
	where = xml_text(root, "LocationConstraint");
	if (where.n && !span_is(where, authn_region(q->s3->o.authn)))
		return s3_fail(q, S3_INVALID_LOCATION);
	return true;
}

void s3_bucket_create(struct s3_req *q)
{
	struct store_bucket b;
	struct err e = { 0 };
	bool locks;

	if (store_bucket_name_check(q->bucket_name, &e) < 0) {
		s3_failf(q, S3_INVALID_BUCKET_NAME, "%s", e.msg);
		return;
	}
	if (!check_location(q))
		return;
	locks = span_eq_nocase(s3_header(q, "x-amz-bucket-object-lock-enabled"), SPAN("true"));
	if ((locks ? store_bucket_create_lockable(q->s3->o.store, q->bucket_name, q->who.user.id,
						  &b, &e)
		   : store_bucket_create(q->s3->o.store, q->bucket_name, q->who.user.id, 0, &b,
					 &e)) < 0) {
		struct err ignored = { 0 };

		if (e.code == ERR_EXISTS &&
		    store_bucket_get(q->s3->o.store, q->bucket_name, &b, &ignored) == 0)
			s3_fail(q, b.owner == q->who.user.id ? S3_BUCKET_OWNED : S3_BUCKET_EXISTS);
		else
			s3_fail_store(q, &e);
		return;
	}
	http_reply_headerf(q->http, "Location", "/%s", b.name);
	s3_empty(q, 200);
}

void s3_bucket_head(struct s3_req *q)
{
	http_reply_header(q->http, "x-amz-bucket-region", span_of(authn_region(q->s3->o.authn)));
	s3_empty(q, 200);
}

void s3_bucket_delete(struct s3_req *q)
{
	struct err e = { 0 };

	if (store_bucket_delete(q->s3->o.store, q->bucket_name, &e) == 0)
		s3_empty(q, 204);
	else if (e.code == ERR_CONFLICT)
		s3_fail(q, S3_BUCKET_NOT_EMPTY);
	else
		s3_fail_store(q, &e);
}

// The oldest region is written as nothing.
void s3_bucket_location(struct s3_req *q)
{
	struct span region = span_of(authn_region(q->s3->o.authn));
	auto_buf struct buf b = { 0 };

	s3_xml_begin(&b, "LocationConstraint");
	xml_escape(&b, span_is(region, "us-east-1") ? SPAN("") : region);
	s3_xml_send(q, &b, "LocationConstraint");
}

// ---- documents that are not set ------------------------------------------------------------------------

// Either an empty document with this root and content, or an error.
static const struct unset {
	const char *sub, *root, *content;
	enum s3_code code;
} unset[] = {
	{ "accelerate", "AccelerateConfiguration", "", S3_OK },
	{ "cors", NULL, NULL, S3_NO_CORS },
	{ "encryption", NULL, NULL, S3_NO_ENCRYPTION },
	{ "lifecycle", NULL, NULL, S3_NO_LIFECYCLE },
	{ "logging", "BucketLoggingStatus", "", S3_OK },
	{ "notification", "NotificationConfiguration", "", S3_OK },
	{ "ownershipControls", NULL, NULL, S3_NO_OWNERSHIP },
	{ "policy", NULL, NULL, S3_NO_POLICY },
	{ "policyStatus", NULL, NULL, S3_NO_POLICY },
	{ "publicAccessBlock", NULL, NULL, S3_NO_ACCESS_BLOCK },
	{ "replication", NULL, NULL, S3_NO_REPLICATION },
	{ "requestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>", S3_OK },
	{ "website", NULL, NULL, S3_NO_WEBSITE },
};

void s3_bucket_unset(struct s3_req *q)
{
	for (size_t i = 0; i < ARRAY_LEN(unset); i++) {
		const struct unset *u = &unset[i];
		auto_buf struct buf b = { 0 };

		if (strcmp(u->sub, q->op->sub) != 0)
			continue;
		if (u->code != S3_OK) {
			s3_fail(q, u->code);
			return;
		}
		s3_xml_begin(&b, u->root);
		buf_add_str(&b, u->content);
		s3_xml_send(q, &b, u->root);
		return;
	}
	s3_fail(q, S3_NOT_IMPLEMENTED);
}

void s3_bucket_unset_delete(struct s3_req *q)
{
	s3_empty(q, 204);
}

// The owner has every right and nobody else has any: that is the one list of grants we have.
void s3_acl_get(struct s3_req *q)
{
	auto_buf struct buf b = { 0 };

	if (q->key.n) {
		struct store_object o;
		struct err e = { 0 };

		if (store_object_get(q->s3->o.store, q->bucket_name, q->key, 0, q->mem, &o, &e) <
		    0) {
			s3_fail_store(q, &e);
			return;
		}
	}
	s3_xml_begin(&b, "AccessControlPolicy");
	s3_xml_owner(q, &b, "Owner", q->bucket.owner);
	buf_add_str(&b, "<AccessControlList><Grant>");
	buf_printf(&b,
		   "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
		   "xsi:type=\"CanonicalUser\"><ID>%064llx</ID></Grantee>",
		   (unsigned long long)q->bucket.owner);
	buf_add_str(&b, "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>");
	s3_xml_send(q, &b, "AccessControlPolicy");
}

void s3_acl_put(struct s3_req *q)
{
	struct span canned = s3_header(q, "x-amz-acl");

	if (span_is(canned, "private") || span_is(canned, "bucket-owner-full-control"))
		s3_empty(q, 200);
	else
		s3_fail(q, S3_NOT_IMPLEMENTED);
}

void s3_not_implemented(struct s3_req *q)
{
	s3_fail(q, S3_NOT_IMPLEMENTED);
}

void s3_not_allowed(struct s3_req *q)
{
	s3_fail(q, S3_METHOD_NOT_ALLOWED);
}
