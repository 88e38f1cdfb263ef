// SPDX-License-Identifier: Apache-2.0
#include "s3/error.h"

#include "authn/authn.h"
#include "store/store.h"

static const struct s3_error errors[S3_CODES] = {
	[S3_OK] = { 200, "OK", "" },
	[S3_ACCESS_DENIED] = { 403, "AccessDenied", "Access Denied." },
	[S3_ACCESS_FORBIDDEN] = { 403, "AccessForbidden",
				  "CORSResponse: This CORS request is not allowed." },
	[S3_ACL_WITH_OWNERSHIP] = { 400, "InvalidBucketAclWithObjectOwnership",
				    "Bucket cannot have ACLs set with ObjectOwnership's "
				    "BucketOwnerEnforced setting" },
	[S3_ADMIN_BAD_BODY] = { 400, "XMinioAdminConfigBadJSON",
				"The body was not sealed with the caller's secret key." },
	[S3_ADMIN_INVALID] = { 400, "XMinioAdminInvalidArgument", "An argument is invalid." },
	[S3_ADMIN_IN_USE] = { 409, "XMinioAdminResourceInUse", "It is in use." },
	[S3_ADMIN_NO_GROUP] = { 404, "XMinioAdminNoSuchGroup", "There is no such group." },
	[S3_ADMIN_NO_POLICY] = { 404, "XMinioAdminNoSuchPolicy", "There is no such policy." },
	[S3_ADMIN_NO_USER] = { 404, "XMinioAdminNoSuchUser", "There is no such user." },
	[S3_AUTH_HEADER_MALFORMED] = { 400, "AuthorizationHeaderMalformed",
				       "The authorization header is malformed." },
	[S3_AUTH_QUERY] = { 400, "AuthorizationQueryParametersError",
			    "The query parameters of the signature are wrong." },
	[S3_BAD_DIGEST] = { 400, "BadDigest",
			    "The checksum you specified did not match what we received." },
	[S3_BAD_REQUEST] = { 400, "BadRequest", "The request is not understood." },
	[S3_BUCKET_EXISTS] = { 409, "BucketAlreadyExists",
			       "The bucket name is taken by another user." },
	[S3_BUCKET_NOT_EMPTY] = { 409, "BucketNotEmpty", "The bucket is not empty." },
	[S3_BUCKET_OWNED] = { 409, "BucketAlreadyOwnedByYou",
			      "You already own a bucket of this name." },
	[S3_ENTITY_TOO_LARGE] = { 400, "EntityTooLarge", "The body is larger than allowed." },
	[S3_ENTITY_TOO_SMALL] = { 400, "EntityTooSmall",
				  "A part that is not the last is smaller than allowed." },
	[S3_INCOMPLETE_BODY] = { 400, "IncompleteBody",
				 "The body is not what its headers announced." },
	[S3_INTERNAL] = { 500, "InternalError", "We met an internal error, please try again." },
	[S3_INVALID_ACCESS_KEY] = { 403, "InvalidAccessKeyId",
				    "The access key you provided does not exist." },
	[S3_INVALID_ARGUMENT] = { 400, "InvalidArgument", "An argument is invalid." },
	[S3_INVALID_BUCKET_NAME] = { 400, "InvalidBucketName", "The bucket name is not valid." },
	[S3_INVALID_BUCKET_STATE] = { 409, "InvalidBucketState",
				      "The request is not valid with the current state of the "
				      "bucket." },
	[S3_INVALID_DIGEST] = { 400, "InvalidDigest", "The Content-MD5 is not valid." },
	[S3_INVALID_LOCATION] = { 400, "InvalidLocationConstraint",
				  "This is not the region of this server." },
	[S3_INVALID_PART] = { 400, "InvalidPart",
			      "A part was not found, or its entity tag is another." },
	[S3_INVALID_PART_ORDER] = { 400, "InvalidPartOrder",
				    "The parts are not in ascending order." },
	[S3_INVALID_POLICY_DOCUMENT] = { 400, "InvalidPolicyDocument",
					 "The content of the form does not meet the conditions "
					 "specified in the policy document." },
	[S3_INVALID_RANGE] = { 416, "InvalidRange", "The requested range cannot be satisfied." },
	[S3_INVALID_REQUEST] = { 400, "InvalidRequest", "The request is invalid." },
	[S3_INVALID_RETENTION] = { 400, "InvalidRetentionPeriod",
				   "The retention period is not valid." },
	[S3_INVALID_STORAGE_CLASS] = { 400, "InvalidStorageClass",
				       "The storage class is not valid." },
	[S3_INVALID_TAG] = { 400, "InvalidTag", "A tag is not valid." },
	[S3_INVALID_URI] = { 400, "InvalidURI", "Couldn't parse the specified URI." },
	[S3_KEY_TOO_LONG] = { 400, "KeyTooLongError", "The key is too long." },
	[S3_MALFORMED_POLICY] = { 400, "MalformedPolicy", "The policy is not valid." },
	[S3_MALFORMED_POST] = { 400, "MalformedPOSTRequest",
				"The body of your POST request is not well-formed "
				"multipart/form-data." },
	[S3_MALFORMED_XML] = { 400, "MalformedXML", "The XML you provided was not well-formed." },
	[S3_METADATA_TOO_LARGE] = { 400, "MetadataTooLarge",
				    "The metadata headers are larger than allowed." },
	[S3_METHOD_NOT_ALLOWED] = { 405, "MethodNotAllowed",
				    "The method is not allowed against this resource." },
	[S3_MISSING_LENGTH] = { 411, "MissingContentLength", "A Content-Length is needed." },
	[S3_NOT_A_FORM] = { 412, "PreconditionFailed",
			    "Bucket POST must be of the enclosure-type multipart/form-data" },
	[S3_NOT_IMPLEMENTED] = { 501, "NotImplemented", "This is not implemented." },
	[S3_NOT_MODIFIED] = { 304, "NotModified", "" },
	[S3_NO_ACCESS_BLOCK] = { 404, "NoSuchPublicAccessBlockConfiguration",
				 "There is no public access block configuration." },
	[S3_NO_ACL_SUPPORT] = { 400, "AccessControlListNotSupported",
				"The bucket does not allow ACLs" },
	[S3_NO_BUCKET] = { 404, "NoSuchBucket", "The bucket does not exist." },
	[S3_NO_CORS] = { 404, "NoSuchCORSConfiguration", "There is no CORS configuration." },
	[S3_NO_ENCRYPTION] = { 404, "ServerSideEncryptionConfigurationNotFoundError",
			       "There is no encryption configuration." },
	[S3_NO_KEY] = { 404, "NoSuchKey", "The key does not exist." },
	[S3_NO_LIFECYCLE] = { 404, "NoSuchLifecycleConfiguration",
			      "There is no lifecycle configuration." },
	[S3_NO_OBJECT_LOCK] = { 404, "ObjectLockConfigurationNotFoundError",
				"There is no object lock configuration." },
	[S3_NO_OWNERSHIP] = { 404, "OwnershipControlsNotFoundError",
			      "There are no ownership controls." },
	[S3_NO_POLICY] = { 404, "NoSuchBucketPolicy", "There is no bucket policy." },
	[S3_NO_REPLICATION] = { 404, "ReplicationConfigurationNotFoundError",
				"There is no replication configuration." },
	[S3_NO_RETENTION] = { 404, "NoSuchObjectLockConfiguration",
			      "The object has no lock configuration." },
	[S3_NO_TAGS] = { 404, "NoSuchTagSet", "There is no tag set." },
	[S3_NO_UPLOAD] = { 404, "NoSuchUpload",
			   "The upload does not exist; it may have been completed or aborted." },
	[S3_NO_VERSION] = { 404, "NoSuchVersion", "The version does not exist." },
	[S3_NO_WEBSITE] = { 404, "NoSuchWebsiteConfiguration",
			    "There is no website configuration." },
	[S3_POST_TOO_LARGE] = { 400, "MaxPostPreDataLengthExceeded",
				"Your POST request fields preceding the upload file were too "
				"large." },
	[S3_PRECONDITION_FAILED] = { 412, "PreconditionFailed",
				     "At least one of the preconditions did not hold." },
	[S3_QUOTA_EXCEEDED] = { 400, "XMinioAdminBucketQuotaExceeded",
				"The bucket quota is exceeded." },
	[S3_SHA256_MISMATCH] = { 400, "XAmzContentSHA256Mismatch",
				 "The x-amz-content-sha256 did not match what we received." },
	[S3_SIGNATURE] = { 403, "SignatureDoesNotMatch",
			   "The signature we calculated does not match the one you provided." },
	[S3_SLOW_DOWN] = { 503, "SlowDown", "Please reduce your request rate." },
	[S3_STORAGE_FULL] = { 507, "XMinioStorageFull", "There is no room left to store this." },
	[S3_TIME_SKEWED] = { 403, "RequestTimeTooSkewed",
			     "The difference between your clock and ours is too large." },
	[S3_UNAVAILABLE] = { 503, "ServiceUnavailable",
			     "The service cannot do this at the moment, please try again." },
	[S3_UNEXPECTED_CONTENT] = { 400, "UnexpectedContent",
				    "This request does not support content" },
	[S3_UNRESOLVABLE_EMAIL] = { 400, "UnresolvableGrantByEmailAddress",
				    "The e-mail address you provided does not match any account on "
				    "record." },
};

