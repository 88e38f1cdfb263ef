// SPDX-License-Identifier: Apache-2.0
// Who may do what: policies first, one denial outweighing all; then the access lists of bucket and object; then what
// auth grants on a bucket as a whole.
#include "auth/iam.h"
#include "s3/request.h"

// ---- what an operation needs ---------------------------------------------------------------------------

struct need {
	const char *name; // of the operation, in order
	const char *action, *version_action;
	unsigned bucket, object; // rights of an access list; both 0: the owner alone
	bool late;		 // looked at by the operation itself, when it knows the keys
};

// Operations that are not here need what their line in route.c says, and their action has their name.
static const struct need needs[] = {
	{ "AbortMultipartUpload", "s3:AbortMultipartUpload", NULL, ACL_WRITE, 0, false },
	{ "CompleteMultipartUpload", "s3:PutObject", NULL, ACL_WRITE, 0, false },
	{ "CopyObject", "s3:PutObject", NULL, ACL_WRITE, 0, false },
	{ "CreateMultipartUpload", "s3:PutObject", NULL, ACL_WRITE, 0, false },
	{ "DeleteBucketCors", "s3:PutBucketCORS", NULL, 0, 0, false },
	{ "DeleteBucketLifecycle", "s3:PutLifecycleConfiguration", NULL, 0, 0, false },
	{ "DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls", NULL, 0, 0, false },
	{ "DeleteBucketTagging", "s3:PutBucketTagging", NULL, 0, 0, false },
	{ "DeleteObject", "s3:DeleteObject", "s3:DeleteObjectVersion", ACL_WRITE, 0, false },
	{ "DeleteObjectTagging", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", 0,
	  ACL_WRITE, false },
	{ "DeleteObjects", "s3:DeleteObject", NULL, ACL_WRITE, 0, true },
	{ "DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock", NULL, 0, 0, false },
	{ "Get accelerate", "s3:GetAccelerateConfiguration", NULL, 0, 0, false },
	{ "Get encryption", "s3:GetEncryptionConfiguration", NULL, 0, 0, false },
	{ "Get logging", "s3:GetBucketLogging", NULL, 0, 0, false },
	{ "Get notification", "s3:GetBucketNotification", NULL, 0, 0, false },
	{ "Get replication", "s3:GetReplicationConfiguration", NULL, 0, 0, false },
	{ "Get website", "s3:GetBucketWebsite", NULL, 0, 0, false },
	{ "GetBucketAcl", "s3:GetBucketAcl", NULL, ACL_READ_ACP, 0, false },
	{ "GetBucketCors", "s3:GetBucketCORS", NULL, 0, 0, false },
	{ "GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration", NULL, 0, 0, false },
	{ "GetObject", "s3:GetObject", "s3:GetObjectVersion", 0, ACL_READ, false },
	{ "GetObjectAcl", "s3:GetObjectAcl", "s3:GetObjectVersionAcl", 0, ACL_READ_ACP, false },
	{ "GetObjectAttributes", "s3:GetObject", "s3:GetObjectVersion", 0, ACL_READ, false },
	{ "GetObjectLegalHold", "s3:GetObjectLegalHold", NULL, 0, 0, false },
	{ "GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration", NULL, 0, 0, false },
	{ "GetObjectRetention", "s3:GetObjectRetention", NULL, 0, 0, false },
	{ "GetObjectTagging", "s3:GetObjectTagging", "s3:GetObjectVersionTagging", 0, ACL_READ,
	  false },
	{ "GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", NULL, 0, 0, false },
	{ "HeadBucket", "s3:ListBucket", NULL, ACL_READ, 0, false },
	{ "HeadObject", "s3:GetObject", "s3:GetObjectVersion", 0, ACL_READ, false },
	{ "ListMultipartUploads", "s3:ListBucketMultipartUploads", NULL, ACL_READ, 0, false },
	{ "ListObjectVersions", "s3:ListBucketVersions", NULL, ACL_READ, 0, false },
	{ "ListObjects", "s3:ListBucket", NULL, ACL_READ, 0, false },
	{ "ListObjectsV2", "s3:ListBucket", NULL, ACL_READ, 0, false },
	{ "ListParts", "s3:ListMultipartUploadParts", NULL, ACL_WRITE, 0, false },
	{ "PostObject", "s3:PutObject", NULL, ACL_WRITE, 0, true },
	{ "PutBucketAcl", "s3:PutBucketAcl", NULL, ACL_WRITE_ACP, 0, false },
	{ "PutBucketCors", "s3:PutBucketCORS", NULL, 0, 0, false },
	{ "PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration", NULL, 0, 0, false },
	{ "PutObjectAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl", 0, ACL_WRITE_ACP, false },
	{ "PutObjectLegalHold", "s3:PutObjectLegalHold", NULL, 0, 0, true },
	{ "PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", NULL, 0, 0, false },
	{ "PutObjectRetention", "s3:PutObjectRetention", NULL, 0, 0, true },
	{ "PutObjectTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging", 0, ACL_WRITE,
	  true },
	{ "PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock", NULL, 0, 0, false },
	{ "UploadPart", "s3:PutObject", NULL, ACL_WRITE, 0, false },
	{ "UploadPartCopy", "s3:PutObject", NULL, ACL_WRITE, 0, false },
};

