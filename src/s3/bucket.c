// SPDX-License-Identifier: Apache-2.0
// Buckets, and those of their documents that cannot be set yet.
#include "codec/url.h"
#include "s3/request.h"

enum { OWN_BUCKETS_PAGE = 1000, LIST_MAX = 10000 };

// Each sees what he may list as a whole, by any of the rights that MinIO's listing asks for.
static bool visible(struct s3_req *q, const struct store_bucket *b)
{
	static const char *const actions[] = { "s3:ListAllMyBuckets", "s3:ListBucket",
					       "s3:GetBucketLocation" };

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (s3_own_policies_allow(q, b, actions[i]))
			return true;
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
	struct span region = s3_param(q, "bucket-region");
	bool here = !region.n || span_is(region, authn_region(q->s3->o.authn));
	bool more = false, full = false;
	struct store_bucket *b;
	struct err e = { 0 };
	auto_buf struct buf x = { 0 };
	size_t n;

	if (!s3_param_number(q, "max-buckets", UINT64_MAX, UINT64_MAX, &max))
		return;
	if (!max || (max != UINT64_MAX && max > LIST_MAX)) {
		s3_failf(q, S3_INVALID_ARGUMENT, "max-buckets must be between 1 and %d", LIST_MAX);
		return;
	}
	s3_xml_begin(&x, "ListAllMyBucketsResult");
	s3_xml_owner(q, &x, "Owner", q->who.user.id);
	xml_open(&x, "Buckets");
	do {
		if (store_bucket_list(q->s3->o.store, q->mem, 0, after, OWN_BUCKETS_PAGE, &b, &n,
				      &e) < 0) {
			s3_fail_store(q, &e);
			return;
		}
		n = here ? n : 0; // all of ours are in one region
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

// The body may name a region, which must be ours, and tags.
static bool take_configuration(struct s3_req *q, struct span *tags)
{
	struct xml_node *root = NULL, *set;
	struct span where;

	*tags = SPAN("");
	if (!q->body.small.n)
		return true;
	if (!s3_body_xml(q, "CreateBucketConfiguration", &root))
		return false;
	where = xml_text(root, "LocationConstraint");
	if (where.n && !span_is(where, authn_region(q->s3->o.authn)))
		return s3_fail(q, S3_INVALID_LOCATION);
	set = xml_child(root, "Tags");
	return !set || s3_tags_of_bucket(q, set, tags);
}

// The default namespace is the only one.
static bool check_namespace(struct s3_req *q)
{
	struct span v = s3_header(q, "x-amz-bucket-namespace");

	return !v.n || span_is(v, "global") ||
	       s3_failf(q, S3_NOT_IMPLEMENTED, "Only the global namespace is implemented");
}

static bool take_ownership(struct s3_req *q, struct span acl, struct span *out)
{
	*out = s3_header(q, "x-amz-object-ownership");
	if (out->n && s3_ownership_named(*out) == S3_OWNER_UNSET)
		return s3_failf(q, S3_INVALID_ARGUMENT, "Invalid x-amz-object-ownership header");
	return s3_ownership_named(*out) != S3_OWNER_ENFORCED || !acl.n ||
	       s3_fail(q, S3_ACL_WITH_OWNERSHIP);
}

// Making a bucket again is refused; when it would get another access list, in the words for a foreign one.
static void exists_already(struct s3_req *q, struct span acl)
{
	struct span kept = SPAN("");
	struct store_bucket b;
	struct err e = { 0 };

	if (store_bucket_get(q->s3->o.store, q->bucket_name, &b, &e) < 0) {
		s3_fail_store(q, &e);
		return;
	}
	if (store_config_get(q->s3->o.store, q->bucket_name, S3_DOC_ACL, q->mem, &kept, &e) < 0)
		kept = SPAN("");
	s3_fail(q, b.owner == q->who.user.id && span_eq(kept, acl) ? S3_BUCKET_OWNED
								   : S3_BUCKET_EXISTS);
}

static bool keep(struct s3_req *q, const char *kind, struct span doc, struct err *e)
{
	return !doc.n || store_config_set(q->s3->o.store, q->bucket_name, kind, doc, e) == 0;
}

void s3_bucket_create(struct s3_req *q)
{
	struct store_bucket b;
	struct span acl, ownership, tags;
	struct err e = { 0 };
	bool locks;

	if (store_bucket_name_check(q->bucket_name, &e) < 0) {
		s3_failf(q, S3_INVALID_BUCKET_NAME, "%s", e.msg);
		return;
	}
	if (!check_namespace(q) || !take_configuration(q, &tags))
		return;
	if (!s3_acl_of_bucket(q, &acl) || !take_ownership(q, acl, &ownership))
		return;
	locks = span_eq_nocase(s3_header(q, "x-amz-bucket-object-lock-enabled"), SPAN("true"));
	if ((locks ? store_bucket_create_lockable(q->s3->o.store, q->bucket_name, q->who.user.id,
						  &b, &e)
		   : store_bucket_create(q->s3->o.store, q->bucket_name, q->who.user.id, 0, &b,
					 &e)) < 0) {
		if (e.code == ERR_EXISTS)
			exists_already(q, acl);
		else
			s3_fail_store(q, &e);
		return;
	}
	// A crash in between leaves the bucket to its owner alone.
	if (!keep(q, S3_DOC_ACL, acl, &e) || !keep(q, S3_DOC_OWNERSHIP, ownership, &e) ||
	    !keep(q, "tagging", tags, &e)) {
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
	{ "encryption", NULL, NULL, S3_NO_ENCRYPTION },
	{ "logging", "BucketLoggingStatus", "", S3_OK },
	{ "replication", NULL, NULL, S3_NO_REPLICATION },
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

// ---- documents of which only the empty one is offered --------------------------------------------------

void s3_logging_put(struct s3_req *q)
{
	struct xml_node *root = NULL;

	if (!s3_body_xml(q, "BucketLoggingStatus", &root))
		return;
	if (root->first)
		s3_fail(q, S3_NOT_IMPLEMENTED);
	else
		s3_empty(q, 200);
}

// ---- who pays ------------------------------------------------------------------------------------------

// Nobody is charged here; the setting is kept for those who ask.
void s3_payment_get(struct s3_req *q)
{
	struct span payer = SPAN("BucketOwner");
	auto_buf struct buf b = { 0 };
	struct err e = { 0 };

	if (store_config_get(q->s3->o.store, q->bucket_name, "requestPayment", q->mem, &payer, &e) <
		    0 &&
	    e.sys != STORE_NO_CONFIG) {
		s3_fail_store(q, &e);
		return;
	}
	s3_xml_begin(&b, "RequestPaymentConfiguration");
	xml_add(&b, "Payer", payer);
	s3_xml_send(q, &b, "RequestPaymentConfiguration");
}

void s3_payment_put(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct span payer;

	if (!s3_body_xml(q, "RequestPaymentConfiguration", &root))
		return;
	payer = xml_text(root, "Payer");
	if (span_is(payer, "Requester") || span_is(payer, "BucketOwner"))
		s3_doc_set(q, "requestPayment", payer, 200);
	else
		s3_fail(q, S3_MALFORMED_XML);
}

void s3_not_implemented(struct s3_req *q)
{
	s3_fail(q, S3_NOT_IMPLEMENTED);
}

void s3_not_allowed(struct s3_req *q)
{
	s3_fail(q, S3_METHOD_NOT_ALLOWED);
}
