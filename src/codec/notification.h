// notification: which events of a bucket go to which target, as S3's XML says it. Pure: reads text, touches nothing.
// Owner: what is parsed lives in the caller's arena. Threads: no state.
// Errors: ERR_INVALID with err.sys = enum notification_fault.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum { NOTIFICATION_RULES_MAX = 100, NOTIFICATION_ARN_MAX = 256 };

enum notification_fault {
	NOTIFICATION_MALFORMED = 1, // no such document
	NOTIFICATION_ARGUMENT, // a document, but it asks for what cannot be; the text says what
};

// What happens to an object: a bit each.
enum notification_event {
	NOTIFICATION_PUT = 1 << 0, // s3:ObjectCreated:…
	NOTIFICATION_POST = 1 << 1,
	NOTIFICATION_COPY = 1 << 2,
	NOTIFICATION_COMPLETE = 1 << 3,
	NOTIFICATION_DELETE = 1 << 4, // s3:ObjectRemoved:…
	NOTIFICATION_MARKER = 1 << 5,
	NOTIFICATION_NOOP = 1 << 6, // a key deleted that was not there
	NOTIFICATION_GET = 1 << 7,  // s3:ObjectAccessed:…
	NOTIFICATION_HEAD = 1 << 8,
	NOTIFICATION_TAGS_PUT = 1 << 9, // s3:ObjectTagging:…
	NOTIFICATION_TAGS_DELETE = 1 << 10,
	NOTIFICATION_ACL = 1 << 11,	// s3:ObjectAcl:Put
	NOTIFICATION_EXPIRED = 1 << 12, // s3:LifecycleExpiration:…
	NOTIFICATION_EXPIRED_MARK = 1 << 13,
	NOTIFICATION_RETENTION = 1 << 14, // MinIO's s3:ObjectCreated:PutRetention, …:PutLegalHold
	NOTIFICATION_HOLD = 1 << 15,
};
#define NOTIFICATION_CREATED                                                                       \
	(NOTIFICATION_PUT | NOTIFICATION_POST | NOTIFICATION_COPY | NOTIFICATION_COMPLETE)

// The events that a name in a rule stands for, "s3:ObjectCreated:*" or a single one. Names of Amazon or MinIO for
// what never happens here (replication, restore, …) are known and stand for none. False when no one knows it.
bool notification_events(struct span name, uint32_t *out);

struct notification_rule {
	struct span id; // "" = none
	struct span arn;
	uint32_t events;
	struct span names;	    // of the events as they were given, with commas
	struct span prefix, suffix; // "" = any
	bool has_prefix, has_suffix;
};

struct notification {
	struct notification_rule *rules;
	size_t n;
};

must_check int notification_parse(struct arena *mem, struct span doc, struct notification *out,
				  struct err *e);
// The content of the root element.
void notification_write(const struct notification *n, struct buf *out);

bool notification_fits(const struct notification_rule *r, uint32_t event, struct span key);
