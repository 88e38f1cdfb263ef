// client: against our own server: bodies both ways, retries, bounds, cancelling, and event streams.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/http.h"
#include "http/sse.h"

#include <stdatomic.h>
#include <stdio.h>

static struct http_server *server;
static char base[64];
static atomic_int asked; // requests for /flaky

static void on_begin(void *owner unused_arg, struct http_req *r)
{
	http_body_collect(r, 4 << 20);
}

static void answer_flaky(struct http_req *r)
{
	if (++asked < 3)
		http_reply_text(r, 503, "not yet");
	else
		http_reply_text(r, 200, "now");
}

static ssize_t endless(void *owner unused_arg, struct http_req *r unused_arg,
		       uint64_t at unused_arg, char *buf, size_t max)
{
	memset(buf, 'x', max);
	return (ssize_t)max;
}

static void on_finish(void *owner unused_arg, struct http_req *r)
{
	struct span path = http_path(r);

	if (span_is(path, "/echo")) {
		http_reply_headerf(r, "X-Method", SPAN_FMT, SPAN_ARG(http_method_name(r)));
		http_reply_headerf(r, "X-Auth", SPAN_FMT,
				   SPAN_ARG(http_header(r, "Authorization")));
		http_reply(r, 200, "application/octet-stream", http_body(r));
	} else if (span_is(path, "/flaky")) {
		answer_flaky(r);
	} else if (span_is(path, "/moved")) {
		http_reply_header(r, "Location", SPAN("/echo"));
		http_reply_text(r, 307, "");
	} else if (span_is(path, "/endless")) {
		struct http_stream s = { .read = endless };

		http_reply_stream(r, 200, "text/plain", UINT64_MAX, &s);
	} else {
		http_reply_text(r, 404, "no such\x01thing\nsecond line");
	}
}

static int setup(void **state unused_arg)
{
	struct http_options o = { .listen = "127.0.0.1:0",
				  .loops = 1,
				  .workers = 1,
				  .handler = { .begin = on_begin, .finish = on_finish } };
	struct err e = { 0 };

	if (http_server_open(&server, &o, &e) < 0)
		return -1;
	snprintf(base, sizeof(base), "http://127.0.0.1:%u", http_server_port(server));
	return 0;
}

static int teardown(void **state unused_arg)
{
	http_server_close(server);
	return 0;
}

static struct http_client *client_of(struct http_client_options o)
{
	struct http_client *c = NULL;
	struct err e = { 0 };

	assert_int_equal(http_client_new(&o, &c, &e), 0);
	return c;
}

static char *url_of(const char *path)
{
	return mem_printf("%s%s", base, path);
}

static void a_body_goes_there_and_back(void **state unused_arg)
{
	static const char *const methods[] = { "PUT", "POST" };
	auto_http_client struct http_client *c =
		client_of((struct http_client_options){ .user = "oscar", .password = "pw" });
	auto_free char *url = url_of("/echo");
	static char big[300000];

	memset(big, 'b', sizeof(big));
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct http_call call = { .method = methods[i],
					  .url = url,
					  .body = span_make(big, sizeof(big)) };
		struct err e = { 0 };

		assert_int_equal(http_client_call(c, &call, &a, &e), 0);
		assert_int_equal(a.status, 200);
		assert_int_equal(a.body.n, sizeof(big));
		assert_true(span_is(http_answer_header(&a, "x-method"), methods[i]));
		assert_true(span_is(http_answer_header(&a, "X-AUTH"), "Basic b3NjYXI6cHc="));
		assert_null(http_answer_header(&a, "X-None").p);
	}
}

struct source {
	size_t left, all;
	unsigned rewinds;
};

static ssize_t give(void *owner, char *p, size_t n)
{
	struct source *s = owner;

	n = n < s->left ? n : s->left;
	memset(p, 's', n);
	s->left -= n;
	return (ssize_t)n;
}

