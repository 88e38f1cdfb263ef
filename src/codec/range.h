// range: the Range and Content-Range fields of HTTP (RFC 9110 14).
// Threads: no state. Errors: none; a Range that is not understood asks for all.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

// RANGE_NOT: outside of what is there. Several ranges at once are answered with all of it.
enum range { RANGE_WHOLE, RANGE_PART, RANGE_NOT };

// `from` and `n` are set with RANGE_PART only; n is at least 1.
enum range range_parse(struct span field, uint64_t size, uint64_t *from, uint64_t *n);

// Content-Range of an answer, "bytes 5-9/10"; false when it is not of that form. *total is UINT64_MAX for "*".
bool range_of_content(struct span field, uint64_t *first, uint64_t *last, uint64_t *total);
