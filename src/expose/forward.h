// forward: what a proxy changes in the heads that it passes on (RFC 9110 7.6, RFC 7239). Private to expose.
// Owner: the caller. Threads: no state. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "codec/http_head.h"
#include "http/http.h"

enum { FORWARD_HEAD_MAX = 96 << 10 };

struct forward {
	struct span target; // path and query for the server
	struct span prefix; // what was taken from the path in front of it, "" = nothing
	bool own_auth;	    // the credentials were for us and are not passed on
	bool has_body;
	struct span upgrade; // the protocols that the client would switch to, "" = none
	uint64_t body_size;  // UINT64_MAX: not known, it goes in chunks
};

// The head of the request, with its empty line.
must_check int forward_request(struct http_req *r, const struct forward *f, struct buf *out,
			       struct err *e);

// Hop-by-hop: concerns the connection alone. `connection`: the values of its Connection headers, joined.
bool forward_is_hop(struct span name, struct span connection);

// Adds the headers of an answer that go to the client.
void forward_answer(struct http_req *r, const struct http_head *h);
