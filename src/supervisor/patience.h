// patience: when a server is asked again, and how long it is left alone before.
// Owner: the caller. Threads: one. Errors: none of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/http_head.h"
#include "supervisor/report.h"
#include "supervisor/stop.h"

// Zeroed = nothing failed yet.
struct patience {
	unsigned failed; // in a row, without progress
	int64_t wait_ms; // the least, as the server asked
};

// Heeds the Retry-After of a refusal.
void patience_heed(struct patience *p, const struct http_head *head);

// Waits before another try of `what`, which failed with *e; false when it is enough, with *e as it was (ERR_CANCELLED
// when asked to stop meanwhile). Only what ERR_UNAVAILABLE and ERR_TIMEOUT say may help to repeat is repeated.
bool patience_again(struct patience *p, struct stop *stop, const struct report *report,
		    const char *what, struct err *e);
