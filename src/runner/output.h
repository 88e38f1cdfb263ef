// runner/output: how much lies in a folder that a job writes to. Follows no link, reads no content.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { OUTPUT_ENTRIES_MAX = 1000000, OUTPUT_DEPTH_MAX = 64, OUTPUT_ENTRY_BYTES = 512 };

struct output_size {
	uint64_t
		bytes; // files by length or by blocks, whichever is more, and OUTPUT_ENTRY_BYTES a name
	uint32_t entries; // stops counting at OUTPUT_ENTRIES_MAX
	bool too_deep;
};

// What vanishes while it looks is not counted. Stops early once `enough` bytes were found.
void output_measure(int dir, uint64_t enough, struct output_size *out);
