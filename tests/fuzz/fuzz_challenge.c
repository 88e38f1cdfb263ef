// fuzz_challenge: WWW-Authenticate as a registry sends it, and references as people write them.
// SPDX-License-Identifier: Apache-2.0
#include "image/challenge.h"

#include "base/err.h"
#include "codec/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct reference r, again;
	struct challenge c;
	struct err e = { 0 };

	challenge_parse(span_make(data, size), &a, &c);
	check(c.realm.n <= size && c.service.n <= size && c.scope.n <= size);
	check(c.kind != CHALLENGE_BEARER || c.realm.n);
	if (reference_parse(span_make(data, size), &r, &e) == 0) {
		// What was taken is taken again when it is written out.
		const char *text =
			arena_printf(&a, "%s/%s%s%s%s%s", r.registry, r.path, r.tag[0] ? ":" : "",
				     r.tag, r.digest[0] ? "@" : "", r.digest);

		if (!strchr(r.registry, '.') && !strchr(r.registry, ':') &&
		    strcmp(r.registry, "localhost") != 0)
			return 0; // named by its capital letters
		check(reference_parse(span_of(text), &again, &e) == 0);
		check(strcmp(r.path, again.path) == 0 && strcmp(r.host, again.host) == 0);
	}
	return 0;
}
