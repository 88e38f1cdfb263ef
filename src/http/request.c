// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "codec/trace.h"
#include "codec/url.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

// Unique within the process and scattered, not secret: a random start, a counter, and the finaliser of
// SplitMix64, which is a bijection.
static void make_id(struct http_req *r)
{
	uint64_t x = r->server->id_seed + ++r->server->id_next * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	snprintf(r->id, sizeof(r->id), "%016llx", (unsigned long long)(x ^ (x >> 31)));
}

void request_start(struct http_req *r, const char *target)
{
	struct span t = span_of(target);

	r->stage = REQ_HEAD;
	r->begun_ns = clock_mono_ns();
	r->reply_tail = &r->reply_headers;
	r->wire = target;
	r->too_long = t.n > r->server->o.target_max;
	r->target = arena_span(&r->arena, span_head(t, r->too_long ? 256 : t.n));
	make_id(r);
}

void request_end(struct http_req *r)
{
	struct http_conn *c = r->conn;

	stream_end(r);
	if (r->uncorked)
		cork_forget(r);
	reply_drop(r);
	buf_release(&r->body);
	arena_release(&r->arena);
	*r = (struct http_req){ .conn = c, .server = r->server, .mhd = r->mhd };
}

static const char *const method_names[] = {
	[HTTP_GET] = "GET",	[HTTP_HEAD] = "HEAD",	  [HTTP_PUT] = "PUT",
	[HTTP_POST] = "POST",	[HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
	[HTTP_PATCH] = "PATCH",
};

static enum http_method method_of(struct span name)
{
	for (unsigned i = 0; i < ARRAY_LEN(method_names); i++)
		if (span_is(name, method_names[i]))
			return (enum http_method)i;
	return HTTP_OTHER;
}

struct collect {
	struct http_req *r;
	size_t n;
};

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind unused_arg, const char *name,
				   size_t name_n, const char *value, size_t value_n)
{
	struct collect *c = arg;

	c->r->headers[c->n++] =
		(struct req_header){ span_make(name, name_n),
				     span_trim(span_make(value ? value : "", value_n)) };
	return c->n < c->r->header_count ? MHD_YES : MHD_NO;
}

static void take_headers(struct http_req *r)
{
	struct collect c = { r, 0 };
	int n = MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, NULL, NULL);

	r->header_count = n > 0 ? (size_t)n : 0;
	r->header_room = r->header_count + 1;
	r->headers = arena_alloc(&r->arena, r->header_room * sizeof(r->headers[0]));
	if (r->header_count)
		MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, take_header, &c);
	r->header_count = c.n;
}

static size_t header_times(const struct http_req *r, const char *name)
{
	size_t times = 0;

	for (size_t i = 0; i < r->header_count; i++)
		times += span_eq_nocase(r->headers[i].name, span_of(name));
	return times;
}

// Splits the target in its two usual forms: "/path?query", and "scheme://host/path" as sent to proxies.
// "*" is left as the path.
static void split_target(struct http_req *r)
{
	struct span t = r->target, rest;

	if (t.n && t.p[0] != '/') {
		ptrdiff_t at = span_find(t, ':');

		if (at > 0 && span_starts(span_from(t, (size_t)at), SPAN("://"))) {
			rest = span_from(t, (size_t)at + 3);
			at = span_find(rest, '/');
			t = at < 0 ? SPAN("/") : span_from(rest, (size_t)at);
		}
	}
	r->query_raw = t;
	r->path_raw = span_cut(&r->query_raw, '?');
}

// The text after the target must be the version: otherwise there was a blank or a NUL in between, and what
// we were given is not the whole target.
static const char *target_fault(const struct http_req *r, const char *version)
{
	for (size_t i = 0; i < r->target.n; i++)
		if ((unsigned char)r->target.p[i] <= ' ' || r->target.p[i] == 0x7f)
			return "blank or control byte in the request target";
	if (version != r->wire + r->target.n + 1)
		return "blank or control byte in the request target";
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return "HTTP version not understood";
	if (!r->path_raw.n || (r->path_raw.p[0] != '/' && !span_is(r->path_raw, "*")))
		return "request target not understood";
	if (url_has_escaped(r->path_raw, 0))
		return "NUL in the path";
	return NULL;
}

// RFC 9112 5.1: a blank before the colon would hide the header from one reader and not from another.
static bool odd_header_name(const struct http_req *r)
{
	for (size_t i = 0; i < r->header_count; i++)
		for (size_t k = 0; k < r->headers[i].name.n; k++) {
			unsigned char c = (unsigned char)r->headers[i].name.p[k];

			if (c <= ' ' || c >= 0x7f)
				return true;
		}
	return false;
}

// RFC 9112 6.1 and 6.3: framing that two readers could take in two ways is an attack or a mistake.
static const char *framing_fault(struct http_req *r, const char *version)
{
	size_t lengths = header_times(r, "Content-Length");
	size_t codings = header_times(r, "Transfer-Encoding");
	size_t hosts = header_times(r, "Host");

	if (odd_header_name(r))
		return "blank or control byte in a header name";
	if (lengths > 1)
		return "more than one Content-Length";
	if (lengths && codings)
		return "both Content-Length and Transfer-Encoding";
	if (codings > 1 ||
	    (codings && !span_eq_nocase(http_header(r, "Transfer-Encoding"), SPAN("chunked"))))
		return "Transfer-Encoding not understood";
	if (codings && strcmp(version, "HTTP/1.0") == 0)
		return "Transfer-Encoding in HTTP/1.0";
	if (hosts > 1 || (!hosts && strcmp(version, "HTTP/1.1") == 0))
		return "exactly one Host is needed";
	if (lengths && !span_to_u64(http_header(r, "Content-Length"), &r->body_size))
		return "Content-Length not understood";
	r->size_known = lengths > 0;
	r->has_body = codings || (lengths && r->body_size);
	return NULL;
}

