// http_head: the head of an HTTP/1.1 answer, and how long its body is, as pure functions.
// Source: RFC 9112 4, 5, 6, 7.1. Owner: spans point into the text. Threads: no state.
// Errors: ERR_PROTOCOL, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/err.h"
#include "base/span.h"

enum { HTTP_HEAD_MAX = 32 << 10, HTTP_FIELDS_MAX = 100 };

struct http_head {
	int status;
	struct http_field {
		struct span name, value;
	} fields[HTTP_FIELDS_MAX];
	size_t field_count;
	int64_t length; // of the body; -1 = not said: chunked, or until the connection ends
	bool chunked;
	bool close; // the connection ends behind this answer
};

// The head with the empty line behind it.
must_check int http_head_parse(struct span text, struct http_head *out, struct err *e);

// The value of the first field of that name; p == NULL when there is none.
struct span http_head_get(const struct http_head *h, const char *name);

// Is the word one of those of a list with commas, whatever its case?
bool http_list_has(struct span list, struct span word);

// The size in front of a chunk, its extensions left aside.
must_check int http_chunk_size(struct span line, uint64_t *out, struct err *e);
