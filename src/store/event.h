// event: the notification record of one event, as MinIO posts it (see docs/user/events.md for the form).
// Owner: the buffer is the caller's. Threads: no shared state.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "store/store.h"

enum { STORE_EVENT_TEXT_MAX = 128 << 10 }; // keys and metadata, escaped

enum store_event_form {
	STORE_EVENT_POSTED, // to targets: with EventName and Key before, and the record's key form-encoded
	STORE_EVENT_LISTENED, // to who holds a connection: the records alone, and the key as it is
};
// Appends the record; false when b is full. sequencer: later events of a key have larger ones.
bool store_event_write(const struct store_event *ev, enum store_event_form form, int64_t sequencer,
		       struct buf *b);