const struct s3_error *s3_error(enum s3_code code)
{
	return &errors[code];
}

static enum s3_code missing_code(int what)
{
	switch (what) {
	case STORE_NO_BUCKET:
		return S3_NO_BUCKET;
	case STORE_NO_VERSION:
		return S3_NO_VERSION;
	case STORE_NO_UPLOAD:
		return S3_NO_UPLOAD;
	case STORE_NO_PART:
		return S3_INVALID_PART;
	case STORE_DELETE_MARKER:
		return S3_METHOD_NOT_ALLOWED;
	default:
		return S3_NO_KEY;
	}
}

static enum s3_code invalid_code(int fault)
{
	switch (fault) {
	case STORE_PART_ORDER:
		return S3_INVALID_PART_ORDER;
	case STORE_PART_UNKNOWN:
		return S3_INVALID_PART;
	case STORE_PART_SMALL:
		return S3_ENTITY_TOO_SMALL;
	case STORE_BAD_MD5:
		return S3_BAD_DIGEST;
	default:
		return S3_INVALID_ARGUMENT;
	}
}

enum s3_code s3_code_of_store(const struct err *e)
{
	switch (e->code) {
	case ERR_INVALID:
		return invalid_code(e->sys);
	case ERR_NOT_FOUND:
		return missing_code(e->sys);
	case ERR_EXISTS:
		return S3_BUCKET_OWNED;
	case ERR_CONFLICT:
		return S3_PRECONDITION_FAILED;
	case ERR_DENIED:
	case ERR_UNAUTH:
		return S3_ACCESS_DENIED;
	case ERR_LIMIT:
		return e->sys == STORE_OVER_QUOTA ? S3_QUOTA_EXCEEDED : S3_ENTITY_TOO_LARGE;
	case ERR_PROTOCOL:
		return S3_INCOMPLETE_BODY;
	case ERR_UNSUPPORTED:
		return S3_NOT_IMPLEMENTED;
	case ERR_BUSY:
		return S3_SLOW_DOWN;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_CANCELLED:
	case ERR_IO: // of the disk: it may go better later
		return S3_UNAVAILABLE;
	case ERR_FULL:
		return S3_STORAGE_FULL;
	case ERR_NONE:
	case ERR_CORRUPT:
	case ERR_BUG:
		break;
	}
	return S3_INTERNAL;
}

