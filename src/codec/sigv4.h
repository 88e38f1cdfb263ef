// sigv4: the request signatures of S3, as pure functions: version 4, and the query form of version 2.
// Servers compute what a client should have sent; clients sign. Nothing here decides who may do what.
// Owner: results live in the caller's arena. Threads: no state. Errors: none; callers bound their inputs.
// Paths and header values must be those of the wire: S3 encodes a path once and never normalises it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { SIGV4_HEX = 65 }; // a signature or SHA-256 with its NUL

struct sigv4_header {
	struct span name, value;
};

// Date is yyyymmdd, region and service as in the credential scope.
struct sigv4_scope {
	struct span date, region, service;
};

struct sigv4_request {
	struct span method;
	struct span path;  // raw
	struct span query; // raw
	// Every header of the request, in wire order; repeated ones are joined by commas.
	const struct sigv4_header *headers;
	size_t header_count;
	struct span signed_headers; // "host;x-amz-date", as the client lists them
	struct span payload;	    // hexadecimal SHA-256 or one of the named forms
	const char *skip_query;	    // a member left out: "X-Amz-Signature" when presigned, or NULL
	bool path_as_is; // take the path as it came; else decode it and encode it as S3 does
};

// The canonical query: members decoded once, encoded again, sorted.
struct span sigv4_query(struct arena *a, struct span query, const char *skip);
// The whole canonical request.
struct span sigv4_canonical(struct arena *a, const struct sigv4_request *r);
// "AWS4-HMAC-SHA256", time (20261123T144648Z), scope, SHA-256 of the canonical request.
struct span sigv4_string_to_sign(struct arena *a, struct span time, const struct sigv4_scope *s,
				 struct span canonical);

void sigv4_key(struct span secret, const struct sigv4_scope *s, uint8_t out[static 32]);
void sigv4_sign(const uint8_t key[static 32], struct span text, char out[static SIGV4_HEX]);

// ---- for clients ---------------------------------------------------------------------------------------

struct sigv4_client {
	struct span access, secret;
	struct span region; // empty = us-east-1
	int64_t time_ns;    // wall clock
};
// The value of Authorization. The headers must hold host, x-amz-date and x-amz-content-sha256 already (as
// r->payload says); all of them are signed. r->signed_headers is not looked at.
struct span sigv4_authorization(struct arena *a, const struct sigv4_client *c,
				const struct sigv4_request *r);
// The whole query of a presigned request, signature included. r->headers holds host alone or more.
struct span sigv4_presign(struct arena *a, const struct sigv4_client *c,
			  const struct sigv4_request *r, unsigned expires_s);

// ---- version 2 -----------------------------------------------------------------------------------------

// What a version 2 signature signs; `bucket` is put in front of the path for virtual-host style, else empty.
// `expires` replaces the date in query form.
struct span sigv2_string_to_sign(struct arena *a, const struct sigv4_request *r, struct span bucket,
				 struct span expires);
// A version 2 signature is about this member of the query; whoever has a presigned address can add others.
bool sigv2_covers(const char *member);
// base64 of the HMAC-SHA1: 28 characters and a NUL.
void sigv2_sign(struct span secret, struct span text, char out[static 32]);
