// policy: access policies in the language of AWS (Version 2012-10-17): parsed, checked, asked.
// Purpose: of a bucket (with principals) or of a user (without); whoever asks supplies action, resource, who it
//   is, and the values of condition keys. Knows no HTTP and no bucket store.
// Owner: policy_parse() makes it, policy_free() ends it. Threads: a parsed policy may be asked by several at once.
// Errors: ERR_INVALID with what is wrong in the document.
// Wildcards in actions (without regard to case), resources and the …Like operators; variables ${key} and
// ${key, 'default'} in resources and condition values, which never act as wildcards.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

struct policy;

enum { POLICY_TEXT_MAX = 20 * 1024, POLICY_VALUES_MAX = 64 };

// bucket: the policy is one of this bucket: every statement names principals, and every resource lies in it.
// NULL: it is one of a user.
must_check int policy_parse(struct policy **out, struct span text, const char *bucket,
			    struct err *e);
// One more holder, who ends it by policy_free() too.
struct policy *policy_share(struct policy *p);
void policy_free(struct policy *p); // NULL is fine
static inline void policy_free_ptr(struct policy **p)
{
	policy_free(*p);
}
#define auto_policy at_scope_exit(policy_free_ptr)

// Who asks. Matches the principals "*", the canonical id, the account number, arn:aws:iam::ACCOUNT:root and
// arn:aws:iam::[ACCOUNT]:user/[PATH/]NAME, where ACCOUNT and NAME may each be name, number or canonical id.
struct policy_who {
	bool anonymous;
	struct span canonical, number, name;
};

struct policy_request {
	struct span action;   // s3:GetObject
	struct span resource; // arn:aws:s3:::bucket/key
	struct policy_who who;
	// The values of a condition key (its case does not matter), at most `max`; their count, 0 = absent. Called
	// only for keys that the policy names.
	size_t (*values)(void *owner, struct span key, struct span *out, size_t max);
	void *owner;
};

enum policy_effect { POLICY_NONE, POLICY_ALLOW, POLICY_DENY };
// One denial outweighs everything.
enum policy_effect policy_decide(const struct policy *p, const struct policy_request *r);

// The first condition key that `known` says no to, or NULL: a denial by such a key would never hold.
const char *policy_unknown_key(const struct policy *p, bool (*known)(struct span key));

// Somebody is allowed something whoever he is, with no condition that bounds where he comes from.
bool policy_is_public(const struct policy *p);