static bool again(void *owner)
{
	struct source *s = owner;

	s->left = s->all;
	s->rewinds++;
	return true;
}

static void
a_stream_of_unknown_length_is_sent_in_chunks_and_again_after_a_redirect(void **state unused_arg)
{
	auto_http_client struct http_client *c =
		client_of((struct http_client_options){ .bearer = "tok" });
	auto_free char *url = url_of("/moved");
	auto_http_answer struct http_answer a = { 0 };
	struct source s = { .left = 100000, .all = 100000 };
	struct http_call call = { .method = "PUT",
				  .url = url,
				  .send = give,
				  .send_size = -1,
				  .rewind = again,
				  .owner = &s };
	struct err e = { 0 };

	assert_int_equal(http_client_call(c, &call, &a, &e), 0);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.n, 100000);
	assert_true(span_is(http_answer_header(&a, "x-auth"), "Bearer tok"));
}

static bool count_bytes(void *owner, struct span piece)
{
	size_t *n = owner;

	*n += piece.n;
	return *n < 1000000;
}

static void an_answer_may_be_taken_in_pieces_and_refused(void **state unused_arg)
{
	auto_http_client struct http_client *c = client_of((struct http_client_options){ 0 });
	auto_free char *url = url_of("/endless");
	auto_http_answer struct http_answer a = { 0 };
	size_t n = 0;
	struct http_call call = { .method = "GET", .url = url, .take = count_bytes, .owner = &n };
	struct err e = { 0 };

	assert_int_equal(http_client_call(c, &call, &a, &e), -1);
	assert_int_equal(e.code, ERR_IO);
	assert_true(n >= 1000000 && n < 2000000);
}

static void an_answer_over_the_bound_is_refused(void **state unused_arg)
{
	auto_http_client struct http_client *c = client_of((struct http_client_options){ 0 });
	auto_free char *url = url_of("/endless");
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = url, .body_max = 5000 };
	struct err e = { 0 };

	assert_int_equal(http_client_call(c, &call, &a, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_null(a.body.p);
}

static void a_busy_server_is_asked_again(void **state unused_arg)
{
	auto_http_client struct http_client *c = client_of((struct http_client_options){ 0 });
	auto_free char *url = url_of("/flaky");
	auto_http_answer struct http_answer once = { 0 };
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = url };
	struct err e = { 0 };

	asked = 0;
	assert_int_equal(http_client_call(c, &call, &once, &e), 0);
	assert_int_equal(once.status, 503);
	asked = 0;
	call.tries = 5;
	assert_int_equal(http_client_call(c, &call, &a, &e), 0);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.tries, 3);
	assert_true(span_is(buf_span(&a.body), "now"));
}

