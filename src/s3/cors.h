// cors: which pages of which origins may use a bucket. Private to s3.
// Owner: rules live in the caller's arena. Threads: no state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum { S3_CORS_RULES_MAX = 100, S3_CORS_BYTES_MAX = 64 * 1024 };

struct s3_cors_list {
	const struct span *items;
	size_t n;
};

struct s3_cors_rule {
	struct span id; // p == NULL when it has none
	struct s3_cors_list origins, methods, headers, expose;
	bool has_age;
	uint64_t age_s;
};

struct s3_cors {
	struct s3_cors_rule *rules;
	size_t n;
};

// The document that PutBucketCors brings. ERR_INVALID: no such document; ERR_UNSUPPORTED: one whose rules cannot be
// kept, with the reason for the sender.
must_check int s3_cors_parse(struct arena *mem, struct span xml, struct s3_cors *out,
			     struct err *e);
void s3_cors_print(struct buf *b, const struct s3_cors *c);

// The first rule for a request: `headers` is the list that a browser asks for, empty for a request itself. *origin
// becomes what the answer allows: the origin, or "*" when the rule is for all. NULL when no rule fits.
const struct s3_cors_rule *s3_cors_find(const struct s3_cors *c, struct span origin,
					struct span method, struct span headers,
					struct span *allowed);
