// http_body: takes the content of an HTTP/1.1 answer out of the bytes of a connection, piece by piece.
// Source: RFC 9112 6.3, 7.1. Owner: pieces point into the text given. Threads: no state but the struct's.
// Errors: ERR_PROTOCOL, ERR_LIMIT; nothing more is to be asked then.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "codec/http_head.h"

enum { HTTP_CHUNK_LINE_MAX = 4096, HTTP_TRAILER_MAX = 16 << 10 };

struct http_body {
	enum { HTTP_BODY_SIZED, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE } kind;
	enum { HTTP_CHUNK_SIZE, HTTP_CHUNK_DATA, HTTP_CHUNK_END, HTTP_CHUNK_TRAILER } at;
	uint64_t left; // of the body, or of the chunk
	size_t trailer;
	bool done; // nothing of it is to come
};

// no_content: the answer to a HEAD, whose head speaks of a body that does not come.
void http_body_begin(struct http_body *b, const struct http_head *h, bool no_content);

// Takes framing and one piece of content from the front of *in. An empty piece: the body is done, or more bytes are
// needed in front of which what is left of *in must stand (at most HTTP_CHUNK_LINE_MAX).
must_check int http_body_next(struct http_body *b, struct span *in, struct span *piece,
			      struct err *e);

// The connection has ended. ERR_PROTOCOL unless the body has, too.
must_check int http_body_end(struct http_body *b, struct err *e);
