// policy_private: what the files of the policy language share. Private to auth.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "auth/policy.h"
#include "base/buf.h"
#include "codec/json.h"

#include <stdatomic.h>

enum { POLICY_EXPANDED_MAX = 4096 };

struct policy {
	_Atomic unsigned refs;
	json_t *doc;
	bool variables; // ${…} are expanded
	bool is_public;
};

// The strings of a value that may be one or a list of them; numbers and truth values as text of `scratch`.
size_t policy_item_count(const json_t *v);
struct span policy_item(const json_t *v, size_t i, char scratch[static 32]);

// Expands variables into *out. pattern: a substituted text is marked so that it holds no wildcards, while ${*},
// ${?} and ${$} give the plain character. False when a variable has no value or the text becomes too long.
bool policy_expand(const struct policy *p, const struct policy_request *r, struct span text,
		   bool pattern, struct buf *out);

// The Condition element: well-formed; holds for a request; bounds who may come (see policy_is_public).
must_check int policy_conditions_check(json_t *conditions, struct err *e);
bool policy_conditions_hold(const struct policy *p, json_t *conditions,
			    const struct policy_request *r);
bool policy_conditions_bound(json_t *conditions);
// The first key that `known` says no to, or NULL.
const char *policy_conditions_unknown(json_t *conditions, bool (*known)(struct span key));
