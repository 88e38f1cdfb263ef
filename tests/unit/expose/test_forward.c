// SPDX-License-Identifier: Apache-2.0
// Heads that are passed on: a server that answers with the head it would send, asked by raw bytes.
#include "../http/rig.h"

#include "codec/trace.h"
#include "expose/forward.h"

static struct forward how;

static void on_begin(void *owner unused_arg, struct http_req *r unused_arg)
{
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	struct forward f = how;
	struct err e = { 0 };
	struct buf out;

	f.has_body = http_has_body(r, &f.body_size);
	buf_init(&out, FORWARD_HEAD_MAX);
	if (forward_request(r, &f, &out, &e) < 0)
		http_reply_text(r, 400, e.msg);
	else
		http_reply(r, 200, "text/plain", buf_span(&out));
	buf_release(&out);
}

static int setup(void **state)
{
	struct http_options o = { .handler = { NULL, on_begin, NULL, on_finish, NULL, NULL } };

	*state = rig_open(o);
	return 0;
}

static int teardown(void **state)
{
	http_server_close(*state);
	return 0;
}

// The body of the answer to these bytes.
static const char *passed_on(struct http_server *s, const char *request)
{
	static char answer[65536];
	int fd = rig_connect(s);
	char *body;

	rig_send(fd, request);
	rig_read(fd, answer, sizeof(answer) - 1);
	close(fd);
	body = strstr(answer, "\r\n\r\n");
	assert_non_null(body);
	return body + 4;
}

#define TRACE                                                                                      \
	"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"                 \
	"tracestate: a=b\r\n"

static void the_request_is_told_anew(void **state)
{
	how = (struct forward){ .target = SPAN("/x?y"), .prefix = SPAN("/a/b") };
	assert_string_equal(
		passed_on(*state,
			  "GET /ignored HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nConnection: close, "
			  "X-One\r\nX-One: 1\r\nX-Two: 2\r\nTE: trailers\r\n"
			  "Keep-Alive: x\r\nProxy-Authorization: x\r\nA: 2\r\n"
			  "Authorization: mine\r\nX-Forwarded-Host: evil\r\n" TRACE "\r\n"),
		"GET /x?y HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nX-Two: 2\r\nA: 2\r\n"
		"Authorization: mine\r\n" TRACE
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
		"X-Forwarded-Host: h:1\r\nX-Forwarded-Prefix: /a/b\r\n"
		"Forwarded: for=127.0.0.1;host=\"h:1\";proto=http\r\n\r\n");
}

// One that is no context counts as none, and what was said beside it goes with it.
static void a_trace_begins_here_where_there_is_none(void **state)
{
	static const char *const none[] = {
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\ntracestate: a=b\r\n"
		"traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n\r\n",
	};

	how = (struct forward){ .target = SPAN("/"), .prefix = SPAN("") };
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		const char *out = passed_on(*state, none[i]), *at = strstr(out, "traceparent: ");
		struct trace_context t;

		assert_non_null(at);
		assert_true(trace_parse(span_make(at + 13, TRACE_TEXT - 1), &t));
		assert_null(strstr(at + 1, "traceparent: "));
		assert_null(strstr(out, "tracestate"));
	}
}

static void credentials_for_us_stay_here(void **state)
{
	how = (struct forward){ .target = SPAN("/"), .prefix = SPAN(""), .own_auth = true };
	const char *out = passed_on(*state, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
					    "authorization: secret\r\n\r\n");

	assert_null(strstr(out, "secret"));
	assert_null(strstr(out, "X-Forwarded-Prefix"));
}

static void bodies_are_framed_once(void **state)
{
	how = (struct forward){ .target = SPAN("/"), .prefix = SPAN("") };
	const char *sized = passed_on(*state, "PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
					      "Content-Length: 2\r\n\r\nab");

	assert_non_null(strstr(sized, "Content-Length: 2\r\n"));
	assert_null(strstr(sized, "chunked"));
	const char *chunked =
		passed_on(*state,
			  "PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
			  "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\n\r\n");

	assert_non_null(strstr(chunked, "Transfer-Encoding: chunked\r\n"));
	assert_null(strstr(chunked, "Content-Length"));
	assert_null(strstr(chunked, "Trailer"));
	assert_non_null(strstr(passed_on(*state, "POST / HTTP/1.1\r\nHost: h\r\n"
						 "Connection: close\r\n\r\n"),
			       "Content-Length: 0\r\n"));
}

static void odd_heads_are_refused(void **state)
{
	how = (struct forward){ .target = SPAN("/"), .prefix = SPAN("") };
	assert_non_null(strstr(passed_on(*state, "GET / HTTP/1.1\r\nHost: a\"b\r\n"
						 "Connection: close\r\n\r\n"),
			       "not understood"));
	assert_non_null(strstr(passed_on(*state, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n"
						 "Connection: close\r\n\r\n"),
			       "control byte"));
}

static void hops_are_known(void **state unused_arg)
{
	assert_true(forward_is_hop(SPAN("transfer-ENCODING"), SPAN("")));
	assert_true(forward_is_hop(SPAN("x-mine"), SPAN("close, X-Mine ,y")));
	assert_false(forward_is_hop(SPAN("X-Mine"), SPAN("close")));
	assert_false(forward_is_hop(SPAN("Date"), SPAN("")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request_is_told_anew),
		cmocka_unit_test(a_trace_begins_here_where_there_is_none),
		cmocka_unit_test(credentials_for_us_stay_here),
		cmocka_unit_test(bodies_are_framed_once),
		cmocka_unit_test(odd_heads_are_refused),
		cmocka_unit_test(hops_are_known),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
