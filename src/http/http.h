// http: an HTTP/1.1 server on libmicrohttpd: loops, limits, bodies, replies. Knows no product word.
// Purpose: the application gives callbacks; each request goes through them in this order:
//     begin   the head is complete and no body byte was taken ("100 Continue" has not been sent yet)
//     body    each piece of the body as it arrives, unless begin asked for it to be collected
//     finish  the request is complete
//     gone    exactly once for each begin, at the very end, whatever happened in between
//   Whoever has the request may answer it (http_reply…) from begin on; later callbacks but `gone` are then
//   left out. A reply given before the body was read: a small body is read and dropped first, a large one
//   makes the connection close, so that it is never taken for the next request.
// Owner: the server owns its threads, connections and requests; a request is valid from begin to gone.
// Threads: callbacks come on one of the server's loops and must not block. Longer work: http_defer() runs a
//   function on the bounded worker pool, http_suspend() parks until http_resume() is called from any
//   thread. While parked the request belongs to that thread; after http_resume() it must not be touched.
// Lifetime: spans handed out live until gone. Errors: ERR_INVALID (options), ERR_IO (sockets).
// Refused without asking the application, since two parsers might read them differently: Content-Length
// with Transfer-Encoding, several Content-Length, other transfer codings than chunked, several or no
// Host, blanks or control bytes in the target, %00 in the path (RFC 9112 3.2, 6.1, 6.3).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/histogram.h"

#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct http_req;

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_PUT,
	HTTP_POST,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_OTHER, // see http_method_name()
};

struct http_handler {
	void *owner;
	void (*begin)(void *owner, struct http_req *r);
	void (*body)(void *owner, struct http_req *r, struct span piece); // NULL: dropped
	void (*finish)(void *owner, struct http_req *r);
	void (*gone)(void *owner, struct http_req *r); // may be NULL
	// The worker queue is full: answer 503 in the application's form. NULL: plain text.
	void (*busy)(void *owner, struct http_req *r);
};

struct http_options {
	const char *listen; // "127.0.0.1:8080", "[::1]:0", ":9000" for all addresses
	const char *name;   // of threads and log lines, at most 8 characters; NULL = "http"
	struct http_handler handler;
	unsigned loops;		 // 0 = one a core
	unsigned workers;	 // 0 = 8
	unsigned worker_queue;	 // calls that wait for a worker; 0 = 256
	unsigned connections;	 // 0 = 8192
	unsigned address_max;	 // connections from one address; 0 = no bound
	uint32_t head_max;	 // request line and headers, with some overhead; 0 = 64 KiB
	uint32_t target_max;	 // 0 = 16 KiB; longer answers 414
	uint64_t drain_max;	 // of a body that nobody wants, to keep the connection; 0 = 1 MiB
	unsigned idle_ms;	 // no byte either way; 0 = 60 s
	unsigned head_ms;	 // a request's head, once begun; 0 = 30 s
	unsigned body_grace_ms;	 // a body may take this long and then …; 0 = 60 s
	uint32_t body_rate;	 // … must have come at this many bytes a second; 0 = 1024
	unsigned stream_tick_ms; // wakes of parked streams are gathered for this long; 0 = 20 ms
	unsigned stream_idle_ms; // a parked stream is asked at the latest after; 0 = 15 s
	// Both or none: the texts themselves, needed for the opening only; the certificate may be a chain.
	const char *tls_cert_pem;
	const char *tls_key_pem;
};

// Listens and starts the threads; the handler is called from now on.
must_check int http_server_open(struct http_server **out, const struct http_options *o,
				struct err *e);
// Another certificate for the handshakes from now on; on failure the one before stays. Any thread, one at a time.
must_check int http_server_tls_set(struct http_server *s, const char *cert_pem, const char *key_pem,
				   struct err *e);
unsigned http_server_port(const struct http_server *s);

// What was observed since http_server_open().
struct http_figures {
	_Atomic uint64_t
		answers[6]; // by the first digit of their status; [0]: broken off without one
	_Atomic uint64_t connections; // open now
	struct histogram took;	      // from a request's first line to its answer's last byte
};
const struct http_figures *http_server_figures(const struct http_server *s);

// Stops listening, ends parked streams, waits for deferred and suspended requests, closes the rest.
void http_server_close(struct http_server *s);

// ---- the request ---------------------------------------------------------------------------------------

enum http_method http_method(const struct http_req *r);
struct span http_method_name(const struct http_req *r);
struct span http_target(const struct http_req *r);    // as on the wire
struct span http_path_raw(const struct http_req *r);  // up to '?', not decoded
struct span http_query_raw(const struct http_req *r); // after '?', not decoded
struct span http_path(struct http_req *r);	      // decoded
bool http_is_tls(const struct http_req *r);
const char *http_peer(struct http_req *r); // address without port
const char *http_id(struct http_req *r);   // 16 hexadecimal digits, of this request alone

// The query member of that (decoded) name, decoded ('+' is a blank); false when there is none.
bool http_query(struct http_req *r, const char *name, struct span *value);

// The first header of that name, or a span with p == NULL.
struct span http_header(const struct http_req *r, const char *name);
// Visits all headers in their order, repeated ones too: start with *at = 0.
bool http_header_next(const struct http_req *r, size_t *at, struct span *name, struct span *value);

