// form: multipart/form-data (RFC 7578, RFC 2046 5.1) as a stream: parts come out as bytes arrive, nothing is
// collected but a part's header.
// Owner: the caller keeps struct form; form_release() ends it. Threads: one at a time.
// Errors: ERR_PROTOCOL (not of that form, cut off), ERR_LIMIT (a header too large), and what the callbacks return.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { FORM_BOUNDARY_MAX = 70, FORM_HEAD_MAX = 4096 };

struct form_part {
	struct span name;     // "" when it has none
	struct span filename; // without folders; p == NULL when the part names no file
	struct span type;     // its Content-Type; "" when absent
};

struct form_events {
	void *owner;
	// Each 0, or -1 with *e filled, which form_feed() then returns. The part is valid during the call.
	int (*begin)(void *owner, const struct form_part *p, struct err *e);
	int (*bytes)(void *owner, struct span piece, struct err *e);
	int (*end)(void *owner, struct err *e);
};

struct form {
	struct form_events ev;
	char delimiter[4 + FORM_BOUNDARY_MAX]; // CR LF - - boundary
	size_t delimiter_n, matched;
	enum { FORM_PREAMBLE, FORM_AFTER, FORM_HEAD, FORM_CONTENT, FORM_DONE } state;
	struct buf head; // what came after a delimiter; then a part's header
};

// The value of Content-Type; ERR_INVALID when it is no form or names no fitting boundary.
must_check int form_init(struct form *f, struct span content_type, const struct form_events *ev,
			 struct err *e);
void form_release(struct form *f); // accepts a zeroed struct
must_check int form_feed(struct form *f, struct span piece, struct err *e);
must_check int form_end(struct form *f, struct err *e); // the closing delimiter came
