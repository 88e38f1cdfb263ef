// Fuzz target: the end of what a script wrote to $OSCAR_PROGRESS.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "codec/json.h"
#include "codec/progress.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct progress p;

	if (!progress_last(span_make((const char *)data, size), &p))
		return 0;
	check(p.done <= 1 && (p.done >= 0 || p.message[0] || p.done == -1));
	check(strlen(p.message) <= PROGRESS_MESSAGE_MAX);

	// What is shown goes into JSON, which takes UTF-8 only.
	auto_json json_t *text = json_string(p.message);

	check(text);
	return 0;
}