// Adds one to those that came, behind them. Its bytes live until gone.
void http_header_add(struct http_req *r, struct span name, struct span value);

// The trace that the request says it is of (traceparent); false, and none: it says none, or not well.
struct trace_context;
bool http_trace(const struct http_req *r, struct trace_context *out);

// A body is announced. Its size when the client said it, else UINT64_MAX.
bool http_has_body(const struct http_req *r, uint64_t *size);

struct arena *http_arena(struct http_req *r);
void *http_app(const struct http_req *r); // the application's own pointer, NULL at begin
void http_app_set(struct http_req *r, void *app);

// In begin: collect the body instead of calling `body`. Above `max` bytes the answer is 413.
void http_body_collect(struct http_req *r, size_t max);
struct span http_body(const struct http_req *r); // in finish

// ---- waiting -------------------------------------------------------------------------------------------

// In begin or finish, as the callback's last act: runs fn on a worker while the connection is parked. When fn
// has not answered, a request deferred in begin goes on with its body; one deferred in finish gets 500.
void http_defer(struct http_req *r, void (*fn)(void *owner, struct http_req *r));

// In begin, body or finish, as the last act before handing `r` to the thread that will resume it. Between
// resume and suspend the rules of http_defer hold.
void http_suspend(struct http_req *r);
void http_resume(struct http_req *r);
// As http_resume() of a request that was suspended in finish; it goes on with fn on its own loop.
void http_resume_with(struct http_req *r, void (*fn)(void *owner, struct http_req *r));

// Asks the socket whether the client has hung up; for long work while parked.
bool http_peer_gone(struct http_req *r);

// ---- the answer ----------------------------------------------------------------------------------------
// The first answer counts; a second one is dropped and logged. HEAD gets the headers of the answer without
// its body, with the length the body would have.

// Adds a header to the answer to come. Names are ours; control bytes in values become blanks.
void http_reply_header(struct http_req *r, const char *name, struct span value);
void http_reply_headerf(struct http_req *r, const char *name, const char *fmt, ...)
	format_printf(3, 4);

// type NULL: no Content-Type.
void http_reply(struct http_req *r, unsigned status, const char *type, struct span body); // copied
// The bytes live until gone: in the request's arena, or static.
void http_reply_kept(struct http_req *r, unsigned status, const char *type, struct span body);
// Takes the buffer's memory; the buffer is empty afterwards.
void http_reply_buf(struct http_req *r, unsigned status, const char *type, struct buf *body);
void http_reply_text(struct http_req *r, unsigned status, const char *text);

// Part of a file, by sendfile. The descriptor is the server's from now on.
void http_reply_file(struct http_req *r, unsigned status, const char *type, int fd, uint64_t offset,
		     uint64_t size);

// The length alone; only for HEAD.
void http_reply_length(struct http_req *r, unsigned status, const char *type, uint64_t size);

enum { HTTP_STREAM_END = -1, HTTP_STREAM_FAIL = -2, HTTP_STREAM_WAIT = -3, HTTP_STREAM_PARK = 0 };
struct http_stream {
	void *owner;
	// Fills buf: the count, or HTTP_STREAM_END, or HTTP_STREAM_FAIL (the connection breaks off, so that
	// the client does not take what it has for the whole), or HTTP_STREAM_PARK: nothing now. A parked
	// stream is asked again after http_stream_wake() of its topic, and every stream_idle_ms. HTTP_STREAM_WAIT:
	// it called http_suspend(), and is asked again after http_resume(): for streams that must not wait for a tick.
	ssize_t (*read)(void *owner, struct http_req *r, uint64_t at, char *buf, size_t max);
	void (*close)(void *owner); // once, at the end; may be NULL
	uint64_t topic;		    // whose wakes concern it
	size_t block;		    // bytes asked for at a time; 0 = 32 KiB
};
// size UINT64_MAX: not known; sent chunked, or up to the end of the connection to an HTTP/1.0 client.
void http_reply_stream(struct http_req *r, unsigned status, const char *type, uint64_t size,
		       const struct http_stream *stream);

// For streams of text: copies what fits of b from *sent on, and counts it there; the number of bytes.
size_t http_text_take(const struct buf *b, size_t *sent, char *out, size_t max);

// Who serves the request; for http_stream_wake().
struct http_server *http_server_of(const struct http_req *r);

// Something new on a topic: its parked streams are asked again at the next tick. Any thread, cheap.
void http_stream_wake(struct http_server *s, uint64_t topic);

// Another protocol on the same connection (RFC 9110 7.8): 101 with the headers added before, Upgrade among them. Then fn is
// called on the request's loop: `fd` does not block and is for whoever fn gives it to, until http_switched_end(), which
// may be called by any thread, closes it, and lets the request end; `early` came already behind the request. When the client hangs up
// before, fn is not called.
struct http_switched;
void http_reply_switch(struct http_req *r,
		       void (*fn)(void *owner, struct http_switched *c, int fd, struct span early),
		       void *owner);
void http_switched_end(struct http_switched *c);

bool http_replied(const struct http_req *r); // an answer was given
