// SPDX-License-Identifier: Apache-2.0
// A policy of a stranger, asked for what its own first bytes say.
#include "auth/acl.h"
#include "auth/policy.h"

static size_t values(void *owner, struct span key, struct span *out, size_t max unused_arg)
{
	struct span text = *(struct span *)owner;

	if (key.n % 3 == 0)
		return 0;
	out[0] = span_head(text, key.n);
	out[max > 1] = SPAN("127.0.0.1");
	return max > 1 ? 2 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size);
	struct policy_request r = { .action = SPAN("s3:GetObject"),
				    .resource = SPAN("arn:aws:s3:::b/k"),
				    .who = { false, SPAN("c"), SPAN("1"), SPAN("ana") },
				    .values = values,
				    .owner = &text };
	struct policy *p = NULL;
	struct err e = { 0 };
	struct acl a;

	if (acl_parse(text, &a)) {
		auto_arena struct arena mem = { 0 };
		struct acl b;

		check(acl_parse(acl_text(&mem, &a), &b) && b.n == a.n);
	}
	if (policy_parse(&p, text, size % 2 ? "b" : NULL, &e) < 0)
		return 0;
	policy_decide(p, &r);
	r.who.anonymous = true;
	policy_decide(p, &r);
	policy_free(p);
	return 0;
}
