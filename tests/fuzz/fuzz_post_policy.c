// SPDX-License-Identifier: Apache-2.0
// A browser's policy against a form whose fields come from the same bytes.
#include "auth/post_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size);
	struct post_field fields[] = { { SPAN("key"), span_head(text, 3) },
				       { SPAN("acl"), SPAN("private") } };
	struct post_range range = { 0, UINT64_MAX };
	struct err e = { 0 };

	if (post_policy_check(text, 0, fields, 2, &range, &e) == 0)
		check(range.min <= range.max);
	return 0;
}
