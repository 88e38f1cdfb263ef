// iam: named policies, groups, and who has which of them; users' keys beyond the first. Like the rest of auth it is
// kept in memory as a whole and written through.
// Threads: safe; changes are one at a time. Errors: ERR_NOT_FOUND, ERR_INVALID, ERR_DENIED (built in), ERR_CONFLICT
// (a policy in use, a group with members), ERR_EXISTS, ERR_LIMIT, and those of db.
// Built in: readonly, readwrite, writeonly, diagnostics, consoleAdmin.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/auth.h"
#include "auth/policy.h"

enum { IAM_NAME_MAX = 129, IAM_OF_USER_MAX = 32 };

// ---- policies ------------------------------------------------------------------------------------------

struct iam_policy {
	const char *name;
	struct span text;
};
must_check int iam_policy_put(struct auth *a, const char *name, struct span text, struct err *e);
must_check int iam_policy_remove(struct auth *a, const char *name, struct err *e);
must_check int iam_policy_get(struct auth *a, struct span name, struct arena *mem,
			      struct span *text, struct err *e);
must_check int iam_policy_list(struct auth *a, struct arena *mem, struct iam_policy **out,
			       size_t *n, struct err *e);

// The policies of a user, his groups' included; their count. Each is freed by the caller.
size_t iam_policies_of(struct auth *a, int64_t user, struct policy *out[static IAM_OF_USER_MAX]);

// ---- who has which -------------------------------------------------------------------------------------

struct iam_holder {
	bool group;
	struct span name; // of the user or group
};
enum iam_change { IAM_ATTACH, IAM_DETACH, IAM_SET }; // IAM_SET: these and no others
// `policies`: names with commas between them.
must_check int iam_policies_change(struct auth *a, const struct iam_holder *who,
				   enum iam_change what, struct span policies, struct err *e);
// Names with commas between them, "" = none.
must_check int iam_policies_held(struct auth *a, const struct iam_holder *who, struct arena *mem,
				 struct span *out, struct err *e);

// ---- groups --------------------------------------------------------------------------------------------

struct iam_group {
	const char *name;
	bool enabled;
	const char **members; // names of users
	size_t n;
};
// Adds members (making the group) or removes them; removing without naming any removes an empty group.
must_check int iam_group_change(struct auth *a, const char *name, const struct span *members,
				size_t n, bool remove, struct err *e);
must_check int iam_group_enable(struct auth *a, const char *name, bool enabled, struct err *e);
must_check int iam_group_get(struct auth *a, struct span name, struct arena *mem,
			     struct iam_group *out, struct err *e);
must_check int iam_group_list(struct auth *a, struct arena *mem, const char ***names, size_t *n,
			      struct err *e);
// The groups of a user, with commas between them.
must_check int iam_groups_of(struct auth *a, int64_t user, struct arena *mem, struct span *out,
			     struct err *e);

// ---- keys ----------------------------------------------------------------------------------------------

// Another key for the same user, or another secret for a key that is his. ERR_EXISTS when it is another's.
must_check int iam_key_put(struct auth *a, int64_t user, const char *access, const char *secret,
			   struct err *e);
must_check int iam_key_remove(struct auth *a, int64_t user, struct span access, struct err *e);
must_check int iam_key_list(struct auth *a, int64_t user, struct arena *mem, const char ***access,
			    size_t *n, struct err *e);
must_check int iam_user_enable(struct auth *a, int64_t user, bool enabled, struct err *e);