bool request_check(struct http_req *r, const char *method, const char *version)
{
	const char *fault;

	r->method_name = span_of(method);
	r->method = method_of(r->method_name);
	take_headers(r);
	split_target(r);
	if (r->too_long) {
		http_reply_text(r, 414, "the request target is too long\n");
		return false;
	}
	fault = target_fault(r, version);
	if (!fault)
		fault = framing_fault(r, version);
	if (!fault)
		return true;
	r->malformed = true;
	http_reply_header(r, "Connection", SPAN("close"));
	http_reply_text(r, 400, fault);
	return false;
}

enum http_method http_method(const struct http_req *r)
{
	return r->method;
}

struct span http_method_name(const struct http_req *r)
{
	return r->method_name;
}

struct span http_target(const struct http_req *r)
{
	return r->target;
}

struct span http_path_raw(const struct http_req *r)
{
	return r->path_raw;
}

struct span http_query_raw(const struct http_req *r)
{
	return r->query_raw;
}

struct span http_path(struct http_req *r)
{
	if (!r->path.p)
		r->path = url_decode(&r->arena, r->path_raw, URL_PLUS_KEEP);
	return r->path;
}

bool http_is_tls(const struct http_req *r)
{
	return r->server->tls != NULL;
}

const char *http_peer(struct http_req *r)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = i ? i->client_addr : NULL;

	if (r->peer[0] || !a)
		return r->peer;
	if (a->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, r->peer,
			  sizeof(r->peer));
	} else if (a->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(six))
			inet_ntop(AF_INET, six->s6_addr + 12, r->peer, sizeof(r->peer));
		else
			inet_ntop(AF_INET6, six, r->peer, sizeof(r->peer));
	}
	return r->peer;
}

const char *http_id(struct http_req *r)
{
	return r->id;
}

static void take_members(struct http_req *r)
{
	struct span rest = r->query_raw, name, value;
	size_t n = 0;

	while (url_query_next(&rest, &name, &value))
		n++;
	r->members = arena_alloc(&r->arena, (n + 1) * sizeof(r->members[0]));
	rest = r->query_raw;
	while (url_query_next(&rest, &name, &value)) {
		struct req_header *m = &r->members[r->member_count++];

		m->name = url_decode(&r->arena, name, URL_PLUS_BLANK);
		m->value = url_decode(&r->arena, value, URL_PLUS_BLANK);
	}
}

bool http_query(struct http_req *r, const char *name, struct span *value)
{
	struct span wanted = span_of(name);

	if (!r->members)
		take_members(r);
	for (size_t i = 0; i < r->member_count; i++)
		if (span_eq(r->members[i].name, wanted)) {
			*value = r->members[i].value;
			return true;
		}
	return false;
}

struct span http_header(const struct http_req *r, const char *name)
{
	struct span wanted = span_of(name);

	for (size_t i = 0; i < r->header_count; i++)
		if (span_eq_nocase(r->headers[i].name, wanted))
			return r->headers[i].value;
	return span_make(NULL, 0);
}

bool http_header_next(const struct http_req *r, size_t *at, struct span *name, struct span *value)
{
	if (*at >= r->header_count)
		return false;
	*name = r->headers[*at].name;
	*value = r->headers[*at].value;
	++*at;
	return true;
}

void http_header_add(struct http_req *r, struct span name, struct span value)
{
	if (r->header_count == r->header_room) {
		struct req_header *all;

		r->header_room *= 2;
		all = arena_alloc(&r->arena, r->header_room * sizeof(*all));
		memcpy(all, r->headers, r->header_count * sizeof(*all));
		r->headers = all;
	}
	r->headers[r->header_count++] = (struct req_header){ name, value };
}

// A request with two of them is of none (Trace Context 3.2: then the trace begins anew).
bool http_trace(const struct http_req *r, struct trace_context *out)
{
	struct span name, value, found = SPAN("");
	size_t at = 0, n = 0;

	while (http_header_next(r, &at, &name, &value))
		if (span_eq_nocase(name, SPAN("traceparent"))) {
			found = value;
			n++;
		}
	return trace_parse(n == 1 ? found : SPAN(""), out);
}

bool http_has_body(const struct http_req *r, uint64_t *size)
{
	*size = r->size_known ? r->body_size : r->has_body ? UINT64_MAX : 0;
	return r->has_body;
}

struct arena *http_arena(struct http_req *r)
{
	return &r->arena;
}

void *http_app(const struct http_req *r)
{
	return r->app;
}

void http_app_set(struct http_req *r, void *app)
{
	r->app = app;
}

void http_body_collect(struct http_req *r, size_t max)
{
	buf_release(&r->body);
	buf_init(&r->body, max);
	r->collect = true;
	if (r->size_known && r->body_size > max)
		http_reply_text(r, 413, "the body is too large\n");
}

struct span http_body(const struct http_req *r)
{
	return buf_span(&r->body);
}

bool http_peer_gone(struct http_req *r)
{
	return conn_peer_gone(r->conn);
}

bool conn_peer_gone(const struct http_conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}
