// event: the notification record of one object, as MinIO posts it (see docs/user/events.md for the form).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "store/store.h"

// Appends the record; false when b is full.
bool service_event_write(const struct store_event *ev, struct buf *b);
