// SPDX-License-Identifier: Apache-2.0
// Ownership controls and the block of public access.
#include "s3/request.h"

// ---- ownership -----------------------------------------------------------------------------------------

void s3_ownership_get(struct s3_req *q)
{
	auto_buf struct buf b = { 0 };

	if (q->access->ownership == S3_OWNER_UNSET) {
		s3_fail(q, S3_NO_OWNERSHIP);
		return;
	}
	s3_xml_begin(&b, "OwnershipControls");
	xml_open(&b, "Rule");
	xml_add(&b, "ObjectOwnership", span_of(s3_ownership_name(q->access->ownership)));
	xml_close(&b, "Rule");
	s3_xml_send(q, &b, "OwnershipControls");
}

// Lists of others would silently stop to count.
static bool list_may_go(const struct s3_req *q)
{
	for (size_t i = 0; q->access->has_acl && i < q->access->acl.n; i++)
		if (q->access->acl.grants[i].grantee != ACL_USER ||
		    q->access->acl.grants[i].user != q->bucket.owner)
			return false;
	return true;
}

void s3_ownership_put(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct span word;

	if (!s3_body_xml(q, "OwnershipControls", &root))
		return;
	word = xml_text(xml_child(root, "Rule"), "ObjectOwnership");
	if (s3_ownership_named(word) == S3_OWNER_UNSET)
		s3_fail(q, S3_MALFORMED_XML);
	else if (s3_ownership_named(word) == S3_OWNER_ENFORCED && !list_may_go(q))
		s3_fail(q, S3_ACL_WITH_OWNERSHIP);
	else
		s3_doc_set(q, S3_DOC_OWNERSHIP, word, 200);
}

void s3_ownership_delete(struct s3_req *q)
{
	s3_doc_set(q, S3_DOC_OWNERSHIP, span_make(NULL, 0), 204);
}

// ---- public access -------------------------------------------------------------------------------------

void s3_block_get(struct s3_req *q)
{
	const struct s3_block *s = &q->access->block;
	auto_buf struct buf b = { 0 };

	if (!q->access->block_set) {
		s3_fail(q, S3_NO_ACCESS_BLOCK);
		return;
	}
	s3_xml_begin(&b, "PublicAccessBlockConfiguration");
	xml_add_bool(&b, "BlockPublicAcls", s->acls);
	xml_add_bool(&b, "IgnorePublicAcls", s->ignore_acls);
	xml_add_bool(&b, "BlockPublicPolicy", s->policy);
	xml_add_bool(&b, "RestrictPublicBuckets", s->restrict_buckets);
	s3_xml_send(q, &b, "PublicAccessBlockConfiguration");
}

static bool take_switch(struct s3_req *q, const struct xml_node *root, const char *name, bool *out)
{
	struct span v = span_trim(xml_text(root, name));

	*out = span_eq_nocase(v, SPAN("true"));
	return *out || !v.n || span_eq_nocase(v, SPAN("false")) || s3_fail(q, S3_MALFORMED_XML);
}

void s3_block_put(struct s3_req *q)
{
	struct xml_node *root = NULL;
	struct s3_block b;
	char text[5];

	if (s3_body_xml(q, "PublicAccessBlockConfiguration", &root) &&
	    take_switch(q, root, "BlockPublicAcls", &b.acls) &&
	    take_switch(q, root, "IgnorePublicAcls", &b.ignore_acls) &&
	    take_switch(q, root, "BlockPublicPolicy", &b.policy) &&
	    take_switch(q, root, "RestrictPublicBuckets", &b.restrict_buckets)) {
		s3_block_text(&b, text);
		s3_doc_set(q, S3_DOC_BLOCK, span_of(text), 200);
	}
}

void s3_block_delete(struct s3_req *q)
{
	s3_doc_set(q, S3_DOC_BLOCK, span_make(NULL, 0), 204);
}
