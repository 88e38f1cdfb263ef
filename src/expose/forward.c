// SPDX-License-Identifier: Apache-2.0
#include "expose/forward.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/trace.h"

static bool one_of(struct span name, const char *const *names)
{
	for (; *names; names++)
		if (span_eq_nocase(name, span_of(*names)))
			return true;
	return false;
}

bool forward_is_hop(struct span name, struct span connection)
{
	static const char *const hops[] = { "Connection",
					    "Keep-Alive",
					    "Proxy-Connection",
					    "Proxy-Authenticate",
					    "Proxy-Authorization",
					    "TE",
					    "Trailer",
					    "Transfer-Encoding",
					    "Upgrade",
					    NULL };

	return one_of(name, hops) || http_list_has(connection, name);
}

// Said anew by us, or not to be said by clients.
static bool is_ours(struct span name, bool own_auth)
{
	static const char *const ours[] = { "Host",
					    "Content-Length",
					    "Expect",
					    "Forwarded",
					    "X-Forwarded-For",
					    "X-Forwarded-Proto",
					    "X-Forwarded-Host",
					    "X-Forwarded-Prefix",
					    NULL };

	return one_of(name, ours) || (own_auth && span_eq_nocase(name, SPAN("Authorization")));
}

static bool value_ok(struct span value)
{
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	return true;
}

// All values of a header, joined as one list.
static struct span joined(struct http_req *r, const char *wanted)
{
	struct span name, value, all = SPAN("");
	size_t at = 0;

	while (http_header_next(r, &at, &name, &value))
		if (span_eq_nocase(name, span_of(wanted)))
			all = !all.n ? value
				     : span_of(arena_printf(http_arena(r), SPAN_FMT ", " SPAN_FMT,
							    SPAN_ARG(all), SPAN_ARG(value)));
	return all;
}

// What is no context is not passed on, nor what is said beside it: a trace begins here.
static bool begins_trace(struct span name, bool traced)
{
	return !traced && (span_eq_nocase(name, SPAN("traceparent")) ||
			   span_eq_nocase(name, SPAN("tracestate")));
}

static void add_trace(struct buf *out)
{
	struct trace_context t = { .flags = TRACE_SAMPLED };
	char text[TRACE_TEXT];

	rand_bytes(t.id, sizeof(t.id));
	rand_bytes(t.parent, sizeof(t.parent));
	buf_printf(out, "traceparent: %s\r\n", trace_text(&t, text));
}

static int copy_headers(struct http_req *r, bool own_auth, struct buf *out, struct err *e)
{
	struct trace_context trace;
	const bool traced = http_trace(r, &trace);
	struct span connection = joined(r, "Connection"), name, value;
	size_t at = 0;

	while (http_header_next(r, &at, &name, &value)) {
		if (forward_is_hop(name, connection) || is_ours(name, own_auth) ||
		    begins_trace(name, traced))
			continue;
		if (!value_ok(value))
			return err_set(e, ERR_INVALID, "a control byte in a header");
		buf_printf(out, SPAN_FMT ": " SPAN_FMT "\r\n", SPAN_ARG(name), SPAN_ARG(value));
	}
	if (!traced)
		add_trace(out);
	return 0;
}

// Whoever stood before us is named in front; an address of IPv6 is quoted in Forwarded.
static void add_forwarded(struct http_req *r, struct span host, struct span prefix, struct buf *out)
{
	struct span before = joined(r, "X-Forwarded-For"), list = joined(r, "Forwarded");
	const char *peer = http_peer(r), *proto = http_is_tls(r) ? "https" : "http";
	bool six = strchr(peer, ':');

	buf_printf(out, "X-Forwarded-For: " SPAN_FMT "%s%s\r\n", SPAN_ARG(before),
		   before.n ? ", " : "", peer);
	buf_printf(out, "X-Forwarded-Proto: %s\r\n", proto);
	buf_printf(out, "X-Forwarded-Host: " SPAN_FMT "\r\n", SPAN_ARG(host));
	if (prefix.n)
		buf_printf(out, "X-Forwarded-Prefix: " SPAN_FMT "\r\n", SPAN_ARG(prefix));
	buf_printf(out, "Forwarded: " SPAN_FMT "%sfor=%s%s%s;host=\"" SPAN_FMT "\";proto=%s\r\n",
		   SPAN_ARG(list), list.n ? ", " : "", six ? "\"[" : "", peer, six ? "]\"" : "",
		   SPAN_ARG(host), proto);
}

static bool host_ok(struct span host)
{
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= ' ' || (unsigned char)host.p[i] >= 0x7f ||
		    strchr("\"\\,;/", host.p[i]))
			return false;
	return true;
}

int forward_request(struct http_req *r, const struct forward *f, struct buf *out, struct err *e)
{
	struct span host = http_header(r, "Host");

	if (!host.n) // HTTP/1.0
		host = SPAN("localhost");
	if (!host_ok(host) || !value_ok(f->upgrade) || !value_ok(joined(r, "X-Forwarded-For")) ||
	    !value_ok(joined(r, "Forwarded")))
		return err_set(e, ERR_INVALID, "Host or Forwarded is not understood");
	buf_printf(out, SPAN_FMT " " SPAN_FMT " HTTP/1.1\r\nHost: " SPAN_FMT "\r\n",
		   SPAN_ARG(http_method_name(r)), SPAN_ARG(f->target), SPAN_ARG(host));
	if (copy_headers(r, f->own_auth, out, e) < 0)
		return -1;
	add_forwarded(r, host, f->prefix, out);
	if (f->upgrade.n)
		buf_printf(out, "Connection: Upgrade\r\nUpgrade: " SPAN_FMT "\r\n",
			   SPAN_ARG(f->upgrade));
	if (f->has_body && f->body_size == UINT64_MAX)
		buf_add_str(out, "Transfer-Encoding: chunked\r\n");
	else if (f->has_body || http_method(r) == HTTP_POST || http_method(r) == HTTP_PUT)
		buf_printf(out, "Content-Length: %llu\r\n",
			   (unsigned long long)(f->has_body ? f->body_size : 0));
	buf_add_str(out, "\r\n");
	return out->over ? err_set(e, ERR_LIMIT, "the request's head is too large to pass on") : 0;
}

// The length is said by whoever sends the body.
void forward_answer(struct http_req *r, const struct http_head *h)
{
	struct span connection = SPAN("");

	for (size_t i = 0; i < h->field_count; i++)
		if (span_eq_nocase(h->fields[i].name, SPAN("Connection")))
			connection = span_of(arena_printf(http_arena(r), SPAN_FMT "," SPAN_FMT,
							  SPAN_ARG(connection),
							  SPAN_ARG(h->fields[i].value)));
	for (size_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];

		if (!forward_is_hop(f->name, connection) &&
		    !span_eq_nocase(f->name, SPAN("Content-Length")))
			http_reply_header(r, arena_strndup(http_arena(r), f->name.p, f->name.n),
					  f->value);
	}
}
