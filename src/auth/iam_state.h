// iam_state: the policies and groups in memory. Private to auth.
// Owner: struct auth, which replaces it as a whole after a change; it lives in one arena. Functions here are called
// under auth's lock.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/state.h"

struct named {
	struct named *next; // in order of names
	const char *name;
	struct span text;
	struct policy *policy;
};

struct member {
	struct member *next;
	int64_t user;
};

struct group {
	struct group *next; // in order of names
	int64_t id;
	const char *name;
	bool enabled;
	struct member *members;
};

struct held {
	struct held *next;
	bool group;
	int64_t id; // of the user or group
	struct named *policy;
};

struct iam {
	struct arena mem;
	struct named *policies;
	struct group *groups;
	struct held *held;
};

bool iam_is_built_in(const char *name);
struct named *iam_policy_find(struct iam *i, struct span name);
struct group *iam_group_find(struct iam *i, struct span name);
bool iam_holder_id(struct auth *a, const struct iam_holder *who, int64_t *id);
