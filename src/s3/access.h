// access: what a bucket's documents say about who may use it, parsed and kept while they do not change.
// Private to s3. Owner: the cache in struct s3; a request holds a reference from s3_access_get() to
// s3_access_put(). Threads: safe; what is handed out is never changed.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/acl.h"
#include "auth/policy.h"
#include "base/arena.h"
#include "base/err.h"
#include "s3/cors.h"

struct s3;
struct store_bucket;

enum s3_ownership { S3_OWNER_UNSET, S3_OWNER_WRITER, S3_OWNER_PREFERRED, S3_OWNER_ENFORCED };

struct s3_access {
	unsigned refs; // guarded by the cache's lock
	uint64_t seq;  // store_config_seq() before it was read
	bool has_acl;  // otherwise its owner has all rights and nobody else any
	struct acl acl;
	struct policy *policy; // NULL = none
	enum s3_ownership ownership;
	bool block_set;
	struct arena mem; // of the rules below
	struct s3_cors cors;
	struct s3_block {
		bool acls, ignore_acls, policy, restrict_buckets;
	} block;
};

struct s3_access_cache;
struct s3_access_cache *s3_access_cache_new(void);
void s3_access_cache_free(struct s3_access_cache *c);

// ERR_CORRUPT when a document cannot be understood: then nobody may.
must_check int s3_access_get(struct s3 *s, const struct store_bucket *b, struct s3_access **out,
			     struct err *e);
void s3_access_put(struct s3 *s, struct s3_access *a); // accepts NULL

// The kinds under which the documents are kept.
#define S3_DOC_ACL "acl"
#define S3_DOC_POLICY "policy"
#define S3_DOC_OWNERSHIP "ownership"
#define S3_DOC_BLOCK "publicAccessBlock"
#define S3_DOC_CORS "cors"

// The ownership rule by its name on the wire; S3_OWNER_UNSET when there is none of that name.
enum s3_ownership s3_ownership_named(struct span name);
const char *s3_ownership_name(enum s3_ownership o);
// Block switches as four digits: "1010".
void s3_block_text(const struct s3_block *b, char out[static 5]);
