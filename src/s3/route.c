// SPDX-License-Identifier: Apache-2.0
// Which operation a request asks for. The first line that fits decides, so members and headers come before
// the plain forms. A member of the query that is none of S3's is not looked at, as the peers do it; one that is S3's
// never falls through to the plain form: DELETE of an object's annotation must not delete the object.
#include "s3/request.h"

// clang-format off
#define GET_UNSET(sub_) \
	{ "Get " sub_, HTTP_GET, S3_BUCKET, sub_, NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_bucket_unset }
#define DELETE_UNSET(sub_) \
	{ "Delete " sub_, HTTP_DELETE, S3_BUCKET, sub_, NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_bucket_unset_delete }

static const struct s3_op ops[] = {
	{ "ListenNotification", HTTP_GET, S3_SERVICE, "events", NULL, 0, S3_BODY_NONE, false, NULL, s3_listen },
	{ "ListBuckets", HTTP_GET, S3_SERVICE, NULL, NULL, 0, S3_BODY_NONE, false, NULL, s3_service_list },

	{ "GetBucketVersioning", HTTP_GET, S3_BUCKET, "versioning", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_versioning_get },
	{ "PutBucketVersioning", HTTP_PUT, S3_BUCKET, "versioning", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_versioning_put },
	{ "GetBucketLifecycleConfiguration", HTTP_GET, S3_BUCKET, "lifecycle", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_lifecycle_get },
	{ "PutBucketLifecycleConfiguration", HTTP_PUT, S3_BUCKET, "lifecycle", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_lifecycle_put },
	{ "DeleteBucketLifecycle", HTTP_DELETE, S3_BUCKET, "lifecycle", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_lifecycle_delete },
	{ "GetObjectLockConfiguration", HTTP_GET, S3_BUCKET, "object-lock", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_lock_config_get },
	{ "PutObjectLockConfiguration", HTTP_PUT, S3_BUCKET, "object-lock", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_lock_config_put },

	{ "GetBucketLocation", HTTP_GET, S3_BUCKET, "location", NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_bucket_location },
	{ "ListMultipartUploads", HTTP_GET, S3_BUCKET, "uploads", NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_upload_list },
	{ "ListObjectVersions", HTTP_GET, S3_BUCKET, "versions", NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_list_versions },
	{ "GetBucketTagging", HTTP_GET, S3_BUCKET, "tagging", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_bucket_tags_get },
	{ "GetBucketAcl", HTTP_GET, S3_BUCKET, "acl", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_bucket_acl_get },
	GET_UNSET("accelerate"), GET_UNSET("encryption"),
	GET_UNSET("logging"), GET_UNSET("replication"),
	GET_UNSET("website"),

	{ "PutBucketTagging", HTTP_PUT, S3_BUCKET, "tagging", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_bucket_tags_put },
	{ "PutBucketAcl", HTTP_PUT, S3_BUCKET, "acl", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_bucket_acl_put },

	{ "DeleteBucketTagging", HTTP_DELETE, S3_BUCKET, "tagging", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_bucket_tags_delete },
	DELETE_UNSET("encryption"),
	DELETE_UNSET("replication"), DELETE_UNSET("website"),

	{ "GetBucketNotification", HTTP_GET, S3_BUCKET, "notification", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_notification_get },
	{ "ListenBucketNotification", HTTP_GET, S3_BUCKET, "events", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_listen_bucket },
	{ "PutBucketNotification", HTTP_PUT, S3_BUCKET, "notification", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_notification_put },
	{ "PutBucketLogging", HTTP_PUT, S3_BUCKET, "logging", NULL, AUTH_OWN, S3_BODY_SMALL, false, NULL, s3_logging_put },
	{ "GetBucketRequestPayment", HTTP_GET, S3_BUCKET, "requestPayment", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_payment_get },
	{ "PutBucketRequestPayment", HTTP_PUT, S3_BUCKET, "requestPayment", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_payment_put },
	{ "GetBucketCors", HTTP_GET, S3_BUCKET, "cors", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_bucket_cors_get },
	{ "PutBucketCors", HTTP_PUT, S3_BUCKET, "cors", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_bucket_cors_put },
	{ "DeleteBucketCors", HTTP_DELETE, S3_BUCKET, "cors", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_bucket_cors_delete },
	{ "GetBucketPolicy", HTTP_GET, S3_BUCKET, "policy", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_policy_get },
	{ "PutBucketPolicy", HTTP_PUT, S3_BUCKET, "policy", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_policy_put },
	{ "DeleteBucketPolicy", HTTP_DELETE, S3_BUCKET, "policy", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_policy_delete },
	{ "GetBucketPolicyStatus", HTTP_GET, S3_BUCKET, "policyStatus", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_policy_status },
	{ "GetBucketOwnershipControls", HTTP_GET, S3_BUCKET, "ownershipControls", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_ownership_get },
	{ "PutBucketOwnershipControls", HTTP_PUT, S3_BUCKET, "ownershipControls", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_ownership_put },
	{ "DeleteBucketOwnershipControls", HTTP_DELETE, S3_BUCKET, "ownershipControls", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_ownership_delete },
	{ "GetPublicAccessBlock", HTTP_GET, S3_BUCKET, "publicAccessBlock", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_block_get },
	{ "PutPublicAccessBlock", HTTP_PUT, S3_BUCKET, "publicAccessBlock", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_block_put },
	{ "DeletePublicAccessBlock", HTTP_DELETE, S3_BUCKET, "publicAccessBlock", NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_block_delete },

	{ "DeleteObjects", HTTP_POST, S3_BUCKET, "delete", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_object_delete_many },
	{ "PostObject", HTTP_POST, S3_BUCKET, NULL, NULL, AUTH_WRITE, S3_BODY_FORM, true, NULL, s3_post_object },
	{ "HeadBucket", HTTP_HEAD, S3_BUCKET, NULL, NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_bucket_head },
	{ "CreateBucket", HTTP_PUT, S3_BUCKET, NULL, NULL, 0, S3_BODY_SMALL, true, NULL, s3_bucket_create },
	{ "DeleteBucket", HTTP_DELETE, S3_BUCKET, NULL, NULL, AUTH_OWN, S3_BODY_NONE, true, NULL, s3_bucket_delete },
	{ "ListObjectsV2", HTTP_GET, S3_BUCKET, "list-type", NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_list_v2 },
	{ "ListObjects", HTTP_GET, S3_BUCKET, NULL, NULL, AUTH_LIST, S3_BODY_NONE, false, NULL, s3_list_v1 },

	{ "ListParts", HTTP_GET, S3_OBJECT, "uploadId", NULL, AUTH_WRITE, S3_BODY_NONE, false, NULL, s3_upload_parts },
	{ "GetObjectTagging", HTTP_GET, S3_OBJECT, "tagging", NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_object_tags_get },
	{ "GetObjectAcl", HTTP_GET, S3_OBJECT, "acl", NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_object_acl_get },
	{ "GetObjectAttributes", HTTP_GET, S3_OBJECT, "attributes", NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_object_attributes },
	{ "GetObjectRetention", HTTP_GET, S3_OBJECT, "retention", NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_retention_get },
	{ "GetObjectLegalHold", HTTP_GET, S3_OBJECT, "legal-hold", NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_hold_get },
	{ "GetObject", HTTP_GET, S3_OBJECT, NULL, NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_object_get },
	{ "HeadObject", HTTP_HEAD, S3_OBJECT, NULL, NULL, AUTH_READ, S3_BODY_NONE, false, NULL, s3_object_head },

	{ "PutObjectTagging", HTTP_PUT, S3_OBJECT, "tagging", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_object_tags_put },
	{ "PutObjectAcl", HTTP_PUT, S3_OBJECT, "acl", NULL, AUTH_OWN, S3_BODY_SMALL, true, NULL, s3_object_acl_put },
	{ "PutObjectRetention", HTTP_PUT, S3_OBJECT, "retention", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_retention_put },
	{ "PutObjectLegalHold", HTTP_PUT, S3_OBJECT, "legal-hold", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_hold_put },
	{ "UploadPartCopy", HTTP_PUT, S3_OBJECT, "uploadId", "x-amz-copy-source", AUTH_WRITE, S3_BODY_NONE, true, NULL, s3_upload_part_copy },
	{ "UploadPart", HTTP_PUT, S3_OBJECT, "uploadId", NULL, AUTH_WRITE, S3_BODY_OBJECT, true, s3_upload_part_begin, s3_upload_part },
	{ "CopyObject", HTTP_PUT, S3_OBJECT, NULL, "x-amz-copy-source", AUTH_WRITE, S3_BODY_NONE, true, NULL, s3_object_copy },
	{ "PutObject", HTTP_PUT, S3_OBJECT, NULL, NULL, AUTH_WRITE, S3_BODY_OBJECT, false, s3_object_put_begin, s3_object_put },

	{ "DeleteObjectTagging", HTTP_DELETE, S3_OBJECT, "tagging", NULL, AUTH_WRITE, S3_BODY_NONE, true, NULL, s3_object_tags_delete },
	{ "AbortMultipartUpload", HTTP_DELETE, S3_OBJECT, "uploadId", NULL, AUTH_WRITE, S3_BODY_NONE, true, NULL, s3_upload_abort },
	{ "DeleteObject", HTTP_DELETE, S3_OBJECT, NULL, NULL, AUTH_WRITE, S3_BODY_NONE, false, NULL, s3_object_delete },

	{ "CreateMultipartUpload", HTTP_POST, S3_OBJECT, "uploads", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_upload_create },
	{ "CompleteMultipartUpload", HTTP_POST, S3_OBJECT, "uploadId", NULL, AUTH_WRITE, S3_BODY_SMALL, true, NULL, s3_upload_complete },
};

