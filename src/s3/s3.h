// s3: the S3 protocol over http, authn and store. One struct s3 serves any number of HTTP servers.
// Purpose: turns requests into calls of the store and their outcomes into S3's answers; every rule of the
//   wire (signatures, checksums, conditions, ranges, XML) is met here, none in the store.
// Owner: the caller keeps store, auth and authn alive as long as the servers that use the handler.
// Threads: the handler's callbacks come on the servers' loops; what waits for the disk runs on their workers.
//   Each worker takes part in the store's group commit, so a server for S3 should have some 32 of them.
// Errors: none leave it: each becomes an answer in S3's words (s3/error.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "http/http.h"

struct auth;
struct authn;
struct notify;
struct s3;
struct store;

struct s3_options {
	struct store *store;
	struct auth *auth;
	struct authn *authn;
	struct notify *notify;
	// Virtual-host style, bucket.DOMAIN: domains with commas between them; NULL = path style only.
	const char *domains;
	// Asked by /minio/health/ready; NULL = always ready.
	bool (*ready)(void *owner);
	void *owner;
};

void s3_open(struct s3 **out, const struct s3_options *o);
void s3_close(struct s3 *s);
struct http_handler s3_handler(struct s3 *s);
