// prefer: how long a client is willing to wait, as it says so in the header Prefer (RFC 7240 4.3).
// Owner, threads: pure. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

enum { PREFER_WAIT_MAX_S = 30 * 24 * 3600 };

// Seconds, at most PREFER_WAIT_MAX_S; -1 when nothing is said, or nothing that can be understood. The first one counts.
int64_t prefer_wait_s(struct span header);
// What it says in milliseconds, or `most` when it says more or nothing.
int64_t prefer_wait_ms(struct span header, int64_t most);
