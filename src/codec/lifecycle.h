// lifecycle: rules of a bucket's lifecycle configuration, as S3 writes them in XML, checked and printed.
// Purpose: the S3 side checks what clients send; the store's keeper reads the same document to act on it.
// Owner: rules live in the caller's arena and point into it. Threads: no state.
// Errors: ERR_INVALID with err.sys = enum lifecycle_fault.
// Source: Amazon S3 API Reference, PutBucketLifecycleConfiguration.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum lifecycle_fault {		 // err.sys
	LIFECYCLE_MALFORMED = 1, // not the document it should be
	LIFECYCLE_ARGUMENT,	 // a value is out of its range
	LIFECYCLE_REQUEST,	 // values that do not go together
};

enum { LIFECYCLE_RULES_MAX = 1000, LIFECYCLE_ID_MAX = 255, LIFECYCLE_TAGS_MAX = 50 };

struct lifecycle_tag {
	struct span key, value;
};

// When something is due: days after the object's time, or a date. `set` false: never.
struct lifecycle_when {
	bool set;
	bool by_date;
	unsigned days;
	int64_t date_ns;
};

struct lifecycle_transition {
	struct lifecycle_when when;
	struct span storage_class;
	bool noncurrent;
	unsigned keep; // noncurrent: this many newer ones stay
};

struct lifecycle_rule {
	struct span id; // empty when the client gave none
	bool enabled;

	// What it is about. How the client wrote it is kept, so that it comes back the same.
	enum { LIFECYCLE_ALL, LIFECYCLE_PREFIX, LIFECYCLE_FILTER, LIFECYCLE_AND } form;
	struct span prefix; // p == NULL when not given
	struct lifecycle_tag *tags;
	size_t tag_count;
	bool has_over, has_under;
	uint64_t over, under; // sizes strictly between

	// What it does.
	struct lifecycle_when expire;
	bool expire_markers;
	unsigned noncurrent_days; // 0 = not
	unsigned noncurrent_keep;
	unsigned abort_days; // 0 = not
	struct lifecycle_transition *transitions;
	size_t transition_count;
};

struct lifecycle {
	struct lifecycle_rule *rules;
	size_t n;
};

must_check int lifecycle_parse(struct arena *mem, struct span xml, struct lifecycle *out,
			       struct err *e);

// Appends the rules as XML elements, without their root.
void lifecycle_write(const struct lifecycle *l, struct buf *b);

// The rule's filter fits an object: tags in the form "a=b&c=d", percent-encoded.
bool lifecycle_fits(const struct lifecycle_rule *r, struct span key, uint64_t size,
		    struct span tags);
// The same of what has no size and no tags of its own: a delete marker, an upload.
bool lifecycle_fits_key(const struct lifecycle_rule *r, struct span key);