enum s3_code s3_code_of_authn(const struct err *e)
{
	switch ((enum authn_fault)e->sys) {
	case AUTHN_MALFORMED:
	case AUTHN_REGION:
		return S3_AUTH_HEADER_MALFORMED;
	case AUTHN_MALFORMED_QUERY:
		return S3_AUTH_QUERY;
	case AUTHN_TWO_WAYS:
	case AUTHN_OLD_HEADER:
	case AUTHN_FORM_INCOMPLETE:
	case AUTHN_BAD_PAYLOAD_HASH:
		return S3_INVALID_ARGUMENT;
	case AUTHN_NO_PAYLOAD_HASH:
		return S3_INVALID_REQUEST;
	case AUTHN_NO_DATE:
	case AUTHN_EXPIRED:
	case AUTHN_EXPIRES_RANGE:
	case AUTHN_UNSIGNED_HEADERS:
		return S3_ACCESS_DENIED;
	case AUTHN_SKEW:
		return S3_TIME_SKEWED;
	case AUTHN_UNKNOWN_KEY:
		return S3_INVALID_ACCESS_KEY;
	case AUTHN_WRONG_SIGNATURE:
		return S3_SIGNATURE;
	case AUTHN_UNSUPPORTED:
		return S3_NOT_IMPLEMENTED;
	}
	return S3_INTERNAL;
}
