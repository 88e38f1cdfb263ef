// post_policy: the policy document of a browser's upload: until when, and what its form fields may be.
// Owner: nothing is kept. Threads: no state. Errors: ERR_INVALID (no such document), ERR_DENIED (the form is not
// according to it), with a text for the sender.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

enum { POST_POLICY_MAX = 64 * 1024 };

struct post_field {
	struct span name, value; // names in any case
};

// What content-length-range says; min > max never comes out.
struct post_range {
	uint64_t min, max;
};

// `fields` are those of the form and one named bucket. Each needs a condition, but x-ignore-… and those that carry
// policy, signature and file. *range stays as it is without a condition on it.
must_check int post_policy_check(struct span json, int64_t now_ns, const struct post_field *fields,
				 size_t n, struct post_range *range, struct err *e);