static int by_name(const void *key, const void *entry)
{
	return strcmp(key, ((const struct need *)entry)->name);
}

void s3_needs_check(void)
{
	for (size_t i = 1; i < ARRAY_LEN(needs); i++)
		check(strcmp(needs[i - 1].name, needs[i].name) < 0);
}

static struct need need_of(struct s3_req *q)
{
	const struct s3_op *op = q->op;
	const struct need *known =
		bsearch(op->name, needs, ARRAY_LEN(needs), sizeof(needs[0]), by_name);
	struct need n = { .name = op->name };

	if (known) {
		n = *known;
		if (n.version_action && s3_param(q, "versionId").n)
			n.action = n.version_action;
		return n;
	}
	n.action = arena_printf(q->mem, "s3:%s", op->name);
	if (op->rights & AUTH_OWN)
		return n;
	// Reading an object by its list needs the operation's help (s3_object_admit): such ones are in the table.
	n.bucket =
		(op->rights & AUTH_LIST ? ACL_READ : 0) | (op->rights & AUTH_WRITE ? ACL_WRITE : 0);
	return n;
}

// ---- policies ------------------------------------------------------------------------------------------

enum verdict { DENIED, ALLOWED, BY_LIST };

// An owner can always mend the policy that shuts him out.
static bool mends_policy(struct s3_req *q, const struct store_bucket *b, const char *action)
{
	return (q->who.user.admin || q->who.user.id == b->owner) &&
	       (strcmp(action, "s3:GetBucketPolicy") == 0 ||
		strcmp(action, "s3:PutBucketPolicy") == 0 ||
		strcmp(action, "s3:DeleteBucketPolicy") == 0);
}

static struct policy_who who(struct s3_req *q)
{
	const struct auth_user *u = &q->who.user;

	return (struct policy_who){
		.anonymous = q->who.anonymous,
		.canonical = span_of(arena_printf(q->mem, "%064llx", (unsigned long long)u->id)),
		.number = span_of(arena_printf(q->mem, "%012lld", (long long)u->id)),
		.name = span_of(u->name),
	};
}

static enum policy_effect ask(struct s3_req *q, const struct policy *p,
			      const struct store_bucket *b, const char *action, struct span key,
			      int64_t version)
{
	struct s3_context context = {
		.q = q, .bucket = span_of(b->name), .key = key, .version = version
	};
	struct policy_request r = { .action = span_of(action),
				    .who = who(q),
				    .values = s3_context_values,
				    .owner = &context };

	r.resource = span_of(
		key.n ? arena_printf(q->mem, "arn:aws:s3:::%s/" SPAN_FMT, b->name, SPAN_ARG(key))
		      : arena_printf(q->mem, "arn:aws:s3:::%s", b->name));
	return policy_decide(p, &r);
}

// What the policies say that administrators gave the user or his groups.
static enum policy_effect ask_own(struct s3_req *q, const struct store_bucket *b,
				  const char *action, struct span key, int64_t version)
{
	struct policy *own[IAM_OF_USER_MAX];
	enum policy_effect said = POLICY_NONE;
	size_t n = q->who.anonymous ? 0 : iam_policies_of(q->s3->o.auth, q->who.user.id, own);

	for (size_t i = 0; i < n; i++) {
		enum policy_effect one =
			said == POLICY_DENY ? said : ask(q, own[i], b, action, key, version);

		if (one != POLICY_NONE)
			said = one;
		policy_free(own[i]);
	}
	return said;
}

bool s3_own_policies_allow(struct s3_req *q, const struct store_bucket *b, const char *action)
{
	return ask_own(q, b, action, SPAN(""), 0) == POLICY_ALLOW;
}

bool s3_is_admin(const struct s3_req *q)
{
	return !q->who.anonymous && (q->who.user.admin || q->who.user.id == AUTH_ADMIN_ID);
}

