// acl: access lists of buckets and objects: who owns a thing, and who was granted what.
// Kept as text: "OWNER;GRANT,GRANT…" with GRANT = a number and a letter for a user, or A (everyone), U (every known
// user), L (log delivery) and a letter; letters F R W r w for full control, read, write, read and write the list.
// Owner: results live in the caller's arena. Threads: no state. Errors: by the result.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/span.h"

enum { ACL_GRANTS_MAX = 100 };

enum acl_permission {
	ACL_READ = 1,
	ACL_WRITE = 2,
	ACL_READ_ACP = 4,
	ACL_WRITE_ACP = 8,
	ACL_FULL_CONTROL = 15,
};
enum acl_grantee { ACL_USER, ACL_EVERYONE, ACL_KNOWN, ACL_LOG };

struct acl_grant {
	enum acl_grantee grantee;
	int64_t user; // of ACL_USER
	unsigned permission;
};

struct acl {
	int64_t owner;
	size_t n;
	struct acl_grant grants[ACL_GRANTS_MAX];
};

// False when it is full.
bool acl_add(struct acl *a, enum acl_grantee grantee, int64_t user, unsigned permission);

// One of the canned lists, by the names of S3. bucket_owner counts for objects only. False for an unknown name.
bool acl_canned(struct acl *out, struct span name, int64_t owner, int64_t bucket_owner);
// Gives an owner only rights on what he owns.
bool acl_is_private(const struct acl *a);

struct span acl_text(struct arena *mem, const struct acl *a);
bool acl_parse(struct span text, struct acl *out);

// What the list gives this user; without `public` the grants to everyone and to all known users do not count. An
// owner may always read and write the list itself.
unsigned acl_rights(const struct acl *a, int64_t user, bool anonymous, bool public);
// Grants anything to everyone or to all known users.
bool acl_is_public(const struct acl *a);