static void nobody_there_is_unavailable_and_waiting_ends(void **state unused_arg)
{
	auto_http_client struct http_client *c =
		client_of((struct http_client_options){ .user = "oscar", .password = "geheim" });
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = {
		.method = "GET", .url = "http://127.0.0.1:1/", .tries = 50, .timeout_ms = 500
	};
	struct err e = { 0 };
	int64_t start = clock_mono_ns();

	assert_int_equal(http_client_call(c, &call, &a, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_null(strstr(e.msg, "geheim"));
	assert_true(clock_mono_ns() - start < 5 * NS_PER_S);
}

static void what_is_no_url_is_refused(void **state unused_arg)
{
	static const char *const urls[] = { "file:///etc/passwd", "gopher://h/", "", "http://" };
	auto_http_client struct http_client *c = client_of((struct http_client_options){ 0 });

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		auto_http_answer struct http_answer a = { 0 };
		struct http_call call = { .method = "GET", .url = urls[i] };
		struct err e = { 0 };

		assert_int_equal(http_client_call(c, &call, &a, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static bool always(void *owner unused_arg)
{
	return true;
}

static void a_call_can_be_cancelled(void **state unused_arg)
{
	auto_http_client struct http_client *c =
		client_of((struct http_client_options){ .cancelled = always });
	auto_free char *url = url_of("/endless");
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = url, .body_max = SIZE_MAX / 2 };
	struct err e = { 0 };

	assert_int_equal(http_client_call(c, &call, &a, &e), -1);
	assert_int_equal(e.code, ERR_CANCELLED);
}

static void a_status_becomes_a_code_and_a_printable_text(void **state unused_arg)
{
	static const struct {
		int status;
		enum err_code code;
	} rows[] = { { 400, ERR_INVALID },   { 401, ERR_UNAUTH },      { 403, ERR_DENIED },
		     { 404, ERR_NOT_FOUND }, { 409, ERR_CONFLICT },    { 429, ERR_BUSY },
		     { 500, ERR_IO },	     { 503, ERR_UNAVAILABLE }, { 507, ERR_FULL } };
	auto_http_client struct http_client *c = client_of((struct http_client_options){ 0 });
	auto_free char *url = url_of("/absent");
	auto_http_answer struct http_answer a = { 0 };
	struct http_call call = { .method = "GET", .url = url };
	struct err e = { 0 };

	assert_int_equal(http_client_call(c, &call, &a, &e), 0);
	assert_int_equal(http_answer_check(&a, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.msg, "no such?thing");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_answer b = { .status = rows[i].status };

		assert_int_equal(http_answer_check(&b, &e), -1);
		assert_int_equal(e.code, rows[i].code);
	}
}

static void keep_event(void *owner, const struct sse_event *ev)
{
	buf_printf(owner, "[" SPAN_FMT "|" SPAN_FMT "|" SPAN_FMT "]", SPAN_ARG(ev->id),
		   SPAN_ARG(ev->kind), SPAN_ARG(ev->data));
}

static void events_are_read_wherever_the_stream_is_cut(void **state unused_arg)
{
	static const char text[] =
		": hello\n\nid: 1\nevent: job\ndata: {\"a\":1}\n\n"
		"data:two\r\ndata: lines\r\n\r\nid\nretry: 5\ndata\r\revent: x\n\n"
		"data: not ended";
	static const char want[] = "[1|job|{\"a\":1}][1|message|two\nlines][|message|]";

	for (size_t cut = 1; cut < sizeof(text); cut++) {
		auto_buf struct buf got = { 0 };
		auto_sse struct sse_reader r = { 0 };
		struct err e = { 0 };

		buf_init(&got, 1000);
		sse_init(&r, 1000, keep_event, &got);
		for (size_t at = 0; at < sizeof(text) - 1; at += cut)
			assert_int_equal(
				sse_feed(&r, span_head(span_from(span_of(text), at), cut), &e), 0);
		assert_string_equal(got.p, want);
	}
}

static void an_event_without_end_is_refused(void **state unused_arg)
{
	auto_buf struct buf got = { 0 };
	auto_sse struct sse_reader r = { 0 };
	struct err e = { 0 };
	int done = 0;

	buf_init(&got, 1000);
	sse_init(&r, 100, keep_event, &got);
	for (int i = 0; i < 20 && done == 0; i++)
		done = sse_feed(&r, SPAN("data: 0123456789\n"), &e);
	assert_int_equal(done, -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_goes_there_and_back),
		cmocka_unit_test(
			a_stream_of_unknown_length_is_sent_in_chunks_and_again_after_a_redirect),
		cmocka_unit_test(an_answer_may_be_taken_in_pieces_and_refused),
		cmocka_unit_test(an_answer_over_the_bound_is_refused),
		cmocka_unit_test(a_busy_server_is_asked_again),
		cmocka_unit_test(nobody_there_is_unavailable_and_waiting_ends),
		cmocka_unit_test(what_is_no_url_is_refused),
		cmocka_unit_test(a_call_can_be_cancelled),
		cmocka_unit_test(a_status_becomes_a_code_and_a_printable_text),
		cmocka_unit_test(events_are_read_wherever_the_stream_is_cut),
		cmocka_unit_test(an_event_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