static enum verdict by_policy(struct s3_req *q, const struct store_bucket *b,
			      const struct s3_access *a, const char *action, struct span key,
			      int64_t version)
{
	enum policy_effect said = POLICY_NONE, own = ask_own(q, b, action, key, version);

	if (own == POLICY_DENY)
		return DENIED;
	if (a->policy)
		said = ask(q, a->policy, b, action, key, version);
	if (said == POLICY_DENY)
		return mends_policy(q, b, action) ? ALLOWED : DENIED;
	if (s3_is_admin(q))
		return ALLOWED;
	if (said == POLICY_ALLOW && a->block.restrict_buckets && policy_is_public(a->policy) &&
	    (q->who.anonymous || q->who.user.id != b->owner))
		said = POLICY_NONE;
	return said == POLICY_ALLOW || own == POLICY_ALLOW ? ALLOWED : BY_LIST;
}

// ---- access lists --------------------------------------------------------------------------------------

bool s3_may(struct s3_req *q, const struct store_bucket *b, unsigned rights)
{
	struct auth_subject s = { .bucket = b->id,
				  .owner = b->owner,
				  .visibility = (enum auth_visibility)b->visibility };
	struct err e = { 0 };

	return auth_may(q->s3->o.auth, q->who.user.id, &s, rights, &e) == 0;
}

static bool owns(struct s3_req *q, const struct store_bucket *b)
{
	return !q->who.anonymous && s3_may(q, b, AUTH_OWN);
}

static unsigned bucket_rights(struct s3_req *q, const struct store_bucket *b,
			      const struct s3_access *a)
{
	bool own = !q->who.anonymous && q->who.user.id == b->owner;
	unsigned has = 0;

	if (a->has_acl && a->ownership != S3_OWNER_ENFORCED)
		has = acl_rights(&a->acl, q->who.user.id, q->who.anonymous, !a->block.ignore_acls);
	else if (own)
		has = ACL_FULL_CONTROL;
	if (own)
		return has | ACL_READ_ACP | ACL_WRITE_ACP;
	if (s3_may(q, b, AUTH_LIST))
		has |= ACL_READ;
	if (s3_may(q, b, AUTH_WRITE))
		has |= ACL_WRITE;
	return owns(q, b) ? ACL_FULL_CONTROL : has;
}

static unsigned object_rights(struct s3_req *q, const struct store_bucket *b,
			      const struct s3_access *a, const struct store_object *o)
{
	int64_t user = q->who.anonymous ? 0 : q->who.user.id;
	struct acl acl;
	unsigned has = 0;

	if (a->ownership == S3_OWNER_ENFORCED)
		has = user == b->owner ? ACL_FULL_CONTROL : 0;
	else if (!o->acl.n)
		has = user == b->owner || user == o->owner ? ACL_FULL_CONTROL : 0;
	else if (acl_parse(o->acl, &acl))
		has = acl_rights(&acl, user, q->who.anonymous, !a->block.ignore_acls);
	if (user == b->owner)
		return has;
	if (s3_may(q, b, AUTH_READ))
		has |= ACL_READ;
	if (s3_may(q, b, AUTH_WRITE))
		has |= ACL_WRITE;
	return owns(q, b) ? ACL_FULL_CONTROL : has;
}

// WRITE of a list is no right to remove versions for good, which are the owner's (Amazon S3 user guide, mapping of ACL
// permissions); what auth grants on the bucket as a whole is.
static bool list_lets_delete(struct s3_req *q, const char *action)
{
	return strcmp(action, "s3:DeleteObjectVersion") == 0
		       ? s3_may(q, &q->bucket, AUTH_WRITE)
		       : bucket_rights(q, &q->bucket, q->access) & ACL_WRITE;
}

// ---- deciding ------------------------------------------------------------------------------------------

// x-amz-expected-bucket-owner: a canonical id, account number or name.
static bool expected_owner(struct s3_req *q, const char *header, const struct store_bucket *b)
{
	struct span wanted = http_header(q->http, header);
	struct auth_user u = { .name = "" };
	struct err ignored = { 0 };
	int64_t id;

	if (!wanted.p)
		return true;
	if (auth_user_by_id(q->s3->o.auth, b->owner, &u, &ignored) < 0)
		u.name[0] = '\0';
	return (s3_canonical_user(q, wanted, &id) && id == b->owner) ||
	       span_is(wanted, arena_printf(q->mem, "%012lld", (long long)b->owner)) ||
	       (u.name[0] && span_is(wanted, u.name)) || s3_fail(q, S3_ACCESS_DENIED);
}

static bool may_list(struct s3_req *q, const struct store_bucket *b, const struct s3_access *a)
{
	enum verdict v = by_policy(q, b, a, "s3:ListBucket", SPAN(""), 0);

	return v == ALLOWED || (v == BY_LIST && (bucket_rights(q, b, a) & ACL_READ));
}

