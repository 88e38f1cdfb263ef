// progress: what a script says of how far it is, lines {"progress":0.4,"message":"…"} in $OSCAR_PROGRESS.
// Threads: no state. Errors: none; a line that is not of the form is passed over.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

enum { PROGRESS_LINE_MAX = 2048, PROGRESS_MESSAGE_MAX = 200 };

struct progress {
	double done;				// 0 to 1; negative = not said
	char message[PROGRESS_MESSAGE_MAX + 1]; // UTF-8, cut between two characters; "" = none
};

// The last good line of `tail`, the end of what was written, which may begin and end in the middle of a line. Good is a JSON
// object of at most PROGRESS_LINE_MAX bytes with `progress` from 0 to 1 or a `message`, and neither of another kind.
bool progress_last(struct span tail, struct progress *out);
