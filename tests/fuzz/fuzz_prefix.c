// fuzz_prefix: the list of conda-pack's bin/conda-unpack, and after a NUL the bytes of a file that it is about.
// SPDX-License-Identifier: Apache-2.0
#include "image/prefix.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span file = span_make(data, size), script = span_cut(&file, '\0');
	static const struct span prefix = { "/opt/env", 8 };
	auto_arena struct arena mem = { 0 };
	struct prefix_record *list;
	struct err e = { 0 };
	size_t n;

	if (prefix_records(script, &mem, &list, &n, &e) < 0)
		return 0;
	for (size_t i = 0; i < n && i < 100; i++) {
		auto_buf struct buf out;

		check(list[i].path.n && list[i].placeholder.n);
		buf_init(&out, 1 << 20);
		if (prefix_fix(&list[i], file, prefix, &out, &e) < 0) {
			check(e.code == ERR_INVALID || e.code == ERR_LIMIT);
			continue;
		}
		check(!list[i].binary || out.n == file.n);
	}
	return 0;
}
