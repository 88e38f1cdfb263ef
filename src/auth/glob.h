// glob: patterns with * (any run of bytes, also none) and ? (one byte), as access policies and CORS rules write
// them. Threads: no state. Errors: none. Time is bounded by the product of both lengths.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

// In a pattern this byte makes the next one stand for itself.
#define GLOB_LITERAL '\001'

bool glob_match(struct span pattern, struct span text);
bool glob_match_nocase(struct span pattern, struct span text); // ASCII letters
