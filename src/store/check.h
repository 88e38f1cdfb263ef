// check: reads everything that the store keeps and says what is not as it should be. For `oscar check`, with no
// daemon on the data. Threads: one at a time. Errors: as in store/store.h; what is found is no error.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "store/store.h"

struct store_check_options {
	bool repair; // marks what is damaged (or right again), moves what nobody owns to CONTENT/aside
	void (*say)(void *owner, const char *text); // one line a finding
	void *owner;
};
struct store_checked {
	uint64_t files, bytes, bodies, objects; // looked at
	uint64_t damaged; // files and bodies that differ from what was written
	uint64_t mended;  // marked as damaged, but right
	uint64_t missing; // objects without their content
	uint64_t orphans; // files that nobody owns
};
must_check int store_check(struct store *s, const struct store_check_options *o,
			   struct store_checked *out, struct err *e);