static const struct s3_op none = {
	"none", HTTP_OTHER, S3_SERVICE, NULL, NULL, 0, S3_BODY_NONE, false, NULL, s3_not_allowed
};
static const struct s3_op later[] = {
	[S3_BUCKET] = { "later", HTTP_OTHER, S3_BUCKET, NULL, NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_not_implemented },
	[S3_OBJECT] = { "later", HTTP_OTHER, S3_OBJECT, NULL, NULL, AUTH_OWN, S3_BODY_NONE, false, NULL, s3_not_implemented },
};

// Members that name an operation: Amazon S3 API Reference, Actions.
static const char *const members[] = {
	"abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete", "encryption",
	"intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging", "metadataAnnotationTable",
	"metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics",
	"notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock",
	"renameObject", "replication", "requestPayment", "restore", "retention", "select", "session", "tagging",
	"torrent", "uploads", "versioning", "versions", "website",
};
// clang-format on

// For a request that no line with a member fits.
static const struct s3_op *plain(const struct s3_req *q, enum s3_level level,
				 const struct s3_op *op)
{
	struct span ignored;

	for (size_t i = 0; i < ARRAY_LEN(members) && level != S3_SERVICE; i++)
		if (http_query(q->http, members[i], &ignored))
			return &later[level];
	return op;
}

const struct s3_op *s3_route(const struct s3_req *q)
{
	enum s3_level level = !q->bucket_name.n ? S3_SERVICE : q->key.n ? S3_OBJECT : S3_BUCKET;
	enum http_method method = http_method(q->http);
	const struct s3_op *admin = s3_admin_route(q);
	struct span ignored;

	if (admin)
		return admin;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		const struct s3_op *op = &ops[i];

		if (op->method == method && op->level == level &&
		    (!op->sub || http_query(q->http, op->sub, &ignored)) &&
		    (!op->header || http_header(q->http, op->header).p))
			return op->sub ? op : plain(q, level, op);
	}
	return plain(q, level, &none);
}
