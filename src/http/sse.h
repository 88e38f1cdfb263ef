// sse: Server-Sent Events read from a stream (WHATWG HTML 9.2), for clients.
// Owner: the caller. Threads: one at a time. Errors: ERR_LIMIT when an event is larger than allowed.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct sse_event {
	struct span id;	  // the last one that was named, also by an earlier event
	struct span kind; // "message" when unnamed
	struct span data; // lines joined by LF
};

struct sse_reader {
	struct buf line, data, id, kind;
	bool after_cr, has_data;
	// Called for each complete event; the spans live until it returns.
	void (*event)(void *owner, const struct sse_event *ev);
	void *owner;
};

void sse_init(struct sse_reader *r, size_t event_max,
	      void (*event)(void *owner, const struct sse_event *ev), void *owner);
void sse_release(struct sse_reader *r); // accepts a zeroed struct
#define auto_sse at_scope_exit(sse_release)

// Takes the next bytes of the stream.
must_check int sse_feed(struct sse_reader *r, struct span piece, struct err *e);