// The operation as a whole; what an object's list decides is left for when the object was read.
static bool decide(struct s3_req *q, const struct need *n)
{
	int64_t version = 0;

	if (n->version_action && s3_param(q, "versionId").n &&
	    !s3_param_version(q, s3_param(q, "versionId"), &version))
		return false;
	switch (by_policy(q, &q->bucket, q->access, n->action, q->key, version)) {
	case ALLOWED:
		return true;
	case DENIED:
		return s3_fail(q, S3_ACCESS_DENIED);
	case BY_LIST:
		break;
	}
	if (n->object) {
		q->object_right = n->object;
		return true;
	}
	if (strcmp(n->name, "DeleteObject") == 0)
		return list_lets_delete(q, n->action) || s3_fail(q, S3_ACCESS_DENIED);
	if (n->bucket ? (n->bucket & ~bucket_rights(q, &q->bucket, q->access)) == 0
		      : owns(q, &q->bucket))
		return true;
	return s3_fail(q, S3_ACCESS_DENIED);
}

// Every known user may, unless a policy of his says no.
static bool own_policies_let(struct s3_req *q, struct span bucket, const char *action)
{
	struct store_bucket wanted = { .id = 0 };

	snprintf(wanted.name, sizeof(wanted.name), SPAN_FMT, SPAN_ARG(bucket));
	return ask_own(q, &wanted, action, SPAN(""), 0) != POLICY_DENY ||
	       s3_fail(q, S3_ACCESS_DENIED);
}

bool s3_admit(struct s3_req *q)
{
	struct need n;
	struct err e = { 0 };

	if (strcmp(q->op->name, "ListBuckets") == 0) // each sees his own
		return own_policies_let(q, SPAN("*"), "s3:ListAllMyBuckets");
	if (q->op->level == S3_SERVICE)
		return true;
	if (!q->op->rights) // makes a bucket
		return q->who.anonymous ? s3_fail(q, S3_ACCESS_DENIED)
					: own_policies_let(q, q->bucket_name, "s3:CreateBucket");
	if (store_bucket_look(q->s3->o.store, q->bucket_name, &q->bucket, &e) < 0 ||
	    s3_access_get(q->s3, &q->bucket, &q->access, &e) < 0)
		return s3_fail_store(q, &e);
	if (!expected_owner(q, "x-amz-expected-bucket-owner", &q->bucket))
		return false;
	n = need_of(q);
	return n.late || decide(q, &n);
}

bool s3_admit_late(struct s3_req *q)
{
	struct need n = need_of(q);

	return decide(q, &n);
}

bool s3_object_admit(struct s3_req *q, const struct store_object *o)
{
	unsigned has;

	if (!q->object_right)
		return true;
	has = object_rights(q, &q->bucket, q->access, o);
	return (q->object_right & ~has) == 0 || s3_fail(q, S3_ACCESS_DENIED);
}

bool s3_object_missing(struct s3_req *q, const struct err *e)
{
	if (e->code == ERR_NOT_FOUND && e->sys != STORE_NO_BUCKET && q->object_right &&
	    !may_list(q, &q->bucket, q->access))
		return s3_fail(q, S3_ACCESS_DENIED);
	return s3_fail_store(q, e);
}

bool s3_allowed(struct s3_req *q, const char *action, struct span key, int64_t version)
{
	enum verdict v = by_policy(q, &q->bucket, q->access, action, key, version);

	if (v != BY_LIST)
		return v == ALLOWED;
	if (strncmp(action, "s3:DeleteObject", 15) == 0)
		return list_lets_delete(q, action);
	return owns(q, &q->bucket);
}

bool s3_not_denied(struct s3_req *q, const char *action)
{
	return by_policy(q, &q->bucket, q->access, action, q->key, 0) != DENIED ||
	       s3_fail(q, S3_ACCESS_DENIED);
}

bool s3_source_admit(struct s3_req *q, const struct store_bucket *b, const struct store_object *o,
		     bool by_version)
{
	struct s3_access *a;
	struct err e = { 0 };
	enum verdict v;

	if (!expected_owner(q, "x-amz-source-expected-bucket-owner", b))
		return false;
	if (s3_access_get(q->s3, b, &a, &e) < 0)
		return s3_fail_store(q, &e);
	v = by_policy(q, b, a, by_version ? "s3:GetObjectVersion" : "s3:GetObject", o->key,
		      o->version);
	if (v == BY_LIST && (object_rights(q, b, a, o) & ACL_READ))
		v = ALLOWED;
	s3_access_put(q->s3, a);
	return v == ALLOWED || s3_fail(q, S3_ACCESS_DENIED);
}

bool s3_source_missing(struct s3_req *q, const struct store_bucket *b, const struct err *e)
{
	struct s3_access *a;
	struct err bad = { 0 };
	bool named;

	if (s3_access_get(q->s3, b, &a, &bad) < 0)
		return s3_fail_store(q, &bad);
	named = e->code != ERR_NOT_FOUND || may_list(q, b, a);
	s3_access_put(q->s3, a);
	return named ? s3_fail_store(q, e) : s3_fail(q, S3_ACCESS_DENIED);
}
