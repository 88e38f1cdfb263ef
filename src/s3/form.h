// form: a browser's upload (POST with multipart/form-data): its fields, and the file as it streams in.
// Private to s3. Owner: the request's arena. Threads: those of the request.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/post_policy.h"
#include "codec/form.h"
#include "s3/request.h"

enum { S3_FORM_FIELDS_MAX = 100, S3_FORM_BYTES_MAX = 64 * 1024 };

struct s3_form {
	struct form parser;
	struct post_field fields[S3_FORM_FIELDS_MAX + 1]; // and the bucket, which is added last
	size_t n;
	size_t total;	  // bytes of names and values
	struct span name; // of the field whose value arrives
	struct buf value;
	enum { S3_FORM_FIELD, S3_FORM_FILE, S3_FORM_REST } at;
	struct span filename;
	struct post_range range;
};

// In post.c: the fields are complete and the file begins. False when answered.
bool s3_post_begin(struct s3_req *q);
// The value of a field, p == NULL when there is none.
struct span s3_form_field(const struct s3_form *f, const char *name);
