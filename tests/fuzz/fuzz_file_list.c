// Fuzz target: a manifest, which names the files of a job.
// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include "base/mem.h"
#include "fdl/fdl.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fdl_io io = { .bucket = "b", .folder = "in", .manifest = ".list" };
	auto_arena struct arena mem = { 0 };
	struct err e = { 0 };
	const char **keys;
	size_t n;

	if (fdl_manifest_read(&io, SPAN("in/d/x.list"), span_make((const char *)data, size), &mem,
			      &keys, &n, &e) < 0)
		return 0;
	check(n > 1 && n <= FDL_GROUP_RUN_MAX);
	for (size_t i = 0; i < n; i++) {
		check(strncmp(keys[i], "in/", 3) == 0 && !strstr(keys[i], "/../") &&
		      !strstr(keys[i], "//"));
		check(strlen(keys[i]) <= FDL_KEY_MAX && !strchr(keys[i], '\n'));
	}
	return 0;
}
