// error: the codes of S3 with their status and text: the one table from our errors to the wire. Private to s3.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"

enum s3_code {
	S3_OK,
	S3_ACCESS_DENIED,
	S3_AUTH_HEADER_MALFORMED,
	S3_AUTH_QUERY,
	S3_BAD_DIGEST,
	S3_BUCKET_EXISTS,
	S3_BUCKET_NOT_EMPTY,
	S3_BUCKET_OWNED,
	S3_ENTITY_TOO_LARGE,
	S3_ENTITY_TOO_SMALL,
	S3_INCOMPLETE_BODY,
	S3_INTERNAL,
	S3_INVALID_ACCESS_KEY,
	S3_INVALID_ARGUMENT,
	S3_INVALID_BUCKET_NAME,
	S3_INVALID_BUCKET_STATE,
	S3_INVALID_DIGEST,
	S3_INVALID_LOCATION,
	S3_INVALID_PART,
	S3_INVALID_PART_ORDER,
	S3_INVALID_RANGE,
	S3_INVALID_REQUEST,
	S3_INVALID_RETENTION,
	S3_INVALID_STORAGE_CLASS,
	S3_INVALID_TAG,
	S3_KEY_TOO_LONG,
	S3_MALFORMED_XML,
	S3_METADATA_TOO_LARGE,
	S3_METHOD_NOT_ALLOWED,
	S3_MISSING_LENGTH,
	S3_NOT_IMPLEMENTED,
	S3_NOT_MODIFIED,
	S3_NO_ACCESS_BLOCK,
	S3_NO_BUCKET,
	S3_NO_CORS,
	S3_NO_ENCRYPTION,
	S3_NO_KEY,
	S3_NO_LIFECYCLE,
	S3_NO_OBJECT_LOCK,
	S3_NO_OWNERSHIP,
	S3_NO_POLICY,
	S3_NO_REPLICATION,
	S3_NO_RETENTION,
	S3_NO_TAGS,
	S3_NO_UPLOAD,
	S3_NO_VERSION,
	S3_NO_WEBSITE,
	S3_PRECONDITION_FAILED,
	S3_QUOTA_EXCEEDED,
	S3_SHA256_MISMATCH,
	S3_SIGNATURE,
	S3_SLOW_DOWN,
	S3_STORAGE_FULL,
	S3_TIME_SKEWED,
	S3_UNAVAILABLE,
	S3_CODES,
};

struct s3_error {
	unsigned status;
	const char *code;
	const char *text;
};
const struct s3_error *s3_error(enum s3_code code);

// What an error of the store means; those of authn (err.sys is an enum authn_fault) go the other way.
enum s3_code s3_code_of_store(const struct err *e);
enum s3_code s3_code_of_authn(const struct err *e);
