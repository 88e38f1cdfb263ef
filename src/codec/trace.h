// trace: trace contexts as the header traceparent carries them (W3C Trace Context, level 1).
// Threads: no state. Errors: by the result; what is not wholly of the form is no context.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/span.h"

#include <stdint.h>

enum {
	TRACE_ID = 16,
	TRACE_PARENT = 8,
	TRACE_SAMPLED = 1,
	TRACE_ID_TEXT = 2 * TRACE_ID + 1,
	TRACE_TEXT = 56,
};

struct trace_context { // zeroed is none
	uint8_t id[TRACE_ID];
	uint8_t parent[TRACE_PARENT]; // the span that called
	uint8_t flags;		      // TRACE_SAMPLED or 0
};

bool trace_is(const struct trace_context *t);

// False, and *out is none: no traceparent of version 00, nor one of a later version that begins as one.
bool trace_parse(struct span header, struct trace_context *out);
// "00-ID-PARENT-FLAGS". Returns out.
char *trace_text(const struct trace_context *t, char out[static TRACE_TEXT]);
char *trace_id_text(const struct trace_context *t, char out[static TRACE_ID_TEXT]);
// 32 lower-case digits that are not all zeros.
bool trace_id_parse(struct span text, uint8_t id[static TRACE_ID]);
