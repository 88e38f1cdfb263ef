// SPDX-License-Identifier: Apache-2.0
// Bucket policies: set, read, removed, and whether they make a bucket public.
#include "s3/request.h"

void s3_doc_set(struct s3_req *q, const char *kind, struct span doc, unsigned status)
{
	struct store *s = q->s3->o.store;
	struct err e = { 0 };
	int bad = doc.p ? store_config_set(s, q->bucket_name, kind, doc, &e)
			: store_config_remove(s, q->bucket_name, kind, &e);

	if (bad && !(e.code == ERR_NOT_FOUND && e.sys == STORE_NO_CONFIG))
		s3_fail_store(q, &e);
	else
		s3_empty(q, status);
}

void s3_policy_get(struct s3_req *q)
{
	struct span doc = { 0 };
	struct err e = { 0 };

	if (store_config_get(q->s3->o.store, q->bucket_name, S3_DOC_POLICY, q->mem, &doc, &e) == 0)
		http_reply_kept(q->http, 200, "application/json", doc);
	else if (e.sys == STORE_NO_CONFIG)
		s3_fail(q, S3_NO_POLICY);
	else
		s3_fail_store(q, &e);
}

void s3_policy_put(struct s3_req *q)
{
	struct span text = buf_span(&q->body.small);
	auto_policy struct policy *p = NULL;
	const char *unknown;
	struct err e = { 0 };

	if (policy_parse(&p, text, q->bucket.name, &e) < 0)
		s3_failf(q, S3_MALFORMED_POLICY, "%s", e.msg);
	else if ((unknown = policy_unknown_key(p, s3_context_known)))
		s3_failf(q, S3_MALFORMED_POLICY, "Policy has an invalid condition key: %.64s",
			 unknown);
	else if (q->access->block.policy && policy_is_public(p))
		s3_fail(q, S3_ACCESS_DENIED);
	else
		s3_doc_set(q, S3_DOC_POLICY, text, 204);
}

void s3_policy_delete(struct s3_req *q)
{
	s3_doc_set(q, S3_DOC_POLICY, span_make(NULL, 0), 204);
}

// Access lists count as well: what matters is whether strangers get in.
void s3_policy_status(struct s3_req *q)
{
	const struct s3_access *a = q->access;
	auto_buf struct buf b = { 0 };

	s3_xml_begin(&b, "PolicyStatus");
	xml_add_bool(&b, "IsPublic",
		     (a->policy && policy_is_public(a->policy)) ||
			     (a->has_acl && a->ownership != S3_OWNER_ENFORCED &&
			      !a->block.ignore_acls && acl_is_public(&a->acl)));
	s3_xml_send(q, &b, "PolicyStatus");
}
