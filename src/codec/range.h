// range: the Range field of HTTP (RFC 9110 14). Threads: no state. Errors: none; what is not understood asks for all.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

// RANGE_NOT: outside of what is there. Several ranges at once are answered with all of it.
enum range { RANGE_WHOLE, RANGE_PART, RANGE_NOT };

// `from` and `n` are set with RANGE_PART only; n is at least 1.
enum range range_parse(struct span field, uint64_t size, uint64_t *from, uint64_t *n);
