// client: an HTTP client over libcurl: streaming both ways, deadlines, retries of what may be repeated.
// Owner: the caller. Threads: a client belongs to one thread at a time (it keeps its connections alive).
// Errors: ERR_UNAVAILABLE (no connection, name unknown, connection lost), ERR_TIMEOUT, ERR_PROTOCOL (the
//   answer is no HTTP, TLS fails), ERR_LIMIT (the answer is larger than asked for), ERR_CANCELLED,
//   ERR_INVALID (the URL). An answer of any status is a success; see http_answer_check().
// Credentials never appear in an error text.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct http_client;

struct http_client_options {
	const char *user, *password; // basic authentication, NULL = none; copied
	const char *bearer;	     // instead: a token; copied
	const char *agent;	     // User-Agent; NULL = "oscar"
	const char *ca_file;	     // instead of the system's certificates; copied
	bool insecure;		     // any certificate will do
	bool https_only;	     // also when an answer leads elsewhere
	int64_t connect_timeout_ms;  // 0 = 10 s

	// Asked several times a second while a call runs; true ends it with ERR_CANCELLED.
	bool (*cancelled)(void *owner);
	void *owner;
};

must_check int http_client_new(const struct http_client_options *o, struct http_client **out,
			       struct err *e);
void http_client_free(struct http_client *c);

static inline void http_client_free_ptr(struct http_client **c)
{
	http_client_free(*c);
}
#define auto_http_client at_scope_exit(http_client_free_ptr)

struct http_call {
	const char *method;	    // "GET"
	const char *url;	    // http or https, already percent-encoded
	const char *const *headers; // "Name: value"
	size_t header_count;
	bool no_auth; // leave the client's credentials away (the call brings its own signature)

	// What is sent: `body`, or what `send` gives until it returns 0 (negative ends the call with
	// ERR_IO). `send_size` is its length, negative = unknown, sent in chunks.
	struct span body;
	ssize_t (*send)(void *owner, char *p, size_t n);
	int64_t send_size;
	bool (*rewind)(void *owner); // back to the first byte, for another try

	// Where a body of status 2xx goes, piece by piece; false ends the call with ERR_IO. NULL collects
	// it in the answer. Bodies of other statuses are always collected.
	bool (*take)(void *owner, struct span piece);
	// Told the status (200, 206, …) before the first piece. NULL = not asked for.
	void (*begin)(void *owner, int status);
	void *owner;

	size_t body_max;    // of what is collected; 0 = 1 MiB
	int64_t timeout_ms; // of the whole call with its retries, 0 = none
	int64_t idle_ms;    // without a byte in either direction, 0 = none
	unsigned
		tries; // 0 = 1. More only for calls that may be repeated: waits 0.2 s, 0.4 s, … 5 s
		       // (or as Retry-After says) after ERR_UNAVAILABLE and statuses 429, 502, 503
};

struct http_answer {
	int status;
	struct buf body;
	struct arena mem;
	struct http_answer_header {
		struct span name, value;
	} * headers; // in the order of the wire; at most 200, of at most 64 KiB in all
	size_t header_count;
	unsigned tries; // how often it was asked
};
void http_answer_release(struct http_answer *a); // accepts a zeroed struct
#define auto_http_answer at_scope_exit(http_answer_release)

// *out must be zeroed or released; it is filled on success only.
must_check int http_client_call(struct http_client *c, const struct http_call *call,
				struct http_answer *out, struct err *e);

// The value of the first header of that name, whatever its case; p == NULL when there is none.
struct span http_answer_header(const struct http_answer *a, const char *name);

// ---- another protocol on the same connection (RFC 9110 7.8) --------------------------------------------

struct http_wire;
// Asks with `call` (its method, URL, headers, body and timeout; the client's credentials) for the protocol. With 101 *out
// is the connection from then on; with any other status *wire is NULL and the answer tells why. Redirections are not
// followed, and nothing is sent twice. Errors as of http_client_call(). It has a connection of its own and outlives
// the client.
must_check int http_client_switch(struct http_client *c, const struct http_call *call,
				  const char *protocol, struct http_answer *out,
				  struct http_wire **wire, struct err *e);
// To poll(); read until nothing comes first, since bytes may have been taken off the socket before.
int http_wire_fd(const struct http_wire *w);
// The count; 0 = nothing (or no room) now; ERR_UNAVAILABLE: the connection has ended.
must_check ssize_t http_wire_recv(struct http_wire *w, void *p, size_t n, struct err *e);
must_check ssize_t http_wire_send(struct http_wire *w, const void *p, size_t n, struct err *e);
void http_wire_close(struct http_wire *w); // NULL is fine

// 0 for status 2xx; else the code that fits (404 is ERR_NOT_FOUND, …) with the body's first line as text.
must_check int http_answer_check(const struct http_answer *a, struct err *e);
