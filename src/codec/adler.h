// adler: the Adler-32 checksum (RFC 1950 8.2), which Rucio keeps of every file.
// Threads: no state. Errors: none. Start with ADLER_START and feed the result back in.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

#define ADLER_START UINT32_C(1)

uint32_t adler_update(uint32_t sum, struct span bytes);
