// http: a small HTTP/1.1 client for one server: one connection, kept between requests, bodies streamed from
// and to descriptors. It neither retries nor follows redirects; whoever calls knows what may be repeated.
// Owner: the caller. Threads: one. Errors: those of conn.h and http_head.h; ERR_IO for our own files.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/buf.h"
#include "codec/http_head.h"
#include "supervisor/stop.h"

#include <sys/types.h>

struct http;

struct http_url {
	bool tls;
	uint16_t port;
	char host[256];
	char authority[264]; // what Host says: without the usual port
	char path[256];	     // in front of every target, without "/" at its end
};

// http://HOST[:PORT][/PATH] or https; ERR_INVALID. User names in it are refused.
must_check int http_url_parse(const char *text, struct http_url *out, struct err *e);

// Where an answer of `from` sends to: the server, and the target on it, which lives in `location`. ERR_PROTOCOL, also when
// it leads from TLS to a place without.
must_check int http_redirect(const struct http_url *from, struct span location,
			     struct http_url *out, struct span *target, struct err *e);

must_check int http_new(struct stop *stop, const struct http_url *url, bool verify,
			struct http **out, struct err *e);
void http_free(struct http *h);

struct http_request {
	const char *method;
	struct span target;  // path and query, encoded
	struct span headers; // lines with CR LF, without Host and Content-Length
	int body;	     // read from its start; -1 = none
	uint64_t body_size;
	struct span text; // the body instead, when it is not empty
	bool expect; // asks first whether the body is wanted: a server that sends elsewhere says so before it comes
};

// Sends it and reads the answer's head, which is valid until the next call of http_send().
must_check int http_send(struct http *h, const struct http_request *r, const struct http_head **out,
			 struct err *e);

// The body's next bytes; 0 at its end. One that ends before its time is ERR_UNAVAILABLE.
must_check ssize_t http_body(struct http *h, void *p, size_t n, struct err *e);

// Reads the rest into `out`, as much as it takes, and leaves the connection ready or closed.
void http_finish(struct http *h, struct buf *out);
